/* SPDX-License-Identifier: MIT */
/* command.c - the last steps between the supervisor's fork and the command */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "src/session/session.h"

_Noreturn void wgw_command_exec(const struct wgw_run_options *options,
				const struct wgw_inherited *in, char **environment)
{
	int err = wgw_filter_install();

	if (err) {
		wgw_say(WGW_SAY_ERROR, "this kernel does not take the system call filter: %s",
			strerror(-err));
		_exit(WGW_EXIT_FAILED);
	}
	wgw_inherited_restore(in);
	execvpe(options->command[0], options->command, environment);
	err = errno;
	wgw_say(WGW_SAY_ERROR, "%s: %s", options->command[0],
		err == ENOENT ? "command not found" : strerror(err));
	_exit(err == ENOENT ? WGW_EXIT_NOT_FOUND : WGW_EXIT_NOT_EXECUTABLE);
}
