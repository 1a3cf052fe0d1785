/* SPDX-License-Identifier: MIT */
/*
 * doctor.c - "wgwrap doctor [-c CONF] [-- COMMAND]": what this machine lets wgwrap do,
 * what that means for a program, and whether the peers of a file answer
 *
 * Everything is tried, nothing is derived from version numbers. Answers go to standard output, one
 * line each.
 */
#include <elf.h>
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/doctor.h"
#include "src/session/command.h"
#include "src/session/program.h"
#include "src/session/run.h"

static const char *const levels[] = {
	[WGW_CAPTURE_NONE] = "none: nothing keeps programs from going around the tunnel; "
			     "wgwrap refuses to run commands (--allow-leaks)",
	[WGW_CAPTURE_FILTER] = "shared object and filter: programs that do not take the shared "
			       "object have no network",
	[WGW_CAPTURE_SUPERVISED] = "supervised: shared object, filter, and a supervisor for "
				   "programs that do not take the shared object",
};

static void tell(const char *what, const char *answer)
{
	printf("%-14s%s\n", what, answer);
}

/** isolation() - whether --isolate works */
static void isolation(void)
{
	char text[128] = "yes";
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET) ? errno : 0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		snprintf(text, sizeof(text), "cannot be tried: %s", strerror(errno));
	else if (WEXITSTATUS(status))
		snprintf(text, sizeof(text), "no: no network namespace can be had (%s)",
			 strerror(WEXITSTATUS(status)));
	tell("--isolate", text);
}

/** shared_object() - where it is; *loadable: whether programs can load it. Return: exit status */
static int shared_object(const struct wgw_capture_probe *probe, bool *loadable)
{
	char path[PATH_MAX];
	int err;

	if (!wgw_library_find(path))
		return WGW_EXIT_RUNTIME;
	err = wgw_library_try(path);
	tell("shared object", path);
	if (err == -EPERM)
		tell("", "its file system is mounted noexec: the dynamic linker complains and goes "
			 "on without it");
	else if (err)
		printf("%-14scannot be loaded: %s\n", "", strerror(-err));
	*loadable = err == 0;
	return *loadable || probe->level == WGW_CAPTURE_SUPERVISED ? WGW_EXIT_OK : WGW_EXIT_RUNTIME;
}

/** machine() - what does not depend on the program. *loadable: the shared object. Return: exit
 * status */
static int machine(struct wgw_capture_probe *probe, bool *loadable)
{
	struct wgw_capture_trial trial = {0};
	int err = wgw_capture_probe(&trial, probe);

	wgw_capture_probe_end(&trial);
	if (err) {
		cmd_say("cannot start a process: %s", strerror(-err));
		return WGW_EXIT_RUNTIME;
	}
	tell("capture", levels[probe->level]);
	if (probe->why[0])
		tell("", probe->why);
	if (probe->level == WGW_CAPTURE_SUPERVISED && probe->without_getfd)
		tell("", "descriptors of programs cannot be taken (pidfd_getfd), so the supervisor "
			 "keeps copies: closing is seen a moment later");
	err = shared_object(probe, loadable);
	isolation();
	return probe->level == WGW_CAPTURE_NONE ? WGW_EXIT_RUNTIME : err;
}

/** configuration() - Return: exit status */
static int configuration(const struct wgw_run_options *options)
{
	int status = WGW_EXIT_CONFIG;
	struct wgw_config *config;
	struct wgw_diag diag;
	char *text, *source;
	size_t len;

	cmd_diag_init(&diag, false);
	text = wgw_config_read(options->config, &len, &source, &diag);
	if (!text)
		return WGW_EXIT_CONFIG;
	config = wgw_config_parse(source, text, len, options->lenient, &diag);
	wgw_config_wipe(text, len);
	if (config) {
		printf("%-14s%s: %zu peer%s\n", "configuration", source, config->n_peers,
		       config->n_peers == 1 ? "" : "s");
		fflush(stdout); /* what follows takes seconds */
		status = doctor_peers(options, config);
	}
	wgw_config_free(config);
	free(source);
	return status;
}

/* ---- a program ---- */

static const struct {
	uint16_t machine;
	const char *name;
} machines[] = {
	{EM_X86_64, "x86-64"}, {EM_AARCH64, "arm64"}, {EM_386, "i386"},	 {EM_ARM, "arm"},
	{EM_RISCV, "riscv"},   {EM_PPC64, "ppc64"},   {EM_S390, "s390"},
};

