/* SPDX-License-Identifier: MIT */
/*
 * fuzz_sockets.c - the tunnel process, between hostile applications and hostile peers
 *
 * The input is a script: each act is a byte that says which one, another that says of whom, and the
 * bytes that it asks for. Applications open sockets of all kinds, ask for anything with any
 * descriptor, speak out of turn, do not read, close; the stack (sockets_fake.h) connects, refuses,
 * receives, resets; the resolver's questions get any answer. The clock is ours: it stands still
 * while something is done.
 *
 * In the end applications close, peers go and the session is over, and no socket, flow, request or
 * descriptor is left.
 *
 * With libFuzzer's main (make fuzz), or with that of replay.h.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>

#define NO_SUITE
#include "tests/unit/open_descriptors.h"
#include "tests/unit/sockets_datagrams.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	ACTS_MAX = 120,
	APPS = 8, /* sockets */
	TALKS = 8,
	TURNS = 4,
	PIECE_MAX = 256,
	LAST_MINUTES = 20,
};

enum act_of_script {
	ACT_CONNECT,
	ACT_STREAM,
	ACT_UDP,
	ACT_LISTENER,
	ACT_LISTEN,
	ACT_OP,
	ACT_OP_MORE,
	ACT_SEND,
	ACT_DATAGRAM,
	ACT_RECV,
	ACT_SHUT,
	ACT_CLOSE,
	ACT_TALK_CLOSE,
	ACT_ACCEPT,
	ACT_PEER_UP,
	ACT_PEER_SENDS,
	ACT_PEER_FIN,
	ACT_PEER_ENDS,
	ACT_PEER_TAKES,
	ACT_PEER_CONNECTS,
	ACT_DATAGRAM_COMES,
	ACT_DATAGRAM_ERROR,
	ACT_DNS,
	ACT_TIME,
	ACT_OVER,
	ACTS,
};

static struct {
	const uint8_t *at, *end;
} script;

static struct {
	int app[APPS], talk[TALKS], opened;
	uint64_t now_ns;
	uint8_t question[512];
	size_t question_len;
	struct flow_udp *asker;
	struct stack_addr asked;
} world;

/* Ours for the loop and c-ares; the fuzzer looks at the time of day */
__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *ts)
{
	if (id == CLOCK_REALTIME)
		return (int)syscall(SYS_clock_gettime, id, ts);
	ts->tv_sec = (time_t)(world.now_ns / WGW_SEC_NS);
	ts->tv_nsec = (long)(world.now_ns % WGW_SEC_NS);
	return 0;
}

/* The stack's own looks into what a flow of ours has not */
void flow_info(const struct flow *f, struct flow_info *out)
{
	*out = (struct flow_info){.state = f->up ? 1 : 2, .not_sent = (uint32_t)f->out_len};
}

static uint32_t next_bytes(unsigned int n)
{
	uint32_t value = 0;

	while (n-- > 0 && script.at < script.end)
		value = value << 8 | *script.at++;
	return value;
}

/* Fills @to with what the script has next, at most @max bytes; returns how many */
static size_t next_piece(void *to, size_t max)
{
	size_t len = next_bytes(1), left = (size_t)(script.end - script.at);

	len = len < max ? len : max;
	len = len < left ? len : left;
	memcpy(to, script.at, len);
	script.at += len;
	return len;
}

static struct stack_addr next_addr(void)
{
	static const struct stack_addr some[] = {
		{{0}, 0},
		{{[10] = 0xff, [11] = 0xff}, 0},
		{{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 2}, 80}, /* fake_address */
		{{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 9}, 80},
		{{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 53}, 53},
		{{[10] = 0xff, [11] = 0xff, [12] = 224, [15] = 1}, 99},
		{{[0] = 0xfd, [15] = 1}, 80},
	};
	uint32_t which = next_bytes(1), n = sizeof(some) / sizeof(*some);
	struct stack_addr a = some[which % n];

	/* not the host's own loopback: nothing leaves this process */
	if (which / n % 2)
		a.port = (uint16_t)(next_bytes(1) + 40000);
	return a;
}

