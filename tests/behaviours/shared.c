// SPDX-License-Identifier: MIT
/*
 * shared.c - connected datagram sockets that are no longer what this process took them for
 *
 * Another process takes the peer of a shared socket away or asks for ancillary data; a number gets
 * another descriptor by a way that nobody sees. Each case first moves data, so that what is known
 * of the socket is known.
 */
#include "behave.h"

#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* Longer than what is added to a message, and than what is looked at */
#define LONG_TEXT "a datagram that is longer than any header that would be put before it, by far"

static long send_to(int fd, const char *text, int port, const char *data)
{
	union address a;
	socklen_t len = make_address(&a, text, port);

	return sendto(fd, data, strlen(data), 0, &a.any, len);
}

static void ask_echo(int fd, const char *data)
{
	said("sendto", send_to(fd, host(false), ECHO_UDP_PORT, data));
}

static void show_read(int fd, size_t room)
{
	char data[256] = "";
	ssize_t n;

	wait_in(fd);
	n = read(fd, data, room);
	if (n < 0)
		printf("read: %s\n", err_name(errno));
	else
		printf("read: %zd \"%.*s\"\n", n, (int)n, data);
}

static void show_recv(int fd, size_t room)
{
	char data[256] = "";
	ssize_t n;

	wait_in(fd);
	n = recv(fd, data, room, MSG_DONTWAIT);
	if (n < 0)
		printf("recv: %s\n", err_name(errno));
	else
		printf("recv: %zd \"%.*s\"\n", n, (int)n, data);
}

static void show_readv(int fd)
{
	char data[4][32];
	struct iovec iov[4] = {{data[0], 5}, {data[1], 0}, {data[2], 30}, {data[3], 32}};
	ssize_t n;

	memset(data, 0, sizeof(data));
	wait_in(fd);
	n = readv(fd, iov, 4);
	printf("readv: %zd \"%.5s|%.30s|%.32s\"\n", n, data[0], data[2], data[3]);
}

/* Connected to the echo server, and used in every plain way. */
static int used_socket(void)
{
	int fd = udp_socket(false);

	did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
	for (int i = 0; i < 2; i++) {
		said("write", write(fd, LONG_TEXT, sizeof(LONG_TEXT) - 1));
		show_read(fd, 200);
		said("send", send(fd, "short", 5, 0));
		show_recv(fd, 200);
	}
	return fd;
}

static void disconnect(int fd)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};

	if (connect(fd, &none, sizeof(none)))
		die("disconnect");
}

/* Does it to @fd in another process, before this returns. */
static void elsewhere(void (*what)(int), int fd)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		what(fd);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	printf("elsewhere: %x\n", (unsigned int)status);
}

/* dup3(2) past every hook. */
static void unseen_dup(int from, int to)
{
	long result;
#if defined(__x86_64__)
	register long flags __asm__("rdx") = 0;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"((long)SYS_dup3), "D"((long)from), "S"((long)to), "r"(flags)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = SYS_dup3, x0 __asm__("x0") = from, x1 __asm__("x1") = to,
			 x2 __asm__("x2") = 0;

	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
	result = x0;
#else
	result = dup3(from, to, 0);
#endif
	if (result != to)
		printf("dup3: %ld\n", result);
}

static const char *to_ask;

/* What this process does itself, sendto() not least, would make it look at the socket. */
static void disconnect_and_ask(int fd)
{
	disconnect(fd);
	send_to(fd, host(false), ECHO_UDP_PORT, to_ask);
}

static void only_ask(int fd)
{
	send_to(fd, host(false), ECHO_UDP_PORT, to_ask);
}

CASE(peer_taken_elsewhere)
{
	int fd = used_socket(), size = 0;

	to_ask = LONG_TEXT;
	elsewhere(disconnect_and_ask, fd);
	show_read(fd, 200);
	elsewhere(only_ask, fd);
	show_recv(fd, 200);
	show_names(fd);
	said("write", write(fd, "nobody", 6));
	elsewhere(only_ask, fd);
	wait_in(fd);
	ioctl(fd, FIONREAD, &size);
	printf("size %d\n", size);
	show_readv(fd);
}

