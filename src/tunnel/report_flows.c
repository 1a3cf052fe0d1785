/* SPDX-License-Identifier: MIT */
/* report_flows.c - what is open in the tunnel, as text (src/control/flows.h) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/tunnel/core.h"
#include "src/tunnel/listen.h"
#include "src/tunnel/sockets.h"
#include "src/tunnel/tcp.h"
#include "src/tunnel/udp.h"

static const char *address(const struct stack_addr *a, char *buf)
{
	static const struct stack_addr none;

	if (memcmp(a, &none, sizeof(none)) == 0)
		return "-";
	return wgw_addr_port_text(a, buf);
}

static const char *conn_state(const struct wgw_conn *c)
{
	switch (c->state) {
	case WGW_CONN_HELLO:
	case WGW_CONN_RECORD:
	case WGW_CONN_PENDING:
	case WGW_CONN_DECIDED:
		return "connecting";
	case WGW_CONN_DELIVER:
		return "waiting";
	case WGW_CONN_OPEN:
		return c->far_over ? "ending" : "open";
	default:
		return "ending";
	}
}

static int pid_of(const struct wgw_sock *sock)
{
	return sock->quota ? sock->quota->session->pid : 0;
}

static void put_conns(FILE *out, const struct wgw_sockets *s, uint64_t now)
{
	char local[WGW_ADDR_TEXT_BYTES], remote[WGW_ADDR_TEXT_BYTES];

	for (const struct wgw_link *l = s->conns.next; l != &s->conns; l = l->next) {
		const struct wgw_conn *c =
			wgw_container((char *)(uintptr_t)l, const struct wgw_conn, link);

		fprintf(out, "tcp %d %s %s %s %s %llu %llu %llu\n", pid_of(&c->sock), conn_state(c),
			c->far && !wgw_flow_carries(c) ? "direct" : "tunnel",
			address(&c->local, local), address(&c->remote, remote),
			(unsigned long long)c->moved[0], (unsigned long long)c->moved[1],
			(unsigned long long)((now - c->started) / WGW_MS_NS));
	}
}

static void put_dgrams(FILE *out, const struct wgw_sockets *s)
{
	char local[WGW_ADDR_TEXT_BYTES], remote[WGW_ADDR_TEXT_BYTES];

	for (const struct wgw_link *l = s->dgrams.next; l != &s->dgrams; l = l->next) {
		const struct wgw_dgram_sock *u =
			wgw_container((char *)(uintptr_t)l, const struct wgw_dgram_sock, link);
		bool direct = !u->flow && !u->ping &&
			      (u->kernel[0].watch.fd > 0 || u->kernel[1].watch.fd > 0);

		fprintf(out, "%s %d %s %s %s %s 0 0 0\n", u->kind == WGW_KIND_PING ? "icmp" : "udp",
			pid_of(&u->sock), u->connected ? "connected" : "open",
			direct ? "direct" : "tunnel", address(&u->local, local),
			u->connected ? address(&u->remote, remote) : "-");
	}
}

static void put_listeners(FILE *out, const struct wgw_sockets *s)
{
	char text[WGW_ADDR_TEXT_BYTES];

	for (size_t i = 0; i < s->table_size; i++) {
		for (const struct wgw_sock *sock = s->table[i]; sock; sock = sock->hash_next) {
			struct stack_addr local;

			if (sock->role != WGW_ROLE_LISTENER)
				continue;
			wgw_listen_name(sock, &local);
			fprintf(out, "tcp %d listening %s %s - 0 0 0\n", pid_of(sock),
				wgw_listen_is_direct(sock) ? "direct" : "tunnel",
				wgw_addr_port_text(&local, text));
		}
	}
}

char *wgw_report_flows(struct wgw_core *core)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	if (core->t.sockets) {
		wgw_listen_look(core->t.sockets);
		put_listeners(out, core->t.sockets);
		put_conns(out, core->t.sockets, wgw_clock_ns());
		put_dgrams(out, core->t.sockets);
	}
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}
