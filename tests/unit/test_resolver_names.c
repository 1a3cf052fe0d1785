/* SPDX-License-Identifier: MIT */
/* test_resolver_names.c - names over flows of the stack, against a small name server */
#include "tests/unit/run_suite.h"
#include "tests/unit/sockets_fake.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "src/tunnel/resolver.h"

/* ---- the server ---- */

static unsigned int queries, tcp_queries;
static uint16_t last_ids[2];
static bool silent, foreign_source;

static size_t put16(uint8_t *at, unsigned int v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
	return 2;
}

/* Dotted name of the question. Returns where it ends. */
static size_t question(const uint8_t *q, char name[256])
{
	size_t at = 12, n = 0;

	while (q[at]) {
		memcpy(name + n, q + at + 1, q[at]);
		n += q[at];
		name[n++] = '.';
		at += 1u + q[at];
	}
	name[n ? n - 1 : 0] = '\0';
	return at + 1;
}

static size_t record(uint8_t *at, unsigned int type, uint32_t ttl, const void *data, size_t len)
{
	size_t n = put16(at, 0xc00c); /* the question's name */

	n += put16(at + n, type);
	n += put16(at + n, 1);
	n += put16(at + n, ttl >> 16);
	n += put16(at + n, ttl & 0xffff);
	n += put16(at + n, (unsigned int)len);
	memcpy(at + n, data, len);
	return n + len;
}

/* The answer to @q in @a. */
static size_t respond(const uint8_t *q, uint8_t *a, bool tcp)
{
	static const uint8_t v6[16] = {0xfd, [15] = 1}, v4[4] = {10, 0, 0, 1};
	static const uint8_t ptr[] = "\4host\7example";
	char name[256];
	size_t end = question(q, name) + 4, at = end;
	unsigned int type = (unsigned int)(q[end - 4] << 8 | q[end - 3]), n = 0, code = 0;
	bool known = strcmp(name, "www.example") == 0 || strcmp(name, "short.corp.test") == 0 ||
		     strcmp(name, "big.example") == 0;

	memcpy(a, q, end);
	if (strcmp(name, "big.example") == 0 && !tcp) {
		put16(a + 2, 0x8380); /* TC */
		memset(a + 6, 0, 6);
		return end;
	}
	if (known && type == 1) {
		at += record(a + at, 1, 60, v4, 4), n++;
	} else if (strcmp(name, "www.example") == 0 && type == 28) {
		at += record(a + at, 28, 30, v6, 16), n++;
	} else if (type == 12) {
		at += record(a + at, 12, 60, ptr, sizeof(ptr)), n++;
	} else if (strcmp(name, "broken.example") == 0) {
		code = 2;
	} else if (!known) {
		code = 3;
	}
	put16(a + 2, 0x8180 | code);
	memset(a + 6, 0, 6);
	put16(a + 6, n);
	return at;
}

static void answer_udp(struct flow_udp *u, const struct stack_addr *to, const uint8_t *q,
		       size_t len)
{
	uint8_t a[1024];
	struct stack_addr from = *to;

	(void)len;
	last_ids[queries++ % 2] = (uint16_t)(q[0] << 8 | q[1]);
	if (silent)
		return;
	if (foreign_source)
		from.ip[15] ^= 1;
	fake_udp_receive(u, &from, a, respond(q, a, false));
}

/* Answers what came over TCP, in two pieces. */
static void answer_tcp(struct flow *f)
{
	uint8_t a[1024];
	size_t len = respond(f->out + 2, a + 2, true);

	tcp_queries++;
	put16(a, (unsigned int)len);
	f->out_len = 0;
	fake_receive(f, a, 1);
	fake_run(2);
	fake_receive(f, a + 1, len + 1);
}

/* ---- asking ---- */

static struct {
	unsigned int calls;
	int eai;
	uint32_t n, ttl_s;
	uint8_t ip[WGW_RESOLVED_MAX][16];
	char name[256];
	uint8_t raw[1024];
	size_t raw_len;
} got;

