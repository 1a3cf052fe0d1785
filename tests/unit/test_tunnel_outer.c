/* SPDX-License-Identifier: MIT */
/* test_tunnel_outer.c - the outer UDP sockets, by two engines on loopback */
#include "tests/unit/outer_nodes.h"
#include "tests/unit/run_suite.h"

enum { BURST = 500 };

static void burst_arrives(int family)
{
	struct wgw_outer_stats before, sent, taken;

	if (!outer_has(a.outer, family)) {
		printf("skipped: no sockets of family %d here\n", family);
		return;
	}
	make_session(family);
	wgw_outer_stats(a.outer, &before);
	send_numbers(1, BURST);
	run_until(1 + BURST);
	ck_assert_uint_eq(b.got, 1 + BURST);
	ck_assert(b.order);
	wgw_outer_stats(a.outer, &sent);
	wgw_outer_stats(b.outer, &taken);
	ck_assert_uint_ge(sent.tx_datagrams - before.tx_datagrams, BURST);
	/* One message of one datagram a call would be BURST calls. */
	ck_assert_uint_lt(sent.tx_calls - before.tx_calls, BURST / 8);
	ck_assert_uint_lt(taken.rx_calls, BURST / 8);
	ck_assert_uint_eq(sent.tx_dropped, 0);
	ck_assert_uint_eq(a.failed, 0);
}

START_TEST(burst_arrives_in_order_and_in_few_calls_over_ipv4)
{
	burst_arrives(AF_INET);
}
END_TEST

START_TEST(burst_arrives_in_order_and_in_few_calls_over_ipv6)
{
	burst_arrives(AF_INET6);
}
END_TEST

START_TEST(both_families_share_one_port)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	struct sockaddr_in in = {.sin_family = AF_INET};
	int fd;

	ck_assert_uint_ne(wgw_outer_port(a.outer), 0);
	ck_assert_uint_ne(wgw_outer_port(a.outer), wgw_outer_port(b.outer));
	in.sin_port = in6.sin6_port = htons(wgw_outer_port(a.outer));
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), -1);
	ck_assert_int_eq(errno, EADDRINUSE);
	close(fd);
	if (!outer_has(a.outer, AF_INET6))
		return;
	fd = socket(AF_INET6, SOCK_DGRAM, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in6, sizeof(in6)), -1);
	ck_assert_int_eq(errno, EADDRINUSE);
	close(fd);
}
END_TEST

START_TEST(port_in_use_is_an_error)
{
	const char *warning;
	int err = 0;

	ck_assert_ptr_null(
		wgw_outer_new(loop, wgw_outer_port(a.outer), 0, &outer_ops, &a, &err, &warning));
	ck_assert_int_eq(err, EADDRINUSE);
}
END_TEST

START_TEST(host_without_one_family_gets_the_other)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < 2; i++) {
		struct wgw_outer *o;
		const char *warning;
		int err = 0;

		if (!outer_has(a.outer, families[1 - i]))
			continue;
		missing_family = families[i];
		o = wgw_outer_new(loop, 0, 0, &outer_ops, &a, &err, &warning);
		missing_family = 0;
		ck_assert_ptr_nonnull(o);
		ck_assert(!outer_has(o, families[i]));
		ck_assert(outer_has(o, families[1 - i]));
		wgw_outer_free(o);
	}
}
END_TEST

START_TEST(port_that_is_free_in_one_family_only_is_not_taken)
{
	struct wgw_outer *o;
	const char *warning;
	int err = 0;

	if (!outer_has(a.outer, AF_INET6))
		return;
	taken_ports = 20;
	o = wgw_outer_new(loop, 0, 0, &outer_ops, &a, &err, &warning);
	ck_assert_ptr_nonnull(o);
	ck_assert_uint_eq(taken_ports, 0);
	ck_assert(outer_has(o, AF_INET) && outer_has(o, AF_INET6));
	wgw_outer_free(o);
	/* a given one is not looked for elsewhere */
	taken_ports = 1;
	ck_assert_ptr_null(wgw_outer_new(loop, 40404, 0, &outer_ops, &a, &err, &warning));
	ck_assert_int_eq(err, EADDRINUSE);
}
END_TEST

