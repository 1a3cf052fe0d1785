/* SPDX-License-Identifier: MIT */
/*
 * control.c - what a person may ask of a running tunnel, over the sequenced rendezvous
 *
 * Requests come from processes of our own uid only (client.c); those that change something not from
 * wrapped programs. State goes into a file that the asker has made and passed: so an answer has any
 * size, needs no queue here, and nobody can make this process wait.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/tunnel/core.h"
#include "src/tunnel/peers.h"

/* ---- who may change the tunnel ---- */

/** struct inquiry - a question to all sessions: is it yours? @left: unanswered ones */
struct inquiry {
	unsigned int left;
	int err;
	void (*done)(void *arg, int err);
	void *arg;
};

static void on_whose(void *arg, int err)
{
	struct inquiry *q = arg;

	q->err = err ? err : q->err;
	if (--q->left > 0)
		return;
	q->done(q->arg, q->err);
	free(q);
}

/* Our own uid is not enough: a wrapped program has it, too. The sessions' supervisors know their
 * descendants. */
void wgw_control_authorise(struct wgw_core *core, int32_t pid, void (*done)(void *arg, int err),
			   void *arg)
{
	struct inquiry *q = calloc(1, sizeof(*q));

	if (!q) {
		done(arg, ENOMEM);
		return;
	}
	*q = (struct inquiry){.left = 1, .done = done, .arg = arg};
	for (struct wgw_session *s = core->t.sessions; s; s = s->next) {
		if (!s->channel || s->keeper)
			continue;
		if (wgw_client_whose(s->channel, pid, on_whose, q))
			q->left++;
		else
			q->err = EAGAIN;
	}
	on_whose(q, 0);
}

bool wgw_control_is_change(const struct wgw_channel_msg *msg)
{
	return msg->u.control.verb != WGW_CONTROL_GET && msg->u.control.verb != WGW_CONTROL_FLOWS;
}

/* ---- requests ---- */

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
	uint32_t others = 0;

	core->leaving = true;
	for (struct wgw_session *s = core->t.sessions; s; s = s->next) {
		if (!s->channel)
			continue;
		others += !s->keeper;
		if (s->keeper && !s->leaving)
			wgw_session_dismiss(s);
	}
	return others;
}

/* Reads the lines of @fd and changes the tunnel by them. Returns 0 or an errno, with a text. */
static int set(struct wgw_core *core, int fd, bool whole, struct wgw_channel_msg *reply)
{
	char *why = reply->u.control.text;
	const size_t room = sizeof(reply->u.control.text);
	size_t len;
	char *text = wgw_client_read_text(fd, &len);
	unsigned int line;
	int err;

	if (!text)
		return errno;
	err = wgw_configure(core, text, whole, &line);
	if (err == -EADDRINUSE)
		snprintf(why, room, "the listen port is in use");
	else if (err == -EINVAL)
		snprintf(why, room, "line %u is not understood", line);
	sodium_memzero(text, len);
	free(text);
	return -err;
}

/* Whether a settings line is of what cannot change in a running stack. "- address ..." */
static bool is_fixed(const char *line)
{
	return strncmp(line + 2, "address ", 8) == 0 || strncmp(line + 2, "mtu ", 4) == 0;
}

static bool fixed_lines_differ(const char *difference)
{
	while (*difference) {
		if (is_fixed(difference))
			return true;
		difference += strcspn(difference, "\n");
		difference += *difference == '\n';
	}
	return false;
}

/* A file that an editor is just writing ends somewhere, most likely before its peers. */
static bool loses_all_peers(struct wgw_core *core, const char *settings)
{
	return wgw_peers_next(core->peers, NULL) && strncmp(settings, "peer ", 5) != 0 &&
	       !strstr(settings, "\npeer ");
}

/* The file has changed: @fds are the set operation that brings the new peers, and the new settings
 * text. Keepers but @pid, who asks, learn of it. Returns 0 or an errno. */
static int reload(struct wgw_core *core, int32_t pid, const int *fds, struct wgw_channel_msg *reply)
{
	const char *running = core->settings ? core->settings : core->t.boot->settings;
	char difference[WGW_CH_TEXT_MAX_BYTES];
	struct wgw_channel_msg reread = {.code = WGW_CH_REREAD};
	size_t len;
	char *settings = wgw_client_read_text(fds[1], &len);
	int err;

	if (!settings)
		return errno;
	reply->u.control.value =
		wgw_settings_differ(running, settings, difference, sizeof(difference));
	if (fixed_lines_differ(difference)) {
		memcpy(reply->u.control.text, difference, sizeof(difference));
		free(settings);
		return EBUSY;
	}
	if (loses_all_peers(core, settings)) {
		free(settings);
		return ENODATA;
	}
	err = set(core, fds[0], true, reply);
	if (err) {
		free(settings);
		return err;
	}
	free(core->settings);
	core->settings = settings;
	for (struct wgw_session *s = core->t.sessions; s && reply->u.control.value; s = s->next) {
		if (s->keeper && !s->leaving && s->channel && s->pid != pid)
			wgw_client_send(s->channel, &reread);
	}
	return 0;
}

void wgw_control_request(struct wgw_core *core, const struct wgw_channel_msg *msg, int32_t pid,
			 const int *fds, int n, struct wgw_channel_msg *reply)
{
	switch (msg->u.control.verb) {
	case WGW_CONTROL_GET:
		reply->err = n == 1 ? put_into(fds[0], wgw_report_state(core)) : EINVAL;
		break;
	case WGW_CONTROL_FLOWS:
		reply->err = n == 1 ? put_into(fds[0], wgw_report_flows(core)) : EINVAL;
		break;
	case WGW_CONTROL_SET:
		reply->err = n == 1 ? set(core, fds[0], false, reply) : EINVAL;
		break;
	case WGW_CONTROL_RELOAD:
		reply->err = n == 2 ? reload(core, pid, fds, reply) : EINVAL;
		break;
	case WGW_CONTROL_DOWN:
		reply->u.control.value = ask_keepers_to_leave(core);
		break;
	default:
		reply->err = EOPNOTSUPP;
	}
}
