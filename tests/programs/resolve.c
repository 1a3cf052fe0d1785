/* SPDX-License-Identifier: MIT */
/* resolve.c - prints the addresses of a name, as libc's own resolver finds them */
#include <netdb.h>

#include "common.h"

int main(int argc, char **argv)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	char text[64];
	int err;

	if (argc != 2)
		return 2;
	err = getaddrinfo(argv[1], NULL, &hints, &list);
	if (err) {
		printf("%s\n", gai_strerror(err));
		return 1;
	}
	for (; list; list = list->ai_next) {
		if (getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof(text), NULL, 0,
				NI_NUMERICHOST) == 0)
			printf("%s\n", text);
	}
	return 0;
}