static bool both_families(void)
{
	bool both = outer_has(b.outer, AF_INET) && outer_has(b.outer, AF_INET6);

	if (!both)
		puts("not checked: one family is missing here");
	return both;
}

/* What is too long for a link is to be fragmented on the way, as the kernel's driver has it. */
START_TEST(datagrams_may_be_fragmented)
{
	if (!both_families())
		return;
	/* those that send */
	for (size_t i = 0; i < 2; i++) {
		int value = -1, family = i ? AF_INET6 : AF_INET, fd = sockets[b.first_socket + i];
		socklen_t len = sizeof(int);

		if (family == AF_INET6)
			getsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &value, &len);
		else
			getsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &value, &len);
		ck_assert_int_eq(value, family == AF_INET6 ? IPV6_PMTUDISC_DONT : IP_PMTUDISC_DONT);
	}
}
END_TEST

static unsigned int with_source6;

/* Counts what leaves from an address that was chosen, with its interface. */
static int count_source6(struct mmsghdr *m, unsigned int *n)
{
	for (unsigned int i = 0; i < *n; i++)
		with_source6 += has_control(&m[i].msg_hdr, IPPROTO_IPV6, IPV6_PKTINFO);
	return 0;
}

START_TEST(own_ipv6_address_is_told_and_kept)
{
	struct wg_endpoint to = loopback(AF_INET6, wgw_outer_port(b.outer));

	if (!outer_has(a.outer, AF_INET6))
		return;
	refuse = count_source6;
	wg_peer_set_endpoint(a.peer, &to);
	commit(&a, 1, 0);
	run_until(1);
	refuse = NULL;
	ck_assert_uint_eq(b.got, 1);
	ck_assert(IN6_IS_ADDR_LOOPBACK(&b.seen.from6));
	ck_assert_uint_ne(b.seen.ifindex, 0);
	/* b's response, and what a sent after it */
	ck_assert_uint_ge(with_source6, 2);
}
END_TEST

START_TEST(address_a_datagram_came_to_is_told_and_answers_leave_from_it)
{
	struct wg_endpoint to = loopback(AF_INET, wgw_outer_port(b.outer));

	to.to.in.sin_addr.s_addr = htonl(0x7f000905); /* 127.0.9.5 */
	wg_peer_set_endpoint(a.peer, &to);
	commit(&a, 1, 0);
	run_until(1);
	ck_assert_uint_eq(b.got, 1);
	ck_assert_uint_eq(ntohl(b.seen.from4.s_addr), 0x7f000905);
	ck_assert_uint_ne(b.seen.ifindex, 0);
	/* The handshake's response went out before: a saw it come from there. */
	ck_assert_uint_eq(ntohl(a.seen.to.in.sin_addr.s_addr), 0x7f000905);
}
END_TEST

START_TEST(traffic_class_is_sent_and_received)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < 2; i++) {
		const struct wg_endpoint to = loopback(families[i], wgw_outer_port(b.outer));
		uint8_t byte = WG_MESSAGE_DATA;

		if (!outer_has(a.outer, families[i]))
			continue;
		b.seen.to.sa.sa_family = AF_UNSPEC;
		wgw_outer_transmit(a.outer, &to, &byte, 1, 1, 1, 0x02); /* ECT(0) */
		settle();
		wgw_timer_set(loop, &deadline, wgw_clock_ns() + 50 * WGW_MS_NS);
		wgw_loop_run(loop);
		ck_assert_int_eq(b.seen.to.sa.sa_family, families[i]);
		ck_assert_uint_eq(b.tos, 0x02);
	}
}
END_TEST

static int gso_errno;

static int refuse_gso(struct mmsghdr *m, unsigned int *n)
{
	(void)n;
	return has_control(&m[0].msg_hdr, IPPROTO_UDP, 103 /* UDP_SEGMENT */) ? gso_errno : 0;
}

