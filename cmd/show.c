/* SPDX-License-Identifier: MIT */
/*
 * show.c - "wgwrap show": the running tunnels
 *
 * Arguments as wg(8)'s show takes them: [NAME|all] [FIELD|dump].
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "src/control/control.h"
#include "src/control/show.h"

enum { OPT_JSON = CMD_LONG_ONLY };

/** struct request - what is to be shown; @what NULL: all; @field NULL: everything, for people */
struct request {
	const char *what, *field;
	bool json;
};

/** colours() - WG_COLOR_MODE as wg(8) has it, NO_COLOR, else on terminals */
static bool colours(void)
{
	const char *mode = getenv("WG_COLOR_MODE"), *none = getenv("NO_COLOR");

	if (mode && strcmp(mode, "always") == 0)
		return true;
	if ((mode && strcmp(mode, "never") == 0) || (none && *none))
		return false;
	return isatty(STDOUT_FILENO);
}

static void print(const struct request *r, const struct wgw_tunnels *list, bool all)
{
	bool colour = colours();

	if (r->json) {
		wgw_show_json(stdout, list);
		return;
	}
	for (size_t i = 0; i < list->n; i++) {
		if (r->field && strcmp(r->field, "dump") == 0) {
			wgw_show_dump(stdout, list->at[i], all);
		} else if (r->field) {
			wgw_show_field(stdout, list->at[i], r->field, all);
		} else {
			if (i)
				putchar('\n');
			wgw_show_tunnel(stdout, list->at[i], time(NULL), colour);
		}
	}
}

static int show(const struct request *r)
{
	struct wgw_tunnels list;
	struct wgw_status *one;
	int status = WGW_EXIT_OK;

	if (wgw_tunnels_running(&list))
		return WGW_EXIT_RUNTIME;
	if (!r->what) {
		print(r, &list, true);
	} else {
		status = wgw_tunnels_find(&list, r->what, &one);
		if (status == WGW_EXIT_OK)
			print(r, &(struct wgw_tunnels){.at = &one, .n = 1}, false);
	}
	wgw_tunnels_free(&list);
	return cmd_flush(status);
}

/** take_words() - [NAME|all] [FIELD], without the first if -c has said it. Return: -1, or exit status */
static int take_words(int n, char **words, struct request *r)
{
	const char *last = n > 0 ? words[n - 1] : NULL;
	bool is_field = last && (strcmp(last, "dump") == 0 || wgw_show_is_field(last));

	/* a tunnel that is called like a field is meant by "show NAME FIELD" only */
	if (is_field)
		r->field = words[--n];
	if (n > (r->what ? 0 : 1))
		return cmd_misuse(WGW_EXIT_USAGE, "show", "'%.80s' is not a field", words[n - 1]);
	if (n > 0 && strcmp(words[0], "all") != 0)
		r->what = words[0];
	if (r->json && r->field)
		return cmd_misuse(WGW_EXIT_USAGE, "show", "--json shows everything");
	return -1;
}

static int take(int option, char *value, void *ctx)
{
	struct request *r = ctx;

	if (option == 'c')
		r->what = value;
	else
		r->json = true;
	return -1;
}

int cmd_show(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"json", no_argument, NULL, OPT_JSON},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct request r = {.json = false};
	int status;

	status = cmd_words_take(argc, argv, ":c:h", options, take, &r);
	if (status >= 0)
		return status;
	status = take_words(argc - optind, argv + optind, &r);
	return status < 0 ? show(&r) : status;
}
