/* SPDX-License-Identifier: MIT */
/*
 * test_wg_facts.c - the primitives against published facts about their edge cases (wg_facts.h)
 *
 * libsodium's AEADs as the handshake and the cookies call them, X25519, and every provider that
 * seals transport data.
 */
#include "tests/unit/test_wg_sim.h"
#include "tests/unit/wg_facts.h"
#include "wg/aead.h"
#include "wg/noise_ik.h"

enum { TEXT_MAX = 512, LEN_MAX = 1424 };

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static size_t hex(uint8_t *out, size_t max, const char *text)
{
	size_t len = 0;

	ck_assert_int_eq(sodium_hex2bin(out, max, text, strlen(text), NULL, &len, NULL), 0);
	return len;
}

/* ---- libsodium's AEADs ---- */

typedef int encrypt(unsigned char *, unsigned long long *, const unsigned char *,
		    unsigned long long, const unsigned char *, unsigned long long,
		    const unsigned char *, const unsigned char *, const unsigned char *);
typedef int decrypt(unsigned char *, unsigned long long *, unsigned char *, const unsigned char *,
		    unsigned long long, const unsigned char *, unsigned long long,
		    const unsigned char *, const unsigned char *);

/** struct unpacked - a fact in bytes */
struct unpacked {
	uint8_t key[32], nonce[24], aad[TEXT_MAX], text[TEXT_MAX], sealed[TEXT_MAX];
	size_t nonce_len, aad_len, len, sealed_len;
};

static void unpack(struct unpacked *u, const struct aead_fact *fact)
{
	hex(u->key, sizeof(u->key), fact->key);
	u->nonce_len = hex(u->nonce, sizeof(u->nonce), fact->nonce);
	u->aad_len = hex(u->aad, sizeof(u->aad), fact->aad);
	u->len = hex(u->text, sizeof(u->text), fact->text);
	u->sealed_len = hex(u->sealed, sizeof(u->sealed), fact->sealed);
	ck_assert_uint_eq(u->sealed_len, u->len + WG_TAG_BYTES);
}

/* Whether what may be opened is not opened when anything of it is different. */
static void refuses_changes(const struct unpacked *u, decrypt *open, unsigned int number)
{
	uint8_t bad[TEXT_MAX], out[TEXT_MAX], other[32];

	for (size_t bit = 0; bit < 8 * u->sealed_len; bit += bit < 8 * u->len ? 13 : 1) {
		memcpy(bad, u->sealed, u->sealed_len);
		bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert_msg(open(out, NULL, NULL, bad, u->sealed_len, u->aad, u->aad_len,
				   u->nonce, u->key) == -1,
			      "fact %u, bit %zu", number, bit);
	}
	for (size_t len = 0; len < u->sealed_len; len++)
		ck_assert_int_eq(
			open(out, NULL, NULL, u->sealed, len, u->aad, u->aad_len, u->nonce, u->key),
			-1);
	for (int fill = 0; fill < 256; fill += 255) {
		memcpy(bad, u->sealed, u->len);
		memset(bad + u->len, fill, WG_TAG_BYTES);
		if (memcmp(bad, u->sealed, u->sealed_len) != 0)
			ck_assert_int_eq(open(out, NULL, NULL, bad, u->sealed_len, u->aad,
					      u->aad_len, u->nonce, u->key),
					 -1);
	}
	if (u->aad_len)
		ck_assert_int_eq(open(out, NULL, NULL, u->sealed, u->sealed_len, u->aad,
				      u->aad_len - 1, u->nonce, u->key),
				 -1);
	memcpy(other, u->nonce, u->nonce_len);
	other[u->nonce_len - 1] ^= 1;
	ck_assert_int_eq(
		open(out, NULL, NULL, u->sealed, u->sealed_len, u->aad, u->aad_len, other, u->key),
		-1);
}

static void check_aead(const struct aead_fact *facts, size_t count, size_t nonce_len, encrypt *seal,
		       decrypt *open)
{
	struct unpacked u;
	uint8_t out[TEXT_MAX];

	for (size_t i = 0; i < count; i++) {
		const struct aead_fact *fact = &facts[i];

		unpack(&u, fact);
		ck_assert_uint_eq(u.nonce_len, nonce_len);
		seal(out, NULL, u.text, u.len, u.aad, u.aad_len, NULL, u.nonce, u.key);
		ck_assert_msg(memcmp(out, u.sealed, u.sealed_len) == 0, "fact %u", fact->number);
		ck_assert_msg(open(out, NULL, NULL, u.sealed, u.sealed_len, u.aad, u.aad_len,
				   u.nonce, u.key) == 0,
			      "fact %u", fact->number);
		ck_assert(memcmp(out, u.text, u.len) == 0);
		refuses_changes(&u, open, fact->number);
	}
}