START_TEST(refused_segmentation_is_met_by_single_datagrams)
{
	static const struct {
		int err;
		uint64_t retry_s;
	} cases[] = {{EMSGSIZE, 1}, {EINVAL, 1}, {EIO, 60}};
	struct wgw_outer_stats stats;
	unsigned int before;
	uint64_t now;

	make_session(AF_INET);
	now = wgw_loop_now(loop);
	gso_errno = cases[_i].err;
	refuse = refuse_gso;
	send_numbers(1, 100);
	run_until(101);
	ck_assert_uint_eq(b.got, 101);
	ck_assert(b.order);
	wgw_outer_stats(a.outer, &stats);
	if (!refusals) {
		printf("skipped: no UDP_SEGMENT here\n");
		return;
	}
	ck_assert_uint_eq(stats.gso_refused, 1);
	ck_assert_uint_eq(stats.tx_dropped, 0);
	ck_assert_uint_ge(a.outer->v4.gso_off.until, now + cases[_i].retry_s * WGW_SEC_NS);
	ck_assert_uint_le(a.outer->v4.gso_off.until,
			  wgw_clock_ns() + cases[_i].retry_s * WGW_SEC_NS);
	/* It is remembered: no second attempt for the same destination. */
	a.outer->v4.gso_off.until = UINT64_MAX;
	before = refusals;
	send_numbers(200, 100);
	run_until(201);
	ck_assert_uint_eq(b.got, 201);
	ck_assert_uint_eq(refusals, before);
	/* Then it is tried again. */
	a.outer->v4.gso_off.until = now;
	send_numbers(400, 100);
	run_until(301);
	ck_assert_uint_eq(b.got, 301);
	ck_assert_uint_gt(refusals, before);
}
END_TEST

static int refuse_source(struct mmsghdr *m, unsigned int *n)
{
	(void)n;
	return has_control(&m[0].msg_hdr, IPPROTO_IP, IP_PKTINFO) ? EINVAL : 0;
}

START_TEST(vanished_source_address_is_left_out)
{
	struct wg_endpoint to = loopback(AF_INET, wgw_outer_port(b.outer));
	struct wgw_outer_stats stats;
	unsigned int before;

	make_session(AF_INET);
	to.from4.s_addr = htonl(0xc0000201); /* 192.0.2.1: not ours */
	refuse = refuse_source;
	wg_peer_set_endpoint(a.peer, &to);
	send_numbers(1, 50);
	run_until(51);
	ck_assert_uint_eq(b.got, 51);
	ck_assert_uint_gt(refusals, 0);
	before = refusals;
	send_numbers(100, 50);
	run_until(101);
	ck_assert_uint_eq(b.got, 101);
	ck_assert_uint_eq(refusals, before);
	wgw_outer_stats(a.outer, &stats);
	ck_assert_uint_eq(stats.gso_refused, 0);
}
END_TEST

static unsigned int full_calls;

/* The socket buffer takes one message, then is full for some calls. */
static int full_buffer(struct mmsghdr *m, unsigned int *n)
{
	(void)m;
	*n = 1;
	return sends % 4 != 0 && full_calls++ < 40 ? EAGAIN : 0;
}

START_TEST(full_socket_buffer_delays_but_neither_drops_nor_reorders)
{
	struct wgw_outer_stats stats;

	make_session(AF_INET);
	refuse = full_buffer;
	send_numbers(1, BURST);
	run_until(1 + BURST);
	ck_assert_uint_eq(b.got, 1 + BURST);
	ck_assert(b.order);
	ck_assert_uint_gt(refusals, 0);
	wgw_outer_stats(a.outer, &stats);
	ck_assert_uint_eq(stats.tx_dropped, 0);
}
END_TEST

/* Every second call finds the buffer full; the others take one message of several. */
static int half_full(struct mmsghdr *m, unsigned int *n)
{
	(void)m;
	*n = 1;
	return sends % 2 ? EAGAIN : 0;
}

