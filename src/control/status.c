/* SPDX-License-Identifier: MIT */
/* status.c - reads the text of status.h */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/control/status.h"

/* for the way there and back, as wireproxy has it */
enum { ALIVE_LEEWAY_S = 2 };

static const char *const state_words[WGW_STATES] = {
	[WGW_STATE_DOWN] = "down",
	[WGW_STATE_HANDSHAKING] = "handshaking",
	[WGW_STATE_IDLE] = "idle",
	[WGW_STATE_UP] = "up",
};

const char *wgw_state_word(enum wgw_state state)
{
	return state_words[state];
}

/* ---- values; each returns 0, -EINVAL or -ENOMEM ---- */

static int number(const char *value, uint64_t max, uint64_t *out)
{
	unsigned long long n;
	char *end;

	if (*value < '0' || *value > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(value, &end, 10);
	if (errno || *end || n > max)
		return -EINVAL;
	*out = n;
	return 0;
}

static int key(const char *value, uint8_t out[WG_KEY_BYTES])
{
	size_t len;

	if (sodium_hex2bin(out, WG_KEY_BYTES, value, strlen(value), NULL, &len, NULL) != 0)
		return -EINVAL;
	return len == WG_KEY_BYTES ? 0 : -EINVAL;
}

static int string(const char *value, char **out)
{
	free(*out);
	*out = *value ? strdup(value) : NULL;
	return *value && !*out ? -ENOMEM : 0;
}

static int state(const char *value, enum wgw_state *out)
{
	for (unsigned int i = 0; i < WGW_STATES; i++) {
		if (strcmp(value, state_words[i]) == 0) {
			*out = (enum wgw_state)i;
			return 0;
		}
	}
	return -EINVAL;
}

/** counter() - "NAME N" */
static int counter(char *value, struct wgw_counters *list)
{
	char *space = strchr(value, ' ');
	struct wgw_counter *at;

	if (!space || space - value >= WGW_COUNTER_NAME_BYTES)
		return -EINVAL;
	at = reallocarray(list->at, list->n + 1, sizeof(*at));
	if (!at)
		return -ENOMEM;
	list->at = at;
	*space = '\0';
	strcpy(at[list->n].name, value);
	if (number(space + 1, UINT64_MAX, &at[list->n].value))
		return -EINVAL;
	list->n++;
	return 0;
}

/** session() - "PID command|keeper N" */
static int session(char *value, struct wgw_status *s)
{
	char *word = strchr(value, ' '), *sockets = word ? strchr(word + 1, ' ') : NULL;
	struct wgw_session_status *at;
	uint64_t pid;

	if (!sockets)
		return -EINVAL;
	*word++ = '\0';
	*sockets++ = '\0';
	at = reallocarray(s->sessions, s->n_sessions + 1, sizeof(*at));
	if (!at)
		return -ENOMEM;
	s->sessions = at;
	at += s->n_sessions;
	if (number(value, INT32_MAX, &pid) || number(sockets, UINT64_MAX, &at->sockets))
		return -EINVAL;
	at->pid = (int)pid;
	at->keeper = strcmp(word, "keeper") == 0;
	s->n_sessions++;
	return 0;
}

/** alive() - "ADDR MS|never" */
static int alive(char *value, struct wgw_status *s)
{
	char *space = strchr(value, ' ');
	struct wgw_alive_status *at;

	if (!space)
		return -EINVAL;
	*space = '\0';
	at = reallocarray(s->alive, s->n_alive + 1, sizeof(*at));
	if (!at)
		return -ENOMEM;
	s->alive = at;
	at += s->n_alive;
	*at = (struct wgw_alive_status){.answered = strcmp(space + 1, "never") != 0};
	if (at->answered && number(space + 1, UINT64_MAX, &at->age_ms))
		return -EINVAL;
	at->late = !at->answered || at->age_ms > (s->alive_interval_s + ALIVE_LEEWAY_S) * 1000;
	at->address = strdup(value);
	if (!at->address)
		return -ENOMEM;
	s->n_alive++;
	return 0;
}

/* ---- lines ---- */

/** device_number() - keys of the interface whose value is a number. Return: also 1, another key */
static int device_number(struct wgw_status *s, const char *name, const char *value)
{
	uint64_t n = 0;
	int err = 1;

	if (strcmp(name, "listen_port") == 0) {
		err = number(value, UINT16_MAX, &n);
		s->listen_port = (uint16_t)n;
	} else if (strcmp(name, "mtu") == 0) {
		err = number(value, UINT16_MAX, &n);
		s->mtu = (uint16_t)n;
	} else if (strcmp(name, "fwmark") == 0) {
		err = number(value, UINT32_MAX, &n);
		s->fwmark = (uint32_t)n;
	} else if (strcmp(name, "pid") == 0) {
		err = number(value, INT32_MAX, &n);
		s->pid = (int)n;
	} else if (strcmp(name, "alive_interval_s") == 0) {
		err = number(value, UINT16_MAX, &s->alive_interval_s);
	} else if (strcmp(name, "uptime_ms") == 0) {
		err = number(value, UINT64_MAX, &s->uptime_ms);
	}
	return err;
}

static int device_line(struct wgw_status *s, const char *name, char *value)
{
	int err = device_number(s, name, value);

	if (err <= 0)
		return err;
	if (strcmp(name, "label") == 0)
		return string(value, &s->label);
	if (strcmp(name, "source") == 0)
		return string(value, &s->source);
	if (strcmp(name, "encryption") == 0)
		return string(value, &s->encryption);
	if (strcmp(name, "option") == 0)
		return wgw_strings_add(&s->options, value);
	if (strcmp(name, "own_public_key") == 0)
		return key(value, s->public_key);
	if (strcmp(name, "address") == 0)
		return wgw_strings_add(&s->addresses, value);
	if (strcmp(name, "dns") == 0)
		return wgw_strings_add(&s->dns, value);
	if (strcmp(name, "search") == 0)
		return wgw_strings_add(&s->search, value);
	if (strcmp(name, "state") == 0)
		return state(value, &s->state);
	if (strcmp(name, "reason") == 0)
		return string(value, &s->reason);
	if (strcmp(name, "alive") == 0)
		return alive(value, s);
	if (strcmp(name, "session") == 0)
		return session(value, s);
	if (strcmp(name, "counter") == 0)
		return counter(value, &s->counters);
	return 0;
}

static int peer_line(struct wgw_peer_status *p, const char *name, char *value)
{
	uint64_t n = 0;
	int err;

	if (strcmp(name, "name") == 0)
		return string(value, &p->name);
	if (strcmp(name, "endpoint") == 0)
		return string(value, &p->endpoint);
	if (strcmp(name, "endpoint_host") == 0)
		return string(value, &p->endpoint_host);
	if (strcmp(name, "reason") == 0)
		return string(value, &p->reason);
	if (strcmp(name, "allowed_ip") == 0)
		return wgw_strings_add(&p->allowed_ips, value);
	if (strcmp(name, "route") == 0)
		return wgw_strings_add(&p->routes, value);
	if (strcmp(name, "state") == 0)
		return state(value, &p->state);
	if (strcmp(name, "peer_counter") == 0)
		return counter(value, &p->counters);
	if (strcmp(name, "rx_bytes") == 0)
		return number(value, UINT64_MAX, &p->rx_bytes);
	if (strcmp(name, "tx_bytes") == 0)
		return number(value, UINT64_MAX, &p->tx_bytes);
	if (strcmp(name, "last_handshake_time_sec") == 0)
		return number(value, INT64_MAX, &p->last_handshake_s);
	if (strcmp(name, "persistent_keepalive_interval") == 0) {
		err = number(value, UINT16_MAX, &n);
		p->keepalive_s = (uint16_t)n;
		return err;
	}
	if (strcmp(name, "has_preshared_key") == 0) {
		err = number(value, 1, &n);
		p->has_preshared_key = n == 1;
		return err;
	}
	return 0;
}

static int begin_peer(struct wgw_status *s, const char *value)
{
	struct wgw_peer_status *at = reallocarray(s->peers, s->n_peers + 1, sizeof(*at));

	if (!at)
		return -ENOMEM;
	s->peers = at;
	at += s->n_peers++;
	memset(at, 0, sizeof(*at));
	return key(value, at->public_key);
}

static int line(struct wgw_status *s, char *text)
{
	char *value = strchr(text, '=');

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	if (strcmp(text, "public_key") == 0)
		return begin_peer(s, value);
	if (s->n_peers > 0)
		return peer_line(&s->peers[s->n_peers - 1], text, value);
	return device_line(s, text, value);
}

struct wgw_status *wgw_status_parse(char *text, unsigned int *bad_line)
{
	struct wgw_status *s = calloc(1, sizeof(*s));
	unsigned int n = 0;
	int err = 0;

	*bad_line = 0;
	while (s && *text && !err) {
		char *end = text + strcspn(text, "\n");
		bool last = *end == '\0';

		*end = '\0';
		n++;
		if (*text)
			err = line(s, text);
		text = last ? end : end + 1;
	}
	if (!err)
		return s;
	if (err == -EINVAL)
		*bad_line = n;
	wgw_status_free(s);
	return NULL;
}

/* ---- end ---- */

static void free_peer(struct wgw_peer_status *p)
{
	free(p->name);
	free(p->endpoint);
	free(p->endpoint_host);
	free(p->reason);
	wgw_strings_free(&p->allowed_ips);
	wgw_strings_free(&p->routes);
	free(p->counters.at);
}

void wgw_status_free(struct wgw_status *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_peers; i++)
		free_peer(&s->peers[i]);
	free(s->peers);
	free(s->label);
	free(s->source);
	free(s->reason);
	free(s->encryption);
	wgw_strings_free(&s->options);
	wgw_strings_free(&s->addresses);
	wgw_strings_free(&s->dns);
	wgw_strings_free(&s->search);
	for (size_t i = 0; i < s->n_alive; i++)
		free(s->alive[i].address);
	free(s->alive);
	free(s->counters.at);
	free(s->sessions);
	free(s);
}

bool wgw_status_is_ready(const struct wgw_status *s)
{
	for (size_t i = 0; i < s->n_alive; i++) {
		if (s->alive[i].late)
			return false;
	}
	return s->state >= WGW_STATE_IDLE;
}

size_t wgw_status_commands(const struct wgw_status *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_sessions; i++)
		n += !s->sessions[i].keeper;
	return n;
}

const char *wgw_alive_text(const struct wgw_alive_status *a, char buf[WGW_ALIVE_TEXT_BYTES])
{
	if (!a->answered)
		snprintf(buf, WGW_ALIVE_TEXT_BYTES, "never answered an echo request (CheckAlive)");
	else
		snprintf(buf, WGW_ALIVE_TEXT_BYTES,
			 "%s an echo request %" PRIu64 " s ago (CheckAlive)",
			 a->late ? "last answered" : "answered", a->age_ms / 1000);
	return buf;
}

uint64_t wgw_counter(const struct wgw_counters *counters, const char *name)
{
	for (size_t i = 0; i < counters->n; i++) {
		if (strcmp(counters->at[i].name, name) == 0)
			return counters->at[i].value;
	}
	return 0;
}
