/* SPDX-License-Identifier: MIT */
/*
 * test_tunnel_end.c - when our end of a stream is asked what waits, and what tells of the rest
 *
 * A connection pair, registered as the tunnel process does. The queue of our end is never empty
 * after the first read: so what is known of news comes from edges and FIONREAD.
 */
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/tunnel/end.h"
#include "tests/unit/run_suite.h"

enum {
	SMALL = 4096,
};

static struct wgw_loop *loop;
static struct wgw_end end;
static int app;
static unsigned int events, turns;
static uint8_t buf[4 * SMALL];

static void on_ready(struct wgw_watch *w, uint32_t what)
{
	struct wgw_end *e = wgw_container(w, struct wgw_end, watch);

	events++;
	wgw_end_event(e, what);
}

/* One turn, which does not sleep: what was written before it has made its event */
static bool one_turn(struct wgw_before *b)
{
	(void)b;
	if (turns++ > 0)
		wgw_loop_stop(loop);
	return true;
}

static void begin(void)
{
	static struct wgw_before before = {.run = one_turn};
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	app = pair[0];
	loop = wgw_loop_new();
	ck_assert_ptr_nonnull(loop);
	wgw_end_init(&end, pair[1], true, on_ready);
	ck_assert_int_eq(wgw_end_watch(loop, &end, false), 0);
	wgw_loop_before(loop, &before);
	events = 0;
}

static void finish(void)
{
	wgw_end_close(loop, &end, false);
	wgw_loop_free(loop);
	close(app);
}

static void writes(size_t len)
{
	ck_assert_int_eq(send(app, buf, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void reads(size_t len)
{
	struct iovec iov = {buf, sizeof(buf)};

	ck_assert_int_eq(wgw_end_read(&end, &iov, 1, len), (ssize_t)len);
}

/* A turn that brings an event; how much waits then */
static size_t hears(void)
{
	events = turns = 0;
	wgw_loop_run(loop);
	ck_assert_uint_eq(events, 1);
	return wgw_end_ready(&end);
}

START_TEST(who_has_read_a_small_message_asks_when_more_comes)
{
	writes(SMALL);
	ck_assert_uint_eq(hears(), SMALL);
	writes(3);
	reads(SMALL);
	ck_assert_uint_eq(wgw_end_ready(&end), 0); /* FIONREAD would say 3 */
	ck_assert_uint_eq(hears(), 3);
	reads(3);
	writes(1);
	ck_assert_uint_eq(hears(), 1);
}
END_TEST

START_TEST(a_piece_of_a_stream_is_asked_about_again)
{
	writes(SMALL + 1);
	ck_assert_uint_eq(hears(), SMALL + 1);
	writes(3);
	reads(SMALL + 1);
	ck_assert_uint_eq(wgw_end_ready(&end), 3);
}
END_TEST

START_TEST(what_a_read_leaves_is_ready)
{
	writes(100);
	ck_assert_uint_eq(hears(), 100);
	reads(60);
	ck_assert_uint_eq(wgw_end_ready(&end), 40);
	reads(40);
	ck_assert_uint_eq(wgw_end_ready(&end), 0);
}
END_TEST

START_TEST(the_last_message_is_known_with_the_end)
{
	writes(5);
	ck_assert_uint_eq(hears(), 5);
	writes(2);
	ck_assert_int_eq(shutdown(app, SHUT_WR), 0);
	reads(5);
	ck_assert_uint_eq(wgw_end_ready(&end), 0);
	ck_assert(!(end.events & EPOLLRDHUP));
	ck_assert_uint_eq(hears(), 2);
	ck_assert(end.events & EPOLLRDHUP);
}
END_TEST

/* A listener that is closed resets who waits in its backlog; the kernel tells it once. */
START_TEST(a_reset_that_meets_the_look_for_hello_is_remembered)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(sun);
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	struct wgw_end e;

	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sun, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&sun, &len), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	wgw_end_init(&e, socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), true, on_ready);
	ck_assert_int_eq(connect(e.watch.fd, (struct sockaddr *)&sun, len), 0);
	ck_assert_int_eq(wgw_end_watch(loop, &e, false), 0);
	e.hello = true;
	close(listener);
	ck_assert_uint_eq(wgw_end_pending(&e), 0);
	events = turns = 0;
	wgw_loop_run(loop);
	ck_assert_uint_eq(events, 1);
	ck_assert(e.events & EPOLLERR);
	ck_assert(e.events & EPOLLHUP);
	wgw_end_close(loop, &e, false);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tunnel_end");
	TCase *c = tcase_create("reading");

	tcase_add_checked_fixture(c, begin, finish);
	tcase_add_test(c, who_has_read_a_small_message_asks_when_more_comes);
	tcase_add_test(c, a_piece_of_a_stream_is_asked_about_again);
	tcase_add_test(c, what_a_read_leaves_is_ready);
	tcase_add_test(c, the_last_message_is_known_with_the_end);
	tcase_add_test(c, a_reset_that_meets_the_look_for_hello_is_remembered);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
