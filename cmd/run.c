/* SPDX-License-Identifier: MIT */
/*
 * run.c - the options of "wgwrap [run]"
 *
 * Options end at the first word that is none: what follows is the command with its own options.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cmd/cmd.h"
#include "src/base/descriptors.h"
#include "src/config/values.h"

enum {
	LINGER_DEFAULT_MS = 10 * 1000,
	DURATION_MAX_MS = 24 * 60 * 60 * 1000,
	OPTIONS_MAX = 64,
};

enum option_id {
	OPT_WAIT = CMD_LONG_ONLY,
	OPT_NO_WAIT,
	OPT_LINGER,
	OPT_DIRECT,
	OPT_DNS,
	OPT_EXIT_NODE,
	OPT_ROUTE,
	OPT_MTU,
	OPT_ENDPOINT,
	OPT_LISTEN_PORT,
	OPT_JOIN,
	OPT_NO_RESTART,
	OPT_LENIENT,
	OPT_CAPTURE,
	OPT_ALLOW_LEAKS,
	OPT_ISOLATE,
	OPT_KEEP_FD,
	OPT_PCAP,
	OPT_LOG_FILE,
	OPT_LOG_FORMAT,
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"wait", optional_argument, NULL, OPT_WAIT},
	{"no-wait", no_argument, NULL, OPT_NO_WAIT},
	{"linger", required_argument, NULL, OPT_LINGER},
	{"direct", required_argument, NULL, OPT_DIRECT},
	{"exit-node", required_argument, NULL, OPT_EXIT_NODE},
	{"route", required_argument, NULL, OPT_ROUTE},
	{"dns", required_argument, NULL, OPT_DNS},
	{"mtu", required_argument, NULL, OPT_MTU},
	{"endpoint", required_argument, NULL, OPT_ENDPOINT},
	{"listen-port", required_argument, NULL, OPT_LISTEN_PORT},
	{"ipv4", no_argument, NULL, '4'},
	{"ipv6", no_argument, NULL, '6'},
	{"join", no_argument, NULL, OPT_JOIN},
	{"no-restart", no_argument, NULL, OPT_NO_RESTART},
	{"lenient", no_argument, NULL, OPT_LENIENT},
	{"capture", required_argument, NULL, OPT_CAPTURE},
	{"allow-leaks", no_argument, NULL, OPT_ALLOW_LEAKS},
	{"isolate", no_argument, NULL, OPT_ISOLATE},
	{"keep-fd", required_argument, NULL, OPT_KEEP_FD},
	{"pcap", required_argument, NULL, OPT_PCAP},
	{"log-file", required_argument, NULL, OPT_LOG_FILE},
	{"log-format", required_argument, NULL, OPT_LOG_FORMAT},
	{"quiet", no_argument, NULL, 'q'},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

int cmd_duration_parse(const char *text, uint32_t *ms)
{
	static const struct {
		const char *suffix;
		uint64_t ms;
	} units[] = {{"", 1000}, {"s", 1000}, {"ms", 1}, {"m", 60 * 1000}, {"h", 3600 * 1000}};
	size_t digits = strspn(text, "0123456789");
	char number[16];
	uint32_t value;

	if (digits == 0 || digits >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, digits);
	number[digits] = '\0';
	if (wgw_number_parse(number, 0, DURATION_MAX_MS, &value) < 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (strcmp(text + digits, units[i].suffix) != 0)
			continue;
		if (value * units[i].ms > DURATION_MAX_MS)
			return -EINVAL;
		*ms = (uint32_t)(value * units[i].ms);
		return 0;
	}
	return -EINVAL;
}

/* What the options belong to: run, or another command that joins a tunnel */
static const struct cmd_options *owner;

/** bad() - an option's value is wrong. Return: exit status */
static int bad(const char *option, const char *value, const char *expected)
{
	return cmd_misuse(owner->misuse, owner->name, "--%s: '%.80s' is not %s", option, value,
			  expected);
}

