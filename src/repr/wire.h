/* SPDX-License-Identifier: MIT */
/*
 * wire.h - how an application socket is represented, as the bytes that both sides agree on
 *
 * An application's IP socket is an AF_UNIX socket from socket() on. Four things carry what the
 * kernel does not know about it:
 *
 *   tag	64 bits in SO_MAX_PACING_RATE of the application's socket (the kernel stores any
 *		value on AF_UNIX and does nothing with it). Written by the shim, shared by dup, fork
 *		and descriptor passing. Says that the socket is ours, and what kind it is.
 *   label	abstract name bound to the application's socket when a TCP connect has ended
 *		(success or failure), and to the tunnel process's end of an accepted connection.
 *		Sealed.
 *   connect record  what a TCP connect queues into the socket itself; see below.
 *   operations	short SEQPACKET conversations with the tunnel process: one connection, one request,
 *		one reply (struct wgw_op). The socket is named by its SO_COOKIE.
 *
 * TCP connect, application side: connect(2) to the stream rendezvous; SO_SNDBUF=1; one byte 'F'
 * with the socket's own descriptor as SCM_RIGHTS; struct wgw_connect padded with zeros until send
 * gives EAGAIN; then WGW_TAG_FILLED is set in the tag. Tunnel process: accept, receive the
 * descriptor, peek the record, connect. When the outcome is known and WGW_TAG_FILLED is set:
 *   success: FIONREAD tells how many bytes are record; bind the label; raise SO_SNDBUF; close the
 *	duplicate. The record stays queued; its last byte is the first keeper.
 *   failure: bind the label (outcome WGW_OUTCOME_FAILED and the errno); close, record unread.
 *
 * Accepted TCP connection: the tunnel process binds a label (WGW_OUTCOME_ACCEPTED) to a stream
 * socket and connects it to the application's listener. After accept(2) the shim sets the tag,
 * sends one byte 'F' with the descriptor as SCM_RIGHTS, then one plain byte 'K', the keeper.
 * Without them (unhooked accept) the first byte of data becomes the keeper. When the tunnel process
 * has taken the descriptor it marks the socket by its SO_RCVBUF (AF_UNIX streams have no use for
 * it), then reads the tag. A program changes the tag, then looks for the mark: so what servers set
 * right after accept(2) costs no operation, and one of the two always sees what the other did.
 *
 * Keeper: the tunnel process leaves the last forwarded byte unread in its receive queue. It reads
 * it only to hand over a FIN. Closing with it unread is ECONNRESET at the application.
 *
 * UDP and ICMP echo: a SEQPACKET socket, connected to the sequenced rendezvous at socket(), whose
 * first message is WGW_OP_UDP_OPEN (no reply). A message is bare payload or starts with struct
 * wgw_dgram, and says itself which: a header begins with a preamble that only the session's
 * programs and the tunnel process know. There is one for each way, so that a program that echoes
 * what it reads echoes no header. Payload that begins with the preamble is sent with a header, so
 * nothing is taken for what it is not, even by who knows it. Bare payload for the tunnel process
 * goes to the socket's peer; without a peer it is dropped. Payload from it is bare when WGW_TAG_RAW
 * is in the tag. Who reads does not rely on the tag for the form: another process may change it at
 * any time.
 * Of a socket that it has no room for, the tunnel process sends a header with ENOBUFS as error, and
 * closes its end.
 * Changes (bind, connect, options) are operations on another connection; the tunnel process first
 * drains what the socket has queued, so order is kept. WGW_OP_UDP_CONNECT replies after it has
 * stopped sending; the application side reads what is still queued and returns each message with a
 * header as WGW_OP_REQUEUE on the same conversation (bare ones came from the old peer), sets or
 * clears WGW_TAG_RAW, and ends with WGW_OP_GO, which says by WGW_BIND_RAW what the tag is now.
 * A socket without a peer may be RAW, too: from WGW_OP_UDP_OPEN on (WGW_BIND_RAW), or by WGW_OP_GO.
 * The tunnel process then remembers who sent what may be unread. Who wants to know asks for
 * WGW_OP_UDP_CONNECT to no peer, which changes nothing of a socket that has none, and returns bare
 * messages with a header without @ip and @port.
 * Without WGW_OP_GO the tunnel process goes on when the conversation closes, with the mode it had.
 * On a RAW socket an empty message with a descriptor attached (SCM_RIGHTS, any descriptor) says
 * that an ICMP error came; WGW_OP_GETOPT of SOL_SOCKET, SO_ERROR says which and clears it. (It has
 * no header because of programs without the shim, which read an empty datagram.)
 * A reply with an error ends the conversation. After WGW_OP_GO the tunnel process closes it when it
 * has changed over; the application side waits for that. A connected socket need not have
 * WGW_TAG_RAW: the shim leaves it out when the program wants what only struct wgw_dgram says, and
 * may connect again to the same peer to change it.
 *
 * WGW_OP_SHUTDOWN of a datagram socket: the application side shuts its own end for reading after
 * the reply, which wakes whoever waits there; the tunnel process shuts its end for reading before
 * it, so that a send is EPIPE. ENOTCONN says that the socket has no peer; it is done all the same.
 * Of a listener: it is one no more, its address stays reserved under its cookie; once more: not
 * even that.
 *
 * Every operation is one message: the whole struct wgw_op, then (REQUEUE, the reply to DNS_QUERY)
 * the bytes that belong to it. The tunnel process keeps every option that WGW_OP_SETOPT gives it,
 * also those that change nothing there; WGW_OP_GETOPT of one it does not have is an error, and the
 * asker knows the default.
 *
 * Requests and records are laid out the same in all versions up to the token, and records are no
 * shorter than they are here: of a program with another version's shared object the session is told.
 *
 * Every request carries the session's token; an unknown one is dropped. All integers are in host
 * order (both sides are on one machine), addresses as in stack/addr.h.
 */
