/* SPDX-License-Identifier: MIT */
/* health_answer.c - what the HTTP server answers: a body and a status for each path */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/base/loop.h"
#include "src/control/control.h"
#include "src/control/health.h"

/** tunnels() - those that are asked about. False: there are none */
static bool tunnels(struct wgw_health_source *s, struct wgw_tunnels *list)
{
	struct wgw_status *one;

	if (wgw_tunnels_list(&s->dir, list))
		return false;
	if (!s->o->what)
		return list->n > 0;
	if (wgw_tunnels_find(list, s->o->what, &one) != WGW_EXIT_OK)
		return false;
	for (size_t i = 0; i < list->n; i++) {
		if (list->at[i] != one)
			wgw_status_free(list->at[i]);
	}
	list->at[0] = one;
	list->n = 1;
	return true;
}

/** put_ready() - a line for each tunnel; whether all are ready */
static bool put_ready(FILE *out, const struct wgw_tunnels *list)
{
	bool ready = true;

	for (size_t i = 0; i < list->n; i++)
		ready = wgw_show_ready(out, list->at[i]) && ready;
	return ready;
}

/** put_page() - the status page, and the policy it needs */
static void put_page(FILE *out, struct wgw_health_source *s, const struct wgw_tunnels *list,
		     struct wgw_health_answer *a)
{
	struct wgw_flows *flows = calloc(list->n + 1, sizeof(*flows));
	char nonce[WGW_PAGE_NONCE_BYTES];
	struct wgw_page page = {list, flows, s->o->version, nonce, time(NULL)};

	if (!flows) {
		a->status = HTTP_UNAVAILABLE;
		return;
	}
	for (size_t i = 0; i < list->n; i++)
		wgw_flows_of(&s->dir, list->at[i], &flows[i]);
	wgw_page_policy(nonce, a->policy);
	a->type = "text/html; charset=utf-8";
	wgw_page_html(out, &page);
	for (size_t i = 0; i < list->n; i++)
		wgw_flows_free(&flows[i]);
	free(flows);
}

static const char *const paths[] = {"/", "/livez", "/readyz", "/metrics", "/status.json"};

static bool is_served(const char *path)
{
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		if (strcmp(path, paths[i]) == 0)
			return true;
	}
	return false;
}

void wgw_health_make(struct wgw_health_source *s, const char *path, struct wgw_health_answer *a)
{
	FILE *out = open_memstream(&a->body, &a->len);
	struct wgw_tunnels list = {0};
	uint64_t now = wgw_clock_ns() / WGW_MS_NS;

	a->status = HTTP_OK;
	a->type = "text/plain; charset=utf-8";
	if (!out) {
		a->status = HTTP_UNAVAILABLE;
		return;
	}
	if (!is_served(path)) {
		a->status = HTTP_NOT_FOUND;
		fprintf(out, "there are /, /livez, /readyz, /metrics and /status.json\n");
	} else if (!tunnels(s, &list) && strcmp(path, "/") != 0) {
		a->status = HTTP_UNAVAILABLE;
		fprintf(out, "not running\n");
	} else if (strcmp(path, "/") == 0) {
		wgw_history_take(s->history, &list, now);
		put_page(out, s, &list, a);
	} else if (strcmp(path, "/status.json") == 0) {
		a->type = "application/json";
		wgw_history_take(s->history, &list, now);
		wgw_page_json(out, &list, s->history, now);
	} else if (strcmp(path, "/livez") == 0) {
		fprintf(out, "ok\n");
	} else if (strcmp(path, "/readyz") == 0) {
		a->status = put_ready(out, &list) ? HTTP_OK : HTTP_UNAVAILABLE;
	} else {
		a->type = "text/plain; version=0.0.4; charset=utf-8";
		wgw_metrics(out, &list, s->o->version);
	}
	wgw_tunnels_free(&list);
	if (fclose(out))
		a->status = HTTP_UNAVAILABLE;
}
