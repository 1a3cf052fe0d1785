/* SPDX-License-Identifier: MIT */
/*
 * check.c - "wgwrap check CONF": reads a file, says what is wrong with it
 *
 * The configuration goes to standard output as it was understood, without secrets; errors,
 * warnings and notes go to standard error.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"

enum { OPT_LENIENT = CMD_LONG_ONLY };

/** check() - Return: exit status */
static int check(const char *what, bool quiet, bool lenient)
{
	struct wgw_diag diag;
	struct wgw_config *config;
	char *text, *source;
	size_t len;

	cmd_diag_init(&diag, !quiet);
	text = wgw_config_read(what, &len, &source, &diag);
	if (!text)
		return WGW_EXIT_CONFIG;
	config = wgw_config_parse(source, text, len, lenient, &diag);
	wgw_config_wipe(text, len);
	free(source);
	if (!config)
		return WGW_EXIT_CONFIG;
	if (!quiet)
		wgw_config_print(config, stdout);
	wgw_config_free(config);
	return cmd_flush(WGW_EXIT_OK);
}

/** struct request - what the command line asks for */
struct request {
	const char *what;
	bool quiet, lenient;
};

static int take(int option, char *value, void *ctx)
{
	struct request *r = ctx;

	if (option == 'c')
		r->what = value;
	r->quiet |= option == 'q';
	r->lenient |= option == OPT_LENIENT;
	return -1;
}

int cmd_check(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"quiet", no_argument, NULL, 'q'},
		{"lenient", no_argument, NULL, OPT_LENIENT},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct request r = {0};
	int status;

	status = cmd_words_take(argc, argv, ":c:qh", options, take, &r);
	if (status >= 0)
		return status;
	if (!r.what && optind < argc)
		r.what = argv[optind++];
	if (!r.what)
		return cmd_misuse(WGW_EXIT_USAGE, "check", "there is no file to check");
	if (optind < argc)
		return cmd_misuse(WGW_EXIT_USAGE, "check", "one file at a time");
	return check(r.what, r.quiet, r.lenient);
}