/** file_kind() - "x86-64, dynamically linked" */
static void file_kind(const struct wgw_program *p)
{
	const char *linked = !p->read_whole ? ""
			     : p->loader[0] ? ", dynamically linked"
					    : ", statically linked";
	char number[32];
	const char *name = number;

	if (!p->elf) {
		tell("  file", "not ELF: the kernel, or a shell, decides");
		return;
	}
	snprintf(number, sizeof(number), "machine %u", p->machine);
	for (size_t i = 0; i < sizeof(machines) / sizeof(*machines); i++) {
		if (machines[i].machine == p->machine)
			name = machines[i].name;
	}
	printf("%-14s%s, %s bit%s\n", "  file", name, p->elf64 ? "64" : "32",
	       p->is_loader ? ", the dynamic linker" : linked);
}

/** libc_kind() - the C library by the name of its dynamic linker, or what is there instead */
static void libc_kind(const struct wgw_program *p)
{
	const char *name = strstr(p->loader, "/ld-musl-")   ? "musl"
			   : strstr(p->loader, "/ld-linux") ? "glibc"
							    : "unknown";

	if (!p->read_whole)
		return;
	if (p->go)
		tell("  C library",
		     p->loader[0] ? "Go's runtime, which makes system calls itself, beside one"
				  : "none that calls: Go's runtime makes system calls itself");
	else if (p->loader[0])
		printf("%-14s%s (%s)\n", "  C library", name, p->loader);
	else
		tell("  C library", p->is_loader ? "loads what it is told to" : "linked in");
}

/** capabilities() - "cap_net_raw, cap_net_admin" */
static void capabilities(uint64_t set)
{
	static const char *const names[] = {
		[CAP_CHOWN] = "chown",
		[CAP_DAC_OVERRIDE] = "dac_override",
		[CAP_KILL] = "kill",
		[CAP_SETGID] = "setgid",
		[CAP_SETUID] = "setuid",
		[CAP_NET_BIND_SERVICE] = "net_bind_service",
		[CAP_NET_BROADCAST] = "net_broadcast",
		[CAP_NET_ADMIN] = "net_admin",
		[CAP_NET_RAW] = "net_raw",
		[CAP_IPC_LOCK] = "ipc_lock",
		[CAP_SYS_PTRACE] = "sys_ptrace",
		[CAP_SYS_ADMIN] = "sys_admin",
		[CAP_SYS_NICE] = "sys_nice",
	};
	const char *separator = "capabilities of the file: ";

	printf("%-14s", "  privileges");
	for (unsigned int i = 0; i < 64; i++) {
		if (!(set >> i & 1))
			continue;
		if (i < sizeof(names) / sizeof(*names) && names[i])
			printf("%scap_%s", separator, names[i]);
		else
			printf("%scapability %u", separator, i);
		separator = ", ";
	}
	printf("; it does not get them\n");
}

static void privileges(const struct wgw_program *p)
{
	if (p->capabilities)
		capabilities(p->capabilities);
	if (p->setuid)
		printf("%-14sset-user-ID (%u); it runs as its caller\n", "  privileges", p->uid);
	if (p->setgid)
		printf("%-14sset-group-ID (%u); it runs in its caller's groups\n", "  privileges",
		       p->gid);
	if (!p->capabilities && !p->setuid && !p->setgid)
		tell("  privileges", "none");
}

/** failing() - what the program will miss */
static void failing(const struct wgw_program *p, enum wgw_obstacle obstacle)
{
	tell("  will fail", "raw and packet sockets, multicast, SCTP and the like; io_uring is "
			    "refused, and programs do without");
	if ((p->setuid && p->uid != geteuid()) || p->capabilities)
		tell("", "whatever it needs its privileges for; where it needs them, let it start "
			 "wgwrap instead");
	if (obstacle == WGW_OBSTACLE_NO_PRELOAD)
		tell("", "in detail: interfaces shown are the host's, some errnos of send and recv "
			 "differ, and UDP sockets have no ancillary data once connected");
}

/** program() - what @file is and how it would be captured, if the shared object is @loadable.
 * Return: exit status */
