/* SPDX-License-Identifier: MIT */
/*
 * sockets.c - rendezvous with applications, and what all their sockets have in common
 *
 * Theory of operation
 *
 * Four listeners (stream and sequenced, by path and by abstract name) give connections of processes
 * we know nothing about. Accepting is the one thing that must never wait: an in-place connect gets
 * EAGAIN from a full backlog. So the loop's callbacks only note and queue, accepting included in
 * them, and the jobs that do the work are interrupted every few objects to accept again.
 *
 * A connection is unknown until its first message has shown a session's token. Unknown ones are
 * counted per uid and live a second: anybody on the machine can reach the abstract name.
 *
 * All that a program can make us hold is counted against its session (struct wgw_quota).
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/tunnel/keep.h"
#include "src/tunnel/listen.h"
#include "src/tunnel/sockets.h"
#include "src/tunnel/tcp.h"
#include "src/tunnel/udp.h"

enum {
	TABLE_FIRST = 256, /* slots; a power of two */
	JOBS_PER_ACCEPT = 32,
	SPARES = sizeof(((struct wgw_sockets *)0)->spare) / sizeof(int),
	SEQUENCED = 2, /* the first of those acceptors; those before it are streams */
};

/* Accepts all that waits. Called between pieces of long work, too. */
static void accept_waiting(struct wgw_sockets *s);

/* ---- jobs ---- */

void wgw_job_queue(struct wgw_sockets *s, struct wgw_job *j)
{
	if (j->queued)
		return;
	j->queued = true;
	j->next = NULL;
	*s->jobs_tail = j;
	s->jobs_tail = &j->next;
	s->n_jobs++;
}

/* Runs as many as are queued now; what they queue comes next turn, after the descriptors. May be
 * called from within a job. */
static bool run_queue(struct wgw_sockets *s, bool accept_between)
{
	size_t budget = s->n_jobs;
	unsigned int n = 0;

	if (budget == 0)
		return false;
	while (budget-- > 0 && s->jobs) {
		struct wgw_job *j = s->jobs;

		s->jobs = j->next;
		if (!s->jobs)
			s->jobs_tail = &s->jobs;
		s->n_jobs--;
		j->queued = false;
		j->run(j);
		if (++n % JOBS_PER_ACCEPT == 0 && accept_between)
			accept_waiting(s);
	}
	return s->n_jobs > 0;
}

static bool run_jobs(struct wgw_before *b)
{
	bool more = run_queue(wgw_container(b, struct wgw_sockets, before), true);

	wgw_udp_flush();
	return more;
}

/* ---- quotas ---- */

struct wgw_quota *wgw_quota_of(struct wgw_sockets *s, struct wgw_session *session)
{
	struct wgw_quota *q;

	for (q = s->quotas; q; q = q->next) {
		if (q->session == session)
			return q->over ? NULL : q;
	}
	q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	q->session = session;
	q->next = s->quotas;
	s->quotas = q;
	wgw_session_get(session);
	return q;
}

/* Scans refer to the quota too: it stays until they are answered. */
static void quota_put(struct wgw_sockets *s, struct wgw_quota *q)
{
	struct wgw_quota **at = &s->quotas;

	if (q->total > 0)
		return;
	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	wgw_session_put(q->session);
	free(q);
}

bool wgw_quota_take(struct wgw_quota *q, unsigned int *count, unsigned int max)
{
	if (q->over || *count >= max)
		return false;
	(*count)++;
	q->total++;
	return true;
}

void wgw_quota_give(struct wgw_sockets *s, struct wgw_quota *q, unsigned int *count)
{
	(*count)--;
	q->total--;
	quota_put(s, q);
}

/* ---- connections that have not shown a token ---- */

bool wgw_unknown_take(struct wgw_sockets *s, uint32_t uid)
{
	struct wgw_unknown *free_slot = NULL;

	if (uid == s->own_uid) {
		if (s->unknown_own >= WGW_UNKNOWN_OWN_MAX)
			return false;
		s->unknown_own++;
		return true;
	}
	for (size_t i = 0; i < WGW_UNKNOWN_UIDS_MAX; i++) {
		struct wgw_unknown *u = &s->unknown[i];

		if (u->n == 0) {
			free_slot = free_slot ? free_slot : u;
		} else if (u->uid == uid) {
			if (u->n >= WGW_UNKNOWN_OTHER_MAX)
				return false;
			u->n++;
			return true;
		}
	}
	if (!free_slot)
		return false;
	free_slot->uid = uid;
	free_slot->n = 1;
	return true;
}

void wgw_unknown_give(struct wgw_sockets *s, uint32_t uid)
{
	if (uid == s->own_uid) {
		s->unknown_own--;
		return;
	}
	for (size_t i = 0; i < WGW_UNKNOWN_UIDS_MAX; i++) {
		if (s->unknown[i].n > 0 && s->unknown[i].uid == uid) {
			s->unknown[i].n--;
			return;
		}
	}
}

