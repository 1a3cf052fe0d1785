/* SPDX-License-Identifier: MIT */
/*
 * test_wg_secrets.c - no key is left in the process's memory when the device is closed
 *
 * The test remembers the keys masked, so that its own copies are not what it finds, and reads all
 * memory that it may write, the stack and libraries' data included.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <ucontext.h>

#include "tests/unit/test_wg_sim.h"
#include "wg/aead.h"
#include "wg/device.h"
#include "wg/hash.h"
#include "wg/noise_ik.h"
#include "wg/peer.h"

enum { MASK = 0xa5, SECRETS_MAX = 32, SECRET_BYTES = 32, PREFIX_BYTES = 16 };

static struct {
	const char *name;
	uint8_t masked[SECRET_BYTES];
} secrets[SECRETS_MAX];
static size_t n_secrets;

static void remember(const char *name, const uint8_t key[SECRET_BYTES])
{
	ck_assert_uint_lt(n_secrets, SECRETS_MAX);
	ck_assert(!sodium_is_zero(key, SECRET_BYTES));
	secrets[n_secrets].name = name;
	for (size_t i = 0; i < SECRET_BYTES; i++)
		secrets[n_secrets].masked[i] = key[i] ^ MASK;
	n_secrets++;
}

/* Which secret lies at @p, at least half of it; NULL: none */
static const char *secret_at(const uint8_t *p)
{
	for (size_t s = 0; s < n_secrets; s++) {
		const uint8_t *masked = secrets[s].masked;

		for (int half = 0; half < 2; half++, masked += PREFIX_BYTES) {
			size_t i = 0;

			while (i < PREFIX_BYTES && (p[i] ^ MASK) == masked[i])
				i++;
			if (i == PREFIX_BYTES)
				return secrets[s].name;
		}
	}
	return NULL;
}

static sigjmp_buf unreadable;

static void on_fault(int signal)
{
	(void)signal;
	siglongjmp(unreadable, 1);
}

/* Keys lie at multiples of four bytes, where libraries copy them to, too. */
__attribute__((no_sanitize("address"))) static unsigned int
scan(const uint8_t *from, const uint8_t *to, bool say, const char *where)
{
	volatile unsigned int found = 0;

	if (sigsetjmp(unreadable, 1))
		return found;
	for (const uint8_t *p = from; p + PREFIX_BYTES <= to; p += 4) {
		const char *name = secret_at(p);

		if (!name)
			continue;
		found++;
		if (say)
			printf("%s at %p in %s\n", name, (const void *)p, where);
	}
	return found;
}

/* In how many places secrets lie. @say: prints them. */
static unsigned int count_secrets(bool say)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned int found = 0;

	ck_assert_ptr_nonnull(maps);
	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	while (fgets(line, sizeof(line), maps)) {
		uintptr_t from, to;
		char mode[5];

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, mode) != 3 ||
		    mode[0] != 'r' || mode[1] != 'w')
			continue;
		line[strcspn(line, "\n")] = '\0';
		found += scan((const uint8_t *)from, (const uint8_t *)to, say, line);
	}
	fclose(maps);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	return found;
}

static void remember_session(const struct wg_keypair *kp)
{
	remember("a sending key", kp->send_key);
	remember("a receiving key", kp->receive_key);
}

/* So many packets that the chosen provider is at work, each way. */
static void exchange(struct sim *sim)
{
	for (int i = 0; i < WG_AEAD_FIRST_PACKETS; i++) {
		sim_send(sim, 0, 1);
		sim_send(sim, 1, 0);
	}
}