#ifndef SRC_REPR_WIRE_H
#define SRC_REPR_WIRE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "stack/addr.h"

enum {
	WGW_WIRE_VERSION = 6,
	WGW_WIRE_MAGIC = 0x31776777, /* "wgw1" */
	WGW_TOKEN_BYTES = 16,
	WGW_LABEL_KEY_BYTES = 16,
};

/* ---- how a wrapped process finds its tunnel process ---- */

/*
 * Environment variable WGWRAP_SESSION:
 *   1:<token, hex>:<label key, hex>:<abstract name, hex>:<path prefix>
 * Stream rendezvous: <path prefix>.s, else abstract "\0wgwrap-<abstract name>.s".
 * Sequenced rendezvous: the same with ".q". The path is tried first; the abstract name serves
 * processes that changed their uid or root.
 */
#define WGW_SESSION_ENV	    "WGWRAP_SESSION"
#define WGW_ABSTRACT_PREFIX "wgwrap-"
enum {
	WGW_ABSTRACT_BYTES = 16,	/* random part, before hex */
	WGW_PATH_PREFIX_MAX_BYTES = 96, /* so that ".s" and NUL fit in sun_path */
	WGW_TUNNEL_NAME_BYTES = 17,	/* the prefix's last part: 16 hex digits and NUL */
};

/* ---- tag ---- */

enum wgw_kind {
	WGW_KIND_TCP,
	WGW_KIND_UDP,
	WGW_KIND_PING, /* SOCK_DGRAM with IPPROTO_ICMP or IPPROTO_ICMPV6 */
};

#define WGW_TAG_MAGIC	   UINT64_C(0x5747) /* bits 0-15 */
#define WGW_TAG_MAGIC_MASK UINT64_C(0xffff)
#define WGW_TAG_KIND_SHIFT 16		       /* 2 bits, enum wgw_kind */
#define WGW_TAG_V6	   (UINT64_C(1) << 18) /* AF_INET6 */
#define WGW_TAG_V6ONLY	   (UINT64_C(1) << 19)
#define WGW_TAG_NODELAY	   (UINT64_C(1) << 20)
#define WGW_TAG_FILLED	   (UINT64_C(1) << 21) /* connect record is queued whole */
#define WGW_TAG_REPORTED   (UINT64_C(1) << 22) /* the outcome was told by connect or SO_ERROR */
#define WGW_TAG_BOUND	   (UINT64_C(1) << 23) /* bind() was done; address by WGW_OP_NAME */
#define WGW_TAG_CONNECTED  (UINT64_C(1) << 24) /* UDP, ping: has a peer */
#define WGW_TAG_RAW	   (UINT64_C(1) << 25) /* UDP, ping: they come without struct wgw_dgram */
#define WGW_TAG_ACCEPTED   (UINT64_C(1) << 26) /* label is on the peer's name */
#define WGW_TAG_LISTENING  (UINT64_C(1) << 27)
#define WGW_TAG_OPTIONS	   (UINT64_C(1) << 28) /* the tunnel process keeps options by cookie */
#define WGW_TAG_REUSEPORT  (UINT64_C(1) << 29) /* AF_UNIX has no SO_REUSEPORT to keep it in */
#define WGW_TAG_RECVERR	   (UINT64_C(1) << 30) /* IP_RECVERR or IPV6_RECVERR is on */