/* Lets the tunnel process work off what there is */
static void turns(unsigned int n)
{
	struct wgw_timer timer = {.due = fake_stop};

	while (n-- > 0) {
		wgw_timer_set(fake_tunnel.loop, &timer, world.now_ns);
		wgw_loop_run(fake_tunnel.loop);
	}
}

static void pass(uint64_t ns)
{
	world.now_ns += ns;
	turns(TURNS);
}

static void put(int *place, int fd)
{
	if (*place >= 0)
		close(*place);
	*place = fd;
}

static int *an_app(uint32_t who)
{
	return &world.app[who % APPS];
}

static int *a_talk(uint32_t who)
{
	return &world.talk[who % TALKS];
}

static struct flow *a_flow(uint32_t who)
{
	unsigned int n = 0;

	for (size_t i = 0; i < FAKE_FLOWS; i++)
		n += fake_flows[i].used;
	for (size_t i = 0; i < FAKE_FLOWS && n > 0; i++) {
		if (fake_flows[i].used && who-- % n == 0)
			return &fake_flows[i];
	}
	return NULL;
}

static struct flow_udp *a_udp(uint32_t who)
{
	unsigned int n = 0;

	for (size_t i = 0; i < FAKE_FLOWS; i++)
		n += fake_udp[i].used;
	for (size_t i = 0; i < FAKE_FLOWS && n > 0; i++) {
		if (fake_udp[i].used && who-- % n == 0)
			return &fake_udp[i];
	}
	return NULL;
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0, inode;

	return fd >= 0 && wgw_fd_identity(fd, &cookie, &inode) == 0 ? cookie : 0;
}

/* With @passed, unless that is -1. Over streams no other socket is passed: one that listens would lie
 * in a queue which only its own end closes. */
static void try_send_fd(int fd, const void *bytes, size_t len, int passed)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)bytes, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (passed >= 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &passed, sizeof(int));
	}
	(void)!sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* ---- applications ---- */

static int reach(int type, const struct sockaddr_un *to)
{
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	(void)!connect(fd, (const struct sockaddr *)to, sizeof(sa_family_t) + 6);
	return fd;
}

/* A TCP socket that connects as the shim's do, but for what the script says */
static void act_connect(uint32_t who)
{
	struct wgw_connect record = {.magic = WGW_WIRE_MAGIC, .version = WGW_WIRE_VERSION};
	uint32_t how = next_bytes(1);
	struct stack_addr to = next_addr();
	int *place = an_app(who), fd;

	/* a socket that it has bound already, perhaps */
	fd = how & 1 && *place >= 0 ? *place : app_stream();
	if (fd != *place)
		put(place, fd);
	(void)!connect(fd, (struct sockaddr *)&fake_stream, sizeof(sa_family_t) + 6);
	try_send_fd(fd, "F", 1, how & 2 ? world.opened : fd);
	memcpy(record.token, fake_token, WGW_TOKEN_BYTES);
	record.cookie = how & 4 ? cookie_of(*an_app(who + 1)) : cookie_of(fd);
	record.flags = next_bytes(1);
	record.linger_s = how & 8 ? 1 : 0;
	memcpy(record.to.ip, to.ip, 16);
	record.to.port = to.port;
	(void)!send(fd, &record, how & 16 ? 24 : sizeof(record), MSG_NOSIGNAL);
	if (how & 32)
		app_tag(fd, WGW_TAG_FILLED);
}

/* Anything to the rendezvous */
static void act_stream(uint32_t who)
{
	uint8_t piece[PIECE_MAX];
	bool stream = next_bytes(1) & 1;
	size_t len = next_piece(piece, sizeof(piece));
	int fd = stream ? reach(SOCK_STREAM, &fake_stream) : reach(SOCK_SEQPACKET, &fake_sequenced);

	try_send_fd(fd, piece, len, who & 1 ? world.opened : -1);
	put(an_app(who), fd);
}

