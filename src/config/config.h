/* SPDX-License-Identifier: MIT */
/*
 * config.h - a tunnel's configuration, as read from a wg-quick file
 *
 * The text is parsed by wgw_config_parse; where it comes from (path, name, stdin, environment) is
 * wgw_config_read's business. Every message names the file and the line, and never quotes a key.
 */
#ifndef SRC_CONFIG_CONFIG_H
#define SRC_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "stack/addr.h"
#include "wg/wg.h"

/** struct wgw_prefix - a CIDR block; @addr.port is unused. @bits counts within the family: 0-32
 * for IPv4, 0-128 for IPv6. Bits behind the prefix are zero, except in wgw_config.addresses,
 * where @addr is a host's address and @bits its on-link prefix. */
struct wgw_prefix {
	struct stack_addr addr;
	uint8_t bits;
};
enum { WGW_HALF_BITS = 1 }; /* the longest prefix that is a default route or half of one */

/** struct wgw_prefixes - growable list, owned by what contains it */
struct wgw_prefixes {
	struct wgw_prefix *at;
	size_t n;
};

/**
 * struct wgw_peer_route - destinations that go to a peer: "CIDR[:PROTOCOL[:PORT[-PORT]]]"
 * @protocol:	IPPROTO_TCP, _UDP or _ICMP (both families'); 0: any
 * @first_port, @last_port: of the destination, host order; 0: any
 */
struct wgw_peer_route {
	struct wgw_prefix to;
	uint8_t protocol;
	uint16_t first_port, last_port;
};

/** struct wgw_routes - growable list, owned by what contains it */
struct wgw_routes {
	struct wgw_peer_route *at;
	size_t n;
};

/** struct wgw_strings - growable list of NUL-terminated strings, owned by what contains it */
struct wgw_strings {
	char **at;
	size_t n;
};

/**
 * struct wgw_peer_config - one [Peer]
 * @line:		Where its section starts
 * @name:		From a "# Name =" or "# friendly_name =" comment, or NULL
 * @public_key:		Required
 * @preshared_key:	All zeros: none
 * @allowed_ips:	In file order, Route = without a protocol among them
 * @routes:		Route = with a protocol: goes to this peer whatever the allowed IPs say
 * @disallowed_ips:	WireSock's DisallowedIPs: direct, not tunnelled
 * @endpoint_host:	As written, without brackets: address (with %zone) or name; NULL: none
 * @endpoint_port:	Host order
 * @keepalive_s:	PersistentKeepalive, 0: off
 */
struct wgw_peer_config {
	unsigned int line;
	char *name;
	uint8_t public_key[WG_KEY_BYTES];
	uint8_t preshared_key[WG_KEY_BYTES];
	struct wgw_prefixes allowed_ips;
	struct wgw_routes routes;
	struct wgw_prefixes disallowed_ips;
	char *endpoint_host;
	uint16_t endpoint_port;
	uint16_t keepalive_s;
};

/**
 * struct wgw_config - the whole file
 * @source:		Name for messages: path, "standard input" or "environment variable X"
 * @path:		Where the file is, whatever the working directory; NULL: not known, or no
 *			file
 * @private_key:	Clamped
 * @public_key:		Of @private_key
 * @listen_port:	0: any
 * @fwmark:		0: none
 * @addresses:		Address =, prefix lengths kept; at most STACK_ADDRS_MAX
 * @dns:		DNS = servers (addresses, port 53); @search: DNS = names
 * @mtu:		0: not set
 * @check_alive:	wireproxy's CheckAlive: addresses that are to answer echo requests
 * @check_alive_s:	How often they are asked, 1 s or more
 * @peers:		@n_peers of them, duplicates (same public key) merged
 * @direct:		"#@wgwrap:Direct =": prefixes that go outside the tunnel, as --direct
 * @dns_system:		"#@wgwrap:DNS = system": names are resolved by the host, as --dns system
 * @allowed_apps, @disallowed_apps: WireSock's lists
 */
struct wgw_config {
	char *source, *path;
	uint8_t private_key[WG_KEY_BYTES], public_key[WG_KEY_BYTES];
	uint16_t listen_port;
	uint32_t fwmark;
	struct wgw_prefixes addresses;
	struct wgw_prefixes dns;
	struct wgw_strings search;
	uint16_t mtu;
	struct wgw_prefixes check_alive;
	uint16_t check_alive_s;
	struct wgw_peer_config *peers;
	size_t n_peers;
	struct wgw_prefixes direct;
	bool dns_system;
	struct wgw_strings allowed_apps, disallowed_apps;
};

/* Limits of a file; what is one past them is an error. */
enum {
	WGW_CONFIG_MAX_BYTES = 4 * 1024 * 1024,
	WGW_CONFIG_PEERS_MAX = 4096,
	WGW_CONFIG_MTU_MIN_BYTES = 576, /* as WireGuard for Windows; RFC 791 asks for it */
	WGW_CONFIG_ALIVE_MAX = 64,	/* addresses of CheckAlive */
	WGW_CONFIG_ALIVE_S = 5,		/* CheckAliveInterval, unless it is said */
	WGW_CONFIG_NAME_MAX_BYTES = 64, /* of a peer's name; longer ones are cut */
};

