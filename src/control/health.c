/* SPDX-License-Identifier: MIT */
/*
 * health.c - /livez, /readyz, /metrics and the status page over HTTP, for those who asked for it
 *
 * A process of its own: it asks the tunnel processes as `wgwrap show` does, so nothing that a
 * stranger sends reaches a process that knows keys, and it may be killed or started again at any
 * time. Each connection carries one request and lives for at most CONNECTION_MS.
 *
 * On loopback only processes of the own user and of root are answered, unless other users are
 * allowed; a unix socket has mode 0600. A page from elsewhere that is open in the user's browser
 * can reach loopback as well, under a name that its owner lets point there: on loopback only
 * requests whose Host is loopback's own are answered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/http.h"
#include "src/control/control.h"
#include "src/control/health.h"
#include "src/session/say.h"

enum {
	CONNECTIONS_MAX = 64,
	CONNECTION_MS = 10000,
	FULL_MS = 100, /* until accept is tried again that found the host without descriptors */
	OTHER_DESCRIPTORS = 20, /* of ours, and what an answer takes */
	REQUEST_MAX_BYTES = 8192,
	PATH_BYTES = 64,
	HOST_BYTES = 64,
};

/** struct client - one connection. @fd -1: free; @out: what is being written */
struct client {
	int fd;
	uint64_t deadline;
	http_parser parser;
	size_t seen;
	char path[PATH_BYTES];
	size_t path_len;
	char host[HOST_BYTES];
	size_t host_len;
	char field[sizeof("host")];
	size_t field_len;
	bool in_value;
	bool complete;
	char *out;
	size_t out_at, out_len;
};

/** struct server - @places: of @clients, so many at a time */
struct server {
	struct wgw_health_source source;
	int listener, signals;
	size_t places;
	struct client clients[CONNECTIONS_MAX];
};

/* ---- connections ---- */

static const char *status_text(enum wgw_health_status status)
{
	switch (status) {
	case HTTP_OK:
		return "OK";
	case HTTP_BAD_REQUEST:
		return "Bad Request";
	case HTTP_FORBIDDEN:
		return "Forbidden";
	case HTTP_NOT_FOUND:
		return "Not Found";
	case HTTP_BAD_METHOD:
		return "Method Not Allowed";
	case HTTP_MISDIRECTED:
		return "Misdirected Request";
	default:
		return "Service Unavailable";
	}
}

static void client_close(struct client *c)
{
	close(c->fd);
	free(c->out);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
}

static void reply(struct client *c, const struct wgw_health_answer *a, bool head)
{
	int len = asprintf(&c->out,
			   "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
			   "Cache-Control: no-store\r\nConnection: close\r\n"
			   "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
			   "Cross-Origin-Resource-Policy: same-origin\r\n"
			   "Content-Security-Policy: %s\r\n%s\r\n%s",
			   a->status, status_text(a->status), a->type, a->len,
			   a->policy[0] ? a->policy : "default-src 'none'",
			   a->status == HTTP_BAD_METHOD ? "Allow: GET, HEAD\r\n" : "",
			   head || !a->body ? "" : a->body);

	c->out_len = len < 0 ? 0 : (size_t)len;
	if (len < 0)
		c->out = NULL;
}

static void reply_error(struct client *c, enum wgw_health_status status, const char *text)
{
	char body[160];
	struct wgw_health_answer a = {
		.status = status, .type = "text/plain; charset=utf-8", .body = body};

	snprintf(body, sizeof(body), "%s\n", text);
	a.len = strlen(body);
	reply(c, &a, false);
}

static int on_url(http_parser *p, const char *at, size_t len)
{
	struct client *c = p->data;

	if (c->path_len + len >= sizeof(c->path))
		return 1;
	memcpy(c->path + c->path_len, at, len);
	c->path_len += len;
	return 0;
}

/* Names and values may come in pieces. */
static int on_header(http_parser *p, const char *at, size_t len)
{
	struct client *c = p->data;

	if (c->in_value)
		c->field_len = 0;
	c->in_value = false;
	for (size_t i = 0; i < len && c->field_len < sizeof(c->field); i++)
		c->field[c->field_len++] = at[i];
	return 0;
}