static void begin_op(struct wgw_op *op, int fd)
{
	op->magic = WGW_WIRE_MAGIC;
	op->version = WGW_WIRE_VERSION;
	op->cookie = cookie_of(fd);
	op->inode = 1;
	memcpy(op->token, fake_token, WGW_TOKEN_BYTES);
}

static void act_udp(uint32_t who)
{
	int fd = reach(SOCK_SEQPACKET, &fake_sequenced);
	uint32_t flags = next_bytes(1);
	struct wgw_op op = {.code = WGW_OP_UDP_OPEN, .kind = WGW_KIND_UDP};

	begin_op(&op, flags & 0x80 ? *an_app(who + 1) : fd);
	op.u.open.flags = flags;
	if (flags & 0x40)
		op.kind = (uint8_t)next_bytes(1);
	(void)!send(fd, &op, sizeof(op), MSG_NOSIGNAL | MSG_DONTWAIT);
	put(an_app(who), fd);
}

/* A socket that is bound to a path and listens; the O_PATH of that may come with any request */
static int make_listener(uint32_t who)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/wgwrap-fuzz-XXXXXX";
	int fd = app_stream(), backlog = (int)next_bytes(1) % 8;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/l", dir);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(fd, backlog), 0);
	put(&world.opened, open(sun.sun_path, O_PATH | O_CLOEXEC));
	unlink(sun.sun_path);
	rmdir(dir);
	put(an_app(who), fd);
	return fd;
}

static void act_listen(uint32_t who)
{
	struct wgw_op op = {.code = WGW_OP_LISTEN};
	struct stack_addr local;

	begin_op(&op, make_listener(who));
	local = next_addr();
	memcpy(op.u.listen.addr.ip, local.ip, 16);
	op.u.listen.addr.port = local.port;
	op.u.listen.flags = next_bytes(1);
	op.u.listen.backlog = next_bytes(1);
	put(a_talk(who), reach(SOCK_SEQPACKET, &fake_sequenced));
	try_send_fd(*a_talk(who), &op, sizeof(op), who & 0x20 ? -1 : world.opened);
}

/* Neither is anybody's of this machine */
static void keep_from_loopback(struct wgw_wire_addr *w)
{
	struct stack_addr a = {.port = w->port};

	memcpy(a.ip, w->ip, sizeof(a.ip));
	if (stack_addr_is_loopback(&a))
		w->ip[0] = 0xfd;
}

/* One that means something, of a value that may */
static void fill_option(struct wgw_op *op)
{
	static const struct {
		int level, name;
	} some[] = {
		{SOL_SOCKET, SO_ERROR},	     {SOL_SOCKET, SO_LINGER},
		{SOL_SOCKET, SO_KEEPALIVE},  {SOL_SOCKET, SO_REUSEADDR},
		{SOL_SOCKET, SO_REUSEPORT},  {SOL_SOCKET, SO_BROADCAST},
		{IPPROTO_TCP, TCP_INFO},     {IPPROTO_TCP, WGW_OPTION_UNACKED},
		{IPPROTO_TCP, TCP_KEEPIDLE}, {IPPROTO_TCP, TCP_USER_TIMEOUT},
		{IPPROTO_TCP, TCP_SYNCNT},   {IPPROTO_TCP, TCP_CONGESTION},
		{IPPROTO_IP, IP_RECVERR},    {IPPROTO_IP, IP_TTL},
		{IPPROTO_IP, IP_TOS},	     {IPPROTO_IP, IP_MTU_DISCOVER},
		{IPPROTO_UDP, UDP_SEGMENT},  {IPPROTO_IPV6, IPV6_RECVERR},
		{IPPROTO_IPV6, IPV6_V6ONLY}, {IPPROTO_IPV6, IPV6_UNICAST_HOPS},
	};
	uint32_t which = next_bytes(1) % (sizeof(some) / sizeof(*some));

	op->u.option.level = some[which].level;
	op->u.option.name = some[which].name;
	op->u.option.len = (uint32_t)next_piece(op->u.option.value, WGW_OPTION_MAX_BYTES);
}

