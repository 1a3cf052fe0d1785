/* SPDX-License-Identifier: MIT */
/*
 * control.c - what a person may ask of a running tunnel, over the sequenced rendezvous
 *
 * Requests come from processes of our own uid only (client.c). State goes into a file that the
 * asker has made and passed: so an answer has any size, needs no queue here, and nobody can make
 * this process wait.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/tunnel/core.h"

/* Writes @text, which is freed, into the regular file @fd. Returns 0 or an errno. */
static int put_into(int fd, char *text)
{
	size_t len = text ? strlen(text) : 0, done = 0;
	struct stat st;
	int err = text ? 0 : ENOMEM;

	/* A pipe could keep us waiting. */
	if (!err && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
		err = EINVAL;
	while (!err && done < len) {
		ssize_t n = write(fd, text + done, len - done);

		if (n < 0 && errno != EINTR)
			err = errno;
		done += n > 0 ? (size_t)n : 0;
	}
	free(text);
	return err;
}

/* Asks keepers to leave. Returns the number of other sessions. */
static uint32_t ask_keepers_to_leave(struct wgw_core *core)
{
	struct wgw_channel_msg leave = {.code = WGW_CH_LEAVE};
	uint32_t others = 0;

	core->leaving = true;
	for (struct wgw_session *s = core->t.sessions; s; s = s->next) {
		if (!s->channel)
			continue;
		others += !s->keeper;
		if (s->keeper)
			wgw_client_send(s->channel, &leave);
	}
	return others;
}

void wgw_control_request(struct wgw_core *core, const struct wgw_channel_msg *msg, int32_t pid,
			 const int *fds, int n, struct wgw_channel_msg *reply)
{
	(void)pid;
	switch (msg->u.control.verb) {
	case WGW_CONTROL_GET:
		reply->err = n == 1 ? put_into(fds[0], wgw_report_state(core)) : EINVAL;
		break;
	case WGW_CONTROL_DOWN:
		reply->u.control.value = ask_keepers_to_leave(core);
		break;
	default:
		reply->err = EOPNOTSUPP;
	}
}
