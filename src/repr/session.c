/* SPDX-License-Identifier: MIT */
/* session.c - where the tunnel process of this session is, and how to connect a socket to it */
#include "src/repr/repr.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "src/repr/raw.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Reads 2 * @n hex digits and the colon after them. Returns what follows, or NULL. */
static const char *read_hex(const char *text, uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(text[2 * i]);
		int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);

		if (low < 0)
			return NULL;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return text[2 * n] == ':' ? text + 2 * n + 1 : NULL;
}

bool wgw_repr_session_parse(struct wgw_repr_session *s, const char *text)
{
	uint8_t abstract[WGW_ABSTRACT_BYTES];
	const char *abstract_text, *at;
	size_t len;

	memset(s, 0, sizeof(*s));
	if (strncmp(text, "1:", 2) != 0)
		return false;
	at = read_hex(text + 2, s->token, sizeof(s->token));
	if (at)
		at = read_hex(at, s->label_key, sizeof(s->label_key));
	abstract_text = at;
	if (at)
		at = read_hex(at, abstract, sizeof(abstract));
	if (!at)
		return false;
	memcpy(s->abstract, abstract_text, sizeof(s->abstract) - 1);
	len = strlen(at);
	if (len > WGW_PATH_PREFIX_MAX_BYTES)
		return false;
	memcpy(s->path, at, len + 1);
	wgw_preambles_make(s->label_key, &s->preambles);
	return true;
}

static int connect_path(const struct wgw_repr_session *s, int fd, char which)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t len = strlen(s->path);

	if (len == 0)
		return -ENOENT;
	memcpy(un.sun_path, s->path, len);
	un.sun_path[len] = '.';
	un.sun_path[len + 1] = which;
	return wgw_raw_connect(fd, &un,
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 3));
}

/*
 * Anybody may bind an abstract name once its owner is gone. Who answers must be root or one of the
 * users we are: a program that has dropped privileges was started by root.
 */
static bool peer_is_trusted(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	unsigned int real = 0, effective = 0, saved = 0;

	if (wgw_raw_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	if (wgw_raw_call(SYS_getresuid, (long)&real, (long)&effective, (long)&saved, 0, 0, 0) < 0)
		return false;
	return peer.uid == 0 || peer.uid == real || peer.uid == effective || peer.uid == saved;
}

static int connect_abstract(const struct wgw_repr_session *s, int fd, char which)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char *at = un.sun_path + 1;
	int rc;

	memcpy(at, WGW_ABSTRACT_PREFIX, sizeof(WGW_ABSTRACT_PREFIX) - 1);
	at += sizeof(WGW_ABSTRACT_PREFIX) - 1;
	memcpy(at, s->abstract, sizeof(s->abstract) - 1);
	at += sizeof(s->abstract) - 1;
	*at++ = '.';
	*at++ = which;
	rc = wgw_raw_connect(fd, &un, (socklen_t)(at - (char *)&un));
	if (rc < 0)
		return rc;
	if (peer_is_trusted(fd))
		return 0;
	wgw_raw_shutdown(fd, SHUT_RDWR); /* a program may write although its connect has failed */
	return -ENETDOWN;
}

int wgw_repr_rendezvous(const struct wgw_repr_session *s, int fd, char which)
{
	int rc;

	if (s->before_asking)
		s->before_asking(s->asker);
	rc = connect_path(s, fd, which);

	if (rc == 0 || rc == -EAGAIN || rc == -EINTR || rc == -EISCONN)
		return rc;
	rc = connect_abstract(s, fd, which);
	if (rc == 0 || rc == -EAGAIN || rc == -EINTR)
		return rc;
	return -ENETDOWN;
}
