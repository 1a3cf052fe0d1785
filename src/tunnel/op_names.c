/* SPDX-License-Identifier: MIT */
/* op_names.c - operations that ask for names, and for the addresses of the tunnel (op.c) */
#include <string.h>

#include "src/tunnel/talk.h"

static void resolved(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n, const char *canonical,
		     uint32_t ttl_s)
{
	struct talk *k = arg;

	if (!talk_answered(k))
		return;
	memset(&k->op.u, 0, sizeof(k->op.u));
	if (eai == 0) {
		n = n < WGW_RESOLVED_MAX ? n : WGW_RESOLVED_MAX;
		if (n > 0)
			memcpy(k->op.u.resolved.ip, ip, n * sizeof(*ip));
		k->op.u.resolved.n = n;
		k->op.u.resolved.ttl = ttl_s;
		if (canonical)
			strncpy(k->op.u.resolved.canonical, canonical, WGW_NAME_MAX_BYTES - 1);
	}
	talk_reply(k, eai);
}

static void reversed(void *arg, int eai, const char *name)
{
	resolved(arg, eai, NULL, 0, name, 0);
}

static void queried(void *arg, int eai, const uint8_t *response, size_t len)
{
	struct talk *k = arg;

	if (!talk_answered(k))
		return;
	talk_reply_with(k, eai, response, eai ? 0 : len);
	talk_end(k, false);
}

void talk_ask_resolver(struct talk *k)
{
	struct wgw_tunnel *t = k->sockets->t;
	struct wgw_session *session = k->quota->session;
	struct wgw_query query = {0};
	struct stack_addr addr;
	struct wgw_op op = k->op; /* the answer may come at once and overwrites k->op */

	k->state = TALK_WAITING;
	k->asked = true;
	switch (op.code) {
	case WGW_OP_RESOLVE:
		op.u.resolve.name[WGW_NAME_MAX_BYTES - 1] = '\0';
		query.name = op.u.resolve.name;
		query.search = !(op.u.resolve.flags & WGW_RESOLVE_NO_SEARCH);
		query.family = op.u.resolve.family;
		wgw_resolve(t->resolver, session, &query, resolved, k);
		break;
	case WGW_OP_REVERSE:
		talk_addr_from_wire(&op.u.bind.addr, &addr);
		wgw_resolve_reverse(t->resolver, session, &addr, reversed, k);
		break;
	default:
		op.u.dns_query.name[WGW_NAME_MAX_BYTES - 1] = '\0';
		query.name = op.u.dns_query.name;
		query.search = !(op.u.dns_query.flags & WGW_RESOLVE_NO_SEARCH);
		query.class_ = op.u.dns_query.class_;
		query.type = op.u.dns_query.type;
		wgw_resolve_raw(t->resolver, session, &query, queried, k);
	}
}

void talk_reply_ifaddrs(struct talk *k)
{
	const struct wgw_tunnel_boot *boot = k->sockets->t->boot;
	const struct wgw_prefixes *list = &boot->config->addresses;
	uint32_t n = (uint32_t)(list->n < WGW_RESOLVED_MAX ? list->n : WGW_RESOLVED_MAX);

	memset(&k->op.u, 0, sizeof(k->op.u));
	for (uint32_t i = 0; i < n; i++) {
		memcpy(k->op.u.resolved.ip[i], list->at[i].addr.ip, 16);
		k->op.u.resolved.canonical[i] = (char)list->at[i].bits;
	}
	k->op.u.resolved.n = n;
	k->op.u.resolved.ttl = boot->mtu;
	talk_reply(k, 0);
}
