/* SPDX-License-Identifier: MIT */
/*
 * tag.c - SO_MAX_PACING_RATE on AF_UNIX keeps 64 bits for us, SO_RCVBUF a mark, and SO_COOKIE names a
 * socket
 *
 * All are properties of the open file description: shared by dup, fork and descriptor passing, not
 * inherited from a listener by what it accepts.
 */
#include <sys/wait.h>

#include "tests/platform/expect.h"

static uint64_t read_option(int fd, int name)
{
	uint64_t value = 0;
	socklen_t len = sizeof(value);

	EXPECT(getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0);
	EXPECT(len == sizeof(value));
	return value;
}

static void write_tag(int fd, uint64_t tag)
{
	EXPECT(setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &tag, sizeof(tag)) == 0);
}

static void sixty_four_bits(int type)
{
	const uint64_t tag = UINT64_C(0x8123456789ab5747);
	int fd = socket(AF_UNIX, type, 0);
	int copy, status;
	pid_t child;

	EXPECT(fd >= 0);
	EXPECT(read_option(fd, SO_MAX_PACING_RATE) == UINT64_MAX); /* nobody's */
	write_tag(fd, tag);
	EXPECT(read_option(fd, SO_MAX_PACING_RATE) == tag);
	copy = dup(fd);
	EXPECT(read_option(copy, SO_MAX_PACING_RATE) == tag);
	EXPECT(read_option(copy, SO_COOKIE) == read_option(fd, SO_COOKIE));
	child = fork();
	if (child == 0) {
		write_tag(copy, tag + 1);
		_exit(0);
	}
	EXPECT(waitpid(child, &status, 0) == child);
	EXPECT(read_option(fd, SO_MAX_PACING_RATE) == tag + 1);
	close(copy);
	close(fd);
}

static void accepted_sockets_start_untagged(void)
{
	struct sockaddr_un un;
	socklen_t len;
	int l = listener(SOCK_STREAM, 1, &un, &len);
	int c = socket(AF_UNIX, SOCK_STREAM, 0);
	int a;

	write_tag(l, 1);
	write_tag(c, 2);
	EXPECT(connect(c, (struct sockaddr *)&un, len) == 0);
	a = accept(l, NULL, NULL);
	EXPECT(a >= 0);
	EXPECT(read_option(a, SO_MAX_PACING_RATE) == UINT64_MAX);
	EXPECT(read_option(c, SO_MAX_PACING_RATE) == 2);
	EXPECT(read_option(a, SO_COOKIE) != read_option(c, SO_COOKIE));
	close(a);
	close(c);
	close(l);
}

static void a_streams_receive_buffer_is_a_mark(void)
{
	static char much[128 * 1024];
	const int least = 0;
	int pair[2], bytes = 0;
	socklen_t len = sizeof(bytes);

	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	EXPECT(getsockopt(pair[0], SOL_SOCKET, SO_RCVBUF, &bytes, &len) == 0 && bytes >= 8192);
	EXPECT(setsockopt(pair[0], SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)) == 0);
	EXPECT(getsockopt(pair[0], SOL_SOCKET, SO_RCVBUF, &bytes, &len) == 0 && bytes < 8192);
	EXPECT(send(pair[1], much, sizeof(much), MSG_DONTWAIT) == sizeof(much));
	EXPECT(recv(pair[0], much, sizeof(much), MSG_WAITALL) == sizeof(much));
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	sixty_four_bits(SOCK_STREAM);
	sixty_four_bits(SOCK_SEQPACKET);
	accepted_sockets_start_untagged();
	a_streams_receive_buffer_is_a_mark();
	return 0;
}