/* ---- table by cookie ---- */

static size_t slot_of(const struct wgw_sockets *s, uint64_t cookie)
{
	return (size_t)((cookie * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (s->table_size - 1);
}

static struct wgw_sock *table_find(struct wgw_sockets *s, uint64_t cookie)
{
	struct wgw_sock *sock = s->table[slot_of(s, cookie)];

	while (sock && sock->cookie != cookie)
		sock = sock->hash_next;
	return sock;
}

struct wgw_sock *wgw_sock_of_any(struct wgw_sockets *s, uint64_t cookie)
{
	return cookie ? table_find(s, cookie) : NULL;
}

struct wgw_sock *wgw_sock_find(struct wgw_sockets *s, const struct wgw_session *session,
			       uint64_t cookie)
{
	struct wgw_sock *sock = wgw_sock_of_any(s, cookie);

	return sock && sock->quota->session == session ? sock : NULL;
}

/* Twice the slots; when there is no memory the chains grow instead. */
static void table_grow(struct wgw_sockets *s)
{
	struct wgw_sock **old = s->table;
	size_t old_size = s->table_size;
	struct wgw_sock **table = calloc(old_size * 2, sizeof(struct wgw_sock *));

	if (!table)
		return;
	s->table = table;
	s->table_size = old_size * 2;
	for (size_t i = 0; i < old_size; i++) {
		while (old[i]) {
			struct wgw_sock *sock = old[i];
			size_t slot = slot_of(s, sock->cookie);

			old[i] = sock->hash_next;
			sock->hash_next = s->table[slot];
			s->table[slot] = sock;
		}
	}
	free(old);
}

int wgw_sock_insert(struct wgw_sockets *s, struct wgw_sock *sock)
{
	size_t slot;

	if (sock->cookie == 0)
		return 0;
	if (table_find(s, sock->cookie))
		return -EEXIST;
	if (s->table_n >= s->table_size)
		table_grow(s);
	slot = slot_of(s, sock->cookie);
	sock->hash_next = s->table[slot];
	s->table[slot] = sock;
	s->table_n++;
	return 0;
}

void wgw_sock_remove(struct wgw_sockets *s, struct wgw_sock *sock)
{
	struct wgw_sock **at;

	if (sock->cookie == 0)
		return;
	at = &s->table[slot_of(s, sock->cookie)];
	while (*at && *at != sock)
		at = &(*at)->hash_next;
	if (*at) {
		*at = sock->hash_next;
		s->table_n--;
	}
}

int wgw_fd_identity(int fd, uint64_t *cookie, uint64_t *inode)
{
	socklen_t len = sizeof(*cookie);
	struct stat st;

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie, &len) < 0 || fstat(fd, &st) < 0)
		return -errno;
	*inode = st.st_ino;
	return 0;
}

/* ---- accepting ---- */

static void take_spare(struct wgw_sockets *s)
{
	for (size_t i = 0; i < SPARES; i++) {
		if (s->spare[i] < 0) /* whatever it is: its number counts */
			s->spare[i] = fcntl(s->probe, F_DUPFD_CLOEXEC, 0);
	}
}

static void accept_resume(struct wgw_timer *timer)
{
	struct wgw_sockets *s = wgw_container(timer, struct wgw_sockets, accept_timer);

	s->accept_paused = false;
	take_spare(s);
	accept_waiting(s);
}

static void accept_one(struct wgw_sockets *s, const struct wgw_acceptor *a, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0;

	/* Too many: those of a burst may only not have been looked at yet */
	if (!known || (!wgw_unknown_take(s, cred.uid) &&
		       (!run_queue(s, false) || !wgw_unknown_take(s, cred.uid)))) {
		close(fd);
		return;
	}
	if (a->stream)
		wgw_tcp_accepted(s, fd, &cred);
	else
		wgw_op_accepted(s, fd, cred.uid);
}

static void accept_pause(struct wgw_sockets *s)
{
	s->accept_paused = true;
	wgw_timer_set(s->t->loop, &s->accept_timer,
		      wgw_clock_ns() + WGW_ACCEPT_PAUSE_MS * WGW_MS_NS);
}

/*
 * Each connection that was accepted and not looked at brings another descriptor, which the kernel
 * drops when there is no room for it: those come first, and the others wait in the backlog. Numbers
 * are given out from below, so the latest, @fd, tells how many are in use.
 */
static bool is_nearly_full(const struct wgw_sockets *s, int fd)
{
	return (rlim_t)fd + s->unknown_own + WGW_DESCRIPTORS_SPARE > s->descriptors_max;
}

static bool spare_is_whole(const struct wgw_sockets *s)
{
	return s->spare[0] >= 0 && s->spare[1] >= 0;
}

