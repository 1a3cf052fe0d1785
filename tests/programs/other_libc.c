/* SPDX-License-Identifier: MIT */
/*
 * other_libc.c - uses a second libc, from a namespace of the dynamic linker where nothing is
 * preloaded
 *
 * usage: other_libc ADDRESS PORT of an echo server
 */
#include <dlfcn.h>

#include "common.h"

int main(int argc, char **argv)
{
	int (*make)(int, int, int), (*join)(int, const struct sockaddr *, socklen_t);
	void *libc = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
	union address to;
	char text[16];
	socklen_t len;
	ssize_t n;
	int fd;

	if (argc != 3)
		return 2;
	if (!libc) {
		printf("%s\n", dlerror());
		return 1;
	}
	*(void **)&make = dlsym(libc, "socket");
	*(void **)&join = dlsym(libc, "connect");
	len = parse_address(&to, argv[1], argv[2]);
	fd = make(to.any.sa_family, SOCK_STREAM, 0);
	if (fd < 0)
		die("socket");
	if (join(fd, &to.any, len))
		die("connect");
	if (write(fd, "kept", 4) != 4)
		die("write");
	n = read(fd, text, sizeof(text));
	printf("%.*s\n", (int)n, text);
	return 0;
}