static int on_value(http_parser *p, const char *at, size_t len)
{
	struct client *c = p->data;

	c->in_value = true;
	if (c->field_len != strlen("host") || strncasecmp(c->field, "host", c->field_len) != 0)
		return 0;
	if (c->host_len + len >= sizeof(c->host))
		return 1;
	memcpy(c->host + c->host_len, at, len);
	c->host_len += len;
	return 0;
}

static int on_complete(http_parser *p)
{
	struct client *c = p->data;

	c->complete = true;
	http_lib.http_parser_pause(p, 1); /* what follows is not read */
	return 0;
}

/** is_own_host() - whether the request asks for a host that only this one can be */
static bool is_own_host(const struct server *s, struct client *c)
{
	size_t name;
	uint8_t ip[16];

	c->host[c->host_len] = '\0';
	/* no browser leaves it out */
	if (s->source.o->any_address || s->source.o->address[0] == '/' || c->host_len == 0)
		return true;
	if (strncmp(c->host, "[::1]", 5) == 0)
		return c->host[5] == '\0' || c->host[5] == ':';
	name = strcspn(c->host, ":");
	c->host[name] = '\0';
	return strcasecmp(c->host, "localhost") == 0 ||
	       (inet_pton(AF_INET, c->host, ip) == 1 && ip[0] == 127);
}

static void perform(struct server *s, struct client *c)
{
	struct wgw_health_answer a = {0};

	c->path[c->path_len] = '\0';
	c->path[strcspn(c->path, "?")] = '\0';
	if (!is_own_host(s, c)) {
		reply_error(c, HTTP_MISDIRECTED,
			    "only localhost and loopback addresses as the host");
		return;
	}
	if (c->parser.method != HTTP_GET && c->parser.method != HTTP_HEAD) {
		reply_error(c, HTTP_BAD_METHOD, "only GET and HEAD");
		return;
	}
	wgw_health_make(&s->source, c->path, &a);
	reply(c, &a, c->parser.method == HTTP_HEAD);
	free(a.body);
}

static void client_read(struct server *s, struct client *c)
{
	static const http_parser_settings settings = {.on_url = on_url,
						      .on_header_field = on_header,
						      .on_header_value = on_value,
						      .on_message_complete = on_complete};
	char buf[2048];
	ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_close(c);
		return;
	}
	c->seen += (size_t)n;
	http_lib.http_parser_execute(&c->parser, &settings, buf, (size_t)n);
	if (c->complete)
		perform(s, c);
	else if (HTTP_PARSER_ERRNO(&c->parser) != HPE_OK || c->seen > REQUEST_MAX_BYTES)
		reply_error(c, HTTP_BAD_REQUEST, "not a request that is understood");
}

static void client_write(struct client *c)
{
	while (c->out_at < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			break;
		c->out_at += (size_t)n;
	}
	/* a close with bytes unread would be a reset, and take the answer with it */
	shutdown(c->fd, SHUT_WR);
	free(c->out);
	c->out = NULL;
	c->out_at = c->out_len = 0;
	c->complete = true;
}

/** client_drain() - after the answer: until the client closes */
static void client_drain(struct client *c)
{
	char buf[2048];
	ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

	c->seen += n > 0 ? (size_t)n : 0;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) ||
	    c->seen > 2 * REQUEST_MAX_BYTES)
		client_close(c);
}

/** may_ask() - whether the process at the other end of @fd is to be answered */
static bool may_ask(const struct server *s, int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	uint32_t uid;

	if (s->source.o->any_user || s->source.o->any_address)
		return true;
	if (getsockname(fd, (struct sockaddr *)&ss, &len))
		return false;
	return ss.ss_family == AF_UNIX ||
	       (wgw_loopback_peer_uid(fd, &uid) && (uid == geteuid() || uid == 0));
}

/** place() - a free one; else the oldest connection ends, so that those who only hold places, who
 * need not be allowed to ask, keep nobody out */
static struct client *place(struct server *s)
{
	struct client *oldest = s->clients;

