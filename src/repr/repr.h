/* SPDX-License-Identifier: MIT */
/*
 * repr.h - operations on application sockets, as their programs see them
 *
 * Every function takes the session and a descriptor of the application's socket (the caller's own
 * number for it: the shim is the application, the supervisor has a duplicate). Results are those of
 * the system call of the same name, with -errno in place of -1; errno is not touched. No memory is
 * allocated, no state is kept: what is known about a socket is in the kernel (tag, label) or at
 * the tunnel process under the socket's cookie. See wire.h.
 *
 * Functions may wait where the system call may wait, and for the tunnel process's answer to an
 * operation.
 */
#ifndef SRC_REPR_REPR_H
#define SRC_REPR_REPR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "src/repr/wire.h"
#include "stack/addr.h"

/* The name and index under which programs know the tunnel's interface. */
#define WGW_REPR_INTERFACE "wg0"
enum { WGW_REPR_INTERFACE_INDEX = 2, WGW_REPR_LOOPBACK_INDEX = 1 };

/** struct wgw_repr_session - how to reach the tunnel process, from WGW_SESSION_ENV */
struct wgw_repr_session {
	uint8_t token[WGW_TOKEN_BYTES];
	uint8_t label_key[WGW_LABEL_KEY_BYTES];
	struct wgw_preambles preambles;
	char abstract[2 * WGW_ABSTRACT_BYTES + 1]; /* hex, as in the name */
	char path[WGW_PATH_PREFIX_MAX_BYTES + 1];
	bool outside; /* this program's new sockets are outside of the tunnel; see apps.h */
	/* Datagram sockets have WGW_TAG_RAW: nobody is there to add and take off headers. Connected ones
	 * always do, and datagrams of another peer are dropped; the others until it is asked who sends to
	 * them, or for ancillary data. */
	bool bare;
	/* Called with @asker before the tunnel process is asked for something, whose reply may take its
	 * time; NULL: nobody wants to know. */
	void (*before_asking)(void *asker);
	void *asker;
};

/* ---- session.c ---- */

/* Reads the variable's value. false: malformed, @s is not to be used. */
bool wgw_repr_session_parse(struct wgw_repr_session *s, const char *text);

/* Connects @fd (AF_UNIX) to the rendezvous @which ('s' or 'q'). Waits as @fd's own flags say.
 * Returns 0 or -errno; -ENETDOWN: there is no tunnel process, or not one to be trusted. */
int wgw_repr_rendezvous(const struct wgw_repr_session *s, int fd, char which);

/* ---- tag.c ---- */

/* Reads the tag of @fd. false: not one of our sockets, or no socket at all. */
bool wgw_repr_tag(int fd, uint64_t *tag);
/* Sets and clears bits. */
int wgw_repr_tag_change(int fd, uint64_t set, uint64_t clear);
/* Writes a tag as a whole: of a new socket, or one that was read just now. */
int wgw_repr_tag_put(int fd, uint64_t tag);
uint64_t wgw_repr_cookie(int fd);
/* Whether the tunnel process knows the accepted socket @fd. If not, it will read the tag as it is
 * now, or later. */
bool wgw_repr_is_known(int fd);
bool wgw_repr_nonblocking(int fd);
/* SO_RCVTIMEO or SO_SNDTIMEO (@option) of @fd in ms, rounded up; -1: none. */
int wgw_repr_limit_ms(int fd, int option);
/* Whether the other end is gone (POLLHUP). */
bool wgw_repr_hung_up(int fd);

/* An address as the program gave it, checked as Linux checks it for a socket with @tag.
 * Returns 0, -EINVAL (length), -EAFNOSUPPORT, -ENETUNREACH (IPv4 on a v6-only socket). */
int wgw_repr_addr_read(uint64_t tag, const void *sa, socklen_t len, struct stack_addr *addr);
/* The reverse: writes at most *@len bytes, sets *@len to the full length. */
int wgw_repr_addr_write(uint64_t tag, const struct stack_addr *addr, void *sa, socklen_t *len);
/* The wildcard of the socket's family. */
void wgw_repr_addr_any(uint64_t tag, struct stack_addr *addr);
struct wgw_wire_addr wgw_repr_wire_addr(const struct stack_addr *addr);
struct stack_addr wgw_repr_from_wire(const struct wgw_wire_addr *addr);

