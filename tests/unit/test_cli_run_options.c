/* SPDX-License-Identifier: MIT */
/* test_cli_run_options.c - the options of run, and where they end */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cmd/cmd.h"
/* the command line is not part of a library */
#include "cmd/run.c"
#include "tests/unit/run_suite.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

enum { HELP_STATUS = 77, VERSION_STATUS = 78 };

static char said[1024];

void cmd_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
}

int cmd_misuse(int status, const char *command, const char *format, ...)
{
	va_list args;

	ck_assert_str_eq(command, "run");
	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
	return status;
}

int cmd_help(int argc, char **argv)
{
	ck_assert_int_eq(argc, 2);
	ck_assert_str_eq(argv[1], "run");
	return HELP_STATUS;
}

int cmd_version(int argc, char **argv)
{
	ck_assert_int_eq(argc, 1);
	ck_assert_ptr_null(argv[1]);
	return VERSION_STATUS;
}

/* what wgw_run was given last */
static struct wgw_run_options given;

int wgw_run(const struct wgw_run_options *options)
{
	given = *options;
	return 42;
}

/** split() - words of @line as argv. Return: argc */
static int split(char *line, char **argv)
{
	int n = 0;

	for (char *word = strtok(line, " "); word; word = strtok(NULL, " "))
		argv[n++] = word;
	argv[n] = NULL;
	return n;
}

static char line_buffer[512];
static char *words[64];

/** take_line() - parses "wgwrap" and @line */
static int take_line(const char *line, struct wgw_run_options *o)
{
	snprintf(line_buffer, sizeof(line_buffer), "wgwrap %s", line);
	said[0] = '\0';
	return cmd_run_options(split(line_buffer, words), words, o);
}

START_TEST(without_options_the_defaults_hold)
{
	struct wgw_run_options o;

	ck_assert_int_eq(take_line("-c peer.conf curl -v -c x", &o), -1);
	ck_assert_str_eq(o.config, "peer.conf");
	ck_assert_str_eq(o.command[0], "curl");
	ck_assert_str_eq(o.command[1], "-v");
	ck_assert_str_eq(o.command[2], "-c");
	ck_assert_str_eq(o.command[3], "x");
	ck_assert_ptr_null(o.command[4]);
	ck_assert_uint_eq(o.wait_ms, 15000);
	ck_assert_uint_eq(o.linger_ms, 10000);
	ck_assert_uint_eq(o.direct.n, 0);
	ck_assert_int_eq(o.dns_mode, WGW_DNS_DEFAULT);
	ck_assert_uint_eq(o.mtu, 0);
	ck_assert_ptr_null(o.endpoint_host);
	ck_assert_int_eq(o.listen_port, -1);
	ck_assert_int_eq(o.family, AF_UNSPEC);
	ck_assert(!o.join && !o.no_restart && !o.lenient);
	ck_assert_int_eq(o.verbosity, 0);
	ck_assert_int_eq(o.log_format, WGW_LOG_HUMAN);
	ck_assert_ptr_null(o.log_file);
	ck_assert_ptr_null(o.pcap);
	ck_assert_int_eq(o.capture, WGW_CAPTURE_AUTO);
	ck_assert(!o.allow_leaks && !o.isolate);
	ck_assert_uint_eq(o.n_keep_fds, 0);
	cmd_run_options_free(&o);
}
END_TEST

START_TEST(every_option_arrives)
{
	struct wgw_run_options o;

	ck_assert_int_eq(
		take_line("--config=x --wait=500ms --linger 1m --direct 10.0.0.0/8,fd00::/8 "
			  "--direct 192.0.2.1 --dns 10.0.0.1,fd00::1 --mtu 1280 "
			  "--endpoint [::1]:51820 --listen-port 0 -6 --join --no-restart "
			  "--lenient --capture supervisor --allow-leaks --isolate --keep-fd 3 "
			  "--keep-fd 9 --pcap p --log-file l "
			  "--log-format json -vv -- --odd arg",
			  &o),
		-1);
	ck_assert_str_eq(o.config, "x");
	ck_assert_str_eq(o.command[0], "--odd");
	ck_assert_uint_eq(o.wait_ms, 500);
	ck_assert_uint_eq(o.linger_ms, 60000);
	ck_assert_uint_eq(o.direct.n, 3);
	ck_assert_uint_eq(o.direct.at[0].bits, 8);
	ck_assert_uint_eq(o.direct.at[2].bits, 32);
	ck_assert_int_eq(o.dns_mode, WGW_DNS_SERVERS);
	ck_assert_uint_eq(o.dns.n, 2);
	ck_assert_uint_eq(o.dns.at[1].addr.port, 53);
	ck_assert_uint_eq(o.mtu, 1280);
	ck_assert_str_eq(o.endpoint_host, "::1");
	ck_assert_uint_eq(o.endpoint_port, 51820);
	ck_assert_int_eq(o.listen_port, 0);
	ck_assert_int_eq(o.family, AF_INET6);
	ck_assert(o.join && o.no_restart && o.lenient);
	ck_assert_int_eq(o.capture, WGW_CAPTURE_SUPERVISOR);
	ck_assert(o.allow_leaks && o.isolate);
	ck_assert_uint_eq(o.n_keep_fds, 2);
	ck_assert_int_eq(o.keep_fds[1], 9);
	ck_assert_str_eq(o.pcap, "p");
	ck_assert_str_eq(o.log_file, "l");
	ck_assert_int_eq(o.log_format, WGW_LOG_JSON);
	ck_assert_int_eq(o.verbosity, 2);
	cmd_run_options_free(&o);
}
END_TEST

