/* SPDX-License-Identifier: MIT */
/*
 * status.h - a tunnel's state: the text the tunnel process writes, read into plain data
 *
 * The text is the answer to get=1 of WireGuard's cross-platform UAPI: lines key=value, first of the
 * interface, then of each peer, which begins with public_key. Readers leave out keys they do
 * not know, so ours stand among them. Keys are hexadecimal. Neither private_key nor preshared_key
 * is ever in it. Interface, besides listen_port and fwmark:
 *
 *   wgwrap_status=1		version of what follows
 *   label=NAME			what people call it: the file's name without .conf
 *   source=TEXT		where the configuration came from
 *   option=TEXT		what the command line added, as it is written there; may be repeated
 *   pid=N uptime_ms=N mtu=N
 *   encryption=NAME		the library that encrypts packets; the first few are libsodium's
 *   own_public_key=HEX
 *   address=ADDR/BITS		may be repeated; dns=ADDR, search=NAME too
 *   state=WORD reason=TEXT	enum wgw_state; why it is not up, empty when it is
 *   alive_interval_s=N		CheckAliveInterval, when there is a CheckAlive
 *   alive=ADDR MS|never	one of its addresses, and how long ago it answered
 *   session=PID WORD N		a session's front, "command" or "keeper", its open sockets
 *   counter=NAME N		counts since the start, and gauges
 * Peer, besides those of the protocol:
 *   name=TEXT			"# Name =" of the file
 *   has_preshared_key=0|1
 *   endpoint_host=HOST:PORT	as in the file, when that is a name
 *   route=TEXT			what goes to it before allowed IPs are asked; may be repeated
 *   candidates=N		addresses it has
 *   state=WORD reason=TEXT
 *   peer_counter=NAME N
 */
#ifndef SRC_CONTROL_STATUS_H
#define SRC_CONTROL_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/config/config.h"
#include "src/repr/wire.h"

enum { WGW_STATUS_VERSION = 1 };

/* How a peer is; a tunnel is as its best peer. In order of goodness. */
enum wgw_state {
	WGW_STATE_DOWN,	       /* no session, and the last attempts failed, or none can be made */
	WGW_STATE_HANDSHAKING, /* initiations are being sent */
	WGW_STATE_IDLE,	       /* no session because none was needed; the last attempt succeeded */
	WGW_STATE_UP,
	WGW_STATES,
};

/* "down", "handshaking", "idle", "up" */
const char *wgw_state_word(enum wgw_state state);

enum { WGW_COUNTER_NAME_BYTES = 40 };

struct wgw_counter {
	char name[WGW_COUNTER_NAME_BYTES];
	uint64_t value;
};

struct wgw_counters {
	struct wgw_counter *at;
	size_t n;
};

struct wgw_peer_status {
	uint8_t public_key[WG_KEY_BYTES];
	char *name, *endpoint, *endpoint_host, *reason; /* NULL: none */
	bool has_preshared_key;
	uint64_t last_handshake_s; /* wall clock, 0: never */
	uint64_t rx_bytes, tx_bytes;
	uint16_t keepalive_s;
	struct wgw_strings allowed_ips, routes;
	enum wgw_state state;
	struct wgw_counters counters;
};

/**
 * struct wgw_alive_status - an address that is asked for echoes
 * @answered:	It has answered, @age_ms ago
 * @late:	By more than the interval and two seconds, which is when wireproxy says 503
 */
struct wgw_alive_status {
	char *address;
	bool answered, late;
	uint64_t age_ms;
};

struct wgw_session_status {
	int pid;
	bool keeper;
	uint64_t sockets;
};

/**
 * struct wgw_status - one tunnel
 * @name:	The 16 digits it is found by, filled in by who found it
 */
struct wgw_status {
	char name[WGW_TUNNEL_NAME_BYTES];
	char *label, *source, *reason, *encryption;
	int pid;
	uint64_t uptime_ms;
	uint16_t mtu, listen_port;
	uint32_t fwmark;
	uint8_t public_key[WG_KEY_BYTES];
	struct wgw_strings options, addresses, dns, search;
	enum wgw_state state;
	struct wgw_counters counters;
	uint64_t alive_interval_s;
	struct wgw_alive_status *alive;
	size_t n_alive;
	struct wgw_session_status *sessions;
	size_t n_sessions;
	struct wgw_peer_status *peers;
	size_t n_peers;
};

/* Reads @text, which is changed. Unknown keys are passed over. Returns NULL without memory, or when
 * a value is none (then *bad_line is its number, else 0). */
struct wgw_status *wgw_status_parse(char *text, unsigned int *bad_line);
void wgw_status_free(struct wgw_status *s);

/* Whether programs can expect to get through: a session with a peer, or none because none was
 * needed; and every address of CheckAlive answers. */
bool wgw_status_is_ready(const struct wgw_status *s);

/* How many commands use the tunnel: its sessions, but for the one that keeps it up. */
size_t wgw_status_commands(const struct wgw_status *s);

/* "does not answer echo requests" and for how long, in @buf. Returns @buf. */
enum { WGW_ALIVE_TEXT_BYTES = 96 };
const char *wgw_alive_text(const struct wgw_alive_status *a, char buf[WGW_ALIVE_TEXT_BYTES]);

/* The counter called @name, 0 when there is none. */
uint64_t wgw_counter(const struct wgw_counters *counters, const char *name);

#endif
