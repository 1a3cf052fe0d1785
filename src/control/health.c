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
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/base/http.h"
#include "src/control/control.h"
#include "src/control/metrics.h"
#include "src/control/page.h"
#include "src/control/show.h"

enum {
	CONNECTIONS_MAX = 64,
	CONNECTION_MS = 10000,
	REQUEST_MAX_BYTES = 8192,
	PATH_BYTES = 64,
	HOST_BYTES = 64,
	BACKLOG = 64,
	HTTP_OK = 200,
	HTTP_BAD_REQUEST = 400,
	HTTP_FORBIDDEN = 403,
	HTTP_NOT_FOUND = 404,
	HTTP_BAD_METHOD = 405,
	HTTP_MISDIRECTED = 421,
	HTTP_UNAVAILABLE = 503,
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

struct server {
	const struct wgw_health_options *o;
	struct wgw_rundir dir;
	int listener, signals;
	struct wgw_history *history;
	struct client clients[CONNECTIONS_MAX];
};

/* ---- answers ---- */

/** struct answer - @body is malloc'ed */
struct answer {
	int status;
	const char *type;
	char *body;
	size_t len;
	char policy[WGW_PAGE_POLICY_BYTES];
};

static const char *status_text(int status)
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

/** tunnels() - those that are asked about. False: there are none */
static bool tunnels(struct server *s, struct wgw_tunnels *list)
{
	struct wgw_status *one;

	if (wgw_tunnels_list(&s->dir, list))
		return false;
	if (!s->o->what)
		return list->n > 0;
	if (wgw_tunnels_find(list, s->o->what, &one) != WGW_EXIT_OK)
		return false;
	for (size_t i = 0; i < list->n; i++) {
		if (list->at[i] != one)
			wgw_status_free(list->at[i]);
	}
	list->at[0] = one;
	list->n = 1;
	return true;
}

/** put_ready() - a line for each tunnel; whether all are ready */
static bool put_ready(FILE *out, const struct wgw_tunnels *list)
{
	bool ready = true;

	for (size_t i = 0; i < list->n; i++)
		ready = wgw_show_ready(out, list->at[i]) && ready;
	return ready;
}

/** put_page() - the status page, and the policy it needs */
static void put_page(FILE *out, struct server *s, const struct wgw_tunnels *list, struct answer *a)
{
	struct wgw_flows *flows = calloc(list->n + 1, sizeof(*flows));
	char nonce[WGW_PAGE_NONCE_BYTES];
	struct wgw_page page = {list, flows, s->o->version, nonce, time(NULL)};

	if (!flows) {
		a->status = HTTP_UNAVAILABLE;
		return;
	}
	for (size_t i = 0; i < list->n; i++)
		wgw_flows_of(&s->dir, list->at[i], &flows[i]);
	wgw_page_policy(nonce, a->policy);
	a->type = "text/html; charset=utf-8";
	wgw_page_html(out, &page);
	for (size_t i = 0; i < list->n; i++)
		wgw_flows_free(&flows[i]);
	free(flows);
}

static const char *const paths[] = {"/", "/livez", "/readyz", "/metrics", "/status.json"};

static bool is_served(const char *path)
{
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		if (strcmp(path, paths[i]) == 0)
			return true;
	}
	return false;
}

static void make_answer(struct server *s, const char *path, struct answer *a)
{
	FILE *out = open_memstream(&a->body, &a->len);
	struct wgw_tunnels list = {0};
	uint64_t now = wgw_clock_ns() / WGW_MS_NS;

	a->status = HTTP_OK;
	a->type = "text/plain; charset=utf-8";
	if (!out) {
		a->status = HTTP_UNAVAILABLE;
		return;
	}
	if (!is_served(path)) {
		a->status = HTTP_NOT_FOUND;
		fprintf(out, "there are /, /livez, /readyz, /metrics and /status.json\n");
	} else if (!tunnels(s, &list) && strcmp(path, "/") != 0) {
		a->status = HTTP_UNAVAILABLE;
		fprintf(out, "not running\n");
	} else if (strcmp(path, "/") == 0) {
		wgw_history_take(s->history, &list, now);
		put_page(out, s, &list, a);
	} else if (strcmp(path, "/status.json") == 0) {
		a->type = "application/json";
		wgw_history_take(s->history, &list, now);
		wgw_page_json(out, &list, s->history, now);
	} else if (strcmp(path, "/livez") == 0) {
		fprintf(out, "ok\n");
	} else if (strcmp(path, "/readyz") == 0) {
		a->status = put_ready(out, &list) ? HTTP_OK : HTTP_UNAVAILABLE;
	} else {
		a->type = "text/plain; version=0.0.4; charset=utf-8";
		wgw_metrics(out, &list, s->o->version);
	}
	wgw_tunnels_free(&list);
	if (fclose(out))
		a->status = HTTP_UNAVAILABLE;
}

/* ---- connections ---- */

static void client_close(struct client *c)
{
	close(c->fd);
	free(c->out);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
}

static void reply(struct client *c, const struct answer *a, bool head)
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

static void reply_error(struct client *c, int status, const char *text)
{
	char body[160];
	struct answer a = {.status = status, .type = "text/plain; charset=utf-8", .body = body};

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
	if (s->o->any_address || s->o->address[0] == '/' || c->host_len == 0)
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
	struct answer a = {0};

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
	make_answer(s, c->path, &a);
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

	if (s->o->any_user || s->o->any_address || getsockname(fd, (struct sockaddr *)&ss, &len) ||
	    ss.ss_family == AF_UNIX)
		return true;
	return wgw_loopback_peer_uid(fd, &uid) && (uid == geteuid() || uid == 0);
}

/** place() - a free one; else the oldest connection ends, so that those who only hold places, who
 * need not be allowed to ask, keep nobody out */
static struct client *place(struct server *s)
{
	struct client *oldest = s->clients;

	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
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

	if (fd < 0)
		return;
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
		for (size_t i = 0; i < CONNECTIONS_MAX; i++)
			p[i + 2] = (struct pollfd){.fd = s->clients[i].fd,
						   .events = s->clients[i].out ? POLLOUT : POLLIN};
		if (poll(p, CONNECTIONS_MAX + 2, next_timeout(s)) < 0 && errno != EINTR)
			return;
		if (p[0].revents)
			return;
		for (size_t i = 0; i < CONNECTIONS_MAX; i++)
			serve_client(s, &s->clients[i], p[i + 2].revents);
		if (p[1].revents)
			accept_one(s);
	}
}

int wgw_health_serve(const struct wgw_health_options *o, int fd)
{
	struct server *s = calloc(1, sizeof(*s));
	sigset_t set;

	if (s)
		s->history = wgw_history_new();
	if (!s || !s->history) {
		free(s);
		wgw_say(WGW_SAY_ERROR, "out of memory");
		return WGW_EXIT_RUNTIME;
	}
	s->o = o;
	s->listener = fd;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		s->clients[i].fd = -1;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC);
	wgw_rundir_open(&s->dir);
	loop(s);
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		if (s->clients[i].fd >= 0)
			client_close(&s->clients[i]);
	}
	if (o->address[0] == '/')
		unlink(o->address);
	close(s->signals);
	if (s->dir.fd >= 0)
		close(s->dir.fd);
	wgw_history_free(s->history);
	free(s);
	return WGW_EXIT_OK;
}

/* ---- the listener ---- */

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