/* The first to look after the change, by each call */
CASE(first_call_after_it)
{
	static const size_t rooms[] = {1, 15, 80, 200};
	int fd, size;

	for (int i = 0; i < 8; i++) {
		fd = used_socket();
		to_ask = i == 3 ? LONG_TEXT : "tiny";
		elsewhere(disconnect_and_ask, fd);
		if (i < 4)
			show_read(fd, rooms[i]);
		else if (i == 4)
			show_recv(fd, 200);
		else if (i == 5)
			show_readv(fd);
		else
			wait_in(fd);
		if (i == 6)
			did("FIONREAD", ioctl(fd, FIONREAD, &size));
		if (i == 6)
			printf("%d bytes\n", size);
		if (i == 7)
			printf("MSG_PEEK %zd\n", recv(fd, &size, 3, MSG_PEEK | MSG_TRUNC));
		close(fd);
	}
}

static void disconnect_later(int fd)
{
	nap_ms(200);
	disconnect(fd);
	ask_echo(fd, LONG_TEXT);
	fflush(stdout);
}

static void wait_while(ssize_t (*call)(int, char *, size_t))
{
	int fd = used_socket(), status;
	char data[256] = "";
	ssize_t n;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		disconnect_later(fd);
		_exit(0);
	}
	n = call(fd, data, sizeof(data));
	waitpid(pid, &status, 0);
	printf("got: %zd \"%.*s\"\n", n, (int)n, data);
}

static ssize_t by_read(int fd, char *data, size_t size)
{
	return read(fd, data, size);
}

static ssize_t by_recv(int fd, char *data, size_t size)
{
	return recv(fd, data, size, 0);
}

static ssize_t by_recvmsg(int fd, char *data, size_t size)
{
	struct iovec iov = {data, size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	return recvmsg(fd, &msg, 0);
}

static ssize_t with_no_room_to_spare(int fd, char *data, size_t size)
{
	union address a;
	socklen_t len = sizeof(a);

	(void)size;
	return recvfrom(fd, data, sizeof(LONG_TEXT) - 1, 0, &a.any, &len);
}

CASE(peer_taken_during_a_read)
{
	wait_while(by_read);
	wait_while(by_recv);
	wait_while(by_recvmsg);
	wait_while(with_no_room_to_spare);
}

static void *connect_later(void *arg)
{
	int fd = *(int *)arg;

	nap_ms(200);
	did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
	said("write", write(fd, LONG_TEXT, sizeof(LONG_TEXT) - 1));
	return NULL;
}

CASE(peer_given_during_a_read)
{
	for (int i = 0; i < 2; i++) {
		int fd = udp_socket(false);
		pthread_t thread;

		pthread_create(&thread, NULL, connect_later, &fd);
		if (i == 0) {
			char data[256] = "";
			ssize_t n = read(fd, data, sizeof(data));

			pthread_join(thread, NULL);
			printf("read: %zd \"%.*s\"\n", n, (int)n, data);
		} else {
			char data[256] = "";
			union address a;
			socklen_t len = sizeof(a);
			ssize_t n = recvfrom(fd, data, 20, 0, &a.any, &len);

			pthread_join(thread, NULL);
			printf("recvfrom: %zd \"%.*s\" from %s\n", n, (int)n, data,
			       address_text(&a, len));
		}
		close(fd);
	}
}

static void want_ttl(int fd)
{
	did("IP_RECVTTL", set_int(fd, IPPROTO_IP, IP_RECVTTL, 1));
	fflush(stdout);
}

static void want_errors(int fd)
{
	did("IP_RECVERR", set_int(fd, IPPROTO_IP, IP_RECVERR, 1));
	fflush(stdout);
}

CASE(options_set_elsewhere)
{
	void (*const options[])(int) = {want_ttl, want_errors};

	for (int i = 0; i < 2; i++) {
		int fd = used_socket();

		fflush(stdout);
		elsewhere(options[i], fd);
		said("write", write(fd, LONG_TEXT, sizeof(LONG_TEXT) - 1));
		show_read(fd, 200);
		said("write", write(fd, "again", 5));
		show_recv(fd, 200);
		close(fd);
	}
}

static int other_port;

static void connect_to_other(int fd)
{
	if (connect_to(fd, self(false), other_port))
		die("connect elsewhere");
}

CASE(another_peer_by_another_process)
{
	int fd = used_socket(), other = udp_socket(false);
	union address a;
	socklen_t len = make_address(&a, self(false), 0);

	did("bind", bind(other, &a.any, len));
	other_port = local_port(other);
	elsewhere(connect_to_other, fd);
	said("write", write(fd, LONG_TEXT, sizeof(LONG_TEXT) - 1));
	show_recv(other, 200);
	said("send back", send_to(other, self(false), local_port(fd), LONG_TEXT));
	show_read(fd, 200);
}

CASE(peer_taken_through_a_copy)
{
	int fd = used_socket(), copy = dup(fd);

	said("write to the copy", write(copy, LONG_TEXT, sizeof(LONG_TEXT) - 1));
	show_read(copy, 200);
	said("write to the copy", write(copy, "two", 3));
	show_read(copy, 200);
	disconnect(copy);
	said("write", write(fd, LONG_TEXT, sizeof(LONG_TEXT) - 1));
	said("send", send(fd, "x", 1, 0));
	said("writev", writev(fd, &(struct iovec){(void *)LONG_TEXT, 20}, 1));
	said("write to the copy", write(copy, "x", 1));
}

static void *disconnect_it(void *arg)
{
	disconnect(*(int *)arg);
	return NULL;
}

CASE(peer_taken_by_a_thread)
{
	int fd = used_socket();
	pthread_t thread;

	pthread_create(&thread, NULL, disconnect_it, &fd);
	pthread_join(thread, NULL);
	said("write", write(fd, LONG_TEXT, sizeof(LONG_TEXT) - 1));
	ask_echo(fd, LONG_TEXT);
	show_read(fd, 200);
}

CASE(no_fragments_from_now_on)
{
	static char large[3000];
	int fd = used_socket();

	said("send", send(fd, large, sizeof(large), 0));
	did("IP_MTU_DISCOVER", set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO));
	for (int i = 0; i < 2; i++) {
		said("send", send(fd, large, sizeof(large), 0));
		said("write", write(fd, large, 100));
	}
	did("IP_MTU_DISCOVER", set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT));
	said("send", send(fd, large, sizeof(large), 0));
}

