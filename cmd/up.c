/* SPDX-License-Identifier: MIT */
/* up.c - "wgwrap up": a tunnel that stays without commands */
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "src/control/control.h"

enum { OPT_FOREGROUND = CMD_OWN_OPTION };

static const char *const shared[] = {
	"config",  "wait", "no-wait",  "mtu",	     "endpoint", "listen-port", "ipv4", "ipv6",
	"lenient", "pcap", "log-file", "log-format", "quiet",	 "verbose",	"help", NULL,
};

static const struct option own[] = {
	{"foreground", no_argument, NULL, OPT_FOREGROUND},
	{NULL, 0, NULL, 0},
};

static int take(int option, const char *value, void *ctx)
{
	struct wgw_up_options *o = ctx;

	(void)option;
	(void)value;
	o->foreground = true;
	return -1;
}

int cmd_up(int argc, char **argv)
{
	struct wgw_up_options o = {.foreground = false};
	const struct cmd_options options = {
		.name = "up",
		.misuse = CMD_USAGE,
		.failed = CMD_FAILED,
		.shared = shared,
		.own = own,
		.take = take,
		.ctx = &o,
	};
	int status = cmd_options_take(&options, argc, argv, &o.run);

	if (status < 0 && !o.run.config && optind < argc)
		o.run.config = argv[optind++];
	if (status < 0 && !o.run.config)
		status = cmd_misuse(CMD_USAGE, argv[0], "-c CONF is missing");
	if (status < 0 && optind < argc)
		status = cmd_misuse(CMD_USAGE, argv[0], "one tunnel at a time");
	if (status < 0)
		status = wgw_up(&o);
	cmd_run_options_free(&o.run);
	return status;
}
