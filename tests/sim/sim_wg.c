/* SPDX-License-Identifier: MIT */
/*
 * sim_wg.c - WireGuard devices through hours of trouble, in virtual time, by seed
 *
 * usage: sim_wg [SEEDS [FIRST]]
 *
 * Each seed is one history; all of it follows from the seed. Without FIRST, one pair of devices
 * then goes through 10,000 sessions in one history.
 *
 * Nodes 0 and 1 talk to each other. Node 2 is a peer of node 0, too, and lies about its inner
 * address. The link loses, repeats, delays and shuffles datagrams; somebody on it records them and
 * sends them again, changed or not, from elsewhere. Nodes sleep, are restarted, get other
 * addresses, preshared keys and wall clocks. Between such times the link is good for a while.
 *
 * Watched at every step:
 *
 * NONCE	under one key the counters that leave a node are 0, 1, 2, ...
 * AGE		nothing is sent or delivered under keys of 180 s or more, seen from that side
 * ORIGIN	what is delivered was sent, by whom its inner source says, is unchanged, comes once
 * SLOTS	a keypair is known by its index if a slot points to it, and all zeros otherwise;
 *		540 s after the last one was derived there is none
 * RECOVERY	RECOVERY_S after the link became good, packets arrive both ways; SETTLED_S after
 *		it, nothing is lost any more
 *
 * Born is, on the responder's side, when its response leaves, and on the initiator's side when its
 * first datagram for the new index leaves, which the protocol says is at once.
 *
 * After a seed that fails, its number is printed; `sim_wg 1 SEED` repeats it.
 */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/wg_nodes.h"
#include "tests/sim/wg_world.h"

#if defined(__SANITIZE_ADDRESS__)
enum { SEEDS_DEFAULT = 100 };
#else
enum { SEEDS_DEFAULT = 1000 };
#endif

enum {
	/* 15 s of silence, then the limiter's 5 s, then a retry after 5 s, each with its jitter */
	RECOVERY_S = LATE_S + 26,
	SETTLED_S = RECOVERY_S + 5,
	CALM_S = SETTLED_S + 30,
	STORM_MIN_S = 60,
	STORM_MAX_S = 540,
	STORMS = 3,
	MARATHON_REKEYS = 10000,
};

/* ---- what goes wrong ---- */

static void change_link(void)
{
	w.link = (struct link){
		.lost = (unsigned int)below(chance(200) ? 1000 : 300),
		.repeated = (unsigned int)below(200),
		.late = (unsigned int)below(100),
		.attacked = (unsigned int)below(300),
		.delay = below(200 * MS),
		.jitter = below(300 * MS),
		.late_max = between(1, 240) * S,
	};
}

static void move(struct node *node)
{
	node->address = some_address((uint32_t)between(1, 199), chance(500));
	total.roams++;
}

static void fall_asleep(struct node *node)
{
	node->asleep_until = w.now + (chance(100) ? between(600, 7200) : between(1, 200)) * S;
	total.sleeps++;
}

/* All that was remembered is lost. */
static void restart(struct node *node)
{
	if (w.careful && node->wall_offset < node->wall_offset_max)
		node->wall_offset = node->wall_offset_max;
	else if (!w.careful && node->number == 0)
		return;
	wg_device_free(node->dev);
	node->life++;
	start(node);
	total.restarts++;
}

/* Minutes or days, forward or back */
static void set_clock(struct node *node)
{
	int64_t by = (int64_t)(chance(500) ? below(600) : below(86400 * 30));

	node->wall_offset += chance(500) ? by : -by;
	if (node->wall_offset > node->wall_offset_max)
		node->wall_offset_max = node->wall_offset;
}

/* Thousands of packets at once; the link shuffles them. */
static void burst(struct node *node)
{
	uint64_t n = chance(30) ? between(9000, 12000) : between(20, 200);

	w.link.jitter = between(10, 2000) * MS;
	for (uint64_t i = 0; i < n; i++)
		send_packet(node->number, !node->number, node->number, 24 + below(200));
}

static void change_psk(void)
{
	op_random(NULL, w.psk, sizeof(w.psk));
	for (int i = 0; i < 2; i++) {
		for (struct wg_peer *p = wg_peer_next(w.nodes[i].dev, NULL); p;
		     p = wg_peer_next(w.nodes[i].dev, p)) {
			uint8_t key[WG_KEY_BYTES];

			wg_peer_public_key(p, key);
			if (memcmp(key, w.nodes[!i].public_key, sizeof(key)) == 0)
				wg_peer_set_preshared_key(p, w.psk);
		}
	}
}

static void trouble(void)
{
	struct node *node = &w.nodes[below(2)];

	switch (below(9)) {
	case 0:
	case 1:
		change_link();
		break;
	case 2:
		move(node);
		break;
	case 3:
		fall_asleep(node);
		break;
	case 4:
		restart(node);
		break;
	case 5:
		set_clock(node);
		break;
	case 6:
		if (is_awake(node))
			burst(node);
		break;
	case 7:
		change_psk();
		break;
	default:
		if (is_awake(node))
			wg_peer_handshake(wg_peer_next(node->dev, NULL));
		break;
	}
}

