/* SPDX-License-Identifier: MIT */
/* descriptors.c - what a process holds of those it was started with */
#include "src/base/descriptors.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int compare_ints(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/** close_span() - closes @first to @last, both included */
static void close_span(unsigned int first, unsigned int last)
{
	struct rlimit limit;

	if (first > last || !close_range(first, last, 0))
		return;
	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_max > WGW_DESCRIPTORS_MAX)
		limit.rlim_max = WGW_DESCRIPTORS_MAX;
	for (unsigned int fd = first; fd <= last && fd < limit.rlim_max; fd++)
		close((int)fd);
}

void wgw_close_others(const int *keep, size_t n)
{
	enum { KEEP_MAX = 1024 };
	int sorted[KEEP_MAX];
	unsigned int next = WGW_STDIO;

	if (n > KEEP_MAX)
		abort();
	memcpy(sorted, keep, n * sizeof(*keep));
	qsort(sorted, n, sizeof(*sorted), compare_ints);
	for (size_t i = 0; i < n; i++) {
		if (sorted[i] < (int)next)
			continue;
		if (sorted[i] > (int)next)
			close_span(next, (unsigned int)sorted[i] - 1);
		next = (unsigned int)sorted[i] + 1;
	}
	close_span(next, ~0U);
}

void wgw_null_stdio(int first, int last)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* in a root without devices: what neither reads nor writes */
	if (null < 0)
		null = open("/", O_PATH | O_CLOEXEC);
	for (int fd = first; fd <= last; fd++) {
		if (null < 0)
			close(fd);
		else if (null != fd)
			dup2(null, fd);
	}
	if (null >= WGW_STDIO)
		close(null);
}
