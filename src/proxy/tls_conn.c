/* SPDX-License-Identifier: MIT */
/*
 * tls_conn.c - one connection of the TLS process: from its first byte to its end
 *
 * Theory of operation
 *
 *   FIRST	waits for a byte: does the client begin a TLS handshake?
 *   HANDSHAKE	the server's side of it
 *   HANDING	the other end of the pair, or the client's own socket, goes to the tunnel process
 *   OPEN	bytes are pumped
 *   LAST	the client has been sent everything; what it still sends is dropped, because a close
 *		with bytes unread would be a reset that overtakes what was sent
 *
 * Both ends of the pair follow the keeper rule (src/tunnel/end.c), so that each side sees a reset
 * of the other as one:
 *
 *   client			tunnel process
 *   close_notify		end of file
 *   end of file without one	ECONNRESET: what was cut short must not look complete (RFC 8446 6.1)
 *   RST, a bad record		ECONNRESET
 *   close_notify and FIN	end of file; the other direction stays open
 *   RST			ECONNRESET
 *
 * Nothing is read from one side while there are bytes that the other had no room for. What a client
 * sends may be a password: it is wiped when it has been passed on (by OpenSSL, too:
 * SSL_OP_CLEANSE_PLAINTEXT).
 */
#ifdef WGW_HAVE_TLS

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/proxy/handed.h"
#include "src/proxy/tls_process.h"
#include "src/session/say.h"
#include "src/tunnel/end.h"

enum {
	RECORD_MAX_BYTES = 16 * 1024, /* of plain text, RFC 8446 5.1 */
	PIECE_BYTES = 4 * RECORD_MAX_BYTES,
	HANDSHAKE_RECORD = 0x16,
	KEEP_IDLE_S = 60,
};

enum tls_state {
	TLS_FIRST,
	TLS_HANDSHAKE,
	TLS_HANDING,
	TLS_OPEN,
	TLS_LAST,
};

/** struct tls_rest - bytes that the side they go to had no room for */
struct tls_rest {
	uint8_t *bytes;
	size_t at, len;
};

/**
 * struct tls_conn - one client
 * @client:	Its socket
 * @end:	Our end of the pair; fd -1: none
 * @passed:	What is handed over: the pair's other end, or -1: @client.fd
 * @in_ready, @out_ready: @client may have bytes, room
 * @read_wants_out: The last SSL_read waits for room
 * @to_tunnel, @to_client: decrypted bytes; plain bytes that are to be encrypted
 * @client_fin:	It has sent close_notify; @fin_sent: so have we
 * @client_gone: Its connection has failed; what it sent before may still be there
 * @broken:	It is over with a reset both ways
 * @known:	It was handed over
 * @silent:	Its place among those whose clients are waited for, since @since_ns
 * @late:	The timer has run
 * @sent:	Plain bytes that the client's socket has taken
 */
struct tls_conn {
	struct wgw_link link, silent, waiting;
	uint64_t since_ns;
	struct tls_conn *next_due;
	struct tls_service *service;
	enum tls_state state;
	struct wgw_watch client;
	struct wgw_end end;
	int passed;
	struct wgw_timer timer;
	SSL *ssl;
	struct stack_addr peer;
	struct tls_rest to_tunnel, to_client;
	uint64_t sent;
	bool queued, dead, in_ready, out_ready, read_wants_out, client_fin, client_gone, fin_sent,
		broken, known, late;
};

static uint8_t piece[PIECE_BYTES];

static void queue(struct tls_conn *c)
{
	struct tls_process *p = c->service->process;

	if (c->queued)
		return;
	c->queued = true;
	c->next_due = NULL;
	*p->due_tail = c;
	p->due_tail = &c->next_due;
}

/* ---- the end ---- */