/* Each of the nodes that is awake says something now and then. */
static void chatter(unsigned int per_mille)
{
	for (int i = 0; i < 2; i++)
		if (is_awake(&w.nodes[i]) && chance(per_mille)) {
			send_packet(i, !i, i, 24 + below(MTU - 24));
			after_step(&w.nodes[i]);
		}
	if (chance(50)) {
		send_packet(2, 0, chance(500) ? 1 : 2, 100);
		after_step(&w.nodes[2]);
	}
}

static void storm(void)
{
	uint64_t end = w.now + between(STORM_MIN_S, STORM_MAX_S) * S;
	unsigned int talkative = (unsigned int)between(20, 1000);
	uint64_t next_trouble = w.now;

	w.calm_since = 0;
	while (w.now < end) {
		if (w.now >= next_trouble) {
			trouble();
			next_trouble = w.now + between(1, 60) * S;
		}
		chatter(talkative);
		run_until(w.now + S / 2 + below(S));
	}
}

static void talk_until(uint64_t end)
{
	while (w.now < end) {
		chatter(1000);
		run_until(w.now + S);
	}
}

/* RECOVERY */
static void calm(void)
{
	uint32_t settled_from;

	w.link = (struct link){.delay = 20 * MS};
	for (int i = 0; i < 2; i++)
		w.nodes[i].asleep_until = 0;
	w.calm_since = w.now;
	w.heard[0] = w.heard[1] = false;
	talk_until(w.calm_since + RECOVERY_S * S);
	check(w.heard[0] && w.heard[1], "RECOVERY: nothing arrives");
	talk_until(w.calm_since + SETTLED_S * S);
	settled_from = w.n_packets;
	talk_until(w.calm_since + CALM_S * S);
	for (uint32_t i = settled_from; i < w.n_packets; i++)
		check(packets[i].arrived || packets[i].from == 2,
		      "RECOVERY: packets are still lost");
}

/* Nobody has anything to say, long enough for keys to go. */
static void silence(void)
{
	run_until(w.now + between(500, 1500) * S);
	for (int i = 0; i < NODES; i++)
		check_slots(&w.nodes[i]);
}

/* ---- seeds ---- */

static void clear(void)
{
	for (int i = 0; i < NODES; i++)
		wg_device_free(w.nodes[i].dev);
	while (flight_first(&w.flight))
		free(flight_take(&w.flight));
	for (int i = 0; i < RECORDED_MAX; i++)
		free(w.recorded[i]);
}

static void set_up(uint64_t seed)
{
	memset(&w, 0, sizeof(w));
	w.seed = w.random = seed;
	w.now = between(1, 1000000) * S;
	w.careful = chance(500);
	w.link.delay = 20 * MS;
	for (int i = 0; i < NODES; i++) {
		struct node *node = &w.nodes[i];

		node->number = i;
		node->address = some_address((uint32_t)between(1, 199), chance(500));
		op_random(NULL, node->private_key, sizeof(node->private_key));
		crypto_scalarmult_curve25519_base(node->public_key, node->private_key);
	}
	for (int i = 0; i < NODES; i++)
		start(&w.nodes[i]);
}

static void run_seed(uint64_t seed)
{
	set_up(seed);
	for (int i = 0; i < STORMS; i++) {
		storm();
		calm();
		if (chance(250))
			silence();
	}
	clear();
}

/* One pair of devices through thousands of renewals; every tenth datagram is lost. */
static void run_marathon(uint64_t seed)
{
	uint64_t goal = total.sessions + MARATHON_REKEYS;

	set_up(seed);
	w.link.lost = 100;
	while (total.sessions < goal) {
		send_packet(0, 1, 0, 100);
		send_packet(1, 0, 1, 100);
		after_step(&w.nodes[0]);
		after_step(&w.nodes[1]);
		run_until(w.now + 31 * S);
	}
	clear();
}

static void report(uint64_t seeds)
{
	printf("%" PRIu64 " seeds, %" PRIu64 " sessions, %" PRIu64 " of %" PRIu64
	       " packets, %" PRIu64 " datagrams, %" PRIu64 " replayed or changed, %" PRIu64
	       " moves, %" PRIu64 " restarts, %" PRIu64 " sleeps\n",
	       seeds, total.sessions, total.delivered, total.sent, total.datagrams, total.attacks,
	       total.roams, total.restarts, total.sleeps);
}

static void run_seeds(uint64_t seeds, uint64_t first)
{
	for (uint64_t i = 0; i < seeds; i++)
		run_seed(first + i);
	report(seeds);
}

int main(int argc, char **argv)
{
	uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : SEEDS_DEFAULT;
	int status = 1;
	pid_t other;

	if (sodium_init() < 0)
		return 1;
	if (argc > 2) {
		run_seeds(seeds, strtoull(argv[2], NULL, 10));
		return 0;
	}
	/* two halves at once */
	other = fork();
	if (other < 0)
		return 1;
	if (other == 0) {
		run_seeds(seeds / 2, 1 + seeds - seeds / 2);
		return 0;
	}
	run_seeds(seeds - seeds / 2, 1);
	run_marathon(1);
	printf("and %d sessions in one history\n", MARATHON_REKEYS);
	return waitpid(other, &status, 0) == other && status == 0 ? 0 : 1;
}
