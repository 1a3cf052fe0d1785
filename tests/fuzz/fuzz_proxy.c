/* SPDX-License-Identifier: MIT */
/*
 * fuzz_proxy.c - any bytes from a proxy's client or from a web server
 *
 * The first byte says what they are taken for. Whatever is parsed is within its limits: a message
 * is no longer than what there was, a name has no byte that no name has, a head that is written on
 * has one reading.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "src/proxy/front.h"
#include "src/proxy/http_head.h"
#include "src/proxy/sni.h"
#include "src/proxy/socks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void check_target(const struct proxy_target *t)
{
	must(memchr(t->name, '\0', sizeof(t->name)) != NULL);
	must(!strpbrk(t->name, " /@\r\n\t"));
}

static void socks(const uint8_t *data, size_t size)
{
	struct socks5_credentials credentials;
	struct socks_request request;
	struct proxy_target target;
	uint32_t methods;
	uint8_t fragment;
	ssize_t n;

	n = socks5_parse_greeting(data, size, &methods);
	must(n <= (ssize_t)size);
	n = socks5_parse_credentials(data, size, &credentials);
	must(n <= (ssize_t)size);
	if (n > 0)
		must(credentials.password + credentials.password_len <= data + size);
	n = socks5_parse_request(data, size, &request);
	must(n <= (ssize_t)size);
	if (n > 0 && request.code == SOCKS5_OK)
		check_target(&request.target);
	n = socks4_parse_request(data, size, &request);
	must(n <= (ssize_t)size);
	if (n > 0 && request.code == SOCKS5_OK)
		check_target(&request.target);
	n = socks5_parse_udp(data, size, &target, &fragment);
	must(n <= (ssize_t)size);
	if (n > 0)
		check_target(&target);
}

static void http(enum http_parser_type type, const uint8_t *data, size_t size)
{
	struct http_text authority, path, name, password;
	char *copy = malloc(size + 1), buf[1024];
	struct proxy_target target;
	struct http_head h;
	size_t contents;
	size_t line = 0, pieces = 0;
	ssize_t n, n2;

	must(copy != NULL);
	memcpy(copy, data, size);
	n = http_head_length(copy, size, &line);
	must(n <= (ssize_t)size);
	line = 0;
	do {
		pieces = pieces + 7 < size ? pieces + 7 : size;
		n2 = http_head_length(copy, pieces, &line);
	} while (n2 == 0 && pieces < size);
	must(n2 == n);
	if (n > 0 && http_head_parse(&h, type, false, copy, (size_t)n) == 0) {
		must(!(http_head_get(&h, "Content-Length") &&
		       http_head_get(&h, "Transfer-Encoding")));
		for (size_t i = 0; i < h.n; i++) {
			must(h.at[i].name.at >= copy &&
			     h.at[i].name.at + h.at[i].name.len <= copy + n);
			must(!memchr(h.at[i].value.at, '\n', h.at[i].value.len));
			http_head_is_hop(&h, &h.at[i]);
		}
		http_head_credentials(&h, buf, sizeof(buf), &name, &password);
		if (type == HTTP_REQUEST &&
		    http_target_absolute(&h.url, &target, &authority, &path) == 0)
			check_target(&target);
		if (!h.complete && type == HTTP_RESPONSE &&
		    http_body_take(&h, copy + n, size - (size_t)n, &contents) >= 0)
			must(contents <= size - (size_t)n);
	}
	free(copy);
}

static void tls(const uint8_t *data, size_t size)
{
	uint8_t *scratch = malloc(size + 1);
	const char *name;
	size_t len;

	must(scratch != NULL);
	if (sni_parse(data, size, scratch, &name, &len) == 1)
		must(name >= (char *)scratch && name + len <= (char *)scratch + size);
	free(scratch);
}

static void ignore(void *ctx, bool is_error, const char *message)
{
	(void)ctx, (void)is_error;
	must(!strchr(message, '\n'));
}

static void file(const uint8_t *data, size_t size)
{
	struct wgw_diag diag = {.say = ignore};
	struct wgw_proxy_options o = {0};
	char *wg = NULL, *path = NULL;

	proxy_wireproxy_split("f", (const char *)data, size, &o, &wg, &path, &diag);
	free(wg);
	free(path);
	wgw_proxy_options_free(&o);
}

static void specification(const uint8_t *data, size_t size)
{
	struct wgw_proxy_options o = {0};
	char *text = strndup((const char *)data, size);

	must(text != NULL);
	wgw_proxy_add_listener(&o, WGW_PROXY_MIXED, text);
	wgw_proxy_add_forward(&o, false, text);
	wgw_proxy_add_forward(&o, true, text);
	wgw_proxy_options_free(&o);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	must(http_lib.http_parser_init || wgw_http_load() == 0);
	switch (data[0] % 6) {
	case 0:
		socks(data + 1, size - 1);
		break;
	case 1:
		http(HTTP_REQUEST, data + 1, size - 1);
		break;
	case 2:
		http(HTTP_RESPONSE, data + 1, size - 1);
		break;
	case 3:
		tls(data + 1, size - 1);
		break;
	case 4:
		file(data + 1, size - 1);
		break;
	default:
		specification(data + 1, size - 1);
		break;
	}
	return 0;
}
