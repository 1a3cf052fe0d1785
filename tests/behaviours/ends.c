/* SPDX-License-Identifier: MIT */
/* ends.c - data, half-closes and resets on TCP connections */
#include "behave.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <sys/uio.h>

/* ---- calls ---- */

CASE(calls_on_an_unconnected_socket)
{
	int fd = tcp_socket(false, 0);
	struct msghdr msg = {0};
	char byte;

	printf("poll: %s\n", polled(fd, 0));
	said("send", send(fd, "x", 1, MSG_NOSIGNAL));
	said("recv", recv(fd, &byte, 1, 0));
	said("sendmsg", sendmsg(fd, &msg, MSG_NOSIGNAL));
	said("recvmsg", recvmsg(fd, &msg, MSG_DONTWAIT));
	did("shutdown", shutdown(fd, SHUT_RDWR));
	did("accept", accept(fd, NULL, NULL));
	printf("SO_ERROR %s\n", so_error(fd));
	did("write", write(fd, "x", 1));
}

CASE(read_on_an_unconnected_socket)
{
	char byte;

	said("read", read(tcp_socket(false, 0), &byte, 1));
}

CASE(address_is_ignored)
{
	union address a = {0};
	socklen_t len = make_address(&a, UNROUTED4, 99);
	int fd = server(false, "echo");
	char data[16];

	said("sendto", sendto(fd, "hello", 5, 0, &a.any, len));
	len = sizeof(a);
	memset(&a, 0x55, sizeof(a));
	said("recvfrom", recvfrom(fd, data, sizeof(data), 0, &a.any, &len));
	printf("length of the address %u\n", len);
}

CASE(messages)
{
	char first[4] = "", second[16] = "";
	struct iovec out[3] = {{"he", 2}, {"", 0}, {"llo world", 9}};
	struct iovec in[2] = {{first, 3}, {second, 15}};
	struct msghdr msg = {.msg_iov = out, .msg_iovlen = 3};
	int fd = server(false, "echo");

	said("sendmsg", sendmsg(fd, &msg, 0));
	wait_in(fd);
	nap_ms(50);
	msg = (struct msghdr){.msg_iov = in, .msg_iovlen = 2};
	said("recvmsg", recvmsg(fd, &msg, 0));
	printf("%s|%s flags %x name %u control %zu\n", first, second, msg.msg_flags,
	       msg.msg_namelen, msg.msg_controllen);
	said("writev", writev(fd, out, 3));
	wait_in(fd);
	nap_ms(50);
	said("readv", readv(fd, in, 2));
}

CASE(peek_and_waitall)
{
	int fd = server(false, "echo");
	char data[16] = "";

	send(fd, "abcdef", 6, 0);
	wait_in(fd);
	said("peek", recv(fd, data, 3, MSG_PEEK));
	said("waitall", recv(fd, data, 6, MSG_WAITALL));
	said("dontwait", recv(fd, data, 1, MSG_DONTWAIT));
	send(fd, "abc", 3, 0);
	wait_in(fd);
	said("trunc discards", recv(fd, data, 3, MSG_TRUNC));
	said("nothing", recv(fd, data, 0, MSG_DONTWAIT));
	said("errqueue", recv(fd, data, 1, MSG_ERRQUEUE));
	said("sendmsg of nothing", send(fd, "", 0, 0));
}

CASE(more_and_eor)
{
	int fd = server(false, "echo");
	char data[16] = "";

	said("more", send(fd, "ab", 2, MSG_MORE));
	said("rest", send(fd, "cd", 2, 0));
	said("recv", recv(fd, data, 4, MSG_WAITALL));
	printf("%s\n", data);
	said("eor", send(fd, "ab", 2, MSG_EOR));
	said("confirm", send(fd, "ab", 2, MSG_CONFIRM));
	said("recv", recv(fd, data, 4, MSG_WAITALL));
}

