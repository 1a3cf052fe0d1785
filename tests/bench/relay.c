/* SPDX-License-Identifier: MIT */
/*
 * relay.c - a path with delay, loss and a bottleneck, for UDP
 *
 * usage: relay DELAY-MS LOSS-PERCENT RATE-MBIT QUEUE ADDRESS PORT TO-ADDRESS TO-PORT ...
 *
 * Carries datagrams between the last client that sent to ADDRESS:PORT and TO-ADDRESS:TO-PORT, in
 * both directions alike: each is lost with the given probability; what is not lost waits for the
 * bottleneck (RATE 0: none), is dropped when QUEUE packets wait there already, and arrives DELAY
 * later. With a K behind it, QUEUE is the size of a policer's bucket in KiB: nothing waits, and
 * what the bucket has no tokens for is dropped. Several pairs of addresses share all that. Prints
 * "ready", and at SIGTERM how many datagrams each direction carried, lost and dropped.
 *
 * A path costs its users nothing, so this one should cost little: what arrives together is taken by
 * one call (UDP_GRO), and so leaves what is due together (UDP_SEGMENT).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
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
	SLOTS = 1 << 16, /* datagrams under way in one direction: 2 Gbit/s for 350 ms */
	DATAGRAM_BYTES = 1664,
	TAKE_BYTES = 512 << 10,	  /* at once, before what is due leaves */
	BLOCK_BYTES = 1 << 16,	  /* datagrams that arrive together */
	GIVE_BYTES = 60000,	  /* and that leave together */
	GIVE_DATAGRAMS = 64,	  /* UDP_MAX_SEGMENTS of old kernels */
	WIRE_OVERHEAD_BYTES = 28, /* IPv4 and UDP headers count at the bottleneck */
	SOCKET_BUFFER_BYTES = 8 << 20,
	WAYS_MAX = 4,
	WAY_ARGS = 4,
	PATH_ARGS = 4,
};

/**
 * struct way - one pair of addresses
 * @here, @there: sockets towards the client and towards TO-ADDRESS
 */
struct way {
	int here, there;
	struct sockaddr_in client;
};

struct slot {
	uint64_t due_ns;
	struct way *way;
	uint32_t len;
	uint8_t data[DATAGRAM_BYTES];
};

struct direction {
	bool up;
	struct slot *ring;
	uint32_t head, tail; /* head: next to leave; both run freely */
	uint32_t queued;     /* first that the bottleneck has not sent */
	uint64_t free_at_ns; /* when the bottleneck has sent all that it has; a policer's bucket is
				full when that is as long ago as its bytes take */
	uint64_t carried, lost, dropped;
};

struct path {
	uint64_t delay_ns, loss_2_32, rate_bit_s, queue, bucket_ns;
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

static uint64_t time_of(const struct path *p, uint64_t bytes)
{
	return bytes * 8 * 1000000000 / p->rate_bit_s;
}

/* How many wait for the bottleneck, whatever their size */
static uint32_t waiting(const struct path *p, struct direction *d, uint64_t now)
{
	if ((int32_t)(d->head - d->queued) > 0)
		d->queued = d->head;
	while (d->queued != d->tail && d->ring[d->queued % SLOTS].due_ns - p->delay_ns <= now)
		d->queued++;
	return d->tail - d->queued;
}

/* Decides about the datagram in the ring's next slot. */
static void enter(struct path *p, struct direction *d, uint32_t len, uint64_t now)
{
	struct slot *s = &d->ring[d->tail % SLOTS];
	uint64_t earliest = now - p->bucket_ns, leaves = now;
	uint64_t start = d->free_at_ns > earliest ? d->free_at_ns : earliest;

	if (draw(p) < p->loss_2_32) {
		d->lost++;
		return;
	}
	if (p->rate_bit_s) {
		uint64_t end = start + time_of(p, len + WIRE_OVERHEAD_BYTES);

		if (p->bucket_ns ? end > now : waiting(p, d, now) >= p->queue) {
			d->dropped++;
			return;
		}
		d->free_at_ns = end;
		leaves = p->bucket_ns ? now : end;
	}
	s->due_ns = leaves + p->delay_ns;
	s->len = len;
	d->tail++;
}

/* Takes what has arrived together for @w: its length, 0 if nothing has. @segment: that of each
 * datagram but the last */
static size_t take_block(const struct direction *d, struct way *w, uint8_t *block, size_t *segment)
{
	struct iovec iov = {block, BLOCK_BYTES};
	char control[CMSG_SPACE(sizeof(int))];
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	ssize_t n;
	int size;

	if (d->up) {
		msg.msg_name = &w->client;
		msg.msg_namelen = sizeof(w->client);
	}
	n = recvmsg(d->up ? w->here : w->there, &msg, MSG_DONTWAIT);
	if (n <= 0)
		return 0;
	*segment = (size_t)n;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
		memcpy(&size, CMSG_DATA(c), sizeof(size));
		*segment = (size_t)size;
	}
	return (size_t)n;
}

/* Takes what has arrived for @w. */
static void take(struct path *p, struct direction *d, struct way *w)
{
	static uint8_t block[BLOCK_BYTES];
	size_t taken = 0, n, segment, at;

	while (taken < TAKE_BYTES && (n = take_block(d, w, block, &segment)) > 0) {
		uint64_t now = now_ns();

		for (at = 0; at < n; at += segment) {
			struct slot *s = &d->ring[d->tail % SLOTS];
			size_t len = n - at < segment ? n - at : segment;

			if (d->tail - d->head == SLOTS || len > DATAGRAM_BYTES) {
				fprintf(stderr, "relay: %zu bytes after %u datagrams\n", len,
					d->tail - d->head);
				exit(1);
			}
			memcpy(s->data, block + at, len);
			s->way = w;
			enter(p, d, (uint32_t)len, now);
		}
		taken += n;
	}
}