static void fill_op(struct wgw_op *op, uint32_t who)
{
	uint32_t how = next_bytes(1);
	struct stack_addr a;

	begin_op(op, *an_app(who));
	op->code = (uint16_t)(next_bytes(1) % (WGW_OP_TOO_LARGE + 2));
	op->kind = (uint8_t)(how & 3);
	op->inode = how & 4 ? 1 : 0;
	if (how & 8) {
		a = next_addr();
		memcpy(op->u.bind.addr.ip, a.ip, 16);
		op->u.bind.addr.port = a.port;
		op->u.bind.flags = next_bytes(1);
	} else if (how & 16) {
		fill_option(op);
	} else {
		next_piece(&op->u, sizeof(op->u));
	}
	if (!(how & 16)) {
		keep_from_loopback(&op->u.name.local);
		keep_from_loopback(&op->u.name.remote);
	}
}

static int next_passed(uint32_t who)
{
	uint32_t which = next_bytes(1) % 4;

	return which == 1   ? world.opened
	       : which == 2 ? *an_app(who)
	       : which == 3 ? *a_talk(who)
			    : -1;
}

static void act_op(uint32_t who, bool more)
{
	uint8_t bytes[sizeof(struct wgw_op) + sizeof(struct wgw_dgram) + PIECE_MAX] = {0};
	struct wgw_op *op = (struct wgw_op *)bytes;
	size_t len = sizeof(*op);
	int passed = next_passed(who);

	fill_op(op, who);
	if (more) { /* WGW_OP_REQUEUE has a datagram behind it */
		struct wgw_dgram *h = (struct wgw_dgram *)(bytes + len);

		op->code = op->code % 4 == 0   ? WGW_OP_GO
			   : op->code % 4 == 1 ? op->code
					       : WGW_OP_REQUEUE;
		begin_header(h);
		len += next_piece(bytes + len + WGW_PREAMBLE_BYTES, PIECE_MAX);
	} else {
		put(a_talk(who), reach(SOCK_SEQPACKET, &fake_sequenced));
	}
	if (*a_talk(who) >= 0)
		try_send_fd(*a_talk(who), bytes, len, passed);
}

static void act_send(uint32_t who)
{
	uint8_t piece[PIECE_MAX];
	size_t len = next_piece(piece, sizeof(piece));

	if (*an_app(who) >= 0)
		try_send_fd(*an_app(who), piece, len, who & 0x80 ? world.opened : -1);
}

