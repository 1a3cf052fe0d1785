/* SPDX-License-Identifier: MIT */
/* channel_words.h - what lines of settings, policies and the UAPI are made of, and what they are not */
#ifndef TESTS_FUZZ_CHANNEL_WORDS_H
#define TESTS_FUZZ_CHANNEL_WORDS_H

#include <stddef.h>
#include <stdint.h>

struct words {
	const char *const *at;
	size_t n;
};

#define WORDS(name, ...)                                                                           \
	static const char *const name##_at[] = {__VA_ARGS__};                                      \
	static const struct words name = {name##_at, sizeof(name##_at) / sizeof(*name##_at)}

#define KEY_A "4242424242424242424242424242424242424242424242424242424242424242"
#define KEY_B "4343434343434343434343434343434343434343434343434343434343434343"

WORDS(uapi_keys, "public_key=" KEY_A, "public_key=" KEY_B, "public_key=", "private_key=" KEY_B,
      "private_key=", "preshared_key=" KEY_A,
      "preshared_key=", "endpoint=", "endpoint_host=", "candidate=", "allowed_ip=",
      "replace_allowed_ips=", "replace_peers=", "remove=", "update_only=", "listen_port=",
      "fwmark=", "persistent_keepalive_interval=", "name=", "route=", "replace_routes=",
      "protocol_version=", "alive=", "alive_interval=", "dns=", "search=", "errno=", "");
WORDS(uapi_values, "", "true", "1", "0", "65535", "65536", "4294967295", "4294967296", "-1",
      "10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "::/0", "fd00::1/128", "10.0.0.1/33", "-10.0.0.0/8",
      "192.0.2.1:51820", "[fe80::1%1]:5", "[::1]:0", "example.org:51820", ":1",
      "tcp 10.0.0.0/8 443", "udp 10.9.0.0/16", "example.org", "*.example", "\x01", "a=b",
      "0000000000000000000000000000000000000000000000000000000000000000");
WORDS(policy_keys, "direct ", "apps ", "dns-mode ", "dns ", "search ", "system-resolver ",
      "verbose ", "name ", "source ", "option ", "", "\n");
WORDS(policy_values, "1", "0", "2", "3", "tunnel", "system", "refuse", "10.0.0.53", "fd00::53",
      "10.0.0.0/8", "0.0.0.0/0", "127.0.0.53", "corp.example", "--join", "a b", "");
WORDS(settings_keys, "address ", "listen-port ", "mtu ", "peer ", "");
WORDS(settings_values, "10.0.0.2/32", "10.0.0.9/32", "0", "1", "1420", "1280", "x", "");

static const char *word_of(const struct words *w, uint32_t which)
{
	return w->at[which % w->n];
}

#endif