START_TEST(batch_that_is_cut_by_a_full_buffer_goes_on_where_it_was_cut)
{
	enum { BATCHES = 3, COUNT = 300, STRIDE = 104, LAST = 17 };
	static uint8_t bytes[BATCHES][COUNT * STRIDE];
	const struct wg_endpoint to = loopback(AF_INET, wgw_outer_port(b.outer));
	struct wgw_outer_stats stats;

	b.bare = true;
	refuse = half_full;
	for (unsigned int i = 0; i < BATCHES * COUNT; i++) {
		uint8_t *datagram = &bytes[i / COUNT][i % COUNT * STRIDE];

		datagram[0] = WG_MESSAGE_DATA;
		memcpy(datagram + BARE_NUMBER, &i, sizeof(i));
	}
	for (unsigned int i = 0; i < BATCHES; i++)
		wgw_outer_transmit(a.outer, &to, bytes[i], STRIDE, COUNT, LAST, 0);
	run_until(BATCHES * COUNT);
	ck_assert_uint_eq(b.got, BATCHES * COUNT);
	ck_assert(b.order);
	ck_assert_uint_gt(refusals, BATCHES);
	wgw_outer_stats(a.outer, &stats);
	ck_assert_uint_eq(stats.tx_dropped, 0);
	ck_assert_uint_eq(stats.tx_datagrams, BATCHES * COUNT);
}
END_TEST

/* Sends @count datagrams that begin like handshake messages, as a stranger. */
static void flood(int family, unsigned int count)
{
	const struct wg_endpoint to = loopback(family, wgw_outer_port(b.outer));
	socklen_t len = family == AF_INET ? sizeof(to.to.in) : sizeof(to.to.in6);
	uint8_t message[148] = {WG_MESSAGE_INITIATION};
	int fd = socket(family, SOCK_DGRAM, 0);

	ck_assert_int_ge(fd, 0);
	while (count--)
		sendto(fd, message, sizeof(message), MSG_DONTWAIT, &to.to.sa, len);
	close(fd);
	settle();
}

static void flood_leaves_room_for_data(int family)
{
	enum { FLOOD = 50000 };
	struct wgw_outer_stats before, after;

	if (!outer_has(a.outer, family)) {
		puts("not checked: no such family here");
		return;
	}
	make_session(family);
	wgw_outer_stats(b.outer, &before);
	flood(family, FLOOD);
	send_numbers(1, BURST);
	wg_device_flush(a.wg);
	run_until(1 + BURST);
	ck_assert_uint_eq(b.got, 1 + BURST);
	ck_assert(b.order);
	/* the flood did not fit its own buffer, which is the point */
	wgw_outer_stats(b.outer, &after);
	ck_assert_uint_lt(after.rx_datagrams - before.rx_datagrams, FLOOD);
}

START_TEST(flood_of_handshakes_leaves_room_for_data_over_ipv4)
{
	flood_leaves_room_for_data(AF_INET);
}
END_TEST

START_TEST(flood_of_handshakes_leaves_room_for_data_over_ipv6)
{
	flood_leaves_room_for_data(AF_INET6);
}
END_TEST

/* ---- which socket a datagram is for ---- */

enum { HANDSHAKE_SOCKETS = 9, ADDRESSES = 256 };

static const int no_socket = -1, data_socket;

/* B's sockets of one family: 0 for data, 1 for what is neither data nor an initiation, from 2 on
 * initiations */
static int socket_of_b(int family, int number)
{
	size_t i = family == AF_INET6;

	if (number > 0)
		i = 2 + i * HANDSHAKE_SOCKETS + (size_t)number - 1;
	return sockets[(b.first_socket + i) % 64];
}

/* Takes what came to one of b's sockets. Returns how many that were. */
static unsigned int empty(int family, int number)
{
	uint8_t bytes[2048];
	unsigned int n = 0;

	while (recv(socket_of_b(family, number), bytes, sizeof(bytes), MSG_DONTWAIT) >= 0)
		n++;
	return n;
}

/* 127.0.0.1, and for other hosts addresses that differ from each other in all but the first byte:
 * whatever the kernel is told to multiply them with, no socket is left without some. Network
 * order. */
static uint32_t address_of(uint8_t host)
{
	uint32_t x = host;

	if (host == 1)
		return htonl(INADDR_LOOPBACK);
	for (int i = 0; i < 2; i++) {
		x *= 0x45d9f3b;
		x ^= x >> 16;
	}
	return htonl(127U << 24 | (x & 0xffffff));
}

/* Where b gets a message whose first byte is @type from @host's address or ::1, without taking it
 * if @keep */
