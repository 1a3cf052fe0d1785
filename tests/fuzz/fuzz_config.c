/* SPDX-License-Identifier: MIT */
/*
 * fuzz_config.c - any bytes as a configuration
 *
 * What is parsed is printed and parsed again (with a key in place of the hidden one): the second
 * form must be accepted and print the same. Messages are one line each and counted.
 *
 * With libFuzzer's main (make fuzz), or with that of replay.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* a key of nobody */
#define SECRET "KAscCvDzc5jWZzJ3MZLDvL7v3GM1JFMUKAHYXXmG8XY="
static const char hidden[] = "Key = (hidden)\n";

static unsigned int lines;

static void say(void *ctx, bool is_error, const char *message)
{
	(void)ctx;
	(void)is_error;
	lines++;
	if (strchr(message, '\n'))
		abort();
}

static void note(void *ctx, const char *message)
{
	(void)ctx;
	if (strchr(message, '\n'))
		abort();
}

static char *print(const struct wgw_config *config)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		abort();
	wgw_config_print(config, out);
	fclose(out);
	return text;
}

/** with_secrets() - @printed with SECRET on the lines where a key is hidden. malloc'ed */
static char *with_secrets(const char *printed)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		abort();
	while (*printed) {
		size_t line = strcspn(printed, "\n") + 1;
		size_t tail = sizeof(hidden) - 1;

		if (*printed == 'P' && line > tail &&
		    memcmp(printed + line - tail, hidden, tail) == 0)
			fprintf(out, "%.*s = " SECRET "\n", (int)strcspn(printed, " "), printed);
		else
			fwrite(printed, 1, line, out);
		printed += line;
	}
	fclose(out);
	return text;
}

/** public_line_off() - without the comment that depends on the private key */
static char *public_line_off(char *printed)
{
	char *line = strstr(printed, "# PublicKey = ");
	char *end = line ? strchr(line, '\n') : NULL;

	if (end)
		memmove(line, end + 1, strlen(end + 1) + 1);
	return printed;
}

static void check_printed_form(const struct wgw_config *config)
{
	struct wgw_diag diag = {.say = say, .note = note};
	char *printed = public_line_off(print(config)), *text = with_secrets(printed), *again;
	struct wgw_config *second = wgw_config_parse("again", text, strlen(text), false, &diag);

	if (!second)
		abort();
	again = public_line_off(print(second));
	if (strcmp(again, printed) != 0)
		abort();
	wgw_config_free(second);
	free(again);
	free(text);
	free(printed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wgw_diag diag = {.say = say, .note = note};
	bool lenient = size > 0 && data[size - 1] == '~';
	struct wgw_config *config;

	lines = 0;
	config = wgw_config_parse("fuzz", (const char *)data, size, lenient, &diag);
	if (lines != diag.errors + diag.warnings || (config == NULL) != (diag.errors > 0))
		abort();
	if (config)
		check_printed_form(config);
	wgw_config_free(config);
	return 0;
}

#include "tests/fuzz/replay.h"
