/* SPDX-License-Identifier: MIT */
/*
 * doctor.c - "wgwrap doctor [-c CONF] [-- COMMAND]": what this machine lets wgwrap do, and what
 * that means for a program
 *
 * Everything is tried, nothing is derived from version numbers. Answers go to standard output, one
 * line each.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "src/session/session.h"

static const char *const levels[] = {
	[WGW_CAPTURE_NONE] = "none: nothing keeps programs from going around the tunnel; "
			     "wgwrap refuses to run commands (--allow-leaks)",
	[WGW_CAPTURE_FILTER] = "shared object and filter: programs that do not take the shared "
			       "object have no network",
	[WGW_CAPTURE_SUPERVISED] = "supervised: shared object, filter, and a supervisor for "
				   "programs that do not take the shared object",
};

static void tell(const char *what, const char *answer)
{
	printf("%-14s%s\n", what, answer);
}

/** isolation() - whether --isolate works */
static void isolation(void)
{
	char text[128] = "yes";
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET) ? errno : 0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		snprintf(text, sizeof(text), "cannot be tried: %s", strerror(errno));
	else if (WEXITSTATUS(status))
		snprintf(text, sizeof(text), "no: no network namespace can be had (%s)",
			 strerror(WEXITSTATUS(status)));
	tell("--isolate", text);
}

/** machine() - what does not depend on the program */
static void machine(struct wgw_capture_probe *probe)
{
	wgw_capture_probe(probe);
	tell("capture", levels[probe->level]);
	if (probe->why[0])
		tell("", probe->why);
	if (probe->level == WGW_CAPTURE_SUPERVISED && probe->without_getfd)
		tell("", "descriptors of programs cannot be taken (pidfd_getfd), so the supervisor "
			 "keeps copies: closing is seen a moment later");
	isolation();
}

/** configuration() - Return: exit status */
static int configuration(const char *what)
{
	struct wgw_config *config;
	struct wgw_diag diag;
	char *text, *source;
	size_t len;

	cmd_diag_init(&diag, false);
	text = wgw_config_read(what, &len, &source, &diag);
	if (!text)
		return CMD_BAD_CONFIG;
	config = wgw_config_parse(source, text, len, false, &diag);
	wgw_config_wipe(text, len);
	if (config)
		printf("%-14s%s: %zu peer%s\n", "configuration", source, config->n_peers,
		       config->n_peers == 1 ? "" : "s");
	wgw_config_free(config);
	free(source);
	return config ? CMD_OK : CMD_BAD_CONFIG;
}

/** program() - how @file would be captured. Return: exit status */
static int program(const char *file, const struct wgw_capture_probe *probe)
{
	const struct wgw_capture_probe best = {.level = WGW_CAPTURE_SUPERVISED};
	enum wgw_obstacle obstacle;
	char why[PATH_MAX + 256], *path;

	/* what no level helps against is said by this; the rest is for us to explain */
	if (wgw_find_command(file, &best, &path))
		return CMD_FAILED;
	obstacle = wgw_inspect(path, why, sizeof(why));
	if (obstacle == WGW_OBSTACLE_NONE)
		printf("%-14s%s: captured by the shared object\n", "program", path);
	else if (probe->level == WGW_CAPTURE_SUPERVISED)
		printf("%-14s%s: captured by the supervisor: it %s\n", "program", path, why);
	else
		printf("%-14s%s: refused: it %s\n", "program", path, why);
	free(path);
	return obstacle == WGW_OBSTACLE_NONE || probe->level == WGW_CAPTURE_SUPERVISED ? CMD_OK
										       : CMD_FAILED;
}

int cmd_doctor(int argc, char **argv)
{
	static const char *const shared[] = {"config", "help", NULL};
	static const struct cmd_options doctor = {
		.name = "doctor", .misuse = CMD_USAGE, .failed = CMD_FAILED, .shared = shared};
	struct wgw_capture_probe probe;
	struct wgw_run_options o;
	int status = cmd_options_take(&doctor, argc, argv, &o);

	if (status < 0) {
		machine(&probe);
		status = probe.level == WGW_CAPTURE_NONE ? CMD_FAILED : CMD_OK;
		if (o.config && configuration(o.config))
			status = CMD_BAD_CONFIG;
		if (argv[optind] && program(argv[optind], &probe) && status == CMD_OK)
			status = CMD_FAILED;
		status = cmd_flush(status);
	}
	cmd_run_options_free(&o);
	return status;
}
