/* SPDX-License-Identifier: MIT */
/*
 * proxy.c - the options of "wgwrap proxy" and "wgwrap nc": those of run that have a meaning here,
 *	and listeners
 */
#include <getopt.h>
#include <string.h>
#include <sys/socket.h>

#include "cmd/cmd.h"
#include "src/proxy/proxy.h"

enum option_id {
	OPT_LISTEN = CMD_OWN_OPTION,
	OPT_SOCKS,
	OPT_HTTP,
	OPT_SNI,
	OPT_USERS,
	OPT_TLS_CERT,
	OPT_TLS_KEY,
	OPT_ALLOW_OPEN,
	OPT_ANY_USER,
	OPT_CONNECT_TIMEOUT,
	OPT_RESOLVE,
	OPT_WAIT,
};

static const char *const shared_options[] = {
	"config",   "linger",	   "direct", "exit-node", "route",	"dns",	   "mtu",
	"endpoint", "listen-port", "ipv4",   "ipv6",	  "join",	"lenient", "pcap",
	"log-file", "log-format",  "quiet",  "verbose",	  "no-restart", "help",	   NULL,
};

static const struct option proxy_options[] = {
	{"listen", required_argument, NULL, OPT_LISTEN},
	{"socks5", required_argument, NULL, OPT_SOCKS},
	{"http", required_argument, NULL, OPT_HTTP},
	{"sni", required_argument, NULL, OPT_SNI},
	{"dynamic", required_argument, NULL, 'D'},
	{"local", required_argument, NULL, 'L'},
	{"remote", required_argument, NULL, 'R'},
	{"users", required_argument, NULL, OPT_USERS},
	{"tls-cert", required_argument, NULL, OPT_TLS_CERT},
	{"tls-key", required_argument, NULL, OPT_TLS_KEY},
	{"allow-open-proxy", no_argument, NULL, OPT_ALLOW_OPEN},
	{"any-user", no_argument, NULL, OPT_ANY_USER},
	{"connect-timeout", required_argument, NULL, OPT_CONNECT_TIMEOUT},
	{"resolve", required_argument, NULL, OPT_RESOLVE},
	{"wait", optional_argument, NULL, OPT_WAIT},
	{NULL, 0, NULL, 0},
};

static const struct option nc_options[] = {
	{"connect-timeout", required_argument, NULL, OPT_CONNECT_TIMEOUT},
	{"resolve", required_argument, NULL, OPT_RESOLVE},
	{"wait", optional_argument, NULL, OPT_WAIT},
	{NULL, 0, NULL, 0},
};

#define SHARED "options, besides those of run that do not concern a command\n"

const char cmd_proxy_help[] = SHARED
	"  --listen LISTENER      SOCKS and HTTP on one port (default: 1080)\n"
	"  --socks5 LISTENER, -D  SOCKS 5 and 4a\n"
	"  --http LISTENER        HTTP: CONNECT and http:// requests\n"
	"  --sni LISTENER         TLS, to the server that the client names\n"
	"  -L [ADDR:]PORT:HOST:PORT[:tcp,udp]\n"
	"                         a port of this host leads to a host in the tunnel\n"
	"  -R [ADDR:]PORT:HOST:PORT[:tcp,udp]\n"
	"                         a port in the tunnel leads to a host here\n"
	"  --users FILE           lines NAME:PASSWORD; others are refused; SIGHUP reads it again\n"
	"  --tls-cert FILE        clients speak TLS; the certificate and its chain, PEM\n"
	"  --tls-key FILE         its private key (default: in the same file)\n"
	"  --any-user             all users of this host may use listeners on loopback\n"
	"  --allow-open-proxy     a listener beyond loopback may be without users\n"
	"  --connect-timeout=TIME how long a destination is tried (30s)\n"
	"  --resolve auto|ipv4|ipv6\n"
	"  --wait[=TIME]          wait for a handshake, and fail without one in that time (15s)\n"
	"LISTENER: [ADDR:]PORT or unix:PATH; loopback without ADDR; port 0: any, which is told\n";

const char cmd_nc_help[] =
	SHARED "  --connect-timeout=TIME how long HOST is tried (30s)\n"
	       "  --resolve auto|ipv4|ipv6\n"
	       "  --wait[=TIME]          fail without a handshake in that time (15s)\n";

/** struct context - the command being parsed */
struct context {
	struct wgw_proxy_options options;
	const char *command;
	uint32_t wait_ms;
};

/** bad() - an option's value is wrong. Return: exit status */
static int bad(const struct context *c, const char *option, const char *value, const char *wrong)
{
	return cmd_misuse(WGW_EXIT_USAGE, c->command, "%s: '%.80s': %s", option, value, wrong);
}

static int take_listener(struct context *c, const char *option, const char *value,
			 enum wgw_proxy_kind kind)
{
	const char *wrong = wgw_proxy_add_listener(&c->options, kind, value);

