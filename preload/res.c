/* SPDX-License-Identifier: MIT */
/*
 * res.c - resolver(3): DNS queries of any type
 *
 * The tunnel process asks its name servers and returns the whole response message. A ready-made
 * query (res_send) is taken apart for its question; the response gets its identifier.
 */
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <string.h>

#include "preload/names.h"
#include "preload/pre.h"

enum {
	HEADER_BYTES = 12,
	RCODE_MASK = 0x0f,
	TRUNCATED = 0x02, /* TC, RFC 1035 4.1.1 */
};

static int host_error_of_response(const uint8_t *response, ssize_t len)
{
	if (len < HEADER_BYTES)
		return NO_RECOVERY;
	switch (response[3] & RCODE_MASK) {
	case ns_r_noerror:
		return response[6] || response[7] ? 0 : NO_DATA;
	case ns_r_nxdomain:
		return HOST_NOT_FOUND;
	case ns_r_servfail:
		return TRY_AGAIN;
	default:
		return NO_RECOVERY;
	}
}

/* What there was no room for is said as libc does: in the header, and the length is that of all. */
static int length_told(unsigned char *answer, int size, ssize_t len)
{
	if (len > size)
		answer[2] |= TRUNCATED;
	return (int)len;
}

/* Returns the response's length, as res_query does: -1 with @code set when there is no answer. */
static int pre_query(const char *name, uint32_t flags, int class_, int type, unsigned char *answer,
		     int size, int *code)
{
	ssize_t n;

	pre_enter();
	if (!pre_have_session() || size < HEADER_BYTES || class_ < 0 || class_ > (int)UINT16_MAX ||
	    type < 0 || type > (int)UINT16_MAX) {
		*code = NO_RECOVERY;
		return -1;
	}
	n = wgw_repr_dns_query(&pre_session, name, flags, (uint16_t)class_, (uint16_t)type, answer,
			       (size_t)size);
	*code = n < 0 ? pre_names_host_error((int)n) : host_error_of_response(answer, n);
	return *code ? -1 : length_told(answer, size, n);
}

static int pre_query_plain(const char *name, uint32_t flags, int class_, int type,
			   unsigned char *answer, int size)
{
	int code;
	int n = pre_query(name, flags, class_, type, answer, size, &code);

	h_errno = code;
	return n;
}

static int pre_query_state(res_state state, const char *name, uint32_t flags, int class_, int type,
			   unsigned char *answer, int size)
{
	int code;
	int n = pre_query(name, flags, class_, type, answer, size, &code);

	state->res_h_errno = code;
	h_errno = code;
	return n;
}

/* ---- ready-made queries ---- */

/* Takes the one question of a query. */
static bool read_question(const unsigned char *query, int len, char *name, size_t size, int *class_,
			  int *type)
{
	int used;

	if (len < HEADER_BYTES || query[4] != 0 || query[5] != 1)
		return false;
	used = dn_expand(query, query + len, query + HEADER_BYTES, name, (int)size);
	if (used < 0 || HEADER_BYTES + used + 4 > len)
		return false;
	query += HEADER_BYTES + used;
	*type = query[0] << 8 | query[1];
	*class_ = query[2] << 8 | query[3];
	return true;
}

static int pre_send(const unsigned char *query, int len, unsigned char *answer, int size)
{
	char name[WGW_NAME_MAX_BYTES];
	int class_, type;
	ssize_t n;

	pre_enter();
	if (!pre_have_session() || size < HEADER_BYTES ||
	    !read_question(query, len, name, sizeof(name), &class_, &type)) {
		errno = EINVAL;
		return -1;
	}
	n = wgw_repr_dns_query(&pre_session, name, WGW_RESOLVE_NO_SEARCH, (uint16_t)class_,
			       (uint16_t)type, answer, (size_t)size);
	if (n < HEADER_BYTES) {
		errno = ETIMEDOUT;
		return -1;
	}
	memcpy(answer, query, 2);
	return length_told(answer, size, n);
}

/* ---- the names libc exports; the ones with underscores are of older headers ---- */

#undef res_query
#undef res_search
#undef res_send
#undef res_nquery
#undef res_nsearch
#undef res_nsend

#define QUERY_LIKE(function, flags)                                                                \
	PRE_EXPORT int function(const char *name, int class_, int type, unsigned char *answer,     \
				int size);                                                         \
	int function(const char *name, int class_, int type, unsigned char *answer, int size)      \
	{                                                                                          \
		return pre_query_plain(name, flags, class_, type, answer, size);                   \
	}
#define STATE_QUERY_LIKE(function, flags)                                                          \
	PRE_EXPORT int function(res_state state, const char *name, int class_, int type,           \
				unsigned char *answer, int size);                                  \
	int function(res_state state, const char *name, int class_, int type,                      \
		     unsigned char *answer, int size)                                              \
	{                                                                                          \
		return pre_query_state(state, name, flags, class_, type, answer, size);            \
	}
#define SEND_LIKE(function)                                                                        \
	PRE_EXPORT int function(const unsigned char *query, int len, unsigned char *answer,        \
				int size);                                                         \
	int function(const unsigned char *query, int len, unsigned char *answer, int size)         \
	{                                                                                          \
		return pre_send(query, len, answer, size);                                         \
	}
#define STATE_SEND_LIKE(function)                                                                  \
	PRE_EXPORT int function(res_state state, const unsigned char *query, int len,              \
				unsigned char *answer, int size);                                  \
	int function(res_state state, const unsigned char *query, int len, unsigned char *answer,  \
		     int size)                                                                     \
	{                                                                                          \
		(void)state;                                                                       \
		return pre_send(query, len, answer, size);                                         \
	}

QUERY_LIKE(res_query, WGW_RESOLVE_NO_SEARCH)
QUERY_LIKE(__res_query, WGW_RESOLVE_NO_SEARCH)
QUERY_LIKE(res_search, 0)
QUERY_LIKE(__res_search, 0)
STATE_QUERY_LIKE(res_nquery, WGW_RESOLVE_NO_SEARCH)
STATE_QUERY_LIKE(__res_nquery, WGW_RESOLVE_NO_SEARCH)
STATE_QUERY_LIKE(res_nsearch, 0)
STATE_QUERY_LIKE(__res_nsearch, 0)
SEND_LIKE(res_send)
SEND_LIKE(__res_send)
STATE_SEND_LIKE(res_nsend)
STATE_SEND_LIKE(__res_nsend)
