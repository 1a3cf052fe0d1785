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

int proxy_users_parse(struct proxy_users *users, const char *text, size_t len, unsigned int *line)
{
	static const char mark[] =
		"\xef\xbb\xbf"; /* of UTF-8, which some editors begin files with */

	if (len >= sizeof(mark) - 1 && memcmp(text, mark, sizeof(mark) - 1) == 0) {
		text += sizeof(mark) - 1;
		len -= sizeof(mark) - 1;
	}
	*line = 0;
	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len, skip = n + (end != NULL);
		const char *colon;

		(*line)++;
		if (n > 0 && text[n - 1] == '\r')
			n--;
		if (n > 0 && text[0] != '#') {
			size_t name_len;
			int err;

			colon = memchr(text, ':', n);
			name_len = colon ? (size_t)(colon - text) : 0;
			if (name_len == 0 || name_len > PROXY_USER_MAX_BYTES ||
			    n - name_len - 1 > PROXY_USER_MAX_BYTES)
				return -EINVAL;
			err = proxy_users_add(users, text, name_len, colon + 1, n - name_len - 1);
			if (err)
				return err;
		}
		text += skip;
		len -= skip;
	}
	return 0;
}

void proxy_users_free(struct proxy_users *users)
{
	if (users->at)
		sodium_memzero(users->at, users->n * PROXY_USER_HASH_BYTES);
	free(users->at);
	sodium_memzero(users, sizeof(*users));
}
