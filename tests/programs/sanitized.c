/* SPDX-License-Identifier: MIT */
/*
 * sanitized.c - built with AddressSanitizer: names, a page, a datagram, and at last a bug
 *
 * usage: sanitized HOST [bug]
 *
 * Prints the last line of HOST's /address and the size of an echoed datagram. With "bug" it then
 * writes past a heap block, which the sanitizer must report. Everything it frees was made by libc:
 * getaddrinfo's list, getline's line.
 */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int dial(const char *host, const char *port, int type)
{
	struct addrinfo hints = {.ai_socktype = type}, *list, *at;
	int fd = -1;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		return -1;
	for (at = list; at; at = at->ai_next) {
		fd = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
		if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) == 0)
			break;
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	return fd;
}

static int page(const char *host)
{
	static const char ask[] = "GET /address HTTP/1.0\r\n\r\n";
	int fd = dial(host, "80", SOCK_STREAM);
	char *line = NULL, last[100] = "";
	size_t size = 0;
	FILE *f;

	if (fd < 0 || send(fd, ask, strlen(ask), 0) < 0)
		return -1;
	f = fdopen(fd, "r");
	while (f && getline(&line, &size, f) > 0)
		snprintf(last, sizeof(last), "%s", line);
	free(line);
	if (f)
		fclose(f);
	printf("%s", last);
	return 0;
}

static int datagram(const char *host)
{
	int fd = dial(host, "4000", SOCK_DGRAM);
	char *block = malloc(1000);
	ssize_t n;

	if (fd < 0 || !block)
		return -1;
	memset(block, 'x', 1000);
	send(fd, block, 1000, 0);
	n = recv(fd, block, 1000, 0);
	printf("%zd\n", n);
	free(block);
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	volatile char *block;
	int size = 8 * argc;

	if (argc < 2 || page(argv[1]) < 0 || datagram(argv[1]) < 0)
		return 1;
	fflush(stdout);
	if (argc > 2) {
		block = malloc((size_t)size);
		if (block)
			block[size] = 1;
		free((void *)block);
	}
	return 0;
}