	return wrong ? bad(c, option, value, wrong) : -1;
}

static int take_forward(struct context *c, const char *option, const char *value, bool remote)
{
	const char *wrong = wgw_proxy_add_forward(&c->options, remote, value);

	return wrong ? bad(c, option, value, wrong) : -1;
}

static int take_resolve(struct context *c, const char *value)
{
	static const struct {
		const char *name;
		int family;
	} names[] = {{"auto", AF_UNSPEC}, {"ipv4", AF_INET}, {"ipv6", AF_INET6}};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(value, names[i].name) == 0) {
			c->options.family = names[i].family;
			return -1;
		}
	}
	return bad(c, "--resolve", value, "not auto, ipv4 or ipv6");
}

static int take_duration(struct context *c, const char *option, const char *value, uint32_t *ms)
{
	if (cmd_duration_parse(value, ms) < 0)
		return bad(c, option, value, "not a time like 10s, 500ms or 2m");
	return -1;
}

/** take() - one option. Return: -1, or an exit status */
static int take(int option, const char *value, void *ctx)
{
	struct context *c = ctx;

	switch (option) {
	case OPT_LISTEN:
		return take_listener(c, "--listen", value, WGW_PROXY_MIXED);
	case OPT_SOCKS:
		return take_listener(c, "--socks5", value, WGW_PROXY_SOCKS);
	case 'D':
		return take_listener(c, "-D", value, WGW_PROXY_SOCKS);
	case OPT_HTTP:
		return take_listener(c, "--http", value, WGW_PROXY_HTTP);
	case OPT_SNI:
		return take_listener(c, "--sni", value, WGW_PROXY_SNI);
	case 'L':
		return take_forward(c, "-L", value, false);
	case 'R':
		return take_forward(c, "-R", value, true);
	case OPT_USERS:
		c->options.users_file = value;
		return -1;
	case OPT_TLS_CERT:
		c->options.tls_cert = value;
		return -1;
	case OPT_TLS_KEY:
		c->options.tls_key = value;
		return -1;
	case OPT_ALLOW_OPEN:
		c->options.allow_open = true;
		return -1;
	case OPT_ANY_USER:
		c->options.any_user = true;
		return -1;
	case OPT_CONNECT_TIMEOUT:
		return take_duration(c, "--connect-timeout", value, &c->options.connect_ms);
	case OPT_RESOLVE:
		return take_resolve(c, value);
	default: /* OPT_WAIT */
		c->wait_ms = CMD_WAIT_DEFAULT_MS;
		return value ? take_duration(c, "--wait", value, &c->wait_ms) : -1;
	}
}

/** options() - Return: -1 with optind at the first word that is none, or an exit status */
static int options(int argc, char **argv, const struct option *own, struct context *c)
{
	const struct cmd_options of = {
		.name = c->command,
		.misuse = WGW_EXIT_USAGE,
		.failed = WGW_EXIT_RUNTIME,
		.shared = shared_options,
		.own = own,
		.take = take,
		.ctx = c,
	};
	int status = cmd_options_take(&of, argc, argv, &c->options.run);

	if (status < 0 && !c->options.run.config)
		status = cmd_misuse(WGW_EXIT_USAGE, c->command, "-c CONF is missing");
	c->options.run.wait_ms = c->wait_ms;
	return status;
}

static int finish(struct context *c, int status)
{
	wgw_proxy_options_free(&c->options);
	cmd_run_options_free(&c->options.run);
	return status;
}

int cmd_proxy(int argc, char **argv)
{
	/* A service may start before its network does: it waits with --wait only. */
	struct context c = {.command = "proxy"};
	int status = options(argc, argv, proxy_options, &c);

	if (status < 0 && optind < argc)
		status = cmd_misuse(WGW_EXIT_USAGE, "proxy", "'%.80s' is not an option",
				    argv[optind]);
	if (status < 0 && c.options.tls_key && !c.options.tls_cert)
		status = cmd_misuse(WGW_EXIT_USAGE, "proxy", "--tls-key needs --tls-cert");
	if (status < 0)
		status = wgw_proxy_run(&c.options);
	return finish(&c, status);
}

int cmd_nc(int argc, char **argv)
{
	struct context c = {.command = "nc", .wait_ms = CMD_WAIT_DEFAULT_MS};
	int status = options(argc, argv, nc_options, &c);
	const char *wrong = NULL;

	if (status < 0 && argc - optind != 2)
		status = cmd_misuse(WGW_EXIT_USAGE, "nc", "HOST and PORT are needed");
	if (status < 0)
		wrong = wgw_proxy_add_stdio(&c.options, argv[optind], argv[optind + 1]);
	if (wrong)
		status = cmd_misuse(WGW_EXIT_USAGE, "nc", "'%.80s' '%.80s': %s", argv[optind],
				    argv[optind + 1], wrong);
	if (status < 0)
		status = wgw_proxy_run(&c.options);
	return finish(&c, status);
}
