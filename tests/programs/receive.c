/* SPDX-License-Identifier: MIT */
/*
 * receive.c - reads one connection to its end and says how it ended
 *
 * usage: receive connect HOST PORT | receive listen HOST PORT
 *
 * Prints "ready" (listen) and "began" at the first byte; at last "end of file" (status 0) or the
 * errno (status 1).
 */
#include "common.h"

int main(int argc, char **argv)
{
	char buffer[65536];
	union address a;
	int fd, began = 0;
	socklen_t len;
	ssize_t n;

	if (argc < 4)
		return 2;
	len = parse_address(&a, argv[2], argv[3]);
	fd = socket(a.any.sa_family, SOCK_STREAM, 0);
	if (fd < 0)
		die("socket");
	if (!strcmp(argv[1], "listen")) {
		if (bind(fd, &a.any, len) || listen(fd, 1))
			die("listen");
		printf("ready\n");
		fflush(stdout);
		fd = accept(fd, NULL, NULL);
		if (fd < 0)
			die("accept");
	} else if (connect(fd, &a.any, len)) {
		die("connect");
	}
	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		if (!began++) {
			printf("began\n");
			fflush(stdout);
		}
	}
	printf("%s\n", n ? err_name(errno) : "end of file");
	return n != 0;
}
