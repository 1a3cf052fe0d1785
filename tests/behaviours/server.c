/* SPDX-License-Identifier: MIT */
/*
 * server.c - the other end of the cases: it does what the first line of a connection says
 *
 * usage: server; prints "ready"
 *
 *	TCP 7000	echo		sends back until the end, then FIN
 *			fin N		N bytes, then FIN
 *			rst N		N bytes, 100 ms, then a reset
 *			sink		reads to the end, answers with the count and how it ended
 *			watch ID	reads to the end and remembers count and end under ID
 *			report ID	answers with what was remembered
 *			whoami		answers with the client's address and port
 *			hold		reads nothing for 10 s
 *			later N		reads nothing for N ms, then sink
 *			afterfin	FIN first, then as sink, remembered under "afterfin"
 *			dial PORT HOW	connects to the client's PORT: hello (sends it, reads to the
 *					end, remembered under "dialled-PORT"), rst (resets after
 *					100 ms), udp (one datagram "dialled"); answers 0
 *	TCP 7001	"hello" and FIN at once
 *	TCP 7002	a reset at once
 *	UDP 7003	echo	UDP 7004: answers from another port	UDP 7006: "N": N datagrams
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 128, MEMORY = 64, BLOCK = 4096, STACK_BYTES = 128 * 1024 };

static struct {
	char id[32], text[64];
} memory[MEMORY];
static unsigned int remembered;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void nap_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static void reset(int fd)
{
	struct linger now = {1, 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void put(int fd, const char *text)
{
	(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void send_bytes(int fd, int n)
{
	static const char block[BLOCK] = "dddddddd";

	while (n > 0) {
		ssize_t sent = send(fd, block, (size_t)(n < BLOCK ? n : BLOCK), MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		n -= (int)sent;
	}
}

/* Reads to the end: "COUNT and end of file" or "COUNT and reset". */
static void count(int fd, char *text, size_t size)
{
	char block[BLOCK];
	unsigned long total = 0;
	ssize_t n;

	while ((n = recv(fd, block, sizeof(block), 0)) > 0)
		total += (unsigned long)n;
	snprintf(text, size, "%lu and %s", total, n ? strerrorname_np(errno) : "end of file");
}

static void remember(const char *id, const char *text)
{
	pthread_mutex_lock(&lock);
	snprintf(memory[remembered % MEMORY].id, sizeof(memory[0].id), "%s", id);
	snprintf(memory[remembered++ % MEMORY].text, sizeof(memory[0].text), "%s", text);
	pthread_mutex_unlock(&lock);
}

static void recall(int fd, const char *id)
{
	for (int tries = 0; tries < 6000; tries++) {
		pthread_mutex_lock(&lock);
		for (unsigned int i = 0; i < MEMORY; i++) {
			if (strcmp(memory[i].id, id) == 0) {
				put(fd, memory[i].text);
				memory[i].id[0] = '\0';
				pthread_mutex_unlock(&lock);
				return;
			}
		}
		pthread_mutex_unlock(&lock);
		nap_ms(10);
	}
	put(fd, "nothing");
}

static void whoami(int fd)
{
	struct sockaddr_in6 a;
	socklen_t len = sizeof(a);
	char ip[INET6_ADDRSTRLEN] = "", text[80];

	getpeername(fd, (struct sockaddr *)&a, &len);
	inet_ntop(AF_INET6, &a.sin6_addr, ip, sizeof(ip));
	snprintf(text, sizeof(text), "%s %d", strncmp(ip, "::ffff:", 7) == 0 ? ip + 7 : ip,
		 ntohs(a.sin6_port));
	put(fd, text);
}

static void dial(int control, int port, const char *how)
{
	struct sockaddr_in6 a;
	socklen_t len = sizeof(a);
	char id[32], text[64];
	int fd = socket(AF_INET6, strcmp(how, "udp") ? SOCK_STREAM : SOCK_DGRAM, 0);

	getpeername(control, (struct sockaddr *)&a, &len);
	a.sin6_port = htons((uint16_t)port);
	if (connect(fd, (struct sockaddr *)&a, len)) {
		put(control, strerrorname_np(errno));
		close(fd);
		return;
	}
	put(control, "connected");
	if (strcmp(how, "rst") == 0) {
		nap_ms(100);
		reset(fd);
		return;
	}
	put(fd, strcmp(how, "udp") ? "hello" : "dialled");
	if (strcmp(how, "hello") == 0) {
		count(fd, text, sizeof(text));
		snprintf(id, sizeof(id), "dialled-%d", port);
		remember(id, text);
	}
	close(fd);
}