/* A handshake with a preshared key, packets both ways, a renewal. */
static void use(struct sim *sim)
{
	struct wg_peer *p0 = sim_add_peer(sim, 0, 1, true), *p1 = sim_add_peer(sim, 1, 0, false);
	uint8_t psk[32];

	sim_random(&sim->nodes[0], psk, sizeof(psk));
	wg_peer_set_preshared_key(p0, psk);
	wg_peer_set_preshared_key(p1, psk);
	remember("the preshared key", psk);
	sodium_memzero(psk, sizeof(psk));
	for (int round = 0; round < 2; round++) {
		exchange(sim);
		remember_session(p0->keypairs.current);
		sim_advance(sim, 121 * SIM_S);
	}
	remember("the static keys' product", p0->handshake.static_static);
	/* one that is under way when the device is closed */
	sim_advance(sim, 200 * SIM_S);
	wg_peer_handshake(p0);
	remember("an ephemeral key", p0->handshake.ephemeral_private);
	remember("a chaining key", p0->handshake.transcript.chaining_key);
}

START_TEST(closed_device_leaves_no_key)
{
	struct sim *sim;

	setenv("WGWRAP_AEAD", wg_aead_providers[_i]->name, 1);
	sim = sim_new();
	n_secrets = 0;
	for (int i = 0; i < 2; i++) {
		remember("a private key", sim->nodes[i].dev->private_key);
		sodium_memzero(sim->nodes[i].private_key, 32);
	}
	use(sim);
	/* the scan does find what is there: at least one place for each */
	ck_assert_uint_ge(count_secrets(false), n_secrets);
	sim_free(sim);
	ck_assert_uint_eq(count_secrets(true), 0);
}
END_TEST

/* The devices live on, and so do providers' contexts. */
START_TEST(ended_session_leaves_no_key)
{
	struct wg_peer *p0, *p1;
	struct sim *sim;

	setenv("WGWRAP_AEAD", wg_aead_providers[_i]->name, 1);
	sim = sim_new_pair(&p0, &p1);
	n_secrets = 0;
	exchange(sim);
	remember_session(p0->keypairs.current);
	ck_assert_uint_ge(count_secrets(false), n_secrets);
	sim_advance(sim, (WG_ZERO_KEYS_AFTER_NS / SIM_S + 20) * SIM_S);
	ck_assert_ptr_null(p0->keypairs.current);
	ck_assert_ptr_null(p1->keypairs.current);
	ck_assert_uint_eq(count_secrets(true), 0);
	sim_free(sim);
}
END_TEST

/* ---- the stack ---- */

enum { STACK_BYTES = 256 * 1024 };

static ucontext_t caller, callee;
static struct sim *world;

static void run_on(void *stack, void (*step)(void))
{
	ck_assert_int_eq(getcontext(&callee), 0);
	callee.uc_stack.ss_sp = stack;
	callee.uc_stack.ss_size = STACK_BYTES;
	callee.uc_link = &caller;
	makecontext(&callee, step, 0);
	ck_assert_int_eq(swapcontext(&caller, &callee), 0);
}

/* Runs @step on a stack of its own. Returns in how many places secrets lie there afterwards. */
static unsigned int left_on_stack_by(void (*step)(void), const char *name)
{
	uint8_t *stack = calloc(1, STACK_BYTES);
	unsigned int found;

	ck_assert_ptr_nonnull(stack);
	run_on(stack, step);
	found = scan(stack, stack + STACK_BYTES, true, name);
	free(stack);
	return found;
}

/* What initiator and responder drew as ephemeral keys, masked at once */
static void draw(void *ctx, void *buf, size_t len)
{
	sim_random(ctx, buf, len);
	if (len == SECRET_BYTES) {
		remember("an ephemeral key", buf);
		((uint8_t *)buf)[0] &= 248;
		((uint8_t *)buf)[31] = (uint8_t)((((uint8_t *)buf)[31] & 127) | 64);
	}
}

static void begin(void)
{
	wg_peer_handshake(wg_peer_next(world->nodes[0].dev, NULL));
}

/* The datagram under way arrives at node @i. */
static void take(int i)
{
	struct sim_datagram *d = sim_catch(world);

	sim_give(&world->nodes[i], &d->from, d);
	wg_device_flush(world->nodes[i].dev);
	free(d);
}

