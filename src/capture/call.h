/* SPDX-License-Identifier: MIT */
/*
 * call.h - what the files of this folder share: one reported system call, and its answer
 */
#ifndef SRC_CAPTURE_CALL_H
#define SRC_CAPTURE_CALL_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "src/capture/capture.h"
#include "src/repr/repr.h"

/** enum wgw_socket_class - what the descriptor in the first argument is */
enum wgw_socket_class {
	WGW_SOCKET_OURS,    /* represents an IP socket of the program */
	WGW_SOCKET_IP,	    /* an IP socket from outside */
	WGW_SOCKET_OTHER,   /* another socket, or no socket at all */
	WGW_SOCKET_UNKNOWN, /* the process does not let us look */
};

/* What headers before Linux 5.14's lack. */
#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif

struct wgw_busy;
struct wgw_copies;

/** struct wgw_asked - what a call asks for that is to be done only once: the first @len bytes of
 * @value; and its result */
struct wgw_asked {
	struct sockaddr_storage value;
	socklen_t len;
	long result;
};

/**
 * struct wgw_datagram - one that was received
 * @next, @number: busy.c's own
 * @data, @control: malloc'ed, @len and @control_len bytes
 * @size:	What the call returned: may be more than @len
 */
struct wgw_datagram {
	struct wgw_datagram *next;
	uint64_t number;
	uint8_t *data, *control;
	size_t len, control_len;
	struct sockaddr_storage name;
	socklen_t name_len;
	int flags;
	long size;
};

enum {
	WGW_CALL_KINDS_MAX = 20,
	WGW_CALL_BUCKETS = 64,
};

enum { WGW_PIDFDS_MAX = 8 };

/**
 * struct wgw_pidfd - a pidfd that the next call of thread @tid may use again
 * @tid:	0: this place is free
 * @group:	0: it is of the thread itself; else of this process, which the thread was of
 */
struct wgw_pidfd {
	pid_t tid, group;
	int fd;
};

/**
 * struct wgw_capture - one session's supervision
 * @listener:	Notifications
 * @apps:	Which programs use the tunnel (src/repr/apps.h), NULL: all
 * @lock:	Guards what follows
 * @threads, @listening: All of them, at most @threads_max; those that wait for a notification, or
 *		are about to
 * @spare, @called: Those that wait until they are to listen; who have been told so, @needed, and do
 *		not know it yet
 * @turns:	How often a thread has ended a call
 * @has_watch, @watching: There is a watch; it is awake, or is being woken (@watched)
 * @parallel:	A second call is worked on at once, while the first is
 * @waiting:	Those whose call waits for the network; at most @waiting_max
 * @calls:	Those that a thread works on, by the program's thread
 * @pidfds:	Of threads that called lately; those that a call uses are not among them
 * @count:	Calls that were answered, of each kind
 * @copies:	Instead of pidfd_getfd; NULL: that works
 * @busy:	Sockets with a call in progress, or with something kept for them (busy.c)
 * @sweeping:	A thread looks whether that has become old
 */
struct wgw_capture {
	int listener;
	struct wgw_repr_session session;
	char *apps;
	uint64_t *kept;
	size_t n_kept;
	struct wgw_copies *copies;
	pthread_mutex_t lock;
	pthread_cond_t needed, watched;
	unsigned int threads, threads_max, listening, spare, called, turns, waiting, waiting_max;
	bool has_watch, watching, parallel;
	struct wgw_pidfd pidfds[WGW_PIDFDS_MAX];
	unsigned int next_pidfd;
	struct wgw_call *calls[WGW_CALL_BUCKETS];
	_Atomic unsigned int count[WGW_CALL_KINDS_MAX];
	struct wgw_busy *busy[WGW_CALL_BUCKETS];
	bool sweeping;
};

/**
 * struct wgw_call - one system call that a program waits in
 * @id:		Of the notification
 * @tid:	The thread
 * @pidfd, @group: Of the thread, or of its process; -1: none could be had; as in struct wgw_pidfd
 * @fd:		Our duplicate of the descriptor in the first argument; -1: none. Closed before the
 *		answer: a socket that the program closes then must be gone
 * @what, @tag:	What it is
 * @busy:	Held lock of that socket
 * @asked:	Of bind, shutdown and calls that send: the address, SHUT_*, a digest
 * @give, @give_flags: The descriptor that is the result (owned); O_CLOEXEC or 0
 * @broken_pipe: The program gets SIGPIPE after the answer
 * @undo:	Called when the answer did not reach the program
 * @undo_uses_fd: @fd stays open until then
 * @next, @worker, @asleep: In wgw_capture.calls: the thread of ours that works on it, and whether
 *		that waits for the network; guarded by the capture's lock
 * @poked:	Something is kept that it may be waiting for
 */
struct wgw_call {
	struct wgw_call *next;
	pthread_t worker;
	bool asleep;
	_Atomic bool poked;
	struct wgw_capture *capture;
	uint64_t id;
	pid_t tid;
	int nr;
	uint64_t args[6];
	int pidfd;
	pid_t group;
	int fd;
	enum wgw_socket_class what;
	uint64_t tag;
	struct wgw_busy *busy;
	struct wgw_asked asked;
	int give, give_flags;
	bool broken_pipe;
	void (*undo)(struct wgw_call *c);
	bool undo_uses_fd;
};

