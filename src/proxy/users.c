/* SPDX-License-Identifier: MIT */
/*
 * users.c - who may use a proxy
 *
 * The front hashes name and password with a random key and hands over hashes only: the tunnel
 * process compares hashes, all of them and each in constant time, whatever the lengths.
 */
#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "src/proxy/users.h"

static_assert(PROXY_USER_KEY_BYTES == crypto_generichash_KEYBYTES, "the hash's own size");
static_assert(PROXY_USER_HASH_BYTES == crypto_generichash_BYTES, "the hash's own size");

static void hash(const struct proxy_users *users, const void *name, size_t name_len,
		 const void *password, size_t password_len, uint8_t out[PROXY_USER_HASH_BYTES])
{
	crypto_generichash_state st;
	uint64_t len = name_len; /* where the name ends is part of it */

	crypto_generichash_init(&st, users->key, sizeof(users->key), PROXY_USER_HASH_BYTES);
	crypto_generichash_update(&st, (const uint8_t *)&len, sizeof(len));
	crypto_generichash_update(&st, name, name_len);
	crypto_generichash_update(&st, password, password_len);
	crypto_generichash_final(&st, out, PROXY_USER_HASH_BYTES);
	sodium_memzero(&st, sizeof(st));
}

int proxy_users_add(struct proxy_users *users, const void *name, size_t name_len,
		    const void *password, size_t password_len)
{
	void *grown;

	if (users->n >= PROXY_USERS_MAX)
		return -E2BIG;
	grown = reallocarray(users->at, users->n + 1, PROXY_USER_HASH_BYTES);
	if (!grown)
		return -ENOMEM;
	users->at = grown;
	hash(users, name, name_len, password, password_len, users->at[users->n++]);
	return 0;
}

bool proxy_users_check(const struct proxy_users *users, const void *name, size_t name_len,
		       const void *password, size_t password_len)
{
	uint8_t given[PROXY_USER_HASH_BYTES];
	int found = 0;

	hash(users, name, name_len, password, password_len, given);
	for (size_t i = 0; i < users->n; i++)
		found |= sodium_memcmp(given, users->at[i], sizeof(given)) == 0;
	sodium_memzero(given, sizeof(given));
	return found;
}

/* "NAME:PASSWORD" of @len bytes. */
static int add_line(struct proxy_users *users, const char *text, size_t len)
{
	const char *colon = memchr(text, ':', len);
	size_t name_len = colon ? (size_t)(colon - text) : 0, password_len;

	if (name_len == 0)
		return -EINVAL;
	password_len = len - name_len - 1;
	if (name_len > PROXY_USER_MAX_BYTES || password_len > PROXY_USER_MAX_BYTES)
		return -EINVAL;
	return proxy_users_add(users, text, name_len, colon + 1, password_len);
}

int proxy_users_parse(struct proxy_users *users, const char *text, size_t len, unsigned int *line)
{
	static const char mark[] = "\xef\xbb\xbf"; /* some editors begin UTF-8 files with it */
	const char *end = text + len;
	int err = 0;

	if (len >= strlen(mark) && memcmp(text, mark, strlen(mark)) == 0)
		text += strlen(mark);
	for (*line = 0; text < end && !err;) {
		const char *lf = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((lf ? lf : end) - text);

		(*line)++;
		if (n > 0 && text[n - 1] == '\r')
			n--;
		if (n > 0 && text[0] != '#')
			err = add_line(users, text, n);
		text = lf ? lf + 1 : end;
	}
	return err;
}

void proxy_users_free(struct proxy_users *users)
{
	if (users->at)
		sodium_memzero(users->at, users->n * PROXY_USER_HASH_BYTES);
	free(users->at);
	sodium_memzero(users, sizeof(*users));
}