static void over(struct tls_conn *c, bool reset)
{
	static const struct linger now = {.l_onoff = 1};
	struct wgw_loop *loop = c->service->process->loop;

	if (c->dead)
		return;
	c->dead = true;
	wgw_timer_cancel(loop, &c->timer);
	wgw_list_remove(&c->silent);
	wgw_list_remove(&c->waiting);
	if (!c->known)
		c->service->unknown--;
	wgw_end_close(loop, &c->end, reset);
	if (c->passed >= 0)
		close(c->passed);
	wgw_loop_del(loop, &c->client);
	if (reset)
		setsockopt(c->client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(c->client.fd);
	queue(c);
}

static void rest_free(struct tls_rest *rest)
{
	if (rest->bytes)
		sodium_memzero(rest->bytes, rest->len);
	free(rest->bytes);
	*rest = (struct tls_rest){0};
}

static void conn_free(struct tls_conn *c)
{
	wgw_list_remove(&c->link);
	if (c->ssl)
		ossl.SSL_free(c->ssl);
	rest_free(&c->to_tunnel);
	rest_free(&c->to_client);
	free(c);
}

static void limit_time(struct tls_conn *c, uint32_t ms)
{
	wgw_timer_set(c->service->process->loop, &c->timer, wgw_clock_ns() + ms * WGW_MS_NS);
}

/* Everything was sent: the client has a moment to read it and go. */
static void last(struct tls_conn *c)
{
	wgw_end_close(c->service->process->loop, &c->end, false);
	shutdown(c->client.fd, SHUT_WR);
	c->state = TLS_LAST;
	limit_time(c, PROXY_TLS_LAST_MS);
}

static void drain(struct tls_conn *c)
{
	size_t budget = PROXY_TLS_PUMP_BYTES;

	while (budget > 0) {
		ssize_t n = recv(c->client.fd, piece, sizeof(piece), MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0 && errno != EINTR) {
			over(c, false);
			return;
		}
		budget -= n < 0 || (size_t)n > budget ? budget : (size_t)n;
	}
	queue(c);
}

static void say_dropped(const struct tls_conn *c, const char *why)
{
	char name[WGW_ADDR_TEXT_BYTES];

	wgw_say(WGW_SAY_INFO, "proxy: %s: %s", wgw_addr_port_text(&c->peer, name), why);
}

/* ---- OpenSSL's results ---- */

enum outcome { DONE, WAIT, FIN, FAILED };

/* Of the call that returned @r; notes what it waits for. */
static enum outcome outcome_of(struct tls_conn *c, int r)
{
	switch (r > 0 ? SSL_ERROR_NONE : ossl.SSL_get_error(c->ssl, r)) {
	case SSL_ERROR_NONE:
		return DONE;
	case SSL_ERROR_WANT_READ:
		c->in_ready = false;
		return WAIT;
	case SSL_ERROR_WANT_WRITE:
		c->out_ready = false;
		return WAIT;
	case SSL_ERROR_ZERO_RETURN:
		return FIN;
	default:
		return FAILED;
	}
}

/* ---- bytes ---- */

/* Keeps @n bytes of @piece from @at on. False: no memory. */
static bool keep(struct tls_rest *rest, size_t at, size_t n)
{
	rest->bytes = malloc(n);
	if (!rest->bytes)
		return false;
	memcpy(rest->bytes, piece + at, n);
	rest->at = 0;
	rest->len = n;
	return true;
}

static void took(struct tls_rest *rest, size_t n)
{
	rest->at += n;
	if (rest->at == rest->len)
		rest_free(rest);
}

/* Decrypts what the client has sent, up to PIECE_BYTES. Bytes in @piece. */
static size_t read_client(struct tls_conn *c)
{
	size_t len = 0;

	while (len + RECORD_MAX_BYTES <= PIECE_BYTES && c->in_ready &&
	       !(c->read_wants_out && !c->out_ready)) {
		int r;

		ossl.ERR_clear_error();
		r = ossl.SSL_read(c->ssl, piece + len, (int)(PIECE_BYTES - len));
		switch (outcome_of(c, r)) {
		case DONE:
			c->read_wants_out = false;
			len += (size_t)r;
			continue;
		case WAIT:
			c->read_wants_out = c->in_ready;
			return len;
		case FIN:
			c->client_fin = true;
			return len;
		case FAILED:
			c->broken = true;
			return len;
		}
	}
	return len;
}

/* Bytes of @at that were encrypted and sent. */
static size_t write_client(struct tls_conn *c, const uint8_t *at, size_t len)
{
	size_t sent = 0;

	while (sent < len && c->out_ready && !c->broken) {
		int r;

		ossl.ERR_clear_error();
		r = ossl.SSL_write(c->ssl, at + sent, (int)(len - sent));
		switch (outcome_of(c, r)) {
		case DONE:
			sent += (size_t)r;
			c->sent += (size_t)r;
			break;
		case WAIT:
			/* for the client to speak: only a renegotiation did, and there is none */
			c->broken |= c->out_ready;
			break;
		default:
			c->broken = true;
			break;
		}
	}
	return sent;
}

/* False: there is no room for more. */
static bool write_tunnel(struct tls_conn *c, const uint8_t *at, size_t len, size_t *sent)
{
	struct iovec iov = {(void *)(uintptr_t)at, len};
	ssize_t r = c->end.full ? 0 : wgw_end_write(&c->end, &iov, 1);

	c->broken |= r < 0; /* it reads no more, as a closed TCP socket */
	*sent = r > 0 ? (size_t)r : 0;
	return *sent == len;
}

static void pump_in(struct tls_conn *c)
{
	size_t budget = PROXY_TLS_PUMP_BYTES, n, sent;
	struct tls_rest *rest = &c->to_tunnel;

	while (!c->broken && !c->end.fin_sent) {
		if (rest->len > 0) {
			bool all = write_tunnel(c, rest->bytes + rest->at, rest->len - rest->at,
						&sent);

			took(rest, sent);
			if (!all)
				return;
		}
		if (c->client_fin) {
			wgw_end_finish(&c->end);
			return;
		}
		if (budget == 0) {
			queue(c);
			return;
		}
		n = read_client(c);
		if (n == 0 && !c->client_fin)
			return;
		budget -= n < budget ? n : budget;
		if (n > 0 && !write_tunnel(c, piece, n, &sent))
			c->broken |= !keep(rest, sent, n - sent);
		sodium_memzero(piece, n);
	}
}

/* Sends close_notify and FIN. */
static void finish_client(struct tls_conn *c)
{
	enum outcome o;

	if (!c->out_ready)
		return;
	ossl.ERR_clear_error();
	o = outcome_of(c, ossl.SSL_shutdown(c->ssl) >= 0 ? 1 : -1);
	/* OpenSSL calls a failed write FIN when close_notify was read before */
	c->broken |= o == FAILED || o == FIN;
	if (o != DONE)
		return;
	c->fin_sent = true;
	shutdown(c->client.fd, SHUT_WR);
}

/* Reads from the tunnel process into @piece. 0: nothing is there. */
static size_t read_tunnel(struct tls_conn *c)
{
	struct iovec iov = {piece, sizeof(piece)};
	size_t waiting = wgw_end_pending(&c->end);
	ssize_t r = 0;

	if (waiting > 0)
		r = wgw_end_read(&c->end, &iov, 1,
				 waiting < sizeof(piece) ? waiting : sizeof(piece));
	return r > 0 ? (size_t)r : 0;
}

static void pump_out(struct tls_conn *c)
{
	size_t budget = PROXY_TLS_PUMP_BYTES;
	struct tls_rest *rest = &c->to_client;

	while (!c->broken && !c->fin_sent) {
		uint32_t end = c->end.events; /* before what it is behind */
		size_t n, sent;

		if (rest->len > 0) {
			took(rest, write_client(c, rest->bytes + rest->at, rest->len - rest->at));
			if (rest->len > 0)
				return;
		}
		if (budget == 0) {
			queue(c);
			return;
		}
		n = read_tunnel(c);
		if (n == 0) {
			if (end & EPOLLERR)
				c->broken = true;
			else if (end & (EPOLLRDHUP | EPOLLHUP))
				finish_client(c);
			return;
		}
		budget -= n < budget ? n : budget;
		sent = write_client(c, piece, n);
		if (sent < n)
			c->broken |= !keep(rest, sent, n - sent);
	}
}

/* The tunnel process is done with it, and the client does not read the rest: it may keep us as long
 * as the kernel would keep a closed socket for it, from the last byte on that it had room for. */
static void limit_rest(struct tls_conn *c, uint64_t before)
{
	if (!(c->end.events & EPOLLHUP) || c->out_ready)
		return;
	if (!c->timer.slot || c->sent != before)
		limit_time(c, PROXY_TLS_UNREAD_MS);
}

static void pump(struct tls_conn *c)
{
	uint64_t before = c->sent;

	pump_out(c);
	pump_in(c);
	c->broken |= c->client_gone && c->end.fin_sent; /* nothing is read that would tell */
	if (c->broken)
		over(c, true);
	else if (c->fin_sent && c->end.fin_sent)
		over(c, false);
	else if (c->fin_sent && c->end.events & EPOLLHUP) /* nobody reads what the client sends */
		last(c);
	else
		limit_rest(c, before);
}

/* ---- handing over ---- */

static void handed(struct tls_conn *c)
{
	c->known = true;
	c->service->unknown--;
	wgw_list_remove(&c->waiting);
	wgw_timer_cancel(c->service->process->loop, &c->timer);
	if (c->passed < 0) { /* it is the tunnel process's alone */
		over(c, false);
		return;
	}
	close(c->passed);
	c->passed = -1;
	c->state = TLS_OPEN;
	queue(c);
}

/* The client has done its part. */
static void hand_over(struct tls_conn *c)
{
	wgw_list_remove(&c->silent);
	c->state = TLS_HANDING;
}

static void hand(struct tls_conn *c)
{
	struct tls_service *s = c->service;
	struct proxy_handed message = {.tls = c->passed >= 0, .peer = c->peer};
	int err = proxy_fd_send(s->hand.fd, &message, sizeof(message),
				message.tls ? c->passed : c->client.fd);

	if (!err) {
		handed(c);
	} else if (err == -EAGAIN || err == -ENOBUFS || err == -ENOMEM || err == -ETOOMANYREFS) {
		if (!c->waiting.next)
			wgw_list_append(&s->waiting, &c->waiting);
		if (err != -EAGAIN && !s->pause.slot)
			wgw_timer_set(s->process->loop, &s->pause,
				      wgw_clock_ns() + TLS_PAUSE_MS * WGW_MS_NS);
	} else {
		over(c, true);
	}
}

void tls_conn_hand_waiting(struct tls_service *s)
{
	for (struct wgw_link *l = s->waiting.next; l != &s->waiting; l = l->next)
		queue(wgw_container(l, struct tls_conn, waiting));
}

/* ---- handshake ---- */

static void on_end(struct wgw_watch *w, uint32_t events)
{
	struct tls_conn *c = wgw_container(w, struct tls_conn, end.watch);

	c->end.events |= events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	if (events & EPOLLOUT)
		c->end.full = false;
	queue(c);
}

/* The pair, with a keeper in both queues. */
static bool make_pair(struct tls_conn *c)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	c->passed = pair[1];
	wgw_end_init(&c->end, pair[0], true, on_end);
	c->end.stale = 1;
	return send(pair[0], "K", 1, MSG_NOSIGNAL) == 1 &&
	       send(pair[1], "K", 1, MSG_NOSIGNAL) == 1 &&
	       wgw_loop_add(c->service->process->loop, &c->end.watch,
			    EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) == 0;
}