START_TEST(chacha20_poly1305_facts)
{
	check_aead(chacha_facts, COUNT(chacha_facts), 12, crypto_aead_chacha20poly1305_ietf_encrypt,
		   crypto_aead_chacha20poly1305_ietf_decrypt);
}
END_TEST

START_TEST(xchacha20_poly1305_facts)
{
	check_aead(xchacha_facts, COUNT(xchacha_facts), 24,
		   crypto_aead_xchacha20poly1305_ietf_encrypt,
		   crypto_aead_xchacha20poly1305_ietf_decrypt);
}
END_TEST

/* ---- X25519 ---- */

/* A key on the twist and one that is not canonical are good; one of low order never is. */
START_TEST(x25519_facts)
{
	for (size_t i = 0; i < COUNT(dh_facts); i++) {
		const struct dh_fact *fact = &dh_facts[i];
		uint8_t public_key[32], private_key[32], shared[32], out[32];
		bool ok;

		hex(public_key, 32, fact->public_key);
		hex(private_key, 32, fact->private_key);
		memset(out, 0x77, sizeof(out));
		ok = wg_noise_dh(out, private_key, public_key);
		ck_assert_msg(ok == (fact->shared != NULL), "fact %u", fact->number);
		memset(shared, 0, sizeof(shared));
		if (fact->shared)
			hex(shared, 32, fact->shared);
		ck_assert_msg(memcmp(out, shared, 32) == 0, "fact %u", fact->number);
	}
}
END_TEST

/* ---- providers ---- */

/* The text for which @fact's ciphertext comes out, and what is sealed */
static void unpack_poly(const struct poly_fact *fact, uint8_t key[32], uint8_t *text,
			uint8_t *sealed)
{
	uint8_t nonce[WG_AEAD_NONCE_BYTES];

	memset(key, fact->key, 32);
	memset(sealed, fact->fill, fact->len);
	ck_assert_uint_eq(hex(sealed + fact->len - 16, 16, fact->last), 16);
	ck_assert_uint_eq(hex(sealed + fact->len, 16, fact->tag), 16);
	wg_aead_nonce(nonce, fact->counter);
	crypto_stream_chacha20_ietf_xor_ic(text, sealed, fact->len, nonce, 1, key);
}

/* By the provider at index _i, three at a time, of which one is changed before it is opened */
START_TEST(provider_knows_the_limits_of_poly1305)
{
	const struct wg_aead_provider *provider = wg_aead_providers[_i];
	void *ctx = provider->create();

	if (!ctx)
		return; /* not for this processor; wg_aead_check() says the same */
	for (size_t i = 0; i < COUNT(poly_facts); i++) {
		const struct poly_fact *fact = &poly_facts[i];
		uint8_t key[32], text[LEN_MAX], sealed[LEN_MAX + 16], buf[3][LEN_MAX + 16];
		struct wg_aead_job jobs[3];

		unpack_poly(fact, key, text, sealed);
		for (size_t k = 0; k < COUNT(jobs); k++) {
			jobs[k] = (struct wg_aead_job){
				.data = buf[k], .len = fact->len, .counter = fact->counter};
			memcpy(buf[k], text, fact->len);
		}
		provider->seal(ctx, key, jobs, COUNT(jobs));
		for (size_t k = 0; k < COUNT(jobs); k++)
			ck_assert_msg(memcmp(buf[k], sealed, fact->len + 16) == 0,
				      "%s: fact %u, job %zu", provider->name, fact->key, k);
		buf[1][fact->len + 15] ^= 0x80;
		provider->open(ctx, key, jobs, COUNT(jobs));
		ck_assert_msg(jobs[0].ok && !jobs[1].ok && jobs[2].ok, "%s: fact %u",
			      provider->name, fact->key);
		ck_assert(memcmp(buf[0], text, fact->len) == 0);
		ck_assert(memcmp(buf[2], text, fact->len) == 0);
	}
	provider->destroy(ctx);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("wg_facts");
	TCase *t = tcase_create("facts");
	int n = 0;

	while (wg_aead_providers[n])
		n++;
	tcase_set_timeout(t, 180);
	tcase_add_test(t, chacha20_poly1305_facts);
	tcase_add_test(t, xchacha20_poly1305_facts);
	tcase_add_test(t, x25519_facts);
	tcase_add_loop_test(t, provider_knows_the_limits_of_poly1305, 0, n);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	return run_suite(suite());
}
