/* SPDX-License-Identifier: MIT */
/* file.c - files that options of `wgwrap proxy` name */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/proxy/front.h"
#include "src/session/say.h"

char *proxy_file_read(const char *path, size_t max, bool secret, size_t *len)
{
	/* a FIFO without a writer would hold us up, and is refused below */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), err = 0;
	char *text = NULL;
	struct stat st = {0};

	*len = 0;
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		err = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	else if ((size_t)st.st_size > max)
		err = EFBIG;
	else if (!(text = malloc((size_t)st.st_size + 1)))
		err = ENOMEM;
	while (!err && *len < (size_t)st.st_size) {
		ssize_t n = read(fd, text + *len, (size_t)st.st_size - *len);

		if (n < 0)
			err = errno;
		if (n <= 0)
			break;
		*len += (size_t)n;
	}
	if (!err && secret && st.st_mode & (S_IRWXG | S_IRWXO))
		wgw_say(WGW_SAY_WARNING, "%s: others can read it (mode %03o)", path,
			st.st_mode & 0777);
	close(fd);
	if (err && text) {
		sodium_memzero(text, *len); /* maybe a part of a key */
		free(text);
		text = NULL;
	}
	errno = err;
	return text;
}
