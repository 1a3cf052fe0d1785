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
		return CMD_BAD_CONFIG;
	config = wgw_config_parse(source, text, len, lenient, &diag);
	wgw_config_wipe(text, len);
	free(source);
	if (!config)
		return CMD_BAD_CONFIG;
	if (!quiet)
		wgw_config_print(config, stdout);
	wgw_config_free(config);
	return cmd_flush(CMD_OK);
}

int cmd_check(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"quiet", no_argument, NULL, 'q'},
		{"lenient", no_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	char help[] = "help", name[] = "check";
	const char *what = NULL;
	bool quiet = false, lenient = false;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":c:qh", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			what = optarg;
			break;
		case 'q':
			quiet = true;
			break;
		case 'l':
			lenient = true;
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
	if (!what)
		return cmd_misuse(CMD_USAGE, name, "there is no file to check");
	if (optind < argc)
		return cmd_misuse(CMD_USAGE, name, "one file at a time");
	return check(what, quiet, lenient);
}