#define WGW_TAG_OUTSIDE (UINT64_C(1) << 31) /* made by a program outside of the tunnel: apps.h */

/* Bits 32-43: counts the changes of a datagram socket's peer; the shim's alone. */
#define WGW_TAG_GENERATION_SHIFT 32
#define WGW_TAG_GENERATION_MASK	 (UINT64_C(0xfff) << WGW_TAG_GENERATION_SHIFT)

/* A datagram socket goes by the tunnel's MTU, not the path's, and sends no fragments, by family of
 * the destination; the shim's alone. */
#define WGW_TAG_PROBE4	  (UINT64_C(1) << 44)
#define WGW_TAG_PROBE6	  (UINT64_C(1) << 45)
#define WGW_TAG_DONTFRAG4 (UINT64_C(1) << 46)
#define WGW_TAG_DONTFRAG6 (UINT64_C(1) << 47)

/* shutdown(2) of a datagram socket; the shim's alone. Bits that have a meaning for TCP sockets
 * only. */
#define WGW_TAG_SHUT_RD WGW_TAG_FILLED
#define WGW_TAG_SHUT_WR WGW_TAG_REPORTED

/* Bits 32-37 of a TCP socket; the shim's alone. */
#define WGW_TAG_DISSOLVED    (UINT64_C(1) << 32) /* connect() told the failure: as a new socket */
#define WGW_TAG_DISCONNECTED (UINT64_C(1) << 33) /* by connect(AF_UNSPEC): as a new socket */
#define WGW_TAG_CORK	     (UINT64_C(1) << 34)
#define WGW_TAG_LAZY_ACK     (UINT64_C(1) << 35) /* TCP_QUICKACK was turned off */
#define WGW_TAG_INHERITED    (UINT64_C(1) << 36) /* has options that accepted sockets inherit */

#define WGW_TAG_WAS_LISTENER                                                                       \
	(UINT64_C(1) << 37) /* shut down: listen() and connect() need a new socket */

/* Ancillary data the program asked for (the shim's alone); these need struct wgw_dgram. */
#define WGW_TAG_IP_PKTINFO   (UINT64_C(1) << 48)
#define WGW_TAG_IP_TTL	     (UINT64_C(1) << 49)
#define WGW_TAG_IP_TOS	     (UINT64_C(1) << 50)
#define WGW_TAG_IP6_PKTINFO  (UINT64_C(1) << 51)
#define WGW_TAG_IP6_HOPLIMIT (UINT64_C(1) << 52)
#define WGW_TAG_IP6_TCLASS   (UINT64_C(1) << 53)
/* A bit that has a meaning for TCP sockets only is a datagram socket's for this. */
#define WGW_TAG_IP6_2292HOPLIMIT WGW_TAG_NODELAY
#define WGW_TAG_ANCILLARY	 (UINT64_C(0x3f) << 48 | WGW_TAG_IP6_2292HOPLIMIT)

/* Bits 54-63: from the session's label key. A tunnel process that runs in another session gets
 * sockets of its own session's programs, which are none of the outer session's. */
#define WGW_TAG_MARK_SHIFT 54
#define WGW_TAG_MARK_MASK  (UINT64_C(0x3ff) << WGW_TAG_MARK_SHIFT)

static inline uint64_t wgw_tag_mark(const uint8_t key[WGW_LABEL_KEY_BYTES])
{
	return ((uint64_t)key[0] << 8 | key[1]) << WGW_TAG_MARK_SHIFT;
}

static inline bool wgw_tag_is_ours(uint64_t tag)
{
	return (tag & WGW_TAG_MAGIC_MASK) == WGW_TAG_MAGIC;
}

static inline bool wgw_tag_has_mark(uint64_t tag, const uint8_t key[WGW_LABEL_KEY_BYTES])
{
	return (tag & WGW_TAG_MARK_MASK) == wgw_tag_mark(key);
}

