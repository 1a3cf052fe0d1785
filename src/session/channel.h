/* SPDX-License-Identifier: MIT */
/*
 * channel.h - what a session and its tunnel process say to each other
 *
 * One SEQPACKET connection to the sequenced rendezvous (by path: the runtime directory is the
 * user's own), opened by the front, inherited by the supervisor, open as long as the session lives.
 * The first message is WGW_CH_OPEN with two memfds: the settings text and the policy text. The
 * tunnel process accepts it from its own uid only. When the connection closes, the session is over:
 * what its programs wrote is still delivered, then its token is forgotten.
 *
 * Settings: lines that say what the tunnel is (wgw_settings_text); a session whose lines differ is
 * refused with the lines that differ (EBUSY), unless WGW_CH_JOIN; a tunnel process that has no
 * session left answers EAGAIN and ends, so that another can take its place.
 *
 * Policy: lines that say what this session may do:
 *   direct CIDR		relayed by the tunnel process outside the tunnel
 *   apps 1		so are sockets of programs that AllowedApps or DisallowedApps put outside
 *   dns-mode tunnel|system|refuse
 *   dns ADDR			a name server reached through the tunnel, in order
 *   search NAME		a search domain, in order
 *   system-resolver ADDR	an address whose port 53 stands for the tunnel's name servers
 *   verbose N			0 quiet .. 2
 * and what others are told of it:
 *   name TEXT			where its configuration came from, as it was written
 *   source TEXT		the same, as others can read it again
 *   option TEXT		an option of its command line that is the tunnel's (options.c), in
 *				order
 *
 * A keeper is a session without a command that holds the tunnel up (`wgwrap up`); a new one takes
 * the place of the one before. One that comes back to a tunnel process that was started again says
 * so in OPEN: a `wgwrap down` that was there before it is meant for it, too, and a keeper that came
 * meanwhile stays in its place.
 */
#ifndef SRC_SESSION_CHANNEL_H
#define SRC_SESSION_CHANNEL_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "src/repr/wire.h"

/* Continues enum wgw_op_code in the code field. */
enum wgw_channel_code {
	/* ---- session to tunnel process ---- */
	/* u.open, SCM_RIGHTS: settings memfd, policy memfd */
	WGW_CH_OPEN = 64,
	/* asks for WGW_CH_FLUSHED when all that was written is acknowledged */
	WGW_CH_FLUSH,
	/* u.scan: bit i of held is set when inode i is still open */
	WGW_CH_SCANNED,
	/* u.host */
	WGW_CH_HOST_RESOLVED,
	/* u.listener, SCM_RIGHTS: a LISTENER of the tunnel process before this one */
	WGW_CH_RELISTEN,
	/* u.opened.pid: from now on the session is that keeper's, others are asked to leave */
	WGW_CH_KEEP,
	/* err: 0 when it does not, EPERM when it does */
	WGW_CH_WHOSE_IS = 79,
	/* u.control, SCM_RIGHTS as the verb says; from whoever operates the tunnel, on a connection
	 * without a session. It, its answer and the verbs GET, FLOWS and DOWN are the same in all
	 * versions: what one has begun another can show and end. */
	WGW_CH_CONTROL = 80,
	/* of `wgwrap proxy`: u.proxy; SCM_RIGHTS: a socket (not of the remote kinds), then, when
	 * there are users, a memfd of their hashes */
	WGW_CH_PROXY = 88,
	/* closes the session's listeners */
	WGW_CH_PROXY_STOP,

	/* ---- tunnel process to session ---- */
	/* u.opened */
	WGW_CH_OPENED = 96,
	/* u.state: now and whenever it changes */
	WGW_CH_STATE,
	/* u.flushed */
	WGW_CH_FLUSHED,
	/* u.say: a line for the user */
	WGW_CH_SAY,
	/* u.scan: which of these socket inodes do your processes hold? */
	WGW_CH_SCAN,
	/* u.host: ask the host's resolver */
	WGW_CH_HOST_RESOLVE,
	/* u.listener, SCM_RIGHTS: O_PATH descriptor of a program's listener, to be kept for the
	 * tunnel process that may come after this one */
	WGW_CH_LISTENER,
	/* u.listener.cookie: need not be kept any more */
	WGW_CH_LISTENER_GONE,
	/* u.control: the verb repeated; err; text says more */
	WGW_CH_CONTROLLED = 112,
	/* to a keeper: end your session */
	WGW_CH_LEAVE,
	/* to a keeper: the file has changed */
	WGW_CH_REREAD,
	/* u.opened.pid: does that process belong to your command? */
	WGW_CH_WHOSE,
	/* u.keyed: the tunnel's key was changed, and with it the name of its rendezvous has to */
	WGW_CH_KEYED,
	/* err of the PROXY with the same id; STDIO: of its connect */
	WGW_CH_PROXIED = 120,
	/* and no connection is left */
	WGW_CH_PROXY_STOPPED,
};

/* What a WGW_CH_CONTROL asks for. Where a file comes along it is a regular one (memfd). */
enum wgw_control_verb {
	/* one empty file, which gets the state as text (src/control/status.h) */
	WGW_CONTROL_GET = 1,
	/* the same with the open connections */
	WGW_CONTROL_FLOWS,
	/* one file: lines of the cross-platform UAPI's set operation */
	WGW_CONTROL_SET,
	/* two files: such lines, and the new settings text; value: lines of it that differ. EBUSY:
	 * some of them cannot change, text says which */
	WGW_CONTROL_RELOAD,
	/* keepers are asked to leave; value: other sessions */
	WGW_CONTROL_DOWN,
};