CASE(lengths_of_nothing)
{
	int fd = used_socket();
	struct iovec none = {NULL, 0};
	char byte;

	said("write", write(fd, "first", 5));
	wait_in(fd);
	said("read of 0", read(fd, &byte, 0));
	said("readv of 0", readv(fd, &none, 1));
	said("readv of none", readv(fd, NULL, 0));
	show_read(fd, 3);
	said("write of 0", write(fd, "", 0));
	show_read(fd, 200);
	said("writev of 0", writev(fd, &none, 1));
	said("writev of none", writev(fd, NULL, 0));
	said("recv of 0", recv(fd, &byte, 0, MSG_DONTWAIT));
}

/* ---- numbers ---- */

static volatile sig_atomic_t signals;

static void count(int signal)
{
	(void)signal;
	signals++;
}

/* A descriptor at a number where a connected UDP socket was. */
static void show_number(const char *what, int fd, int end)
{
	char data[64] = "";

	printf("%s\n", what);
	said("write there", write(end, "0123456789012345678901234567", 28));
	show_read(fd, 20);
	show_read(fd, 20);
	said("write", write(fd, LONG_TEXT, 40));
	said("read there", read(end, data, sizeof(data)));
	said("send", send(fd, LONG_TEXT, 40, MSG_DONTWAIT));
	said("read there", recv(end, data, sizeof(data), MSG_DONTWAIT));
	close(end);
	said("read", read(fd, data, sizeof(data)));
	said("read", read(fd, data, sizeof(data)));
	said("write", write(fd, "late", 4));
	said("write", write(fd, "late", 4));
	said("send", send(fd, "late", 4, 0));
	said("recv", recv(fd, data, sizeof(data), MSG_DONTWAIT));
	printf("signals %d\n", (int)signals);
}