static void respond(void)
{
	take(1);
}

static void conclude(void)
{
	take(0);
}

static void confirm(void)
{
	take(1);
}

/* Its packets are too few for another provider than libsodium. */
START_TEST(handshake_leaves_no_key_on_the_stack)
{
	static struct wg_ops ops;
	struct wg_peer *p0, *p1;
	uint8_t psk[32];

	setenv("WGWRAP_AEAD", "libsodium", 1);
	/* Its functions are bound before, as the program's are (-z now): binding saves registers. */
	ck_assert(wg_aead_check(&wg_aead_sodium));
	n_secrets = 0;
	world = sim_new();
	ops = sim_ops;
	ops.random = draw;
	for (int i = 0; i < 2; i++) {
		wg_device_free(world->nodes[i].dev);
		world->nodes[i].dev =
			wg_device_new(&ops, &world->nodes[i], world->nodes[i].private_key, SIM_MTU);
		remember("a private key", world->nodes[i].dev->private_key);
	}
	p0 = sim_add_peer(world, 0, 1, true);
	p1 = sim_add_peer(world, 1, 0, true);
	sim_random(&world->nodes[0], psk, sizeof(psk));
	remember("the preshared key", psk);
	wg_peer_set_preshared_key(p0, psk);
	wg_peer_set_preshared_key(p1, psk);
	remember("the static keys' product", p0->handshake.static_static);

	ck_assert_uint_eq(left_on_stack_by(begin, "the initiation"), 0);
	remember("a chaining key", p0->handshake.transcript.chaining_key);
	ck_assert_uint_eq(left_on_stack_by(respond, "the response"), 0);
	remember_session(p1->keypairs.next);
	ck_assert_uint_eq(left_on_stack_by(conclude, "its consumption"), 0);
	ck_assert_uint_eq(left_on_stack_by(confirm, "the confirmation"), 0);
	ck_assert_ptr_nonnull(p1->keypairs.current);
	sim_free(world);
}
END_TEST

/* ---- what libraries leave there ---- */

enum { KEY_WORDS = SECRET_BYTES / 4, BATCH = 3 };

static uint8_t one_key[SECRET_BYTES];
static const struct wg_aead_provider *provider;
static struct wg_aead_job jobs[BATCH];
static void *provider_ctx;

/* In how many places two words of one_key lie that are neighbours there, or one word lies twice, as
 * vector code has it. */
static unsigned int pairs_left_by(void (*step)(void))
{
	uint32_t *stack = calloc(1, STACK_BYTES), key[KEY_WORDS];
	const size_t n = STACK_BYTES / sizeof(*stack);
	unsigned int found = 0;

	ck_assert_ptr_nonnull(stack);
	run_on(stack, step);
	memcpy(key, one_key, sizeof(key));
	for (size_t i = 0; i + 1 < n; i++) {
		for (size_t k = 0; k < KEY_WORDS; k++) {
			bool next = k + 1 < KEY_WORDS && stack[i + 1] == key[k + 1];

			found += stack[i] == key[k] && (next || stack[i + 1] == key[k]);
		}
	}
	free(stack);
	return found;
}

static void seal(void)
{
	provider->seal(provider_ctx, one_key, jobs, BATCH);
}

static void open_jobs(void)
{
	provider->open(provider_ctx, one_key, jobs, BATCH);
}

