/* SPDX-License-Identifier: MIT */
/*
 * static_udp.c - every way to send and receive datagrams; built statically
 *
 * usage: static_udp ADDRESS PORT, of an echo server
 */
#include <stdbool.h>
#include <sys/mman.h>

#include "common.h"

static union address to;
static socklen_t to_len;

static int open_socket(void)
{
	struct timeval limit = {10, 0};
	int fd = socket(to.any.sa_family, SOCK_DGRAM, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

static bool same_address(const union address *from, socklen_t len)
{
	return len == to_len && from->any.sa_family == to.any.sa_family &&
	       from->in.sin_port == to.in.sin_port;
}

static void told(const char *what, ssize_t n, const char *text, const union address *from,
		 socklen_t len)
{
	if (n < 0)
		printf("%s: %s\n", what, err_name(errno));
	else
		printf("%s: %zd \"%.*s\"%s\n", what, n, (int)n, text,
		       !from			 ? ""
		       : same_address(from, len) ? " from there"
						 : " from elsewhere");
}

static void unconnected(void)
{
	union address from;
	socklen_t len = sizeof(from);
	char text[64];
	int fd = open_socket();
	ssize_t n = sendto(fd, "one", 3, 0, &to.any, to_len);

	told("sendto", n, "one", NULL, 0);
	n = recvfrom(fd, text, sizeof(text), 0, &from.any, &len);
	told("recvfrom", n, text, &from, len);
	n = sendto(fd, "", 0, 0, &to.any, to_len);
	len = sizeof(from);
	n = recvfrom(fd, text, sizeof(text), 0, &from.any, &len);
	told("empty", n, text, &from, len);
	n = sendto(fd, "truncated", 9, 0, &to.any, to_len);
	len = sizeof(from);
	n = recvfrom(fd, text, 4, 0, &from.any, &len);
	told("truncated", n, text, &from, len);
	n = sendto(fd, "x", 1, 0, &to.any, 3);
	told("short address", n, "", NULL, 0);
	len = sizeof(from);
	n = recvfrom(fd, text, sizeof(text), MSG_DONTWAIT, &from.any, &len);
	told("nothing there", n, text, NULL, 0);
	close(fd);
}

static void messages(void)
{
	union address from[2];
	char text[2][64];
	struct iovec out[2] = {{(char *)"two ", 4}, {(char *)"parts", 5}}, in[2];
	struct msghdr msg = {
		.msg_name = &to, .msg_namelen = to_len, .msg_iov = out, .msg_iovlen = 2};
	struct mmsghdr many[2] = {{{0}, 0}};
	int fd = open_socket(), count;
	ssize_t n = sendmsg(fd, &msg, 0);

	told("sendmsg", n, "two parts", NULL, 0);
	in[0] = (struct iovec){text[0], 3};
	in[1] = (struct iovec){text[0] + 3, sizeof(text[0]) - 3};
	msg = (struct msghdr){
		.msg_name = from, .msg_namelen = sizeof(from[0]), .msg_iov = in, .msg_iovlen = 2};
	n = recvmsg(fd, &msg, 0);
	told("recvmsg", n, text[0], &from[0], msg.msg_namelen);
	printf("flags %x\n", (unsigned int)msg.msg_flags);
	for (int i = 0; i < 2; i++)
		many[i].msg_hdr = (struct msghdr){.msg_name = &to,
						  .msg_namelen = to_len,
						  .msg_iov = &out[i],
						  .msg_iovlen = 1};
	count = sendmmsg(fd, many, 2, 0);
	printf("sendmmsg: %d, %u and %u bytes\n", count, many[0].msg_len, many[1].msg_len);
	for (int i = 0; i < 2; i++) {
		in[i] = (struct iovec){text[i], sizeof(text[i])};
		many[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
						  .msg_namelen = sizeof(from[i]),
						  .msg_iov = &in[i],
						  .msg_iovlen = 1};
	}
	count = recvmmsg(fd, many, 2, 0, NULL);
	printf("recvmmsg: %d\n", count);
	for (int i = 0; i < count; i++)
		told("one of them", many[i].msg_len, text[i], &from[i],
		     many[i].msg_hdr.msg_namelen);
	close(fd);
}

enum { MANY = 20, BEYOND = 8, WITHIN = 3 };

/* Each odd one in two buffers. */
static void describe_many(struct mmsghdr *m, struct iovec iov[][2], char text[][4])
{
	for (int i = 0; i < MANY; i++) {
		iov[i][0] = (struct iovec){text[i], i % 2 ? 1 : 3};
		iov[i][1] = (struct iovec){text[i] + 1, 2};
		m[i] = (struct mmsghdr){
			.msg_hdr = {.msg_iov = iov[i], .msg_iovlen = i % 2 ? 2 : 1}};
	}
}

static void many_at_once(void)
{
	char out[MANY][4], in[MANY][4];
	struct iovec iov[MANY][2];
	struct mmsghdr m[MANY];
	int fd = open_socket(), got = 0, same = 0;

	describe_many(m, iov, out);
	for (int i = 0; i < MANY; i++) {
		snprintf(out[i], sizeof(out[i]), "%03d", i);
		m[i].msg_hdr.msg_name = &to;
		m[i].msg_hdr.msg_namelen = to_len;
	}
	printf("sendmmsg: %d\n", sendmmsg(fd, m, MANY, 0));
	describe_many(m, iov, in);
	while (got < MANY) {
		int n = recvmmsg(fd, m + got, (unsigned int)(MANY - got), MSG_WAITFORONE, NULL);

		if (n <= 0)
			break;
		for (int i = got; i < got + n; i++)
			same += m[i].msg_len == 3 && memcmp(in[i], out[i], 3) == 0;
		got += n;
	}
	printf("recvmmsg: %d, %d in order\n", got, same);
	close(fd);
}

/* The array of messages reaches into memory that is not there. */
static void beyond(void)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *at = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mmsghdr *m;
	char text[WITHIN][4] = {"one", "two", "six"};
	struct iovec iov[WITHIN];
	int fd = open_socket();

	if (at == MAP_FAILED || munmap(at + page, page))
		die("mmap");
	m = (struct mmsghdr *)(void *)(at + page - WITHIN * sizeof(*m));
	for (int i = 0; i < WITHIN; i++) {
		iov[i] = (struct iovec){text[i], 3};
		m[i].msg_hdr = (struct msghdr){.msg_name = &to,
					       .msg_namelen = to_len,
					       .msg_iov = &iov[i],
					       .msg_iovlen = 1};
	}
	printf("sendmmsg beyond: %d\n", sendmmsg(fd, m, BEYOND, 0));
	for (int i = 0; i < WITHIN; i++)
		m[i].msg_hdr.msg_name = NULL;
	printf("recvmmsg beyond: %d\n", recvmmsg(fd, m, BEYOND, 0, NULL));
	close(fd);
}

static void connected(void)
{
	union address peer, from;
	socklen_t len = sizeof(peer);
	char text[64];
	int fd = open_socket();
	ssize_t n;

	printf("getpeername: %s\n", getpeername(fd, &peer.any, &len) ? err_name(errno) : "0");
	if (connect(fd, &to.any, to_len))
		die("connect");
	len = sizeof(peer);
	printf("getpeername: %s\n",
	       getpeername(fd, &peer.any, &len) || !same_address(&peer, len) ? "wrong" : "there");
	told("write", write(fd, "three", 5), "three", NULL, 0);
	told("read", n = read(fd, text, sizeof(text)), text, NULL, 0);
	told("send", send(fd, "four", 4, 0), "four", NULL, 0);
	len = sizeof(from);
	n = recvfrom(fd, text, sizeof(text), 0, &from.any, &len);
	told("recvfrom", n, text, &from, len);
	peer = (union address){.any = {.sa_family = AF_UNSPEC}};
	printf("disconnect: %s\n",
	       connect(fd, &peer.any, sizeof(peer.any)) ? err_name(errno) : "0");
	printf("getpeername: %s\n", getpeername(fd, &from.any, &len) ? err_name(errno) : "0");
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	to_len = parse_address(&to, argv[1], argv[2]);
	unconnected();
	messages();
	many_at_once();
	beyond();
	connected();
	return 0;
}
