/* SPDX-License-Identifier: MIT */
/*
 * test_capture_busy.c - what is kept of supervised calls that were interrupted, for whom, how long
 *
 * Calls are made up here; nobody waits for their answers. So one that is not answered counts as
 * interrupted at once. The last test has a program of its own.
 */
#include <check.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "src/capture/call.h"
#include "src/capture/capture.h"
#include "src/repr/raw.h"
#include "tests/unit/fake_tunnel.h"
#include "tests/unit/run_suite.h"
#include "tests/unit/supervised_child.h"

enum {
	MANY = 1024,
	OLD_MS = 30000,	    /* whatever is kept has gone by then */
	OLD_SENT_MS = 1100, /* what was sent so long before is sent again */
	PATIENCE_MS = 20000
};

static struct wgw_capture k;
static int sock;

static void set_up(void)
{
	k = (struct wgw_capture){.listener = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static void tear_down(void)
{
	close(sock);
}

/** call_of() - thread @tid's call @nr, under way; it has the socket's lock */
static struct wgw_call call_of(pid_t tid, int nr)
{
	static uint64_t id;
	struct wgw_call c = {
		.capture = &k, .id = ++id, .tid = tid, .nr = nr, .pidfd = -1, .fd = sock};

	wgw_busy_lock(&c);
	return c;
}

static void end(struct wgw_call *c, bool answered)
{
	wgw_busy_over(c, answered);
	wgw_busy_unlock(c);
}

static void ask(struct wgw_call *c, int value)
{
	c->asked.len = sizeof(value);
	memcpy(&c->asked.value, &value, sizeof(value));
	c->asked.result = value;
}

static void receive(struct wgw_call *c, uint8_t value)
{
	struct wgw_datagram got = {.data = malloc(1), .len = 1, .size = 1};

	got.data[0] = value;
	wgw_busy_keep_got(c, &got);
}

static int take(struct wgw_call *c, bool peek)
{
	const struct wgw_datagram *got = wgw_busy_take_got(c, peek);

	return got ? got->data[0] : -1;
}

START_TEST(each_thread_finds_what_it_has_done)
{
	struct wgw_call c;

	for (int tid = 1; tid <= 100; tid++) {
		c = call_of(tid, SYS_sendmmsg);
		ask(&c, tid);
		wgw_busy_keep_done(&c);
		end(&c, false);
	}
	for (int tid = 1; tid <= 100; tid++) {
		c = call_of(tid, SYS_sendto);
		ask(&c, tid);
		ck_assert_int_eq(wgw_busy_may_be_done(&c), -1);
		end(&c, true);
		c = call_of(tid, SYS_sendmmsg);
		ask(&c, tid);
		ck_assert_int_eq(wgw_busy_may_be_done(&c), tid);
		ck_assert(wgw_busy_take_done(&c));
		wgw_busy_keep_done(&c);
		end(&c, tid % 2);
		c = call_of(tid, SYS_sendmmsg);
		ck_assert_int_eq(wgw_busy_may_be_done(&c), tid % 2 ? -1 : tid);
		ask(&c, tid + 1);
		ck_assert(!wgw_busy_take_done(&c));
		ck_assert_int_eq(wgw_busy_may_be_done(&c), -1);
		end(&c, true);
	}
}
END_TEST

START_TEST(datagrams_of_an_interrupted_call_are_the_next_ones_in_their_order)
{
	struct wgw_call first = call_of(1, SYS_recvmmsg), c;

	for (int i = 0; i < MANY + 1; i++)
		receive(&first, (uint8_t)i);
	ck_assert_int_eq(take(&first, false), -1);
	end(&first, false);
	c = call_of(2, SYS_recvfrom);
	ck_assert_int_eq(take(&c, true), 0);
	end(&c, true);
	for (int i = 0; i < MANY; i++) {
		/* interrupted once, then answered */
		for (int again = 0; again < 2; again++) {
			c = call_of(2 + again, SYS_recvfrom);
			ck_assert_int_eq(take(&c, true), (uint8_t)i);
			ck_assert_int_eq(take(&c, false), (uint8_t)i);
			end(&c, i > 0 || again);
			if (i > 0)
				break;
		}
	}
	c = call_of(1, SYS_recvmmsg);
	ck_assert_int_eq(take(&c, false), -1);
	end(&c, true);
}
END_TEST

START_TEST(a_call_that_is_made_again_ends_when_the_first_was_to)
{
	const int64_t now = wgw_raw_now_ms();
	struct wgw_call c;

	for (int tid = 1; tid <= 100; tid++) {
		c = call_of(tid, SYS_recvfrom);
		ck_assert_int_eq(wgw_busy_until(&c, now + tid), now + tid);
		end(&c, false);
	}
	for (int tid = 1; tid <= 100; tid++) {
		c = call_of(tid, SYS_recvfrom);
		ck_assert_int_eq(wgw_busy_until(&c, now + 1000), now + tid);
		end(&c, true);
		c = call_of(tid, SYS_recvfrom);
		ck_assert_int_eq(wgw_busy_until(&c, now + 1000), now + 1000);
		c.args[1] = 1;
		end(&c, false);
		c = call_of(tid, SYS_recvfrom);
		c.args[1] = 2;
		ck_assert_int_eq(wgw_busy_until(&c, now + 2000), now + 2000);
		end(&c, true);
	}
}
END_TEST

START_TEST(a_call_that_takes_the_place_of_another_has_not_done_what_that_did)
{
	for (int old = 0; old < 2; old++) {
		struct wgw_call c = call_of(1, SYS_sendmmsg);

		ask(&c, 1);
		wgw_busy_keep_done(&c);
		end(&c, false);
		if (old)
			usleep(OLD_SENT_MS * 1000);
		/* it sends fewer messages, or is another because of its age; and waits for room */
		c = call_of(1, SYS_sendmmsg);
		ck_assert_int_eq(wgw_busy_may_be_done(&c), old ? -1 : 1);
		wgw_busy_until(&c, wgw_raw_now_ms() + PATIENCE_MS);
		end(&c, false);
		c = call_of(1, SYS_sendmmsg);
		ask(&c, 1);
		ck_assert_int_eq(wgw_busy_may_be_done(&c), -1);
		ck_assert(!wgw_busy_take_done(&c));
		wgw_busy_keep_done(&c);
		end(&c, true);
	}
}
END_TEST

START_TEST(a_call_that_takes_the_place_of_another_has_not_its_limit)
{
	const int64_t now = wgw_raw_now_ms();
	struct wgw_call c = call_of(1, SYS_recvmmsg);

	ck_assert_int_eq(wgw_busy_until(&c, now + 1), now + 1);
	end(&c, false);
	/* it need not wait */
	c = call_of(1, SYS_recvmmsg);
	receive(&c, 1);
	end(&c, false);
	c = call_of(1, SYS_recvmmsg);
	ck_assert_int_eq(wgw_busy_until(&c, now + PATIENCE_MS), now + PATIENCE_MS);
	end(&c, true);
}
END_TEST

START_TEST(what_nobody_came_for_is_dropped_without_another_call)
{
	struct wgw_call c = call_of(1, SYS_accept);
	struct pollfd peer = {.events = POLLIN};
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	wgw_busy_keep(&c, ends[0]);
	end(&c, false);
	peer.fd = ends[1];
	ck_assert_int_eq(poll(&peer, 1, 1000), 0);
	ck_assert_int_eq(poll(&peer, 1, OLD_MS), 1);
	for (int i = 0; i < OLD_MS; i++) {
		bool sweeping;

		pthread_mutex_lock(&k.lock);
		sweeping = k.sweeping;
		pthread_mutex_unlock(&k.lock);
		if (!sweeping)
			break;
		usleep(1000);
	}
	ck_assert(!k.sweeping);
	for (size_t i = 0; i < WGW_CALL_BUCKETS; i++)
		ck_assert_ptr_null(k.busy[i]);
	close(ends[1]);
}
END_TEST

/* ---- with a program ---- */

static struct fake_tunnel tunnel;

/** struct notes - what processes tell each other; @data: where they receive */
static struct notes {
	_Atomic int socket, waiter, interrupted;
	volatile char data[2];
} * notes;

static void catch (int number)
{
	(void)number;
}

/* Waits for two, and is interrupted with one. */
static int wait_for_two(int fd)
{
	struct iovec iov = {(char *)&notes->data[0], 1};
	struct mmsghdr msg[2] = {0};
	struct sigaction act = {.sa_handler = catch};
	struct sockaddr_in any = {.sin_family = AF_INET};

	for (int i = 0; i < 2; i++) {
		msg[i].msg_hdr.msg_iov = &iov;
		msg[i].msg_hdr.msg_iovlen = 1;
	}
	sigaction(SIGUSR1, &act, NULL);
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)))
		return 1;
	notes->socket = 1;
	if (recvmmsg(fd, msg, 2, 0, NULL) >= 0 || errno != EINTR)
		return 2;
	notes->interrupted = 1;
	return 0;
}