START_TEST(packets_leave_no_part_of_their_key_on_the_stack)
{
	static uint8_t data[BATCH][SIM_MTU + WG_TAG_BYTES];

	provider = wg_aead_providers[_i];
	/* binds its functions, too */
	provider_ctx = wg_aead_check(provider) ? provider->create() : NULL;
	if (!provider_ctx)
		return; /* not for this processor */
	for (size_t len = 0; len <= SIM_MTU; len = 2 * len + 15) {
		for (size_t i = 0; i < sizeof(one_key); i++)
			one_key[i] = (uint8_t)(37 * i + len);
		for (size_t i = 0; i < BATCH; i++)
			jobs[i] = (struct wg_aead_job){.data = data[i], .len = len, .counter = i};
		ck_assert_uint_eq(pairs_left_by(seal), 0);
		ck_assert_uint_eq(pairs_left_by(open_jobs), 0);
		for (size_t i = 0; i < BATCH; i++)
			ck_assert(jobs[i].ok);
	}
	provider->destroy(provider_ctx);
}
END_TEST

static void derive(void)
{
	static const uint8_t from[WG_HASH_BYTES] = {1};
	static uint8_t first[WG_HASH_BYTES];
	uint8_t *const out[] = {first, one_key};

	wg_kdf(out, 2, from, from, sizeof(from));
}

START_TEST(a_derived_key_is_not_left_on_the_stack)
{
	ck_assert_uint_eq(pairs_left_by(derive), 0);
}
END_TEST

static struct wg_noise_transcript transcript;
static struct {
	uint8_t ephemeral[WG_PUBLIC_KEY_BYTES];
	uint8_t encrypted_static[WG_PUBLIC_KEY_BYTES + WG_TAG_BYTES];
	uint8_t encrypted_payload[WG_TAG_BYTES];
} first;
static const struct wg_noise_first first_parts = {first.ephemeral, first.encrypted_static,
						  first.encrypted_payload, 0};
static uint8_t responder_private[WG_PUBLIC_KEY_BYTES];
static bool is_read;

static void read_static(void)
{
	uint8_t initiator[WG_PUBLIC_KEY_BYTES];

	is_read = wg_noise_read_first_static(&transcript, &first_parts, responder_private,
					     initiator, one_key);
}

START_TEST(a_handshakes_cipher_key_is_not_left_on_the_stack)
{
	uint8_t initiator_private[WG_PUBLIC_KEY_BYTES], ephemeral[WG_PUBLIC_KEY_BYTES];
	uint8_t initiator[WG_PUBLIC_KEY_BYTES], responder[WG_PUBLIC_KEY_BYTES];
	uint8_t product[WG_PUBLIC_KEY_BYTES];

	randombytes_buf(initiator_private, sizeof(initiator_private));
	randombytes_buf(responder_private, sizeof(responder_private));
	randombytes_buf(ephemeral, sizeof(ephemeral));
	crypto_scalarmult_curve25519_base(initiator, initiator_private);
	crypto_scalarmult_curve25519_base(responder, responder_private);
	ck_assert(wg_noise_dh(product, initiator_private, responder));
	wg_noise_transcript_init(&transcript, "", 0, responder);
	ck_assert(wg_noise_write_first(&transcript, &first_parts, ephemeral, initiator, responder,
				       product, ""));
	wg_noise_transcript_init(&transcript, "", 0, responder);
	ck_assert_uint_eq(pairs_left_by(read_static), 0);
	ck_assert(is_read);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("wg_secrets");
	TCase *t = tcase_create("memory");
	int n = 0;

	while (wg_aead_providers[n])
		n++;
	tcase_set_timeout(t, 180);
	tcase_add_test(t, handshake_leaves_no_key_on_the_stack);
	tcase_add_loop_test(t, packets_leave_no_part_of_their_key_on_the_stack, 0, n);
	tcase_add_test(t, a_derived_key_is_not_left_on_the_stack);
	tcase_add_test(t, a_handshakes_cipher_key_is_not_left_on_the_stack);
	tcase_add_loop_test(t, ended_session_leaves_no_key, 0, n);
	tcase_add_loop_test(t, closed_device_leaves_no_key, 0, n);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
#ifdef __SANITIZE_ADDRESS__
	puts("AddressSanitizer keeps freed memory, and forbids to read all of it");
	return 77;
#endif
	if (sodium_init() < 0)
		return 1;
	return run_suite(suite());
}
