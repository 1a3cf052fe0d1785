// SPDX-License-Identifier: MIT
/*
 * relay.c - a path with delay, loss and a bottleneck, for UDP
 *
 * usage: relay ADDRESS PORT TO-ADDRESS TO-PORT DELAY-MS LOSS-PERCENT RATE-MBIT QUEUE-PACKETS [SEED]
 *
 * Carries datagrams between the last client that sent to ADDRESS:PORT and TO-ADDRESS:TO-PORT, in both
 * directions alike: each is lost with the given probability; what is not lost waits for the bottleneck
 * (RATE 0: none), is dropped when QUEUE-PACKETS wait there already, and arrives DELAY later. Loss is drawn from
 * SEED. Prints "ready", and at SIGTERM how many datagrams each direction carried, lost and dropped.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	SLOTS = 1 << 14, /* datagrams under way in one direction: 600 Mbit/s for 300 ms */
	DATAGRAM_BYTES = 1664,
	BATCH = 32,
	WIRE_OVERHEAD_BYTES = 28, /* IPv4 and UDP headers count at the bottleneck */
	SOCKET_BUFFER_BYTES = 8 << 20,
};

struct slot {
	uint64_t due_ns;
	uint32_t len;
	uint8_t data[DATAGRAM_BYTES];
};

struct direction {
	struct slot *ring;
	uint32_t head, tail;	/* head: next to leave; both run freely */
	uint64_t free_at_ns;	/* when the bottleneck has sent all that it has */
	uint64_t carried, lost, dropped;
};

struct path {
	uint64_t delay_ns, loss_2_32, rate_bit_s, queue;
	uint64_t random;
};

static volatile sig_atomic_t ended;

