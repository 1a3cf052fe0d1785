/* SPDX-License-Identifier: MIT */
/*
 * fuzz_channel.c - the tunnel process's channels: sessions, keepers and operators that say anything
 *
 * The input is a script: each act is a byte that says which one, another that says of whom, and the
 * bytes that it asks for. Channels open sessions, send any message of any length with descriptors of
 * the wrong kind, too many or none, answer questions rightly, wrongly, twice or never, do not read,
 * close; others speak the cross-platform UAPI. The tunnel process asks, has news, and time passes:
 * the clock is ours.
 *
 * What a channel is sent is understood by who reads it, and a state is as src/control/status.c reads
 * it, without a private key. In the end everybody closes; then each question was answered once, and
 * no session and no descriptor is left (nor memory: the sanitizer's part).
 *
 * With libFuzzer's main (make fuzz), or with that of replay.h.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>

#define NO_SUITE
#include "tests/unit/test_tunnel_fakes.h"

#include "src/control/status.h"
#include "src/tunnel/peers.h"
#include "tests/fuzz/channel_words.h"
#include "tests/unit/open_descriptors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	ACTS_MAX = 120,
	CHANNELS = 6,
	TALKS = 4, /* of the UAPI */
	TURNS = 4,
	PIECE_MAX = 255,
	TEXT_MAX = 8192,
	FDS_MAX = 10, /* of one message */
	LINES_MAX = 300,
	HELD_MAX = 8,
	LAST_MINUTES = 3,
};

enum act_of_script {
	ACT_CONNECT,
	ACT_OPEN,
	ACT_ANY,
	ACT_CONTROL,
	ACT_CONTROL_OPEN,
	ACT_ANSWER,
	ACT_KEEP,
	ACT_FLUSH,
	ACT_RELISTEN,
	ACT_RECV,
	ACT_CLOSE,
	ACT_SHUT,
	ACT_UAPI,
	ACT_UAPI_SEND,
	ACT_UAPI_OPERATION,
	ACT_UAPI_RECV,
	ACT_UAPI_CLOSE,
	ACT_ASK,
	ACT_SAY,
	ACT_LISTENER,
	ACT_HOLD,
	ACT_LET_GO,
	ACT_PEER,
	ACT_TIME,
	ACTS,
};

static struct {
	const uint8_t *at, *end;
} script;

/**
 * struct channel - one that the script has
 * @fd:		Its end, -1: none
 * @question:	The last one that it was asked; code 0: none
 * @asked:	The verb it asked for; what it passed, a regular file, or -1
 */
struct channel {
	int fd;
	struct wgw_channel_msg question;
	uint32_t asked;
	int file;
};

static struct {
	struct channel channel[CHANNELS];
	int talk[TALKS];
	struct wgw_session *held[HELD_MAX]; /* as what a program has written holds it */
	socklen_t uapi_len;
	struct sockaddr_un uapi;
	uint64_t now_ns;
	unsigned int asked, answered;
} world;

