/* SPDX-License-Identifier: MIT */
/*
 * static_many.c - 32 threads that connect, talk to an echo server and close, again and again; built
 * statically
 *
 * usage: static_many ADDRESS PORT ROUNDS; prints how many exchanges went well, or the first errno
 */
#include <pthread.h>

#include "common.h"

enum { THREADS = 32 };

static union address to;
static socklen_t to_len;
static int rounds, good, first_error;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int exchange(int number)
{
	int fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), got = 0, err = 0;
	size_t have = 0;

	if (fd < 0)
		return errno;
	if (connect(fd, &to.any, to_len) || write(fd, &number, sizeof(number)) != sizeof(number))
		err = errno;
	while (!err && have < sizeof(got)) {
		ssize_t n = read(fd, (char *)&got + have, sizeof(got) - have);

		if (n <= 0)
			err = n ? errno : EPROTO;
		else
			have += (size_t)n;
	}
	close(fd);
	return err || got == number ? err : EBADMSG;
}

static void *work(void *arg)
{
	int number = (int)(intptr_t)arg * 1000;

	for (int i = 0; i < rounds; i++) {
		int err = exchange(number + i);

		pthread_mutex_lock(&lock);
		good += !err;
		if (err && !first_error)
			first_error = err;
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	if (argc != 4)
		return 2;
	to_len = parse_address(&to, argv[1], argv[2]);
	rounds = atoi(argv[3]);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	printf("%d exchanges, %s\n", good, err_name(first_error));
	return 0;
}
