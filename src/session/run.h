/* SPDX-License-Identifier: MIT */
/* run.h - what the command line asks of `wgwrap [run]` */
#ifndef SRC_SESSION_RUN_H
#define SRC_SESSION_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "src/config/config.h"

enum wgw_dns_mode {
	WGW_DNS_DEFAULT, /* the file's DNS =, else the host's resolver, none with a default route */
	WGW_DNS_SYSTEM,	 /* --dns system */
	WGW_DNS_SERVERS, /* --dns ADDR[,ADDR] */
};

enum wgw_capture_mode {
	WGW_CAPTURE_AUTO,	/* what the machine offers */
	WGW_CAPTURE_SUPERVISOR, /* no shared object: the supervisor alone */
	WGW_CAPTURE_PRELOAD,	/* no supervisor: the shared object and the filter */
};

enum wgw_log_format { WGW_LOG_HUMAN, WGW_LOG_JSON };

/**
 * struct wgw_run_options - options of run, filled by cmd/run.c with defaults
 * @config:		Argument of -c
 * @command:		argv of the command, NULL-terminated
 * @wait_ms:		--wait: longest wait for the first handshake; 0: --wait=0, do not wait
 * @linger_ms:		--linger: how long the front waits for delivery at the end (10,000)
 * @direct:		--direct CIDR (repeatable); 127.0.0.0/8 and ::1 are always direct
 * @dns_mode, @dns:	--dns
 * @mtu:		--mtu, 0: from the file, else 1420
 * @endpoint_host, @endpoint_port: --endpoint HOST:PORT for a file with one peer; NULL: as the file
 * @listen_port:	--listen-port; -1: as the file
 * @family:		-4/-6: AF_INET, AF_INET6 for the endpoint; AF_UNSPEC: either
 * @exit_node:		--exit-node PEER, NULL: as the file
 * @routes:		--route ROUTE=PEER, @n_routes of them, as written
 * @join:		--join: use a running tunnel although its settings differ
 * @no_restart:		--no-restart
 * @lenient:		--lenient: unknown keys are warnings
 * @verbosity:		-1: -q, 0, 1: -v, 2: -vv
 * @log_file:		--log-file, NULL: stderr
 * @pcap:		--pcap FILE, NULL: none
 * @capture:		--capture
 * @allow_leaks:	--allow-leaks: run although no filter can be had
 * @isolate:		--isolate: an empty network namespace as well
 * @keep_fds:		--keep-fd N: inherited IP sockets that may stay open
 */
struct wgw_run_options {
	const char *config;
	char **command;
	uint32_t wait_ms;
	uint32_t linger_ms;
	struct wgw_prefixes direct;
	enum wgw_dns_mode dns_mode;
	struct wgw_prefixes dns;
	uint16_t mtu;
	char *endpoint_host;
	uint16_t endpoint_port;
	int listen_port;
	int family;
	const char *exit_node;
	const char **routes;
	unsigned int n_routes;
	bool join, no_restart, lenient;
	enum wgw_capture_mode capture;
	bool allow_leaks, isolate;
	int verbosity;
	enum wgw_log_format log_format;
	const char *log_file;
	const char *pcap;
	int *keep_fds;
	unsigned int n_keep_fds;
};

/* Exit statuses of the other commands, as wgwrap(1) says. */
enum wgw_exit {
	WGW_EXIT_OK = 0,
	WGW_EXIT_RUNTIME = 1, /* failed while it ran */
	WGW_EXIT_USAGE = 2,
	WGW_EXIT_CONFIG = 3,
	WGW_EXIT_NO_HANDSHAKE = 4, /* in time */
	WGW_EXIT_NOT_RUNNING = 5,
	WGW_EXIT_UNHEALTHY = 6,
};

/* Exit statuses of run that are wgwrap's own, as env(1) and timeout(1) have them. */
enum {
	WGW_RUN_FAILED = 125,	      /* wgwrap itself failed */
	WGW_RUN_NOT_EXECUTABLE = 126, /* or it cannot be captured */
	WGW_RUN_NOT_FOUND = 127,
};

/* Runs the command and returns the exit status; when a signal ended the command it does not
 * return but raises that signal (as PID 1: returns 128+N). */
int wgw_run(const struct wgw_run_options *options);

/* What every command that joins a tunnel begins with. */

/* -1 after an error was said when the process has privileges of a set-user-ID file. */
int wgw_front_refuse_privileged(void);
/* As PID 1, the usual signals end the process; a message that cannot be written never does. */
void wgw_front_heed_signals(void);

#endif
