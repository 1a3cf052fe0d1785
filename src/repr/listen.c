/* SPDX-License-Identifier: MIT */
/*
 * listen.c - bind, listen, and what accept has returned
 *
 * A listener is a native AF_UNIX listener. Its socket file exists for a moment: it is bound, opened
 * with O_PATH and unlinked; the tunnel process gets that descriptor and connects through
 * /proc/self/fd. So nobody else can connect, and nothing is left behind. bind() only reserves the
 * address at the tunnel process: the socket's own name is kept for this, or for a connect's label.
 * So before all this the tunnel process is asked whether the socket may listen at all. One
 * conversation serves for both, so that it hears at once when a program ends in between.
 */
#include "src/repr/repr.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#include "src/repr/raw.h"

enum {
	LISTENER_SUFFIX_BYTES = 2 + 16, /* ".l" and random hex */
	LISTENER_MODE = 0666,		/* who may connect: whoever holds the O_PATH descriptor */
	OTHER_LISTEN_MS = 10000,	/* how long another process's listen may be under way */
	OTHER_LISTEN_NAP_MS = 1,
	SIN6_LEN_RFC2133 = 24, /* struct sockaddr_in6 without sin6_scope_id */
};

static uint32_t bind_flags(int fd, uint64_t tag)
{
	uint32_t flags = 0;
	int on = 0;
	socklen_t len = sizeof(on);

	if (tag & WGW_TAG_V6)
		flags |= WGW_BIND_V6;
	if (tag & WGW_TAG_V6ONLY)
		flags |= WGW_BIND_V6ONLY;
	if (tag & WGW_TAG_REUSEPORT)
		flags |= WGW_BIND_REUSEPORT;
	if (tag & WGW_TAG_OUTSIDE)
		flags |= WGW_BIND_OUTSIDE;
	if (wgw_raw_getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, &len) == 0 && on)
		flags |= WGW_BIND_REUSEADDR;
	return flags;
}

/* Linux takes AF_UNSPEC for the IPv4 wildcard. */
static int read_bind_addr(uint64_t tag, const void *sa, socklen_t len, struct stack_addr *addr)
{
	struct sockaddr_storage copy = {0};
	static const uint8_t zero[4];
	int rc;

	if (len < sizeof(sa_family_t) || len > sizeof(copy))
		return -EINVAL;
	memcpy(&copy, sa, len);
	if (!(tag & WGW_TAG_V6) && copy.ss_family == AF_UNSPEC &&
	    memcmp((const char *)&copy + 4, zero, sizeof(zero)) == 0)
		copy.ss_family = AF_INET;
	if (tag & WGW_TAG_V6) { /* inet6_bind() */
		if (len < SIN6_LEN_RFC2133)
			return -EINVAL;
		if (copy.ss_family != AF_INET6)
			return -EAFNOSUPPORT;
	}
	rc = wgw_repr_addr_read(tag, &copy, len, addr);
	return rc == -ENETUNREACH ? -EINVAL : rc;
}

int wgw_repr_bind(const struct wgw_repr_session *s, int fd, uint64_t tag, const void *sa,
		  socklen_t len)
{
	struct stack_addr addr;
	struct wgw_label label;
	struct wgw_op op;
	int rc = read_bind_addr(tag, sa, len, &addr);

	if (rc < 0)
		return rc;
	if (tag & WGW_TAG_CONNECTED)
		return -EINVAL;
	/* a UDP socket may have given its port up: the tunnel process knows */
	if (tag & WGW_TAG_BOUND && wgw_tag_kind(tag) != WGW_KIND_UDP)
		return -EINVAL;
	if (wgw_tag_kind(tag) == WGW_KIND_TCP &&
	    wgw_repr_tcp_state(s, fd, tag, &label) != WGW_REPR_NEW)
		return -EINVAL;
	wgw_repr_op_init(s, &op, WGW_OP_BIND, fd, tag);
	op.u.bind.addr = wgw_repr_wire_addr(&addr);
	op.u.bind.flags = bind_flags(fd, tag);
	rc = wgw_repr_op_about(s, &op, fd);
	return rc < 0 ? rc : wgw_repr_tag_change(fd, WGW_TAG_BOUND, 0);
}

