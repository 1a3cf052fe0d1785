/* SPDX-License-Identifier: MIT */
/*
 * parser.h - what the parser and the setters of the keys share
 */
#ifndef SRC_CONFIG_PARSER_H
#define SRC_CONFIG_PARSER_H

#include "src/config/config.h"
#include "src/config/diag.h"
#include "src/config/keys.h"
#include "src/config/reader.h"

/** struct wgw_claim - an allowed IP, with what is needed to settle who gets it.
 * @peer: index of the peer; @order: position in the file; @removes: written with a '-' */
struct wgw_claim {
	struct wgw_prefix prefix;
	size_t peer;
	size_t order;
	unsigned int line;
	bool removes;
};

/** struct wgw_claims - growable list */
struct wgw_claims {
	struct wgw_claim *at;
	size_t n;
};

/**
 * struct wgw_parser - state while one file is parsed
 * @config:		What has been read so far; its peers' allowed IPs are still in @claims
 * @section_number:	As handed out by the reader; 0: none yet
 * @peer_room:		Entries that config->peers has room for
 * @private_key_line:	Where PrivateKey stands, 0: not seen
 * @public_key_seen:	In the current [Peer]
 * @address_seen:	An Address that is not empty, valid or not
 * @too_many_peers:	Said once; the rest of the file is skipped
 * @amnezia:		The file needs AmneziaWG; said once
 * @errors_before:	diag->errors at the start
 * @out_of_memory:	Said once, at the end
 * @value:		The value being put together, @value_bytes long, in @value_room bytes
 */
struct wgw_parser {
	struct wgw_reader reader;
	struct wgw_config *config;
	struct wgw_diag *diag;
	bool lenient;
	unsigned int section_number;
	size_t peer_room;
	struct wgw_claims claims;
	unsigned int private_key_line;
	bool public_key_seen, address_seen, too_many_peers, amnezia;
	unsigned int errors_before;
	bool out_of_memory;
	char *value;
	size_t value_bytes, value_room;
};

/* The peer whose section this is. Only in a [Peer]. */
struct wgw_peer_config *wgw_parser_peer(struct wgw_parser *p);
/* Says "FILE:LINE: KEY: ...". */
void wgw_parser_say(struct wgw_parser *p, enum wgw_severity severity, const struct wgw_key *key,
		    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Appends. Returns 0 or -ENOMEM. */
int wgw_claims_add(struct wgw_claims *claims, const struct wgw_claim *claim);
/* Settles who gets each prefix, as wg(8) does: the last one who names it. A prefix that two peers
 * name is warned about. Fills the peers' allowed_ips. Returns 0 or -ENOMEM. */
int wgw_claims_settle(struct wgw_claims *claims, struct wgw_config *config, struct wgw_diag *diag);

#endif
