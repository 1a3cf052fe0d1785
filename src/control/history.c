/* SPDX-License-Identifier: MIT */
/*
 * history.c - what the status page's plot is drawn from
 *
 * Samples are taken when somebody looks, never by a timer: a page that nobody has open wakes
 * nobody.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/json.h"
#include "src/control/page.h"

enum {
	SAMPLES_MAX = 1024,
	SPACING_MS = 1000,
	WINDOW_MS = 180 * 1000, /* what the plot shows, WINDOW in page_assets.c */
};

/** struct sample - a tunnel's counters at one time; @name "": free */
struct sample {
	char name[sizeof(((struct wgw_status *)0)->name)];
	uint64_t at_ms, rx, tx;
};

/** struct wgw_history - a ring: @next is the oldest */
struct wgw_history {
	struct sample at[SAMPLES_MAX];
	size_t next;
};

struct wgw_history *wgw_history_new(void)
{
	return calloc(1, sizeof(struct wgw_history));
}

void wgw_history_free(struct wgw_history *h)
{
	free(h);
}

/** nth() - the @i-th oldest */
static const struct sample *nth(const struct wgw_history *h, size_t i)
{
	return &h->at[(h->next + i) % SAMPLES_MAX];
}

static bool is_recent(const struct wgw_history *h, const char *name, uint64_t now_ms)
{
	for (size_t i = SAMPLES_MAX; i-- > 0;) {
		const struct sample *s = nth(h, i);

		if (strcmp(s->name, name) == 0)
			return now_ms - s->at_ms < SPACING_MS;
	}
	return false;
}

void wgw_history_take(struct wgw_history *h, const struct wgw_tunnels *tunnels, uint64_t now_ms)
{
	for (size_t i = 0; i < tunnels->n; i++) {
		const struct wgw_status *t = tunnels->at[i];
		struct sample *s = &h->at[h->next];

		if (is_recent(h, t->name, now_ms))
			continue;
		memcpy(s->name, t->name, sizeof(s->name));
		s->at_ms = now_ms;
		s->rx = s->tx = 0;
		for (size_t k = 0; k < t->n_peers; k++) {
			s->rx += t->peers[k].rx_bytes;
			s->tx += t->peers[k].tx_bytes;
		}
		h->next = (h->next + 1) % SAMPLES_MAX;
	}
}

static void put_samples(FILE *out, const struct wgw_history *h, const char *name, uint64_t now_ms)
{
	const char *comma = "";

	for (size_t i = 0; i < SAMPLES_MAX; i++) {
		const struct sample *s = nth(h, i);

		if (strcmp(s->name, name) != 0 || now_ms - s->at_ms > WINDOW_MS)
			continue;
		fprintf(out, "%s[%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]", comma, now_ms - s->at_ms,
			s->rx, s->tx);
		comma = ",";
	}
}

void wgw_page_json(FILE *out, const struct wgw_tunnels *tunnels, const struct wgw_history *h,
		   uint64_t now_ms)
{
	fputs("{\"tunnels\":[", out);
	for (size_t i = 0; i < tunnels->n; i++) {
		const struct wgw_status *s = tunnels->at[i];

		fprintf(out, "%s{\"id\":\"%s\",\"name\":", i ? "," : "", s->name);
		wgw_json_string(out, s->label ? s->label : s->name);
		fprintf(out, ",\"state\":\"%s\",\"samples\":[", wgw_state_word(s->state));
		put_samples(out, h, s->name, now_ms);
		fputs("]}", out);
	}
	fputs("]}\n", out);
}
