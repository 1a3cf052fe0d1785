/* SPDX-License-Identifier: MIT */
/* up.c - "wgwrap up": a tunnel that stays without commands */
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "src/control/control.h"

enum { OPT_FOREGROUND = CMD_OWN_OPTION, OPT_HEALTH, OPT_ANY_USER, OPT_ANY_ADDRESS };

static const char *const shared[] = {
	"config",   "exit-node",   "route", "wait",    "no-wait", "mtu",
	"endpoint", "listen-port", "ipv4",  "ipv6",    "lenient", "pcap",
	"log-file", "log-format",  "quiet", "verbose", "help",	  NULL,
};

static const struct option own[] = {
	{"foreground", no_argument, NULL, OPT_FOREGROUND},
	{"health", required_argument, NULL, OPT_HEALTH},
	{"any-user", no_argument, NULL, OPT_ANY_USER},
	{"any-address", no_argument, NULL, OPT_ANY_ADDRESS},
	{NULL, 0, NULL, 0},
};

const char cmd_up_help[] =
	"options, besides those of run that concern the tunnel\n"
	"  --foreground           stay; for systemd (Type=notify) and containers\n"
	"  --health ADDRESS:PORT|PATH\n"
	"                         HTTP: /livez, /readyz, /metrics and, at /, a status page\n"
	"  --any-user             to other users of this host, too\n"
	"  --any-address          to other hosts, too\n";

static int take(int option, const char *value, void *ctx)
{
	struct wgw_up_options *o = ctx;

	switch (option) {
	case OPT_FOREGROUND:
		o->foreground = true;
		break;
	case OPT_HEALTH:
		o->health.address = value;
		break;
	case OPT_ANY_USER:
		o->health.any_user = true;
		break;
	default:
		o->health.any_address = true;
	}
	return -1;
}

int cmd_up(int argc, char **argv)
{
	struct wgw_up_options o = {.health = {.version = WGWRAP_VERSION}};
	const struct cmd_options options = {
		.name = "up",
		.misuse = WGW_EXIT_USAGE,
		.failed = WGW_EXIT_RUNTIME,
		.shared = shared,
		.own = own,
		.anywhere = true,
		.take = take,
		.ctx = &o,
	};
	int status = cmd_options_take(&options, argc, argv, &o.run);

	if (status < 0 && !o.run.config && optind < argc)
		o.run.config = argv[optind++];
	if (status < 0 && !o.run.config)
		status = cmd_misuse(WGW_EXIT_USAGE, argv[0], "-c CONF is missing");
	if (status < 0 && optind < argc)
		status = cmd_misuse(WGW_EXIT_USAGE, argv[0], "one tunnel at a time");
	if (status < 0)
		status = wgw_up(&o);
	cmd_run_options_free(&o.run);
	return status;
}
