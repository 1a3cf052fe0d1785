/* SPDX-License-Identifier: MIT */
/*
 * main.c - wgwrap: finds the subcommand
 *
 * "wgwrap -c CONF COMMAND" is short for "wgwrap run -c CONF COMMAND": what begins with an option
 * is run's. Nothing is ever written to standard output but what a subcommand was asked for.
 */
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "src/config/diag.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *usage;
	const char *what;
	const char *options; /* a paragraph; NULL: @usage says it all */
};

static const struct command commands[] = {
	{"run", cmd_run, "-c CONF [OPTION...] [--] COMMAND [ARG...]",
	 "run a command in the tunnel; \"run\" may be left out", NULL},
	{"proxy", cmd_proxy, "-c CONF [OPTION...]",
	 "serve SOCKS, HTTP and forwards through the tunnel", cmd_proxy_help},
	{"nc", cmd_nc, "-c CONF [OPTION...] HOST PORT",
	 "connect standard input and output through the tunnel", cmd_nc_help},
	{"up", cmd_up, "[-c] CONF [OPTION...]", "start a tunnel that stays without commands",
	 cmd_up_help},
	{"down", cmd_down, "[NAME|CONF]", "end what \"wgwrap up\" began", NULL},
	{"reload", cmd_reload, "[NAME|CONF]", "take over what has changed in a tunnel's file",
	 NULL},
	{"list", cmd_list, "[-q]", "the running tunnels, a line each", NULL},
	{"show", cmd_show, "[NAME|CONF|all] [FIELD|dump] [--json]",
	 "the state of running tunnels, as wg(8) shows it", NULL},
	{"top", cmd_top, "[-n COUNT] [-d SECONDS] [NAME|CONF]", "watch the open connections", NULL},
	{"health", cmd_health, "[NAME|CONF] [--metrics] [--listen ADDRESS:PORT|PATH]",
	 "whether tunnels work; over HTTP: /livez, /readyz, /metrics", cmd_health_help},
	{"check", cmd_check, "[-q] [--lenient] CONF", "read a file, say what is wrong with it",
	 NULL},
	{"doctor", cmd_doctor, "[OPTION...] [--] [COMMAND]",
	 "what this machine allows, whether the peers answer, how a program would be captured",
	 cmd_doctor_help},
	{"genkey", cmd_genkey, "", "print a new private key", NULL},
	{"pubkey", cmd_pubkey, "< PRIVATE-KEY", "print the public key of a private key", NULL},
	{"genpsk", cmd_genpsk, "", "print a new preshared key", NULL},
	{"version", cmd_version, "", "print the version", NULL},
	{"help", cmd_help, "[COMMAND]", "print this", NULL},
};

enum { COMMANDS = sizeof(commands) / sizeof(*commands) };

void cmd_say(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* one write: lines of several processes do not mix */
	dprintf(STDERR_FILENO, "wgwrap: %s\n", text);
}

int cmd_misuse(int status, const char *command, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	cmd_say("%s; see \"wgwrap help %s\"", text, command);
	return status;
}

static void say(void *ctx, bool is_error, const char *message)
{
	(void)ctx;
	cmd_say("%s%s", is_error ? "" : "warning: ", message);
}

static void note(void *ctx, const char *message)
{
	(void)ctx;
	cmd_say("note: %s", message);
}

void cmd_diag_init(struct wgw_diag *diag, bool notes)
{
	*diag = (struct wgw_diag){.say = say, .note = notes ? note : NULL};
}