static int arrives_at(int family, uint8_t host, uint8_t type, bool keep)
{
	const struct wg_endpoint to = loopback(family, wgw_outer_port(b.outer));
	struct wg_endpoint from = loopback(family, 0);
	socklen_t len = family == AF_INET ? sizeof(to.to.in) : sizeof(to.to.in6);
	uint8_t message[148] = {type};
	/* not one of those that are counted */
	int at = no_socket, fd = (int)syscall(SYS_socket, family, SOCK_DGRAM, 0);

	if (family == AF_INET)
		from.to.in.sin_addr.s_addr = address_of(host);
	ck_assert_int_eq(bind(fd, &from.to.sa, len), 0);
	ck_assert_int_eq(sendto(fd, message, sizeof(message), 0, &to.to.sa, len), sizeof(message));
	close(fd);
	settle();
	for (int i = 0; !keep && i <= HANDSHAKE_SOCKETS; i++)
		if (empty(family, i)) {
			ck_assert_int_eq(at, no_socket);
			at = i;
		}
	return at;
}

START_TEST(each_kind_of_message_has_its_socket)
{
	static const int families[] = {AF_INET, AF_INET6};

	if (!both_families())
		return;
	for (size_t i = 0; i < 2; i++) {
		int initiations = arrives_at(families[i], 1, WG_MESSAGE_INITIATION, false);

		ck_assert_int_ge(initiations, 2);
		ck_assert_int_eq(arrives_at(families[i], 1, WG_MESSAGE_INITIATION, false),
				 initiations);
		ck_assert_int_eq(arrives_at(families[i], 1, WG_MESSAGE_DATA, false), data_socket);
		ck_assert_int_eq(arrives_at(families[i], 1, WG_MESSAGE_RESPONSE, false), 1);
		ck_assert_int_eq(arrives_at(families[i], 1, WG_MESSAGE_COOKIE, false), 1);
		ck_assert_int_eq(arrives_at(families[i], 1, 0, false), 1);
		ck_assert_int_eq(arrives_at(families[i], 1, 255, false), 1);
	}
}
END_TEST

/* The sockets of initiations are about equally used, and an address keeps its own. */
START_TEST(initiations_are_divided_by_address)
{
	unsigned int used[HANDSHAKE_SOCKETS + 1] = {0};

	if (!both_families())
		return;
	for (unsigned int host = 1; host < ADDRESSES; host++) {
		int at = arrives_at(AF_INET, (uint8_t)host, WG_MESSAGE_INITIATION, false);

		ck_assert_int_ge(at, 2);
		ck_assert_int_eq(arrives_at(AF_INET, (uint8_t)host, WG_MESSAGE_INITIATION, false),
				 at);
		used[at]++;
	}
	for (int i = 2; i <= HANDSHAKE_SOCKETS; i++)
		ck_assert_uint_ge(used[i], ADDRESSES / 64);
}
END_TEST

/* Who floods from one address fills one buffer. */
START_TEST(flood_from_one_address_leaves_others_their_buffer)
{
	unsigned int others = 0, arrived = 0;
	bool same[ADDRESSES] = {false};
	int flooded;

	if (!both_families())
		return;
	flooded = arrives_at(AF_INET, 1, WG_MESSAGE_INITIATION, false);
	for (unsigned int host = 2; host < ADDRESSES; host++) {
		same[host] =
			arrives_at(AF_INET, (uint8_t)host, WG_MESSAGE_INITIATION, false) == flooded;
		others += !same[host];
	}
	ck_assert_uint_gt(others, 0);
	flood(AF_INET, 20000);
	for (unsigned int host = 2; host < ADDRESSES; host++)
		if (!same[host])
			arrives_at(AF_INET, (uint8_t)host, WG_MESSAGE_INITIATION, true);
	for (int i = 0; i <= HANDSHAKE_SOCKETS; i++)
		if (i != flooded)
			arrived += empty(AF_INET, i);
	ck_assert_uint_eq(arrived, others);
	ck_assert_uint_lt(empty(AF_INET, flooded), 20000);
}
END_TEST