/* ---- op.c ---- */

/* Fills the head of @op: @code, the session's token, @fd's kind and cookie; the body is zero. */
void wgw_repr_op_init(const struct wgw_repr_session *s, struct wgw_op *op, enum wgw_op_code code,
		      int fd, uint64_t tag);
/* A conversation. Returns its descriptor or -errno. */
int wgw_repr_op_open(const struct wgw_repr_session *s);
/* Sends @op with @tail_len bytes after it and, if @pass >= 0, that descriptor. 0 or -errno. */
int wgw_repr_op_send(int conversation, const struct wgw_op *op, const void *tail, size_t tail_len,
		     int pass);
/* Receives a reply to @op->code into @op and up to @tail_len bytes after it. Returns the length of
 * the tail, all of it, or -errno (the transport's; what the tunnel process says is in @op->err). */
ssize_t wgw_repr_op_recv(int conversation, struct wgw_op *op, void *tail, size_t tail_len);
/* Sends WGW_FD_BYTE and @fd's own descriptor over @fd, waiting a bounded time while too many
 * descriptors are in flight. 0, -ENOBUFS, or -ENETDOWN: the tunnel process is gone. */
int wgw_repr_pass_self(int fd);
/* One request, one reply, with up to @size bytes after it. Returns as wgw_repr_op_recv. */
ssize_t wgw_repr_op_ask(const struct wgw_repr_session *s, struct wgw_op *op, void *tail,
			size_t size);
/* One request, one reply. Returns 0 or -errno, @op->err included when it is positive. */
int wgw_repr_op_call(const struct wgw_repr_session *s, struct wgw_op *op);
/* The same about the socket @fd: if it is a datagram socket that the tunnel process does not know,
 * returns as wgw_repr_dgram_lost. */
int wgw_repr_op_about(const struct wgw_repr_session *s, struct wgw_op *op, int fd);

/* ---- tcp.c ---- */

enum wgw_repr_tcp_state {
	WGW_REPR_NEW,
	WGW_REPR_LISTENING,
	WGW_REPR_CONNECTING,
	WGW_REPR_CONNECTED, /* label valid */
	WGW_REPR_FAILED,    /* label valid */
	WGW_REPR_LOST,	    /* the tunnel process went away before the outcome */
};

/* Creates a socket for the program. Returns the descriptor or -errno as socket(2) does. */
int wgw_repr_socket(const struct wgw_repr_session *s, int domain, int type, int protocol);
enum wgw_repr_tcp_state wgw_repr_tcp_state(const struct wgw_repr_session *s, int fd, uint64_t tag,
					   struct wgw_label *label);
/* connect(2), all kinds. */
int wgw_repr_connect(const struct wgw_repr_session *s, int fd, uint64_t tag, const void *sa,
		     socklen_t len);
/* The same without waiting: -EINPROGRESS, -EALREADY for a blocking socket, too. */
int wgw_repr_connect_begin(const struct wgw_repr_session *s, int fd, uint64_t tag, const void *sa,
			   socklen_t len);
/* What connect(2) on a socket with a pending or ended connect returns at this moment. */
int wgw_repr_connect_result(const struct wgw_repr_session *s, int fd, uint64_t tag);
/* Creates an unconnected TCP socket with the options and address of @fd, whose connect has failed
 * and was told, or was dissolved, or which is a listener that was shut down: an AF_UNIX stream
 * cannot connect twice, a TCP socket can. To be called when connect or listen said ECONNABORTED.
 * Returns the new descriptor or -errno; -ECONNABORTED: the program is to be told so. */
int wgw_repr_again(const struct wgw_repr_session *s, int fd, uint64_t tag);
/* Copies the options that the kernel keeps on the AF_UNIX socket: to an accepted socket from its
 * listener (when that has WGW_TAG_INHERITED), or to one that takes another's place. */