CASE(numbers_of_strangers)
{
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};
	int pair[2], fd;

	signal(SIGPIPE, count);
	for (int i = 0; i < 2; i++) {
		fd = used_socket();
		if (socketpair(AF_UNIX, types[i], 0, pair))
			die("socketpair");
		unseen_dup(pair[0], fd);
		close(pair[0]);
		show_number(i ? "messages" : "stream", fd, pair[1]);
		close(fd);
	}
	fd = used_socket();
	if (pipe(pair))
		die("pipe");
	unseen_dup(pair[1], fd);
	close(pair[1]);
	said("write", write(fd, LONG_TEXT, 40));
	show_read(pair[0], 100);
	close(pair[0]);
	said("write", write(fd, LONG_TEXT, 40));
	said("read", read(fd, &(char){0}, 1));
	said("send", send(fd, "x", 1, 0));
	printf("signals %d\n", (int)signals);
}

CASE(numbers_of_our_own)
{
	int fd = used_socket(), from = udp_socket(false);

	unseen_dup(from, fd);
	close(from);
	ask_echo(fd, LONG_TEXT);
	show_read(fd, 200);
	said("write", write(fd, "nobody", 6));
	close(fd);

	fd = used_socket();
	from = tcp_socket(false, 0);
	did("connect", connect_to(from, host(false), HELLO_PORT));
	unseen_dup(from, fd);
	close(from);
	show_read(fd, 3);
	show_recv(fd, 2);
	said("write", write(fd, "x", 1));
	close(fd);

	fd = used_socket();
	from = tcp_socket(false, 0);
	unseen_dup(from, fd);
	close(from);
	said("read", read(fd, &(char[32]){0}, 32));
	close(fd);
}

CASE(numbers_that_are_closed)
{
	int fd = used_socket(), pair[2];
	char data[32];

	close(fd);
	said("read", read(fd, data, sizeof(data)));
	said("write", write(fd, data, sizeof(data)));
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		die("socketpair");
	printf("the same number %d\n", pair[0] == fd);
	said("write", write(pair[0], LONG_TEXT, 40));
	said("read", read(pair[1], data, sizeof(data)));
	said("read", read(pair[1], data, sizeof(data)));
	close(pair[0]);
	fd = open("/dev/zero", O_RDWR);
	said("read", read(fd, data, sizeof(data)));
	said("write", write(fd, data, sizeof(data)));
}

static void pass(int over, int fd)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.head = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec iov = {(void *)"F", 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	if (sendmsg(over, &msg, 0) != 1)
		die("sendmsg");
}

CASE(numbers_that_arrive)
{
	int fd = used_socket(), from = udp_socket(false), pair[2], passed[2];
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control};

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, passed))
		die("socketpair");
	for (int i = 0; i < 2; i++) {
		pass(pair[1], i ? passed[0] : from);
		close(fd);
		msg.msg_controllen = sizeof(control);
		said("recvmsg", recvmsg(pair[0], &msg, 0));
		printf("the same number %d\n",
		       !memcmp(CMSG_DATA((struct cmsghdr *)control), &fd, sizeof(fd)));
		if (i == 0) {
			said("write", write(fd, "nobody", 6));
			ask_echo(fd, LONG_TEXT);
			show_read(fd, 200);
		} else {
			said("write", write(fd, LONG_TEXT, 40));
			show_read(passed[1], 100);
		}
	}
	/* a plain read of a message with a descriptor drops that */
	fd = used_socket();
	unseen_dup(pair[0], fd);
	pass(pair[1], from);
	show_read(fd, 100);
	printf("next number free %d\n", dup(0) == fd + 1);
}

CASE(numbers_in_a_vforked_child)
{
	int fd = used_socket(), pair[2], to, status;
	char data[64];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		die("socketpair");
	to = pair[0];
	pid = vfork();
	if (pid == 0) { /* a file table of its own, but this memory */
		dup2(fd, to);
		if (write(to, LONG_TEXT, 40) != 40 || read(to, data, sizeof(data)) != 40)
			_exit(1);
		if (write(to, LONG_TEXT, 40) != 40 || read(to, data, sizeof(data)) != 40)
			_exit(2);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	printf("status %x\n", (unsigned int)status);
	said("write", write(pair[1], "0123456789012345678901234567", 28));
	show_read(to, 20);
	show_read(to, 20);
	said("write", write(to, LONG_TEXT, 40));
	said("read", read(pair[1], data, sizeof(data)));
}