/* When time does not suffice for all, some sockets are read whole, and the others later. */
START_TEST(sockets_are_read_whole_or_not_at_all)
{
	unsigned int of_socket[HANDSHAKE_SOCKETS + 1] = {0}, whole = 0, n = 0;

	if (!both_families())
		return;
	for (unsigned int host = 1; host < ADDRESSES; host++)
		of_socket[arrives_at(AF_INET, (uint8_t)host, WG_MESSAGE_INITIATION, false)]++;
	for (unsigned int host = 1; host < ADDRESSES; host++)
		arrives_at(AF_INET, (uint8_t)host, WG_MESSAGE_INITIATION, true);
	b.bare = true;
	processor_step = 4 * (long)WGW_MS_NS; /* a socket's worth; 10 ms may be spent at once */
	run_until(1);
	for (int i = 2; i <= HANDSHAKE_SOCKETS; i++) {
		unsigned int left = empty(AF_INET, i);

		ck_assert(left == 0 || left == of_socket[i]);
		whole += left == 0;
		n += left == 0 ? of_socket[i] : 0;
	}
	ck_assert_uint_eq(whole, 3);
	ck_assert_uint_eq(b.got, n);
	/* what was spent comes back with time */
	processor_step = 1000;
	for (unsigned int host = 1; host < ADDRESSES; host++)
		arrives_at(AF_INET, (uint8_t)host, WG_MESSAGE_INITIATION, true);
	run_until(n + ADDRESSES - 1);
	ck_assert_uint_eq(b.got, n + ADDRESSES - 1);
}
END_TEST

START_TEST(handshakes_take_half_of_the_time)
{
	enum { VISITS = 10, STEP_MS = 4, AT_ONCE_MS = 10 };
	uint64_t began = wgw_clock_ns();

	if (!both_families())
		return;
	b.bare = true;
	processor_step = STEP_MS * (long)WGW_MS_NS;
	for (int i = 0; i < VISITS; i++) {
		for (unsigned int host = 1; host < 32; host++)
			arrives_at(AF_INET, (uint8_t)host, WG_MESSAGE_INITIATION, true);
		run_until(b.got + 1);
	}
	processor_step = 0;
	ck_assert_uint_ge(wgw_clock_ns() - began,
			  2 * ((VISITS - 1) * STEP_MS - AT_ONCE_MS) * WGW_MS_NS);
}
END_TEST

/* So that a flood is read in large batches. */
START_TEST(many_handshakes_are_followed_by_a_rest)
{
	if (!both_families())
		return;
	b.bare = true;
	stopped_at_ns = wgw_clock_ns();
	flood(AF_INET, 64);
	run_until(64);
	flood(AF_INET, 1);
	stopped_at_ns += 2 * WGW_MS_NS - 1;
	run_turn();
	ck_assert_uint_eq(b.got, 64);
	stopped_at_ns++;
	run_turn();
	ck_assert_uint_eq(b.got, 65);
	/* and few are not */
	flood(AF_INET, 1);
	run_turn();
	ck_assert_uint_eq(b.got, 66);
}
END_TEST

/* What may not be read must not wake us either: initiations wait, and others with them. */
START_TEST(spent_time_is_followed_by_a_rest)
{
	if (!both_families())
		return;
	b.bare = true;
	stopped_at_ns = wgw_clock_ns();
	processor_step = 12 * (long)WGW_MS_NS; /* a look at one socket takes more than there is */
	arrives_at(AF_INET, 1, WG_MESSAGE_RESPONSE, true);
	run_until(1);
	for (unsigned int n = 2; n <= 4; n++) {
		arrives_at(AF_INET, 1, WG_MESSAGE_RESPONSE, true);
		stopped_at_ns += 2 * WGW_MS_NS - 1;
		run_turn();
		ck_assert_uint_eq(b.got, n - 1);
		stopped_at_ns++;
		run_turn();
		ck_assert_uint_eq(b.got, n);
	}
}
END_TEST

/* Many in a row, and then few: neither is forgotten. */
START_TEST(handshakes_are_read_again_after_a_rest)
{
	struct wgw_outer_stats stats;

	flood(AF_INET, 200);
	for (unsigned int n = 200; n <= 203; n++) {
		do {
			wgw_timer_set(loop, &deadline, wgw_clock_ns() + 20 * WGW_MS_NS);
			wgw_loop_run(loop);
			wgw_outer_stats(b.outer, &stats);
		} while (stats.rx_datagrams < n);
		ck_assert_uint_eq(stats.rx_datagrams, n);
		flood(AF_INET, 1);
	}
}
END_TEST

