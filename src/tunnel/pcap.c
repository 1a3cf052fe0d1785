/* SPDX-License-Identifier: MIT */
/*
 * pcap.c - records the decrypted inner packets in pcap format
 *
 * The classic format with nanoseconds and link type RAW (IPv4 or IPv6 without a link header), see
 * draft-ietf-opsawg-pcap. Packets are gathered in one buffer and written before the loop sleeps.
 * When writing fails (disk full, reader gone) recording ends; the tunnel does not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "src/tunnel/core.h"

enum {
	BUFFER_BYTES = 128 * 1024,
	SNAP_BYTES = 65535,
	LINKTYPE_RAW = 101,
	MAGIC_NANOSECONDS = (int)0xa1b23c4d,
};

struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	int32_t zone;
	uint32_t accuracy, snap_bytes, link_type;
};
static_assert(sizeof(struct file_header) == 24, "as the format says");

struct packet_header {
	uint32_t sec, nsec, captured_bytes, packet_bytes;
};
static_assert(sizeof(struct packet_header) == 16, "as the format says");

struct wgw_pcap {
	int fd;	 /* -1: recording has ended */
	int err; /* why, until it was told */
	size_t used;
	uint8_t buffer[BUFFER_BYTES];
};

static void write_out(struct wgw_pcap *p)
{
	size_t at = 0;

	while (p->fd >= 0 && at < p->used) {
		ssize_t n = write(p->fd, p->buffer + at, p->used - at);

		if (n > 0)
			at += (size_t)n;
		else if (n < 0 && errno == EAGAIN)
			break;
		else if (n == 0 || errno != EINTR) {
			p->err = n == 0 ? EIO : errno;
			p->fd = -1;
		}
	}
	p->used -= at;
	memmove(p->buffer, p->buffer + at, p->used);
}

int wgw_pcap_flush(struct wgw_pcap *p)
{
	int err;

	write_out(p);
	err = p->err;
	p->err = 0;
	return err;
}

struct wgw_pcap *wgw_pcap_new(int fd)
{
	const struct file_header header = {
		.magic = (uint32_t)MAGIC_NANOSECONDS,
		.major = 2,
		.minor = 4,
		.snap_bytes = SNAP_BYTES,
		.link_type = LINKTYPE_RAW,
	};
	struct wgw_pcap *p = malloc(sizeof(*p));

	if (!p)
		return NULL;
	p->fd = fd;
	p->err = 0;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	memcpy(p->buffer, &header, sizeof(header));
	p->used = sizeof(header);
	write_out(p);
	return p;
}

void wgw_pcap_packet(struct wgw_pcap *p, const struct iovec *iov, int n, size_t len)
{
	struct packet_header header = {
		.captured_bytes = (uint32_t)len,
		.packet_bytes = (uint32_t)len,
	};
	struct timespec ts;

	if (p->fd < 0 || len > SNAP_BYTES)
		return;
	if (p->used + sizeof(header) + len > BUFFER_BYTES)
		write_out(p);
	if (p->used + sizeof(header) + len > BUFFER_BYTES)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	header.sec = (uint32_t)ts.tv_sec;
	header.nsec = (uint32_t)ts.tv_nsec;
	memcpy(p->buffer + p->used, &header, sizeof(header));
	p->used += sizeof(header);
	for (int i = 0; i < n; i++) {
		memcpy(p->buffer + p->used, iov[i].iov_base, iov[i].iov_len);
		p->used += iov[i].iov_len;
	}
}

void wgw_pcap_free(struct wgw_pcap *p)
{
	if (!p)
		return;
	write_out(p);
	free(p);
}
