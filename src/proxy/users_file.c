/* SPDX-License-Identifier: MIT */
/* users_file.c - the file of --users: lines NAME:PASSWORD */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "src/proxy/front.h"
#include "src/session/say.h"

enum { FILE_MAX_BYTES = 16 << 20 };

bool proxy_asks_users(enum wgw_proxy_kind kind)
{
	return kind == WGW_PROXY_MIXED || kind == WGW_PROXY_SOCKS || kind == WGW_PROXY_HTTP;
}

/* 0, or -1: no memory. */
static int give(struct wgw_proxy_spec *s, const struct proxy_users *users)
{
	struct proxy_users own = *users;

	own.at = malloc(users->n * PROXY_USER_HASH_BYTES);
	if (!own.at)
		return -1;
	memcpy(own.at, users->at, users->n * PROXY_USER_HASH_BYTES);
	proxy_users_free(&s->users);
	s->users = own;
	s->users_from_file = true;
	return 0;
}

/* The listeners that ask for users and have none of their own get @users. 0, or -1 after an error
 * was said. */
static int give_all(struct wgw_proxy_options *o, const struct proxy_users *users)
{
	size_t n = 0;

	for (size_t i = 0; i < o->n; i++) {
		struct wgw_proxy_spec *s = &o->specs[i];

		if (!proxy_asks_users(s->kind) || (s->users.n > 0 && !s->users_from_file))
			continue;
		n++;
		if (give(s, users)) {
			wgw_say(WGW_SAY_ERROR, "%s: %s", o->users_file, strerror(ENOMEM));
			return -1;
		}
	}
	if (n > 0)
		return 0;
	wgw_say(WGW_SAY_ERROR, "--users: there is no listener for SOCKS or HTTP without users of "
			       "its own");
	return -1;
}

int proxy_users_read(struct wgw_proxy_options *o)
{
	struct proxy_users users = {0};
	unsigned int line = 0;
	int err;
	char *text;
	size_t len;

	if (!o->users_file)
		return 0;
	text = proxy_file_read(o->users_file, FILE_MAX_BYTES, true, &len);
	if (!text) {
		wgw_say(WGW_SAY_ERROR, "%s: %s", o->users_file, strerror(errno));
		return -1;
	}
	randombytes_buf(users.key, sizeof(users.key));
	err = proxy_users_parse(&users, text, len, &line);
	sodium_memzero(text, len);
	free(text);
	if (err == -E2BIG)
		wgw_say(WGW_SAY_ERROR, "%s:%u: more than %d users", o->users_file, line,
			PROXY_USERS_MAX);
	else if (err == -EINVAL)
		wgw_say(WGW_SAY_ERROR, "%s:%u: not NAME:PASSWORD of at most 255 bytes each",
			o->users_file, line);
	else if (err)
		wgw_say(WGW_SAY_ERROR, "%s: %s", o->users_file, strerror(-err));
	else if (users.n == 0)
		wgw_say(WGW_SAY_ERROR, "%s: there is no user in it", o->users_file);
	err = err || users.n == 0 ? -1 : give_all(o, &users);
	proxy_users_free(&users);
	return err;
}