/** take_duration() - Return: -1, or an exit status */
static int take_duration(const char *option, const char *value, uint32_t *ms)
{
	if (cmd_duration_parse(value, ms) < 0)
		return bad(option, value, "a time like 10s, 500ms or 2m");
	return -1;
}

/**
 * take_prefixes() - a comma-separated list
 * @is_dns:	Addresses of name servers, else CIDR blocks
 *
 * Return: -1, or an exit status
 */
static int take_prefixes(const char *option, const char *value, bool is_dns,
			 struct wgw_prefixes *list)
{
	while (true) {
		size_t len = strcspn(value, ",");
		struct wgw_prefix prefix;
		char element[WGW_ADDR_TEXT_BYTES];

		snprintf(element, sizeof(element), "%.*s", (int)len, value);
		if (len >= sizeof(element) || (is_dns && strchr(element, '/')) ||
		    wgw_prefix_parse(element, &prefix, NULL) < 0)
			return bad(option, element,
				   is_dns ? "an address" : "an address or a CIDR block");
		prefix.addr.port = is_dns ? WGW_DNS_PORT : 0;
		if (wgw_prefixes_add(list, &prefix) < 0) {
			cmd_say("out of memory");
			return owner->failed;
		}
		if (value[len] == '\0')
			return -1;
		value += len + 1;
	}
}

static int take_dns(const char *value, struct wgw_run_options *o)
{
	if (strcmp(value, "system") == 0) {
		o->dns_mode = WGW_DNS_SYSTEM;
		return -1;
	}
	o->dns_mode = WGW_DNS_SERVERS;
	return take_prefixes("dns", value, true, &o->dns);
}

static int take_endpoint(const char *value, struct wgw_run_options *o)
{
	const char *wrong;

	free(o->endpoint_host);
	wrong = wgw_endpoint_parse(value, &o->endpoint_host, &o->endpoint_port);
	if (wrong)
		return cmd_misuse(owner->misuse, owner->name, "--endpoint: '%.80s': %s", value,
				  wrong);
	return -1;
}

static int take_capture(const char *value, struct wgw_run_options *o)
{
	static const char *const modes[] = {[WGW_CAPTURE_AUTO] = "auto",
					    [WGW_CAPTURE_SUPERVISOR] = "supervisor",
					    [WGW_CAPTURE_PRELOAD] = "preload"};

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		if (strcmp(value, modes[i]) != 0)
			continue;
		o->capture = (enum wgw_capture_mode)i;
		return -1;
	}
	return bad("capture", value, "'auto', 'supervisor' or 'preload'");
}

static int take_keep_fd(const char *value, struct wgw_run_options *o)
{
	uint32_t fd;
	int *fds;

	if (wgw_number_parse(value, 0, WGW_DESCRIPTORS_MAX, &fd) < 0)
		return bad("keep-fd", value, "the number of a descriptor");
	fds = reallocarray(o->keep_fds, o->n_keep_fds + 1, sizeof(*fds));
	if (!fds) {
		cmd_say("out of memory");
		return owner->failed;
	}
	fds[o->n_keep_fds++] = (int)fd;
	o->keep_fds = fds;
	return -1;
}

/** take_route() - the peer is looked for when the file has been read */
static int take_route(const char *value, struct wgw_run_options *o)
{
	const char **routes = reallocarray(o->routes, o->n_routes + 1, sizeof(*routes));

	if (!routes) {
		cmd_say("out of memory");
		return owner->failed;
	}
	routes[o->n_routes++] = value;
	o->routes = routes;
	return -1;
}