CASE(receive_timeout)
{
	struct timeval tv = {0, 100000};
	int fd = server(false, "hold");
	char byte;

	did("set", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	said("recv", recv(fd, &byte, 1, 0));
	said("read", read(fd, &byte, 1));
}

CASE(send_timeout)
{
	struct timeval tv = {0, 300000};
	int fd = server(false, "hold");
	static char block[1 << 16];
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	while ((n = send(fd, block, sizeof(block), 0)) > 0)
		;
	printf("a full buffer: %s\n", err_name(errno));
	printf("poll: %s\n", polled(fd, 0));
}

CASE(full_buffer_nonblocking)
{
	int fd = server(false, "later 500");
	static char block[1 << 16];
	unsigned long total = 0;
	char line[64], expected[64];
	ssize_t n;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (int quiet = 0; quiet < 2; quiet++) { /* what is in flight makes room once more */
		while ((n = send(fd, block, sizeof(block), 0)) > 0)
			total += (unsigned long)n;
		printf("send: %s\n", err_name(errno));
		nap_ms(100);
	}
	fcntl(fd, F_SETFL, 0);
	shutdown(fd, SHUT_WR);
	n = recv(fd, line, sizeof(line) - 1, MSG_WAITALL);
	line[n > 0 ? n : 0] = '\0';
	snprintf(expected, sizeof(expected), "%lu and end of file", total);
	printf("all arrived: %d\n", strcmp(line, expected) == 0);
}

CASE(sendfile_and_splice)
{
	int fd = server(false, "echo"), file = open("/proc/self/exe", O_RDONLY), pipes[2];
	off_t at = 0;
	char data[5000];

	said("sendfile", sendfile(fd, file, &at, 4096));
	said("recv", recv(fd, data, 4096, MSG_WAITALL));
	did("pipe", pipe(pipes));
	said("write", write(pipes[1], "hello", 5));
	said("splice to it", splice(pipes[0], NULL, fd, NULL, 5, 0));
	wait_in(fd);
	nap_ms(50);
	said("splice from it", splice(fd, NULL, pipes[1], NULL, 5, 0));
	said("read", read(pipes[0], data, sizeof(data)));
}

enum { MUCH_BYTES = 2 << 20 };

static int file_of_much(void)
{
	static char page[4096] = "x";
	int file = memfd_create("much", 0);

	for (int i = 0; i < MUCH_BYTES / (int)sizeof(page); i++)
		write(file, page, sizeof(page));
	return file;
}

static void send_much(int fd)
{
	struct timeval limit = {10, 0};
	off_t at = 0;
	int file = file_of_much();

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	while (at < MUCH_BYTES && sendfile(fd, file, &at, (size_t)(MUCH_BYTES - at)) > 0)
		;
	printf("%s\n", at == MUCH_BYTES ? "all of it sent" : err_name(errno));
	shutdown(fd, SHUT_WR);
	close(file);
}

/* More than any buffer holds, from a connection that has little of one. */
CASE(sendfile_of_much)
{
	static const int sizes[] = {0, 4096, 65536};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		int fd = tcp_socket(false, 0);

		if (sizes[i])
			did("set", set_int(fd, SOL_SOCKET, SO_SNDBUF, sizes[i]));
		did("connect", connect_to(fd, host(false), COMMAND_PORT));
		said("send", send(fd, "sink\n", 5, 0));
		send_much(fd);
		read_out(fd);
		close(fd);
	}
}

CASE(sendfile_of_much_to_who_was_accepted)
{
	int port, listener = listener_on("127.0.0.1", &port, 5), fd = tcp_socket(false, 0), status;
	pid_t child;

	did("connect", connect_to(fd, "127.0.0.1", port));
	fflush(stdout);
	child = fork();
	if (child == 0) {
		read_out(fd);
		fflush(stdout);
		_exit(0);
	}
	close(fd);
	fd = accept(listener, NULL, NULL);
	send_much(fd);
	close(fd);
	waitpid(child, &status, 0);
}