static inline enum wgw_kind wgw_tag_kind(uint64_t tag)
{
	return (enum wgw_kind)(tag >> WGW_TAG_KIND_SHIFT & 3);
}

/* ---- label ---- */

enum wgw_outcome {
	WGW_OUTCOME_CONNECTED = 'C',
	WGW_OUTCOME_FAILED = 'E',
	WGW_OUTCOME_ACCEPTED = 'A',
};

/**
 * struct wgw_label - what a label says, before sealing
 * @err:	errno of a failed connect
 * @v6:		Accepted: the listener is an AF_INET6 socket, so addresses appear v4-mapped
 */
struct wgw_label {
	uint8_t outcome;
	uint8_t err;
	uint16_t local_port, remote_port;
	uint8_t v6;
	uint8_t reserved;
	uint8_t local_ip[16], remote_ip[16];
};
static_assert(sizeof(struct wgw_label) == 40, "label is five SipHash blocks");

/*
 * Abstract name: NUL, "wgw1", 8 bytes of random nonce, the sealed label. Sealing is XOR with
 * SipHash-2-4(key, nonce || block number): other users see names in /proc/net/unix, but no
 * destinations.
 */
enum {
	WGW_LABEL_NONCE_BYTES = 8,
	WGW_LABEL_NAME_BYTES = 1 + 4 + WGW_LABEL_NONCE_BYTES + (int)sizeof(struct wgw_label),
};

/* Writes the name (WGW_LABEL_NAME_BYTES bytes, to be used as sun_path). */
void wgw_label_seal(const uint8_t key[WGW_LABEL_KEY_BYTES],
		    const uint8_t nonce[WGW_LABEL_NONCE_BYTES], const struct wgw_label *label,
		    uint8_t name[WGW_LABEL_NAME_BYTES]);
/* Reads @len bytes of a sun_path. false: not one of our labels. */
bool wgw_label_open(const uint8_t key[WGW_LABEL_KEY_BYTES], const void *name, uint32_t len,
		    struct wgw_label *label);

/* ---- TCP connect record ---- */

enum {
	WGW_CONNECT_NODELAY = 1 << 0,
	WGW_CONNECT_KEEPALIVE = 1 << 1,
	WGW_CONNECT_LINGER = 1 << 2, /* SO_LINGER is on, linger_s holds */
	WGW_CONNECT_BOUND = 1 << 3,  /* bind() reserved an address under this cookie */
	WGW_CONNECT_OPTIONS = 1 << 4,
	WGW_CONNECT_V6 = 1 << 5, /* an AF_INET6 socket (addresses appear v4-mapped) */
	WGW_CONNECT_OUTSIDE =
		1 << 6, /* WGW_TAG_OUTSIDE; heeded when the session has lists of apps */
};

struct wgw_connect {
	uint32_t magic;
	uint16_t version;
	uint16_t linger_s;
	uint8_t token[WGW_TOKEN_BYTES];
	uint64_t cookie;
	uint32_t flags;
	int32_t pid;
	struct {
		uint8_t ip[16];
		uint16_t port;
		uint16_t reserved;
	} to;
	uint32_t reserved;
};
static_assert(sizeof(struct wgw_connect) == 64, "no padding");
static_assert(offsetof(struct wgw_connect, token) == 8, "the same in all versions");

#define WGW_FD_BYTE	'F'
#define WGW_KEEPER_BYTE 'K'

/* SO_RCVBUF of an accepted socket that the tunnel process knows is below this: the kernel's least is
 * 2,304 or so, its default 212,992. */
enum { WGW_KNOWN_RCVBUF_BYTES = 8192 };

/*
 * An application's send buffer, as SO_SNDBUF reads. The keeper is the last byte that the application
 * wrote, and holds the whole buffer that it came in: 16 pages after sendfile(2). Linux calls a
 * socket writable while a quarter of its send buffer or less is in use, so with less than four times
 * that nothing would ever make it writable again. A machine gives at most twice net.core.wmem_max: 416
 * KiB, if that is Linux's default.
 */
enum {
	WGW_APP_SNDBUF_BYTES = 512 * 1024,
	WGW_APP_SNDBUF_MIN_BYTES = 320 * 1024,
};

/* ---- datagrams ---- */

