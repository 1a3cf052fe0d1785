/* SPDX-License-Identifier: MIT */
/*
 * floor.c - what a byte costs at least
 *
 * usage: floor
 *
 * The tunnel process without TCP, IP and WireGuard: 62,100 bytes at a time, which is what one
 * UDP_SEGMENT message carries, are read from an AF_UNIX socket, sealed with the fastest AEAD
 * provider and sent over loopback ("up"), or received with UDP_GRO, opened and written to an
 * AF_UNIX socket ("down"). Other processes are the program and the peer. One line a direction: "WAY
 * UNIX AEAD UDP", CPU seconds per 10^9 bytes; the least of ROUNDS.
 *
 * On loopback, as on a veth, a packet's way through the receiver's kernel is the sender's time.
 */
#include <err.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "wg/aead.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
	PAYLOAD_BYTES = 1380,
	TEXT_BYTES = 1420,
	HEADER_BYTES = 16,
	STRIDE_BYTES = HEADER_BYTES + TEXT_BYTES + WG_TAG_BYTES,
	BATCH = 45,
	ALL_PAYLOAD_BYTES = BATCH * PAYLOAD_BYTES,
	BATCHES = 3000,
	ROUNDS = 7,
	APP_BUFFER_BYTES =
		256 * 1024, /* SO_SNDBUF of an application's socket, before the kernel doubles it */
	UDP_BUFFER_BYTES = 7 << 20,
	APP_WRITE_BYTES = 128 * 1024, /* iperf3's */
};

enum { UNIX, AEAD, UDP, STEPS };

/* Sockets: the application's and ours; ours and the peer's */
static int app[2], outer[2];
static uint8_t arena[BATCH * STRIDE_BYTES], bytes[APP_WRITE_BYTES];
static struct wg_aead_job jobs[BATCH];
static struct wg_aead aead;
static const uint8_t key[WG_SYMMETRIC_KEY_BYTES] = {1};

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void open_sockets(void)
{
	int app_buffer = APP_BUFFER_BYTES, udp_buffer = UDP_BUFFER_BYTES, one = 1;
	int stride = STRIDE_BYTES;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, app) < 0)
		err(1, "socketpair");
	for (int i = 0; i < 2; i++) {
		struct sockaddr_in sin = {.sin_family = AF_INET,
					  .sin_addr = {htonl(INADDR_LOOPBACK)}};
		socklen_t len = sizeof(sin);

		setsockopt(app[i], SOL_SOCKET, SO_SNDBUF, &app_buffer, sizeof(app_buffer));
		outer[i] = socket(AF_INET, SOCK_DGRAM, 0);
		if (outer[i] < 0 || bind(outer[i], (struct sockaddr *)&sin, sizeof(sin)) < 0 ||
		    setsockopt(outer[i], IPPROTO_UDP, UDP_SEGMENT, &stride, sizeof(stride)) < 0 ||
		    setsockopt(outer[i], IPPROTO_UDP, UDP_GRO, &one, sizeof(one)) < 0)
			err(1, "a UDP socket with UDP_SEGMENT and UDP_GRO");
		setsockopt(outer[i], SOL_SOCKET, SO_RCVBUFFORCE, &udp_buffer, sizeof(udp_buffer));
		setsockopt(outer[i], SOL_SOCKET, SO_SNDBUFFORCE, &udp_buffer, sizeof(udp_buffer));
		getsockname(outer[i], (struct sockaddr *)&sin, &len);
		if (i == 1 && connect(outer[0], (struct sockaddr *)&sin, len) < 0)
			err(1, "connect");
		getsockname(outer[0], (struct sockaddr *)&sin, &len);
		if (i == 1 && connect(outer[1], (struct sockaddr *)&sin, len) < 0)
			err(1, "connect");
	}
}

/* ---- the others ---- */

static void app_writes(void)
{
	while (write(app[0], bytes, sizeof(bytes)) > 0)
		;
}

static void app_reads(void)
{
	while (read(app[0], bytes, sizeof(bytes)) > 0)
		;
}

