/* SPDX-License-Identifier: MIT */
/*
 * level.c - how strictly the command is captured
 *
 * Supervised where the machine allows it. Else the filter refuses what the shared object does not
 * reach. Where not even that can be had, there is no run, unless the user says that it may
 * leak.
 */
#include <string.h>

#include "src/session/command.h"
#include "src/session/run.h"
#include "src/session/say.h"

/** apply_mode() - what --capture asks for, within what there is */
static int apply_mode(const struct wgw_run_options *options, struct wgw_capture_probe *probe)
{
	switch (options->capture) {
	case WGW_CAPTURE_PRELOAD:
		if (probe->level == WGW_CAPTURE_SUPERVISED)
			probe->level = WGW_CAPTURE_FILTER;
		return 0;
	case WGW_CAPTURE_SUPERVISOR:
		if (probe->level == WGW_CAPTURE_SUPERVISED)
			return 0;
		wgw_say(WGW_SAY_ERROR, "--capture=supervisor: %s", probe->why);
		return -1;
	default:
		return 0;
	}
}

int wgw_capture_choose(const struct wgw_run_options *options, struct wgw_capture_trial *trial,
		       struct wgw_capture_probe *probe)
{
	int err = wgw_capture_probe(trial, probe);

	if (err) {
		wgw_say(WGW_SAY_ERROR, "cannot start a process: %s", strerror(-err));
		return -1;
	}
	if (apply_mode(options, probe))
		return -1;
	if (probe->level == WGW_CAPTURE_NONE && !options->allow_leaks) {
		wgw_say(WGW_SAY_ERROR,
			"%s, and without it programs can go around the tunnel; --allow-leaks runs "
			"the command all the same",
			probe->why);
		return -1;
	}
	if (probe->level == WGW_CAPTURE_NONE)
		wgw_say(WGW_SAY_WARNING, "%s: programs can go around the tunnel (--allow-leaks)",
			probe->why);
	else if (probe->level == WGW_CAPTURE_FILTER && probe->why[0])
		wgw_say(WGW_SAY_INFO, "only programs that take the shared object are captured: %s",
			probe->why);
	return 0;
}