/* Ours for the loop and the engine; the fuzzer looks at the time of day */
__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *ts)
{
	if (id == CLOCK_REALTIME)
		return (int)syscall(SYS_clock_gettime, id, ts);
	ts->tv_sec = (time_t)(world.now_ns / WGW_SEC_NS);
	ts->tv_nsec = (long)(world.now_ns % WGW_SEC_NS);
	return 0;
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

static struct channel *a_channel(uint32_t who)
{
	return &world.channel[who % CHANNELS];
}

/* Lets the tunnel process work off what there is */
static void turns(unsigned int n)
{
	struct wgw_timer timer = {.due = stop_on_time};

	while (n-- > 0) {
		wgw_timer_set(core.t.loop, &timer, world.now_ns);
		wgw_loop_run(core.t.loop);
	}
	wgw_timer_cancel(core.t.loop, &timer);
}

static void pass(uint64_t ns)
{
	world.now_ns += ns;
	turns(TURNS);
}

/* ---- texts ---- */

/* Adds lines of a word of @keys and one of @values, or a piece of the script, behind the @at bytes of
 * @text. Returns how many there are then. */
static size_t next_lines(char text[TEXT_MAX], size_t at, const struct words *keys,
			 const struct words *values)
{
	for (uint32_t n = next_bytes(1) % 24; n > 0 && at < TEXT_MAX - 512; n--) {
		uint32_t key = next_bytes(1), value = next_bytes(1);

		at += (size_t)sprintf(text + at, "%s", word_of(keys, key));
		if (value < 0xe0)
			at += (size_t)sprintf(text + at, "%s", word_of(values, value));
		else
			at += next_piece(text + at, PIECE_MAX);
		text[at++] = '\n';
	}
	return at;
}

static int file_of(const void *text, size_t len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
	return fd;
}

static int lines_file(const struct words *keys, const struct words *values)
{
	char text[TEXT_MAX];
	size_t len = next_lines(text, 0, keys, values);

	return file_of(text, len);
}

/* ---- descriptors that are passed ---- */

static int a_pipe(bool writes)
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	close(ends[!writes]);
	return ends[writes];
}

static int odd_file(uint32_t kind)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_ge(fd, 0);
	if (kind == 0)
		ck_assert_int_eq(ftruncate(fd, (8 << 20) + (off_t)(next_bytes(1) & 1)), 0);
	else if (kind == 1)
		ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW), 0);
	else
		ck_assert_int_ge(lseek(fd, 3, SEEK_SET), 0);
	return fd;
}

/* A new descriptor of any kind */
static int next_fd(void)
{
	switch (next_bytes(1) % 16) {
	case 0:
		return a_pipe(false);
	case 1:
		return a_pipe(true);
	case 2:
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	case 3:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 4:
		return open("/", O_PATH | O_CLOEXEC);
	case 5:
		return eventfd(0, EFD_CLOEXEC);
	case 6:
		return epoll_create1(EPOLL_CLOEXEC);
	case 7:
		return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	case 8:
	case 9:
	case 10:
		return odd_file(next_bytes(1) % 3);
	case 11:
		return lines_file(&policy_keys, &policy_values);
	case 12:
		return lines_file(&settings_keys, &settings_values);
	case 13:
		return open("/dev/zero", O_RDONLY | O_CLOEXEC);
	default:
		return lines_file(&uapi_keys, &uapi_values);
	}
}

