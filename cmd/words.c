/* SPDX-License-Identifier: MIT */
/* words.c - the options of commands that join no tunnel */
#include <getopt.h>

#include "cmd/cmd.h"

int cmd_words_take(int argc, char **argv, const char *shorts, const struct option *options,
		   int (*take)(int option, char *value, void *ctx), void *ctx)
{
	char help[] = "help", *name = argv[0];
	int option, status = -1;

	opterr = 0;
	while (status < 0 && (option = getopt_long(argc, argv, shorts, options, NULL)) != -1) {
		switch (option) {
		case 'h':
			return cmd_help(2, (char *[]){help, name, NULL});
		case ':':
		case '?':
			return cmd_option_misuse(WGW_EXIT_USAGE, name, option, argv[optind - 1],
						 shorts);
		default:
			status = take(option, optarg, ctx);
		}
	}
	return status;
}