static void on_done(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n, const char *canonical,
		    uint32_t ttl_s)
{
	(void)arg;
	got.calls++;
	got.eai = eai;
	got.n = n;
	got.ttl_s = ttl_s;
	if (n)
		memcpy(got.ip, ip, n * sizeof(*ip));
	snprintf(got.name, sizeof(got.name), "%s", canonical ? canonical : "");
}

static void on_name(void *arg, int eai, const char *name)
{
	on_done(arg, eai, NULL, 0, name, 0);
}

static void on_raw(void *arg, int eai, const uint8_t *response, size_t len)
{
	on_done(arg, eai, NULL, 0, NULL, 0);
	got.raw_len = len;
	if (len)
		memcpy(got.raw, response, len);
}

static void start(void)
{
	fake_start();
	memset(&got, 0, sizeof(got));
	queries = tcp_queries = 0;
	silent = foreign_source = false;
	fake_session.dns[0] =
		(struct stack_addr){{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 53}, 53};
	fake_session.n_dns = 1;
	fake_udp_answer = answer_udp;
}

/* Asks for IPv4 addresses, and does not wait. */
static void resolve(const char *name)
{
	wgw_resolve(fake_tunnel.resolver, &fake_session,
		    &(struct wgw_query){.name = name, .search = true, .family = AF_INET}, on_done,
		    NULL);
}

static void ask_for(struct wgw_session *s, const char *name, int family, bool search)
{
	unsigned int before = got.calls;

	wgw_resolve(fake_tunnel.resolver, s,
		    &(struct wgw_query){.name = name, .search = search, .family = family}, on_done,
		    NULL);
	for (int i = 0; i < 100 && got.calls == before; i++)
		fake_run(5);
	ck_assert_uint_eq(got.calls, before + 1);
}

static void ask(const char *name, int family, bool search)
{
	ask_for(&fake_session, name, family, search);
}

START_TEST(both_families_are_found)
{
	start();
	ask("www.example", AF_UNSPEC, true);
	ck_assert_int_eq(got.eai, 0);
	ck_assert_uint_eq(got.n, 2);
	ck_assert_uint_eq(got.ttl_s, 30);
	ck_assert_str_eq(got.name, "www.example");
	/* the tunnel has no IPv6 address: IPv4 first */
	ck_assert_mem_eq(got.ip[0], stack_v4_prefix, sizeof(stack_v4_prefix));
	ck_assert_uint_eq(got.ip[1][0], 0xfd);
	ask("www.example", AF_INET6, true);
	ck_assert_uint_eq(got.n, 1);
}
END_TEST

START_TEST(errors_are_getaddrinfos)
{
	start();
	ask("nope.example", AF_UNSPEC, true);
	ck_assert_int_eq(got.eai, EAI_NONAME);
	ask("broken.example", AF_INET, true);
	ck_assert_int_eq(got.eai, EAI_AGAIN);
	ask("", AF_INET, true);
	ck_assert_int_eq(got.eai, EAI_NONAME);
}
END_TEST

START_TEST(search_domains_are_tried)
{
	static char domain[] = "corp.test";
	char *list[] = {domain};

	start();
	fake_session.search = (struct wgw_strings){list, 1};
	ask("short", AF_INET, true);
	ck_assert_int_eq(got.eai, 0);
	ck_assert_str_eq(got.name, "short.corp.test");
	ask("short", AF_INET, false);
	ck_assert_int_eq(got.eai, EAI_NONAME);
}
END_TEST

START_TEST(answers_are_cached_for_their_ttl_and_failures_are_not)
{
	unsigned int n;

	start();
	ask("www.example", AF_INET, true);
	n = queries;
	ask("WWW.Example", AF_INET, true);
	ck_assert_int_eq(got.eai, 0);
	ck_assert_uint_eq(queries, n);
	ck_assert_uint_le(got.ttl_s, 60);
	ask("nope.example", AF_INET, true);
	n = queries;
	ask("nope.example", AF_INET, true);
	ck_assert_uint_gt(queries, n);
}
END_TEST

