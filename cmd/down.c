/* SPDX-License-Identifier: MIT */
/* down.c - "wgwrap down", "wgwrap reload": ends, or brings up to date, what "wgwrap up" began */
#include <stdio.h>

#include "cmd/cmd.h"
#include "src/control/control.h"

static int take(int option, char *value, void *ctx)
{
	(void)option;
	*(const char **)ctx = value;
	return -1;
}

/** with_tunnel() - takes [NAME|CONF] and calls @act with it. Return: exit status */
static int with_tunnel(int argc, char **argv, int (*act)(const char *what))
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const char *what = NULL;
	int status;

	status = cmd_words_take(argc, argv, ":c:h", options, take, &what);
	if (status >= 0)
		return status;
	if (!what && optind < argc)
		what = argv[optind++];
	if (optind < argc)
		return cmd_misuse(WGW_EXIT_USAGE, argv[0], "one tunnel at a time");
	return act(what);
}

int cmd_down(int argc, char **argv)
{
	return with_tunnel(argc, argv, wgw_down);
}

int cmd_reload(int argc, char **argv)
{
	return with_tunnel(argc, argv, wgw_reload_running);
}
