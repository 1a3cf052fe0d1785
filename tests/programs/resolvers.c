/* SPDX-License-Identifier: MIT */
/*
 * resolvers.c - many threads that resolve names in every way libc has, all at once
 *
 * usage: resolvers THREADS ROUNDS
 *
 * Every answer is compared with what tests/e2e/lib/dnsd.py serves. Prints the number of answers
 * that were right and, for each kind of wrong answer, one line.
 */
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BUFFER_BYTES = 8192, LONG_ADDRESSES = 16 };

static atomic_int right, wrong;
static int rounds;

static void judge(const char *what, int is_right)
{
	if (is_right)
		atomic_fetch_add(&right, 1);
	else if (atomic_fetch_add(&wrong, 1) < 10)
		printf("wrong: %s\n", what);
}

static int count(const char *name, int family)
{
	struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *list;
	int rc = getaddrinfo(name, "http", &hints, &list), n = 0;

	if (rc != 0)
		return -rc;
	for (struct addrinfo *at = list; at; at = at->ai_next)
		n++;
	freeaddrinfo(list);
	return n;
}

static void by_address(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(80)};
	char host[NI_MAXHOST], service[NI_MAXSERV];

	inet_pton(AF_INET, "10.9.0.1", &sin.sin_addr);
	judge("getnameinfo", getnameinfo((struct sockaddr *)&sin, sizeof(sin), host, sizeof(host),
					 service, sizeof(service), 0) == 0 &&
				     strcmp(host, "web.test") == 0 && strcmp(service, "http") == 0);
}

static void old_calls(void)
{
	struct hostent entry, *found = NULL;
	char buffer[BUFFER_BYTES];
	int err = 0;

	judge("gethostbyname_r",
	      gethostbyname_r("v4.test", &entry, buffer, sizeof(buffer), &found, &err) == 0 &&
		      found && memcmp(found->h_addr_list[0], "\12\11\0\1", 4) == 0);
	gethostbyname_r("missing.test", &entry, buffer, sizeof(buffer), &found, &err);
	judge("gethostbyname_r of a missing name", !found && err == HOST_NOT_FOUND);
}

static void raw_answers(void)
{
	struct __res_state state = {0};
	unsigned char answer[BUFFER_BYTES];
	int len;

	if (res_ninit(&state) != 0) {
		judge("res_ninit", 0);
		return;
	}
	len = res_nquery(&state, "big.test", ns_c_in, ns_t_txt, answer, sizeof(answer));
	judge("res_nquery", len > 4000 && len < BUFFER_BYTES);
	len = res_nsearch(&state, "web.test", ns_c_in, ns_t_aaaa, answer, sizeof(answer));
	judge("res_nsearch", len > 0 && ((HEADER *)answer)->ancount == htons(1));
	res_nclose(&state);
}

static void *work(void *arg)
{
	(void)arg;
	for (int i = 0; i < rounds; i++) {
		judge("both families", count("web.test", AF_UNSPEC) == 2);
		judge("sixteen addresses", count("long.test", AF_INET) == LONG_ADDRESSES);
		judge("an alias", count("alias.test", AF_INET6) == 1);
		judge("a missing name", count("missing.test", AF_UNSPEC) == -EAI_NONAME);
		judge("a number", count("10.9.0.7", AF_UNSPEC) == 1);
		by_address();
		old_calls();
		raw_answers();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[1]) : 0;
	pthread_t *threads = calloc((size_t)n, sizeof(*threads));

	if (!threads || n < 1)
		return 1;
	rounds = atoi(argv[2]);
	for (int i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, work, NULL) != 0)
			return 1;
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	free(threads);
	printf("%d right, %d wrong\n", atomic_load(&right), atomic_load(&wrong));
	return 0;
}
