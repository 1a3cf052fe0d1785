/* SPDX-License-Identifier: MIT */
/*
 * remote.c - -R: connections that come out of the tunnel, to a destination of the host
 *
 * The listener is one of the stack. What it accepts is held (its window bounds what the peer sends)
 * until the host's destination, which the user has named, is connected; then both are joined. When
 * that fails, the peer's connection is reset.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "src/proxy/internal.h"
#include "src/tunnel/listen.h"

/** struct remote - a connection from the tunnel whose destination is being connected */
struct remote {
	struct wgw_link link;
	struct proxy_service *service;
	struct wgw_job job;
	struct proxy_far *near;
	struct proxy_dial *dial;
	bool dead;
};

static void remote_run(struct wgw_job *j)
{
	struct remote *r = wgw_container(j, struct remote, job);

	if (!r->dead && r->near->state == PROXY_FAR_OVER)
		r->dead = true;
	if (!r->dead)
		return;
	if (r->dial)
		proxy_dial_cancel(r->dial);
	proxy_far_free(r->near, true);
	r->service->unknown--;
	wgw_list_remove(&r->link);
	proxy_service_put(r->service);
	free(r);
}

static void on_near(void *arg)
{
	struct remote *r = arg;

	wgw_job_queue(r->service->proxy->t->sockets, &r->job);
}

static void on_dialled(void *arg, enum proxy_result result, struct proxy_far *host)
{
	struct remote *r = arg;
	struct proxy_service *v = r->service;
	char from[WGW_ADDR_TEXT_BYTES];
	int err;

	r->dial = NULL;
	proxy_say_result(v, wgw_addr_port_text(&r->near->remote, from), &v->target, result);
	if (result == PROXY_OK) {
		const struct proxy_near near = {.fd = proxy_far_release(host), .lent = true};

		err = proxy_join(v->session, &near, r->near, NULL, 0);
		r->near = NULL;
		if (err)
			wgw_session_say(v->session, 1, "a connection was dropped: %s",
					proxy_result_text(proxy_result_of(v->proxy->t, err)));
	}
	r->dead = true;
	on_near(r);
}

static void on_accept(struct flow_listener *l, struct flow *f, void *arg)
{
	struct proxy_service *v = arg;
	struct remote *r = v->unknown < PROXY_UNKNOWN_MAX ? calloc(1, sizeof(*r)) : NULL;

	(void)l;
	if (!r) {
		flow_abort(f);
		return;
	}
	r->service = v;
	r->job.run = remote_run;
	r->near = proxy_far_accepted(v->proxy->t, f, on_near, r);
	r->dial = r->near ? proxy_dial(v->session, &v->target, &v->dial, on_dialled, r) : NULL;
	if (!r->dial) {
		proxy_far_free(r->near, true);
		free(r);
		return;
	}
	proxy_service_get(v);
	v->unknown++;
	wgw_list_append(&v->proxy->remotes, &r->link);
}

int proxy_remote_start(struct proxy_service *v, const struct stack_addr *at)
{
	static const struct flow_listener_ops ops = {.accept = on_accept};
	int err = 0;

	if (wgw_listen_conflict(v->proxy->t->sockets, at, 0))
		return EADDRINUSE;
	v->listener = flow_listen(v->proxy->t->stack, at, false, PROXY_UNKNOWN_MAX, &ops, v, &err);
	return v->listener ? 0 : err < 0 ? -err : err;
}

const struct wgw_session *proxy_remote_session(const struct wgw_link *l)
{
	return wgw_container(l, struct remote, link)->service->session;
}

void proxy_remote_session_over(struct wgw_proxy *p, const struct wgw_session *s)
{
	for (struct wgw_link *l = p->remotes.next; l != &p->remotes; l = l->next) {
		struct remote *r = wgw_container(l, struct remote, link);

		if (r->service->session == s) {
			r->dead = true;
			on_near(r);
		}
	}
}