static void act_datagram(uint32_t who)
{
	struct {
		struct wgw_dgram h;
		uint8_t piece[8 * PIECE_MAX];
	} d = {0};
	uint32_t how = next_bytes(1);
	struct stack_addr to = next_addr();
	size_t len = how & 1 ? 1400 : next_bytes(1);

	begin_header(&d.h);
	d.h.port = to.port;
	memcpy(d.h.ip, to.ip, 16);
	d.h.info = how & 2 ? next_bytes(1 + (how >> 2 & 1)) : 0;
	d.h.ttl = how & 8 ? (uint8_t)next_bytes(1) : 0;
	if (how & 16) {
		struct stack_addr from = next_addr();

		memcpy(d.h.local_ip, from.ip, 16);
	}
	if (*an_app(who) >= 0)
		(void)!send(*an_app(who), &d, sizeof(d.h) + len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void act_recv(uint32_t who)
{
	static uint8_t bytes[65536];

	if (*an_app(who) >= 0)
		(void)!recv(*an_app(who), bytes, sizeof(bytes), MSG_DONTWAIT);
	if (*a_talk(who) >= 0)
		(void)!recv(*a_talk(who), bytes, sizeof(bytes), MSG_DONTWAIT);
}

static void act_accept(uint32_t who)
{
	int fd = *an_app(who) < 0 ? -1
				  : accept4(*an_app(who), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (next_bytes(1) & 1) {
		try_send_fd(fd, "F", 1, fd);
		(void)!send(fd, "K", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	put(an_app(who + 1), fd);
}

/* ---- peers ---- */

static void act_peer_sends(struct flow *f)
{
	uint8_t piece[PIECE_MAX];
	size_t len = next_piece(piece, sizeof(piece));

	if (f->up && !f->in_fin && sizeof(f->in) - f->in_len >= len && len)
		fake_receive(f, piece, len);
}

static void act_peer(uint32_t what, struct flow *f)
{
	switch (what) {
	case ACT_PEER_UP:
		if (!f->up) {
			f->up = true;
			f->ops->connected(f, f->arg);
		}
		break;
	case ACT_PEER_SENDS:
		act_peer_sends(f);
		break;
	case ACT_PEER_FIN:
		if (f->up && !f->in_fin)
			fake_fin(f);
		break;
	case ACT_PEER_ENDS:
		fake_end(f, next_bytes(1) & 1 ? ECONNRESET : f->up ? 0 : ECONNREFUSED);
		break;
	case ACT_PEER_TAKES:
		f->out_len = 0;
		f->unacked = 0;
		if (f->up && f->wants_room) {
			f->wants_room = false;
			f->ops->writable(f, f->arg);
		}
		break;
	}
}

static void act_peer_connects(void)
{
	struct flow *f = fake_listener.used ? fake_flow_new(&app_peer) : NULL;

	if (!f)
		return;
	f->up = true;
	f->local.port = fake_listener.local.port;
	fake_listener.ops->accept(&fake_listener, f, fake_listener.arg);
	ck_assert(!f->used || f->ops);
}

static void act_datagram_error(struct flow_udp *u)
{
	uint8_t piece[PIECE_MAX];
	struct stack_addr to = next_addr();
	struct stack_error error = {.err = ECONNREFUSED, .fatal = true, .from = to};
	uint32_t how = next_bytes(1);

	if (how & 1) {
		error.err = EMSGSIZE;
		error.info = next_bytes(2);
	}
	error.fatal = how & 2;
	error.type = (uint8_t)(how >> 2);
	error.quoted = piece;
	error.len = next_piece(piece, sizeof(piece));
	u->ops->error(u, u->arg, &to, &error);
}

static void act_datagram_comes(struct flow_udp *u)
{
	uint8_t piece[PIECE_MAX];
	struct stack_addr from = next_addr();
	size_t len = next_piece(piece, sizeof(piece));

	fake_udp_receive(u, &from, piece, len);
}

/* ---- names ---- */

static void note_question(struct flow_udp *u, const struct stack_addr *to, const uint8_t *bytes,
			  size_t len)
{
	if (to->port != 53 || len > sizeof(world.question))
		return;
	memcpy(world.question, bytes, len);
	world.question_len = len;
	world.asker = u;
	world.asked = *to;
}

/* How many bytes of @q, @len long, are its header and the question; 0: it has none */
static size_t question_end(const uint8_t *q, size_t len)
{
	size_t at = 12;

	while (at < len && q[at])
		at += 1U + q[at];
	return at + 5 <= len ? at + 5 : 0;
}

/* An answer to the latest question: its id and the question; then anything */
static void act_dns(void)
{
	uint8_t answer[sizeof(world.question) + PIECE_MAX];
	size_t len = question_end(world.question, world.question_len);
	uint32_t how = next_bytes(1);

	if (!world.asker || !world.asker->used || !len)
		return;
	memcpy(answer, world.question, len);
	answer[2] = (uint8_t)(0x81 | (how & 8 ? 2 : 0));
	answer[3] = (uint8_t)(0x80 | (how & 7));
	memset(answer + 6, 0, 6);
	answer[7] = (uint8_t)(how >> 4);
	len += next_piece(answer + len, PIECE_MAX);
	fake_udp_receive(world.asker, &world.asked, answer, len);
}

/* ---- the whole ---- */

static void act_of_peers(uint32_t what, uint32_t who)
{
	struct flow *f = a_flow(who);
	struct flow_udp *u = a_udp(who);

	if (what <= ACT_PEER_TAKES && f)
		act_peer(what, f);
	else if (what == ACT_PEER_CONNECTS)
		act_peer_connects();
	else if (what == ACT_DATAGRAM_COMES && u)
		act_datagram_comes(u);
	else if (what == ACT_DATAGRAM_ERROR && u)
		act_datagram_error(u);
	else if (what == ACT_DNS)
		act_dns();
	else if (what == ACT_OVER && who == 7)
		wgw_sockets_session_over(&fake_tunnel, &fake_session);
	else if (what == ACT_TIME)
		pass((uint64_t)(who & 15) * (who & 128 ? WGW_SEC_NS : 10 * WGW_MS_NS));
}

static void act(uint32_t what, uint32_t who)
{
	switch (what) {
	case ACT_CONNECT:
		act_connect(who);
		break;
	case ACT_STREAM:
		act_stream(who);
		break;
	case ACT_UDP:
		act_udp(who);
		break;
	case ACT_LISTENER:
		make_listener(who);
		break;
	case ACT_LISTEN:
		act_listen(who);
		break;
	case ACT_OP:
	case ACT_OP_MORE:
		act_op(who, what == ACT_OP_MORE);
		break;
	case ACT_SEND:
		act_send(who);
		break;
	case ACT_DATAGRAM:
		act_datagram(who);
		break;
	case ACT_RECV:
		act_recv(who);
		break;
	case ACT_SHUT:
		if (*an_app(who) >= 0)
			shutdown(*an_app(who), (int)next_bytes(1) % 3);
		break;
	case ACT_CLOSE:
		put(an_app(who), -1);
		break;
	case ACT_TALK_CLOSE:
		put(a_talk(who), -1);
		break;
	case ACT_ACCEPT:
		act_accept(who);
		break;
	default:
		act_of_peers(what, who);
		break;
	}
}

/* Everybody goes. What looks for those that are gone finds nobody */
static void end(void)
{
	for (int i = 0; i < APPS; i++)
		put(&world.app[i], -1);
	for (int i = 0; i < TALKS; i++)
		put(&world.talk[i], -1);
	put(&world.opened, -1);
	fake_session.nobody_holds = true;
	for (int s = 0; s < LAST_MINUTES * 60; s = s < 60 ? s + 1 : s + 30) {
		pass(s < 60 ? WGW_SEC_NS : 30 * WGW_SEC_NS);
		for (size_t i = 0; i < FAKE_FLOWS; i++) {
			if (fake_flows[i].used)
				fake_end(&fake_flows[i], ETIMEDOUT);
		}
	}
}

static void begin_once(void)
{
	fake_start();
	fake_session.n_dns = 1;
	fake_session.dns[0] =
		(struct stack_addr){{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 53}, 53};
	fake_udp_answer = note_question;
	for (int i = 0; i < APPS; i++)
		world.app[i] = -1;
	for (int i = 0; i < TALKS; i++)
		world.talk[i] = -1;
	world.opened = -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int before;

	if (!fake_tunnel.loop) {
		world.now_ns = 1000 * WGW_SEC_NS;
		begin_once();
		end();
	}
	before = open_descriptors();
	fake_session.nobody_holds = false;
	fake_session.route = size && data[0] & 1 ? WGW_ROUTE_REFUSED : WGW_ROUTE_TUNNEL;
	script.at = data + (size > 0);
	script.end = data + size;
	for (int i = 0; i < ACTS_MAX && script.at < script.end; i++) {
		uint32_t what = next_bytes(1) % ACTS, who = next_bytes(1);

		act(what, who);
		turns(who & 0x40 ? 1 : TURNS);
		/* received at once, or not even looked at */
		if (fake_adopted >= 0)
			put(&fake_adopted, -1);
	}
	end();
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
	wgw_sockets_session_over(&fake_tunnel, &fake_session);
	turns(TURNS);
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
	ck_assert_uint_eq(fake_session.refs, 0);
	ck_assert_uint_eq(fake_session.unsent, 0);
	for (size_t i = 0; i < FAKE_FLOWS; i++)
		ck_assert(!fake_flows[i].used);
	ck_assert(!fake_listener.used);
	ck_assert_uint_eq(open_descriptors(), before);
	return 0;
}

#include "tests/fuzz/replay.h"
