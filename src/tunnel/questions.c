/* SPDX-License-Identifier: MIT */
/*
 * questions.c - what the tunnel process asks a session's supervisor, which sees processes and files
 *
 * Each question has an id and a time limit. Whoever asked is answered exactly once, and never
 * inside the call that asks: by the answer, as unknown when the time is over, or when the session
 * is.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/tunnel/client.h"

enum { QUESTIONS_MAX = 1024 }; /* unanswered ones of a session */

#define SCAN_TIMEOUT_NS	   (5 * WGW_SEC_NS)
#define WHOSE_TIMEOUT_NS   (8 * WGW_SEC_NS) /* less than who asks for it waits (request.c) */
#define RESOLVE_TIMEOUT_NS (30 * WGW_SEC_NS)

/**
 * struct question - one that waits for its answer
 * @expiry:	Answers it as unknown
 * @answer:	WGW_CH_SCANNED, WGW_CH_HOST_RESOLVED or WGW_CH_WHOSE_IS, which says which function
 *		is set
 */
struct question {
	struct question *next;
	struct wgw_client *client;
	struct wgw_timer expiry;
	uint32_t id;
	uint16_t answer;
	void (*scanned)(void *arg, const uint64_t *held);
	void (*resolved)(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n);
	void (*whose)(void *arg, int err);
	void *arg;
};

/* @gone: the session is over, with all its processes. */
static void answer_unknown(struct question *q, bool gone)
{
	uint64_t all[WGW_CH_SCAN_MAX / 64];

	memset(all, 0xff, sizeof(all));
	if (q->answer == WGW_CH_SCANNED)
		q->scanned(q->arg, all);
	else if (q->answer == WGW_CH_WHOSE_IS)
		q->whose(q->arg, gone ? 0 : ETIMEDOUT);
	else
		q->resolved(q->arg, EAI_AGAIN, NULL, 0);
}

static void question_free(struct wgw_client *c, struct question *q)
{
	struct question **at = &c->questions.first;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	c->questions.n--;
	wgw_timer_cancel(c->t->loop, &q->expiry);
	free(q);
}

static void on_expiry(struct wgw_timer *t)
{
	struct question *q = wgw_container(t, struct question, expiry);
	struct wgw_client *c = q->client;

	answer_unknown(q, false);
	question_free(c, q);
}

static struct question *question_new(struct wgw_client *c, uint16_t answer, uint64_t timeout_ns,
				     void *arg)
{
	struct question *q;

	if (c->closing || c->questions.n == QUESTIONS_MAX)
		return NULL;
	q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	q->client = c;
	q->id = ++c->questions.last_id;
	q->answer = answer;
	q->arg = arg;
	q->expiry.due = on_expiry;
	wgw_timer_set(c->t->loop, &q->expiry, wgw_loop_now(c->t->loop) + timeout_ns);
	q->next = c->questions.first;
	c->questions.first = q;
	c->questions.n++;
	return q;
}

bool wgw_client_scan(struct wgw_client *c, const uint64_t *inodes, unsigned int n,
		     void (*done)(void *arg, const uint64_t *held), void *arg)
{
	struct wgw_channel_msg msg = {.code = WGW_CH_SCAN};
	struct question *q;

	if (n > WGW_CH_SCAN_MAX)
		return false;
	q = question_new(c, WGW_CH_SCANNED, SCAN_TIMEOUT_NS, arg);
	if (!q)
		return false;
	q->scanned = done;
	msg.id = q->id;
	msg.u.scan.n = n;
	memcpy(msg.u.scan.inode, inodes, n * sizeof(*inodes));
	wgw_client_send(c, &msg);
	return true;
}

bool wgw_client_host_resolve(struct wgw_client *c, const char *name, int family,
			     void (*done)(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n),
			     void *arg)
{
	struct wgw_channel_msg msg = {.code = WGW_CH_HOST_RESOLVE};
	struct question *q;

	if (strlen(name) >= sizeof(msg.u.host.name))
		return false;
	q = question_new(c, WGW_CH_HOST_RESOLVED, RESOLVE_TIMEOUT_NS, arg);
	if (!q)
		return false;
	q->resolved = done;
	msg.id = q->id;
	msg.u.host.family = family;
	snprintf(msg.u.host.name, sizeof(msg.u.host.name), "%s", name);
	wgw_client_send(c, &msg);
	return true;
}

bool wgw_client_whose(struct wgw_client *c, int32_t pid, void (*done)(void *arg, int err),
		      void *arg)
{
	struct wgw_channel_msg msg = {.code = WGW_CH_WHOSE};
	struct question *q = question_new(c, WGW_CH_WHOSE_IS, WHOSE_TIMEOUT_NS, arg);

	if (!q)
		return false;
	q->whose = done;
	msg.id = q->id;
	msg.u.opened.pid = pid;
	wgw_client_send(c, &msg);
	return true;
}

void wgw_questions_answer(struct wgw_client *c, const struct wgw_channel_msg *msg)
{
	struct question *q = c->questions.first;
	uint32_t n = msg->u.host.n;

	while (q && (q->id != msg->id || q->answer != msg->code))
		q = q->next;
	if (!q) /* expired */
		return;
	if (msg->code == WGW_CH_SCANNED)
		q->scanned(q->arg, msg->u.scan.held);
	else if (msg->code == WGW_CH_WHOSE_IS)
		q->whose(q->arg, msg->err);
	else
		q->resolved(q->arg, msg->u.host.eai, msg->u.host.ip,
			    n < WGW_CH_HOST_MAX ? n : WGW_CH_HOST_MAX);
	question_free(c, q);
}

void wgw_questions_end(struct wgw_client *c)
{
	while (c->questions.first) {
		struct question *q = c->questions.first;

		answer_unknown(q, true);
		question_free(c, q);
	}
}