bool wgw_sockets_starved(const struct wgw_sockets *s, struct wgw_quota *q)
{
	uint64_t now = wgw_clock_ns();

	if (spare_is_whole(s))
		return false;
	if (now >= q->starved_next)
		wgw_session_say(
			q->session, 0,
			"no more sockets: all %llu descriptors of the tunnel process are in "
			"use (its limit is the hard one, ulimit -Hn, of where it was "
			"started)",
			(unsigned long long)s->descriptors_max);
	q->starved_next = now + WGW_STARVED_SAY_S * WGW_SEC_NS;
	return true;
}

/* Conversations go on without descriptors, one after the other: people can look, and end things, and
 * who wants to begin something is told why not. */
static int accept_with_spare(struct wgw_acceptor *a)
{
	struct wgw_sockets *s = a->sockets;
	int fd = accept4(a->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0 || (errno != EMFILE && errno != ENFILE) || a->stream || !spare_is_whole(s))
		return fd;
	for (size_t i = 0; i < SPARES; i++) {
		close(s->spare[i]);
		s->spare[i] = -1;
	}
	return accept4(a->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void accept_all(struct wgw_acceptor *a)
{
	struct wgw_sockets *s = a->sockets;

	while (!s->accept_paused) {
		int fd = accept_with_spare(a);

		if (fd >= 0) {
			accept_one(s, a, fd);
			if (is_nearly_full(s, fd) || !spare_is_whole(s))
				accept_pause(s);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			/* EMFILE, ENFILE, ENOMEM: some of ours have to close first */
			accept_pause(s);
		}
	}
}

static void acceptor_ready(struct wgw_watch *w, uint32_t events)
{
	(void)events;
	accept_all(wgw_container(w, struct wgw_acceptor, watch));
}

static void accept_waiting(struct wgw_sockets *s)
{
	/* the sequenced ones first: for those there is the spare */
	for (size_t i = 4; i-- > 0;) {
		if (s->acceptors[i].watch.fd >= 0)
			accept_all(&s->acceptors[i]);
	}
}

/* ---- what tunnel.h promises ---- */

static int acceptor_start(struct wgw_sockets *s, struct wgw_acceptor *a, int fd, bool stream)
{
	a->sockets = s;
	a->stream = stream;
	a->watch.fd = fd;
	a->watch.ready = acceptor_ready;
	/* Edge-triggered: a pause (no descriptors left) must not spin. Every edge and every pause's
	 * end accept until EAGAIN. */
	return fd < 0 ? 0 : wgw_loop_add(s->t->loop, &a->watch, EPOLLIN | EPOLLET);
}

int wgw_sockets_init(struct wgw_tunnel *t)
{
	struct wgw_sockets *s = calloc(1, sizeof(*s));
	struct rlimit limit;
	int err = 0;

	if (!s)
		return -ENOMEM;
	s->t = t;
	s->own_uid = getuid();
	s->spare[0] = s->spare[1] = -1;
	s->descriptors_max = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
	s->jobs_tail = &s->jobs;
	s->table_size = TABLE_FIRST;
	s->table = calloc(s->table_size, sizeof(struct wgw_sock *));
	if (!s->table) {
		free(s);
		return -ENOMEM;
	}
	s->accept_timer.due = accept_resume;
	s->before.run = run_jobs;
	wgw_list_init(&s->ops);
	wgw_list_init(&s->kept);
	wgw_list_init(&s->dgrams);
	wgw_list_init(&s->mute);
	for (size_t i = 0; i < WGW_PORT_BUCKETS; i++)
		wgw_list_init(&s->bound_ports[i]);
	for (size_t i = 0; i < WGW_PORT_BUCKETS; i++)
		wgw_list_init(&s->connected_ports[i]);
	for (size_t i = 0; i < WGW_PORT_BUCKETS; i++)
		wgw_list_init(&s->dgram_ports[i]);
	wgw_tcp_init(s);
	wgw_flow_init(s);
	wgw_listen_init(s);
	t->sockets = s;
	wgw_loop_before(t->loop, &s->before);
	for (size_t i = 0; i < 4; i++) {
		int fd = i < SEQUENCED ? t->boot->stream[i] : t->boot->sequenced[i - SEQUENCED];
		int e = acceptor_start(s, &s->acceptors[i], fd, i < SEQUENCED);

		err = err ? err : e;
	}
	take_spare(s);
	return err;
}

bool wgw_sockets_busy(const struct wgw_tunnel *t)
{
	return t->sockets && t->sockets->open > 0;
}

void wgw_sockets_session_over(struct wgw_tunnel *t, struct wgw_session *session)
{
	struct wgw_sockets *s = t->sockets;
	struct wgw_quota *q = s->quotas;

	wgw_resolver_session_over(t, session);
	while (q && q->session != session)
		q = q->next;
	if (!q)
		return;
	q->total++; /* stays while its objects go */
	q->over = true;
	wgw_listen_session_over(s, session);
	wgw_keep_session_over(s, session);
	wgw_tcp_session_over(s, session);
	wgw_udp_session_over(s, session);
	q->total--;
	quota_put(s, q);
}
