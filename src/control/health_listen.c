/* SPDX-License-Identifier: MIT */
/*
 * health_listen.c - the HTTP server's listening socket: an address and port, or a unix socket
 *
 * Addresses that other hosts reach are refused, unless the user wants them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/base/http.h"
#include "src/control/control.h"
#include "src/control/metrics.h"
#include "src/session/say.h"

enum { BACKLOG = 64 };

static int listen_unix(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd, err;
	mode_t old;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		wgw_say(WGW_SAY_ERROR, "%s: the name is too long for a socket", path);
		return -1;
	}
	strcpy(sun.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (wgw_unix_is_stale(&sun))
		unlink(path);
	old = umask(0177);
	err = fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) || listen(fd, BACKLOG);
	umask(old);
	if (!err)
		return fd;
	wgw_say(WGW_SAY_ERROR, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool is_loopback(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return (ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr) >> 24) == 127;
	return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)sa)->sin6_addr);
}

static int listen_at(const struct wgw_health_options *o, const struct addrinfo *ai)
{
	int fd, one = 1;

	if (!is_loopback(ai->ai_addr) && !o->any_address) {
		wgw_say(WGW_SAY_ERROR,
			"%s is not loopback: other hosts could read who the peers are; "
			"--any-address allows it",
			o->address);
		return -1;
	}
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd >= 0 && !bind(fd, ai->ai_addr, ai->ai_addrlen) && !listen(fd, BACKLOG))
		return fd;
	wgw_say(WGW_SAY_ERROR, "%s: %s", o->address, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

int wgw_health_listen(const struct wgw_health_options *o)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
	struct addrinfo *list = NULL;
	char *host = NULL, port_text[8];
	const char *wrong;
	uint16_t port;
	int fd = -1;

	if (wgw_http_load()) {
		wgw_say(WGW_SAY_ERROR, "http-parser: %s", strerror(ELIBACC));
		return -1;
	}
	if (o->address[0] == '/')
		return listen_unix(o->address);
	wrong = wgw_endpoint_parse(o->address, &host, &port);
	snprintf(port_text, sizeof(port_text), "%u", wrong ? 0U : port);
	if (wrong || getaddrinfo(host, port_text, &hints, &list))
		wgw_say(WGW_SAY_ERROR, "'%s' is neither ADDRESS:PORT nor the path of a socket",
			o->address);
	else
		fd = listen_at(o, list);
	if (list)
		freeaddrinfo(list);
	free(host);
	return fd;
}