/* What a handler returns: a value >= 0, -errno, or one of these. */
enum {
	WGW_CALL_CONTINUE = INT_MIN, /* the kernel carries the call out */
	WGW_CALL_GIVE,		     /* the result is @give, in the program's table */
	WGW_CALL_GONE,		     /* nobody waits for an answer any more */
};

typedef long wgw_call_handler(struct wgw_call *c);

/* ---- listener.c ---- */

/* Who is woken by a notification or by its answer runs where the other one ran, which sleeps then:
 * waking another processor costs more. Without effect before Linux 6.6. */
void wgw_listener_wake_here(int listener);

/* Whether the program still waits. What was learnt about @tid is only then about that thread. */
bool wgw_call_valid(const struct wgw_call *c);
/* Waits until @events or a hang-up happen on @c->fd, without the socket's lock.
 * @until_ms: of wgw_raw_now_ms, -1: no limit. Returns 1, 0 (too late), WGW_CALL_GONE or -ENOBUFS:
 * too many calls wait. */
long wgw_call_wait(struct wgw_call *c, short events, int64_t until_ms);
/* The end of a wait that @option (SO_RCVTIMEO, SO_SNDTIMEO) bounds, of a call that is made again
 * after a signal the first one's; -1: not bounded. */
int64_t wgw_call_until(struct wgw_call *c, int option);
/* Puts a descriptor in place of the one in the first argument. 0 or -errno. */
int wgw_call_replace(struct wgw_call *c, int fd);
/* Other calls that wait on @c's socket look whether there is something for them. */
void wgw_call_wake_waiting(const struct wgw_call *c);
/* Waits (a second at most) until calls that are over hold no sockets any more, but @c's. The
 * program may have closed those, and want their addresses again. */
void wgw_call_settle(const struct wgw_call *c);

/* What a thread does: takes notifications and answers them. @capture: struct wgw_capture */
void *wgw_listener_serve(void *capture);

/* ---- threads.c ---- */

/* The first thread, which listens. false with errno. */
bool wgw_threads_start(struct wgw_capture *k);
/* The calling thread was listening, and has a notification. */
void wgw_threads_take(struct wgw_capture *k);
/* It has answered. true: it listens again, perhaps after a while; false: it is to end. */
bool wgw_threads_again(struct wgw_capture *k);
/* Makes a thread listen if none does: the calling one may be held up. false: none can be had. */
bool wgw_threads_listen(struct wgw_capture *k);

/* ---- target.c: the program's memory and descriptors ---- */

/* Opens @c->pidfd and @c->fd and finds out what it is; the lock of a socket of ours is taken
 * (busy.c). 0 or -errno (-EBADF as the kernel). */
int wgw_target_open(struct wgw_call *c);
void wgw_target_close(struct wgw_call *c);
/* Whether the program's number is still @c->fd's: another thread may have closed it. */
bool wgw_target_is_there(const struct wgw_call *c);
/* Whether the user has put the program outside of the tunnel. */
bool wgw_target_is_outside(const struct wgw_call *c);
/* Copies. 0 or -EFAULT; writes fail when nobody waits any more. */
int wgw_target_read(const struct wgw_call *c, uint64_t from, void *to, size_t len);
int wgw_target_write(const struct wgw_call *c, uint64_t to, const void *from, size_t len);
/* Writes an address as the kernel does: what fits at @to, the full length at @to_len. */
int wgw_target_write_address(const struct wgw_call *c, uint64_t to, uint64_t to_len,
			     const void *address, socklen_t len);

enum {
	WGW_PIECES_MAX = 16,
	WGW_NEAR_BYTES = 512,
};

/**
 * struct wgw_near - a stretch of the program's memory that was copied with what was asked for: what
 * else the call points to often lies beside that, on the thread's stack
 * @from, @len:	Where it is there; @len is 0: nothing was copied
 */
struct wgw_near {
	uint64_t from;
	size_t len;
	uint8_t bytes[WGW_NEAR_BYTES];
};

/* Copies as wgw_target_read() does, and into @near what lies around it, within the same page. */
int wgw_target_read_near(const struct wgw_call *c, uint64_t from, void *to, size_t len,
			 struct wgw_near *near);

/**
 * struct wgw_pieces - pieces of the program's memory that are copied together, in their order
 * @here, @there: Ours and the program's, @n of each, as long as each other
 * @write:	To the program
 * @near:	What is there need not be copied from the program; NULL: nothing is
 * @failed:	Of those that were copied because there was no room for more
 */
struct wgw_pieces {
	const struct wgw_call *c;
	const struct wgw_near *near;
	bool write, failed;
	size_t n;
	struct iovec here[WGW_PIECES_MAX], there[WGW_PIECES_MAX];
};

