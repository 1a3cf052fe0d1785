/* SPDX-License-Identifier: MIT */
/*
 * top.c - `wgwrap top`: the open connections, looked at again and again
 *
 * On a terminal each look replaces the one before and is cut to the terminal's size, without the
 * columns that only a wide one holds; else they follow each other.
 */
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "src/control/control.h"
#include "src/control/flows.h"
#include "src/control/show.h"

enum { ROWS_DEFAULT = 24, COLUMNS_DEFAULT = 80, COLUMNS_MAX = 512, COLUMNS_WIDE = 133 };

/** struct look - what is remembered of a tunnel between two looks */
struct look {
	char name[WGW_TUNNEL_NAME_BYTES];
	struct wgw_flows flows;
	uint64_t rx, tx, at;
	struct look *next;
};

/** struct screen - @rows left of this look; a pipe has no end */
struct screen {
	bool tty;
	int rows, columns;
};

static void begin_screen(struct screen *s)
{
	struct winsize size;

	s->tty = isatty(STDOUT_FILENO);
	s->rows = s->tty ? ROWS_DEFAULT : INT_MAX;
	s->columns = s->tty ? COLUMNS_DEFAULT : COLUMNS_MAX;
	if (s->tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0) {
		s->rows = size.ws_row - 1;
		s->columns = size.ws_col < COLUMNS_MAX ? size.ws_col : COLUMNS_MAX;
	}
	if (s->tty)
		printf("\033[H\033[J");
}