	for (size_t i = 0; i < s->places; i++) {
		struct client *c = &s->clients[i];

		if (c->fd < 0)
			return c;
		if (c->deadline < oldest->deadline)
			oldest = c;
	}
	client_close(oldest);
	return oldest;
}

static void accept_one(struct server *s)
{
	int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c;

	if (fd < 0) {
		/* who waits stays in the backlog, and would wake us again at once */
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			(void)poll(NULL, 0, FULL_MS);
		return;
	}
	c = place(s);
	memset(c, 0, sizeof(*c));
	c->fd = fd;
	c->deadline = wgw_clock_ns() + CONNECTION_MS * WGW_MS_NS;
	http_lib.http_parser_init(&c->parser, HTTP_REQUEST);
	c->parser.data = c;
	if (!may_ask(s, fd)) {
		c->complete = true;
		reply_error(c, HTTP_FORBIDDEN, "this tunnel belongs to another user");
	}
}

/* ---- the loop ---- */

static void serve_client(struct server *s, struct client *c, short events)
{
	if (c->fd >= 0 && c->deadline <= wgw_clock_ns())
		client_close(c);
	if (c->fd < 0 || !events)
		return;
	if (!c->out && !c->complete)
		client_read(s, c);
	else if (!c->out)
		client_drain(c);
	if (c->fd >= 0 && c->out)
		client_write(c);
}

static int next_timeout(const struct server *s)
{
	uint64_t now = wgw_clock_ns(), first = UINT64_MAX;

	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		if (s->clients[i].fd >= 0 && s->clients[i].deadline < first)
			first = s->clients[i].deadline;
	}
	if (first == UINT64_MAX)
		return -1;
	return first <= now ? 0 : (int)((first - now) / WGW_MS_NS) + 1;
}

static void loop(struct server *s)
{
	struct pollfd p[CONNECTIONS_MAX + 2];

	for (;;) {
		p[0] = (struct pollfd){.fd = s->signals, .events = POLLIN};
		p[1] = (struct pollfd){.fd = s->listener, .events = POLLIN};
		for (size_t i = 0; i < s->places; i++)
			p[i + 2] = (struct pollfd){.fd = s->clients[i].fd,
						   .events = s->clients[i].out ? POLLOUT : POLLIN};
		if (poll(p, s->places + 2, next_timeout(s)) < 0 && errno != EINTR) {
			wgw_say(WGW_SAY_ERROR, "poll: %s", strerror(errno));
			return;
		}
		if (p[0].revents)
			return;
		for (size_t i = 0; i < s->places; i++)
			serve_client(s, &s->clients[i], p[i + 2].revents);
		if (p[1].revents)
			accept_one(s);
	}
}

/** places() - connections at a time: what RLIMIT_NOFILE leaves for them; poll(2) takes no more, either */
static size_t places(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
	    limit.rlim_cur >= CONNECTIONS_MAX + OTHER_DESCRIPTORS)
		return CONNECTIONS_MAX;
	return limit.rlim_cur > OTHER_DESCRIPTORS ? limit.rlim_cur - OTHER_DESCRIPTORS : 1;
}

int wgw_health_serve(const struct wgw_health_options *o, int fd)
{
	struct server *s = calloc(1, sizeof(*s));
	int status = WGW_EXIT_RUNTIME;

	if (s)
		s->source.history = wgw_history_new();
	if (!s || !s->source.history) {
		free(s);
		wgw_say(WGW_SAY_ERROR, "out of memory");
		return WGW_EXIT_RUNTIME;
	}
	s->source.o = o;
	s->listener = fd;
	s->places = places();
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		s->clients[i].fd = -1;
	s->signals = wgw_end_signals();
	if (s->signals < 0)
		goto out;
	wgw_rundir_open(&s->source.dir);
	loop(s);
	status = WGW_EXIT_OK;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		if (s->clients[i].fd >= 0)
			client_close(&s->clients[i]);
	}
	if (o->address[0] == '/')
		unlink(o->address);
	close(s->signals);
	if (s->source.dir.fd >= 0)
		close(s->source.dir.fd);
out: /* the unix socket stays: a keeper starts the next who listens on it */
	wgw_history_free(s->source.history);
	free(s);
	return status;
}