static int always_full(struct mmsghdr *m, unsigned int *n)
{
	(void)m;
	(void)n;
	return EAGAIN;
}

START_TEST(backlog_is_bounded_and_drops_the_newest)
{
	struct wgw_outer_stats stats;

	make_session(AF_INET);
	refuse = always_full;
	/* More than a megabyte */
	for (unsigned int i = 0; i < 10; i++) {
		send_numbers(1 + i * 200, 200);
		wg_device_flush(a.wg);
	}
	refuse = NULL;
	wgw_outer_stats(a.outer, &stats);
	ck_assert_uint_gt(stats.tx_dropped, 0);
	ck_assert_uint_lt(stats.tx_dropped, 2000);
	run_until(1 + 2000 - (unsigned int)stats.tx_dropped);
	ck_assert_uint_eq(b.got, 1 + 2000 - stats.tx_dropped);
	ck_assert(b.order);
	ck_assert_uint_lt(b.last, 2000);
}
END_TEST

static int unreachable(struct mmsghdr *m, unsigned int *n)
{
	(void)m;
	(void)n;
	return ENETUNREACH;
}

START_TEST(unreachable_destination_is_told_and_not_fatal)
{
	make_session(AF_INET);
	refuse = unreachable;
	send_numbers(1, 10);
	wg_device_flush(a.wg);
	ck_assert_uint_ge(a.failed, 1);
	ck_assert_int_eq(a.failed_with, ENETUNREACH);
	refuse = NULL;
	send_numbers(20, 10);
	run_until(11);
	ck_assert_uint_eq(b.got, 11);
}
END_TEST

START_TEST(nobody_listening_is_not_fatal)
{
	struct wg_endpoint nobody = loopback(AF_INET, 9);
	uint8_t bytes[64] = {0};

	for (int i = 0; i < 5; i++)
		wgw_outer_transmit(a.outer, &nobody, bytes, sizeof(bytes), 1, sizeof(bytes), 0);
	make_session(AF_INET);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tunnel_outer");
	TCase *c = tcase_create("outer");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 180);
	tcase_add_test(c, burst_arrives_in_order_and_in_few_calls_over_ipv4);
	tcase_add_test(c, burst_arrives_in_order_and_in_few_calls_over_ipv6);
	tcase_add_test(c, both_families_share_one_port);
	tcase_add_test(c, port_in_use_is_an_error);
	tcase_add_test(c, host_without_one_family_gets_the_other);
	tcase_add_test(c, port_that_is_free_in_one_family_only_is_not_taken);
	tcase_add_test(c, datagrams_may_be_fragmented);
	tcase_add_test(c, own_ipv6_address_is_told_and_kept);
	tcase_add_test(c, address_a_datagram_came_to_is_told_and_answers_leave_from_it);
	tcase_add_test(c, traffic_class_is_sent_and_received);
	tcase_add_loop_test(c, refused_segmentation_is_met_by_single_datagrams, 0, 3);
	tcase_add_test(c, vanished_source_address_is_left_out);
	tcase_add_test(c, full_socket_buffer_delays_but_neither_drops_nor_reorders);
	tcase_add_test(c, batch_that_is_cut_by_a_full_buffer_goes_on_where_it_was_cut);
	tcase_add_test(c, flood_of_handshakes_leaves_room_for_data_over_ipv4);
	tcase_add_test(c, flood_of_handshakes_leaves_room_for_data_over_ipv6);
	tcase_add_test(c, each_kind_of_message_has_its_socket);
	tcase_add_test(c, initiations_are_divided_by_address);
	tcase_add_test(c, flood_from_one_address_leaves_others_their_buffer);
	tcase_add_test(c, sockets_are_read_whole_or_not_at_all);
	tcase_add_test(c, handshakes_take_half_of_the_time);
	tcase_add_test(c, many_handshakes_are_followed_by_a_rest);
	tcase_add_test(c, spent_time_is_followed_by_a_rest);
	tcase_add_test(c, handshakes_are_read_again_after_a_rest);
	tcase_add_test(c, backlog_is_bounded_and_drops_the_newest);
	tcase_add_test(c, unreachable_destination_is_told_and_not_fatal);
	tcase_add_test(c, nobody_listening_is_not_fatal);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
