/* SPDX-License-Identifier: MIT */
/*
 * test_proxy_messages.c - the messages that clients of a proxy send: SOCKS, HTTP heads, TLS's first
 *	one, and who the users are
 *
 * Every message is also given in all its prefixes, each in memory of exactly its size: a parser
 * that looks behind what has arrived is found by the sanitizers.
 */
#include <check.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "src/config/config.h"
#include "src/proxy/http_head.h"
#include "src/proxy/sni.h"
#include "src/proxy/socks.h"
#include "src/proxy/users.h"
#include "tests/unit/run_suite.h"

#define BYTES(s) ((const uint8_t *)(s)), (sizeof(s) - 1)

static void *exact(const void *bytes, size_t len)
{
	void *copy = malloc(len ? len : 1);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes, len);
	return len ? copy : (free(copy), calloc(1, 1));
}

/* ---- targets ---- */

START_TEST(targets_are_names_or_addresses_with_a_port)
{
	static const struct {
		const char *text;
		uint16_t default_port;
		const char *name; /* NULL: refused */
		uint16_t port;
		bool is_name;
	} cases[] = {
		{"host:80", 0, "host", 80, true},
		{"host", 80, "host", 80, true},
		{"host", 0, NULL, 0, false},
		{"HOST.example.:443", 0, "HOST.example", 443, true},
		{"10.0.0.1:1", 0, "10.0.0.1", 1, false},
		{"[fd00::1]:65535", 0, "fd00::1", 65535, false},
		{"[fd00::1]", 80, "fd00::1", 80, false},
		{"[::ffff:10.0.0.1]:1", 0, "10.0.0.1", 1, false},
		{"fd00::1:80", 0, NULL, 0, false},
		{"[fd00::1]80", 0, NULL, 0, false},
		{"[fd00::1:80", 0, NULL, 0, false},
		{"[host]:80", 0, NULL, 0, false},
		{"[10.0.0.1]:80", 0, NULL, 0, false},
		{"host:0", 0, NULL, 0, false},
		{"host:65536", 0, NULL, 0, false},
		{"host:-1", 0, NULL, 0, false},
		{"host:", 80, NULL, 0, false},
		{":80", 0, NULL, 0, false},
		{".:80", 0, NULL, 0, false},
		{".a:80", 0, NULL, 0, false},
		{"user@host:80", 0, NULL, 0, false},
		{"ho st:80", 0, NULL, 0, false},
		{"ho/st:80", 0, NULL, 0, false},
		{"h\tst:80", 0, NULL, 0, false},
		{"", 80, NULL, 0, false},
		{"b\xc3\xbc"
		 "cher.example:80",
		 0,
		 "b\xc3\xbc"
		 "cher.example",
		 80, true},
		{"xn--bcher-kva.example:80", 0, "xn--bcher-kva.example", 80, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct proxy_target t;
		size_t len = strlen(cases[i].text);
		char *text = exact(cases[i].text, len);
		int r = proxy_target_parse(&t, text, len, cases[i].default_port);

		free(text);
		ck_assert_msg((r == 0) == (cases[i].name != NULL), "%s", cases[i].text);
		if (r < 0)
			continue;
		ck_assert_str_eq(t.name, cases[i].name);
		ck_assert_uint_eq(t.addr.port, cases[i].port);
		ck_assert_int_eq(t.is_name, cases[i].is_name);
	}
}
END_TEST

START_TEST(names_up_to_their_limit)
{
	char name[PROXY_NAME_BYTES + 1];
	struct proxy_target t;

	memset(name, 'a', sizeof(name));
	ck_assert_int_eq(proxy_target_set(&t, name, PROXY_NAME_BYTES - 1, 1), 0);
	ck_assert_uint_eq(strlen(t.name), PROXY_NAME_BYTES - 1);
	ck_assert_int_eq(proxy_target_set(&t, name, PROXY_NAME_BYTES, 1), -EINVAL);
	ck_assert_int_eq(proxy_target_set(&t, "a\0b", 3, 1), -EINVAL);
	ck_assert_int_eq(proxy_target_set(&t, "a.", 2, 1), 0);
	ck_assert(t.absolute);
	ck_assert_int_eq(proxy_target_set(&t, "a", 1, 1), 0);
	ck_assert(!t.absolute);
}
END_TEST

/* ---- SOCKS ---- */

static void whole_only(ssize_t (*parse)(const uint8_t *, size_t, struct socks_request *),
		       const uint8_t *bytes, size_t len, struct socks_request *out)
{
	for (size_t n = 0; n <= len + 3; n++) {
		uint8_t *copy = malloc(n + 1), *at;
		ssize_t r;

		memset(copy, 'x', n + 1);
		memcpy(copy, bytes, n < len ? n : len);
		at = exact(copy, n);
		free(copy);
		r = parse(at, n, out);
		free(at);
		ck_assert_int_eq(r, n < len ? 0 : (ssize_t)len);
	}
}

START_TEST(socks5_requests_are_taken_whole_or_refused)
{
	struct socks_request r;

	whole_only(socks5_parse_request, BYTES("\5\1\0\1\x0a\0\0\1\0\x50"), &r);
	ck_assert_int_eq(r.code, SOCKS5_OK);
	ck_assert_int_eq(r.command, SOCKS_CONNECT);
	ck_assert_str_eq(r.target.name, "10.0.0.1");
	ck_assert_uint_eq(r.target.addr.port, 80);
	whole_only(socks5_parse_request, BYTES("\5\1\xff\3\4host\x01\xbb"),
		   &r); /* RSV is ignored */
	ck_assert_int_eq(r.code, SOCKS5_OK);
	ck_assert(r.target.is_name);
	ck_assert_uint_eq(r.target.addr.port, 443);
	whole_only(socks5_parse_request, BYTES("\5\2\0\4\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0"),
		   &r);
	ck_assert_int_eq(r.code, SOCKS5_OK); /* BIND, port 0 */
	ck_assert_str_eq(r.target.name, "fd00::1");
	whole_only(socks5_parse_request, BYTES("\5\1\0\1\x0a\0\0\1\0\0"), &r);
	ck_assert_int_eq(r.code, SOCKS5_FAILED);
	whole_only(socks5_parse_request, BYTES("\5\4\0\1\x0a\0\0\1\0\1"), &r);
	ck_assert_int_eq(r.code, SOCKS5_BAD_COMMAND);
	whole_only(socks5_parse_request, BYTES("\5\0\0\1\x0a\0\0\1\0\1"), &r);
	ck_assert_int_eq(r.code, SOCKS5_BAD_COMMAND);
	whole_only(socks5_parse_request, BYTES("\5\1\0\3\0\0\x50"), &r);
	ck_assert_int_eq(r.code, SOCKS5_HOST_UNREACHABLE);
	ck_assert_int_eq(socks5_parse_request(BYTES("\5\1\0\2zz"), &r), 4);
	ck_assert_int_eq(r.code, SOCKS5_BAD_ADDRESS_TYPE);
	ck_assert_int_eq(socks5_parse_request(BYTES("\4\1"), &r), -EPROTO);
}
END_TEST

START_TEST(socks4_requests_may_hold_a_name)
{
	char long_user[8 + SOCKS4_TEXT_MAX_BYTES + 2] = "\4\1\0\x50\x0a\0\0\1";
	struct socks_request r;

	whole_only(socks4_parse_request, BYTES("\4\1\0\x50\x0a\0\0\1user\0"), &r);
	ck_assert_str_eq(r.target.name, "10.0.0.1");
	whole_only(socks4_parse_request, BYTES("\4\1\0\x50\0\0\0\1\0name.example\0"), &r);
	ck_assert(r.target.is_name);
	ck_assert_str_eq(r.target.name, "name.example");
	whole_only(socks4_parse_request, BYTES("\4\1\0\x50\0\0\0\0\0"), &r); /* 0.0.0.0 is no 4a */
	ck_assert(!r.target.is_name);
	whole_only(socks4_parse_request, BYTES("\4\3\0\x50\x0a\0\0\1\0"), &r);
	ck_assert_int_ne(r.code, SOCKS5_OK);
	whole_only(socks4_parse_request, BYTES("\4\1\0\0\x0a\0\0\1\0"), &r);
	ck_assert_int_ne(r.code, SOCKS5_OK);
	memset(long_user + 8, 'u', SOCKS4_TEXT_MAX_BYTES);
	long_user[8 + SOCKS4_TEXT_MAX_BYTES] = '\0';
	ck_assert_int_gt(socks4_parse_request((uint8_t *)long_user, 9 + SOCKS4_TEXT_MAX_BYTES, &r),
			 0);
	long_user[8 + SOCKS4_TEXT_MAX_BYTES] = 'u';
	ck_assert_int_eq(socks4_parse_request((uint8_t *)long_user, 9 + SOCKS4_TEXT_MAX_BYTES, &r),
			 -EPROTO);
}
END_TEST

START_TEST(socks5_greetings_and_credentials)
{
	struct socks5_credentials c;
	uint32_t methods;

	ck_assert_int_eq(socks5_parse_greeting(BYTES("\5"), &methods), 0);
	ck_assert_int_eq(socks5_parse_greeting(BYTES("\5\2\2"), &methods), 0);
	ck_assert_int_eq(socks5_parse_greeting(BYTES("\5\3\0\2\xff+"), &methods), 5);
	ck_assert_uint_eq(methods, 1 | 4);
	ck_assert_int_eq(socks5_parse_greeting(BYTES("\5\0"), &methods), 2);
	ck_assert_uint_eq(methods, 0);
	ck_assert_int_eq(socks5_parse_greeting(BYTES("G"), &methods), -EPROTO);
	for (size_t n = 0; n < 8; n++) {
		uint8_t *at = exact("\1\3a\0b\1p", n < 7 ? n : 7);

		ck_assert_int_eq(socks5_parse_credentials(at, n < 7 ? n : 7, &c), n < 7 ? 0 : 7);
		free(at);
	}
	ck_assert_int_eq(socks5_parse_credentials(BYTES("\1\1u\0"), &c), 4);
	ck_assert_uint_eq(c.password_len, 0);
	ck_assert_int_eq(socks5_parse_credentials(BYTES("\1\0\1p"), &c), -EPROTO);
	ck_assert_int_eq(socks5_parse_credentials(BYTES("\5\1u\0"), &c), -EPROTO);
}
END_TEST

START_TEST(socks_replies_hold_the_bound_address)
{
	struct stack_addr v4 = {.port = 0x1234}, v6 = {.ip = {0xfd, [15] = 1}, .port = 1};
	uint8_t out[SOCKS5_UDP_HEADER_MAX_BYTES];

	memcpy(v4.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1", 16);
	ck_assert_uint_eq(socks5_put_reply(out, SOCKS5_REFUSED, NULL), 10);
	ck_assert_mem_eq(out, "\5\5\0\1\0\0\0\0\0\0", 10);
	ck_assert_uint_eq(socks5_put_reply(out, SOCKS5_OK, &v4), 10);
	ck_assert_mem_eq(out, "\5\0\0\1\x0a\0\0\1\x12\x34", 10);
	ck_assert_uint_eq(socks5_put_reply(out, SOCKS5_OK, &v6), SOCKS5_REPLY_MAX_BYTES);
	ck_assert_mem_eq(out, "\5\0\0\4\xfd\0\0", 7);
	ck_assert_uint_eq(socks4_put_reply(out, SOCKS4_GRANTED, &v4), SOCKS4_REPLY_BYTES);
	ck_assert_mem_eq(out, "\0\x5a\x12\x34\x0a\0\0\1", 8);
	ck_assert_uint_eq(socks5_put_udp(out, &v4), 10);
	ck_assert_mem_eq(out, "\0\0\0\1\x0a\0\0\1\x12\x34", 10);
}
END_TEST

START_TEST(socks5_datagrams_say_where_they_go)
{
	struct proxy_target t;
	uint8_t fragment;

	ck_assert_int_eq(socks5_parse_udp(BYTES("\0\0\0\1\x0a\0\0\1\0\x35payload"), &t, &fragment),
			 10);
	ck_assert_int_eq(fragment, 0);
	ck_assert_int_eq(socks5_parse_udp(BYTES("\0\0\x81\3\1a\0\x35"), &t, &fragment), 8);
	ck_assert_int_eq(fragment, 0x81);
	ck_assert_int_eq(socks5_parse_udp(BYTES("\0\1\0\1\x0a\0\0\1\0\x35"), &t, &fragment),
			 -EPROTO);
	ck_assert_int_eq(socks5_parse_udp(BYTES("\0\0\0\1\x0a\0\0\1\0\0"), &t, &fragment), -EPROTO);
	ck_assert_int_eq(socks5_parse_udp(BYTES("\0\0\0\1\x0a\0\0\1\0"), &t, &fragment), -EPROTO);
	ck_assert_int_eq(socks5_parse_udp(BYTES("\0\0\0\7\x0a\0\0\1\0\x35"), &t, &fragment),
			 -EPROTO);
	ck_assert_int_eq(socks5_parse_udp(BYTES(""), &t, &fragment), -EPROTO);
}
END_TEST

/* ---- users ---- */

START_TEST(users_are_checked_with_their_passwords)
{
	static const char text[] = "\xef\xbb\xbf# comment\n\nann:one\r\nbob:\ncy:a:b";
	struct proxy_users users = {0};
	unsigned int line;

	randombytes_buf(users.key, sizeof(users.key));
	ck_assert(!proxy_users_check(&users, "", 0, "", 0));
	ck_assert_int_eq(proxy_users_parse(&users, text, sizeof(text) - 1, &line), 0);
	ck_assert_uint_eq(users.n, 3);
	ck_assert(proxy_users_check(&users, "ann", 3, "one", 3));
	ck_assert(proxy_users_check(&users, "bob", 3, "", 0));
	ck_assert(proxy_users_check(&users, "cy", 2, "a:b", 3));
	ck_assert(!proxy_users_check(&users, "ann", 3, "one\0", 4));
	ck_assert(!proxy_users_check(&users, "ann", 3, "", 0));
	ck_assert(!proxy_users_check(&users, "anno", 4, "ne", 2)); /* the border counts */
	ck_assert(!proxy_users_check(&users, "bob", 3, "one", 3));
	ck_assert_int_eq(proxy_users_parse(&users, "a:b\nnobody\n", 11, &line), -EINVAL);
	ck_assert_uint_eq(line, 2);
	ck_assert_int_eq(proxy_users_parse(&users, ":b\n", 3, &line), -EINVAL);
	ck_assert_int_eq(proxy_users_parse(&users, "\xef\xbb\xbfmo:x", 7, &line), 0);
	ck_assert(proxy_users_check(&users, "mo", 2, "x", 1));
	proxy_users_free(&users);
	ck_assert_ptr_null(users.at);
}
END_TEST

/* ---- HTTP ---- */

static int parse(struct http_head *h, enum http_parser_type type, const char *text)
{
	size_t line = 0;
	ssize_t n = http_head_length(text, strlen(text), &line);
	char *copy;
	int r;

	if (n <= 0)
		return n < 0 ? -EPROTO : -EAGAIN;
	copy = exact(text, (size_t)n);
	r = http_head_parse(h, type, false, copy, (size_t)n);
	/* the head's texts point into it: the caller looks at its own */
	if (r == 0)
		r = http_head_parse(h, type, false, text, (size_t)n);
	free(copy);
	return r;
}

START_TEST(heads_end_where_they_end)
{
	static const char head[] = "GET / HTTP/1.1\r\nA: b\r\n\r\nbody\r\n\r\n";
	static const char *const bad[] = {"GET / HTTP/1.1\n", "A\r\n B\r\n", "A\r\n\tB\r\n", "\r\n",
					  "A\r\nB\n\r\n",     "\nA\r\n\r\n", "A\r\n\nB"};
	size_t line, piecewise = 0;

	for (size_t n = 0; n <= sizeof(head) - 1; n++) {
		char *at = exact(head, n);

		line = 0;
		ck_assert_int_eq(http_head_length(at, n, &line), n < 24 ? 0 : 24);
		if (n <= 24)
			ck_assert_int_eq(http_head_length(at, n, &piecewise), n < 24 ? 0 : 24);
		ck_assert_uint_eq(piecewise, n < 16 ? 0 : n < 22 ? 16 : 22);
		free(at);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ssize_t r = 0;

		line = 0;
		ck_assert_int_eq(http_head_length(bad[i], strlen(bad[i]), &line), -EPROTO);
		line = 0;
		for (size_t n = 0; n <= strlen(bad[i]) && r == 0; n++)
			r = http_head_length(bad[i], n, &line);
		ck_assert_msg(r == -EPROTO, "byte by byte: %zu", i);
	}
}
END_TEST

START_TEST(heads_that_two_readers_read_differently)
{
	static const char *const bad[] = {
		"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
		"Content-Length: 1\r\nContent-Length: 1\r\n",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
		"Transfer-Encoding: gzip, chunked\r\n",
		"Transfer-Encoding: identity\r\n",
		"Transfer-Encoding : chunked\r\n",
		"Content-Length: 1 1\r\n",
		"Content-Length:\r\n",
		"Content-Length: \t\r\n",
		"Content-Length: 0x10\r\n",
		"Content-Length: 99999999999999999999999\r\n",
		"Host: a\r\nHost: b\r\n",
		"Bad Name: x\r\n",
		": x\r\n",
		"Na\x80me: x\r\n",
		"X: a\rb\r\n",
	};
	struct http_head h;
	char text[512];

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(text, sizeof(text), "POST http://a/ HTTP/1.1\r\n%s\r\n", bad[i]);
		ck_assert_msg(parse(&h, HTTP_REQUEST, text) == -EPROTO, "%s", bad[i]);
		ck_assert_ptr_nonnull(h.bad);
	}
	ck_assert_int_eq(parse(&h, HTTP_RESPONSE, "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n"),
			 -EPROTO);
	ck_assert_int_eq(
		parse(&h, HTTP_REQUEST, "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
		-EPROTO);
	ck_assert_int_eq(parse(&h, HTTP_REQUEST, "GET / HTTP/2.0\r\n\r\n"), -EPROTO);
	ck_assert_int_eq(parse(&h, HTTP_REQUEST, "GET / HTTP/1.1\r\nX: 1\r\n\r\n"), 0);
}
END_TEST

START_TEST(fields_of_a_head)
{
	static const char text[] =
		"POST http://a/ HTTP/1.1\r\nhost: a\r\nConnection: x-Drop ,close\r\n"
		"X-Drop: 1\r\nX-Empty:\r\nX-Keep:  v \t\r\nContent-Length: 3\r\n"
		"TE: trailers\r\n\r\n";
	struct http_head h;
	unsigned int kept = 0;

	ck_assert_int_eq(parse(&h, HTTP_REQUEST, text), 0);
	ck_assert(!h.complete);
	ck_assert(http_text_is(http_head_get(&h, "X-Keep"), "v"));
	ck_assert_uint_eq(http_head_get(&h, "X-Empty")->len, 0);
	ck_assert_ptr_null(http_head_get(&h, "X-None"));
	ck_assert(http_head_has(&h, "Connection", "CLOSE"));
	ck_assert(!http_head_has(&h, "Connection", "x"));
	for (size_t i = 0; i < h.n; i++)
		kept += !http_head_is_hop(&h, &h.at[i]);
	ck_assert_uint_eq(kept, 4); /* host, X-Empty, X-Keep, Content-Length */
}
END_TEST

START_TEST(connections_that_another_message_may_follow_on)
{
	static const struct {
		const char *head;
		bool keeps;
	} cases[] = {
		{"HTTP/1.1 204 No Content\r\n\r\n", true},
		{"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", false},
		{"HTTP/1.1 200 OK\r\n\r\n", false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true},
		{"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", false},
		{"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n", true},
		{"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n",
		 false},
	};
	struct http_head h;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ck_assert_int_eq(parse(&h, HTTP_RESPONSE, cases[i].head), 0);
		ck_assert_msg(http_head_keeps(&h) == cases[i].keeps, "%s", cases[i].head);
	}
}
END_TEST

START_TEST(bodies_end_where_they_end)
{
	char chunks[] = "3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\nGET";
	struct http_head h;
	size_t contents;

	ck_assert_int_eq(
		parse(&h, HTTP_REQUEST, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
		0);
	ck_assert_int_eq(http_body_take(&h, chunks, sizeof(chunks) - 1, NULL),
			 sizeof(chunks) - 1 - 3);
	ck_assert(h.complete);
	ck_assert_int_eq(
		parse(&h, HTTP_RESPONSE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
		0);
	ck_assert_int_eq(http_body_take(&h, chunks, sizeof(chunks) - 1, &contents),
			 sizeof(chunks) - 1 - 3);
	ck_assert_uint_eq(contents, 5);
	ck_assert_mem_eq(chunks, "abcde", 5);
	ck_assert_int_eq(parse(&h, HTTP_REQUEST, "PUT / HTTP/1.1\r\nContent-Length: 4\r\n\r\n"), 0);
	ck_assert_int_eq(http_body_take(&h, (char[]){"ab"}, 2, NULL), 2);
	ck_assert(!h.complete);
	ck_assert_int_eq(http_body_take(&h, (char[]){"cdGET"}, 5, NULL), 2);
	ck_assert(h.complete);
	ck_assert_int_eq(
		parse(&h, HTTP_REQUEST, "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), 0);
	ck_assert_int_eq(http_body_take(&h, (char[]){"zz\r\n"}, 4, NULL), -EPROTO);
}
END_TEST

/* The fields of a head point into bytes that were there with it. */
START_TEST(trailers_are_no_fields_of_the_head)
{
	static const char *const pieces[] = {
		"1\r\na\r\n0\r\nX-Tra", "iler: one", "   ", "\t", "\r\n\r", "\n"};
	char bytes[32];
	struct http_head h;
	struct http_text value;

	ck_assert_int_eq(
		parse(&h, HTTP_REQUEST, "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), 0);
	value = h.at[0].value;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		strcpy(bytes, pieces[i]);
		ck_assert_int_eq(http_body_take(&h, bytes, strlen(bytes), NULL),
				 (ssize_t)strlen(pieces[i]));
		ck_assert_uint_eq(h.n, 1);
		ck_assert(h.at[0].value.at == value.at && h.at[0].value.len == value.len);
	}
	ck_assert(h.complete);
}
END_TEST

START_TEST(responses_without_a_body)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
	struct http_head h;

	ck_assert_int_eq(http_head_parse(&h, HTTP_RESPONSE, true, text, sizeof(text) - 1), 0);
	ck_assert(h.complete); /* to HEAD */
	ck_assert_int_eq(http_head_parse(&h, HTTP_RESPONSE, false, text, sizeof(text) - 1), 0);
	ck_assert(!h.complete);
	ck_assert_int_eq(parse(&h, HTTP_RESPONSE, "HTTP/1.1 204 No Content\r\n\r\n"), 0);
	ck_assert(h.complete);
	ck_assert_int_eq(parse(&h, HTTP_RESPONSE, "HTTP/1.1 200 OK\r\n\r\n"), 0);
	ck_assert(!h.complete); /* until the end */
}
END_TEST

START_TEST(credentials_of_a_head)
{
	static const struct {
		const char *value;
		int result;
		const char *name, *password;
	} cases[] = {
		{"Basic dXNlcjpwYXNz", 1, "user", "pass"},
		{"basic  dTo=", 1, "u", ""},
		{"Basic OnA=", 1, "", "p"},
		{"Basic dXNlcg==", -EINVAL, "", ""},
		{"Basic !", -EINVAL, "", ""},
		{"Bearer x", -EINVAL, "", ""},
		{"Basic", -EINVAL, "", ""},
		{"", -EINVAL, "", ""},
	};
	struct http_text name, password;
	char text[256], buf[64];
	struct http_head h;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text),
			 "GET http://a/ HTTP/1.1\r\nProxy-Authorization: %s\r\n\r\n",
			 cases[i].value);
		ck_assert_int_eq(parse(&h, HTTP_REQUEST, text), 0);
		ck_assert_int_eq(http_head_credentials(&h, buf, sizeof(buf), &name, &password),
				 cases[i].result);
		if (cases[i].result == 1) {
			ck_assert(http_text_is(&name, cases[i].name));
			ck_assert(http_text_is(&password, cases[i].password));
		}
	}
	ck_assert_int_eq(parse(&h, HTTP_REQUEST, "GET http://a/ HTTP/1.1\r\n\r\n"), 0);
	ck_assert_int_eq(http_head_credentials(&h, buf, sizeof(buf), &name, &password), 0);
}
END_TEST

START_TEST(absolute_urls_are_split_into_host_and_path)
{
	static const struct {
		const char *url, *name, *path;
		uint16_t port;
	} cases[] = {
		{"http://a/", "a", "/", 80},
		{"HTTP://a:81/b?c#d", "a", "/b?c#d", 81},
		{"http://a", "a", "", 80},
		{"http://a?x", "a", "?x", 80},
		{"http://[fd00::1]:8080/", "fd00::1", "/", 8080},
		{"https://a/", NULL, NULL, 0},
		{"/", NULL, NULL, 0},
		{"http://", NULL, NULL, 0},
		{"http:///x", NULL, NULL, 0},
		{"http://u:p@a/", NULL, NULL, 0},
		{"http://a:0/", NULL, NULL, 0},
		{"*", NULL, NULL, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct http_text url = {cases[i].url, strlen(cases[i].url)}, authority, path;
		struct proxy_target t;
		int r = http_target_absolute(&url, &t, &authority, &path);

		ck_assert_msg((r == 0) == (cases[i].name != NULL), "%s", cases[i].url);
		if (r == 0) {
			ck_assert_str_eq(t.name, cases[i].name);
			ck_assert_uint_eq(t.addr.port, cases[i].port);
			ck_assert(http_text_is(&path, cases[i].path));
		}
	}
}
END_TEST

/* ---- TLS ---- */

/* A ClientHello in records of at most @piece bytes. Returns its length. */
static size_t hello(uint8_t *out, size_t piece, const char *name)
{
	uint8_t body[512] = {1, 0, 0, 0, 3, 3};
	size_t n = 6 + 32, len = name ? strlen(name) : 0, at = 0, total = 0;

	body[n++] = 0;			   /* session id */
	memcpy(body + n, "\0\2\x13\1", 4); /* cipher suites */
	memcpy(body + n + 4, "\1\0", 2);   /* compression */
	n += 6;
	if (name) {
		const uint8_t extensions[] = {0,	   (uint8_t)(len + 9 + 6),
					      0,	   10,
					      0,	   2,
					      0,	   0,
					      0,	   0,
					      0,	   (uint8_t)(len + 5),
					      0,	   (uint8_t)(len + 3),
					      0,	   0,
					      (uint8_t)len};

		memcpy(body + n, extensions, sizeof(extensions));
		n += sizeof(extensions);
		memcpy(body + n, name, len);
		n += len;
	}
	body[2] = (uint8_t)((n - 4) >> 8);
	body[3] = (uint8_t)(n - 4);
	while (at < n) {
		size_t here = n - at < piece ? n - at : piece;

		memcpy(out + total, (uint8_t[]){22, 3, 1, (uint8_t)(here >> 8), (uint8_t)here}, 5);
		memcpy(out + total + 5, body + at, here);
		total += 5 + here;
		at += here;
	}
	return total;
}

START_TEST(server_name_is_found_however_the_client_cuts_it)
{
	static const size_t pieces[] = {1000, 40, 3, 1};
	uint8_t bytes[4096], scratch[4096];
	const char *name;
	size_t len;

	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		size_t total = hello(bytes, pieces[i], "name.example");

		for (size_t n = 0; n <= total; n++) {
			uint8_t *at = exact(bytes, n);
			int r = sni_parse(at, n, scratch, &name, &len);

			free(at);
			ck_assert_int_eq(r, n < total ? 0 : 1);
		}
		ck_assert_uint_eq(len, 12);
		ck_assert_mem_eq(name, "name.example", 12);
	}
	len = hello(bytes, 1000, NULL);
	ck_assert_int_eq(sni_parse(bytes, len, scratch, &name, &len), -ENOENT);
	ck_assert_int_eq(sni_parse(BYTES("GET / HTTP/1.1"), scratch, &name, &len), -EPROTO);
	ck_assert_int_eq(sni_parse(BYTES("\x16\3\1\0\4\2\0\0\1"), scratch, &name, &len), -EPROTO);
	ck_assert_int_eq(sni_parse(BYTES("\x16\3\1\0\0"), scratch, &name, &len), -EPROTO);
}
END_TEST

START_TEST(damaged_hellos_are_no_hellos)
{
	uint8_t bytes[512], scratch[512], *at;
	size_t total = hello(bytes, 1000, "name.example"), len;
	const char *name;

	for (size_t i = 0; i < total; i++) {
		for (int v = 0; v < 256; v += 5) {
			at = exact(bytes, total);
			at[i] = (uint8_t)v;
			if (sni_parse(at, total, scratch, &name, &len) == 1)
				ck_assert(name >= (char *)scratch &&
					  name + len <= (char *)scratch + total);
			free(at);
		}
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		targets_are_names_or_addresses_with_a_port,
		names_up_to_their_limit,
		socks5_requests_are_taken_whole_or_refused,
		socks4_requests_may_hold_a_name,
		socks5_greetings_and_credentials,
		socks_replies_hold_the_bound_address,
		socks5_datagrams_say_where_they_go,
		users_are_checked_with_their_passwords,
		heads_end_where_they_end,
		heads_that_two_readers_read_differently,
		fields_of_a_head,
		connections_that_another_message_may_follow_on,
		bodies_end_where_they_end,
		trailers_are_no_fields_of_the_head,
		responses_without_a_body,
		credentials_of_a_head,
		absolute_urls_are_split_into_host_and_path,
		server_name_is_found_however_the_client_cuts_it,
		damaged_hellos_are_no_hellos,
	};
	Suite *suite = suite_create("proxy_messages");

	if (sodium_init() < 0 || wgw_http_load())
		return 1;
	for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++) {
		TCase *tc = tcase_create(tests[i]->name);

		tcase_add_test(tc, tests[i]);
		suite_add_tcase(suite, tc);
	}
	return run_suite(suite);
}
