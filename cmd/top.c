/* SPDX-License-Identifier: MIT */
/* top.c - "wgwrap top": watches the open connections */
#include <stdio.h>

#include "cmd/cmd.h"
#include "src/config/values.h"
#include "src/control/control.h"
#include "src/control/flows.h"

enum { LOOKS_MAX = 1000000, INTERVAL_MIN_MS = 100 };

/** take() - one option with a value. Return: -1, or exit status */
static int take(int option, char *value, void *ctx)
{
	struct wgw_top_options *o = ctx;
	uint32_t n;

	if (option == 'c') {
		o->what = value;
		return -1;
	}
	if (option == 'n') {
		if (wgw_number_parse(value, 1, LOOKS_MAX, &o->count) < 0)
			return cmd_misuse(WGW_EXIT_USAGE, "top", "-n: '%.80s' is not a number",
					  value);
		return -1;
	}
	if (cmd_duration_parse(value, &n) < 0 || n < INTERVAL_MIN_MS)
		return cmd_misuse(WGW_EXIT_USAGE, "top",
				  "-d: '%.80s' is not a time like 2s or 500ms", value);
	o->seconds = n / 1000.0;
	return -1;
}

int cmd_top(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"count", required_argument, NULL, 'n'},
		{"delay", required_argument, NULL, 'd'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct wgw_top_options o = {.seconds = 1};
	int status;

	status = cmd_words_take(argc, argv, ":c:n:d:h", options, take, &o);
	if (status >= 0)
		return status;
	if (!o.what && optind < argc)
		o.what = argv[optind++];
	if (optind < argc)
		return cmd_misuse(WGW_EXIT_USAGE, "top", "one tunnel at a time, or all");
	return wgw_top(&o);
}
