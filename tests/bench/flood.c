/* SPDX-License-Identifier: MIT */
/*
 * flood.c - initiations with a right mac1 from random sources, as fast as one core can
 *
 * usage: flood DEVICE MAC ADDRESS PORT PUBLIC_KEY SECONDS [mac2]
 *
 * Everybody who knows the responder's public key can make a right mac1; all else in these messages
 * is random. Mac2 is zero, as of somebody without a cookie, or random, too. They leave DEVICE as
 * whole frames, so that their IPv4 sources, drawn from all unicast addresses and ports, need not be
 * ours. Prints how many were sent and how many a second.
 *
 * To be run in a network namespace that the test has made; it refuses a device that has a driver of
 * its own, which is what real network cards have.
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "wg/bytes.h"
#include "wg/hash.h"
#include "wg/messages.h"

enum { FRAMES = 4096, BATCH = 64 };

struct frame {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	struct wg_message_initiation message;
} __attribute__((packed));

static struct frame frames[FRAMES];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * WG_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* xorshift: only sources come from it */
static uint64_t fast_random(void)
{
	static uint64_t x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static void set_source(struct frame *f)
{
	uint64_t r = fast_random();
	uint16_t words[sizeof(f->ip) / 2];
	uint32_t sum = 0, host = (uint32_t)r;

	/* 1.0.0.0 to 223.255.255.255 but the tunnel's and loopback's */
	host = (host & 0xffffff) | (1 + (host >> 24) % 223) << 24;
	if (host >> 24 == 10 || host >> 24 == 127)
		host += 1U << 24;
	f->ip.saddr = htonl(host);
	f->udp.source = htons((uint16_t)(1024 + (r >> 32) % 64000));
	f->ip.check = 0;
	memcpy(words, &f->ip, sizeof(words));
	for (size_t i = 0; i < sizeof(words) / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	f->ip.check = (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

static void build(const uint8_t mac[6], struct in_addr to, uint16_t port, const uint8_t key[32],
		  bool mac2)
{
	uint8_t mac1_key[WG_HASH_BYTES];

	wg_hash(mac1_key, (const struct wg_bytes[]){{"mac1----", 8}, {key, 32}}, 2);
	for (int i = 0; i < FRAMES; i++) {
		struct frame *f = &frames[i];
		struct wg_message_initiation *m = &f->message;

		memcpy(f->eth.h_dest, mac, 6);
		f->eth.h_proto = htons(ETH_P_IP);
		f->ip = (struct iphdr){.version = 4,
				       .ihl = 5,
				       .tot_len = htons(sizeof(*f) - sizeof(f->eth)),
				       .ttl = 64,
				       .protocol = IPPROTO_UDP,
				       .daddr = to.s_addr};
		f->udp = (struct udphdr){.dest = htons(port),
					 .len = htons(sizeof(f->udp) + sizeof(*m))};
		randombytes_buf(m, sizeof(*m));
		memset(&m->macs, 0, sizeof(m->macs));
		wg_put_le32(m->type, WG_MESSAGE_INITIATION);
		wg_mac(m->macs.mac1, mac1_key, sizeof(mac1_key),
		       &(struct wg_bytes){m, sizeof(*m) - sizeof(m->macs)}, 1);
		if (mac2)
			randombytes_buf(m->macs.mac2, sizeof(m->macs.mac2));
	}
}

static int open_device(const char *name)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
	int one = 1, fd = socket(AF_PACKET, SOCK_RAW, 0);
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/%s/device", name);
	if (access(path, F_OK) == 0) {
		fprintf(stderr, "%s is a real network device\n", name);
		exit(1);
	}
	ll.sll_ifindex = (int)if_nametoindex(name);
	if (fd < 0 || !ll.sll_ifindex || bind(fd, (struct sockaddr *)&ll, sizeof(ll)) < 0)
		die(name);
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	return fd;
}

static uint64_t send_until(int fd, uint64_t end)
{
	struct mmsghdr m[BATCH];
	struct iovec iov[BATCH];
	uint64_t sent = 0;
	int n;

	memset(m, 0, sizeof(m));
	for (size_t next = 0; now_ns() < end; next = (next + BATCH) % FRAMES) {
		for (size_t i = 0; i < BATCH; i++) {
			set_source(&frames[next + i]);
			iov[i] = (struct iovec){&frames[next + i], sizeof(frames[0])};
			m[i].msg_hdr.msg_iov = &iov[i];
			m[i].msg_hdr.msg_iovlen = 1;
		}
		n = sendmmsg(fd, m, BATCH, 0);
		sent += n > 0 ? (uint64_t)n : 0;
	}
	return sent;
}

int main(int argc, char **argv)
{
	uint8_t mac[6], key[32];
	struct in_addr to;
	uint64_t began, sent;
	double seconds;
	int fd;

	if (argc < 7 || sodium_init() < 0 ||
	    sscanf(argv[2], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5]) != 6 ||
	    inet_pton(AF_INET, argv[3], &to) != 1 ||
	    sodium_base642bin(key, 32, argv[5], strlen(argv[5]), NULL, NULL, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0) {
		fprintf(stderr, "usage: flood DEVICE MAC ADDRESS PORT PUBLIC_KEY SECONDS [mac2]\n");
		return 2;
	}
	fd = open_device(argv[1]);
	build(mac, to, (uint16_t)atoi(argv[4]), key, argc > 7);
	began = now_ns();
	sent = send_until(fd, began + strtoull(argv[6], NULL, 10) * WG_NS_PER_S);
	seconds = (double)(now_ns() - began) / 1e9;
	printf("%llu %.0f\n", (unsigned long long)sent, (double)sent / seconds);
	return 0;
}
