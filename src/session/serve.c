/* SPDX-License-Identifier: MIT */
/*
 * serve.c - what the tunnel process asks of the session: which sockets are still held, what the
 *	host's resolver says, a line for the user; listeners to be kept for its successor
 *
 * getaddrinfo may block for long, so each question has a process of its own; messages are atomic on
 * a SEQPACKET socket, so it answers by itself.
 */
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#include "src/session/channel.h"
#include "src/session/launch.h"
#include "src/session/processes.h"
#include "src/session/say.h"
#include "src/session/supervisor.h"

enum { RESOLVE_LIMIT_S = 30 };

static void answer_scan(struct wgw_supervisor *s, struct wgw_channel_msg *msg)
{
	if (msg->u.scan.n > WGW_CH_SCAN_MAX)
		return;
	wgw_scan_sockets(msg->u.scan.inode, msg->u.scan.n, msg->u.scan.held);
	msg->code = WGW_CH_SCANNED;
	wgw_channel_send(s->channel, msg, NULL, 0);
}

/** take_addresses() - @list, as 16 bytes each, into the answer */
static void take_addresses(struct wgw_channel_msg *msg, const struct addrinfo *list)
{
	for (; list && msg->u.host.n < WGW_CH_HOST_MAX; list = list->ai_next) {
		struct stack_addr a = {0};

		if (list->ai_family == AF_INET) {
			const struct sockaddr_in *in = (const void *)list->ai_addr;

			stack_ip_set_v4(a.ip, &in->sin_addr);
		} else if (list->ai_family == AF_INET6) {
			const struct sockaddr_in6 *in6 = (const void *)list->ai_addr;

			memcpy(a.ip, &in6->sin6_addr, 16);
		} else {
			continue;
		}
		memcpy(msg->u.host.ip[msg->u.host.n++], a.ip, 16);
	}
}

static void resolve(struct wgw_channel_msg *msg)
{
	struct addrinfo hints = {.ai_family = msg->u.host.family, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;

	msg->code = WGW_CH_HOST_RESOLVED;
	msg->u.host.n = 0;
	msg->u.host.name[sizeof(msg->u.host.name) - 1] = '\0';
	msg->u.host.eai = getaddrinfo(msg->u.host.name, NULL, &hints, &list);
	if (msg->u.host.eai == 0) {
		take_addresses(msg, list);
		freeaddrinfo(list);
	}
}

static void answer_resolve(struct wgw_supervisor *s, struct wgw_channel_msg *msg)
{
	size_t slot = 0;
	pid_t pid = -1;

	while (slot < WGW_RESOLVERS_MAX && s->resolvers[slot])
		slot++;
	if (slot < WGW_RESOLVERS_MAX)
		pid = fork();
	if (pid == 0) {
		sigset_t none;

		wgw_supervisor_leave(s);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		alarm(RESOLVE_LIMIT_S);
		resolve(msg);
		wgw_channel_send(s->channel, msg, NULL, 0);
		_exit(0);
	}
	if (pid > 0) {
		s->resolvers[slot] = pid;
		return;
	}
	msg->code = WGW_CH_HOST_RESOLVED;
	msg->u.host.eai = EAI_AGAIN;
	msg->u.host.n = 0;
	wgw_channel_send(s->channel, msg, NULL, 0);
}

bool wgw_serve_channel(struct wgw_supervisor *s)
{
	struct wgw_channel_msg msg;
	int passed, err = wgw_channel_receive_fd(s->channel, &msg, MSG_DONTWAIT, &passed);

	if (err == 1 && msg.code == WGW_CH_LISTENER && passed >= 0) {
		wgw_listeners_keep(s, &msg.u.listener, passed);
		return true;
	}
	if (passed >= 0)
		close(passed);
	if (err == -EAGAIN || err == -EPROTO)
		return true;
	if (err <= 0)
		return false;
	switch (msg.code) {
	case WGW_CH_LISTENER_GONE:
		wgw_listeners_drop(s, msg.u.listener.cookie);
		break;
	case WGW_CH_SCAN:
		answer_scan(s, &msg);
		break;
	case WGW_CH_WHOSE:
		msg.code = WGW_CH_WHOSE_IS;
		msg.err = wgw_is_descendant(msg.u.opened.pid) ? EPERM : 0;
		wgw_channel_send(s->channel, &msg, NULL, 0);
		break;
	case WGW_CH_HOST_RESOLVE:
		answer_resolve(s, &msg);
		break;
	case WGW_CH_SAY:
		wgw_channel_print(&msg);
		break;
	case WGW_CH_FLUSHED:
		if (msg.u.flushed.bytes_lost || msg.u.flushed.flows_failed)
			wgw_say(WGW_SAY_WARNING,
				"%llu bytes written by the command could not be delivered",
				(unsigned long long)msg.u.flushed.bytes_lost);
		wgw_supervisor_delivered(s);
		break;
	case WGW_CH_LEAVE:
		s->leave = true;
		break;
	case WGW_CH_REREAD:
		s->reread = true;
		break;
	case WGW_CH_KEYED:
		wgw_launch_rename(s->launch, msg.u.keyed.public_key);
		break;
	default: /* STATE and what later versions add */
		break;
	}
	return true;
}
