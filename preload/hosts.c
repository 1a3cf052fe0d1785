/* SPDX-License-Identifier: MIT */
/*
 * hosts.c - hosts(5)
 *
 * Read on each look-up, a block at a time, without stdio or the heap. Lines longer than the buffer
 * are cut.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "preload/names.h"
#include "src/repr/raw.h"
#include "stack/addr.h"

enum { LINE_BYTES = 1024, BLOCK_BYTES = 4096 };

#define HOSTS_PATH "/etc/hosts"

/** struct hosts - a file that is read line by line */
struct hosts {
	int fd;
	size_t at, end;
	char block[BLOCK_BYTES];
	char line[LINE_BYTES];
};

static int next_char(struct hosts *h)
{
	ssize_t n;

	if (h->at == h->end) {
		n = wgw_raw_read(h->fd, h->block, sizeof(h->block));
		if (n <= 0)
			return -1;
		h->at = 0;
		h->end = (size_t)n;
	}
	return (unsigned char)h->block[h->at++];
}

/* Reads the next line, comment cut off, into h->line. */
static bool next_line(struct hosts *h)
{
	size_t len = 0;
	bool comment = false;
	int c = next_char(h);

	if (c < 0)
		return false;
	for (; c >= 0 && c != '\n'; c = next_char(h)) {
		comment |= c == '#';
		if (!comment && len < sizeof(h->line) - 1)
			h->line[len++] = (char)c;
	}
	h->line[len] = '\0';
	return true;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next word, ended in place; NULL at the end. */
static char *next_word(char **at)
{
	char *word = *at;
	char *end;

	while (is_space(*word))
		word++;
	if (!*word)
		return NULL;
	for (end = word; *end && !is_space(*end);)
		end++;
	*at = *end ? end + 1 : end;
	*end = '\0';
	return word;
}

static bool read_ip(const char *text, uint8_t ip[16])
{
	uint32_t scope;
	bool bad_scope;

	return text && pre_names_numeric(text, ip, &scope, &bad_scope);
}

static bool family_matches(const uint8_t ip[16], int family)
{
	return family == AF_UNSPEC || stack_ip_is_v4(ip) == (family == AF_INET);
}

static void copy_name(char out[WGW_NAME_MAX_BYTES], const char *name)
{
	size_t len = strlen(name);

	if (len < WGW_NAME_MAX_BYTES)
		memcpy(out, name, len + 1);
}

/* One line against a name; the first word after the address is the canonical name. */
static bool line_names(char *at, const char *name, int family, struct pre_names *names)
{
	uint8_t ip[16];
	char *canonical, *word;

	if (!read_ip(next_word(&at), ip) || !family_matches(ip, family))
		return false;
	canonical = word = next_word(&at);
	while (word && strcasecmp(word, name) != 0)
		word = next_word(&at);
	if (!word || names->n == WGW_RESOLVED_MAX)
		return false;
	memcpy(names->ip[names->n++], ip, 16);
	if (!names->canonical[0])
		copy_name(names->canonical, canonical);
	return true;
}

bool pre_hosts_find(const char *name, int family, struct pre_names *names)
{
	struct hosts h = {.fd = wgw_raw_openat(AT_FDCWD, HOSTS_PATH, O_RDONLY | O_CLOEXEC, 0)};
	bool found = false;

	if (h.fd < 0)
		return false;
	while (next_line(&h))
		found |= line_names(h.line, name, family, names);
	wgw_raw_close(h.fd);
	return found;
}

bool pre_hosts_reverse(const uint8_t ip[16], char name[WGW_NAME_MAX_BYTES])
{
	struct hosts h = {.fd = wgw_raw_openat(AT_FDCWD, HOSTS_PATH, O_RDONLY | O_CLOEXEC, 0)};
	bool found = false;

	if (h.fd < 0)
		return false;
	while (!found && next_line(&h)) {
		char *at = h.line;
		uint8_t line_ip[16];
		char *word;

		if (!read_ip(next_word(&at), line_ip) || memcmp(ip, line_ip, 16) != 0)
			continue;
		word = next_word(&at);
		if (word && strlen(word) < WGW_NAME_MAX_BYTES) {
			copy_name(name, word);
			found = true;
		}
	}
	wgw_raw_close(h.fd);
	return found;
}
