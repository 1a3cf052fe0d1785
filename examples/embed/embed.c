/* SPDX-License-Identifier: MIT */
/*
 * embed.c - a WireGuard peer in one process: ping, or answer pings, without a network device
 *
 * usage: embed PRIVATE PEER_PUBLIC PORT			answers pings as 10.0.0.1
 *        embed PRIVATE PEER_PUBLIC PORT ADDRESS PEER_PORT	pings 10.0.0.1 from 10.0.0.2, 3 times
 *
 * Keys as wg(8) writes them; PORT is our UDP port, 0: any. What an embedder has to do is here and
 * nothing else: offer time, randomness and output, bring datagrams and packets, call the tick.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <wg/wg.h>

enum { MTU = 1420, PING_BYTES = 60, ICMP = 20, PINGS = 3, ECHO_REPLY = 0, ECHO_REQUEST = 8 };

struct app {
	int udp;
	struct wg_device *dev;
	int answered;
};

static uint64_t now(void *ctx)
{
	struct timespec ts;

	(void)ctx;
	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void realtime(void *ctx, struct timespec *ts)
{
	(void)ctx;
	clock_gettime(CLOCK_REALTIME, ts);
}

static void random_bytes(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	randombytes_buf(buf, len);
}

static void transmit(void *ctx, const struct wg_endpoint *to, const uint8_t *buf, size_t stride,
		     size_t count, size_t last, uint8_t tos)
{
	struct app *app = ctx;

	(void)tos;
	for (size_t i = 0; i < count; i++)
		sendto(app->udp, buf + i * stride, i + 1 < count ? stride : last, 0, &to->to.sa,
		       sizeof(to->to.in));
}

static uint16_t checksum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t) ~((sum & 0xffff) + (sum >> 16)));
}

/* An authenticated packet, from an address that the peer may use: answered from within the call. */
static void deliver(void *ctx, struct wg_peer *from, uint8_t *packet, size_t len)
{
	struct app *app = ctx;
	struct wg_peer_stats stats;
	uint16_t sum = 0;
	uint8_t *reply;

	if (len < PING_BYTES || packet[0] != 0x45 || packet[9] != IPPROTO_ICMP)
		return;
	if (packet[ICMP] == ECHO_REPLY) {
		wg_peer_stats(from, &stats);
		printf("reply %d, %zu bytes; %llu bytes in, %llu out\n", ++app->answered, len,
		       (unsigned long long)stats.rx_bytes, (unsigned long long)stats.tx_bytes);
		return;
	}
	reply = wg_device_tx_buffer(app->dev, len);
	memcpy(reply, packet, len);
	memcpy(reply + 12, packet + 16, 4); /* the addresses change places */
	memcpy(reply + 16, packet + 12, 4);
	reply[ICMP] = ECHO_REPLY;
	memcpy(reply + ICMP + 2, &sum, 2);
	sum = checksum(reply + ICMP, (len - ICMP) & ~(size_t)1);
	memcpy(reply + ICMP + 2, &sum, 2);
	wg_device_tx_commit(app->dev, len);
}

static void event(void *ctx, struct wg_peer *peer, enum wg_event what)
{
	(void)ctx;
	(void)peer;
	if (what == WG_EVENT_HANDSHAKE_DONE)
		puts("a session is established");
}

static const struct wg_ops ops = {.now = now,
				  .realtime = realtime,
				  .random = random_bytes,
				  .transmit = transmit,
				  .deliver = deliver,
				  .event = event};

static void ping(struct app *app, uint8_t number)
{
	static const uint8_t header[20] = {0x45, 0, 0,	PING_BYTES, 0, 0, 0,  0, 64, IPPROTO_ICMP,
					   0,	 0, 10, 0,	    0, 2, 10, 0, 0,  1};
	uint8_t *p = wg_device_tx_buffer(app->dev, PING_BYTES);
	uint16_t sum;

	memset(p, 0, PING_BYTES);
	memcpy(p, header, sizeof(header));
	sum = checksum(p, sizeof(header));
	memcpy(p + 10, &sum, 2);
	p[ICMP] = ECHO_REQUEST;
	p[ICMP + 7] = number;
	sum = checksum(p + ICMP, PING_BYTES - ICMP);
	memcpy(p + ICMP + 2, &sum, 2);
	wg_device_tx_commit(app->dev, PING_BYTES);
}

/* Waits for a datagram, at most until the engine's deadline or @until, and hands it over. */
static void turn(struct app *app, uint64_t until)
{
	static uint8_t buf[65536];
	struct wg_endpoint from = {0};
	struct pollfd pfd = {.fd = app->udp, .events = POLLIN};
	socklen_t from_len = sizeof(from.to.in);
	uint64_t due, time = now(app);
	ssize_t n;

	wg_device_flush(app->dev);
	due = wg_device_next_deadline(app->dev);
	if (until < due)
		due = until;
	poll(&pfd, 1,
	     due <= time	       ? 0
	     : due - time > 1000000000 ? 1000
				       : (int)((due - time) / 1000000 + 1));
	n = recvfrom(app->udp, buf, sizeof(buf), MSG_DONTWAIT, &from.to.sa, &from_len);
	if (n > 0)
		wg_device_receive(app->dev, &from, buf, (size_t)n, (size_t)n, 0);
	if (wg_device_next_deadline(app->dev) <= now(app))
		wg_device_tick(app->dev);
}

static int key_of(uint8_t key[WG_KEY_BYTES], const char *text)
{
	return sodium_base642bin(key, WG_KEY_BYTES, text, strlen(text), NULL, NULL, NULL,
				 sodium_base64_VARIANT_ORIGINAL);
}

int main(int argc, char **argv)
{
	struct app app = {.udp = socket(AF_INET, SOCK_DGRAM, 0)};
	struct sockaddr_in own = {.sin_family = AF_INET};
	struct wg_endpoint there = {.to.in.sin_family = AF_INET};
	struct in_addr inner = {.s_addr = htonl(argc == 6 ? 0x0a000001 : 0x0a000002)};
	uint8_t private_key[WG_KEY_BYTES], public_key[WG_KEY_BYTES];
	struct wg_peer *peer;

	if ((argc != 4 && argc != 6) || sodium_init() < 0 || key_of(private_key, argv[1]) ||
	    key_of(public_key, argv[2])) {
		fprintf(stderr, "usage: embed PRIVATE PEER_PUBLIC PORT [ADDRESS PEER_PORT]\n");
		return 2;
	}
	own.sin_port = htons((uint16_t)atoi(argv[3]));
	app.dev = wg_device_new(&ops, &app, private_key, MTU);
	sodium_memzero(private_key, sizeof(private_key));
	peer = app.dev ? wg_peer_add(app.dev, public_key) : NULL;
	if (!peer || wg_peer_add_allowed_ip(peer, AF_INET, &inner, 32) < 0 ||
	    bind(app.udp, (struct sockaddr *)&own, sizeof(own)) < 0) {
		perror("embed");
		return 1;
	}
	while (argc == 4)
		turn(&app, UINT64_MAX);
	inet_pton(AF_INET, argv[4], &there.to.in.sin_addr);
	there.to.in.sin_port = htons((uint16_t)atoi(argv[5]));
	wg_peer_set_endpoint(peer, &there);
	for (uint8_t i = 1; i <= PINGS; i++) {
		uint64_t until =
			now(&app) + 15000000000; /* a lost handshake comes again after 5 s */

		ping(&app, i);
		while (app.answered < i && now(&app) < until)
			turn(&app, until);
	}
	wg_device_free(app.dev);
	return app.answered == PINGS ? 0 : 1;
}
