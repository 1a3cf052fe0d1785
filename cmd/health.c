/* SPDX-License-Identifier: MIT */
/* health.c - "wgwrap health": whether tunnels work, for people, scripts and HTTP */
#include <stdio.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "src/control/control.h"
#include "src/control/metrics.h"

enum { OPT_LISTEN = 256, OPT_ANY_USER, OPT_ANY_ADDRESS, OPT_METRICS };

const char cmd_health_help[] =
	"  --metrics              print metrics for Prometheus\n"
	"  --listen ADDRESS:PORT|PATH\n"
	"                         serve /livez, /readyz, /metrics and a status page at / over HTTP\n"
	"  --any-user             to other users of this host, too\n"
	"  --any-address          to other hosts, too\n";

static bool print(const struct wgw_status *s)
{
	printf("%s: %s%s%s\n", s->label ? s->label : s->name, wgw_state_word(s->state),
	       s->reason ? ": " : "", s->reason ? s->reason : "");
	return wgw_status_is_ready(s);
}

/** once() - a line a tunnel, or the metrics. Return: exit status */
static int once(const struct wgw_health_options *o, bool metrics)
{
	struct wgw_tunnels list, one;
	struct wgw_status *found;
	struct wgw_rundir dir;
	int status = CMD_OK;

	wgw_rundir_open(&dir);
	if (wgw_tunnels_list(&dir, &list))
		return CMD_FAILED;
	one = list;
	if (o->what || list.n == 0) {
		status = wgw_tunnels_find(&list, o->what, &found);
		one = (struct wgw_tunnels){&found, 1};
	}
	if (status == CMD_OK && metrics)
		wgw_metrics(stdout, &one, o->version);
	for (size_t i = 0; i < one.n && !metrics && (status == CMD_OK || i > 0); i++) {
		if (!print(one.at[i]))
			status = CMD_UNHEALTHY;
	}
	wgw_tunnels_free(&list);
	if (dir.fd >= 0)
		close(dir.fd);
	return cmd_flush(status);
}

static int run(const struct wgw_health_options *o, bool metrics)
{
	int fd, status;

	if (!o->address)
		return once(o, metrics);
	fd = wgw_health_listen(o);
	if (fd < 0)
		return CMD_FAILED;
	status = wgw_health_serve(o, fd);
	close(fd);
	return status;
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
	char help[] = "help", name[] = "health";
	struct wgw_health_options o = {.version = WGWRAP_VERSION};
	bool metrics = false;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			o.what = optarg;
			break;
		case OPT_LISTEN:
			o.address = optarg;
			break;
		case OPT_ANY_USER:
			o.any_user = true;
			break;
		case OPT_ANY_ADDRESS:
			o.any_address = true;
			break;
		case OPT_METRICS:
			metrics = true;
			break;
		case 'h':
			return cmd_help(2, (char *[]){help, name, NULL});
		case ':':
			return cmd_misuse(CMD_USAGE, name, "%s needs a value", argv[optind - 1]);
		default:
			return cmd_misuse(CMD_USAGE, name, "unknown option %s", argv[optind - 1]);
		}
	}
	if (!o.what && optind < argc)
		o.what = argv[optind++];
	if (optind < argc)
		return cmd_misuse(CMD_USAGE, name, "one tunnel at a time, or all");
	if (metrics && o.address)
		return cmd_misuse(CMD_USAGE, name, "--listen serves the metrics already");
	return run(&o, metrics);
}