static void end(int sig)
{
	(void)sig;
	ended = 1;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* xorshift64*: the upper half is good enough for drawing losses */
static uint32_t draw(struct path *p)
{
	p->random ^= p->random >> 12;
	p->random ^= p->random << 25;
	p->random ^= p->random >> 27;
	return (uint32_t)(p->random * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

/* Decides about the datagram in the ring's next slot. */
static void enter(struct path *p, struct direction *d, uint32_t len, uint64_t now)
{
	struct slot *s = &d->ring[d->tail % SLOTS];
	uint64_t start = d->free_at_ns > now ? d->free_at_ns : now;
	uint64_t bits = (uint64_t)(len + WIRE_OVERHEAD_BYTES) * 8;

	if (draw(p) < p->loss_2_32) {
		d->lost++;
		return;
	}
	if (p->rate_bit_s) {
		/* what waits there, in packets of this size */
		if ((start - now) * p->rate_bit_s / 1000000000 / bits >= p->queue) {
			d->dropped++;
			return;
		}
		d->free_at_ns = start + bits * 1000000000 / p->rate_bit_s;
		start = d->free_at_ns;
	}
	s->due_ns = start + p->delay_ns;
	s->len = len;
	d->tail++;
}

/* Takes what has arrived at @fd. @from: where the last one came from, or NULL. */
static void take(struct path *p, struct direction *d, int fd, struct sockaddr_in *from)
{
	for (int i = 0; i < BATCH * 8; i++) {
		struct slot *s = &d->ring[d->tail % SLOTS];
		socklen_t from_len = sizeof(*from);
		ssize_t n;

		if (d->tail - d->head == SLOTS) {
			fprintf(stderr, "relay: more under way than %d datagrams\n", SLOTS);
			exit(1);
		}
		n = recvfrom(fd, s->data, sizeof(s->data), MSG_DONTWAIT,
			     (struct sockaddr *)from, from ? &from_len : NULL);
		if (n < 0)
			return;
		enter(p, d, (uint32_t)n, now_ns());
	}
}

/* Hands over what is due to @to (NULL: @fd is connected). Returns when the next one is due. */
static uint64_t give(struct direction *d, int fd, const struct sockaddr_in *to)
{
	while (d->head != d->tail) {
		struct mmsghdr msgs[BATCH] = {0};
		struct iovec iov[BATCH];
		uint64_t now = now_ns();
		unsigned int n = 0;
		int sent;

		while (n < BATCH && d->head + n != d->tail) {
			struct slot *s = &d->ring[(d->head + n) % SLOTS];

			if (s->due_ns > now)
				break;
			iov[n] = (struct iovec){s->data, s->len};
			msgs[n].msg_hdr.msg_iov = &iov[n];
			msgs[n].msg_hdr.msg_iovlen = 1;
			if (to) {
				msgs[n].msg_hdr.msg_name = (void *)to;
				msgs[n].msg_hdr.msg_namelen = sizeof(*to);
			}
			n++;
		}
		if (n == 0)
			return d->ring[d->head % SLOTS].due_ns;
		sent = sendmmsg(fd, msgs, n, 0);
		/* an ICMP error of an earlier one stands for one that did not go */
		d->head += sent > 0 ? (uint32_t)sent : 1;
		d->carried += sent > 0 ? (uint64_t)sent : 0;
	}
	return UINT64_MAX;
}

static int udp_socket(void)
{
	const int bytes = SOCKET_BUFFER_BYTES;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		perror("relay: socket");
		exit(1);
	}
	/* more than rmem_max where we may */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return fd;
}

static struct sockaddr_in address(const char *host, const char *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

	if (inet_pton(AF_INET, host, &a.sin_addr) != 1) {
		fprintf(stderr, "relay: %s is no IPv4 address\n", host);
		exit(2);
	}
	return a;
}

static void report(const char *name, const struct direction *d)
{
	printf("%s: %llu carried, %llu lost, %llu dropped\n", name, (unsigned long long)d->carried,
	       (unsigned long long)d->lost, (unsigned long long)d->dropped);
}

int main(int argc, char **argv)
{
	struct direction up = {0}, down = {0};
	struct sockaddr_in here, there, client = {0};
	struct path path;
	struct pollfd fds[2];

	if (argc < 9) {
		fprintf(stderr, "usage: relay ADDRESS PORT TO-ADDRESS TO-PORT DELAY-MS LOSS-PERCENT "
				"RATE-MBIT QUEUE-PACKETS [SEED]\n");
		return 2;
	}
	here = address(argv[1], argv[2]);
	there = address(argv[3], argv[4]);
	path = (struct path){
		.delay_ns = (uint64_t)(atof(argv[5]) * 1e6),
		.loss_2_32 = (uint64_t)(atof(argv[6]) / 100 * 4294967296.0),
		.rate_bit_s = (uint64_t)(atof(argv[7]) * 1e6),
		.queue = (uint64_t)atoll(argv[8]),
		.random = UINT64_C(0x9e3779b97f4a7c15) ^ (argc > 9 ? (uint64_t)atoll(argv[9]) : 1),
	};
	up.ring = calloc(SLOTS, sizeof(*up.ring));
	down.ring = calloc(SLOTS, sizeof(*down.ring));
	fds[0] = (struct pollfd){udp_socket(), POLLIN, 0};
	fds[1] = (struct pollfd){udp_socket(), POLLIN, 0};
	if (!up.ring || !down.ring || bind(fds[0].fd, (struct sockaddr *)&here, sizeof(here)) ||
	    connect(fds[1].fd, (struct sockaddr *)&there, sizeof(there))) {
		perror("relay");
		return 1;
	}
	signal(SIGTERM, end);
	puts("ready");
	fflush(stdout);
	while (!ended) {
		uint64_t next_up = give(&up, fds[1].fd, NULL);
		uint64_t next_down = client.sin_port ? give(&down, fds[0].fd, &client) : UINT64_MAX;
		uint64_t next = next_up < next_down ? next_up : next_down, now = now_ns();
		uint64_t wait = next > now ? next - now : 0;
		struct timespec t = {(time_t)(wait / 1000000000), (long)(wait % 1000000000)};

		if (ppoll(fds, 2, next == UINT64_MAX ? NULL : &t, NULL) < 0)
			continue;
		if (fds[0].revents)
			take(&path, &up, fds[0].fd, &client);
		if (fds[1].revents)
			take(&path, &down, fds[1].fd, NULL);
	}
	report("up", &up);
	report("down", &down);
	return 0;
}