static void peer_receives(void)
{
	while (recv(outer[1], bytes, sizeof(bytes), 0) > 0)
		;
}

/* The same batch again and again; what overflows is lost. */
static void peer_sends(void)
{
	aead.provider->seal(aead.ctx, key, jobs, BATCH);
	while (send(outer[1], arena, sizeof(arena), 0) > 0)
		;
}

static pid_t start(void (*what)(void))
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		close(app[1]);
		what();
		_exit(0);
	}
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ---- the steps ---- */

static void read_all(void)
{
	if (recv(app[1], arena, ALL_PAYLOAD_BYTES, MSG_WAITALL) != ALL_PAYLOAD_BYTES)
		err(1, "recv");
}

static void write_all(void)
{
	if (send(app[1], arena, ALL_PAYLOAD_BYTES, 0) != ALL_PAYLOAD_BYTES)
		err(1, "send");
}

static void seal_all(void)
{
	aead.provider->seal(aead.ctx, key, jobs, BATCH);
}

static void open_all(void)
{
	aead.provider->open(aead.ctx, key, jobs, BATCH);
}

static void send_all(void)
{
	if (send(outer[0], arena, sizeof(arena), 0) != sizeof(arena))
		err(1, "sendto");
}

static void receive_all(void)
{
	size_t got = 0;
	ssize_t n;

	for (; got < sizeof(arena); got += (size_t)n)
		if ((n = recv(outer[0], arena + got, sizeof(arena) - got, 0)) <= 0)
			err(1, "recv from the peer");
}

/* Adds up what each step costs. */
static void run(void (*const steps[STEPS])(void), const int order[STEPS], double cost[STEPS])
{
	memset(cost, 0, STEPS * sizeof(cost[0]));
	for (int i = 0; i < BATCHES; i++) {
		double before = cpu_s(), after;

		for (int k = 0; k < STEPS; k++, before = after) {
			steps[order[k]]();
			after = cpu_s();
			cost[order[k]] += after - before;
		}
	}
	for (int k = 0; k < STEPS; k++)
		cost[k] *= 1e9 / ((double)ALL_PAYLOAD_BYTES * BATCHES);
}

static void measure(const char *way, void (*program)(void), void (*peer)(void),
		    void (*const steps[STEPS])(void), const int order[STEPS])
{
	double best[STEPS] = {0}, total = 0;

	for (int round = 0; round < ROUNDS; round++) {
		double cost[STEPS], sum = 0;
		pid_t pids[2];

		open_sockets();
		pids[0] = start(program);
		pids[1] = start(peer);
		run(steps, order, cost);
		for (int i = 0; i < 2; i++) {
			end(pids[i]);
			close(app[i]);
			close(outer[i]);
		}
		for (int k = 0; k < STEPS; k++)
			sum += cost[k];
		if (round == 0 || sum < total) {
			total = sum;
			memcpy(best, cost, sizeof(best));
		}
	}
	printf("%s %.3f %.3f %.3f\n", way, best[UNIX], best[AEAD], best[UDP]);
}

int main(void)
{
	static void (*const up[STEPS])(void) = {read_all, seal_all, send_all};
	static void (*const down[STEPS])(void) = {write_all, open_all, receive_all};
	static const int outwards[STEPS] = {UNIX, AEAD, UDP}, inwards[STEPS] = {UDP, AEAD, UNIX};

	for (size_t i = 0; wg_aead_providers[i] && !aead.ctx; i++) {
		aead.provider = wg_aead_providers[i];
		if (wg_aead_check(aead.provider))
			aead.ctx = aead.provider->create();
	}
	if (!aead.ctx)
		errx(1, "no AEAD provider");
	for (size_t i = 0; i < BATCH; i++)
		jobs[i] = (struct wg_aead_job){.data = arena + i * STRIDE_BYTES + HEADER_BYTES,
					       .len = TEXT_BYTES,
					       .counter = i};
	measure("up", app_writes, peer_receives, up, outwards);
	measure("down", app_reads, peer_sends, down, inwards);
	wg_aead_free(&aead);
	return 0;
}