static void handshake(struct tls_conn *c)
{
	ossl.ERR_clear_error();
	switch (outcome_of(c, ossl.SSL_do_handshake(c->ssl))) {
	case DONE:
		/* OpenSSL reads ahead: what came behind the handshake is in its buffer, and no
		 * event of the socket will tell */
		c->in_ready = true;
		if (make_pair(c))
			hand_over(c);
		else
			over(c, true);
		break;
	case WAIT:
		break;
	default:
		say_dropped(c, proxy_tls_reason());
		last(c); /* an alert says to the client what it was */
		break;
	}
}

/* A client that speaks HTTP without TLS can be told; others see the end. */
static void refuse_plain(struct tls_conn *c, uint8_t first)
{
	static const char answer[] =
		"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
		"Content-Length: 64\r\nConnection: close\r\n\r\n"
		"wgwrap: this port speaks TLS: it is an https:// proxy, not http\n";

	say_dropped(c, "does not speak TLS");
	if (first >= 'A' && first <= 'Z')
		send(c->client.fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	last(c);
}

static void look_at_first(struct tls_conn *c)
{
	uint8_t byte;
	ssize_t n = recv(c->client.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		over(c, false);
	} else if (byte == HANDSHAKE_RECORD) {
		c->ssl = ossl.SSL_new(c->service->ctx);
		if (!c->ssl || ossl.SSL_set_fd(c->ssl, c->client.fd) != 1) {
			over(c, true);
			return;
		}
		ossl.SSL_set_accept_state(c->ssl);
		c->state = TLS_HANDSHAKE;
	} else if (c->service->plain) {
		hand_over(c);
	} else {
		refuse_plain(c, byte);
	}
}

/* ---- events ---- */

static void run(struct tls_conn *c)
{
	if (!c->dead && c->late)
		over(c, c->state != TLS_LAST);
	if (!c->dead && c->state == TLS_FIRST)
		look_at_first(c);
	if (!c->dead && c->state == TLS_HANDSHAKE)
		handshake(c);
	if (!c->dead && c->state == TLS_HANDING)
		hand(c);
	if (!c->dead && c->state == TLS_OPEN)
		pump(c);
	if (!c->dead && c->state == TLS_LAST)
		drain(c);
}

bool tls_conn_run_due(struct tls_process *p)
{
	struct tls_conn *c = p->due;

	p->due = NULL;
	p->due_tail = &p->due;
	while (c) {
		struct tls_conn *next = c->next_due;

		c->queued = false;
		run(c);
		if (c->dead && !c->queued)
			conn_free(c);
		c = next;
	}
	return p->due != NULL;
}

/* Whether it is the client that is waited for, not this process. */
static bool is_silent(const struct tls_conn *c)
{
	uint8_t byte;

	if (c->state == TLS_LAST)
		return true;
	if (c->queued)
		return false;
	return !c->out_ready || recv(c->client.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
}

struct tls_conn *tls_conn_spare(struct tls_service *s)
{
	struct tls_conn *oldest;

	if (s->silent.next == &s->silent)
		return NULL;
	oldest = wgw_container(s->silent.next, struct tls_conn, silent);
	if (wgw_clock_ns() - oldest->since_ns < PROXY_TLS_PATIENCE_MS * WGW_MS_NS)
		return NULL;
	return is_silent(oldest) ? oldest : NULL;
}

void tls_conn_give_way(struct tls_conn *c)
{
	over(c, c->state != TLS_LAST);
}

void tls_conn_drop_unknown(struct tls_process *p)
{
	for (struct wgw_link *l = p->conns.next; l != &p->conns; l = l->next) {
		struct tls_conn *c = wgw_container(l, struct tls_conn, link);

		if (!c->known)
			over(c, true);
	}
}

static void on_client(struct wgw_watch *w, uint32_t events)
{
	struct tls_conn *c = wgw_container(w, struct tls_conn, client);

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->in_ready = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		c->out_ready = true;
	c->client_gone |= (events & EPOLLERR) != 0;
	queue(c);
}

static void on_timer(struct wgw_timer *timer)
{
	struct tls_conn *c = wgw_container(timer, struct tls_conn, timer);

	c->late = true;
	queue(c);
}

void tls_conn_new(struct tls_service *s, int fd, const struct stack_addr *peer)
{
	static const int one = 1, idle = KEEP_IDLE_S;
	struct tls_conn *c = calloc(1, sizeof(*c));

	if (c) {
		c->service = s;
		c->client = (struct wgw_watch){fd, on_client};
		wgw_end_init(&c->end, -1, true, on_end);
		c->passed = -1;
		c->timer.due = on_timer;
		c->in_ready = c->out_ready = true;
		c->peer = *peer;
		c->since_ns = wgw_clock_ns();
	}
	if (!c || wgw_loop_add(s->process->loop, &c->client,
			       EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) < 0) {
		close(fd);
		free(c);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	s->unknown++;
	wgw_list_append(&s->silent, &c->silent);
	wgw_list_append(&s->process->conns, &c->link);
	limit_time(c, PROXY_TLS_HANDSHAKE_MS);
	queue(c);
}

#endif