void wgw_repr_copy_native(int from, int to);
/* The true error of a read or write on a TCP socket that the kernel has answered with @n
 * (-errno). */
ssize_t wgw_repr_tcp_error(const struct wgw_repr_session *s, int fd, uint64_t tag, ssize_t n);
/* The same of a read that has returned @n. */
ssize_t wgw_repr_tcp_read_end(const struct wgw_repr_session *s, int fd, uint64_t tag, ssize_t n);
/* SO_ERROR: errno (positive) that is pending, which is cleared, or 0. */
int wgw_repr_so_error(const struct wgw_repr_session *s, int fd, uint64_t tag);

/* ---- listen.c ---- */

int wgw_repr_bind(const struct wgw_repr_session *s, int fd, uint64_t tag, const void *sa,
		  socklen_t len);
/* -ECONNABORTED: it was a listener that is shut down; wgw_repr_again() has another socket for
 * it. */
int wgw_repr_listen(const struct wgw_repr_session *s, int fd, uint64_t tag, int backlog);
/* Makes @fd, which accept(2) on a listener with @listener_tag has just returned, ours, and reads
 * the peer's address. -ECONNABORTED: it did not come from the tunnel process; close it. */
int wgw_repr_accepted(const struct wgw_repr_session *s, int fd, uint64_t listener_tag,
		      struct stack_addr *peer);

/* ---- name.c ---- */

int wgw_repr_getsockname(const struct wgw_repr_session *s, int fd, uint64_t tag, void *sa,
			 socklen_t *len);
int wgw_repr_getpeername(const struct wgw_repr_session *s, int fd, uint64_t tag, void *sa,
			 socklen_t *len);
/* Opens the label on @fd's own name, or with @of_peer on its peer's. */
bool wgw_repr_label(const struct wgw_repr_session *s, int fd, bool of_peer,
		    struct wgw_label *label);
/* The addresses as the tunnel process knows them (any may be NULL). */
int wgw_repr_name_op(const struct wgw_repr_session *s, int fd, uint64_t tag,
		     struct stack_addr *local, struct stack_addr *remote);

/* ---- option_get.c, option_set.c ---- */

int wgw_repr_getsockopt(const struct wgw_repr_session *s, int fd, uint64_t tag, int level, int name,
			void *value, socklen_t *len);
int wgw_repr_setsockopt(const struct wgw_repr_session *s, int fd, uint64_t tag, int level, int name,
			const void *value, socklen_t len);
/* Of a socket that is to listen: tells the tunnel process what it was not told when it was set, and
 * connections inherit. 0 or -errno. */
int wgw_repr_tell_inherited(const struct wgw_repr_session *s, int fd, uint64_t tag);

/* Bytes written to a TCP socket and not yet acknowledged by the peer, as SIOCOUTQ counts them, or
 * with @unsent those that have not left, as SIOCOUTQNSD does. -EINVAL for a listener. */
int wgw_repr_unacked(const struct wgw_repr_session *s, int fd, uint64_t tag, bool unsent);

/* ---- dgram.c ---- */

ssize_t wgw_repr_sendmsg(const struct wgw_repr_session *s, int fd, uint64_t tag,
			 const struct msghdr *msg, int flags);
ssize_t wgw_repr_recvmsg(const struct wgw_repr_session *s, int fd, uint64_t tag, struct msghdr *msg,
			 int flags);
int wgw_repr_shutdown(const struct wgw_repr_session *s, int fd, uint64_t tag, int how);

/* Why the tunnel process does not know the datagram socket @fd: -ENOBUFS: it had no room for it,
 * -ENETDOWN: it is another one by now, or gone. */
int wgw_repr_dgram_lost(const struct wgw_repr_session *s, int fd);

/*
 * The same on a UDP socket that was connected when last seen, with WGW_TAG_RAW, in one call and
 * without asking for its tag. By now anything may lie at the number; then the call does to it what
 * read(2), or send(2) with MSG_NOSIGNAL, would (-ENOTSOCK: nothing). @ask reads the tag when that
 * call has not told all: it returns false when the descriptor is none of ours.
 */
