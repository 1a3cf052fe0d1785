/* SPDX-License-Identifier: MIT */
/*
 * request.c - questions to a running tunnel process, over its sequenced rendezvous
 *
 * State comes in a memory file that we pass along: the tunnel process writes it before it
 * answers.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/control/control.h"
#include "src/control/flows.h"

enum { ANSWER_TIMEOUT_S = 10 };

int wgw_control_ask(int fd, enum wgw_control_verb verb, const int *fds, unsigned int n,
		    struct wgw_channel_msg *reply)
{
	uint64_t deadline = wgw_clock_ns() + ANSWER_TIMEOUT_S * WGW_SEC_NS;
	int err;

	wgw_channel_prepare(reply, WGW_CH_CONTROL);
	reply->u.control.verb = verb;
	err = wgw_channel_send(fd, reply, fds, n);
	if (err)
		return err;
	do {
		err = wgw_channel_await_answer(fd, reply, deadline);
		if (err <= 0)
			return err ? err : -ECONNRESET;
	} while (reply->code != WGW_CH_CONTROLLED);
	reply->u.control.text[sizeof(reply->u.control.text) - 1] = '\0';
	return 0;
}

/* The content of @fd; NULL and errno. */
static char *read_all(int fd)
{
	struct stat st;
	size_t size, done = 0;
	char *text;

	if (fstat(fd, &st))
		return NULL;
	size = (size_t)st.st_size;
	text = malloc(size + 1);
	while (text && done < size) {
		ssize_t n = pread(fd, text + done, size - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			free(text);
			return NULL;
		}
		done += (size_t)n;
	}
	if (text)
		text[size] = '\0';
	return text;
}

/** ask_text() - what @verb (GET, FLOWS) gives: malloc'ed, NUL-terminated. NULL and errno */
static char *ask_text(int fd, enum wgw_control_verb verb)
{
	struct wgw_channel_msg reply;
	int file = memfd_create("wgwrap-state", MFD_CLOEXEC), err;
	char *text = NULL;

	if (file < 0)
		return NULL;
	err = wgw_control_ask(fd, verb, &file, 1, &reply);
	if (!err)
		err = -reply.err;
	if (!err)
		text = read_all(file);
	close(file);
	if (err)
		errno = -err;
	return text;
}

struct wgw_status *wgw_control_status(int fd)
{
	char *text = ask_text(fd, WGW_CONTROL_GET);
	struct wgw_status *status;
	unsigned int line;

	if (!text)
		return NULL;
	status = wgw_status_parse(text, &line);
	free(text);
	if (!status)
		errno = line ? EPROTO : ENOMEM;
	return status;
}

void wgw_flows_of(const struct wgw_rundir *dir, const struct wgw_status *t, struct wgw_flows *out)
{
	int fd = wgw_control_connect(dir, t->name);
	char *text = fd < 0 ? NULL : ask_text(fd, WGW_CONTROL_FLOWS);

	memset(out, 0, sizeof(*out));
	if (text)
		wgw_flows_parse(text, out);
	free(text);
	if (fd >= 0)
		close(fd);
}