/* ---- listen ---- */

/* Appends ".l" and 16 random hex digits to the @used bytes in @path. */
static int unique_suffix(char *path, size_t used)
{
	static const char digits[16] = "0123456789abcdef";
	uint8_t random[8];
	char *at = path + used;

	if (wgw_raw_getrandom(random, sizeof(random)) != (ssize_t)sizeof(random))
		return -EAGAIN;
	*at++ = '.';
	*at++ = 'l';
	for (size_t i = 0; i < sizeof(random); i++) {
		*at++ = digits[random[i] >> 4];
		*at++ = digits[random[i] & 15];
	}
	*at = '\0';
	return 0;
}

/* Binds @fd to a file whose name starts with @prefix. Returns its O_PATH descriptor or -errno. A
 * socket that has its file can do nothing but listen, so room for the descriptor is made before. */
static int bind_file(int fd, const char *prefix)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t used = strlen(prefix);
	int path_fd, rc, room;

	if (used == 0)
		return -ENOENT;
	if (used + LISTENER_SUFFIX_BYTES >= sizeof(un.sun_path))
		return -ENAMETOOLONG;
	memcpy(un.sun_path, prefix, used);
	rc = unique_suffix(un.sun_path, used);
	room = rc < 0 ? rc : wgw_raw_fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (room < 0)
		return room;
	rc = wgw_raw_bind(fd, &un, sizeof(un));
	wgw_raw_close(room);
	if (rc < 0)
		return rc;
	wgw_raw_fchmodat(AT_FDCWD, un.sun_path, LISTENER_MODE);
	path_fd = wgw_raw_openat(AT_FDCWD, un.sun_path, O_PATH | O_CLOEXEC | O_NOFOLLOW, 0);
	wgw_raw_unlinkat(AT_FDCWD, un.sun_path);
	return path_fd;
}

/* The runtime directory is closed to a program that has changed its uid or root. */
static int bind_anywhere(const struct wgw_repr_session *s, int fd)
{
	static const char *const other[] = {"/dev/shm/wgwrap", "/tmp/wgwrap", "./.wgwrap"};
	int path_fd = bind_file(fd, s->path);

	for (size_t i = 0; path_fd < 0 && path_fd != -EINVAL && path_fd != -EMFILE &&
			   i < sizeof(other) / sizeof(*other);
	     i++)
		path_fd = bind_file(fd, other[i]);
	return path_fd;
}

/*
 * The socket has its file already: another process that shares it is in the middle of listen (the
 * workers of a server whose parent has bound, all at once). Theirs counts for both.
 */
static int listen_with_other(int fd, int backlog)
{
	uint64_t tag;

	for (int ms = 0; ms < OTHER_LISTEN_MS; ms += OTHER_LISTEN_NAP_MS) {
		if (wgw_repr_tag(fd, &tag) && (tag & WGW_TAG_LISTENING))
			return wgw_raw_listen(fd, backlog);
		wgw_raw_poll(NULL, 0, OTHER_LISTEN_NAP_MS);
	}
	return -EADDRINUSE;
}

/* @path_fd -1: asks whether @fd may listen. */
static int ask_to_listen(const struct wgw_repr_session *s, int conversation, int fd, uint64_t tag,
			 int backlog, int path_fd)
{
	struct stack_addr any;
	struct wgw_op op;
	ssize_t n;

	wgw_repr_op_init(s, &op, WGW_OP_LISTEN, fd, tag);
	wgw_repr_addr_any(tag, &any);
	op.u.listen.addr = wgw_repr_wire_addr(&any);
	op.u.listen.flags = bind_flags(fd, tag);
	op.u.listen.backlog = backlog < 0 ? UINT32_MAX : (uint32_t)backlog;
	n = wgw_repr_op_send(conversation, &op, NULL, 0, path_fd);
	if (n == 0)
		n = wgw_repr_op_recv(conversation, &op, NULL, 0);
	return n < 0 ? (int)n : op.err > 0 ? -op.err : 0;
}

