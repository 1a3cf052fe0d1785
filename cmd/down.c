/* SPDX-License-Identifier: MIT */
/* down.c - "wgwrap down", "wgwrap reload": ends, or brings up to date, what "wgwrap up" began */
#include <stdio.h>

#include "cmd/cmd.h"
#include "src/control/control.h"

/** with_tunnel() - takes [NAME|CONF] and calls @act with it. Return: exit status */
static int with_tunnel(int argc, char **argv, int (*act)(const char *what))
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	char help[] = "help", *name = argv[0];
	const char *what = NULL;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			what = optarg;
			break;
		case 'h':
			return cmd_help(2, (char *[]){help, name, NULL});
		case ':':
			return cmd_misuse(CMD_USAGE, name, "%s needs a value", argv[optind - 1]);
		default:
			return cmd_misuse(CMD_USAGE, name, "unknown option %s", argv[optind - 1]);
		}
	}
	if (!what && optind < argc)
		what = argv[optind++];
	if (optind < argc)
		return cmd_misuse(CMD_USAGE, name, "one tunnel at a time");
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
