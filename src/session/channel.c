/* SPDX-License-Identifier: MIT */
/* channel.c - messages between a session and its tunnel process (channel.h) */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/base/loop.h"
#include "src/repr/cmsg.h"
#include "src/session/channel.h"
#include "src/session/processes.h"
#include "src/session/say.h"

enum { FDS_MAX = 4, SILENT_MS = 2000, WHOM_BYTES = 64 };

socklen_t wgw_rendezvous_path(struct sockaddr_un *sun, const char *prefix, char kind)
{
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	snprintf(sun->sun_path, sizeof(sun->sun_path), "%s.%c", prefix, kind);
	return sizeof(*sun);
}

socklen_t wgw_rendezvous_abstract(struct sockaddr_un *sun,
				  const uint8_t abstract[WGW_ABSTRACT_BYTES], char kind)
{
	size_t n = 1;

	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	n += (size_t)snprintf(sun->sun_path + n, sizeof(sun->sun_path) - n, WGW_ABSTRACT_PREFIX);
	for (size_t i = 0; i < WGW_ABSTRACT_BYTES; i++)
		n += (size_t)snprintf(sun->sun_path + n, sizeof(sun->sun_path) - n, "%02x",
				      abstract[i]);
	n += (size_t)snprintf(sun->sun_path + n, sizeof(sun->sun_path) - n, ".%c", kind);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

int wgw_channel_connect(const char *prefix, const uint8_t abstract[WGW_ABSTRACT_BYTES])
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un sun;
	socklen_t len;

	if (fd < 0)
		return -errno;
	len = prefix[0] ? wgw_rendezvous_path(&sun, prefix, 'q')
			: wgw_rendezvous_abstract(&sun, abstract, 'q');
	if (connect(fd, (struct sockaddr *)&sun, len)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

void wgw_channel_prepare(struct wgw_channel_msg *msg, enum wgw_channel_code code)
{
	memset(msg, 0, sizeof(*msg));
	msg->magic = WGW_WIRE_MAGIC;
	msg->version = WGW_WIRE_VERSION;
	msg->code = (uint16_t)code;
}

int wgw_channel_send(int fd, const struct wgw_channel_msg *msg, const int *fds, unsigned int n)
{
	union {
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = {.bytes = {0}};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)msg, .iov_len = sizeof(*msg)};
	struct msghdr hdr = {.msg_iov = &iov, .msg_iovlen = 1};
	int64_t until = 0;
	int err;

	if (n > FDS_MAX)
		return -EINVAL;
	/* the other end may be of a version whose longest message is shorter */
	if (msg->code == WGW_CH_CONTROL)
		iov.iov_len = offsetof(struct wgw_channel_msg, u.control) + sizeof(msg->u.control);
	if (n > 0) {
		struct cmsghdr *c = &control.align;

		hdr.msg_control = control.bytes;
		hdr.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	/* libc's call: a wgwrap in a session is captured, too */
	do
		err = sendmsg(fd, &hdr, MSG_NOSIGNAL) < 0 ? -errno : 0;
	while (err == -EINTR || (err == -ETOOMANYREFS && wgw_cmsg_nap(&until)));
	return err;
}

/** is_understood() - whether @len bytes are a message of this version; another one is said */
static bool is_understood(const struct wgw_channel_msg *msg, size_t len)
{
	if (len < offsetof(struct wgw_channel_msg, u) || msg->magic != WGW_WIRE_MAGIC)
		return false;
	if (msg->code == WGW_CH_CONTROLLED)
		return true;
	if (msg->version != WGW_WIRE_VERSION)
		wgw_say(WGW_SAY_ERROR,
			"the running tunnel process is of another version of wgwrap: it speaks "
			"version %d of the protocol between them, this one version %d",
			msg->version, WGW_WIRE_VERSION);
	return msg->version == WGW_WIRE_VERSION;
}

int wgw_channel_receive_fd(int fd, struct wgw_channel_msg *msg, int flags, int *passed)
{
	union {
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = msg, .iov_len = sizeof(*msg)};
	struct msghdr hdr = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	bool reset = false;
	ssize_t len;

	memset(msg, 0, sizeof(*msg));
	*passed = -1;
	/* that the other end has died without reading all is told once, before what it had sent */
	do {
		len = recvmsg(fd, &hdr, flags | MSG_CMSG_CLOEXEC);
		reset = len < 0 && errno == ECONNRESET && !reset;
	} while (reset || (len < 0 && errno == EINTR));
	if (len > 0)
		wgw_cmsg_take(&hdr, passed, 1);
	if (len < 0)
		return errno == ECONNRESET ? 0 : -errno;
	if (len == 0)
		return 0;
	return is_understood(msg, (size_t)len) ? 1 : -EPROTO;
}

int wgw_channel_receive(int fd, struct wgw_channel_msg *msg, int flags)
{
	int passed, got = wgw_channel_receive_fd(fd, msg, flags, &passed);

	if (passed >= 0)
		close(passed);
	return got;
}

int wgw_channel_await(int fd, struct wgw_channel_msg *msg, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (;;) {
		uint64_t now = wgw_clock_ns();
		uint64_t left_ms = now < deadline_ns ? (deadline_ns - now) / WGW_MS_NS + 1 : 0;
		int n = poll(&p, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);

		if (n > 0)
			return wgw_channel_receive(fd, msg, 0);
		if (n == 0 && left_ms == 0)
			return -ETIMEDOUT;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

/* The listener's credentials are those of who called listen(2) last: the tunnel process
 * (src/tunnel/daemon.c). 0: of another PID namespace. */
void wgw_channel_whom(int fd, char *text, size_t size)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) || peer.pid <= 0)
		snprintf(text, size, "a process of another PID namespace");
	else
		snprintf(text, size, "process %d%s", peer.pid,
			 wgw_is_stopped(peer.pid) ? ", which is stopped" : "");
}

int wgw_channel_await_answer(int fd, struct wgw_channel_msg *msg, uint64_t deadline_ns)
{
	uint64_t soon = wgw_clock_ns() + SILENT_MS * WGW_MS_NS;
	char whom[WHOM_BYTES];
	int err = wgw_channel_await(fd, msg, soon < deadline_ns ? soon : deadline_ns);

	if (err != -ETIMEDOUT || soon >= deadline_ns)
		return err;
	wgw_channel_whom(fd, whom, sizeof(whom));
	wgw_say(WGW_SAY_WARNING,
		"no answer yet from the tunnel process (%s); waiting for %llu s more", whom,
		(unsigned long long)((deadline_ns - soon) / WGW_SEC_NS));
	return wgw_channel_await(fd, msg, deadline_ns);
}

void wgw_channel_print(const struct wgw_channel_msg *msg)
{
	wgw_say(msg->u.say.level, "%.*s", (int)sizeof(msg->u.say.text), msg->u.say.text);
}
