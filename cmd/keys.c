/* SPDX-License-Identifier: MIT */
/*
 * keys.c - "wgwrap genkey", "pubkey" and "genpsk": keys, as wg(8) makes them
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "src/config/values.h"

/** print_key() - and warn when others can read it. Return: exit status */
static int print_key(const uint8_t key[WG_KEY_BYTES], bool is_secret)
{
	char text[WGW_KEY_TEXT_LEN + 1];
	struct stat st;

	if (is_secret && fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_mode & S_IRWXO)
		cmd_say("warning: writing to a world accessible file: try umask 077 first");
	/* not through stdio, whose buffer would keep the key */
	wgw_key_text(key, text);
	text[WGW_KEY_TEXT_LEN] = '\n';
	for (size_t done = 0; done < sizeof(text);) {
		ssize_t n = write(STDOUT_FILENO, text + done, sizeof(text) - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			cmd_say("cannot write to standard output: %s", strerror(errno));
			sodium_memzero(text, sizeof(text));
			return WGW_EXIT_RUNTIME;
		}
		done += (size_t)n;
	}
	sodium_memzero(text, sizeof(text));
	return WGW_EXIT_OK;
}

/** generate() - Return: exit status */
static int generate(int argc, char **argv, bool clamp)
{
	uint8_t key[WG_KEY_BYTES];
	int status;

	if (argc > 1)
		return cmd_misuse(WGW_EXIT_USAGE, argv[0], "%s takes no arguments", argv[0]);
	randombytes_buf(key, sizeof(key));
	if (clamp)
		wgw_key_clamp(key);
	status = print_key(key, true);
	sodium_memzero(key, sizeof(key));
	return status;
}

int cmd_genkey(int argc, char **argv)
{
	return generate(argc, argv, true);
}

int cmd_genpsk(int argc, char **argv)
{
	return generate(argc, argv, false);
}

/** read_key() - one key from standard input, white space around it allowed. Return: exit status */
static int read_key(uint8_t key[WG_KEY_BYTES])
{
	char text[256];
	char *start = text;
	size_t len = 0;
	ssize_t n;
	int r;

	do {
		n = read(STDIN_FILENO, text + len, sizeof(text) - 1 - len);
		len += n > 0 ? (size_t)n : 0;
	} while ((n > 0 && len < sizeof(text) - 1) || (n < 0 && errno == EINTR));
	if (n < 0) {
		cmd_say("cannot read standard input: %s", strerror(errno));
		sodium_memzero(text, sizeof(text));
		return WGW_EXIT_RUNTIME;
	}
	text[len] = '\0';
	start += strspn(start, " \t\r\n");
	while (len > 0 && strchr(" \t\r\n", text[len - 1]))
		text[--len] = '\0';
	r = wgw_key_parse(start, key);
	sodium_memzero(text, sizeof(text));
	if (r == 0)
		return WGW_EXIT_OK;
	cmd_say("standard input is not a key: %d characters of base64", WGW_KEY_TEXT_LEN);
	return WGW_EXIT_RUNTIME;
}

int cmd_pubkey(int argc, char **argv)
{
	uint8_t key[WG_KEY_BYTES], public_key[WG_KEY_BYTES];
	int status;

	if (argc > 1)
		return cmd_misuse(WGW_EXIT_USAGE, argv[0], "%s takes no arguments", argv[0]);
	status = read_key(key);
	if (status == WGW_EXIT_OK && crypto_scalarmult_base(public_key, key) == 0)
		status = print_key(public_key, false);
	sodium_memzero(key, sizeof(key));
	return status;
}
