/* SPDX-License-Identifier: MIT */
/* test_proxy_handed.c - messages with a descriptor between the processes of a proxy */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/proxy/handed.h"
#include "tests/unit/run_suite.h"

static int pair[2];

static void open_pair(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
}

static void close_pair(void)
{
	close(pair[0]);
	close(pair[1]);
}

START_TEST(a_descriptor_arrives_with_its_message)
{
	struct proxy_handed sent = {.tls = 1, .peer.port = 4000}, got;
	int passed[2], fd;
	char byte;

	ck_assert_int_eq(pipe(passed), 0);
	ck_assert_int_eq(proxy_fd_send(pair[0], &sent, sizeof(sent), passed[1]), 0);
	close(passed[1]);
	ck_assert_int_eq(proxy_fd_receive(pair[1], &got, sizeof(got), &fd), sizeof(got));
	ck_assert_int_eq(memcmp(&got, &sent, sizeof(got)), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	ck_assert_int_eq(read(passed[0], &byte, 1), 1);
	close(fd);
	ck_assert_int_eq(read(passed[0], &byte, 1), 0); /* nobody else has it */
	close(passed[0]);
}
END_TEST

START_TEST(without_a_descriptor_and_at_the_end)
{
	uint32_t word = 7, got = 0;
	int fd = 0;

	ck_assert_int_eq(proxy_fd_receive(pair[1], &got, sizeof(got), &fd), -EAGAIN);
	ck_assert_int_eq(proxy_fd_send(pair[0], &word, sizeof(word), -1), 0);
	ck_assert_int_eq(proxy_fd_receive(pair[1], &got, sizeof(got), &fd), sizeof(got));
	ck_assert_uint_eq(got, 7);
	ck_assert_int_eq(fd, -1);
	shutdown(pair[0], SHUT_WR);
	ck_assert_int_eq(proxy_fd_receive(pair[1], &got, sizeof(got), &fd), 0);
	close(pair[1]);
	ck_assert_int_eq(proxy_fd_send(pair[0], &word, sizeof(word), -1), -EPIPE);
	pair[1] = -1;
}
END_TEST

START_TEST(a_full_pair_says_so_and_loses_nothing)
{
	uint32_t word = 0, got;
	unsigned int sent = 0;
	int fd, err;

	while ((err = proxy_fd_send(pair[0], &word, sizeof(word), pair[0])) == 0)
		word = ++sent;
	ck_assert(err == -EAGAIN || err == -ETOOMANYREFS);
	ck_assert_uint_gt(sent, 8);
	for (unsigned int i = 0; i < sent; i++) {
		ck_assert_int_eq(proxy_fd_receive(pair[1], &got, sizeof(got), &fd), sizeof(got));
		ck_assert_uint_eq(got, i);
		ck_assert_int_ge(fd, 0);
		close(fd);
	}
	ck_assert_int_eq(proxy_fd_send(pair[0], &word, sizeof(word), pair[0]), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy handed");
	TCase *tc = tcase_create("handed");

	tcase_add_checked_fixture(tc, open_pair, close_pair);
	tcase_add_test(tc, a_descriptor_arrives_with_its_message);
	tcase_add_test(tc, without_a_descriptor_and_at_the_end);
	tcase_add_test(tc, a_full_pair_says_so_and_loses_nothing);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