/* Flags of OPEN. */
enum { WGW_CH_JOIN = 1, WGW_CH_KEEPER = 2 };
enum { WGW_CH_TEXT_MAX_BYTES = 1024, WGW_CH_SCAN_MAX = 512, WGW_CH_HOST_MAX = 32 };

/** struct wgw_ch_listener - a listening socket of a program. @flags: WGW_BIND_* */
struct wgw_ch_listener {
	uint64_t cookie, inode;
	struct wgw_wire_addr local;
	uint32_t flags, backlog;
};

struct wgw_channel_msg {
	uint32_t magic;	  /* WGW_WIRE_MAGIC */
	uint16_t version; /* WGW_WIRE_VERSION */
	uint16_t code;
	int32_t err; /* errno; OPENED: 0, EBUSY (settings differ), EPERM, ... */
	uint32_t id; /* SCAN, HOST_RESOLVE: repeated in the answer */
	union {
		struct {
			uint8_t token[WGW_TOKEN_BYTES];
			uint8_t label_key[WGW_LABEL_KEY_BYTES];
			uint32_t flags;
		} open;
		struct {
			uint32_t verb; /* enum wgw_control_verb */
			uint32_t value;
			char text[WGW_CH_TEXT_MAX_BYTES]; /* what failed, NUL-terminated */
		} control;
		struct {
			uint8_t abstract[WGW_ABSTRACT_BYTES];
			int32_t pid;
			char text[WGW_CH_TEXT_MAX_BYTES]; /* what differs or failed, NUL-terminated
							   */
		} opened;
		struct {
			uint32_t peers;	   /* with an endpoint */
			uint32_t peers_up; /* with a session */
			uint32_t
				attempts; /* initiations sent without an answer, most of any peer */
			uint32_t datagrams_received; /* from any endpoint: something answers */
		} state;
		struct {
			uint64_t bytes_lost; /* written but not deliverable */
			uint32_t flows_failed;
		} flushed;
		struct {
			int32_t level; /* 0 error, 1 warning, 2 info */
			char text[WGW_CH_TEXT_MAX_BYTES];
		} say;
		struct {
			uint32_t n;
			uint32_t reserved;
			uint64_t inode[WGW_CH_SCAN_MAX];
			uint64_t held[WGW_CH_SCAN_MAX / 64];
		} scan;
		struct {
			int32_t family;
			int32_t eai; /* EAI_* of getaddrinfo */
			uint32_t n;
			char name[WGW_NAME_MAX_BYTES];
			uint8_t ip[WGW_CH_HOST_MAX][16];
		} host;
		struct wgw_ch_listener listener;
		struct {
			uint8_t public_key[32];
		} keyed;
		struct {
			uint32_t kind;	       /* enum wgw_proxy_kind, src/proxy/proxy.h */
			int32_t family;	       /* of destinations: AF_INET, AF_INET6, AF_UNSPEC */
			int32_t first;	       /* tried first; AF_UNSPEC: the resolver's order */
			uint32_t connect_ms;   /* 0: the default */
			uint32_t idle_s;       /* of datagram senders, 0: for ever */
			uint8_t listen_ip[16]; /* of the remote kinds */
			uint16_t listen_port, target_port;
			uint32_t n_users;
			uint32_t check_uid; /* instead of users: the second descriptor is a
					     * sock_diag socket, other uids are refused */
			uint8_t user_key[32];
			char target_host[256];
		} proxy;
	} u;
};
static_assert(sizeof(struct wgw_channel_msg) < 8192, "fits one small message");

/* ---- channel.c: the session's end ---- */

struct sockaddr_un;

/* Connects to the sequenced rendezvous: <prefix>.q, or with @prefix "" the abstract name.
 * Returns a descriptor or -errno. */
int wgw_channel_connect(const char *prefix, const uint8_t abstract[WGW_ABSTRACT_BYTES]);
/* Writes the address of a rendezvous, @kind 's' (stream) or 'q' (sequenced). Returns its length. */
socklen_t wgw_rendezvous_path(struct sockaddr_un *sun, const char *prefix, char kind);
socklen_t wgw_rendezvous_abstract(struct sockaddr_un *sun,
				  const uint8_t abstract[WGW_ABSTRACT_BYTES], char kind);
/* A message with its header filled in and the rest zero. */
void wgw_channel_prepare(struct wgw_channel_msg *msg, enum wgw_channel_code code);
/* Returns 0 or -errno. @fds: descriptors to pass, @n of them. */
int wgw_channel_send(int fd, const struct wgw_channel_msg *msg, const int *fds, unsigned int n);
/* Returns 1, 0 at the end, or -errno (-EAGAIN: nothing yet; -EPROTO: not one of ours; if it
 * is another version's that was said). */
int wgw_channel_receive(int fd, struct wgw_channel_msg *msg, int flags);
/* The same; *@passed: the first descriptor that came along, the caller's, or -1. */
int wgw_channel_receive_fd(int fd, struct wgw_channel_msg *msg, int flags, int *passed);
/* The same, waiting until @deadline_ns of wgw_clock_ns; -ETIMEDOUT. */
int wgw_channel_await(int fd, struct wgw_channel_msg *msg, uint64_t deadline_ns);
/* The same, for what a tunnel process that is well sends at once: when nothing has come after 2 s,
 * says which process is silent. */
int wgw_channel_await_answer(int fd, struct wgw_channel_msg *msg, uint64_t deadline_ns);
/* Writes "process N", who listens at the other end of a channel, and whether it is stopped. */
void wgw_channel_whom(int fd, char *text, size_t size);
/* Prints a WGW_CH_SAY. */
void wgw_channel_print(const struct wgw_channel_msg *msg);

#endif