static int share_a_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), status = -1;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	pid_t pid = fork();

	if (pid == 0) {
		while (!notes->waiter)
			usleep(1000);
		_exit(recvfrom(fd, (char *)&notes->data[1], 1, 0, (struct sockaddr *)&from, &len) ==
				      1
			      ? 0
			      : 1);
	}
	if (wait_for_two(fd))
		return 1;
	return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 2;
}

static void send_to_program(void)
{
	struct {
		struct wgw_dgram head;
		char byte;
	} message = {.head = {.port = htons(7)}, .byte = 'x'};
	int fd = -1;

	memcpy(message.head.preamble, tunnel.preambles.to_app, sizeof(message.head.preamble));
	for (size_t i = 0; i < FAKE_SOCKETS; i++)
		fd = tunnel.socket[i].cookie && tunnel.socket[i].dgram >= 0 ? tunnel.socket[i].dgram
									    : fd;
	ck_assert_int_eq(send(fd, &message, sizeof(message.head) + 1, 0), sizeof(message.head) + 1);
}

START_TEST(another_call_that_waits_gets_what_an_interrupted_one_received)
{
	struct wgw_capture_options options = {.session = tunnel.env};
	int status = -1, waited_ms = 0;
	sigset_t all;
	pid_t pid;

	sigfillset(&all);
	sigdelset(&all, SIGALRM);
	sigprocmask(SIG_BLOCK, &all, NULL);
	notes = mmap(NULL, sizeof(*notes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	ck_assert_ptr_ne(notes, MAP_FAILED);
	fake_start(&tunnel);
	pid = begin(share_a_socket, &options.listener);
	ck_assert_ptr_nonnull(wgw_capture_start(&options));
	while (!notes->socket)
		usleep(1000);
	send_to_program();
	while (!notes->data[0])
		usleep(1000);
	notes->waiter = 1;
	usleep(100000); /* it waits by then; if not, it finds the datagram when it comes */
	while (!notes->interrupted) {
		kill(pid, SIGUSR1);
		usleep(10000);
	}
	for (; !notes->data[1] && waited_ms < PATIENCE_MS; waited_ms++)
		usleep(1000);
	ck_assert_int_eq(notes->data[1], 'x');
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	fake_stop(&tunnel);
}
END_TEST

int main(void)
{
	struct wgw_capture_probe probe;
	struct wgw_capture_trial trial = {0};
	TCase *t = tcase_create("kept");
	Suite *s = suite_create("capture_busy");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 180);
	tcase_add_test(t, each_thread_finds_what_it_has_done);
	tcase_add_test(t, datagrams_of_an_interrupted_call_are_the_next_ones_in_their_order);
	tcase_add_test(t, a_call_that_is_made_again_ends_when_the_first_was_to);
	tcase_add_test(t, a_call_that_takes_the_place_of_another_has_not_done_what_that_did);
	tcase_add_test(t, a_call_that_takes_the_place_of_another_has_not_its_limit);
	tcase_add_test(t, what_nobody_came_for_is_dropped_without_another_call);
	if (wgw_capture_probe(&trial, &probe))
		return 1;
	if (probe.level == WGW_CAPTURE_SUPERVISED && !probe.without_getfd)
		tcase_add_test(t, another_call_that_waits_gets_what_an_interrupted_one_received);
	suite_add_tcase(s, t);
	return run_suite(s);
}
