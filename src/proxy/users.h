/* SPDX-License-Identifier: MIT */
/* users.h - who may use a proxy: hashes of names with their passwords */
#ifndef SRC_PROXY_USERS_H
#define SRC_PROXY_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PROXY_USER_HASH_BYTES = 32,
	PROXY_USER_KEY_BYTES = 32,
	PROXY_USER_MAX_BYTES = 255, /* RFC 1929: a name or a password */
	PROXY_USERS_MAX = 65536,
};

/**
 * struct proxy_users - the users of one listener; no user: everybody may
 * @key:	Of the hash, random, chosen by the front
 * @at:		BLAKE2b of name and password, @n of them
 */
struct proxy_users {
	uint8_t key[PROXY_USER_KEY_BYTES];
	uint8_t (*at)[PROXY_USER_HASH_BYTES];
	size_t n;
};

/* Appends. Lengths in bytes, any bytes. Returns 0, -ENOMEM or -E2BIG (PROXY_USERS_MAX). */
int proxy_users_add(struct proxy_users *users, const void *name, size_t name_len,
		    const void *password, size_t password_len);
/* Whether these are the name and the password of a user, in time that depends on the number of
 * users and the given lengths only. */
bool proxy_users_check(const struct proxy_users *users, const void *name, size_t name_len,
		       const void *password, size_t password_len);
/* Reads lines "NAME:PASSWORD" ('#' comments and empty lines aside) of @len bytes of @text. Returns
 * 0 or -errno, with *line set: -EINVAL, or as above. */
int proxy_users_parse(struct proxy_users *users, const char *text, size_t len, unsigned int *line);
/* Wipes. */
void proxy_users_free(struct proxy_users *users);

#endif
