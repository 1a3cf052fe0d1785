/* SPDX-License-Identifier: MIT */
/* signals.c - what ends top and health, who have something to give back before they go */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "src/control/control.h"
#include "src/session/say.h"

int wgw_end_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		wgw_say(WGW_SAY_ERROR, "signalfd: %s", strerror(errno));
	else
		sigprocmask(SIG_BLOCK, &set, NULL);
	return fd;
}
