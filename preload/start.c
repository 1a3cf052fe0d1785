/* SPDX-License-Identifier: MIT */
/*
 * start.c - finding the session and the real functions, once
 *
 * Runs as a constructor, or from the first hook that is called before it. Everything is plain data
 * afterwards: nothing is locked, so fork, vfork and signal handlers need no care. Another library's
 * constructor may have started a thread that calls a hook meanwhile. Then both run it, and neither
 * waits for the other: each makes all of it on its stack and stores what the other stores, too.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "preload/pre.h"
#include "src/repr/apps.h"
#include "src/repr/raw.h"

enum { PRELOAD_MAX_BYTES = 4096 };

#define PRELOAD_ENV "LD_PRELOAD"

struct pre_next pre_next;
struct wgw_repr_session pre_session;

static bool have_session;
static atomic_bool started, aside;
/* As they were at the start: programs overwrite and clear their environment. */
static char kept_session[sizeof(WGW_SESSION_ENV) + 1 +
			 2 * (WGW_TOKEN_BYTES + WGW_LABEL_KEY_BYTES + WGW_ABSTRACT_BYTES) + 8 +
			 WGW_PATH_PREFIX_MAX_BYTES];
static char kept_preload[PRELOAD_MAX_BYTES];
static char kept_apps[PRELOAD_MAX_BYTES];

struct binding {
	const char *name;
	size_t slot;
};

#define BIND(function)                                                                             \
	{                                                                                          \
#function, offsetof(struct pre_next, function)                                     \
	}

static const struct binding bindings[] = {
	BIND(socket),	    BIND(connect),     BIND(bind),	  BIND(listen),
	BIND(accept),	    BIND(accept4),     BIND(getsockname), BIND(getpeername),
	BIND(getsockopt),   BIND(setsockopt),  BIND(shutdown),	  BIND(send),
	BIND(sendto),	    BIND(sendmsg),     BIND(sendmmsg),	  BIND(recv),
	BIND(recvfrom),	    BIND(recvmsg),     BIND(recvmmsg),	  BIND(ioctl),
	BIND(execve),	    BIND(execvpe),     BIND(fexecve),	  BIND(posix_spawn),
	BIND(posix_spawnp), BIND(getnameinfo), BIND(read),	  BIND(write),
	BIND(readv),	    BIND(writev),      BIND(fcntl),	  BIND(fcntl64),
	BIND(system),	    BIND(popen),       BIND(poll),	  BIND(ppoll),
};

static void bind_functions(struct pre_next *next)
{
	for (size_t i = 0; i < sizeof(bindings) / sizeof(*bindings); i++) {
		void *function = dlsym(RTLD_NEXT, bindings[i].name);

		memcpy((char *)next + bindings[i].slot, &function, sizeof(function));
	}
}

/* Writes "@name=value" to @kept; leaves it empty when it does not fit. */
static void keep(char *kept, size_t size, const char *name, const char *value)
{
	size_t name_len = strlen(name);
	size_t value_len = strlen(value);

	if (name_len + 1 + value_len + 1 > size)
		return;
	memcpy(kept, name, name_len);
	kept[name_len] = '=';
	memcpy(kept + name_len + 1, value, value_len + 1);
}

static enum { PAGE_NOT_TRIED, PAGE_OURS, PAGE_TAKEN } page;

static bool have_page(void)
{
	if (page == PAGE_NOT_TRIED)
		page = wgw_raw_use_page() ? PAGE_OURS : PAGE_TAKEN;
	return page == PAGE_OURS;
}

static void nothing(void)
{
}

/*
 * Takes the page while the loader relocates. Constructors are too late: the first of them that
 * allocates may find an allocator, the program's own, that reserves all addresses below 4 GB
 * (Chromium's does). Of our code only the resolver of an IFUNC runs before all of them; libc may
 * not be relocated yet, so it makes nothing but bare system calls.
 *
 * musl's loader knows neither IFUNCs nor R_*_IRELATIVE, and ends a program for what it cannot
 * relocate. So this is a symbol that others can define, by a name that musl's libc has and glibc
 * has not: musl's loader passes over ours and takes that one. It is never called.
 */
__attribute__((used)) static void (*take_page(void))(void)
{
	have_page();
	return nothing;
}

__attribute__((visibility("default"), ifunc("take_page"))) void
pre_early(void) __asm__("__freadptrinc");

/* What is to be relocated. */
__attribute__((used)) static void (*const early)(void) = pre_early;

/* Whether this program is outside of the tunnel. When that cannot be told it is not. */
static bool is_outside(const char *apps)
{
	char exe[PATH_MAX];
	long n = wgw_raw_call(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)exe,
			      (long)sizeof(exe) - 1, 0, 0);

	if (n <= 0)
		return false;
	exe[n] = '\0';
	return wgw_apps_outside(apps, exe);
}

__attribute__((constructor)) static void start(void)
{
	const char *session = getenv(WGW_SESSION_ENV), *preload = getenv(PRELOAD_ENV);
	const char *apps = getenv(WGW_APPS_ENV);
	struct wgw_repr_session parsed = {0};
	struct pre_next next = {0};
	bool is_one;

	if (atomic_load_explicit(&started, memory_order_acquire))
		return;
	bind_functions(&next);
	is_one = session && wgw_repr_session_parse(&parsed, session);
	if (is_one && have_page())
		pre_go_direct(&next);
	if (atomic_load_explicit(&started, memory_order_acquire))
		return;
	if (is_one && apps) {
		keep(kept_apps, sizeof(kept_apps), WGW_APPS_ENV, apps);
		parsed.outside = kept_apps[0] && is_outside(apps);
	}
	if (is_one) {
		keep(kept_session, sizeof(kept_session), WGW_SESSION_ENV, session);
		pre_session = parsed;
		have_session = true;
	}
	if (preload)
		keep(kept_preload, sizeof(kept_preload), PRELOAD_ENV, preload);
	pre_next = next;
	atomic_store_explicit(&started, true, memory_order_release);
}

void pre_enter(void)
{
	if (!atomic_load_explicit(&started, memory_order_acquire))
		start();
}

bool pre_started(void)
{
	return atomic_load_explicit(&started, memory_order_acquire);
}

bool pre_have_session(void)
{
	return have_session;
}

void pre_step_aside(void)
{
	atomic_store_explicit(&aside, true, memory_order_relaxed);
}

bool pre_is_aside(void)
{
	return atomic_load_explicit(&aside, memory_order_relaxed);
}

bool pre_ours(int fd, uint64_t *tag)
{
	uint32_t since = pre_kind_changes();

	pre_enter();
	if (!have_session || pre_is_aside() || pre_kind_is_past_asking(fd) ||
	    !wgw_repr_tag(fd, tag) || !wgw_tag_has_mark(*tag, pre_session.label_key))
		return false;
	pre_kind_saw(fd, *tag, since);
	return true;
}

const char *pre_kept_session(void)
{
	return kept_session[0] ? kept_session : NULL;
}

const char *pre_kept_preload(void)
{
	return kept_preload[0] ? kept_preload : NULL;
}

const char *pre_kept_apps(void)
{
	return kept_apps[0] ? kept_apps : NULL;
}
