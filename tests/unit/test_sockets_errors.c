/* SPDX-License-Identifier: MIT */
/* test_sockets_errors.c - what datagram sockets are told of what became of their datagrams */
#include <time.h>
#include <linux/errqueue.h>

#include "src/tunnel/udp.h"
#include "tests/unit/run_suite.h"
#include "tests/unit/sockets_datagrams.h"

static const struct stack_addr router = {{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 99}, 0};

static void icmp_says(const struct stack_error *error)
{
	fake_udp_last->ops->error(fake_udp_last, fake_udp_last->arg, &app_peer, error);
}

/* Asks for an option as the shim does. Returns its error; *op is the reply, @quoted what follows. */
static int ask(int fd, int level, int name, struct wgw_op *op, uint8_t *quoted, ssize_t *len)
{
	struct iovec iov[2] = {{op, sizeof(*op)}, {quoted, WGW_QUOTED_MAX_BYTES}};
	int talk;

	*op = (struct wgw_op){.code = WGW_OP_GETOPT, .cookie = app_cookie(fd)};
	op->u.option.level = level;
	op->u.option.name = name;
	talk = app_op_begin(op, -1);
	fake_run(5);
	*len = readv(talk, iov, 2) - (ssize_t)sizeof(*op);
	ck_assert_int_ge(*len, 0);
	close(talk);
	return op->err;
}

static int so_error(int fd)
{
	uint8_t quoted[WGW_QUOTED_MAX_BYTES];
	struct wgw_op op;
	ssize_t len;
	int err;

	ck_assert_int_eq(ask(fd, SOL_SOCKET, SO_ERROR, &op, quoted, &len), 0);
	memcpy(&err, op.u.option.value, sizeof(err));
	return err;
}

/* The next error of the queue, and what it quotes; false: it is empty. */
static bool next_error(int fd, struct wgw_error *e, uint8_t quoted[WGW_QUOTED_MAX_BYTES],
		       ssize_t *len)
{
	struct wgw_op op;
	int err = ask(fd, IPPROTO_IP, IP_RECVERR, &op, quoted, len);

	ck_assert(err == 0 || err == EAGAIN);
	ck_assert(err || op.u.option.len == sizeof(*e));
	memcpy(e, op.u.option.value, sizeof(*e));
	return err == 0;
}

