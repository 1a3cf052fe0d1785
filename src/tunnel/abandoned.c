/* SPDX-License-Identifier: MIT */
/*
 * abandoned.c - finds what is held for sockets that no process has any more
 *
 * Theory of operation
 *
 * Three things outlive their socket without a sign from the kernel: a connect whose outcome is open
 * (we hold a duplicate of the application's socket, so our end sees no hang-up), what is kept
 * by cookie for a socket that is neither connected nor listening, and a datagram socket that is
 * shut both ways (our end looks as if it were closed). For these, the session's
 * supervisor is asked which of the inodes its processes hold. A descriptor on its way between two
 * processes is held by nobody for a moment, so it takes two misses in a row. "Unknown" counts as
 * held.
 */
#include <stdlib.h>

#include "src/session/channel.h"
#include "src/tunnel/keep.h"
#include "src/tunnel/sockets.h"
#include "src/tunnel/tcp.h"
#include "src/tunnel/udp.h"

/** struct scan - one question to a session: who holds these sockets? */
struct scan {
	struct wgw_sockets *sockets;
	struct wgw_quota *quota;
	struct scan *next;
	unsigned int n;
	uint64_t cookies[WGW_CH_SCAN_MAX], inodes[WGW_CH_SCAN_MAX];
};

static void missed(struct wgw_sockets *s, struct wgw_sock *sock)
{
	if (sock->role == WGW_ROLE_CONN) {
		struct wgw_conn *c = wgw_container(sock, struct wgw_conn, sock);

		if (c->dup >= 0 && ++sock->misses >= WGW_ABANDONED_MISSES)
			wgw_conn_abort(c);
	} else if (sock->role == WGW_ROLE_KEPT && ++sock->misses >= WGW_ABANDONED_MISSES) {
		wgw_kept_free(s, wgw_container(sock, struct wgw_kept, sock));
	} else if (sock->role == WGW_ROLE_DGRAM && ++sock->misses >= WGW_ABANDONED_MISSES) {
		wgw_udp_abandoned(sock);
	}
}

static void scan_done(void *arg, const uint64_t *held)
{
	struct scan *scan = arg;
	struct wgw_sockets *s = scan->sockets;

	for (unsigned int i = 0; i < scan->n; i++) {
		struct wgw_sock *sock = wgw_sock_find(s, scan->quota->session, scan->cookies[i]);

		if (!sock)
			continue;
		if (held[i / 64] >> (i % 64) & 1)
			sock->misses = 0;
		else
			missed(s, sock);
	}
	wgw_quota_give(s, scan->quota, &scan->quota->scanning);
	free(scan);
}

/* Puts @sock into a question to its session that has room. */
static void scan_add(struct wgw_sockets *s, struct scan **open, const struct wgw_sock *sock)
{
	struct scan *scan = *open;

	if (sock->quota->scanning || sock->inode == 0 || sock->cookie == 0)
		return;
	while (scan && (scan->quota != sock->quota || scan->n == WGW_CH_SCAN_MAX))
		scan = scan->next;
	if (!scan) {
		scan = calloc(1, sizeof(*scan));
		if (!scan)
			return;
		scan->sockets = s;
		scan->quota = sock->quota;
		scan->next = *open;
		*open = scan;
	}
	scan->cookies[scan->n] = sock->cookie;
	scan->inodes[scan->n++] = sock->inode;
}

static void ask(struct scan *open)
{
	for (struct scan *scan = open; scan; scan = scan->next) {
		scan->quota->scanning++;
		scan->quota->total++;
	}
	while (open) {
		struct scan *scan = open;

		open = scan->next;
		wgw_session_scan(scan->quota->session, scan->inodes, scan->n, scan_done, scan);
	}
}

/* ---- one that is in the way ---- */

/** struct recheck - a question about one socket whose address another one wants */
struct recheck {
	struct wgw_sockets *sockets;
	struct wgw_quota *quota;
	uint64_t cookie, inode;
	void (*done)(void *arg, bool gone);
	void *arg;
};

static void recheck_done(void *arg, const uint64_t *held)
{
	struct recheck *r = arg;
	struct wgw_sock *sock = wgw_sock_find(r->sockets, r->quota->session, r->cookie);
	bool gone = !sock || sock->role != WGW_ROLE_KEPT;

	if (!gone && (held[0] & 1)) {
		sock->misses = 0;
	} else if (!gone) {
		missed(r->sockets, sock);
		if (wgw_sock_find(r->sockets, r->quota->session, r->cookie)) {
			wgw_session_scan(r->quota->session, &r->inode, 1, recheck_done, r);
			return;
		}
		gone = true;
	}
	wgw_quota_give(r->sockets, r->quota, &r->quota->scanning);
	r->done(r->arg, gone);
	free(r);
}

void wgw_kept_recheck(struct wgw_sockets *s, struct wgw_kept *kept,
		      void (*done)(void *arg, bool gone), void *arg)
{
	struct recheck *r = calloc(1, sizeof(*r));

	if (!r) {
		done(arg, false);
		return;
	}
	*r = (struct recheck){s, kept->sock.quota, kept->sock.cookie, kept->sock.inode, done, arg};
	r->quota->scanning++;
	r->quota->total++;
	wgw_session_scan(r->quota->session, &r->inode, 1, recheck_done, r);
}

/* ---- all, from time to time ---- */

/* Of those pending, whose list is in order of age, the old ones; of those kept all, more rarely. */
static void abandoned_due(struct wgw_timer *timer)
{
	struct wgw_sockets *s = wgw_container(timer, struct wgw_sockets, abandoned);
	uint64_t now = wgw_clock_ns();
	struct scan *open = NULL;

	for (struct wgw_link *l = s->pending.next; l != &s->pending; l = l->next) {
		struct wgw_conn *c = wgw_container(l, struct wgw_conn, pending);

		if (now - c->started < WGW_ABANDONED_AFTER_MS * WGW_MS_NS)
			break;
		scan_add(s, &open, &c->sock);
	}
	if (now >= s->kept_next) {
		s->kept_next = now + WGW_KEPT_SCAN_MS * WGW_MS_NS;
		for (struct wgw_link *l = s->kept.next; l != &s->kept; l = l->next)
			scan_add(s, &open, &wgw_container(l, struct wgw_kept, link)->sock);
		for (struct wgw_link *l = s->mute.next; l != &s->mute; l = l->next)
			scan_add(s, &open, &wgw_container(l, struct wgw_dgram_sock, mute)->sock);
	}
	ask(open);
	if (s->pending.next != &s->pending)
		wgw_timer_set(s->t->loop, timer, now + WGW_ABANDONED_EVERY_MS * WGW_MS_NS);
	else if (s->kept.next != &s->kept || s->mute.next != &s->mute)
		wgw_timer_set(s->t->loop, timer, s->kept_next);
}

void wgw_abandoned_watch(struct wgw_sockets *s, uint32_t after_ms)
{
	uint64_t at = wgw_clock_ns() + after_ms * WGW_MS_NS;

	s->abandoned.due = abandoned_due;
	if (!s->abandoned.slot || s->abandoned.deadline > at)
		wgw_timer_set(s->t->loop, &s->abandoned, at);
}
