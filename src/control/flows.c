/* SPDX-License-Identifier: MIT */
/* flows.c - reads the text of flows.h; rates */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/control/flows.h"

static bool parse_line(const char *line, struct wgw_flow *f)
{
	char way[WGW_FLOW_WORD_BYTES];
	int end = 0;

	memset(f, 0, sizeof(*f));
	if (sscanf(line, "%15s %d %15s %15s %63s %63s %" SCNu64 " %" SCNu64 " %" SCNu64 "%n",
		   f->protocol, &f->pid, f->state, way, f->local, f->remote, &f->out, &f->in,
		   &f->age_ms, &end) != 9 ||
	    (line[end] != '\n' && line[end] != '\0'))
		return false;
	f->direct = strcmp(way, "direct") == 0;
	return true;
}

int wgw_flows_parse(const char *text, struct wgw_flows *out)
{
	size_t room = 0;
	int err = 0;

	memset(out, 0, sizeof(*out));
	while (*text && !err) {
		if (out->n == room) {
			struct wgw_flow *at =
				reallocarray(out->at, room ? room * 2 : 16, sizeof(*at));

			err = at ? 0 : -ENOMEM;
			out->at = at ? at : out->at;
			room = room ? room * 2 : 16;
		}
		if (!err && !parse_line(text, &out->at[out->n++]))
			err = -EINVAL;
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	if (err)
		wgw_flows_free(out);
	return err;
}

void wgw_flows_free(struct wgw_flows *f)
{
	free(f->at);
	memset(f, 0, sizeof(*f));
}

/* By what makes a connection: that of one and the same is 0. */
static int by_ends(const void *a, const void *b)
{
	const struct wgw_flow *x = a, *y = b;
	int order = (x->pid > y->pid) - (x->pid < y->pid);

	order = order ? order : strcmp(x->local, y->local);
	order = order ? order : strcmp(x->remote, y->remote);
	return order ? order : strcmp(x->protocol, y->protocol);
}

/* The same connection earlier, in a @list by ends: several have had these, and it has moved no less. */
static const struct wgw_flow *find(const struct wgw_flows *list, const struct wgw_flow *f)
{
	size_t low = 0, high = list->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (by_ends(&list->at[middle], f) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < list->n && by_ends(&list->at[low], f) == 0; low++) {
		if (list->at[low].out <= f->out && list->at[low].in <= f->in)
			return &list->at[low];
	}
	return NULL;
}

static int busier(const void *a, const void *b)
{
	const struct wgw_flow *x = a, *y = b;
	double rx = x->rate_in + x->rate_out, ry = y->rate_in + y->rate_out;
	uint64_t bx = x->in + x->out, by = y->in + y->out;

	if (rx < ry || rx > ry)
		return rx < ry ? 1 : -1;
	if (bx != by)
		return bx < by ? 1 : -1;
	return strcmp(x->local, y->local);
}

void wgw_flows_compare(struct wgw_flows *now, struct wgw_flows *before, double seconds)
{
	if (before->n > 1)
		qsort(before->at, before->n, sizeof(*before->at), by_ends);
	for (size_t i = 0; i < now->n && seconds > 0; i++) {
		struct wgw_flow *f = &now->at[i];
		const struct wgw_flow *g = find(before, f);
		/* one that is new has moved all it has moved since it began */
		double since = g ? seconds : (double)f->age_ms / 1000;

		if (since <= 0)
			continue;
		f->rate_out = (double)(f->out - (g ? g->out : 0)) / since;
		f->rate_in = (double)(f->in - (g ? g->in : 0)) / since;
	}
	if (now->n > 1)
		qsort(now->at, now->n, sizeof(*now->at), busier);
}
