/* SPDX-License-Identifier: MIT */
/* test_tunnel_pcap.c - recordings of inner packets: their format, and readers that are slow or gone
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "src/tunnel/core.h"
#include "tests/unit/run_suite.h"

enum { FILE_HEADER = 24, PACKET_HEADER = 16 };

static uint32_t u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

START_TEST(file_has_the_published_format)
{
	int fd = memfd_create("pcap", 0);
	struct wgw_pcap *p = wgw_pcap_new(fd);
	const struct iovec whole = {"\x45...", 4};
	const struct iovec pieces[] = {{"\x60", 1}, {"ab", 2}, {"cde", 3}};
	uint8_t bytes[128];
	time_t now = time(NULL);
	ssize_t n;

	ck_assert_ptr_nonnull(p);
	wgw_pcap_packet(p, &whole, 1, 4);
	wgw_pcap_packet(p, pieces, 3, 6);
	wgw_pcap_free(p);
	n = pread(fd, bytes, sizeof(bytes), 0);
	ck_assert_int_eq(n, FILE_HEADER + PACKET_HEADER + 4 + PACKET_HEADER + 6);
	ck_assert_uint_eq(u32(bytes), 0xa1b23c4d); /* nanoseconds */
	ck_assert_mem_eq(bytes + 4, "\x02\x00\x04\x00", 4);
	ck_assert_uint_eq(u32(bytes + 16), 65535);
	ck_assert_uint_eq(u32(bytes + 20), 101); /* LINKTYPE_RAW */
	ck_assert_uint_ge(u32(bytes + FILE_HEADER) + 1, (uint32_t)now);
	ck_assert_uint_lt(u32(bytes + FILE_HEADER + 4), 1000000000);
	ck_assert_uint_eq(u32(bytes + FILE_HEADER + 8), 4);
	ck_assert_uint_eq(u32(bytes + FILE_HEADER + 12), 4);
	ck_assert_mem_eq(bytes + FILE_HEADER + PACKET_HEADER, "\x45...", 4);
	ck_assert_uint_eq(u32(bytes + FILE_HEADER + PACKET_HEADER + 4 + 8), 6);
	ck_assert_mem_eq(bytes + n - 6,
			 "\x60"
			 "abcde",
			 6);
	close(fd);
}
END_TEST

/* Walks the records; returns their number, or -1 when the last one is cut. */
static int count_records(const uint8_t *bytes, size_t len)
{
	size_t at = FILE_HEADER;
	int n = 0;

	while (at + PACKET_HEADER <= len) {
		at += PACKET_HEADER + u32(bytes + at + 8);
		n++;
	}
	return at == len ? n : -1;
}

START_TEST(slow_reader_misses_packets_but_reads_whole_ones)
{
	static uint8_t packet[1400], bytes[4 << 20];
	const struct iovec iov = {packet, sizeof(packet)};
	struct wgw_pcap *p;
	size_t len = 0;
	int fds[2], records;
	ssize_t n;

	ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
	p = wgw_pcap_new(fds[1]);
	ck_assert_ptr_nonnull(p);
	for (int i = 0; i < 1000; i++)
		wgw_pcap_packet(p, &iov, 1, sizeof(packet));
	/* Now it reads. */
	while ((n = read(fds[0], bytes + len, sizeof(bytes) - len)) > 0) {
		len += (size_t)n;
		wgw_pcap_flush(p);
	}
	records = count_records(bytes, len);
	ck_assert_int_gt(records, 100);
	ck_assert_int_lt(records, 1000);
	wgw_pcap_free(p);
}
END_TEST

START_TEST(reader_that_is_gone_ends_the_recording_only)
{
	static uint8_t packet[1400];
	const struct iovec iov = {packet, sizeof(packet)};
	struct wgw_pcap *p;
	int fds[2], told = 0;

	signal(SIGPIPE, SIG_IGN); /* as in the tunnel process */
	ck_assert_int_eq(pipe(fds), 0);
	p = wgw_pcap_new(fds[1]);
	ck_assert_ptr_nonnull(p);
	close(fds[0]);
	for (int i = 0; i < 1000; i++) {
		int err;

		wgw_pcap_packet(p, &iov, 1, sizeof(packet));
		err = wgw_pcap_flush(p);
		ck_assert(err == 0 || err == EPIPE);
		told += err != 0;
	}
	ck_assert_int_eq(told, 1);
	wgw_pcap_free(p);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tunnel_pcap");
	TCase *c = tcase_create("pcap");

	tcase_add_test(c, file_has_the_published_format);
	tcase_add_test(c, slow_reader_misses_packets_but_reads_whole_ones);
	tcase_add_test(c, reader_that_is_gone_ends_the_recording_only);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
