/* SPDX-License-Identifier: MIT */
/* list.c - "wgwrap list": the running tunnels, a line each */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "src/control/control.h"
#include "src/control/show.h"

static size_t peers_up(const struct wgw_status *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_peers; i++)
		n += s->peers[i].state == WGW_STATE_UP;
	return n;
}

static void print(const struct wgw_tunnels *list, bool quiet)
{
	if (!quiet && list->n > 0)
		printf("%-20s %-12s %7s %9s %10s  %-16s %s\n", "NAME", "STATE", "PEERS", "COMMANDS",
		       "UPTIME", "ID", "CONFIGURATION");
	for (size_t i = 0; i < list->n; i++) {
		const struct wgw_status *s = list->at[i];
		char peers[48], uptime[32];
		uint64_t up = s->uptime_ms / 1000;

		if (quiet) {
			printf("%s\n", s->label ? s->label : s->name);
			continue;
		}
		snprintf(peers, sizeof(peers), "%zu/%zu", peers_up(s), s->n_peers);
		snprintf(uptime, sizeof(uptime), "%" PRIu64 ":%02u:%02u", up / 3600,
			 (unsigned int)(up / 60 % 60), (unsigned int)(up % 60));
		printf("%-20s %-12s %7s %9zu %10s  %-16s %s\n", s->label ? s->label : "-",
		       wgw_state_word(s->state), peers, wgw_status_commands(s), uptime, s->name,
		       s->source ? s->source : "-");
	}
}

static int take(int option, char *value, void *ctx)
{
	(void)value;
	*(bool *)ctx |= option == 'q';
	return -1;
}

int cmd_list(int argc, char **argv)
{
	static const struct option options[] = {
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct wgw_tunnels tunnels;
	bool quiet = false;
	int status;

	status = cmd_words_take(argc, argv, ":qh", options, take, &quiet);
	if (status >= 0)
		return status;
	if (optind < argc)
		return cmd_misuse(WGW_EXIT_USAGE, "list", "list takes no arguments");
	if (wgw_tunnels_running(&tunnels))
		return WGW_EXIT_RUNTIME;
	print(&tunnels, quiet);
	wgw_tunnels_free(&tunnels);
	return cmd_flush(WGW_EXIT_OK);
}
