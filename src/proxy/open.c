/* SPDX-License-Identifier: MIT */
/*
 * open.c - opens the listening sockets, in the front, with the user's rights
 *
 * A listener without users that others than this host's could reach would lend the tunnel to
 * everybody: it is refused unless --allow-open-proxy says otherwise. Unix sockets have mode 0600.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/proxy/front.h"
#include "src/session/say.h"

enum { BACKLOG = 1024 };

static bool is_datagram(enum wgw_proxy_kind kind)
{
	return kind == WGW_PROXY_UDP;
}

static int open_unix(const struct wgw_proxy_spec *s, struct proxy_socket *out)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	mode_t old;
	int err;

	snprintf(out->name, sizeof(out->name), "%s", s->path);
	if (strlen(s->path) >= sizeof(sun.sun_path)) {
		wgw_say(WGW_SAY_ERROR, "%s: a socket's path has at most %zu bytes", s->path,
			sizeof(sun.sun_path) - 1);
		return -1;
	}
	strcpy(sun.sun_path, s->path);
	if (wgw_unix_is_stale(&sun))
		unlink(sun.sun_path);
	out->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	old = umask(0177);
	err = out->fd < 0 || bind(out->fd, (struct sockaddr *)&sun, sizeof(sun));
	umask(old);
	out->unlink = !err;
	if (!err && listen(out->fd, BACKLOG) == 0)
		return 0;
	wgw_say(WGW_SAY_ERROR, "%s: %s", s->path, strerror(errno));
	return -1;
}

static bool is_loopback(const struct sockaddr *sa)
{
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;

	if (sa->sa_family == AF_INET)
		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

/* 0, or -1 and errno. */
static int bind_address(const struct wgw_proxy_spec *s, const struct addrinfo *ai,
			struct proxy_socket *out)
{
	static const int one = 1, zero = 0;
	bool datagram = is_datagram(s->kind);
	int type = (datagram ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
	int fd = socket(ai->ai_family, type, 0), err;

	if (fd < 0)
		return -1;
	if (!datagram)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && (datagram || listen(fd, BACKLOG) == 0)) {
		out->fd = fd;
		return 0;
	}
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

/* "*" is both families where the host has IPv6. 0, or -1 and errno. */
static int bind_any(const struct wgw_proxy_spec *s, const struct addrinfo *v6,
		    struct proxy_socket *out)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(s->port)};
	const struct addrinfo v4 = {
		.ai_family = AF_INET, .ai_addr = (struct sockaddr *)&in, .ai_addrlen = sizeof(in)};
	int err = bind_address(s, v6, out);

	if (err && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
		err = bind_address(s, &v4, out);
	return err;
}

static void set_name(struct proxy_socket *out, const char *host, const char *port,
		     const char *where)
{
	snprintf(out->name, sizeof(out->name), strchr(host, ':') ? "[%s]:%s%s" : "%s:%s%s", host,
		 port, where);
}

/* The address as it is now, port included. */
static void take_name(struct proxy_socket *out)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char host[64], port[8];

	if (getsockname(out->fd, (struct sockaddr *)&ss, &len) == 0 &&
	    getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		set_name(out, host, port, "");
}

/* Of a name with both loopback addresses, the IPv4 one: clients that go to 127.0.0.1 are many. */
static const struct addrinfo *choose(const struct addrinfo *list)
{
	for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) {
		if (ai->ai_family == AF_INET && is_loopback(ai->ai_addr))
			return ai;
	}
	return list;
}

/* Whether the user wants @s at @sa: everybody who reaches it could use the tunnel. Else it is said
 * what to do. */
static bool may_be_open(const struct wgw_proxy_options *o, const struct wgw_proxy_spec *s,
			const struct sockaddr *sa, const struct proxy_socket *out)
{
	if (is_loopback(sa) || s->users.n > 0 || o->allow_open)
		return true;
	wgw_say(WGW_SAY_ERROR,
		"%s: not loopback, and without users everybody who reaches it could use the "
		"tunnel; give %s%s--allow-open-proxy",
		out->name, proxy_asks_users(s->kind) ? "--users FILE, " : "",
		is_datagram(s->kind) ? "" : "a unix socket, or ");
	return false;
}

static int open_ip(const struct wgw_proxy_options *o, const struct wgw_proxy_spec *s,
		   struct proxy_socket *out)
{
	const char *host = s->host ? s->host : "127.0.0.1";
	bool any = strcmp(host, "*") == 0;
	struct addrinfo hints = {.ai_family = any ? AF_INET6 : AF_UNSPEC,
				 .ai_socktype = is_datagram(s->kind) ? SOCK_DGRAM : SOCK_STREAM,
				 .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	const struct addrinfo *ai;
	struct addrinfo *list;
	char port[8];
	int err;

	snprintf(port, sizeof(port), "%u", s->port);
	set_name(out, host, port, "");
	err = getaddrinfo(any ? NULL : host, port, &hints, &list);
	if (err) {
		wgw_say(WGW_SAY_ERROR, "%s: %s", out->name, gai_strerror(err));
		return -1;
	}
	ai = choose(list);
	if (!may_be_open(o, s, ai->ai_addr, out)) {
		freeaddrinfo(list);
		return -1;
	}
	err = any ? bind_any(s, ai, out) : bind_address(s, ai, out);
	if (err)
		wgw_say(WGW_SAY_ERROR, "%s: %s", out->name, strerror(errno));
	else
		take_name(out);
	out->loopback = is_loopback(ai->ai_addr);
	out->shared = out->loopback && s->users.n == 0 && !o->any_user && !is_datagram(s->kind);
	freeaddrinfo(list);
	return err;
}

/* Where a remote kind listens: a tunnel address, or all of them. */
static int in_tunnel(const struct wgw_proxy_spec *s, struct proxy_socket *out)
{
	struct wgw_prefix prefix = {0};
	char port[8];

	if (s->port == 0) {
		wgw_say(WGW_SAY_ERROR, "the forward to %s needs a port to listen at in the tunnel",
			s->target_host);
		return -1;
	}
	if (s->host && strcmp(s->host, "*") != 0 && wgw_address_parse(s->host, &prefix)) {
		wgw_say(WGW_SAY_ERROR, "%s: not an address of the tunnel", s->host);
		return -1;
	}
	out->at = prefix.addr;
	out->at.port = s->port;
	snprintf(port, sizeof(port), "%u", s->port);
	set_name(out, s->host ? s->host : "*", port, " in the tunnel");
	return 0;
}

int proxy_open(const struct wgw_proxy_options *o, const struct wgw_proxy_spec *s,
	       struct proxy_socket *out)
{
	int err;

	*out = (struct proxy_socket){.fd = -1, .hand = {-1, -1}};
	if (s->kind == WGW_PROXY_STDIO)
		return 0;
	if (s->kind == WGW_PROXY_REMOTE_TCP || s->kind == WGW_PROXY_REMOTE_UDP)
		return in_tunnel(s, out);
	err = s->path ? open_unix(s, out) : open_ip(o, s, out);
	if (err)
		proxy_close(s, out);
	return err;
}

void proxy_close(const struct wgw_proxy_spec *s, struct proxy_socket *socket)
{
	if (socket->fd >= 0)
		close(socket->fd);
	if (socket->unlink)
		unlink(s->path);
	for (int i = 0; i < 2; i++) {
		if (socket->hand[i] >= 0)
			close(socket->hand[i]);
	}
	*socket = (struct proxy_socket){.fd = -1, .hand = {-1, -1}};
}