static void put_line(struct screen *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void put_line(struct screen *s, const char *format, ...)
{
	char line[COLUMNS_MAX + 1];
	va_list ap;

	if (s->rows-- <= 0)
		return;
	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	printf("%.*s\n", s->columns, line);
}

static const char *rate_text(double rate, char buf[WGW_SIZE_BYTES])
{
	char size[WGW_SIZE_BYTES];

	if (rate < 0.5)
		return "-";
	snprintf(buf, WGW_SIZE_BYTES, "%.24s/s", wgw_size_text((uint64_t)(rate + 0.5), size));
	return buf;
}

static void put_head(struct screen *s)
{
	if (s->columns < COLUMNS_WIDE)
		put_line(s, "%-5s %7s %-10s %-24s %13s %13s", "PROTO", "PID", "STATE", "REMOTE",
			 "OUT/S", "IN/S");
	else
		put_line(s, "%-5s %7s %-10s %-6s %-24s %-24s %11s %11s %13s %13s", "PROTO", "PID",
			 "STATE", "WAY", "LOCAL", "REMOTE", "OUT", "IN", "OUT/S", "IN/S");
}

static void put_flow(struct screen *s, const struct wgw_flow *f)
{
	char out[WGW_SIZE_BYTES], in[WGW_SIZE_BYTES], rate_out[WGW_SIZE_BYTES],
		rate_in[WGW_SIZE_BYTES];

	if (s->columns < COLUMNS_WIDE) {
		put_line(s, "%-5s %7d %-10s %-24s %13s %13s", f->protocol, f->pid, f->state,
			 f->remote, rate_text(f->rate_out, rate_out),
			 rate_text(f->rate_in, rate_in));
		return;
	}
	put_line(s, "%-5s %7d %-10s %-6s %-24s %-24s %11s %11s %13s %13s", f->protocol, f->pid,
		 f->state, f->direct ? "direct" : "tunnel", f->local, f->remote,
		 wgw_size_text(f->out, out), wgw_size_text(f->in, in),
		 rate_text(f->rate_out, rate_out), rate_text(f->rate_in, rate_in));
}

/** put_summary() - the line of one tunnel; sums up its peers into *rx, *tx */
static void put_summary(struct screen *s, const struct wgw_status *t, const struct look *before,
			double seconds, uint64_t *rx, uint64_t *tx)
{
	char in[WGW_SIZE_BYTES], out[WGW_SIZE_BYTES];
	size_t up = 0;

	*rx = *tx = 0;
	for (size_t i = 0; i < t->n_peers; i++) {
		*rx += t->peers[i].rx_bytes;
		*tx += t->peers[i].tx_bytes;
		up += t->peers[i].state == WGW_STATE_UP;
	}
	put_line(s, "%s: %s%s%s, %zu of %zu peers have a session, in %s, out %s",
		 t->label ? t->label : t->name, wgw_state_word(t->state), t->reason ? ": " : "",
		 t->reason ? t->reason : "", up, t->n_peers,
		 rate_text(seconds > 0 && *rx >= before->rx ? (double)(*rx - before->rx) / seconds
							    : 0,
			   in),
		 rate_text(seconds > 0 && *tx >= before->tx ? (double)(*tx - before->tx) / seconds
							    : 0,
			   out));
}

static struct look *remember(struct look **looks, const char name[WGW_TUNNEL_NAME_BYTES])
{
	struct look *l = *looks;

	while (l && strcmp(l->name, name) != 0)
		l = l->next;
	if (l)
		return l;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	memcpy(l->name, name, WGW_TUNNEL_NAME_BYTES);
	l->next = *looks;
	*looks = l;
	return l;
}

static void show_tunnel(struct screen *s, const struct wgw_rundir *dir, const struct wgw_status *t,
			struct look **looks)
{
	struct look *before = remember(looks, t->name);
	struct wgw_flows flows;
	uint64_t now = wgw_clock_ns(), rx, tx;
	double seconds;

	if (!before)
		return;
	wgw_flows_of(dir, t, &flows);
	seconds = before->at ? (double)(now - before->at) / 1e9 : 0;
	put_summary(s, t, before, seconds, &rx, &tx);
	wgw_flows_compare(&flows, &before->flows, seconds);
	if (flows.n > 0)
		put_head(s);
	for (size_t i = 0; i < flows.n; i++)
		put_flow(s, &flows.at[i]);
	put_line(s, "%s", "");
	wgw_flows_free(&before->flows);
	before->flows = flows;
	before->rx = rx;
	before->tx = tx;
	before->at = now;
}

/** show_all() - one look. Return: exit status */
static int show_all(const struct wgw_top_options *o, const struct wgw_rundir *dir,
		    struct look **looks)
{
	struct wgw_tunnels list;
	struct wgw_status *one = NULL;
	struct screen s;
	int status = WGW_EXIT_OK;

	if (wgw_tunnels_list(dir, &list))
		return WGW_EXIT_RUNTIME;
	if (o->what || list.n == 0)
		status = wgw_tunnels_find(&list, o->what, &one);
	if (status == WGW_EXIT_OK) {
		begin_screen(&s);
		for (size_t i = 0; i < list.n; i++) {
			if (!one || one == list.at[i])
				show_tunnel(&s, dir, list.at[i], looks);
		}
		if (fflush(stdout))
			status = WGW_EXIT_RUNTIME;
	}
	wgw_tunnels_free(&list);
	return status;
}

/** interrupted() - waits; whether a signal came to end it */
static bool interrupted(int signals, double seconds)
{
	struct pollfd p = {.fd = signals, .events = POLLIN};

	return poll(&p, 1, (int)(seconds * 1000)) > 0;
}

int wgw_top(const struct wgw_top_options *o)
{
	struct look *looks = NULL;
	struct wgw_rundir dir;
	int signals = wgw_end_signals(), status;

	if (signals < 0)
		return WGW_EXIT_RUNTIME;
	wgw_rundir_open(&dir);
	for (unsigned int i = 1;; i++) {
		status = show_all(o, &dir, &looks);
		if (status != WGW_EXIT_OK || i == o->count || interrupted(signals, o->seconds))
			break;
	}
	while (looks) {
		struct look *l = looks;

		looks = l->next;
		wgw_flows_free(&l->flows);
		free(l);
	}
	close(signals);
	if (dir.fd >= 0)
		close(dir.fd);
	return status;
}