/* As proxies do it: what one connection received goes to another through a large pipe. */
CASE(splice_of_much)
{
	struct timeval limit = {10, 0};
	int from = server(false, "fin 3000000"), to = server(false, "sink"), pipes[2];
	ssize_t n, left = 1;

	did("pipe", pipe(pipes));
	fcntl(pipes[1], F_SETPIPE_SZ, 1 << 20);
	setsockopt(to, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	nap_ms(300);
	while (left > 0 && (n = splice(from, NULL, pipes[1], NULL, 1 << 20, 0)) > 0) {
		while (n > 0 && (left = splice(pipes[0], NULL, to, NULL, (size_t)n, 0)) > 0)
			n -= left;
	}
	printf("%s\n", left > 0 ? "all of it moved" : err_name(errno));
	shutdown(to, SHUT_WR);
	read_out(to);
}

CASE(stdio)
{
	int fd = server(false, "echo");
	FILE *in = fdopen(dup(fd), "r"), *out = fdopen(fd, "w");
	char line[32] = "";

	fprintf(out, "one line\n");
	fflush(out);
	printf("%s", fgets(line, sizeof(line), in));
}

CASE(seek_and_pread)
{
	int fd = server(false, "echo");
	char byte;

	said("lseek", lseek(fd, 0, SEEK_SET));
	said("pread", pread(fd, &byte, 1, 0));
	did("ftruncate", ftruncate(fd, 0));
	did("fsync", fsync(fd));
}

/* ---- ends ---- */

CASE(fin)
{
	for (int v6 = 0; v6 < 2; v6++) {
		int fd = server(v6, "fin 5000");

		wait_for(fd, POLLRDHUP);
		printf("poll: %s\n", polled(fd, 0));
		read_out(fd);
		printf("poll: %s\n", polled(fd, 0));
		said("send after their FIN", send(fd, "x", 1, MSG_NOSIGNAL));
		close(fd);
	}
}

CASE(reset_after_data)
{
	for (int v6 = 0; v6 < 2; v6++) {
		int fd = server(v6, "rst 5");

		read_out(fd);
		printf("poll: %s\n", polled(fd, 0));
		read_out(fd);
		printf("SO_ERROR %s\n", so_error(fd));
		close(fd);
	}
}

CASE(reset_at_once)
{
	int fd = tcp_socket(false, 0);

	/* Who does not run in time is told by connect() already */
	for (int i = 0; i < 100 && connect_to(fd, host(false), RESET_PORT); i++) {
		close(fd);
		fd = tcp_socket(false, 0);
	}
	wait_for(fd, 0);
	printf("SO_ERROR %s\n", so_error(fd));
	read_out(fd);
}

CASE(reset_seen_by_poll)
{
	int fd = server(false, "rst 0");

	wait_for(fd, 0);
	printf("poll: %s\n", polled(fd, 0));
	printf("SO_ERROR %s\n", so_error(fd));
	printf("poll: %s\n", polled(fd, 0));
	said("send", send(fd, "x", 1, MSG_NOSIGNAL));
}

CASE(reset_seen_by_send)
{
	int fd = server(false, "rst 0");

	wait_for(fd, 0);
	said("send", send(fd, "x", 1, MSG_NOSIGNAL));
	said("send", send(fd, "x", 1, MSG_NOSIGNAL));
}

CASE(reset_seen_by_write)
{
	int fd = server(false, "rst 0");

	wait_for(fd, 0);
	said("write", write(fd, "x", 1));
}

CASE(names_after_a_reset)
{
	int fd = server(false, "rst 0");

	wait_for(fd, 0);
	show_names(fd);
}

static void on_pipe(int sig)
{
	printf("SIG%s\n", sigabbrev_np(sig));
	errno = ENOEXEC; /* none of the interrupted call, which ends after this */
}

CASE(sigpipe)
{
	int fd = server(false, "hold");

	signal(SIGPIPE, on_pipe);
	did("shutdown", shutdown(fd, SHUT_WR));
	said("send", send(fd, "x", 1, 0));
	said("send without a signal", send(fd, "x", 1, MSG_NOSIGNAL));
	said("write", write(fd, "x", 1));
}

CASE(half_close_ours_first)
{
	for (int v6 = 0; v6 < 2; v6++) {
		int fd = server(v6, "sink");

		said("send", send(fd, "hello", 5, 0));
		did("shutdown", shutdown(fd, SHUT_WR));
		printf("poll: %s\n", polled(fd, 0) ? "ok" : "");
		said("send", send(fd, "x", 1, MSG_NOSIGNAL));
		read_out(fd);
		printf("poll: %s\n", polled(fd, 0));
	}
}

CASE(half_close_theirs_first)
{
	int fd = server(false, "afterfin");
	char byte;

	said("recv", recv(fd, &byte, 1, 0));
	printf("poll: %s\n", polled(fd, 0));
	said("send", send(fd, "hello", 5, 0));
	said("recv", recv(fd, &byte, 1, 0));
	close(fd);
	report("afterfin");
}

CASE(shutdown_reading)
{
	int fd = server(false, "echo");
	char byte;

	did("shutdown", shutdown(fd, SHUT_RD));
	said("recv", recv(fd, &byte, 1, 0));
	printf("poll: %s\n", polled(fd, 0));
	did("again", shutdown(fd, SHUT_RD));
	did("both", shutdown(fd, SHUT_RDWR));
	did("bad", shutdown(fd, 7));
}

CASE(shutdown_both)
{
	int fd = server(false, "watch both");
	char byte;

	said("send", send(fd, "hello", 5, 0));
	did("shutdown", shutdown(fd, SHUT_RDWR));
	report("both");
	said("recv", recv(fd, &byte, 1, 0));
	printf("poll: %s\n", polled(fd, 0));
}

CASE(close_is_a_fin)
{
	int fd = server(false, "watch close");

	said("send", send(fd, "hello", 5, 0));
	close(fd);
	report("close");
}

CASE(linger_zero_is_a_reset)
{
	struct linger now = {1, 0};
	int fd = server(false, "watch linger");

	said("send", send(fd, "hello", 5, 0));
	nap_ms(200);
	did("set", setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	close(fd);
	report("linger");
	/* and set before connecting */
	fd = tcp_socket(false, 0);
	did("set", setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	did("connect", connect_to(fd, host(false), COMMAND_PORT));
	said("send", send(fd, "watch linger2\nhello", 19, 0));
	nap_ms(200);
	close(fd);
	report("linger2");
}

/* Both ends of a connection over loopback. */
static void loopback_pair(int pair[2])
{
	int port, listener = listener_on("127.0.0.1", &port, 5);

	pair[0] = tcp_socket(false, 0);
	did("connect", connect_to(pair[0], "127.0.0.1", port));
	pair[1] = accept(listener, NULL, NULL);
	close(listener);
}

static void show_end(int fd)
{
	char buf[64];

	wait_in(fd);
	nap_ms(200);
	said("recv", recv(fd, buf, sizeof(buf), 0));
	said("recv", recv(fd, buf, sizeof(buf), 0));
	close(fd);
}

CASE(sent_before_a_reset)
{
	struct linger now = {1, 0};
	int pair[2], fd = tcp_socket(false, 0);

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	did("connect", connect_to(fd, host(false), COMMAND_PORT));
	said("command", send(fd, "watch sentfirst\n", 16, 0));
	nap_ms(200);
	said("send", send(fd, "hello", 5, 0));
	close(fd);
	report("sentfirst");
	for (int i = 0; i < 2; i++) {
		loopback_pair(pair);
		if (i) {
			setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		} else {
			said("never read", send(pair[1], "unread", 6, 0));
			wait_in(pair[0]);
		}
		said("send", send(pair[0], "hello", 5, 0));
		close(pair[0]);
		show_end(pair[1]);
	}
}

CASE(reset_before_accept)
{
	static const char *const ips[] = {"0.0.0.0", "127.0.0.1"};
	struct linger now = {1, 0};

	for (int i = 0; i < 2; i++) {
		int port, listener = listener_on(ips[i], &port, 5), fd = tcp_socket(false, 0);

		did("connect", connect_to(fd, "127.0.0.1", port));
		did("set", setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
		said("send", send(fd, "hello", 5, 0));
		close(fd);
		nap_ms(200);
		show_end(accept(listener, NULL, NULL));
		close(listener);
	}
}

CASE(reset_by_who_was_accepted)
{
	static const char *const ips[] = {"0.0.0.0", "127.0.0.1"};
	struct linger now = {1, 0};

	for (int i = 0; i < 2; i++) {
		int port, listener = listener_on(ips[i], &port, 5), fd = tcp_socket(false, 0);
		int accepted;

		did("connect", connect_to(fd, "127.0.0.1", port));
		accepted = accept(listener, NULL, NULL);
		did("set", setsockopt(accepted, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
		said("send", send(accepted, "hello", 5, 0));
		close(accepted);
		show_end(fd);
		close(listener);
	}
}

/* @fd's peer has closed: the next write is taken, and its answer ends the connection. */
static void write_to_nobody(int fd)
{
	char byte;

	wait_in(fd);
	nap_ms(100);
	printf("poll: %s\n", polled(fd, 0));
	said("send", send(fd, "hello", 5, MSG_NOSIGNAL));
	nap_ms(200);
	said("again", send(fd, "hello", 5, MSG_NOSIGNAL));
	said("recv", recv(fd, &byte, 1, 0));
	close(fd);
}

CASE(write_after_the_peer_closed)
{
	static const char *const ips[] = {"0.0.0.0", "127.0.0.1"};

	for (int i = 0; i < 4; i++) {
		int port, listener = listener_on(ips[i / 2], &port, 5), fd = tcp_socket(false, 0);
		int accepted;

		did("connect", connect_to(fd, "127.0.0.1", port));
		accepted = accept(listener, NULL, NULL);
		close(listener);
		close(i % 2 ? accepted : fd);
		write_to_nobody(i % 2 ? fd : accepted);
	}
}

CASE(close_with_unread_data_is_a_reset)
{
	int fd = server(false, "echo");

	fd = tcp_socket(false, 0);
	did("connect", connect_to(fd, host(false), COMMAND_PORT));
	said("send", send(fd, "echo\nhello", 10, 0));
	wait_in(fd);
	close(fd);
	printf("closed\n");
}

CASE(linger_waits_for_delivery)
{
	struct linger some = {1, 5};
	int fd = server(false, "watch lingering");
	static char block[100000];

	said("send", send(fd, block, sizeof(block), 0));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &some, sizeof(some));
	did("close", close(fd));
	report("lingering");
}

CASE(exit_delivers)
{
	pid_t pid = fork();

	if (pid == 0) {
		static char block[200000];
		int fd = server(false, "watch exit");
		ssize_t n = send(fd, block, sizeof(block), 0);

		_exit(n != (ssize_t)sizeof(block));
	}
	waitpid(pid, NULL, 0);
	report("exit");
}

CASE(kill_is_an_end)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	did("pipe", pipe(ready));
	pid = fork();
	if (pid == 0) {
		int fd = server(false, "watch kill");

		send(fd, "hello", 5, 0);
		(void)!write(ready[1], "x", 1);
		pause();
	}
	(void)!read(ready[0], &byte, 1);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	report("kill");
}

CASE(urgent_data)
{
	int fd = server(false, "echo"), mark = -1;
	char byte;

	said("send", send(fd, "x", 1, MSG_OOB));
	said("recv", recv(fd, &byte, 1, MSG_OOB));
	did("SIOCATMARK", ioctl(fd, SIOCATMARK, &mark));
}