enum { WGW_DNS_PORT = 53 }; /* RFC 1035 4.2 */

/**
 * struct wgw_diag - takes messages
 * @say:	An error or a warning, one line without a newline
 * @note:	Something harmless (a key without meaning here); NULL: notes are dropped
 * @errors, @warnings: counts
 */
struct wgw_diag {
	void (*say)(void *ctx, bool is_error, const char *message);
	void (*note)(void *ctx, const char *message);
	void *ctx;
	unsigned int errors, warnings;
};

/* Parses @len bytes of @text. Returns the configuration, or NULL after at least one error was
 * said. @lenient: unknown keys are warnings. */
struct wgw_config *wgw_config_parse(const char *source, const char *text, size_t len, bool lenient,
				    struct wgw_diag *diag);
/* Reads what -c names: a path, a NAME (NAME.conf in $XDG_CONFIG_HOME/wgwrap or ~/.config/wgwrap,
 * then /etc/wireguard), "-" (standard input to its end), or "env:VAR" (overwritten in place
 * afterwards). Returns malloc'ed text of *len bytes that the caller wipes with wgw_config_wipe,
 * and the *source name; NULL after an error was said. */
char *wgw_config_read(const char *what, size_t *len, char **source, struct wgw_diag *diag);
void wgw_config_wipe(char *text, size_t len);
/* Whether allowed IPs hold the default route of a family, whole or as one of its halves, which is a
 * common way to write it. */
bool wgw_config_has_default_route(const struct wgw_config *config);
/* Wipes keys. NULL is allowed. */
void wgw_config_free(struct wgw_config *config);

/* Writes the configuration without any secret to @out, one setting a line, normalised. */
void wgw_config_print(const struct wgw_config *config, FILE *out);

/* "10.0.0.0/8", "fd00::1", ... Missing mask: whole address. Returns 0 or -EINVAL; *masked says
 * that host bits were cleared (may be NULL). */
int wgw_prefix_parse(const char *text, struct wgw_prefix *out, bool *masked);
/* The same with the host bits kept: an address and its on-link prefix. */
int wgw_address_parse(const char *text, struct wgw_prefix *out);
/* Whether @addr (port ignored) is of @prefix's family and in it. */
bool wgw_prefix_contains(const struct wgw_prefix *prefix, const struct stack_addr *addr);
/* Longest prefix of the list that holds @addr: its length in bits, or -1. */
int wgw_prefixes_longest(const struct wgw_prefixes *list, const struct stack_addr *addr);

/* Appends a copy. Returns 0 or -ENOMEM. wgw_strings_free empties the list. */
int wgw_strings_add(struct wgw_strings *list, const char *text);
void wgw_strings_free(struct wgw_strings *list);
/* Appends. Returns 0 or -ENOMEM. wgw_prefixes_free empties the list. */
int wgw_prefixes_add(struct wgw_prefixes *list, const struct wgw_prefix *prefix);
void wgw_prefixes_free(struct wgw_prefixes *list);
bool wgw_prefix_equal(const struct wgw_prefix *a, const struct wgw_prefix *b);
/* Takes @prefix out of @list; whether it was there. */
bool wgw_prefixes_remove(struct wgw_prefixes *list, const struct wgw_prefix *prefix);

/* Parses a route. Returns NULL, or a constant sentence that says what is wrong. Host bits are
 * cleared. */
const char *wgw_route_parse(const char *text, struct wgw_peer_route *out);
/* Whether it is no more than an allowed IP: neither protocol nor ports. */
bool wgw_route_is_prefix(const struct wgw_peer_route *route);
bool wgw_route_equal(const struct wgw_peer_route *a, const struct wgw_peer_route *b);
/* @buf of at least WGW_ROUTE_TEXT_BYTES. Returns @buf. */
enum { WGW_ROUTE_TEXT_BYTES = 96 };
char *wgw_route_text(const struct wgw_peer_route *route, char *buf);
/* Appends what is not there yet. Returns 0 or -ENOMEM. wgw_routes_free empties the list. */
int wgw_routes_add(struct wgw_routes *list, const struct wgw_peer_route *route);
void wgw_routes_free(struct wgw_routes *list);

/* Takes "HOST:PORT" ("[V6]:PORT", "NAME:PORT", zone allowed) apart; *host is malloc'ed, without
 * brackets. Returns NULL, or a constant sentence that says what is wrong. */
const char *wgw_endpoint_parse(const char *text, char **host, uint16_t *port);

/* "a.b.c.d/n", @buf of at least WGW_ADDR_TEXT_BYTES. Returns @buf. */
char *wgw_prefix_text(const struct wgw_prefix *prefix, char *buf);
/* Text of an address, without the port; @buf of at least WGW_ADDR_TEXT_BYTES. Returns @buf. */
enum { WGW_ADDR_TEXT_BYTES = 64 };
char *wgw_addr_text(const struct stack_addr *addr, char *buf);
/* The same with the port: "1.2.3.4:80", "[fd00::1]:80". */
char *wgw_addr_port_text(const struct stack_addr *addr, char *buf);

#endif