int cmd_flush(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	cmd_say("cannot write to standard output: %s", strerror(errno));
	return status == WGW_EXIT_OK ? WGW_EXIT_RUNTIME : status;
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

int cmd_version(int argc, char **argv)
{
	if (argc > 1)
		return cmd_misuse(WGW_EXIT_USAGE, argv[0], "version takes no arguments");
	printf("wgwrap %s\n", WGWRAP_VERSION);
	return cmd_flush(WGW_EXIT_OK);
}

static const char run_options[] =
	"  -c, --config CONF      a path, a NAME, - (standard input) or env:VARIABLE\n"
	"  --wait[=TIME], --no-wait\n"
	"                         wait that long for the first handshake (15s)\n"
	"  --linger=TIME          wait that long for delivery at the end (10s)\n"
	"  --exit-node PEER       default routes to this peer: its name, key or an address\n"
	"  --route CIDR[:PROTOCOL[:PORTS]]=PEER\n"
	"                         that goes to that peer; may be repeated\n"
	"  --direct CIDR[,...]    goes outside the tunnel; may be repeated\n"
	"  --dns ADDRESS[,...]    name servers in the tunnel; --dns system: the host's resolver\n"
	"  --mtu BYTES            of the tunnel\n"
	"  --endpoint HOST:PORT   of the only peer\n"
	"  --listen-port PORT     UDP port to send from\n"
	"  -4, -6                 reach the endpoint over IPv4, IPv6 only\n"
	"  --join                 use a running tunnel although its settings differ\n"
	"  --no-restart           do not start a tunnel process again that has died\n"
	"  --lenient              unknown keys in CONF are warnings\n"
	"  --capture auto|supervisor|preload\n"
	"                         how system calls are captured\n"
	"  --allow-leaks          run although nothing holds back what is not captured\n"
	"  --isolate              give the command an empty network namespace, too\n"
	"  --keep-fd FD           an inherited IP socket that stays open; may be repeated\n"
	"  --pcap FILE            write the packets in the tunnel to FILE\n"
	"  --log-file FILE        wgwrap's own words go to FILE\n"
	"  --log-format human|json\n"
	"  -q, -v                 fewer, more words; -vv: still more\n"
	"  -h, --help             print this\n"
	"  -V, --version          print the version\n";

int cmd_help(int argc, char **argv)
{
	const struct command *one = argc > 1 ? find(argv[1]) : NULL;

	if (argc > 2)
		return cmd_misuse(WGW_EXIT_USAGE, argv[0], "one command at a time");
	if (argc > 1 && !one)
		return cmd_misuse(WGW_EXIT_USAGE, argv[0], "unknown command '%s'", argv[1]);
	for (size_t i = 0; i < COMMANDS; i++) {
		const struct command *c = &commands[i];

		if (!one || one == c)
			printf("%s wgwrap %s%s%s\n", !one && i ? "      " : "usage:", c->name,
			       c->usage[0] ? " " : "", c->usage);
	}
	if (one)
		printf("%s\n", one->what);
	if (!one || one->run == cmd_run)
		printf("\noptions of run\n%s", run_options);
	if (one && one->run == cmd_run)
		printf("\n\"wgwrap help\" lists the other commands\n");
	if (one && one->options)
		printf("\n%s", one->options);
	return cmd_flush(WGW_EXIT_OK);
}

bool cmd_names_config(const char *word)
{
	static const char suffix[] = ".conf";
	size_t len = strlen(word);

	return len >= sizeof(suffix) && strcmp(word + len - (sizeof(suffix) - 1), suffix) == 0;
}

/** not_a_command() - no subcommand, and no option that would make it run's */
static int not_a_command(const char *name)
{
	const char *names[COMMANDS + 1] = {NULL};
	const char *meant;

	for (size_t i = 0; i < COMMANDS; i++)
		names[i] = commands[i].name;
	meant = wgw_did_you_mean(name, names);
	if (cmd_names_config(name))
		cmd_say("-c is missing: wgwrap -c %.80s COMMAND", name);
	else if (meant)
		cmd_say("unknown command '%.80s'; did you mean '%s'?", name, meant);
	else
		cmd_say("to run '%.80s' in a tunnel: wgwrap -c CONF %.80s", name, name);
	return WGW_RUN_FAILED;
}

int main(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		cmd_say("usage: wgwrap -c CONF COMMAND [ARG...]; see \"wgwrap help\"");
		return WGW_RUN_FAILED;
	}
	if (argv[1][0] == '-')
		return cmd_run(argc, argv);
	command = find(argv[1]);
	if (!command)
		return not_a_command(argv[1]);
	/* who ignores it when starting us would have waitpid(2) fail; run gives it back to its command */
	if (command->run != cmd_run)
		signal(SIGCHLD, SIG_DFL);
	if (command->run != cmd_run && sodium_init() < 0) { /* run does, beside something else */
		cmd_say("libsodium does not start");
		return WGW_RUN_FAILED;
	}
	return command->run(argc - 1, argv + 1);
}