/** take_number() - options whose value is a number or a word. Return: -1, or an exit status */
static int take_number(int option, const char *value, struct wgw_run_options *o)
{
	uint32_t number;
	uint16_t port;

	switch (option) {
	case OPT_MTU:
		if (wgw_number_parse(value, WGW_CONFIG_MTU_MIN_BYTES, WG_MTU_MAX_BYTES, &number) <
		    0)
			return cmd_misuse(owner->misuse, owner->name,
					  "--mtu: '%.80s' is not a number of bytes from %d to %d",
					  value, WGW_CONFIG_MTU_MIN_BYTES, WG_MTU_MAX_BYTES);
		o->mtu = (uint16_t)number;
		return -1;
	case OPT_LISTEN_PORT:
		if (wgw_port_parse(value, &port) < 0)
			return bad("listen-port", value, "a port");
		o->listen_port = port;
		return -1;
	default:
		if (strcmp(value, "json") != 0 && strcmp(value, "human") != 0)
			return bad("log-format", value, "'human' or 'json'");
		o->log_format = *value == 'j' ? WGW_LOG_JSON : WGW_LOG_HUMAN;
		return -1;
	}
}

/** take_flag() - options without a value. Return: -1, or an exit status */
static int take_flag(int option, struct wgw_run_options *o)
{
	char help[] = "help", name[32], version[] = "version";

	switch (option) {
	case OPT_NO_WAIT:
		o->wait_ms = 0;
		return -1;
	case '4':
		o->family = AF_INET;
		return -1;
	case '6':
		o->family = AF_INET6;
		return -1;
	case OPT_JOIN:
		o->join = true;
		return -1;
	case OPT_NO_RESTART:
		o->no_restart = true;
		return -1;
	case OPT_LENIENT:
		o->lenient = true;
		return -1;
	case OPT_ALLOW_LEAKS:
		o->allow_leaks = true;
		return -1;
	case OPT_ISOLATE:
		o->isolate = true;
		return -1;
	case 'q':
		o->verbosity = -1;
		return -1;
	case 'v':
		o->verbosity = o->verbosity < 0 ? 1 : o->verbosity + (o->verbosity < 2);
		return -1;
	case 'h':
		snprintf(name, sizeof(name), "%s", owner->name);
		return cmd_help(2, (char *[]){help, name, NULL});
	default:
		return cmd_version(1, (char *[]){version, NULL});
	}
}

/** take() - one option. Return: -1, or an exit status */
static int take(int option, char *value, struct wgw_run_options *o)
{
	switch (option) {
	case 'c':
		o->config = value;
		return -1;
	case OPT_WAIT:
		o->wait_ms = CMD_WAIT_DEFAULT_MS;
		return value ? take_duration("wait", value, &o->wait_ms) : -1;
	case OPT_LINGER:
		return take_duration("linger", value, &o->linger_ms);
	case OPT_DIRECT:
		return take_prefixes("direct", value, false, &o->direct);
	case OPT_DNS:
		return take_dns(value, o);
	case OPT_EXIT_NODE:
		o->exit_node = value;
		return -1;
	case OPT_ROUTE:
		return take_route(value, o);
	case OPT_ENDPOINT:
		return take_endpoint(value, o);
	case OPT_CAPTURE:
		return take_capture(value, o);
	case OPT_KEEP_FD:
		return take_keep_fd(value, o);
	case OPT_PCAP:
		o->pcap = value;
		return -1;
	case OPT_LOG_FILE:
		o->log_file = value;
		return -1;
	case OPT_MTU:
	case OPT_LISTEN_PORT:
	case OPT_LOG_FORMAT:
		return take_number(option, value, o);
	default:
		return take_flag(option, o);
	}
}

int cmd_option_misuse(int status, const char *command, int option, const char *word,
		      const char *shorts)
{
	if (option == ':')
		return cmd_misuse(status, command, "%.80s needs a value", word);
	if (optopt == 0)
		return cmd_misuse(status, command, "unknown option %.80s", word);
	/* an option that exists is at fault only for a value given to its long form */
	if (optopt >= CMD_LONG_ONLY || strchr(shorts, optopt))
		return cmd_misuse(status, command, "%.80s: the option takes no value", word);
	/* among other letters: getopt_long has not come to the end of their word */
	return cmd_misuse(status, command, "unknown option -%c", optopt);
}