typedef bool wgw_repr_ask(int fd, uint64_t *tag);
/* @flags: MSG_DONTWAIT or 0 */
ssize_t wgw_repr_recv_unasked(const struct wgw_repr_session *s, int fd, const struct iovec *iov,
			      size_t n_iov, int flags, wgw_repr_ask *ask);
ssize_t wgw_repr_send_unasked(const struct wgw_repr_session *s, int fd, const struct iovec *iov,
			      size_t n_iov, int flags, wgw_repr_ask *ask);
/* What an error that waits to be received says, -errno, which is told with that; 0: none is next, or
 * it is not for send(2) to tell (of sockets with an error queue). Takes nothing else. */
int wgw_repr_pending_error(const struct wgw_repr_session *s, int fd, wgw_repr_ask *ask);
/* Whether these buffers may go that way: of a socket that sends no fragments, what never needs
 * any. */
bool wgw_repr_is_sent_unasked(const struct wgw_repr_session *s, const struct iovec *iov, size_t n,
			      bool dontfrag);

/* ---- route.c, errors.c ---- */

/* What is not larger becomes no fragments, in bytes: the tunnel's own, and by what ICMP has said of
 * the path. UINT16_MAX: it is the host's to know. */
struct wgw_repr_mtus {
	uint16_t tunnel, path;
};
/* Whether a datagram may go to @to from @local_ip (all zero: any). 0 or -errno: the policy refuses
 * it, or the address is not ours. What was allowed is remembered; @mtus (NULL: it does not matter)
 * for a tenth of a second. */
int wgw_repr_may_send(const struct wgw_repr_session *s, int fd, uint64_t tag,
		      const struct stack_addr *to, const uint8_t local_ip[16],
		      struct wgw_repr_mtus *mtus);
/* The program is told EMSGSIZE: what is remembered of MTUs is asked anew. */
void wgw_repr_mtus_forget(void);
/* recvmsg(MSG_ERRQUEUE): the oldest error that was not told yet. The bytes that it quotes of the
 * program's datagram, or -errno. */
ssize_t wgw_repr_error_queue(const struct wgw_repr_session *s, int fd, uint64_t tag,
			     struct msghdr *msg);

/* Whether the next message of a datagram socket says that there is an error, and is no data. */
bool wgw_repr_error_is_next(const struct wgw_repr_session *s, int fd, uint64_t tag);
/* A datagram to @to is refused for being larger than @mtu: with IP_RECVERR the error queue says so,
 * too, as ip_local_error(). */
void wgw_repr_too_large(const struct wgw_repr_session *s, int fd, uint64_t tag,
			const struct stack_addr *to, size_t mtu);

/* ---- udp_connect.c ---- */

/* Connects a UDP or ping socket, or disconnects it (@to NULL). */
int wgw_repr_udp_connect(const struct wgw_repr_session *s, int fd, uint64_t tag,
			 const struct stack_addr *to);
/* Gives a socket message headers, for what bare payload cannot say. *@tag is read again. */
int wgw_repr_udp_unraw(const struct wgw_repr_session *s, int fd, uint64_t *tag);

/* ---- resolve.c ---- */

/* Asks for the addresses of @name. Returns 0 with @op->u.resolved, or an EAI_* code. */
int wgw_repr_resolve(const struct wgw_repr_session *s, const char *name, int family, int flags,
		     struct wgw_op *op);
/* Asks for the name of @addr; @name holds WGW_NAME_MAX_BYTES. 0 or an EAI_* code. */
int wgw_repr_reverse(const struct wgw_repr_session *s, const struct stack_addr *addr, char *name);
/* A DNS query of any type; @flags: WGW_RESOLVE_NO_SEARCH, or 0 for the search domains, too. Returns
 * the response's length (at most @size are stored), or an EAI_* code (negative). */
ssize_t wgw_repr_dns_query(const struct wgw_repr_session *s, const char *name, uint32_t flags,
			   uint16_t class_, uint16_t type, void *response, size_t size);

#endif
