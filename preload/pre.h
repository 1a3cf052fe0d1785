/* SPDX-License-Identifier: MIT */
/*
 * pre.h - what the hooks share
 *
 * Each exported function has libc's own name. It asks whether the descriptor is one of ours
 * (pre_ours); if not, the next definition of the same function is called (pre_next). Otherwise
 * src/repr does the work and pre_result turns -errno into libc's convention.
 */
#ifndef PRELOAD_PRE_H
#define PRELOAD_PRE_H

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "src/repr/repr.h"

#define PRE_EXPORT __attribute__((visibility("default")))

/* The next definition of every hooked function; NULL: libc has none. */
struct pre_next {
	int (*socket)(int, int, int);
	int (*connect)(int, const struct sockaddr *, socklen_t);
	int (*bind)(int, const struct sockaddr *, socklen_t);
	int (*listen)(int, int);
	int (*accept)(int, struct sockaddr *, socklen_t *);
	int (*accept4)(int, struct sockaddr *, socklen_t *, int);
	int (*getsockname)(int, struct sockaddr *, socklen_t *);
	int (*getpeername)(int, struct sockaddr *, socklen_t *);
	int (*getsockopt)(int, int, int, void *, socklen_t *);
	int (*setsockopt)(int, int, int, const void *, socklen_t);
	int (*shutdown)(int, int);
	ssize_t (*send)(int, const void *, size_t, int);
	ssize_t (*sendto)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
	ssize_t (*sendmsg)(int, const struct msghdr *, int);
	int (*sendmmsg)(int, struct mmsghdr *, unsigned int, int);
	ssize_t (*recv)(int, void *, size_t, int);
	ssize_t (*recvfrom)(int, void *, size_t, int, struct sockaddr *, socklen_t *);
	ssize_t (*recvmsg)(int, struct msghdr *, int);
	int (*recvmmsg)(int, struct mmsghdr *, unsigned int, int, struct timespec *);
	int (*ioctl)(int, unsigned long, ...);
	ssize_t (*read)(int, void *, size_t);
	ssize_t (*write)(int, const void *, size_t);
	ssize_t (*readv)(int, const struct iovec *, int);
	ssize_t (*writev)(int, const struct iovec *, int);
	int (*fcntl)(int, int, ...);
	int (*fcntl64)(int, int, ...);
	int (*poll)(struct pollfd *, nfds_t, int);
	int (*ppoll)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
	int (*system)(const char *);
	FILE *(*popen)(const char *, const char *);
	int (*getnameinfo)(const struct sockaddr *, socklen_t, char *, socklen_t, char *, socklen_t,
			   int);
	int (*execve)(const char *, char *const[], char *const[]);
	int (*execvpe)(const char *, char *const[], char *const[]);
	int (*fexecve)(int, char *const[], char *const[]);
	int (*posix_spawn)(pid_t *, const char *, const posix_spawn_file_actions_t *,
			   const posix_spawnattr_t *, char *const[], char *const[]);
	int (*posix_spawnp)(pid_t *, const char *, const posix_spawn_file_actions_t *,
			    const posix_spawnattr_t *, char *const[], char *const[]);
};

/* Both valid after pre_enter(). */
extern struct pre_next pre_next;
extern struct wgw_repr_session pre_session;

/* Lets the calls of @next, libc's functions, pass the supervised filter where they may; at the start. */
void pre_go_direct(struct pre_next *next);
/* First thing in every hook: hooks run before our constructor when another library's does. */
void pre_enter(void);
/* Whether the constructor has run, or been forestalled by pre_enter(). */
bool pre_started(void);
/* Whether there is a session. Without one, IP sockets are refused. */
bool pre_have_session(void);
/*
 * What runs the program's code in its own way (valgrind) makes system calls elsewhere than in the
 * exempt page. A supervisor then answers those of this library, too, as if they were the program's,
 * and says of a datagram socket that is being made what nobody else says: that it has no peer
 * (EDESTADDRREQ). From then on no descriptor is ours, and the supervisor answers for all.
 */
void pre_step_aside(void);
bool pre_is_aside(void);
/* Whether @fd is one of ours; reads its tag. */
bool pre_ours(int fd, uint64_t *tag);

/* ---- kind.c ---- */

enum pre_kind {
	PRE_KIND_UNKNOWN,
	PRE_KIND_OTHER,		     /* none of ours */
	PRE_KIND_STREAM,	     /* TCP: it was ours when last seen */
	PRE_KIND_DATAGRAM,	     /* UDP or ping, likewise */
	PRE_KIND_CONNECTED,	     /* UDP, with a peer and without headers then */
	PRE_KIND_CONNECTED_DONTFRAG, /* it sent no fragments either */
};

/* What @fd probably is, never PRE_KIND_UNKNOWN. */
enum pre_kind pre_kind(int fd);
/* @fd was put there just now by a call of ours, or may have been by another. */
void pre_kind_set(int fd, enum pre_kind kind);
/* @fd was looked at and is none of ours. @before: what pre_kind_entry() returned before the look;
 * if something else was said of @fd since then, that stands. */
void pre_kind_is_other(int fd, unsigned before);
unsigned pre_kind_entry(int fd);
/* @fd had @tag, which was read after pre_kind_changes() returned @since. */
void pre_kind_saw(int fd, uint64_t tag, uint32_t since);
uint32_t pre_kind_changes(void);
/* A call has ended that may have changed the peer or the options of @fd, which had @tag before. */
void pre_kind_changed(int fd, uint64_t tag);
/* @to is a duplicate of @from. */
void pre_kind_copy(int from, int to);
/* The program has a seccomp filter of its own now, or is about to: read and write make no call but
 * themselves on what is not known to be a datagram socket. It holds for children, too. */
