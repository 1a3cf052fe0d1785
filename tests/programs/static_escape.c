/* SPDX-License-Identifier: MIT */
/*
 * static_escape.c - what a filter that looks only at the usual system calls would let through;
 * built statically, at low addresses as the 32-bit entry needs them
 *
 * usage: static_escape; prints the errno of each attempt, or "CREATED"
 *        static_escape PATH: takes a socket of another process from the AF_UNIX socket PATH, and
 *        tries to use it
 */
#include <sys/syscall.h>
#include <sys/un.h>

#include "common.h"

static void attempt(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? err_name((int)-result) : "CREATED");
	if (result >= 0)
		close((int)result);
}

#if defined(__x86_64__)
enum { I386_SOCKETCALL = 102, I386_SOCKET = 359, SOCKETCALL_SOCKET = 1, X32_BIT = 0x40000000 };

static long int80(long nr, long a, long b, long c)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(nr), "b"(a), "c"(b), "d"(c)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

static void foreign(void)
{
	static unsigned int args[3] = {AF_INET, SOCK_STREAM, 0};

	attempt("int 0x80 socket", int80(I386_SOCKET, AF_INET, SOCK_STREAM, 0));
	attempt("int 0x80 socketcall", int80(I386_SOCKETCALL, SOCKETCALL_SOCKET, (long)args, 0));
}
#else
static void foreign(void)
{
}
#endif

static long call(long nr, long a, long b, long c)
{
	long result = syscall(nr, a, b, c);

	return result < 0 ? -errno : result;
}

static int receive(int from)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr head;
	} control;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	int got;

	if (recvmsg(from, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		die("recvmsg");
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(got));
	return got;
}

static void use(const char *path)
{
	union address far, near;
	socklen_t len = parse_address(&far, "192.0.2.1", "9");
	struct msghdr msg = {.msg_name = &far, .msg_namelen = len};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int giver = socket(AF_UNIX, SOCK_STREAM, 0), tcp, udp;

	strncpy(un.sun_path, path, sizeof(un.sun_path) - 1);
	if (giver < 0 || connect(giver, (struct sockaddr *)&un, sizeof(un)))
		die("giver");
	tcp = receive(giver);
	udp = receive(giver);
	parse_address(&near, "127.0.0.1", "9");
	printf("connect: %s\n", connect(tcp, &far.any, len) ? err_name(errno) : "0");
	printf("sendto: %s\n",
	       sendto(udp, "x", 1, 0, &far.any, len) < 0 ? err_name(errno) : "sent");
	printf("sendmsg: %s\n", sendmsg(udp, &msg, 0) < 0 ? err_name(errno) : "sent");
	printf("connect: %s\n", connect(udp, &far.any, len) ? err_name(errno) : "0");
	printf("listen: %s\n", listen(tcp, 1) ? err_name(errno) : "0");
	printf("to this machine: %s\n", connect(tcp, &near.any, len) ? err_name(errno) : "0");
}

int main(int argc, char **argv)
{
	static char parameters[256];

	if (argc > 1) {
		use(argv[1]);
		return 0;
	}
	foreign();
#if defined(__x86_64__)
	attempt("x32", call(X32_BIT | SYS_socket, AF_INET, SOCK_STREAM, 0));
#endif
	attempt("io_uring", call(SYS_io_uring_setup, 4, (long)parameters, 0));
	attempt("raw", call(SYS_socket, AF_INET, SOCK_RAW, IPPROTO_ICMP));
	attempt("sctp", call(SYS_socket, AF_INET, SOCK_STREAM, IPPROTO_SCTP));
	attempt("mptcp", call(SYS_socket, AF_INET, SOCK_STREAM, 262));
	attempt("packet", call(SYS_socket, AF_PACKET, SOCK_DGRAM, 0));
	attempt("vsock", call(SYS_socket, AF_VSOCK, SOCK_STREAM, 0));
	attempt("netlink", call(SYS_socket, AF_NETLINK, SOCK_RAW, 16));
	return 0;
}