static const struct {
	const char *line;
	uint32_t wait_ms;
	int verbosity;
} mixes[] = {
	{"-c x --wait true", 15000, 0},	       {"-c x --no-wait true", 0, 0},
	{"-c x --wait=0 true", 0, 0},	       {"-c x --no-wait --wait true", 15000, 0},
	{"-c x -q true", 15000, -1},	       {"-c x -q -v true", 15000, 1},
	{"-cx -vvvv true", 15000, 2},	       {"-vqcx true", 15000, -1},
	{"-c x --wait=24h true", 86400000, 0},
};

START_TEST(options_combine)
{
	struct wgw_run_options o;

	ck_assert_int_eq(take_line(mixes[_i].line, &o), -1);
	ck_assert_str_eq(o.config, "x");
	ck_assert_str_eq(o.command[0], "true");
	ck_assert_uint_eq(o.wait_ms, mixes[_i].wait_ms);
	ck_assert_int_eq(o.verbosity, mixes[_i].verbosity);
	cmd_run_options_free(&o);
}
END_TEST

START_TEST(the_last_of_dns_system_and_servers_counts)
{
	struct wgw_run_options o;

	ck_assert_int_eq(take_line("-c x --dns 10.0.0.1 --dns system true", &o), -1);
	ck_assert_int_eq(o.dns_mode, WGW_DNS_SYSTEM);
	cmd_run_options_free(&o);
}
END_TEST

static const struct {
	const char *line, *message;
} misuses[] = {
	{"", "-c CONF is missing"},
	{"true", "-c CONF is missing"},
	{"-c x", "there is no command to run"},
	{"-c x --", "there is no command to run"},
	{"-c", "-c needs a value"},
	{"--config", "--config needs a value"},
	{"-c x -z true", "unknown option -z"},
	{"-c x -vz true", "unknown option -z"},
	{"-c x --join -zv true", "unknown option -z"},
	{"-c x --frob true", "unknown option --frob"},
	{"-c x --join=1 true", "--join=1: the option takes no value"},
	{"-c x --quiet=1 true", "--quiet=1: the option takes no value"},
	{"-c x --wait= true", "--wait: '' is not a time like 10s, 500ms or 2m"},
	{"-c x --wait=-1 true", "--wait: '-1' is not a time like 10s, 500ms or 2m"},
	{"-c x --wait=1.5s true", "--wait: '1.5s' is not a time like 10s, 500ms or 2m"},
	{"-c x --wait=10d true", "--wait: '10d' is not a time like 10s, 500ms or 2m"},
	{"-c x --wait=25h true", "--wait: '25h' is not a time like 10s, 500ms or 2m"},
	{"-c x --wait=99999999999999999999 true",
	 "--wait: '99999999999999999999' is not a time like 10s, 500ms or 2m"},
	{"-c x --linger=s true", "--linger: 's' is not a time like 10s, 500ms or 2m"},
	{"-c x --direct 10.0.0.0/33 true",
	 "--direct: '10.0.0.0/33' is not an address or a CIDR block"},
	{"-c x --direct 10.0.0.1, true", "--direct: '' is not an address or a CIDR block"},
	{"-c x --dns example.com true", "--dns: 'example.com' is not an address"},
	{"-c x --dns 10.0.0.1/32 true", "--dns: '10.0.0.1/32' is not an address"},
	{"-c x --mtu 575 true", "--mtu: '575' is not a number of bytes from 576 to 65495"},
	{"-c x --endpoint 1.2.3.4 true", "--endpoint: '1.2.3.4': the port is missing (HOST:PORT)"},
	{"-c x --listen-port 65536 true", "--listen-port: '65536' is not a port"},
	{"-c x --capture none true", "--capture: 'none' is not 'auto', 'supervisor' or 'preload'"},
	{"-c x --keep-fd -1 true", "--keep-fd: '-1' is not the number of a descriptor"},
	{"-c x --log-format xml true", "--log-format: 'xml' is not 'human' or 'json'"},
};

START_TEST(misuse_is_said_and_fails_with_125)
{
	struct wgw_run_options o;

	ck_assert_int_eq(take_line(misuses[_i].line, &o), WGW_RUN_FAILED);
	ck_assert_str_eq(said, misuses[_i].message);
	cmd_run_options_free(&o);
}
END_TEST

START_TEST(help_and_version_need_nothing_else)
{
	struct wgw_run_options o;

	ck_assert_int_eq(take_line("--help", &o), HELP_STATUS);
	ck_assert_int_eq(take_line("-vh", &o), HELP_STATUS);
	ck_assert_int_eq(take_line("-V", &o), VERSION_STATUS);
	/* the command's own */
	ck_assert_int_eq(take_line("-c x ls --help", &o), -1);
	cmd_run_options_free(&o);
}
END_TEST

START_TEST(the_status_is_that_of_the_session)
{
	snprintf(line_buffer, sizeof(line_buffer), "run -c x true");
	ck_assert_int_eq(cmd_run(split(line_buffer, words), words), 42);
	ck_assert_str_eq(given.command[0], "true");
	given.config = NULL;
	snprintf(line_buffer, sizeof(line_buffer), "run true");
	ck_assert_int_eq(cmd_run(split(line_buffer, words), words), WGW_RUN_FAILED);
	ck_assert_ptr_null(given.config);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command line");
	TCase *tc = tcase_create("options of run");

	tcase_add_test(tc, without_options_the_defaults_hold);
	tcase_add_test(tc, every_option_arrives);
	tcase_add_loop_test(tc, options_combine, 0, COUNT(mixes));
	tcase_add_test(tc, the_last_of_dns_system_and_servers_counts);
	tcase_add_loop_test(tc, misuse_is_said_and_fails_with_125, 0, COUNT(misuses));
	tcase_add_test(tc, help_and_version_need_nothing_else);
	tcase_add_test(tc, the_status_is_that_of_the_session);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
