/* SPDX-License-Identifier: MIT */
/*
 * clock.c - preloaded into wgwrap: clocks that a test can set forward or back while it runs
 *
 * WGWRAP_TEST_CLOCK names a file of two 64-bit integers, ns added to CLOCK_BOOTTIME and to
 * CLOCK_REALTIME. It is mapped, so a change counts at once, and in processes that cannot open files
 * any more. The kernel's own timers do not notice: what sleeps wakes as it would have. A process
 * that is stopped and continued wakes (epoll_wait(2) ends with EINTR), as it does after a suspend.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { NS_PER_S = 1000000000 };

/** struct shift - the file */
struct shift {
	volatile int64_t boottime_ns, realtime_ns;
};

static struct shift none;
static const struct shift *shift = &none;
static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_settime)(int, int, const struct itimerspec *, struct itimerspec *);

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("WGWRAP_TEST_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*shift), PROT_READ, MAP_SHARED, fd, 0);

	if (map != MAP_FAILED)
		shift = map;
	if (fd >= 0)
		close(fd);
	*(void **)&real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	*(void **)&real_settime = dlsym(RTLD_NEXT, "timerfd_settime");
}

static void add(struct timespec *ts, int64_t ns)
{
	int64_t sum = ts->tv_nsec + ns % NS_PER_S;

	ts->tv_sec += ns / NS_PER_S + (sum < 0 ? -1 : sum / NS_PER_S);
	ts->tv_nsec = (sum + NS_PER_S) % NS_PER_S;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *ts)
{
	int r;

	if (!real_gettime)
		*(void **)&real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	r = real_gettime(id, ts);
	if (r == 0 && id == CLOCK_BOOTTIME)
		add(ts, shift->boottime_ns);
	else if (r == 0 && id == CLOCK_REALTIME)
		add(ts, shift->realtime_ns);
	return r;
}

/* Absolute ones are of CLOCK_BOOTTIME, the only clock that wgwrap gives to timerfd. */
__attribute__((visibility("default"))) int
timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	struct itimerspec at = *new;

	if ((flags & TFD_TIMER_ABSTIME) && (at.it_value.tv_sec || at.it_value.tv_nsec)) {
		add(&at.it_value, -shift->boottime_ns);
		if (at.it_value.tv_sec < 0)
			at.it_value = (struct timespec){.tv_nsec = 1};
	}
	return real_settime(fd, flags, &at, old);
}