/* No pieces yet; @write: what is added is copied to the program, else from it. */
void wgw_pieces_begin(struct wgw_pieces *p, const struct wgw_call *c, bool write);
/* @here is only read from when the pieces are written. */
void wgw_pieces_add(struct wgw_pieces *p, uint64_t there, const void *here, size_t len);
/* Adds an address as the kernel writes it: what fits at @to, the full length at @to_len. 0; or
 * -EFAULT, -EINVAL: what @to_len says cannot be read, or used; nothing is added then. */
int wgw_pieces_add_address(struct wgw_pieces *p, uint64_t to, uint64_t to_len, const void *address,
			   const socklen_t *len);
/* Copies them. 0 or -EFAULT, as above. */
int wgw_pieces_copy(struct wgw_pieces *p);

/* ---- memory.c: how that is done ---- */

/* Copy all pieces from or to the memory of thread @tid's process. 0 or -errno; -EFAULT: a pointer is
 * bad. */
int wgw_memory_read(pid_t tid, const struct wgw_pieces *p);
int wgw_memory_write(pid_t tid, const struct wgw_pieces *p);

/* ---- busy.c: one call at a time on each socket, and what is kept of those interrupted ---- */

/* Takes the lock of @c->fd's socket. */
void wgw_busy_lock(struct wgw_call *c);
void wgw_busy_unlock(struct wgw_call *c);
/* Lets others have it while @c waits for the network; and takes it again. */
void wgw_busy_sleep(struct wgw_call *c);
void wgw_busy_wake(struct wgw_call *c);
/* Keeps connection @fd, whose accept nobody waited for, for the next one; owned. */
void wgw_busy_keep(struct wgw_call *c, int fd);
/* A connection that was kept, or -1. */
int wgw_busy_take(struct wgw_call *c);
/* Keeps that @c, a call that nobody waits for (or may not, when it is answered), has succeeded:
 * @c->asked. */
void wgw_busy_keep_done(struct wgw_call *c);
/* Whether @c is that call, made again by the same thread, with the result in @c->asked. */
bool wgw_busy_take_done(struct wgw_call *c);
/* The result that was kept for the thread and the kind of call of @c, when that was just now; -1:
 * none. */
long wgw_busy_may_be_done(const struct wgw_call *c);
/* Keeps *@got (what it points to is owned), which was received for @c, until that is answered. */
void wgw_busy_keep_got(struct wgw_call *c, const struct wgw_datagram *got);
/* The oldest that was received for a call that has been interrupted; it is @c's from here on, but with
 * @peek. NULL: there is none. Valid until @c is over. */
const struct wgw_datagram *wgw_busy_take_got(struct wgw_call *c, bool peek);
/* Keeps socket @fd, which was to take this one's place; owned. And takes it, or -1. */
void wgw_busy_keep_again(struct wgw_call *c, int fd);
int wgw_busy_take_again(struct wgw_call *c);
/* When @c, which may wait until @until_ms, is to end: when the call that it repeats was to. */
int64_t wgw_busy_until(struct wgw_call *c, int64_t until_ms);
/* @c is over on this socket: it was @answered, and nothing is kept of it, or it was interrupted and may
 * be made again. */
void wgw_busy_over(struct wgw_call *c, bool answered);

/* ---- copies.c: descriptors of the program, where it does not let us take them ---- */

/* @scan: as in struct wgw_capture_options. NULL with errno. */
struct wgw_copies *wgw_copies_start(wgw_capture_scan *scan);
/* Keeps a copy of @fd, which a program is about to get; and says that the attempt is over, so that
 * the copy is dropped when nobody has the socket. */
void wgw_copies_add(struct wgw_copies *k, int fd);
void wgw_copies_given(struct wgw_copies *k, int fd);
/* Drops the copies of sockets that no program has any more; done from time to time, too. */
void wgw_copies_sweep(struct wgw_copies *k);
/* A new duplicate of the program's descriptor @number; *@what is set when there is none (-1). */
int wgw_copies_find(struct wgw_copies *k, pid_t tid, int number, enum wgw_socket_class *what);

/* ---- connect.c ---- */

/* Puts a fresh socket in place of the program's, as wgw_repr_again() makes it. 0, -errno or
 * WGW_CALL_GONE. */
long wgw_call_again(struct wgw_call *c);
/* connect(2) on our socket. @wait: as long as the program's own call would; else it is begun. 0,
 * -errno or WGW_CALL_GONE. */
long wgw_call_connect_to(struct wgw_call *c, const void *address, socklen_t len, bool wait);

/* ---- policy.c: sockets that are not ours ---- */

/* Whether a connection to @address, on a socket that is not ours, would go around the tunnel. 0 or
 * -errno to answer with. */
int wgw_outside_connect(const struct wgw_call *c, const void *address, socklen_t len);

/* ---- handlers ---- */

wgw_call_handler wgw_call_socket, wgw_call_connect, wgw_call_bind, wgw_call_listen, wgw_call_accept,
	wgw_call_accept4, wgw_call_getsockname, wgw_call_getpeername, wgw_call_shutdown,
	wgw_call_getsockopt, wgw_call_setsockopt, wgw_call_sendto, wgw_call_sendmsg,
	wgw_call_sendmmsg, wgw_call_recvfrom, wgw_call_recvmsg, wgw_call_recvmmsg;

#endif
