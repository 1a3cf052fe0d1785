/* SPDX-License-Identifier: MIT */
/*
 * sni.c - TLS connections, to the host their ClientHello names (RFC 8446 4.1.2, RFC 6066 3)
 *
 * Nothing is decrypted or changed: the ClientHello is read for its server_name and goes to the
 * destination with everything else. It may be spread over several records.
 */
#include <errno.h>
#include <string.h>

#include "src/proxy/internal.h"
#include "src/proxy/sni.h"

enum {
	RECORD_HEADER_BYTES = 5,
	RECORD_HANDSHAKE = 22,
	RECORD_MAX_BYTES = (1 << 14) + 256,
	CLIENT_HELLO = 1,
	EXTENSION_SERVER_NAME = 0,
	NAME_TYPE_HOST = 0,
	HTTPS_PORT = 443,
};

/* Descriptions of the alerts that end a connection (RFC 8446 6.2) */
enum alert { DECODE_ERROR = 50, MISSING_EXTENSION = 109, UNRECOGNIZED_NAME = 112 };

/** struct reader - the rest of a structure */
struct reader {
	const uint8_t *at;
	size_t len;
};

/* A number of @n bytes; false: the structure is too short. */
static bool take_number(struct reader *r, size_t n, size_t *out)
{
	if (r->len < n)
		return false;
	*out = 0;
	for (size_t i = 0; i < n; i++)
		*out = *out << 8 | r->at[i];
	r->at += n;
	r->len -= n;
	return true;
}

/* A vector with a length of @n bytes before it. */
static bool take_vector(struct reader *r, size_t n, struct reader *out)
{
	size_t len;

	if (!take_number(r, n, &len) || r->len < len)
		return false;
	*out = (struct reader){r->at, len};
	r->at += len;
	r->len -= len;
	return true;
}

static int take_name(struct reader names, const char **name, size_t *len)
{
	struct reader list, host;
	size_t type;

	if (!take_vector(&names, 2, &list))
		return -EPROTO;
	while (list.len > 0) {
		if (!take_number(&list, 1, &type) || !take_vector(&list, 2, &host))
			return -EPROTO;
		if (type == NAME_TYPE_HOST && host.len > 0) {
			*name = (const char *)host.at;
			*len = host.len;
			return 1;
		}
	}
	return -ENOENT;
}

/* The name in a ClientHello's body; returns what sni_parse does. */
static int parse_hello(const uint8_t *b, size_t n, const char **name, size_t *len)
{
	struct reader hello = {b, n}, skipped, extensions, one;
	size_t number;

	if (!take_number(&hello, 2, &number) || hello.len < 32)
		return -EPROTO;
	hello.at += 32; /* random */
	hello.len -= 32;
	if (!take_vector(&hello, 1, &skipped) || !take_vector(&hello, 2, &skipped) ||
	    !take_vector(&hello, 1, &skipped))
		return -EPROTO;
	if (hello.len == 0)
		return -ENOENT;
	if (!take_vector(&hello, 2, &extensions))
		return -EPROTO;
	while (extensions.len > 0) {
		if (!take_number(&extensions, 2, &number) || !take_vector(&extensions, 2, &one))
			return -EPROTO;
		if (number == EXTENSION_SERVER_NAME)
			return take_name(one, name, len);
	}
	return -ENOENT;
}

/* The contents of the handshake records at @b, as far as they are there, together in @out. Returns
 * their length, or -EPROTO. */
static ssize_t join_records(const uint8_t *b, size_t len, uint8_t *out)
{
	size_t at = 0, n = 0;

	while (len - at >= RECORD_HEADER_BYTES) {
		size_t body = (size_t)(b[at + 3] << 8 | b[at + 4]), here;

		if (b[at] != RECORD_HANDSHAKE || b[at + 1] != 3 || body == 0 ||
		    body > RECORD_MAX_BYTES)
			return -EPROTO;
		at += RECORD_HEADER_BYTES;
		here = body < len - at ? body : len - at;
		memcpy(out + n, b + at, here);
		n += here;
		at += here;
		if (here < body)
			break;
	}
	if (at == 0 && len > 0 && b[0] != RECORD_HANDSHAKE)
		return -EPROTO;
	return (ssize_t)n;
}

int sni_parse(const uint8_t *b, size_t len, uint8_t *scratch, const char **name, size_t *name_len)
{
	ssize_t n = join_records(b, len, scratch);
	size_t hello;

	if (n < 0)
		return -EPROTO;
	if (n >= 1 && scratch[0] != CLIENT_HELLO)
		return -EPROTO;
	if (n < 4)
		return 0;
	hello = (size_t)scratch[1] << 16 | (size_t)scratch[2] << 8 | scratch[3];
	if (hello > SNI_HELLO_MAX_BYTES)
		return -EPROTO;
	if ((size_t)n < 4 + hello)
		return 0;
	return parse_hello(scratch + 4, hello, name, name_len);
}

static void refuse(struct proxy_client *c, enum alert why)
{
	const uint8_t alert[] = {21, 3, 3, 0, 2, 2, (uint8_t)why}; /* fatal */

	proxy_client_reply(c, alert, sizeof(alert));
	proxy_client_finish(c);
}

static void sni_run(struct proxy_client *c)
{
	static uint8_t scratch[PROXY_HEAD_MAX_BYTES];
	const char *name;
	size_t len;
	int r;

	if (c->dial || c->known)
		return;
	r = sni_parse(c->in, c->in_len, scratch, &name, &len);
	if (r == 0 && !c->in_end && c->in_len < PROXY_HEAD_MAX_BYTES)
		return;
	if (r == -ENOENT) /* RFC 8446 9.2: who needs a server_name says so like that */
		refuse(c, MISSING_EXTENSION);
	else if (r <= 0)
		refuse(c, DECODE_ERROR);
	else if (proxy_target_set(&c->target, name, len, HTTPS_PORT) < 0)
		refuse(c, UNRECOGNIZED_NAME);
	else
		proxy_client_dial(c);
}

static void sni_dialled(struct proxy_client *c, enum proxy_result r, struct proxy_far *far)
{
	if (r == PROXY_OK)
		proxy_client_join(c, far);
	else
		proxy_client_drop(c, true);
}

const struct proxy_protocol proxy_sni = {.run = sni_run, .dialled = sni_dialled};