enum { WGW_PREAMBLE_BYTES = 16 };

/** struct wgw_preambles - how the headers of a session's datagrams begin */
struct wgw_preambles {
	uint8_t to_tunnel[WGW_PREAMBLE_BYTES], to_app[WGW_PREAMBLE_BYTES];
};

/* SipHash-2-4 under the session's label key: seal.c. */
void wgw_preambles_make(const uint8_t key[WGW_LABEL_KEY_BYTES], struct wgw_preambles *preambles);

/* Whether a message of which @data are the first @len bytes has a header. Takes the same time for
 * all of them. */
static inline bool wgw_preamble_begins(const uint8_t preamble[WGW_PREAMBLE_BYTES], const void *data,
				       size_t len)
{
	uint64_t a[2], b[2];

	if (len < sizeof(a))
		return false;
	memcpy(a, preamble, sizeof(a));
	memcpy(b, data, sizeof(b));
	return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
}

/**
 * struct wgw_dgram - header of a message
 * @preamble:	Whoever sends it fills it in
 * @ip, @port:	To the tunnel process: destination. From it: source. (Ping: @port 0.)
 * @local_ip:	From it: the address the datagram came to. To it: source to use, zero: any
 * @ttl, @tos:	From it: as received. To it: 0: the socket's own
 * @err:	From it: not 0: an ICMP error for a datagram sent to @ip, no payload for the program
 * @info:	From it: with @err, the path's MTU if that was it. To it: the payload is to be sent
 *		as datagrams of so many bytes (UDP_SEGMENT); 0: as the socket's option says
 */
struct wgw_dgram {
	uint8_t preamble[WGW_PREAMBLE_BYTES];
	uint16_t port;
	uint8_t ttl, tos;
	uint8_t ip[16];
	uint8_t local_ip[16];
	uint32_t err;
	uint32_t info;
};
static_assert(sizeof(struct wgw_dgram) == 60, "no padding");

/* Whether it was made up by who returns a bare message of a socket without a peer (WGW_OP_REQUEUE). */
static inline bool wgw_dgram_is_nameless(const struct wgw_dgram *head)
{
	static const uint8_t none[sizeof(head->ip)];

	return head->port == 0 && memcmp(head->ip, none, sizeof(none)) == 0;
}

/**
 * struct wgw_error - an error of a socket with IP_RECVERR, the oldest: what WGW_OP_GETOPT of IP_RECVERR
 * returns. What the error quotes of the datagram follows in the same message.
 * @head:	@ip, @port: where the datagram was sent; @err and @info: ee_errno and ee_info; @local_ip,
 *		@ttl, @tos: of the packet that told it
 * @offender:	Who told it; all zero: nobody but this machine
 * @origin:	SO_EE_ORIGIN_*
 * @type, @code: of ICMP or ICMPv6
 * @time_ns:	When it came, CLOCK_REALTIME
 */
struct wgw_error {
	struct wgw_dgram head;
	uint8_t offender[16];
	uint8_t origin, type, code, reserved;
	int64_t time_ns;
};
static_assert(sizeof(struct wgw_error) == 88, "no padding");

enum {
	WGW_QUOTED_MAX_BYTES = 1280, /* the largest ICMPv6 error, RFC 4443 2.4 (c) */
	WGW_DGRAM_WHOLE = -1,	     /* @info: as one datagram, whatever the socket's option says */
	WGW_SEGMENTS_MAX = 128,	     /* UDP_MAX_SEGMENTS of include/linux/udp.h */
};

/* ---- operations ---- */

