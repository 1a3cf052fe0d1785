/* SPDX-License-Identifier: MIT */
/*
 * options.c - what a command line adds to a tunnel's file, as text and back
 *
 * The tunnel process is told, so that a reload by somebody who knows its name alone gives the same
 * tunnel: the file, and what it was brought up with. One option a line, as the user could have
 * written it. What is a session's own (DNS, direct destinations, how the command is captured) is
 * not here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "src/config/values.h"
#include "src/session/launch.h"
#include "src/session/run.h"

enum { MTU_MAX_BYTES = UINT16_MAX };

void wgw_options_put(FILE *out, const struct wgw_run_options *o)
{
	if (o->exit_node)
		fprintf(out, "option --exit-node=%s\n", o->exit_node);
	for (unsigned int i = 0; i < o->n_routes; i++)
		fprintf(out, "option --route=%s\n", o->routes[i]);
	if (o->endpoint_host)
		fprintf(out,
			strchr(o->endpoint_host, ':') ? "option --endpoint=[%s]:%u\n"
						      : "option --endpoint=%s:%u\n",
			o->endpoint_host, o->endpoint_port);
	if (o->mtu)
		fprintf(out, "option --mtu=%u\n", o->mtu);
	if (o->listen_port >= 0)
		fprintf(out, "option --listen-port=%d\n", o->listen_port);
	if (o->family != AF_UNSPEC)
		fprintf(out, "option --ipv%c\n", o->family == AF_INET ? '4' : '6');
	if (o->lenient)
		fprintf(out, "option --lenient\n");
}

static int take_flag(const char *line, struct wgw_run_options *o)
{
	if (strcmp(line, "--ipv4") == 0)
		o->family = AF_INET;
	else if (strcmp(line, "--ipv6") == 0)
		o->family = AF_INET6;
	else if (strcmp(line, "--lenient") == 0)
		o->lenient = true;
	else
		return -EINVAL;
	return 0;
}

static int take_route(const char *value, struct wgw_run_options *o)
{
	const char **routes = reallocarray(o->routes, o->n_routes + 1, sizeof(*routes));

	if (!routes)
		return -ENOMEM;
	routes[o->n_routes++] = value;
	o->routes = routes;
	return 0;
}

static bool is(const char *line, size_t len, const char *name)
{
	return strlen(name) == len && memcmp(line, name, len) == 0;
}

static int take_line(const char *line, struct wgw_run_options *o)
{
	const char *value = strchr(line, '=');
	size_t len = value ? (size_t)(value++ - line) : 0;
	uint32_t number;
	int err = -EINVAL;

	if (!value)
		return take_flag(line, o);
	if (is(line, len, "--exit-node")) {
		o->exit_node = value;
		return 0;
	}
	if (is(line, len, "--route"))
		return take_route(value, o);
	if (is(line, len, "--endpoint")) {
		free(o->endpoint_host);
		o->endpoint_host = NULL;
		return wgw_endpoint_parse(value, &o->endpoint_host, &o->endpoint_port) ? -EINVAL
										       : 0;
	}
	if (is(line, len, "--mtu")) {
		err = wgw_number_parse(value, 0, MTU_MAX_BYTES, &number);
		o->mtu = err ? 0 : (uint16_t)number;
	} else if (is(line, len, "--listen-port")) {
		err = wgw_number_parse(value, 0, UINT16_MAX, &number);
		o->listen_port = err ? -1 : (int)number;
	}
	return err;
}

int wgw_options_take(char *const *lines, size_t n, struct wgw_run_options *o)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		err = take_line(lines[i], o);
	return err;
}

bool wgw_options_are(char *const *lines, size_t n, const struct wgw_run_options *o)
{
	char *text = NULL, *at;
	size_t size, i = 0;
	FILE *out = open_memstream(&text, &size);
	bool same = out != NULL;

	if (out) {
		wgw_options_put(out, o);
		same = fclose(out) == 0;
	}
	for (at = text; same && *at; i++) {
		size_t word = strlen("option "), len = strcspn(at, "\n");

		same = i < n && strlen(lines[i]) == len - word &&
		       memcmp(lines[i], at + word, len - word) == 0;
		at += len + 1;
	}
	free(text);
	return same && i == n;
}
