/* SPDX-License-Identifier: MIT */
/* front.h - what only the front's files of the proxy share */
#ifndef SRC_PROXY_FRONT_H
#define SRC_PROXY_FRONT_H

#include "src/proxy/proxy.h"
#include "src/session/channel.h"
#include "src/session/launch.h"
#include "src/session/supervisor.h"

enum { PROXY_IDLE_DEFAULT_S = 120 };

/* ---- file.c ---- */

/* The whole of a file of at most @max bytes, malloc'ed; of a @secret one the user is told when
 * others can read it. NULL and errno. */
char *proxy_file_read(const char *path, size_t max, bool secret, size_t *len);

/* ---- users_file.c ---- */

/* Reads --users and gives its users to all listeners that ask for users and have none of their own.
 * 0, or -1 after an error was said: without memory some have the new ones, else all the old. */
int proxy_users_read(struct wgw_proxy_options *o);

/* ---- spec.c ---- */

/* Appends a listener. NULL: too many, or no memory. */
struct wgw_proxy_spec *proxy_spec_new(struct wgw_proxy_options *o, enum wgw_proxy_kind kind);

/* ---- open.c ---- */

/**
 * struct proxy_socket - what was opened for a spec
 * @fd:		-1: none is needed
 * @name:	Where it listens, for people
 * @at:		Of the remote kinds: where to listen in the tunnel
 * @unlink:	The path was made by us
 * @loopback:	Only this host reaches it
 * @shared:	On loopback, without users: other users of this host are to be kept out
 * @hand:	Of a listener that speaks TLS: the pair over which its connections go from the TLS
 *		process ([0]) to the tunnel process ([1]); else -1
 */
struct proxy_socket {
	int fd, hand[2];
	struct stack_addr at;
	char name[128];
	bool unlink, loopback, shared;
};

/* Opens the listener of @s. 0, or -1 after an error was said. */
int proxy_open(const struct wgw_proxy_options *o, const struct wgw_proxy_spec *s,
	       struct proxy_socket *out);
void proxy_close(const struct wgw_proxy_spec *s, struct proxy_socket *socket);

/* ---- tls_front.c ---- */

/**
 * struct proxy_tls - the TLS process, when a listener speaks TLS
 * @pid:	0: there is none
 * @control:	Our end of the pair to it (tls.h), -1: none
 * @orders:	Given so far: the serial number of the last
 * @since:	When it was started; @restart_at: when it will be, 0: not
 * @retry_s:	The last wait before that
 */
struct proxy_tls {
	pid_t pid;
	int control;
	uint32_t orders;
	uint64_t since, restart_at;
	unsigned int retry_s;
	bool stopping;
};

struct proxy_front;
bool proxy_speaks_tls(const struct wgw_proxy_spec *s);
/* Gives --tls-cert to the listeners that it is for. 0, or -1 after an error was said. */
int proxy_tls_prepare(struct wgw_proxy_options *o);
/* Starts the process for the sockets that are open and gives it the certificates. 0, or an exit
 * status after an error was said; nothing to do is no error. */
int proxy_tls_start(struct proxy_front *f);
/* Reads the files again. 0, or -1 after an error was said: what was there stays. */
int proxy_tls_reload(struct proxy_front *f);
/* Nothing is accepted any more; the process ends with its last connection. */
void proxy_tls_stop(struct proxy_front *f);
/* It has, with @status of waitpid. */
void proxy_tls_ended(struct proxy_front *f, int status);
/* At restart_at. */
void proxy_tls_restart(struct proxy_front *f);

/* ---- front.c ---- */

/**
 * struct proxy_front - the front of a proxy; also its session's supervisor, without a command
 * @sockets:	One per spec
 * @answered:	Specs that the tunnel process has answered for
 * @failed:	One of them could not be served
 * @stopping, @stopped: it was told to end; nothing is left; @cut: what is left is not waited for
 */
struct proxy_front {
	struct wgw_supervisor session;
	struct wgw_launch launch;
	struct wgw_config *config;
	struct wgw_proxy_options *options;
	struct proxy_socket *sockets;
	size_t answered;
	bool can_tell_users, failed, stopping, stopped, cut, reload;
	struct proxy_tls tls;
	uint64_t deadline;
	int result;			    /* STDIO: err of its connect, -1: not yet known */
	char reason[WGW_CH_TEXT_MAX_BYTES]; /* and why it failed */
};

/* Sends the listener of spec @i with @fd. 0 or -errno. */
int proxy_front_send(const struct proxy_front *f, size_t i, int fd);
/* Waits for descriptors and deadlines once; @extra: more descriptors, may be NULL. */
struct pollfd;
void proxy_front_turn(struct proxy_front *f, struct pollfd *extra, size_t n);

/* ---- stdio.c ---- */

/* Runs the STDIO connection of spec @i to its end. An exit status. */
int proxy_stdio_run(struct proxy_front *f, size_t i);

/* ---- wireproxy.c ---- */

/* Reads what -c names; of a file with wireproxy's sections the listeners are added to @o. NULL
 * after an error was said. */
struct wgw_config *proxy_config_read(struct wgw_proxy_options *o);
/* The same of a text: *@wg is what is left for wgw_config_parse, or *@path the file that WGConfig
 * names (malloc'ed both). 0, or -1 after an error was said to @diag. */
int proxy_wireproxy_split(const char *source, const char *text, size_t len,
			  struct wgw_proxy_options *o, char **wg, char **path,
			  struct wgw_diag *diag);

#endif