enum wgw_op_code {
	WGW_OP_UDP_OPEN = 1, /* on the socket itself; no reply. u.open */
	WGW_OP_BIND,	     /* u.bind; reply u.name */
	WGW_OP_LISTEN,	     /* u.listen, SCM_RIGHTS: O_PATH of the unix listener; reply u.name.
				Without a descriptor: may it? Then nobody else may, until the
				one with it has come on the same conversation or that ends */
	WGW_OP_UDP_CONNECT,  /* u.bind.addr; all-zero ip and port: disconnect; reply u.name */
	WGW_OP_REQUEUE,	     /* struct wgw_dgram and payload follow in the same message */
	WGW_OP_GO,	     /* u.open.flags: WGW_BIND_RAW or 0; ends UDP_CONNECT; no reply */
	WGW_OP_NAME,	     /* no body; reply u.name */
	WGW_OP_SETOPT,	     /* u.option; reply err */
	WGW_OP_GETOPT,	     /* u.option; reply u.option */
	WGW_OP_RESOLVE,	     /* u.resolve; reply u.resolved */
	WGW_OP_REVERSE,	     /* u.bind.addr; reply u.resolved with one name in @canonical */
	WGW_OP_SHUTDOWN,  /* u.option.value = SHUT_RD, SHUT_WR or SHUT_RDWR; reply err. See above */
	WGW_OP_DNS_QUERY, /* u.dns_query; reply: the DNS response follows in the same message */
	WGW_OP_IFADDRS,	  /* no body; reply u.resolved: addresses, lengths of their prefixes as the
				bytes of @canonical, MTU as @ttl */
	WGW_OP_ROUTE, /* u.name: may a datagram go from @local (or any) to @remote? reply err, and
				as @remote.port the tunnel's MTU, as @remote.reserved the path's */
	WGW_OP_TOO_LARGE, /* u.bind: what was to go to @addr is more than a packet, of at most @flags
				bytes, holds: the program was told, its error queue gets an item */
};

struct wgw_wire_addr {
	uint8_t ip[16];
	uint16_t port;
	uint16_t reserved;
};

enum {
	WGW_NAME_MAX_BYTES = 256,
	WGW_RESOLVED_MAX = 64,
	WGW_OPTION_MAX_BYTES = 256,
	WGW_OPTION_UNACKED =
		-1, /* GETOPT of IPPROTO_TCP: what SIOCOUTQ and SIOCOUTQNSD say, two ints */
	WGW_TCP_INFO_BYTES =
		232, /* struct tcp_info of Linux 5.19, for sockets without a connection */
};

/* u.bind.flags, u.listen.flags, u.open.flags */
enum {
	WGW_BIND_V6 = 1 << 0,
	WGW_BIND_V6ONLY = 1 << 1,
	WGW_BIND_REUSEADDR = 1 << 2,
	WGW_BIND_REUSEPORT = 1 << 3,
	WGW_BIND_RAW = 1 << 4,	   /* WGW_OP_UDP_OPEN, WGW_OP_GO: WGW_TAG_RAW is set */
	WGW_BIND_OUTSIDE = 1 << 5, /* as WGW_CONNECT_OUTSIDE */
};

struct wgw_op {
	uint32_t magic;
	uint16_t version;
	uint16_t code; /* enum wgw_op_code; a reply repeats it */
	int32_t err;   /* reply: 0 or errno; RESOLVE, REVERSE, DNS_QUERY: EAI_* code (negative) */
	uint8_t kind;  /* enum wgw_kind */
	uint8_t reserved[3];
	uint64_t cookie; /* of the socket spoken about */
	uint64_t inode;	 /* its st_ino: what is kept for it goes when nobody holds it any more */
	uint8_t token[WGW_TOKEN_BYTES];
	union {
		struct {
			uint32_t flags;
		} open;
		struct {
			struct wgw_wire_addr addr;
			uint32_t flags;
		} bind;
		struct {
			struct wgw_wire_addr addr; /* used when the socket was not bound */
			uint32_t flags;
			uint32_t backlog;
		} listen;
		struct {
			struct wgw_wire_addr local, remote; /* remote all zero: none */
		} name;
		struct {
			int32_t level, name;
			uint32_t len;
			uint8_t value[WGW_OPTION_MAX_BYTES];
		} option;
		struct {
			int32_t family; /* AF_UNSPEC, AF_INET, AF_INET6 */
			int32_t flags;	/* WGW_RESOLVE_* */
			char name[WGW_NAME_MAX_BYTES];
		} resolve;
		struct {
			uint32_t n;
			uint32_t ttl;
			char canonical[WGW_NAME_MAX_BYTES];
			uint8_t ip[WGW_RESOLVED_MAX][16]; /* in the order to try */
		} resolved;
		struct {
			uint16_t class_, type;
			uint32_t flags; /* WGW_RESOLVE_* */
			char name[WGW_NAME_MAX_BYTES];
		} dns_query;
	} u;
};

static_assert(offsetof(struct wgw_op, token) == 32, "the same in all versions");

/* u.resolve.flags */
enum {
	WGW_RESOLVE_NO_SEARCH = 1 << 0,
};

#endif
