/* SPDX-License-Identifier: MIT */
/* proxy.h - proxies of the tunnel process, and what `wgwrap proxy` asks for */
#ifndef SRC_PROXY_PROXY_H
#define SRC_PROXY_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/proxy/users.h"
#include "src/session/run.h"

struct wgw_tunnel;

/* Makes the tunnel process serve proxies: sets t->proxy. 0 or -errno. */
int wgw_proxy_init(struct wgw_tunnel *t);

/* What a listener serves; part of the channel's protocol. */
enum wgw_proxy_kind {
	WGW_PROXY_MIXED = 1, /* SOCKS or HTTP, by the first byte */
	WGW_PROXY_SOCKS,
	WGW_PROXY_HTTP,
	WGW_PROXY_TCP,	      /* to one destination in the tunnel */
	WGW_PROXY_UDP,	      /* the same for datagrams */
	WGW_PROXY_REMOTE_TCP, /* listens in the tunnel, goes to a destination of the host */
	WGW_PROXY_REMOTE_UDP,
	WGW_PROXY_SNI,	 /* TLS, to the name in the ClientHello */
	WGW_PROXY_STDIO, /* one connection that is there already */
};

/* Whether clients of such a listener can say who they are. */
bool proxy_asks_users(enum wgw_proxy_kind kind);

enum { WGW_PROXY_LISTENERS_MAX = 256 };

/**
 * struct wgw_proxy_spec - one listener
 * @host:	Address to listen at; NULL: loopback, of the remote kinds: every tunnel address
 * @port:	Host order; 0: any
 * @path:	AF_UNIX instead; NULL: not
 * @target_host, @target_port: of the kinds that have one destination
 * @users:	Who may use it, nobody else; @users_from_file: they are those of --users
 * @tls_cert, @tls_key: paths: clients speak TLS; NULL: they do not
 * @idle_s:	UDP: how long a silent sender is remembered, 0: for ever
 */
struct wgw_proxy_spec {
	enum wgw_proxy_kind kind;
	char *host, *path;
	uint16_t port;
	char *target_host;
	uint16_t target_port;
	struct proxy_users users;
	bool users_from_file;
	char *tls_cert, *tls_key;
	uint32_t idle_s;
};

/**
 * struct wgw_proxy_options - options of `wgwrap proxy` and `wgwrap nc`
 * @run:	What they share with run; the command is unused
 * @specs:	@n of them
 * @users_file:	--users FILE, NULL: none
 * @tls_cert, @tls_key: --tls-cert FILE, --tls-key FILE; NULL: no TLS, the key is in the other file
 * @allow_open:	--allow-open-proxy: listen beyond loopback without users
 * @any_user:	--any-user: other users of this host may use listeners on loopback
 * @connect_ms:	--connect-timeout
 * @family:	--resolve: AF_INET, AF_INET6, or AF_UNSPEC for both
 * @first:	wireproxy's ResolveStrategy: of both families, the one that is tried first
 */
struct wgw_proxy_options {
	struct wgw_run_options run;
	struct wgw_proxy_spec *specs;
	size_t n;
	const char *users_file, *tls_cert, *tls_key;
	bool allow_open, any_user;
	uint32_t connect_ms;
	int family, first;
};

/* spec.c: these append to @o->specs. Return NULL, or a sentence that says what is wrong. */

/* "[ADDR:]PORT", "[V6]:PORT", "unix:PATH" or "/PATH". */
const char *wgw_proxy_add_listener(struct wgw_proxy_options *o, enum wgw_proxy_kind kind,
				   const char *text);
/* "[ADDR:]PORT:HOST:HOSTPORT[:PROTO,...]" or "/PATH:HOST:HOSTPORT", ssh's syntax and onetun's;
 * @remote: -R. */
const char *wgw_proxy_add_forward(struct wgw_proxy_options *o, bool remote, const char *text);
/* The connection of `wgwrap nc`. */
const char *wgw_proxy_add_stdio(struct wgw_proxy_options *o, const char *host, const char *port);
void wgw_proxy_options_free(struct wgw_proxy_options *o);

/* wireproxy.c: the tunnel of the file that @run->config names, which may be one of wireproxy's; its
 * listeners are passed over. NULL after an error was said, unless @quiet. */
struct wgw_config *wgw_proxy_tunnel(const struct wgw_run_options *run, bool quiet);

/* front.c: `wgwrap proxy`, until a signal ends it; with a STDIO connection (`wgwrap nc`) until that
 * has ended. Returns an exit status of subcommands. */
int wgw_proxy_run(struct wgw_proxy_options *options);

#endif