/* Makes @fd a listener. */
static int begin_to_listen(const struct wgw_repr_session *s, int conversation, int fd, uint64_t tag,
			   int backlog)
{
	/* Who may not is left as it was: a socket that has its file can do nothing but listen. */
	int rc = ask_to_listen(s, conversation, fd, tag, backlog, -1), path_fd;

	if (rc == 0)
		rc = wgw_repr_tell_inherited(s, fd, tag);
	if (rc < 0)
		return rc;
	path_fd = bind_anywhere(s, fd);
	if (path_fd == -EINVAL)
		return listen_with_other(fd, backlog);
	if (path_fd < 0)
		return path_fd;
	/* First, so that the tunnel process never finds a listener that does not listen. */
	rc = wgw_raw_listen(fd, backlog);
	if (rc == 0)
		rc = ask_to_listen(s, conversation, fd, tag, backlog, path_fd);
	wgw_raw_close(path_fd);
	return rc < 0 ? rc : wgw_repr_tag_change(fd, WGW_TAG_LISTENING | WGW_TAG_BOUND, 0);
}

int wgw_repr_listen(const struct wgw_repr_session *s, int fd, uint64_t tag, int backlog)
{
	struct wgw_label label;
	int conversation, rc;

	if (wgw_tag_kind(tag) != WGW_KIND_TCP)
		return -EOPNOTSUPP;
	switch (wgw_repr_tcp_state(s, fd, tag, &label)) {
	case WGW_REPR_LISTENING:
		return wgw_raw_listen(fd, backlog);
	case WGW_REPR_NEW:
		break;
	default:
		return -EINVAL;
	}
	if (tag & WGW_TAG_WAS_LISTENER)
		return -ECONNABORTED;
	conversation = wgw_repr_op_open(s);
	if (conversation < 0)
		return conversation;
	rc = begin_to_listen(s, conversation, fd, tag, backlog);
	wgw_raw_close(conversation);
	return rc;
}

/* ---- accept ---- */

int wgw_repr_accepted(const struct wgw_repr_session *s, int fd, uint64_t listener_tag,
		      struct stack_addr *peer)
{
	const uint64_t inherited = WGW_TAG_V6 | WGW_TAG_V6ONLY | WGW_TAG_NODELAY | WGW_TAG_CORK |
				   WGW_TAG_OPTIONS | WGW_TAG_INHERITED | WGW_TAG_MARK_MASK |
				   (UINT64_C(3) << WGW_TAG_KIND_SHIFT);
	const int sndbuf = WGW_APP_SNDBUF_BYTES / 2; /* the kernel doubles it */
	const char keeper = WGW_KEEPER_BYTE;
	struct wgw_label label;
	uint64_t tag;
	int rc;

	if (!wgw_repr_label(s, fd, true, &label) || label.outcome != WGW_OUTCOME_ACCEPTED)
		return -ECONNABORTED;
	memcpy(peer->ip, label.remote_ip, 16);
	peer->port = label.remote_port;
	/* the supervisor was here already, for another preloaded library's accept(2) */
	if (wgw_repr_tag(fd, &tag))
		return 0;
	rc = wgw_repr_tag_put(fd, WGW_TAG_MAGIC | WGW_TAG_ACCEPTED | (listener_tag & inherited));
	if (rc < 0)
		return rc;
	wgw_raw_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
	/* The connection may be over already; then nobody needs these. Never the keeper alone: it
	 * would be taken for data. */
	if (wgw_repr_pass_self(fd) == 0)
		wgw_raw_send(fd, &keeper, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	return 0;
}
