/* SPDX-License-Identifier: MIT */
/*
 * upload.c - writes, and does not look back
 *
 * usage: upload HOST PORT BYTES exit|pause
 *
 * exit: ends as soon as write() has taken the last byte; pause: prints "written" and waits for a
 * signal.
 */
#include "common.h"

int main(int argc, char **argv)
{
	static char block[1 << 16];
	union address a;
	socklen_t len;
	long left;
	int fd;

	if (argc < 5)
		return 2;
	len = parse_address(&a, argv[1], argv[2]);
	fd = socket(a.any.sa_family, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, &a.any, len))
		die("connect");
	memset(block, 'u', sizeof(block));
	for (left = atol(argv[3]); left > 0;) {
		ssize_t n =
			write(fd, block, left < (long)sizeof(block) ? (size_t)left : sizeof(block));

		if (n <= 0)
			die("write");
		left -= n;
	}
	printf("written\n");
	fflush(stdout);
	if (!strcmp(argv[4], "pause"))
		pause();
	_exit(0);
}