static int program(const char *file, const struct wgw_capture_probe *probe, bool loadable)
{
	const struct wgw_capture_probe best = {.level = WGW_CAPTURE_SUPERVISED};
	char why[PATH_MAX + 256] = "", *path;
	enum wgw_obstacle obstacle;
	struct wgw_program p;
	int err;

	/* what no level helps against is said by this; the rest is for us to explain */
	if (wgw_find_command(file, &best, &path))
		return WGW_EXIT_RUNTIME;
	tell("program", path);
	err = wgw_program_read(path, &p);
	free(path);
	if (err == -ENOENT) {
		printf("%-14scannot be executed: %s, which is to run it, is not there\n", "  file",
		       p.path);
		return WGW_EXIT_RUNTIME;
	}
	if (err) {
		printf("%-14scannot be read (%s): it is started, and the filter holds\n", "  file",
		       strerror(-err));
		return WGW_EXIT_OK;
	}
	if (p.n_scripts)
		printf("%-14sa script, run by %s\n", "  interpreter", p.path);
	file_kind(&p);
	libc_kind(&p);
	privileges(&p);
	obstacle = wgw_program_judge(&p, why, sizeof(why));
	if (obstacle == WGW_OBSTACLE_NONE && !loadable) {
		obstacle = WGW_OBSTACLE_NO_PRELOAD;
		snprintf(why, sizeof(why), "cannot load the shared object");
	}
	if (obstacle == WGW_OBSTACLE_NONE)
		tell("  captured by", "the shared object");
	else if (probe->level == WGW_CAPTURE_SUPERVISED)
		printf("%-14sthe supervisor: it %s\n", "  captured by", why);
	else
		printf("%-14snothing, it is refused: it %s\n", "  captured by", why);
	if (obstacle != WGW_OBSTACLE_NONE && probe->level != WGW_CAPTURE_SUPERVISED)
		return WGW_EXIT_RUNTIME;
	failing(&p, obstacle);
	return WGW_EXIT_OK;
}

/* ---- the command ---- */

const char cmd_doctor_help[] =
	"options\n"
	"  -c, --config CONF      a handshake with each of its peers is tried\n"
	"  --wait=TIME            how long an answer of theirs is waited for (6s)\n"
	"  --no-wait              the file is read, no peer is tried\n"
	"  --endpoint HOST:PORT, --listen-port PORT, -4, -6, --lenient\n"
	"                         as run has them\n";

enum { WAIT_DEFAULT_MS = 6000 }; /* two initiations (REKEY_TIMEOUT is 5 s) */
enum { OPT_WAIT = CMD_OWN_OPTION, OPT_NO_WAIT };

static int take(int option, const char *value, void *ctx)
{
	uint32_t *wait_ms = ctx;

	*wait_ms = option == OPT_WAIT ? WAIT_DEFAULT_MS : 0;
	if (value && cmd_duration_parse(value, wait_ms))
		return cmd_misuse(WGW_EXIT_USAGE, "doctor", "--wait: '%s' is no time", value);
	return -1;
}

int cmd_doctor(int argc, char **argv)
{
	static const char *const shared[] = {"config", "help", "endpoint", "listen-port",
					     "ipv4",   "ipv6", "lenient",  NULL};
	static const struct option own[] = {
		{"wait", optional_argument, NULL, OPT_WAIT},
		{"no-wait", no_argument, NULL, OPT_NO_WAIT},
		{NULL, 0, NULL, 0},
	};
	uint32_t wait_ms = WAIT_DEFAULT_MS;
	const struct cmd_options doctor = {.name = "doctor",
					   .misuse = WGW_EXIT_USAGE,
					   .failed = WGW_EXIT_RUNTIME,
					   .shared = shared,
					   .own = own,
					   .take = take,
					   .ctx = &wait_ms};
	struct wgw_capture_probe probe = {0};
	struct wgw_run_options o;
	bool loadable = false;
	int status = cmd_options_take(&doctor, argc, argv, &o);

	if (status < 0 && !o.config && argv[optind] && cmd_names_config(argv[optind]))
		status = cmd_misuse(WGW_EXIT_USAGE, "doctor", "-c is missing before %.80s",
				    argv[optind]);
	if (status < 0) {
		int of_file = WGW_EXIT_OK;

		o.wait_ms = wait_ms;
		status = machine(&probe, &loadable);
		if (o.config)
			of_file = configuration(&o);
		if (of_file == WGW_EXIT_CONFIG || status == WGW_EXIT_OK)
			status = of_file;
		if (argv[optind] && program(argv[optind], &probe, loadable) &&
		    status == WGW_EXIT_OK)
			status = WGW_EXIT_RUNTIME;
		status = cmd_flush(status);
	}
	cmd_run_options_free(&o);
	return status;
}