/** is_shared() - whether the command has this option of run's */
static bool is_shared(const char *name)
{
	for (const char *const *at = owner->shared; at && *at; at++) {
		if (strcmp(*at, name) == 0)
			return true;
	}
	return !owner->shared;
}

/** is_own() - whether getopt_long's @option is not one of run's */
static bool is_own(int option)
{
	const struct option *o = owner->own;

	while (o && o->name && o->val != option)
		o++;
	return o && o->name;
}

/** collect() - the command's options for getopt_long */
static void collect(struct option options[OPTIONS_MAX], char shorts[2 * OPTIONS_MAX])
{
	size_t n = 0, k = 0;

	/* without it, getopt_long moves words that are no options to the end */
	if (!owner->anywhere)
		shorts[k++] = '+';
	shorts[k++] = ':';
	for (const struct option *o = long_options; o->name; o++) {
		if (!is_shared(o->name))
			continue;
		options[n++] = *o;
		if (o->val < CMD_LONG_ONLY)
			shorts[k++] = (char)o->val;
		if (o->val < CMD_LONG_ONLY && o->has_arg)
			shorts[k++] = ':';
	}
	for (const struct option *o = owner->own; o && o->name && n < OPTIONS_MAX - 1; o++) {
		options[n++] = *o;
		if (o->val < CMD_LONG_ONLY)
			shorts[k++] = (char)o->val;
		if (o->val < CMD_LONG_ONLY && o->has_arg)
			shorts[k++] = ':';
	}
	options[n] = (struct option){NULL, 0, NULL, 0};
	shorts[k] = '\0';
}

int cmd_options_take(const struct cmd_options *of, int argc, char **argv, struct wgw_run_options *o)
{
	struct option options[OPTIONS_MAX];
	char shorts[2 * OPTIONS_MAX];
	uint32_t ms;
	int option;

	*o = (struct wgw_run_options){
		.wait_ms = CMD_WAIT_DEFAULT_MS,
		.linger_ms = LINGER_DEFAULT_MS,
		.listen_port = -1,
		.family = AF_UNSPEC,
	};
	owner = of;
	collect(options, shorts);
	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, shorts, options, NULL)) != -1) {
		int status;

		if (option == ':' || option == '?')
			return cmd_option_misuse(of->misuse, of->name, option, argv[optind - 1],
						 shorts);
		status = is_own(option) ? of->take(option, optarg, of->ctx)
					: take(option, optarg, o);
		if (status >= 0)
			return status;
	}
	if (optind < argc && strcmp(argv[optind - 1], "--wait") == 0 &&
	    !cmd_duration_parse(argv[optind], &ms))
		return cmd_misuse(of->misuse, of->name, "--wait has its time as in --wait=%.80s",
				  argv[optind]);
	return -1;
}

int cmd_run_options(int argc, char **argv, struct wgw_run_options *o)
{
	static const struct cmd_options run = {
		.name = "run", .misuse = WGW_RUN_FAILED, .failed = WGW_RUN_FAILED};
	int status = cmd_options_take(&run, argc, argv, o);

	if (status >= 0)
		return status;
	o->command = argv + optind;
	if (!o->config)
		return cmd_misuse(WGW_RUN_FAILED, "run", "-c CONF is missing");
	if (!*o->command)
		return cmd_misuse(WGW_RUN_FAILED, "run", "there is no command to run");
	return -1;
}

void cmd_run_options_free(struct wgw_run_options *o)
{
	wgw_prefixes_free(&o->direct);
	wgw_prefixes_free(&o->dns);
	free(o->endpoint_host);
	free(o->keep_fds);
	free(o->routes);
}

int cmd_run(int argc, char **argv)
{
	struct wgw_run_options options;
	int status = cmd_run_options(argc, argv, &options);

	if (status < 0)
		status = wgw_run(&options);
	cmd_run_options_free(&options);
	return status;
}
