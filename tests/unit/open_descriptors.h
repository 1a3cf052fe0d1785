/* SPDX-License-Identifier: MIT */
/* open_descriptors.h - how many descriptors are open: as many after something as before it */
#ifndef TESTS_OPEN_DESCRIPTORS_H
#define TESTS_OPEN_DESCRIPTORS_H

#include <dirent.h>

static unsigned int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

#endif
