/* SPDX-License-Identifier: MIT */
/*
 * say.c - wgwrap's own words: to standard error or a log file, for people or as JSON
 *
 * One write(2) per line, so that lines of several processes do not mix.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "src/base/json.h"
#include "src/session/run.h"
#include "src/session/say.h"

enum { LINE_BYTES = 2048 };
#define PREFIX "wgwrap: "
#define END    "\"}\n"	  /* of a line of JSON */
#define ERASE  "\r\033[K" /* back to the start of the terminal's line, which is emptied */

static struct {
	int fd;
	bool is_file;
	bool progress; /* the last line can be erased */
	int verbosity;
	enum wgw_log_format format;
} out = {.fd = STDERR_FILENO};

int wgw_say_init(const struct wgw_run_options *options)
{
	out.verbosity = options->verbosity;
	out.format = options->log_format;
	if (options->log_file) {
		int fd = open(options->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

		if (fd < 0) {
			wgw_say(WGW_SAY_ERROR, "log file %s: %s", options->log_file,
				strerror(errno));
			return -1;
		}
		out.fd = fd;
		out.is_file = true;
	}
	return 0;
}

void wgw_say_detach(void)
{
	if (!out.is_file)
		out.fd = -1;
}

int wgw_say_fd(void)
{
	return out.fd;
}

/** json_line() - @text as a JSON object with level and time in @line; returns its length */
static size_t json_line(char line[LINE_BYTES], int level, const char *text)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	char one[WGW_JSON_CHAR_BYTES];
	struct timespec now;
	size_t n, len;

	clock_gettime(CLOCK_REALTIME, &now);
	n = (size_t)snprintf(line, LINE_BYTES,
			     "{\"time\":%lld.%03ld,\"level\":\"%s\",\"message\":\"",
			     (long long)now.tv_sec, now.tv_nsec / 1000000, names[level]);
	while ((len = wgw_json_char(&text, one)) && n + len < LINE_BYTES - sizeof(END)) {
		memcpy(line + n, one, len);
		n += len;
	}
	return n + (size_t)snprintf(line + n, LINE_BYTES - n, END);
}

/** plain_line() - @text with the prefix at the start of each line; returns the length */
static size_t plain_line(char line[LINE_BYTES], const char *text)
{
	size_t n = 0;

	while (*text && n < LINE_BYTES - sizeof(PREFIX) - 1) {
		size_t len = strcspn(text, "\n");

		n += (size_t)snprintf(line + n, LINE_BYTES - n, PREFIX "%.*s", (int)len, text);
		if (n > LINE_BYTES - 2)
			n = LINE_BYTES - 2;
		line[n++] = '\n';
		text += len + (text[len] == '\n');
	}
	return n;
}

static void put_line(const char *line, size_t len)
{
	if (write(out.fd, line, len) < 0) {
		/* nobody to tell */
	}
}

void wgw_say_progress(const char *format, ...)
{
	char line[LINE_BYTES] = ERASE PREFIX;
	size_t n = strlen(line);
	int saved = errno;
	va_list ap;

	if (out.is_file || out.format != WGW_LOG_HUMAN || out.verbosity < 0 || !isatty(out.fd))
		return;
	va_start(ap, format);
	vsnprintf(line + n, sizeof(line) - n, format, ap);
	va_end(ap);
	put_line(line, strlen(line));
	out.progress = true;
	errno = saved;
}

void wgw_say_progress_end(void)
{
	if (out.progress)
		put_line(ERASE, strlen(ERASE));
	out.progress = false;
}

void wgw_say(int level, const char *format, ...)
{
	char text[LINE_BYTES / 2], line[LINE_BYTES];
	int saved = errno;
	size_t len;
	va_list ap;

	if (level < WGW_SAY_ERROR || level > WGW_SAY_DEBUG)
		level = WGW_SAY_INFO; /* from a tunnel process of another version */
	if (out.fd < 0 || level > out.verbosity + WGW_SAY_WARNING)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (out.format == WGW_LOG_JSON)
		len = json_line(line, level, text);
	else
		len = plain_line(line, text);
	wgw_say_progress_end();
	put_line(line, len);
	errno = saved;
}

static void say_diag(void *ctx, bool is_error, const char *message)
{
	(void)ctx;
	wgw_say(is_error ? WGW_SAY_ERROR : WGW_SAY_WARNING, "%s", message);
}

static void note_diag(void *ctx, const char *message)
{
	(void)ctx;
	wgw_say(WGW_SAY_INFO, "%s", message);
}

struct wgw_diag wgw_say_diag(void)
{
	return (struct wgw_diag){.say = say_diag, .note = note_diag};
}
