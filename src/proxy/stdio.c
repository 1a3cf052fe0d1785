/* SPDX-License-Identifier: MIT */
/*
 * stdio.c - `wgwrap nc`: one connection through the tunnel on standard input and output
 *
 * The tunnel process gets one end of a socket pair and treats it as a client of a forward; this
 * process moves bytes between the other end and its standard descriptors, which it does not hand
 * out. The first byte written is the keeper (src/tunnel/end.c): with it a reset is seen as one.
 *
 * The end: when the peer has finished and everything was written out, status 0. A reset, a failed
 * connect, or an output that nobody reads is status 1.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/loop.h"
#include "src/proxy/front.h"
#include "src/session/say.h"

enum { BUFFER_BYTES = 128 * 1024 };

/** struct way - one direction; @blocks: writing to @to does, when there is no room */
struct way {
	int from, to;
	bool blocks, eof, closed;
	size_t at, len;
	char bytes[BUFFER_BYTES];
};

static struct way out, in;

static bool again(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Reads when there is nothing to write, writes when there is. 0, or an errno. */
static int move(struct way *w, short from_events, short to_events)
{
	if (w->len == 0 && !w->eof && from_events) {
		ssize_t n = read(w->from, w->bytes, sizeof(w->bytes));

		if (n < 0 && !again(n))
			return errno;
		w->eof = n == 0;
		w->at = 0;
		w->len = n > 0 ? (size_t)n : 0;
		to_events = !w->blocks; /* it may have room */
	}
	if (w->len > 0 && to_events) {
		/* so much never blocks on a pipe that has room */
		size_t most = w->blocks && w->len > PIPE_BUF ? PIPE_BUF : w->len;
		ssize_t n = write(w->to, w->bytes + w->at, most);

		if (n < 0 && !again(n))
			return errno;
		if (n > 0) {
			w->at += (size_t)n;
			w->len -= (size_t)n;
		}
	}
	return 0;
}

static int wanted(const struct way *w, bool from)
{
	return from ? (w->len == 0 && !w->eof ? w->from : -1) : w->len > 0 ? w->to : -1;
}

/* Pumps until the peer has finished. An exit status. */
static int pump(struct proxy_front *f, int fd)
{
	out = (struct way){.from = STDIN_FILENO, .to = fd};
	in = (struct way){.from = fd, .to = STDOUT_FILENO, .blocks = true};
	while (!f->stopped) {
		struct pollfd p[] = {
			{.fd = wanted(&out, true), .events = POLLIN},
			{.fd = wanted(&out, false), .events = POLLOUT},
			{.fd = wanted(&in, true), .events = POLLIN},
			{.fd = wanted(&in, false), .events = POLLOUT},
		};
		int err;

		proxy_front_turn(f, p, 4);
		err = move(&in, p[2].revents, p[3].revents);
		if (err) {
			wgw_say(WGW_SAY_ERROR, "%s",
				err == EPIPE ? "standard output is closed" : strerror(err));
			return 1;
		}
		if (in.eof && in.len == 0)
			return 0;
		if (!out.closed) {
			err = move(&out, p[0].revents, p[1].revents);
			/* a peer that reads no more may still write; if it has reset the
			 * connection, reading says so */
			if (err || (out.eof && out.len == 0)) {
				out.closed = out.eof = true;
				out.len = 0;
				shutdown(fd, SHUT_WR);
			}
		}
	}
	return 1;
}

int proxy_stdio_run(struct proxy_front *f, size_t i)
{
	const struct wgw_proxy_spec *s = &f->options->specs[i];
	int pair[2] = {-1, -1}, status = 0, err;
	const char keeper = 'K';

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) ||
	    write(pair[0], &keeper, 1) != 1)
		err = -errno;
	else
		err = proxy_front_send(f, i, pair[1]);
	if (err) {
		wgw_say(WGW_SAY_ERROR, "cannot ask the tunnel process for a connection: %s",
			strerror(-err));
		status = 1;
	}
	if (pair[1] >= 0)
		close(pair[1]);
	while (status == 0 && f->result < 0 && !f->stopped && f->session.channel >= 0)
		proxy_front_turn(f, NULL, 0);
	if (status == 0 && f->result != 0) {
		wgw_say(WGW_SAY_ERROR, "%s:%u: %s", s->target_host, s->target_port,
			f->result > 0 ? f->reason : "the tunnel process ended");
		status = 1;
	}
	if (status == 0)
		status = pump(f, pair[0]);
	if (pair[0] >= 0)
		close(pair[0]);
	return status;
}