static int open_socket(bool is_connected, bool asks, int discover)
{
	static const int on = 1;
	int fd;

	fake_start();
	fd = udp_open();
	fake_run(5);
	send_to(fd, &app_peer, "makes a flow");
	if (is_connected)
		connected(fd, &app_peer);
	if (asks)
		app_set(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	app_set(fd, IPPROTO_IP, IP_MTU_DISCOVER, &discover, sizeof(discover));
	fake_run(5);
	return fd;
}

/* __udp4_lib_err() */
static const struct {
	struct stack_error error;
	int discover;
	bool asks, connected, told;
} cases[] = {
	{{.err = ECONNREFUSED, .fatal = true}, IP_PMTUDISC_WANT, false, false, false},
	{{.err = ECONNREFUSED, .fatal = true}, IP_PMTUDISC_WANT, false, true, true},
	{{.err = EHOSTUNREACH, .fatal = true}, IP_PMTUDISC_WANT, false, true, true},
	{{.err = EHOSTUNREACH, .fatal = false}, IP_PMTUDISC_WANT, false, true, false},
	{{.err = EHOSTUNREACH, .fatal = false}, IP_PMTUDISC_WANT, true, true, true},
	{{.err = EHOSTUNREACH, .fatal = false}, IP_PMTUDISC_WANT, true, false, true},
	{{.err = EMSGSIZE, .fatal = true}, IP_PMTUDISC_WANT, false, true, true},
	{{.err = EMSGSIZE, .fatal = true}, IP_PMTUDISC_DONT, false, true, false},
	{{.err = EMSGSIZE, .fatal = true}, IP_PMTUDISC_DONT, true, true, false},
	{{.err = EMSGSIZE, .fatal = true}, IP_PMTUDISC_DO, true, false, true},
};

START_TEST(errors_are_told_as_linux_tells_them)
{
	int fd = open_socket(cases[_i].connected, cases[_i].asks, cases[_i].discover);
	uint8_t quoted[WGW_QUOTED_MAX_BYTES];
	struct wgw_error e;
	char byte;
	ssize_t len;

	icmp_says(&cases[_i].error);
	ck_assert_int_eq(recv(fd, &byte, 1, 0) >= 0, cases[_i].told);
	ck_assert_int_eq(so_error(fd), cases[_i].told ? cases[_i].error.err : 0);
	ck_assert_int_eq(next_error(fd, &e, quoted, &len), cases[_i].told && cases[_i].asks);
}
END_TEST

START_TEST(an_error_says_who_and_what_it_is_about)
{
	const struct stack_error time_exceeded = {.err = EHOSTUNREACH,
						  .type = 11,
						  .ttl = 62,
						  .tos = 0xc0,
						  .from = router,
						  .to = app_peer,
						  .quoted = (const uint8_t *)"probe",
						  .len = 5};
	int fd = open_socket(false, true, IP_PMTUDISC_WANT);
	uint8_t quoted[WGW_QUOTED_MAX_BYTES];
	struct wgw_error e;
	ssize_t len;

	icmp_says(&time_exceeded);
	ck_assert(next_error(fd, &e, quoted, &len));
	ck_assert_int_eq(len, 5);
	ck_assert_mem_eq(quoted, "probe", 5);
	ck_assert_mem_eq(e.offender, router.ip, 16);
	ck_assert_mem_eq(e.head.ip, app_peer.ip, 16);
	ck_assert_uint_eq(e.head.port, app_peer.port);
	ck_assert_mem_eq(e.head.local_ip, time_exceeded.to.ip, 16);
	ck_assert_int_eq((int)e.head.err, EHOSTUNREACH);
	ck_assert_int_eq(e.origin, SO_EE_ORIGIN_ICMP);
	ck_assert_int_eq(e.type, 11);
	ck_assert_int_eq(e.head.ttl, 62);
	ck_assert_int_eq(e.head.tos, 0xc0);
	ck_assert_int_gt(e.time_ns, 0);
	ck_assert(!next_error(fd, &e, quoted, &len));
}
END_TEST

START_TEST(the_next_error_of_the_queue_is_what_so_error_says)
{
	int fd = open_socket(false, true, IP_PMTUDISC_WANT);
	uint8_t quoted[WGW_QUOTED_MAX_BYTES];
	struct wgw_error e;
	ssize_t len;

	icmp_says(&(struct stack_error){.err = EHOSTUNREACH});
	icmp_says(&(struct stack_error){.err = ECONNREFUSED});
	ck_assert_int_eq(so_error(fd), ECONNREFUSED);
	ck_assert_int_eq(so_error(fd), 0);
	ck_assert(next_error(fd, &e, quoted, &len));
	ck_assert_int_eq((int)e.head.err, EHOSTUNREACH);
	ck_assert_int_eq(so_error(fd), ECONNREFUSED);
	icmp_says(&(struct stack_error){.err = ENETUNREACH});
	for (int err = ECONNREFUSED; err; err = err == ECONNREFUSED ? ENETUNREACH : 0) {
		ck_assert(next_error(fd, &e, quoted, &len));
		ck_assert_int_eq((int)e.head.err, err);
	}
	ck_assert_int_eq(so_error(fd), 0);
}
END_TEST

START_TEST(what_is_left_in_the_queue_is_said_again)
{
	int fd = open_socket(false, true, IP_PMTUDISC_WANT);
	uint8_t quoted[WGW_QUOTED_MAX_BYTES];
	struct wgw_dgram h;
	struct wgw_error e;
	char text[64];
	ssize_t len;

	icmp_says(&(struct stack_error){.err = EHOSTUNREACH});
	icmp_says(&(struct stack_error){.err = ECONNREFUSED});
	for (int i = 0; i < 2; i++)
		ck_assert(receive(fd, &h, text));
	ck_assert(next_error(fd, &e, quoted, &len));
	ck_assert(receive(fd, &h, text));
	ck_assert_uint_eq(h.err, ECONNREFUSED);
	ck_assert(next_error(fd, &e, quoted, &len));
	ck_assert(!receive(fd, &h, text));
}
END_TEST

START_TEST(who_no_longer_asks_has_no_queue)
{
	static const int on = 1, off = 0;
	int fd = open_socket(false, true, IP_PMTUDISC_WANT);
	uint8_t quoted[WGW_QUOTED_MAX_BYTES];
	struct wgw_error e;
	ssize_t len;

	icmp_says(&(struct stack_error){.err = EHOSTUNREACH});
	app_set(fd, IPPROTO_IP, IP_RECVERR, &off, sizeof(off));
	app_set(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	ck_assert(!next_error(fd, &e, quoted, &len));
	icmp_says(&(struct stack_error){.err = ECONNREFUSED});
	ck_assert(next_error(fd, &e, quoted, &len));
	ck_assert_int_eq((int)e.head.err, ECONNREFUSED);
}
END_TEST

START_TEST(the_error_queue_is_bounded)
{
	static const uint8_t much[2 * WGW_QUOTED_MAX_BYTES];
	int fd = open_socket(false, true, IP_PMTUDISC_WANT);
	uint8_t quoted[WGW_QUOTED_MAX_BYTES];
	struct wgw_error e;
	unsigned int n = 0;
	ssize_t len;

	for (int i = 0; i < 2 * UDP_ERRORS_MAX; i++)
		icmp_says(&(struct stack_error){.err = 1 + i, .quoted = much, .len = sizeof(much)});
	while (next_error(fd, &e, quoted, &len)) {
		n++;
		ck_assert_uint_eq(e.head.err, n);
		ck_assert_int_eq(len, WGW_QUOTED_MAX_BYTES);
	}
	ck_assert_uint_eq(n, UDP_ERRORS_MAX);
}
END_TEST

START_TEST(what_was_too_large_is_in_the_queue_of_who_asked)
{
	for (int asks = 0; asks < 2; asks++) {
		int fd = open_socket(false, asks, IP_PMTUDISC_DO);
		struct wgw_op op = {.code = WGW_OP_TOO_LARGE, .cookie = app_cookie(fd)};
		uint8_t quoted[WGW_QUOTED_MAX_BYTES];
		struct wgw_error e;
		ssize_t len;

		memcpy(op.u.bind.addr.ip, app_peer.ip, 16);
		op.u.bind.flags = 1420;
		ck_assert_int_eq(app_op(&op, -1), 0);
		ck_assert_int_eq(so_error(fd), 0);
		ck_assert_int_eq(next_error(fd, &e, quoted, &len), asks);
		if (asks) {
			ck_assert_int_eq((int)e.head.err, EMSGSIZE);
			ck_assert_uint_eq(e.head.info, 1420);
			ck_assert_int_eq(e.origin, SO_EE_ORIGIN_LOCAL);
		}
		close(fd);
	}
}
END_TEST

START_TEST(what_the_path_does_not_take_is_told_with_its_mtu)
{
	for (int probes = 0; probes < 2; probes++) {
		int fd = open_socket(false, true, probes ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DO);
		uint8_t quoted[WGW_QUOTED_MAX_BYTES];
		struct wgw_error e;
		ssize_t len;

		fake_path_mtu = 1300;
		fake_udp_result = -EMSGSIZE;
		send_to(fd, &app_peer, "too large");
		fake_run(5);
		ck_assert_int_eq(so_error(fd), EMSGSIZE);
		ck_assert(next_error(fd, &e, quoted, &len));
		ck_assert_int_eq((int)e.head.err, EMSGSIZE);
		ck_assert_uint_eq(e.head.info, probes ? 1420 : 1300);
		ck_assert_int_eq(e.origin, SO_EE_ORIGIN_LOCAL);
		close(fd);
		fake_udp_result = 0;
	}
}
END_TEST

START_TEST(fragments_are_made_by_whom_the_program_says)
{
	enum { WHOLE = FLOW_WHOLE, UNASKED = FLOW_INTERFACE_MTU | FLOW_MTU_UNHEARD };
	static const struct {
		int discover, fragments;
	} modes[] = {{IP_PMTUDISC_DONT, 0},
		     {IP_PMTUDISC_WANT, 0},
		     {IP_PMTUDISC_DO, WHOLE | FLOW_DF},
		     {IP_PMTUDISC_PROBE, WHOLE | FLOW_DF | FLOW_INTERFACE_MTU},
		     {IP_PMTUDISC_INTERFACE, WHOLE | UNASKED},
		     {IP_PMTUDISC_OMIT, UNASKED}};

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		int fd = open_socket(false, false, modes[i].discover);

		ck_assert_int_eq(fake_udp_last->fragments4, modes[i].fragments);
		ck_assert_int_eq(fake_udp_last->fragments6, 0);
		close(fd);
	}
}
END_TEST

/* The kernel's error queue tells it already. */
START_TEST(what_the_host_finds_too_large_is_told_once)
{
	static char much[65507];
	struct stack_addr to = {{[15] = 1}, 9};
	struct wgw_dgram h = {.port = to.port};
	struct iovec iov[2] = {{&h, sizeof(h)}, {much, sizeof(much)}};
	const int on = 1, discover = IPV6_PMTUDISC_DO;
	int fd, told = 0;
	char text[64];

	fake_start();
	fd = udp_open_with(WGW_BIND_V6);
	app_set(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
	app_set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &discover, sizeof(discover));
	begin_header(&h);
	memcpy(h.ip, to.ip, sizeof(h.ip));
	ck_assert_int_eq(writev(fd, iov, 2), (ssize_t)(sizeof(h) + sizeof(much)));
	fake_until(receive(fd, &h, text));
	do {
		ck_assert_uint_eq(h.err, EMSGSIZE);
		told++;
		fake_run(5);
	} while (receive(fd, &h, text));
	ck_assert_int_eq(told, 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sockets_errors");
	TCase *t = tcase_create("errors");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, errors_are_told_as_linux_tells_them, 0,
			    sizeof(cases) / sizeof(*cases));
	tcase_add_test(t, an_error_says_who_and_what_it_is_about);
	tcase_add_test(t, the_next_error_of_the_queue_is_what_so_error_says);
	tcase_add_test(t, what_is_left_in_the_queue_is_said_again);
	tcase_add_test(t, who_no_longer_asks_has_no_queue);
	tcase_add_test(t, the_error_queue_is_bounded);
	tcase_add_test(t, what_was_too_large_is_in_the_queue_of_who_asked);
	tcase_add_test(t, what_the_path_does_not_take_is_told_with_its_mtu);
	tcase_add_test(t, fragments_are_made_by_whom_the_program_says);
	tcase_add_test(t, what_the_host_finds_too_large_is_told_once);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
