/* SPDX-License-Identifier: MIT */
/*
 * session.h - what the files of this folder share
 *
 * Errors that end the run are said by the function that meets them (wgw_say, level 0); its caller
 * only learns that it failed.
 */
#ifndef SRC_SESSION_SESSION_H
#define SRC_SESSION_SESSION_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "src/base/descriptors.h"
#include "src/capture/capture.h"
#include "src/session/channel.h"
#include "src/session/run.h"
#include "src/tunnel/tunnel.h"

/* ---- say.c: wgwrap's own words ---- */

enum { WGW_SAY_ERROR, WGW_SAY_WARNING, WGW_SAY_INFO, WGW_SAY_DEBUG };

/* Takes verbosity, format and file from @options. Returns 0, or -1 after an error was said. */
int wgw_say_init(const struct wgw_run_options *options);
/* One line, "wgwrap: ..." or a JSON object; -q leaves only errors, -v adds WGW_SAY_INFO, -vv
 * WGW_SAY_DEBUG. */
void wgw_say(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Takes what is wrong with a configuration, and says it. */
struct wgw_diag wgw_say_diag(void);
/* A line of a terminal that the next one takes the place of; elsewhere, and with -q, nothing. */
void wgw_say_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Takes it away. */
void wgw_say_progress_end(void);
/* From now on standard error belongs to others: only a log file is still written. */
void wgw_say_detach(void);
/* The descriptor written to, -1: none. It must survive wgw_close_others(). */
int wgw_say_fd(void);

/* ---- inherit.c: descriptors and signals the command must find as they were ---- */

/**
 * struct wgw_inherited - what the process was started with
 * @stdio_closed:	Bit n: descriptor n (0-2) was closed
 * @mask, @chld, @pipe, @xfsz: Signal mask and the dispositions of SIGCHLD, SIGPIPE, SIGXFSZ
 * @file_size:	RLIMIT_FSIZE
 * @close, @n_close:	Inherited IP sockets that the command must not get
 * @kept, @n_kept:	inodes of those that it gets all the same (--keep-fd)
 */
struct wgw_inherited {
	unsigned int stdio_closed;
	sigset_t mask;
	struct sigaction chld, pipe, xfsz;
	struct rlimit file_size;
	int *close;
	size_t n_close;
	uint64_t *kept;
	size_t n_kept;
};

/* To be called before anything is opened: occupies closed standard descriptors and makes
 * children waitable. Returns 0, or -1 after an error was said. */
int wgw_inherited_take(struct wgw_inherited *in);
/* Finds inherited IP sockets. -1 after an error was said: one of them would be missed. */
int wgw_inherited_check(struct wgw_inherited *in, const struct wgw_run_options *options);
/* In the command's process, right before exec: gives back what take changed. */
void wgw_inherited_restore(const struct wgw_inherited *in);

/* ---- rundir.c ---- */

enum { WGW_RUNDIR_BYTES = WGW_PATH_PREFIX_MAX_BYTES - WGW_TUNNEL_NAME_BYTES };

/**
 * struct wgw_rundir - the user's runtime directory
 * @fd:		O_DIRECTORY descriptor; -1: none could be had
 * @path:	Absolute; "" without a directory
 */
struct wgw_rundir {
	int fd;
	char path[WGW_RUNDIR_BYTES];
};

/* Opens the first of these that works, creating it: $WGWRAP_RUNTIME_DIR, $XDG_RUNTIME_DIR/wgwrap,
 * /run/user/UID/wgwrap, /dev/shm/wgwrap-UID, /tmp/wgwrap-UID. When none does, @fd is -1 and the
 * reasons are said. */
void wgw_rundir_open(struct wgw_rundir *dir);
/* Takes the lock <name>.lock. @wait: else -EWOULDBLOCK when it is taken. The descriptor, which
 * holds the lock until it is closed, or -errno. */
int wgw_rundir_lock(const struct wgw_rundir *dir, const char *name, bool wait);
/* How long the next tunnel process has to wait, in ns: one that started a moment ago has sent an
 * initiation, and peers drop another one that comes too soon. @lock: of its name, held and not yet
 * written. */
uint64_t wgw_rundir_start_gap(int lock);
/* Gives the rendezvous @from the name @to, whose lock the caller holds as @lock. */
void wgw_rundir_rename(const struct wgw_rundir *dir, const char *from, const char *to, int lock);
/* Removes what dead tunnel processes other than @name have left. */
void wgw_rundir_sweep(const struct wgw_rundir *dir, const char *name);
/* Whether @sun's path is a socket of this user at which nobody listens: left behind by a process
 * that was killed. */
struct sockaddr_un;
bool wgw_unix_is_stale(const struct sockaddr_un *sun);

/* ---- endpoint.c, policy.c ---- */

/**
 * struct wgw_endpoints - addresses of all peers, as struct wgw_tunnel_boot wants them
 */
struct wgw_endpoints {
	struct wg_endpoint (*at)[WGW_ENDPOINTS_MAX];
	uint8_t *n;
};

/* Asks the host's resolver. @family restricts. Returns 0, or -1 after an error that names the
 * host. wgw_endpoints_free accepts what either leaves. */
int wgw_endpoints_resolve(const struct wgw_config *config, int family, struct wgw_endpoints *out);
void wgw_endpoints_free(struct wgw_endpoints *e);

/* The policy lines of channel.h, malloc'ed; NULL without memory. */
char *wgw_policy_text(const struct wgw_run_options *options, const struct wgw_config *config);

/* options.c: the options that are the tunnel's, as lines of the policy text. */
void wgw_options_put(FILE *out, const struct wgw_run_options *o);
/* Takes @n of them, without "option ", into @o, which borrows the texts but endpoint_host. 0 or
 * -errno. */
int wgw_options_take(char *const *lines, size_t n, struct wgw_run_options *o);
/* Whether @o has these and no others. */
bool wgw_options_are(char *const *lines, size_t n, const struct wgw_run_options *o);

/* routes.c: gives destinations to peers as --exit-node and --route ask. 0, or -1 after an error
 * that names the option and the peer was said. */
int wgw_routes_apply(const struct wgw_run_options *options, struct wgw_config *config);

/* ---- channel.c ---- */

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

/* ---- launch.c ---- */

/**
 * struct wgw_launch - what is needed to reach or start the tunnel process, at the first time and
 *	again when it has died
 * @prefix:	Path prefix of the rendezvous; "": abstract names only, tunnel not shared
 * @name:	Identifies user, network namespace, enclosing session and key
 * @running:	Of a reload: the name until then, when the key is another; "": @name
 * @abstract:	Random part of the abstract names; @has_abstract: chosen already
 * @capture:	How the command is captured
 * @tunnel:	Process id of the tunnel process reached; @booted: it was started for this
 * @again:	Not the first time
 * @open_flags:	WGW_CH_*, besides what @options ask for
 * @busy:	NULL, or what to do when a tunnel with other settings runs: 0: try again, -1: an
 *		error was said
 */
struct wgw_launch {
	const struct wgw_run_options *options;
	struct wgw_config *config;
	struct wgw_rundir dir;
	char prefix[WGW_PATH_PREFIX_MAX_BYTES];
	char name[WGW_TUNNEL_NAME_BYTES];
	char running[WGW_TUNNEL_NAME_BYTES];
	uint8_t abstract[WGW_ABSTRACT_BYTES];
	bool has_abstract;
	bool again, booted;
	uint8_t token[WGW_TOKEN_BYTES];
	uint8_t label_key[WGW_LABEL_KEY_BYTES];
	uint16_t mtu, listen_port;
	char *settings;
	char *policy;
	struct wgw_capture_probe capture;
	pid_t tunnel;
	uint32_t peers;
	uint32_t open_flags;
	int (*busy)(struct wgw_launch *l);
};

/* Fills @l: identity, token, texts. Returns 0, or -1 after an error was said. */
int wgw_launch_init(struct wgw_launch *l, const struct wgw_run_options *options,
		    struct wgw_config *config);
/* Finds or starts the tunnel process and opens a channel. Returns it, or -1 after an error. */
int wgw_launch_channel(struct wgw_launch *l);
void wgw_launch_free(struct wgw_launch *l);
/* The running tunnel was changed to what @fresh says: so is what starts it again. @l lets go of its
 * configuration, which is the caller's, and takes that of @fresh. */
void wgw_launch_follow(struct wgw_launch *l, struct wgw_launch *fresh);
/* Whether a tunnel process answers by @name. */
bool wgw_launch_is_taken(const struct wgw_launch *l, const char *name);
/* The running tunnel was given the private key of @public_key: it gets the name that goes with it,
 * unless it has that by now. */
void wgw_launch_rename(struct wgw_launch *l, const uint8_t public_key[WG_KEY_BYTES]);

/* boot.c: makes the listeners and starts a tunnel process; returns when it is up. The caller holds
 * the lock. 0, or -1 after an error was said. */
int wgw_boot_tunnel(struct wgw_launch *l);

/* ---- front.c: what every command that joins a tunnel begins with ---- */

/* -1 after an error was said when the process has privileges of a set-user-ID file. */
int wgw_front_refuse_privileged(void);
/* As PID 1, the usual signals end the process; a message that cannot be written never does. */
void wgw_front_heed_signals(void);

/* ---- wait.c ---- */

/* Waits for a handshake, as --wait says. 0, or -1 after a diagnosis was said. */
int wgw_wait_peers(const struct wgw_launch *l, int channel);

/* ---- program.c ---- */

enum { WGW_SCRIPTS_MAX = 4 }; /* as the kernel's limit of interpreters */

/**
 * struct wgw_program - the file that runs when a program is started
 * @path:	Of the last interpreter when there are @n_scripts of them, else the program's
 * @elf, @elf64, @machine: What its header says, e_machine
 * @read_whole:	Its segments were read: @go, @loader (PT_INTERP; empty: none) are known
 * @is_loader:	It is ld.so itself
 * @setuid, @setgid: Its mode, and whose: @uid, @gid
 * @capabilities: Permitted ones of the file
 */
struct wgw_program {
	char path[PATH_MAX], loader[PATH_MAX];
	unsigned int n_scripts;
	bool elf, elf64, read_whole, go, is_loader, setuid, setgid, capabilities_effective;
	uint16_t machine;
	uid_t uid;
	gid_t gid;
	uint64_t capabilities;
};

/* Reads what the file at @path is. 0, or -errno: it, or an interpreter, cannot be read. */
int wgw_program_read(const char *path, struct wgw_program *p);

/* ---- inspect.c ---- */

enum wgw_obstacle {
	WGW_OBSTACLE_NONE,	 /* or the file cannot be read */
	WGW_OBSTACLE_NO_PRELOAD, /* the shared object does not get into it; the supervisor reaches
				    it */
	WGW_OBSTACLE_MACHINE,	 /* another architecture, whose system calls the filter refuses */
};

/* Finds @file as execvp does and looks at it. 0: may run at @capture's level, *path is malloc'ed.
 * Else the exit status (126, 127) after the reason was said. */
int wgw_find_command(const char *file, const struct wgw_capture_probe *capture, char **path);
/* What is in the way of capturing the program at @path by the shared object; @why: a sentence that
 * begins after its name. */
enum wgw_obstacle wgw_inspect(const char *path, char *why, size_t size);
enum wgw_obstacle wgw_program_judge(const struct wgw_program *p, char *why, size_t size);
/* @file in the directories of PATH: malloc'ed, or NULL with *err */
char *wgw_search_path(const char *file, int *err);

/* ---- environ.c ---- */

enum { WGW_ENVIRON_SESSION = 0 }; /* where WGW_SESSION_ENV is in it */

/* The command's environment: malloc'ed array. NULL after an error was said. */
char **wgw_environ_build(const struct wgw_launch *l);
/* Where the shared object lies, its real path; false after an error was said. */
bool wgw_library_find(char path[PATH_MAX]);
/* Whether programs could load what is at @path: 0, or -errno; -EPERM: its file system is mounted
 * noexec. */
int wgw_library_try(const char *path);
/* In the command's process: what systemd has addressed to wgwrap is for it now. */
void wgw_environ_address(void);
/* Says that a proxy variable points to loopback. */
void wgw_environ_warn(void);

/* ---- level.c ---- */

/* Finds out how the command will be captured, as @options want it. The caller must not hold
 * secrets. Returns 0, or -1 after an error was said. */
int wgw_capture_choose(const struct wgw_run_options *options, struct wgw_capture_trial *trial,
		       struct wgw_capture_probe *probe);

/* ---- command.c ---- */

/* Starts the command as a child. @listener: set to that of the supervised filter, -1: there is
 * none. Returns its process id, or -1 after an error was said. */
pid_t wgw_command_start(const struct wgw_launch *l, const struct wgw_inherited *in,
			char **environment, int *listener);

/* ---- processes.c: what /proc says about descendants ---- */

/* Sets bit i of @held when a descendant of this process holds socket inode @inode[i], or when
 * that cannot be known. */
void wgw_scan_sockets(const uint64_t *inode, unsigned int n, uint64_t *held);
/* Whether @pid descends from this process, or cannot be known not to. */
bool wgw_is_descendant(pid_t pid);
/* Whether @pid has been stopped, by a signal or by who traces it. */
bool wgw_is_stopped(pid_t pid);
/* Whether this process has children other than the @n of @but. */
bool wgw_has_children(const pid_t *but, size_t n);

/* ---- supervisor.c and its parts ---- */

/** struct wgw_report - one message between front and supervisor */
struct wgw_report {
	enum wgw_report_kind {
		/* supervisor to front */
		WGW_REPORT_STOPPED,   /* @value: signal; the command has stopped */
		WGW_REPORT_ENDED,     /* @value: wait status of the command */
		WGW_REPORT_DELIVERED, /* what was written has been delivered, or was given up */
		/* front to supervisor */
		WGW_REPORT_SIGNAL,   /* @value: signal, from @pid, with @payload if @queued */
		WGW_REPORT_CONTINUE, /* the front runs again: one answer to each STOPPED */
		WGW_REPORT_HURRY,    /* do not wait for delivery any longer */
	} kind;
	int value;
	pid_t pid;
	bool queued;
	union sigval payload;
};

enum { WGW_RESOLVERS_MAX = 64 };

/**
 * struct wgw_supervisor - a session's supervisor
 * @channel:	To the tunnel process; -1: it is gone
 * @front:	To the front; -1: it is gone
 * @front_pid:	Its process id
 * @signals:	signalfd of all signals
 * @listener:	Of the supervised filter; -1: there is none, or nobody is left who has it
 * @capture:	Answers what @listener reports; NULL: nothing does
 * @command:	Process id, 0 after it ended
 * @delivered:	The front was told so
 * @stopped:	The command is
 * @stops:	How many STOPPED the front has not answered yet
 * @rouse_at:	When the front is sent the next SIGCONT, 0: none is due (stops.c)
 * @flush_deadline: When FLUSHED is no longer waited for, 0: not waiting
 * @seen:	Sender of the last signal of each number that came to the group, -1: none
 * @held_back:	Signal the front wants forwarded, kept until it is known that it did not go to the
 *		whole group, with @held_until; kind 0 value 0: none
 * @starter, @starter_fd: process that starts the tunnel process again, and its result
 * @restart_at:	When to try again, 0: not due
 * @restarts:	How many in a row, for the back-off
 * @resolvers:	Processes that ask the host's resolver, 0: free
 * @listeners:	What the next tunnel process gets, @n_listeners of them (listeners.c)
 * @leave, @reread: The tunnel process asked a keeper (`wgwrap up`) to end; to read its file again
 */
struct wgw_supervisor {
	struct wgw_launch *launch;
	int channel, front, signals;
	int listener;
	struct wgw_capture *capture;
	pid_t command;
	pid_t front_pid;
	bool delivered, stopped;
	unsigned int stops;
	uint64_t rouse_at;
	uint64_t flush_deadline;
	pid_t seen[NSIG];
	struct wgw_report held_back;
	uint64_t held_until;
	pid_t starter;
	int starter_fd;
	uint64_t restart_at, up_since;
	unsigned int restarts;
	pid_t resolvers[WGW_RESOLVERS_MAX];
	struct wgw_kept_listener *listeners;
	size_t n_listeners;
	bool leave, reread;
};

/* In the supervisor's process: starts the command and serves the session. Does not return.
 * @channel: open; @front: socket to the front. */
_Noreturn void wgw_supervisor_main(struct wgw_launch *l, const struct wgw_inherited *in,
				   char **environment, int channel, int front);
/* Tells the front. A front that is gone is no error. */
void wgw_supervisor_report(struct wgw_supervisor *s, enum wgw_report_kind kind, int value);
/* Delivery has ended, well or not. */
void wgw_supervisor_delivered(struct wgw_supervisor *s);

/* In a child of the supervisor: lets go of the listener. While anybody holds it, the command waits
 * for answers. */
void wgw_supervisor_leave(struct wgw_supervisor *s);

/* serve.c: takes one message from the tunnel process; false: the channel is at its end */
bool wgw_serve_channel(struct wgw_supervisor *s);

/* restart.c: the tunnel process is gone; it has been started again, or could not be */
void wgw_restart_plan(struct wgw_supervisor *s);
void wgw_restart_begin(struct wgw_supervisor *s);
void wgw_restart_finish(struct wgw_supervisor *s);

/* listeners.c: the programs' listeners, kept for the next tunnel process. @path is taken over. */
void wgw_listeners_keep(struct wgw_supervisor *s, const struct wgw_ch_listener *what, int path);
void wgw_listeners_drop(struct wgw_supervisor *s, uint64_t cookie);
/* Hands them to the tunnel process that has just been reached. */
void wgw_listeners_return(struct wgw_supervisor *s);

/* relay.c: signals for the command */
void wgw_relay_seen(struct wgw_supervisor *s, int signal, pid_t from);
void wgw_relay_request(struct wgw_supervisor *s, const struct wgw_report *request);
/* Sends what is held back; called when @held_until has passed. */
void wgw_relay_flush(struct wgw_supervisor *s);
/* Whether that is @signal. */
bool wgw_relay_holds(const struct wgw_supervisor *s, int signal);

/* stops.c: front and command stop and run again together */
/* The command has stopped by @signal; it runs again, or has ended. */
void wgw_stops_stopped(struct wgw_supervisor *s, int signal);
void wgw_stops_running(struct wgw_supervisor *s);
/* The front has answered one STOPPED. */
void wgw_stops_answered(struct wgw_supervisor *s);
/* Sends the front SIGCONT; called when @rouse_at has passed. */
void wgw_stops_rouse(struct wgw_supervisor *s);

#endif
