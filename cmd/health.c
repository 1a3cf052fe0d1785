/* SPDX-License-Identifier: MIT */
/* health.c - "wgwrap health": whether tunnels work, for people, scripts and HTTP */
#include <stdio.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "src/control/control.h"
#include "src/control/metrics.h"
#include "src/control/show.h"

enum { OPT_LISTEN = CMD_LONG_ONLY, OPT_ANY_USER, OPT_ANY_ADDRESS, OPT_METRICS };

const char cmd_health_help[] = "options\n"
			       "  --metrics              print metrics for Prometheus\n"
			       "  --listen ADDRESS:PORT|PATH\n"
			       "                         serve /livez, /readyz, /metrics and a "
			       "status page at / over HTTP\n"
			       "  --any-user             to other users of this host, too\n"
			       "  --any-address          to other hosts, too\n";

/** once() - a line a tunnel, or the metrics. Return: exit status */
static int once(const struct wgw_health_options *o, bool metrics)
{
	struct wgw_tunnels list, one;
	struct wgw_status *found;
	int status = WGW_EXIT_OK;

	if (wgw_tunnels_running(&list))
		return WGW_EXIT_RUNTIME;
	one = list;
	if (o->what || list.n == 0) {
		status = wgw_tunnels_find(&list, o->what, &found);
		one = (struct wgw_tunnels){.at = &found, .n = 1};
	}
	if (status == WGW_EXIT_OK && metrics)
		wgw_metrics(stdout, &one, o->version);
	for (size_t i = 0; i < one.n && !metrics && (status == WGW_EXIT_OK || i > 0); i++) {
		if (!wgw_show_ready(stdout, one.at[i]))
			status = WGW_EXIT_UNHEALTHY;
	}
	if (!o->what && list.silent > 0 && status == WGW_EXIT_OK)
		status = WGW_EXIT_UNHEALTHY;
	wgw_tunnels_free(&list);
	return cmd_flush(status);
}

static int run(const struct wgw_health_options *o, bool metrics)
{
	int fd, status;

	if (!o->address)
		return once(o, metrics);
	fd = wgw_health_listen(o);
	if (fd < 0)
		return WGW_EXIT_RUNTIME;
	status = wgw_health_serve(o, fd);
	close(fd);
	return status;
}

/** struct request - what the command line asks for */
struct request {
	struct wgw_health_options o;
	bool metrics;
};

static int take(int option, char *value, void *ctx)
{
	struct request *r = ctx;

	switch (option) {
	case 'c':
		r->o.what = value;
		break;
	case OPT_LISTEN:
		r->o.address = value;
		break;
	case OPT_ANY_USER:
		r->o.any_user = true;
		break;
	case OPT_ANY_ADDRESS:
		r->o.any_address = true;
		break;
	default: /* OPT_METRICS */
		r->metrics = true;
	}
	return -1;
}

int cmd_health(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"listen", required_argument, NULL, OPT_LISTEN},
		{"any-user", no_argument, NULL, OPT_ANY_USER},
		{"any-address", no_argument, NULL, OPT_ANY_ADDRESS},
		{"metrics", no_argument, NULL, OPT_METRICS},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct request r = {.o = {.version = WGWRAP_VERSION}};
	int status;

	status = cmd_words_take(argc, argv, ":c:h", options, take, &r);
	if (status >= 0)
		return status;
	if (!r.o.what && optind < argc)
		r.o.what = argv[optind++];
	if (optind < argc)
		return cmd_misuse(WGW_EXIT_USAGE, "health", "one tunnel at a time, or all");
	if ((r.o.any_user || r.o.any_address) && !r.o.address)
		return cmd_misuse(WGW_EXIT_USAGE, "health",
				  "--any-user and --any-address are for --listen");
	if (r.metrics && r.o.address)
		return cmd_misuse(WGW_EXIT_USAGE, "health", "--listen serves the metrics already");
	return run(&r.o, r.metrics);
}
