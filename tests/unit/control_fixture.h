/* SPDX-License-Identifier: MIT */
/* control_fixture.h - a tunnel of test_tunnel_fakes.h with two peers' keys, and its session's answer */
#ifndef TESTS_CONTROL_FIXTURE_H
#define TESTS_CONTROL_FIXTURE_H

#include "tests/unit/test_tunnel_fakes.h"

#include "src/tunnel/peers.h"

#define KEY_B "4343434343434343434343434343434343434343434343434343434343434343"
#define KEY_A "4242424242424242424242424242424242424242424242424242424242424242"

/* The peer whose key is 32 times @byte, or NULL. */
static inline struct wgw_peer *peer(uint8_t byte)
{
	uint8_t key[WG_KEY_BYTES];

	memset(key, byte, sizeof(key));
	return wgw_peers_find(core.peers, key);
}

/* The session says whether the asker, which is us, is its program. */
static inline void answer_whose(int session, int err)
{
	struct wgw_channel_msg msg;

	expect(session, &msg, WGW_CH_WHOSE);
	ck_assert_int_eq(msg.u.opened.pid, getpid());
	msg.code = WGW_CH_WHOSE_IS;
	msg.err = err;
	send_fds(session, &msg, NULL, 0);
}

#endif
