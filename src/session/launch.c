/* SPDX-License-Identifier: MIT */
/*
 * launch.c - reaches the tunnel process of this user and key, starting it when there is none
 *
 * Two tunnel processes with one private key would fight over the peer's endpoint. So they are found
 * by a name made from what must differ: user, network namespace, enclosing session and public key.
 * In the runtime directory:
 *
 *   <name>.s, <name>.q	the rendezvous (wire.h)
 *   <name>.lock	held while a tunnel process is being started; contains the random part
 *			of its abstract names, so that a tunnel process that is started again has
 *			the names that running programs know
 *
 * When the key of a running tunnel is changed, one of its sessions renames these files under the
 * lock of the new name. Running programs know the old path, and then go by the abstract name.
 *
 * A connection to <name>.q that is accepted means that one runs. A socket that nobody listens on is
 * what a dead one left behind, and is replaced under the lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/loop.h"
#include "src/repr/repr.h"
#include "src/session/channel.h"
#include "src/session/launch.h"
#include "src/session/run.h"
#include "src/session/rundir.h"
#include "src/session/say.h"

enum {
	MTU_DEFAULT_BYTES = 1420,
	OPEN_TIMEOUT_MS = 10000,
	/* a tunnel process may end between our connect and our message */
	ATTEMPTS = 40,
	ATTEMPT_GAP_MS = 50,
	/* a session with other settings may be about to end */
	BUSY_ATTEMPTS = 4,
	/* none is left, but what it wrote is still to be delivered */
	ENDING_ATTEMPTS = 200,
	FILE_BYTES = 64 * 1024, /* what settings and policy take, and more */
};

/** make_name() - the identity of the tunnel with @public_key, as 16 hex digits */
static void make_name(char name[WGW_TUNNEL_NAME_BYTES], const uint8_t public_key[WG_KEY_BYTES])
{
	const char *enclosing = getenv(WGW_SESSION_ENV);
	uint8_t hash[(WGW_TUNNEL_NAME_BYTES - 1) / 2];
	uint64_t where[3] = {geteuid()};
	crypto_generichash_state state;
	struct stat st;

	if (!stat("/proc/self/ns/net", &st)) {
		where[1] = st.st_dev;
		where[2] = st.st_ino;
	}
	crypto_generichash_init(&state, NULL, 0, crypto_generichash_BYTES_MIN);
	crypto_generichash_update(&state, (const uint8_t *)where, sizeof(where));
	crypto_generichash_update(&state, public_key, WG_KEY_BYTES);
	if (enclosing)
		crypto_generichash_update(&state, (const uint8_t *)enclosing, strlen(enclosing));
	static_assert(crypto_generichash_BYTES_MIN >= sizeof(hash), "enough digits");
	uint8_t full[crypto_generichash_BYTES_MIN];
	crypto_generichash_final(&state, full, sizeof(full));
	memcpy(hash, full, sizeof(hash));
	sodium_bin2hex(name, WGW_TUNNEL_NAME_BYTES, hash, sizeof(hash));
}

/** set_name() - from now on the tunnel is called @name */
static void set_name(struct wgw_launch *l, const char name[WGW_TUNNEL_NAME_BYTES])
{
	memmove(l->name, name, WGW_TUNNEL_NAME_BYTES);
	if (l->dir.fd >= 0)
		snprintf(l->prefix, sizeof(l->prefix), "%s/%s", l->dir.path, l->name);
}

/** name_by_config() - the name that belongs to the configuration's key */
static void name_by_config(struct wgw_launch *l)
{
	char name[WGW_TUNNEL_NAME_BYTES];

	make_name(name, l->config->public_key);
	set_name(l, name);
}

/** make_secrets() - token and label key. The enclosing session's sockets have another mark
 * (wire.h) */
static void make_secrets(struct wgw_launch *l)
{
	const char *enclosing = getenv(WGW_SESSION_ENV);
	struct wgw_repr_session outer;
	bool nested = enclosing && wgw_repr_session_parse(&outer, enclosing);

	randombytes_buf(l->token, sizeof(l->token));
	do
		randombytes_buf(l->label_key, sizeof(l->label_key));
	while (nested && wgw_tag_mark(l->label_key) == wgw_tag_mark(outer.label_key));
}