/* How many of the datagrams that are due may leave together: all but the last are of one length. */
static unsigned int due_together(const struct direction *d, struct iovec *iov)
{
	const struct slot *first = &d->ring[d->head % SLOTS];
	uint64_t now = now_ns();
	size_t bytes = 0;
	unsigned int n = 0;

	while (n < GIVE_DATAGRAMS && d->head + n != d->tail) {
		struct slot *s = &d->ring[(d->head + n) % SLOTS];

		if (s->due_ns > now || s->way != first->way || s->len > first->len ||
		    bytes + s->len > GIVE_BYTES)
			break;
		iov[n++] = (struct iovec){s->data, s->len};
		bytes += s->len;
		if (s->len < first->len)
			break;
	}
	return n;
}

/* Sends @n datagrams of @segment bytes, the last one may be shorter. */
static bool send_together(const struct direction *d, struct way *w, struct iovec *iov,
			  unsigned int n, uint16_t segment)
{
	char control[CMSG_SPACE(sizeof(segment))] = {0};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n};
	struct cmsghdr *c;

	if (!d->up) {
		msg.msg_name = &w->client;
		msg.msg_namelen = sizeof(w->client);
	}
	if (n > 1) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(segment));
		memcpy(CMSG_DATA(c), &segment, sizeof(segment));
	}
	return sendmsg(d->up ? w->there : w->here, &msg, 0) >= 0;
}

/* Hands over what is due. Returns when the next one is due. */
static uint64_t give(struct direction *d)
{
	struct iovec iov[GIVE_DATAGRAMS];

	while (d->head != d->tail) {
		struct slot *first = &d->ring[d->head % SLOTS];
		unsigned int n = due_together(d, iov);
		bool sent;

		if (n == 0)
			return first->due_ns;
		sent = send_together(d, first->way, iov, n, (uint16_t)first->len);
		if (!sent && n > 1) { /* no UDP_SEGMENT here, or an ICMP error of an earlier one */
			n = 1;
			sent = send_together(d, first->way, iov, 1, 0);
		}
		/* an ICMP error, or no client yet, stands for one that did not go */
		d->head += n;
		d->carried += sent ? n : 0;
	}
	return UINT64_MAX;
}

static int udp_socket(void)
{
	const int bytes = SOCKET_BUFFER_BYTES, on = 1;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		perror("relay: socket");
		exit(1);
	}
	setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)); /* without it they come one by one */
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

static void open_way(struct way *w, char **argv)
{
	struct sockaddr_in here = address(argv[0], argv[1]), there = address(argv[2], argv[3]);

	*w = (struct way){.here = udp_socket(), .there = udp_socket()};
	if (bind(w->here, (struct sockaddr *)&here, sizeof(here)) ||
	    connect(w->there, (struct sockaddr *)&there, sizeof(there))) {
		perror("relay");
		exit(1);
	}
}

static void run(struct path *path, struct way *ways, nfds_t n_ways)
{
	struct direction up = {.up = true, .ring = calloc(SLOTS, sizeof(*up.ring))};
	struct direction down = {.ring = calloc(SLOTS, sizeof(*down.ring))};
	struct pollfd fds[2 * WAYS_MAX];

	for (nfds_t i = 0; i < n_ways; i++) {
		fds[2 * i] = (struct pollfd){ways[i].here, POLLIN, 0};
		fds[2 * i + 1] = (struct pollfd){ways[i].there, POLLIN, 0};
	}
	while (!ended && up.ring && down.ring) {
		uint64_t next_up = give(&up), next_down = give(&down);
		uint64_t next = next_up < next_down ? next_up : next_down, now = now_ns();
		uint64_t wait = next > now ? next - now : 0;
		struct timespec t = {(time_t)(wait / 1000000000), (long)(wait % 1000000000)};

		if (ppoll(fds, 2 * n_ways, next == UINT64_MAX ? NULL : &t, NULL) < 0)
			continue;
		for (nfds_t i = 0; i < n_ways; i++) {
			if (fds[2 * i].revents)
				take(path, &up, &ways[i]);
			if (fds[2 * i + 1].revents)
				take(path, &down, &ways[i]);
		}
	}
	report("up", &up);
	report("down", &down);
}

int main(int argc, char **argv)
{
	struct way ways[WAYS_MAX];
	struct path path;
	int n_ways = (argc - 1 - PATH_ARGS) / WAY_ARGS;

	if (n_ways < 1 || n_ways > WAYS_MAX || argc != 1 + PATH_ARGS + n_ways * WAY_ARGS) {
		fprintf(stderr, "usage: relay DELAY-MS LOSS-PERCENT RATE-MBIT QUEUE "
				"ADDRESS PORT TO-ADDRESS TO-PORT ...\n");
		return 2;
	}
	path = (struct path){
		.delay_ns = (uint64_t)(atof(argv[1]) * 1e6),
		.loss_2_32 = (uint64_t)(atof(argv[2]) / 100 * 4294967296.0),
		.rate_bit_s = (uint64_t)(atof(argv[3]) * 1e6),
		.queue = (uint64_t)atoll(argv[4]),
		.random = UINT64_C(0x9e3779b97f4a7c15),
	};
	if (strchr(argv[4], 'K') && path.rate_bit_s)
		path.bucket_ns = time_of(&path, path.queue << 10);
	for (int i = 0; i < n_ways; i++)
		open_way(&ways[i], argv + 1 + PATH_ARGS + i * WAY_ARGS);
	signal(SIGTERM, end);
	puts("ready");
	fflush(stdout);
	run(&path, ways, (nfds_t)n_ways);
	return 0;
}