void pre_kind_ask_no_more(void);
/* Whether a call that moves data on @fd is to be the kernel's own and nothing more, for that
 * reason.
 * @surely: @fd was a connection of ours when last seen; else: it is not known to be a datagram
 * socket. */
bool pre_kind_is_bare(int fd, bool surely);
/* That filter does not let us ask what a descriptor is either: from now on what is not known to be
 * ours is not. */
void pre_kind_may_not_ask(void);
bool pre_kind_is_past_asking(int fd);
/* Descriptors came with @msg. */
void pre_kind_received(const struct msghdr *msg);

/* ---- filter.c ---- */

struct sock_fprog;

/* Whether the seccomp filter @program ends, traps or refuses a call by which sockets are known.
 * @program: as the program passes it to the kernel, readable or NULL. */
bool pre_filter_forbids_asking(const struct sock_fprog *program);

/* ---- connect.c ---- */

/* Puts a fresh socket in the place of @fd, as wgw_repr_again() makes it, and reads its tag. 0 or
 * -errno. */
int pre_again(int fd, uint64_t *tag);

/* ---- watches.c ---- */

enum { PRE_WATCHES_MAX = 16 };

/**
 * struct pre_watches - registrations of one descriptor
 * @epoll:	The epoll's descriptor
 * @events, @data: as in struct epoll_event
 */
struct pre_watches {
	unsigned int n;
	struct pre_watch {
		int epoll;
		uint32_t events;
		uint64_t data;
	} of[PRE_WATCHES_MAX];
};

/* Takes @fd out of the epolls of this process that have it. */
void pre_watches_take(int fd, struct pre_watches *w);
/* Puts @fd, another socket by now, into them again. */
void pre_watches_give(int fd, const struct pre_watches *w);

/* ---- spare.c ---- */

/* The result of system call @nr on @fd, one of ours, with the arguments from @b on: @rc, unless that
 * is -EMFILE and a supervisor can make the call, whose answer it is then. */
long pre_spare(long rc, long nr, int fd, long b, long c, long d, long e, long f);

/* The same for listen(2), also when @rc says that the listener's file could not be made where the
 * program is. */
int pre_spare_listen(int rc, int fd, int backlog);

/* ---- poll.c ---- */

/* A socket of this process has an error queue now. */
void pre_poll_errors(void);

/* ---- stream.c ---- */

/* The end of a read from or write to a connection: @n and errno are the kernel's, the result is
 * what the program gets. The latter raises SIGPIPE as @flags allow. */
ssize_t pre_stream_read_end(int fd, ssize_t n);
ssize_t pre_stream_write_end(int fd, ssize_t n, int flags);

/* As pre_ours(), and remembers it when it is not. */
bool pre_ask(int fd, uint64_t *tag);

/* ---- dgram.c ---- */

/* What moves data on a UDP socket that was connected when last seen, in one call as natively;
 * -errno in *@result. False: it was not, or the buffers need the long way. @flags: MSG_DONTWAIT;
 * to send, MSG_NOSIGNAL, too: for what is a connection by now. */
bool pre_connected_recv(int fd, const struct iovec *iov, size_t n, int flags, ssize_t *result);
bool pre_connected_send(int fd, const struct iovec *iov, size_t n, int flags, ssize_t *result);
/* The ICMP error that a send on a connected UDP socket tells, -errno, or 0. To be asked before each
 * that goes the long way. */
int pre_send_error(int fd, uint64_t tag);

/* ---- waiting ---- */

/* Our waits are bare system calls: between these two they are cancellation points, as libc's are.
 * No lock is held. Who is in the middle of a conversation leaves its descriptor open (ledger). */
static inline int pre_wait_begin(void)
{
	int old;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
	return old;
}

static inline void pre_wait_end(int old)
{
	pthread_setcanceltype(old, &old);
}

/* ---- exec.c ---- */

enum {
	PRE_ENV_MORE = 4, /* entries that a repaired environment may have more, NULL included */
	PRE_PRELOAD_MAX_BYTES = 8192,
};

/** struct pre_env - what an environment lacks
 * @session, @apps: Entries to add, or NULL
 * @preload:	An entry to put in place of the program's own, or NULL
 * @theirs:	What the program's own names, to stand behind it there, or NULL
 * @preload_at:	Where that is; SIZE_MAX: nowhere
 * @room:	Bytes that @preload and @theirs take together
 */
struct pre_env {
	const char *session, *apps, *preload, *theirs;
	size_t preload_at, room;
};

/* Whether wgwrap's variables or LD_PRELOAD are missing from @env; what, in @r, which refers to @env. */
bool pre_env_examine(char *const env[], struct pre_env *r);
/* Writes the repaired copy of @env to @out, which has room for PRE_ENV_MORE more. It refers to
 * @text, of r->room bytes. Returns @out. */
char **pre_env_repair(char *const env[], const struct pre_env *r, char **out, char *text);

/* The session's environment entries, kept from the start ("NAME=value"), or NULL. */
const char *pre_kept_session(void);
const char *pre_kept_preload(void);
const char *pre_kept_apps(void);

static inline ssize_t pre_result(ssize_t rc)
{
	if (rc >= 0)
		return rc;
	errno = (int)-rc;
	return -1;
}

#endif