/** apply_options() - what the command line changes in the configuration; -1 after an error */
static int apply_options(struct wgw_launch *l)
{
	const struct wgw_run_options *o = l->options;
	struct wgw_config *config = l->config;

	l->mtu = o->mtu ? o->mtu : config->mtu ? config->mtu : MTU_DEFAULT_BYTES;
	l->listen_port = o->listen_port >= 0 ? (uint16_t)o->listen_port : config->listen_port;
	if (o->endpoint_host) {
		char *host;

		if (config->n_peers != 1) {
			wgw_say(WGW_SAY_ERROR, "--endpoint: %s has %zu peers, not one",
				config->source, config->n_peers);
			return -1;
		}
		host = strdup(o->endpoint_host);
		if (!host) {
			wgw_say(WGW_SAY_ERROR, "out of memory");
			return -1;
		}
		free(config->peers[0].endpoint_host);
		config->peers[0].endpoint_host = host;
		config->peers[0].endpoint_port = o->endpoint_port;
	}
	if (wgw_routes_apply(o, config))
		return -1;
	for (size_t i = 0; i < config->n_peers; i++)
		l->peers += config->peers[i].endpoint_host != NULL;
	return 0;
}

/** allow_files() - settings go to the tunnel process in memory files, to which the limit of file
 * sizes applies; what it hands out later, too, under the limit it has from us. The command gets its
 * own back. 0, or -1 after an error was said */
static int allow_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit))
		return 0;
	if (limit.rlim_max < FILE_BYTES) {
		wgw_say(WGW_SAY_ERROR,
			"files may have %llu bytes (ulimit -f), and what the tunnel process is "
			"told needs up to %d",
			(unsigned long long)limit.rlim_max, FILE_BYTES);
		return -1;
	}
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_FSIZE, &limit);
	return 0;
}

int wgw_launch_init(struct wgw_launch *l, const struct wgw_run_options *options,
		    struct wgw_config *config)
{
	memset(l, 0, sizeof(*l));
	l->options = options;
	l->config = config;
	l->dir.fd = -1;
	if (sodium_init() < 0) {
		wgw_say(WGW_SAY_ERROR, "no source of random numbers");
		return -1;
	}
	if (apply_options(l))
		return -1;
	make_secrets(l);
	wgw_rundir_open(&l->dir);
	name_by_config(l);
	l->settings = wgw_settings_text(config, l->mtu, l->listen_port);
	l->policy = wgw_policy_text(options, config);
	if (!l->settings || !l->policy) {
		wgw_say(WGW_SAY_ERROR, "out of memory");
		return -1;
	}
	return 0;
}