/* Reads the first line, byte by byte. */
static int read_line(int fd, char *line)
{
	size_t n = 0;

	while (n < LINE_BYTES - 1 && recv(fd, line + n, 1, 0) == 1) {
		if (line[n] == '\n') {
			line[n] = '\0';
			return 0;
		}
		n++;
	}
	return -1;
}

static void echo(int fd)
{
	char block[BLOCK];
	ssize_t n;

	while ((n = recv(fd, block, sizeof(block), 0)) > 0)
		(void)!send(fd, block, (size_t)n, MSG_NOSIGNAL);
}

static void obey(int fd, const char *line)
{
	char word[LINE_BYTES] = "", argument[LINE_BYTES] = "", more[LINE_BYTES] = "", text[64];

	sscanf(line, "%s %s %s", word, argument, more);
	if (strcmp(word, "echo") == 0) {
		echo(fd);
	} else if (strcmp(word, "fin") == 0) {
		send_bytes(fd, atoi(argument));
	} else if (strcmp(word, "rst") == 0) {
		send_bytes(fd, atoi(argument));
		nap_ms(100);
		reset(fd);
		return;
	} else if (strcmp(word, "sink") == 0 || strcmp(word, "later") == 0) {
		nap_ms(atoi(argument));
		count(fd, text, sizeof(text));
		put(fd, text);
	} else if (strcmp(word, "watch") == 0) {
		count(fd, text, sizeof(text));
		remember(argument, text);
	} else if (strcmp(word, "afterfin") == 0) {
		shutdown(fd, SHUT_WR);
		count(fd, text, sizeof(text));
		remember("afterfin", text);
	} else if (strcmp(word, "report") == 0) {
		recall(fd, argument);
	} else if (strcmp(word, "whoami") == 0) {
		whoami(fd);
	} else if (strcmp(word, "hold") == 0) {
		nap_ms(10000);
	} else if (strcmp(word, "dial") == 0) {
		dial(fd, atoi(argument), more);
	}
	close(fd);
}

static void *serve_command(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char line[LINE_BYTES];

	if (read_line(fd, line) == 0)
		obey(fd, line);
	else
		close(fd);
	return NULL;
}

static int make_socket(int type, int port)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	int fd = socket(AF_INET6, type, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a))) {
		perror("bind");
		exit(1);
	}
	if (type == SOCK_STREAM && listen(fd, 16384)) {
		perror("listen");
		exit(1);
	}
	return fd;
}

static void udp_answer(int fd, int other, int port)
{
	struct sockaddr_in6 from;
	socklen_t len = sizeof(from);
	static char data[65536];
	char number[16];
	ssize_t n = recvfrom(fd, data, sizeof(data) - 1, 0, (struct sockaddr *)&from, &len);

	if (n < 0)
		return;
	data[n] = '\0';
	if (port != 7006) {
		sendto(port == 7004 ? other : fd, data, (size_t)n, 0, (struct sockaddr *)&from,
		       len);
		return;
	}
	for (int i = 0; i < atoi(data); i++) {
		int digits = snprintf(number, sizeof(number), "%d", i);

		sendto(fd, number, (size_t)digits, 0, (struct sockaddr *)&from, len);
	}
}

static void accept_one(int fd, int port)
{
	int conn = accept(fd, NULL, NULL);
	pthread_attr_t attr;
	pthread_t thread;

	if (conn < 0)
		return;
	if (port == 7001) {
		put(conn, "hello");
		close(conn);
	} else if (port == 7002) {
		reset(conn);
	} else {
		pthread_attr_init(&attr);
		pthread_attr_setstacksize(&attr, STACK_BYTES);
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		if (pthread_create(&thread, &attr, serve_command, (void *)(intptr_t)conn))
			close(conn);
		pthread_attr_destroy(&attr);
	}
}

int main(void)
{
	static const int ports[] = {7000, 7001, 7002, 7003, 7004, 7006};
	enum { N = sizeof(ports) / sizeof(*ports), FIRST_UDP = 3 };
	struct pollfd p[N];
	struct rlimit r;
	int other;

	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < N; i++)
		p[i] = (struct pollfd){
			make_socket(i < FIRST_UDP ? SOCK_STREAM : SOCK_DGRAM, ports[i]), POLLIN, 0};
	other = make_socket(SOCK_DGRAM, 7005);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		poll(p, N, -1);
		for (int i = 0; i < N; i++) {
			if (!(p[i].revents & POLLIN))
				continue;
			if (i < FIRST_UDP)
				accept_one(p[i].fd, ports[i]);
			else
				udp_answer(p[i].fd, other, ports[i]);
		}
	}
}