START_TEST(answers_are_shared_by_sessions_with_the_same_way_to_the_same_server)
{
	struct wgw_session other[3];
	unsigned int n;

	start();
	ask("www.example", AF_INET, true);
	n = queries;
	for (int i = 0; i < 3; i++)
		other[i] = fake_session;
	other[1].dns[0].port = 54;
	other[2].route = WGW_ROUTE_REFUSED;
	for (int i = 0; i < 3; i++) {
		ask_for(&other[i], "www.example", AF_INET, true);
		ck_assert_uint_eq(queries, n + (i == 1));
		ck_assert_int_eq(got.eai, i < 2 ? 0 : EAI_AGAIN);
		n = queries;
		wgw_sockets_session_over(&fake_tunnel, &other[i]);
	}
}
END_TEST

/* The ID of the first query of a process that cannot open /dev/urandom: c-ares then seeds from
 * rand(), which is the same in every process. */
static uint16_t first_id(void)
{
	int ends[2], status;
	uint16_t id = 0;
	pid_t pid;

	ck_assert_int_eq(pipe(ends), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct rlimit none = {.rlim_cur = 0};

		start();
		silent = true;
		dup2(ends[1], 1);
		getrlimit(RLIMIT_NOFILE, &none);
		none.rlim_cur = 0;
		setrlimit(RLIMIT_NOFILE, &none);
		resolve("www.example");
		fake_run(5);
		_exit(queries < 1 || write(1, &last_ids[0], sizeof(id)) != sizeof(id));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(read(ends[0], &id, sizeof(id)), sizeof(id));
	close(ends[0]);
	close(ends[1]);
	return id;
}

START_TEST(query_ids_are_random_without_urandom)
{
	uint16_t first = first_id();
	unsigned int differ = 0;

	for (int i = 0; i < 4; i++)
		differ += first_id() != first;
	ck_assert_uint_gt(differ, 0);
}
END_TEST

START_TEST(truncated_answer_is_asked_again_by_tcp)
{
	start();
	fake_last = NULL;
	resolve("big.example");
	fake_run(10);
	ck_assert_ptr_nonnull(fake_last);
	ck_assert_uint_eq(fake_last->remote.port, 53);
	fake_last->ops->connected(fake_last, fake_last->arg);
	fake_run(10);
	ck_assert_uint_gt(fake_last->out_len, 12);
	answer_tcp(fake_last);
	fake_run(10);
	ck_assert_uint_eq(got.calls, 1);
	ck_assert_int_eq(got.eai, 0);
	ck_assert_uint_eq(got.n, 1);
	ck_assert_uint_eq(tcp_queries, 1);
}
END_TEST

START_TEST(answer_from_another_address_is_ignored)
{
	start();
	foreign_source = true;
	resolve("www.example");
	fake_run(100);
	ck_assert_uint_eq(got.calls, 0);
	foreign_source = false;
	for (int i = 0; i < 400 && got.calls == 0; i++)
		fake_run(50); /* the second try; the third where this was kept from running */
	ck_assert_int_eq(got.eai, 0);
	ck_assert_uint_ge(queries, 2);
}
END_TEST

START_TEST(end_of_the_session_answers_what_is_open)
{
	start();
	silent = true;
	resolve("www.example");
	fake_run(10);
	wgw_sockets_session_over(&fake_tunnel, &fake_session);
	ck_assert_uint_eq(got.calls, 1);
	ck_assert_int_eq(got.eai, EAI_AGAIN);
	for (size_t i = 0; i < FAKE_FLOWS; i++)
		ck_assert(!fake_udp[i].used);
}
END_TEST

START_TEST(without_servers_it_says_so)
{
	start();
	fake_session.n_dns = 0;
	ask("www.example", AF_INET, true);
	ck_assert_int_eq(got.eai, EAI_AGAIN);
	ck_assert_uint_eq(fake_session.said, 1);
}
END_TEST

START_TEST(host_resolver_is_asked_when_the_session_wants_it)
{
	start();
	fake_session.system_dns = true;
	ask("host", AF_INET, true);
	ck_assert_int_eq(got.eai, 0);
	ck_assert_uint_eq(got.ip[0][12], 192);
	ask("other", AF_INET, true);
	ck_assert_int_ne(got.eai, 0);
	ck_assert_uint_eq(queries, 0);
}
END_TEST

/* so that getnameinfo() goes on with the number, as for an address without a name */
START_TEST(host_resolver_knows_no_names_of_addresses)
{
	start();
	fake_session.system_dns = true;
	wgw_resolve_reverse(fake_tunnel.resolver, &fake_session, &fake_session.dns[0], on_name,
			    NULL);
	fake_run(20);
	ck_assert_uint_eq(got.calls, 1);
	ck_assert_int_eq(got.eai, EAI_NONAME);
	ck_assert_uint_eq(queries, 0);
}
END_TEST

START_TEST(addresses_have_names)
{
	start();
	wgw_resolve_reverse(fake_tunnel.resolver, &fake_session, &fake_session.dns[0], on_name,
			    NULL);
	fake_run(20);
	ck_assert_uint_eq(got.calls, 1);
	ck_assert_int_eq(got.eai, 0);
	ck_assert_str_eq(got.name, "host.example");
}
END_TEST

START_TEST(raw_query_gives_the_response_as_it_is)
{
	start();
	wgw_resolve_raw(fake_tunnel.resolver, &fake_session,
			&(struct wgw_query){.name = "nope.example", .class_ = 1, .type = 16},
			on_raw, NULL);
	fake_run(20);
	ck_assert_uint_eq(got.calls, 1);
	ck_assert_int_eq(got.eai, 0);
	ck_assert_uint_gt(got.raw_len, 12);
	ck_assert_uint_eq(got.raw[3] & 0xf, 3); /* NXDOMAIN is the asker's to read */
}
END_TEST

/* ---- order ---- */

START_TEST(order_puts_the_reachable_first_and_is_stable)
{
	struct dns_answer a = {.n = 4};
	static const uint8_t want[4] = {1, 2, 3, 4};

	fake_start();
	/* IPv6 cannot be reached by the fake stack */
	a.ip[0][0] = 0x20, a.ip[0][15] = 3;
	memcpy(a.ip[1], stack_v4_prefix, 12), a.ip[1][12] = 10, a.ip[1][15] = 1;
	memcpy(a.ip[2], stack_v4_prefix, 12), a.ip[2][12] = 10, a.ip[2][15] = 2;
	a.ip[3][0] = 0xfc, a.ip[3][15] = 4;
	dns_order(NULL, &a);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(a.ip[i][15], want[i]);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("resolver_names");
	TCase *t = tcase_create("resolver");

	tcase_set_timeout(t, 180);
	tcase_add_test(t, both_families_are_found);
	tcase_add_test(t, errors_are_getaddrinfos);
	tcase_add_test(t, search_domains_are_tried);
	tcase_add_test(t, answers_are_cached_for_their_ttl_and_failures_are_not);
	tcase_add_test(t, answers_are_shared_by_sessions_with_the_same_way_to_the_same_server);
	tcase_add_test(t, query_ids_are_random_without_urandom);
	tcase_add_test(t, truncated_answer_is_asked_again_by_tcp);
	tcase_add_test(t, answer_from_another_address_is_ignored);
	tcase_add_test(t, end_of_the_session_answers_what_is_open);
	tcase_add_test(t, without_servers_it_says_so);
	tcase_add_test(t, host_resolver_is_asked_when_the_session_wants_it);
	tcase_add_test(t, host_resolver_knows_no_names_of_addresses);
	tcase_add_test(t, addresses_have_names);
	tcase_add_test(t, raw_query_gives_the_response_as_it_is);
	tcase_add_test(t, order_puts_the_reachable_first_and_is_stable);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