bool wgw_launch_is_taken(const struct wgw_launch *l, const char *name)
{
	char prefix[WGW_PATH_PREFIX_MAX_BYTES];
	int fd;

	snprintf(prefix, sizeof(prefix), "%s/%s", l->dir.path, name);
	fd = wgw_channel_connect(prefix, NULL);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Sessions of one tunnel hear of the change at the same time. The first renames, the others find
 * that nothing has the old name any more. */
void wgw_launch_rename(struct wgw_launch *l, const uint8_t public_key[WG_KEY_BYTES])
{
	char name[WGW_TUNNEL_NAME_BYTES];
	int lock;

	make_name(name, public_key);
	if (!l->prefix[0] || strcmp(name, l->name) == 0)
		return;
	lock = wgw_rundir_lock(&l->dir, name, true);
	if (lock >= 0 && wgw_launch_is_taken(l, l->name)) {
		if (wgw_launch_is_taken(l, name)) {
			wgw_say(WGW_SAY_WARNING, "a tunnel with the new key runs already; this one "
						 "keeps its ID");
			close(lock);
			return;
		}
		wgw_rundir_rename(&l->dir, l->name, name, lock);
	}
	if (lock >= 0)
		close(lock);
	set_name(l, name);
}

/* Of the two texts one alone would be another tunnel: what names are asked and what goes around it
 * is in the policy. */
void wgw_launch_follow(struct wgw_launch *l, struct wgw_launch *fresh)
{
	memcpy(l->name, fresh->name, sizeof(l->name));
	memcpy(l->prefix, fresh->prefix, sizeof(l->prefix));
	l->config = fresh->config;
	l->mtu = fresh->mtu;
	l->listen_port = fresh->listen_port;
	l->peers = fresh->peers;
	free(l->settings);
	free(l->policy);
	l->settings = fresh->settings;
	l->policy = fresh->policy;
	fresh->settings = fresh->policy = NULL;
}

void wgw_launch_free(struct wgw_launch *l)
{
	free(l->settings);
	free(l->policy);
	if (l->dir.fd >= 0)
		close(l->dir.fd);
	sodium_memzero(l, sizeof(*l));
	l->dir.fd = -1;
}

/** text_memfd() - a sealed memory file that holds @text, or -errno */
static int text_memfd(const char *name, const char *text)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t len = strlen(text), done = 0;

	if (fd < 0)
		return -errno;
	while (done < len) {
		ssize_t n = write(fd, text + done, len - done);

		if (n < 0) {
			int err = -errno;

			close(fd);
			return err;
		}
		done += (size_t)n;
	}
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/** send_open() - the first message of a channel; 0 or -errno */
static int send_open(const struct wgw_launch *l, int channel)
{
	struct wgw_channel_msg msg;
	int fds[2], err;

	fds[0] = text_memfd("wgwrap-settings", l->settings);
	fds[1] = text_memfd("wgwrap-policy", l->policy);
	if (fds[0] < 0 || fds[1] < 0) {
		err = fds[0] < 0 ? fds[0] : fds[1];
	} else {
		wgw_channel_prepare(&msg, WGW_CH_OPEN);
		memcpy(msg.u.open.token, l->token, sizeof(l->token));
		memcpy(msg.u.open.label_key, l->label_key, sizeof(l->label_key));
		/* whoever starts it again first decides; the others follow */
		msg.u.open.flags = l->open_flags | (l->options->join || l->again ? WGW_CH_JOIN : 0);
		err = wgw_channel_send(channel, &msg, fds, 2);
		sodium_memzero(&msg, sizeof(msg));
	}
	for (int i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	return err;
}

/** say_refusal() - why the tunnel process did not take the session */
static void say_refusal(const struct wgw_launch *l, const struct wgw_channel_msg *msg)
{
	const char *text = msg->u.opened.text;
	int len = (int)strnlen(text, sizeof(msg->u.opened.text));

	while (len > 0 && text[len - 1] == '\n')
		len--;
	if (msg->err == EBUSY || msg->err == EINPROGRESS)
		wgw_say(WGW_SAY_ERROR,
			"a tunnel with this key is already running (process %d) with other "
			"settings; "
			"--join uses it as it is. What differs (- running, + this one):\n%.*s",
			msg->u.opened.pid, len, text);
	else
		wgw_say(WGW_SAY_ERROR, "%s: the tunnel process refuses: %s%s%.*s",
			l->config->source, strerror(msg->err), len ? ": " : "", len, text);
}

enum open_result { OPEN_DONE, OPEN_AGAIN, OPEN_BUSY, OPEN_FAILED };

/** struct patience - how many more refusals because of other settings are not final: by sessions
 * that have them, by what such sessions left */
struct patience {
	int busy, ending;
};

/** open_channel() - introduces the session on a fresh connection */
static enum open_result open_channel(struct wgw_launch *l, int channel, struct patience *patience)
{
	uint64_t deadline = wgw_clock_ns() + OPEN_TIMEOUT_MS * WGW_MS_NS;
	struct wgw_channel_msg msg;
	int err = send_open(l, channel);
	char whom[64];

	if (err == -EPIPE || err == -ECONNRESET)
		return OPEN_AGAIN;
	if (err) {
		wgw_say(WGW_SAY_ERROR, "cannot hand the settings to the tunnel process: %s",
			strerror(-err));
		return OPEN_FAILED;
	}
	while (err == 0) {
		err = wgw_channel_await_answer(channel, &msg, deadline);
		if (err == 0)
			return OPEN_AGAIN;
		if (err < 0)
			break;
		err = 0;
		if (msg.code == WGW_CH_SAY) {
			wgw_channel_print(&msg);
		} else if (msg.code == WGW_CH_OPENED && msg.err == EAGAIN) {
			return OPEN_AGAIN; /* it is idle and makes room for other settings */
		} else if (msg.code == WGW_CH_OPENED && msg.err == EBUSY && patience->busy-- > 0) {
			return OPEN_BUSY;
		} else if (msg.code == WGW_CH_OPENED && msg.err == EINPROGRESS &&
			   patience->ending-- > 0) {
			return OPEN_BUSY;
		} else if (msg.code == WGW_CH_OPENED && msg.err) {
			say_refusal(l, &msg);
			return OPEN_FAILED;
		} else if (msg.code == WGW_CH_OPENED) {
			memcpy(l->abstract, msg.u.opened.abstract, sizeof(l->abstract));
			l->has_abstract = true;
			l->tunnel = msg.u.opened.pid;
			return OPEN_DONE;
		}
	}
	wgw_channel_whom(channel, whom, sizeof(whom));
	if (err == -EPROTO)
		wgw_say(WGW_SAY_ERROR,
			"it (%s) serves the programs that it has; when they have ended, and "
			"\"wgwrap down\" "
			"has ended what \"wgwrap up\" began, this version starts its own",
			whom);
	else
		wgw_say(WGW_SAY_ERROR, "the tunnel process (%s) does not answer: %s", whom,
			strerror(-err));
	return OPEN_FAILED;
}

/** take_lock() - the lock of this tunnel's start, with the abstract name it keeps; -1: error */
static int take_lock(struct wgw_launch *l)
{
	uint8_t stored[WGW_ABSTRACT_BYTES];
	int fd = wgw_rundir_lock(&l->dir, l->name, true);

	if (fd < 0) {
		wgw_say(WGW_SAY_ERROR, "%s.lock: %s", l->prefix, strerror(-fd));
		return -1;
	}
	if (!l->has_abstract && pread(fd, stored, sizeof(stored), 0) == (ssize_t)sizeof(stored)) {
		memcpy(l->abstract, stored, sizeof(stored));
		l->has_abstract = true;
	}
	return fd;
}

/** wait_for_peers() - until they take an initiation again: who is dropped tries again after 5 s */
static void wait_for_peers(int lock)
{
	uint64_t gap_ns = wgw_rundir_start_gap(lock);
	const struct timespec gap = {.tv_nsec = (long)gap_ns};

	if (gap_ns > 0)
		nanosleep(&gap, NULL);
}

/** start_locked() - looks again under the lock, then starts a tunnel process.
 * Return: connection to it, or -1 after an error was said */
static int start_locked(struct wgw_launch *l)
{
	int lock = -1, fd = -ENOENT;

	/* what is started has the configuration's key, whatever the one before was given */
	name_by_config(l);
	if (l->prefix[0]) {
		lock = take_lock(l);
		if (lock < 0)
			return -1;
		fd = wgw_channel_connect(l->prefix, l->abstract);
	}
	if (fd < 0 && lock >= 0)
		wait_for_peers(lock);
	l->booted = fd < 0 && wgw_boot_tunnel(l) == 0;
	if (l->booted) {
		if (lock >= 0 && pwrite(lock, l->abstract, sizeof(l->abstract), 0) < 0)
			wgw_say(WGW_SAY_WARNING, "%s.lock: %s", l->prefix, strerror(errno));
		if (lock >= 0)
			wgw_rundir_sweep(&l->dir, l->name);
		fd = wgw_channel_connect(l->prefix, l->abstract);
		if (fd < 0)
			wgw_say(WGW_SAY_ERROR, "the tunnel process cannot be reached: %s",
				strerror(-fd));
	}
	if (lock >= 0)
		close(lock);
	return fd < 0 ? -1 : fd;
}

int wgw_launch_channel(struct wgw_launch *l)
{
	const struct timespec gap = {.tv_nsec = ATTEMPT_GAP_MS * (long)WGW_MS_NS};
	struct patience patience = {.busy = BUSY_ATTEMPTS, .ending = ENDING_ATTEMPTS};

	if (allow_files())
		return -1;
	for (int i = 0; i < ATTEMPTS;) {
		int fd = -ENOENT;

		if (l->prefix[0])
			fd = wgw_channel_connect(l->prefix, l->abstract);
		if (fd < 0)
			fd = start_locked(l);
		if (fd < 0)
			return -1;
		switch (open_channel(l, fd, &patience)) {
		case OPEN_DONE:
			if (l->options->pcap && !l->booted)
				wgw_say(WGW_SAY_WARNING,
					"--pcap: nothing is recorded: the tunnel process (%d) runs "
					"already",
					l->tunnel);
			return fd;
		case OPEN_BUSY:
			close(fd);
			if (l->busy && l->busy(l))
				return -1;
			break;
		case OPEN_AGAIN:
			close(fd);
			i++;
			break;
		case OPEN_FAILED:
			close(fd);
			return -1;
		}
		nanosleep(&gap, NULL);
	}
	wgw_say(WGW_SAY_ERROR, "the tunnel process ends as soon as it is asked for something");
	return -1;
}