/* @len bytes of @msg with @n descriptors, which are closed */
static void send_with(int to, const void *msg, size_t len, const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {(void *)(uintptr_t)msg, len};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c = &control.align;

	if (n > 0) {
		h.msg_control = control.bytes;
		h.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	(void)!sendmsg(to, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

/* ---- what channels are sent ---- */

/* That the session's end understands it: src/session/serve.c, src/control/request.c */
static void check_message(const struct wgw_channel_msg *msg, ssize_t len)
{
	ck_assert_int_eq(len, sizeof(*msg));
	ck_assert_uint_eq(msg->magic, WGW_WIRE_MAGIC);
	ck_assert_uint_eq(msg->version, WGW_WIRE_VERSION);
	ck_assert_int_ge(msg->err, 0);
	switch (msg->code) {
	case WGW_CH_OPENED:
		ck_assert_ptr_nonnull(memchr(msg->u.opened.text, 0, WGW_CH_TEXT_MAX_BYTES));
		break;
	case WGW_CH_SAY:
		ck_assert_ptr_nonnull(memchr(msg->u.say.text, 0, WGW_CH_TEXT_MAX_BYTES));
		break;
	case WGW_CH_CONTROLLED:
		ck_assert_ptr_nonnull(memchr(msg->u.control.text, 0, WGW_CH_TEXT_MAX_BYTES));
		break;
	case WGW_CH_SCAN:
		ck_assert_uint_le(msg->u.scan.n, WGW_CH_SCAN_MAX);
		break;
	default:
		ck_assert(msg->code == WGW_CH_STATE || msg->code == WGW_CH_FLUSHED ||
			  msg->code == WGW_CH_HOST_RESOLVE || msg->code == WGW_CH_LISTENER ||
			  msg->code == WGW_CH_LISTENER_GONE || msg->code == WGW_CH_LEAVE ||
			  msg->code == WGW_CH_REREAD || msg->code == WGW_CH_WHOSE ||
			  msg->code == WGW_CH_KEYED);
	}
}

static void check_state(char *text)
{
	struct wgw_status *status;
	unsigned int line = 0;

	ck_assert_ptr_null(strstr(text, "private_key="));
	ck_assert_ptr_null(strstr(text, "\npreshared_key=" KEY_A));
	status = wgw_status_parse(text, &line);
	ck_assert_msg(status, "line %u of the state", line);
	wgw_status_free(status);
}

/* The state that @c asked for has come into its file */
static void check_file(struct channel *c)
{
	static char text[1 << 20];
	ssize_t n = c->file >= 0 ? pread(c->file, text, sizeof(text) - 1, 0) : 0;

	if (n <= 0)
		return;
	text[n] = '\0';
	check_state(text);
}

static void take_message(struct channel *c, const struct wgw_channel_msg *msg)
{
	if (msg->code == WGW_CH_SCAN || msg->code == WGW_CH_HOST_RESOLVE ||
	    msg->code == WGW_CH_WHOSE)
		c->question = *msg;
	if (msg->code != WGW_CH_CONTROLLED)
		return;
	if (msg->err == 0 && c->asked == WGW_CONTROL_GET && msg->u.control.verb == WGW_CONTROL_GET)
		check_file(c);
}

static void drain(struct channel *c, unsigned int n)
{
	struct wgw_channel_msg msg;

	while (c->fd >= 0 && n-- > 0) {
		ssize_t len = recv(c->fd, &msg, sizeof(msg), MSG_DONTWAIT);

		if (len <= 0)
			return;
		check_message(&msg, len);
		take_message(c, &msg);
	}
}

static void end_channel(struct channel *c)
{
	if (c->fd >= 0)
		close(c->fd);
	if (c->file >= 0)
		close(c->file);
	*c = (struct channel){.fd = -1, .file = -1};
}

/* ---- sessions and operators ---- */

static void act_connect(struct channel *c)
{
	end_channel(c);
	c->fd = connect_channel();
}

static void act_open(struct channel *c)
{
	uint32_t how = next_bytes(1);
	struct wgw_channel_msg msg = message(WGW_CH_OPEN);
	int fds[2];

	if (how & 1)
		act_connect(c);
	msg.u.open.token[0] = (uint8_t)(next_bytes(1) % 4); /* 0: none */
	msg.u.open.flags = how >> 1 & 3;
	fds[0] = how & 8 ? next_fd() : file_of(settings, strlen(settings));
	fds[1] = how & 16   ? next_fd()
		 : how & 32 ? lines_file(&policy_keys, &policy_values)
			    : file_of(policy, strlen(policy));
	if (c->fd >= 0)
		send_with(c->fd, &msg, sizeof(msg), fds, 2);
	else
		close(fds[0]), close(fds[1]);
}

static void act_any(struct channel *c)
{
	uint32_t how = next_bytes(1);
	struct {
		struct wgw_channel_msg msg;
		uint8_t more[16];
	} m = {.msg = message((uint16_t)next_bytes(1))};
	size_t len = sizeof(m.msg), n = next_bytes(1) % (FDS_MAX + 1);
	int fds[FDS_MAX];

	if (how & 1)
		m.msg.version = (uint16_t)(WGW_WIRE_VERSION + 1);
	if (how & 2)
		m.msg.magic ^= next_bytes(1);
	if (how & 4)
		len = next_bytes(2) % (sizeof(m) + 1);
	m.msg.id = how & 8 ? c->question.id : next_bytes(1);
	m.msg.err = (int32_t)next_bytes(how & 16 ? 4 : 1);
	next_piece(&m.msg.u, sizeof(m.msg.u));
	for (size_t i = 0; i < n; i++)
		fds[i] = next_fd();
	if (c->fd >= 0) {
		send_with(c->fd, &m, len, fds, n);
		return;
	}
	while (n > 0)
		close(fds[--n]);
}

static void act_control(struct channel *c)
{
	uint32_t verb = next_bytes(1) % (WGW_CONTROL_DOWN + 2), how = next_bytes(1);
	struct wgw_channel_msg msg = message(WGW_CH_CONTROL);
	bool looks = verb == WGW_CONTROL_GET || verb == WGW_CONTROL_FLOWS;
	size_t n = how & 1 ? next_bytes(1) % 4 : verb == WGW_CONTROL_RELOAD ? 2 : 1;
	int fds[4];

	if (c->fd < 0)
		act_connect(c);
	if (how & 2)
		msg.version++;
	msg.u.control.verb = verb;
	for (size_t i = 0; i < n; i++) {
		if (how & 4)
			fds[i] = next_fd();
		else if (looks)
			fds[i] = file_of("", 0);
		else if (i == 0)
			fds[i] = lines_file(&uapi_keys, &uapi_values);
		else
			fds[i] = how & 8 ? lines_file(&settings_keys, &settings_values)
					 : file_of(settings, strlen(settings));
	}
	if (c->file >= 0)
		close(c->file);
	c->file = looks && n == 1 && !(how & 4) ? fcntl(fds[0], F_DUPFD_CLOEXEC, 0) : -1;
	c->asked = verb;
	send_with(c->fd, &msg, sizeof(msg), fds, n);
}

/* To the question that it was asked last; that question stays */
static void act_answer(struct channel *c)
{
	uint32_t how = next_bytes(1);
	struct wgw_channel_msg msg = c->question;

	if (c->fd < 0 || !msg.code)
		return;
	msg.code = msg.code == WGW_CH_SCAN	     ? WGW_CH_SCANNED
		   : msg.code == WGW_CH_HOST_RESOLVE ? WGW_CH_HOST_RESOLVED
						     : WGW_CH_WHOSE_IS;
	if (how & 1)
		msg.id += next_bytes(1);
	msg.err = how & 2 ? (int32_t)next_bytes(1) : 0;
	if (msg.code == WGW_CH_HOST_RESOLVED) {
		msg.u.host.eai = how & 4 ? (int32_t)next_bytes(1) : 0;
		msg.u.host.n = how & 8 ? next_bytes(4) : next_bytes(1) % 4;
		next_piece(msg.u.host.ip, sizeof(msg.u.host.ip));
	} else if (msg.code == WGW_CH_SCANNED) {
		next_piece(msg.u.scan.held, sizeof(msg.u.scan.held));
	}
	send_with(c->fd, &msg, sizeof(msg), NULL, 0);
}

static void act_plain(struct channel *c, enum wgw_channel_code code)
{
	struct wgw_channel_msg msg = message((uint16_t)code);
	int fd = code == WGW_CH_RELISTEN ? next_fd() : -1;

	msg.u.opened.pid = (int32_t)next_bytes(1);
	if (c->fd >= 0)
		send_with(c->fd, &msg, sizeof(msg), &fd, fd >= 0);
	else if (fd >= 0)
		close(fd);
}

/* ---- the UAPI ---- */

static void end_talk(int *talk)
{
	if (*talk >= 0)
		close(*talk);
	*talk = -1;
}

static void act_uapi(int *talk)
{
	end_talk(talk);
	*talk = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	(void)!connect(*talk, (struct sockaddr *)&world.uapi, world.uapi_len);
}

static void act_uapi_operation(int talk)
{
	char text[TEXT_MAX];
	uint32_t how = next_bytes(1);
	size_t len = (size_t)sprintf(text, "%s", how & 1 ? "get=1\n" : "set=1\n");

	if (how & 2)
		len = next_lines(text, len, &uapi_keys, &uapi_values);
	if (!(how & 4))
		text[len++] = '\n';
	(void)!send(talk, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void act_of_uapi(uint32_t what, int *talk)
{
	static char bytes[65536];

	switch (what) {
	case ACT_UAPI:
		act_uapi(talk);
		break;
	case ACT_UAPI_SEND:
		(void)!send(*talk, bytes, next_piece(bytes, PIECE_MAX),
			    MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	case ACT_UAPI_OPERATION:
		act_uapi_operation(*talk);
		break;
	case ACT_UAPI_RECV:
		(void)!recv(*talk, bytes, sizeof(bytes), MSG_DONTWAIT);
		break;
	case ACT_UAPI_CLOSE:
		end_talk(talk);
		break;
	}
}

/* ---- the tunnel process's own doing ---- */

static struct wgw_session *a_session(uint32_t who)
{
	struct wgw_session *s = core.t.sessions;

	for (uint32_t n = who % CHANNELS; s && n > 0; n--)
		s = s->next ? s->next : core.t.sessions;
	return s;
}

static void on_scanned(void *arg, const uint64_t *held)
{
	(void)arg;
	ck_assert_ptr_nonnull(held);
	world.answered++;
}

static void on_resolved(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n)
{
	(void)arg;
	(void)eai;
	ck_assert_uint_le(n, WGW_CH_HOST_MAX);
	ck_assert(n == 0 || ip);
	world.answered++;
}

static void act_ask(struct wgw_session *s)
{
	static const uint64_t inodes[WGW_CH_SCAN_MAX + 1];
	uint32_t how = next_bytes(1);
	char name[PIECE_MAX + 1];

	world.asked++;
	if (how & 1) {
		wgw_session_scan(s, inodes, next_bytes(2) % (WGW_CH_SCAN_MAX + 2), on_scanned,
				 NULL);
		return;
	}
	name[next_piece(name, PIECE_MAX)] = '\0';
	wgw_session_host_resolve(s, name, AF_INET, on_resolved, NULL);
}

static void act_hold(uint32_t who, struct wgw_session *s)
{
	struct wgw_session **held = &world.held[who % HELD_MAX];

	if (*held)
		return;
	*held = s;
	wgw_session_get(s);
	wgw_session_unsent_begin(s);
}

static void let_go(struct wgw_session **held)
{
	struct wgw_session *s = *held;

	*held = NULL;
	if (!s)
		return;
	wgw_session_unsent_end(s, next_bytes(1));
	wgw_session_put(s);
}

static void act_peer(uint32_t who)
{
	struct wg_peer *p = wg_peer_next(core.t.wg, NULL);

	if (p)
		wgw_peers_event(core.peers, p, (enum wg_event)(who % 3));
	core.datagrams_received += who & 1;
	wgw_core_tell_state(&core);
}

static void act_listener(uint32_t who, struct wgw_session *s)
{
	int path = who & 1 ? -1 : open("/", O_PATH | O_CLOEXEC);

	wgw_session_listener(s, &(struct wgw_ch_listener){.cookie = who}, path);
	if (path >= 0)
		close(path);
}

static void act_of_tunnel(uint32_t what, uint32_t who)
{
	struct wgw_session *s = a_session(who);

	if (what == ACT_ASK && s)
		act_ask(s);
	else if (what == ACT_SAY)
		for (uint32_t n = next_bytes(2) % LINES_MAX; n > 0; n--)
			wgw_core_say(&core, (int)(who % 3), "line %u", n);
	else if (what == ACT_LISTENER && s)
		act_listener(who, s);
	else if (what == ACT_HOLD && s)
		act_hold(who, s);
	else if (what == ACT_LET_GO)
		let_go(&world.held[who % HELD_MAX]);
	else if (what == ACT_PEER)
		act_peer(who);
	else if (what == ACT_TIME)
		pass((uint64_t)(who & 15) * (who & 128 ? WGW_SEC_NS : 10 * WGW_MS_NS));
}

static void act(uint32_t what, uint32_t who)
{
	struct channel *c = a_channel(who);

	switch (what) {
	case ACT_CONNECT:
		act_connect(c);
		break;
	case ACT_OPEN:
		act_open(c);
		break;
	case ACT_ANY:
		act_any(c);
		break;
	case ACT_CONTROL_OPEN:
		end_channel(c);
		/* fall through */
	case ACT_CONTROL:
		act_control(c);
		break;
	case ACT_ANSWER:
		act_answer(c);
		break;
	case ACT_KEEP:
		act_plain(c, WGW_CH_KEEP);
		break;
	case ACT_FLUSH:
		act_plain(c, WGW_CH_FLUSH);
		break;
	case ACT_RELISTEN:
		act_plain(c, WGW_CH_RELISTEN);
		break;
	case ACT_RECV:
		drain(c, who & 0x80 ? 1 : LINES_MAX);
		break;
	case ACT_CLOSE:
		end_channel(c);
		break;
	case ACT_SHUT:
		if (c->fd >= 0)
			shutdown(c->fd, (int)next_bytes(1) % 3);
		break;
	default:
		if (what >= ACT_UAPI && what <= ACT_UAPI_CLOSE)
			act_of_uapi(what, &world.talk[who % TALKS]);
		else
			act_of_tunnel(what, who);
	}
}

/* ---- the whole ---- */

static void begin(void)
{
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un own = {.sun_family = AF_UNIX};

	memset(&world, 0, sizeof(world));
	world.now_ns = 1000 * WGW_SEC_NS;
	for (int i = 0; i < CHANNELS; i++)
		world.channel[i].fd = world.channel[i].file = -1;
	for (int i = 0; i < TALKS; i++)
		world.talk[i] = -1;
	memset(&core, 0, sizeof(core));
	sessions_over = no_session = has_session = 0;
	setup();
	world.uapi_len = sizeof(world.uapi);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&own, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(listen(listener, 2 * TALKS), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&world.uapi, &world.uapi_len), 0);
	ck_assert_int_eq(wgw_uapi_init(&core, listener), 0);
}

/* Everybody goes, and what waits for an answer is told that there is none */
static void end(void)
{
	for (int i = 0; i < CHANNELS; i++) {
		drain(&world.channel[i], LINES_MAX);
		end_channel(&world.channel[i]);
	}
	for (int i = 0; i < TALKS; i++)
		end_talk(&world.talk[i]);
	for (int i = 0; i < HELD_MAX; i++)
		let_go(&world.held[i]);
	turns(TURNS);
	for (int i = 0; i < LAST_MINUTES; i++)
		pass(60 * WGW_SEC_NS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int before = open_descriptors();

	script.at = data;
	script.end = data + size;
	begin();
	for (int i = 0; i < ACTS_MAX && script.at < script.end; i++) {
		uint32_t what = next_bytes(1) % ACTS, who = next_bytes(1);

		act(what, who);
		turns(who & 0x40 ? 1 : TURNS);
	}
	end();
	ck_assert_ptr_null(core.t.sessions);
	ck_assert_uint_eq(has_session, sessions_over);
	ck_assert_uint_eq(world.asked, world.answered);
	wgw_uapi_free(&core);
	teardown();
	free(core.settings);
	for (size_t i = 0; i < core.n_notes; i++)
		free(core.notes[i]);
	ck_assert_uint_eq(open_descriptors(), before);
	return 0;
}

#include "tests/fuzz/replay.h"
