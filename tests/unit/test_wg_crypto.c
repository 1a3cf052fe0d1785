/* SPDX-License-Identifier: MIT */
/*
 * test_wg_crypto.c - the primitives and the Noise transcript against published answers
 *
 * BLAKE2s: RFC 7693 appendix B and the BLAKE2 reference KAT. KDF: HMAC-BLAKE2s vectors published
 * with wireguard-go. X25519: RFC 7748, Wycheproof. AEAD: RFC 8439, draft-irtf-cfrg-xchacha.
 * Transcript: the Cacophony vector of Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s.
 */
#include "tests/unit/test_wg_sim.h"
#include "wg/aead.h"
#include "wg/handshake.h"
#include "wg/hash.h"
#include "wg/noise_ik.h"

static size_t hex(uint8_t *out, size_t max, const char *text)
{
	size_t len = 0;

	ck_assert_int_eq(sodium_hex2bin(out, max, text, strlen(text), NULL, &len, NULL), 0);
	return len;
}

static void assert_hex(const void *got, size_t len, const char *text)
{
	uint8_t want[512];

	ck_assert_uint_eq(hex(want, sizeof(want), text), len);
	ck_assert_mem_eq(got, want, len);
}

START_TEST(blake2s_known_answers)
{
	uint8_t in[256], out[WG_HASH_BYTES];

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)i;
	wg_hash(out, &(struct wg_bytes){"abc", 3}, 1);
	assert_hex(out, 32, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
	wg_hash(out, NULL, 0);
	assert_hex(out, 32, "69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9");
	wg_hash(out, &(struct wg_bytes){in, 1}, 1);
	assert_hex(out, 32, "e34d74dbaf4ff4c6abd871cc220451d2ea2648846c7757fbaac82fe51ad64bea");
	/* HASH(CONSTRUCTION) of the whitepaper */
	wg_hash(out, &(struct wg_bytes){"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s", 37}, 1);
	assert_hex(out, 32, "60e26daef327efc02ec335e2a025d2d016eb4206f87277f52d38d1988b78cd36");
}
END_TEST

START_TEST(blake2s_does_not_care_how_input_is_cut)
{
	uint8_t in[200], whole[WG_HASH_BYTES], cut[WG_HASH_BYTES], key[32];

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(3 * i);
	memset(key, 7, sizeof(key));
	for (size_t len = 0; len <= sizeof(in); len++) {
		wg_hash(whole, &(struct wg_bytes){in, len}, 1);
		for (size_t at = 0; at <= len; at++) {
			wg_hash(cut, (const struct wg_bytes[]){{in, at}, {in + at, len - at}}, 2);
			ck_assert_mem_eq(cut, whole, sizeof(cut));
		}
	}
	/* a MAC is not a truncated hash: length and key enter */
	wg_hash(whole, &(struct wg_bytes){in, 64}, 1);
	wg_mac(cut, key, sizeof(key), &(struct wg_bytes){in, 64}, 1);
	ck_assert_mem_ne(cut, whole, WG_MAC_BYTES);
}
END_TEST

START_TEST(mac_known_answers)
{
	uint8_t in[64], out[WG_MAC_BYTES], key[32];

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)i;
	memcpy(key, in, sizeof(key));
	wg_mac(out, key, 32, &(struct wg_bytes){in, 64}, 1);
	assert_hex(out, 16, "f1efa90d2547036841ecd3627fafbc36");
	wg_mac(out, key, 16, &(struct wg_bytes){in, 6}, 1);
	assert_hex(out, 16, "e7b8dfdb1864404361689f2d89d63ef6");
}
END_TEST

START_TEST(kdf_known_answers)
{
	static const struct {
		const char *key, *in, *out[3];
	} tests[] = {
		{"test-key",
		 "test-input",
		 {"6f0e5ad38daba1bea8a0d213688736f19763239305e0f58aba697f9ffc41c633",
		  "df1194df20802a4fe594cde27e92991c8cae66c366e8106aaa937a55fa371e8a",
		  "fac6e2745a325f5dc5d11a5b165aad08b0ada28e7b4e666b7c077934a4d76c24"}},
		{"wireguard",
		 "wireguard",
		 {"491d43bbfdaa8750aaf535e334ecbfe5129967cd64635101c566d4caefda96e8",
		  "1e71a379baefd8a79aa4662212fcafe19a23e2b609a3db7d6bcba8f560e3d25f",
		  "31e1ae48bddfbe5de38f295e5452b1909a1b4e38e183926af3780b0c1e1f0160"}},
		{"",
		 "",
		 {"8387b46bf43eccfcf349552a095d8315c4055beb90208fb1be23b894bc2ed5d0",
		  "58a0e5f6faefccf4807bff1f05fa8a9217945762040bcec2f4b4a62bdfe0e86e",
		  "0ce6ea98ec548f8e281e93e32db65621c45eb18dc6f0a7ad94178610a2f7338e"}},
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		/* HMAC pads its key with zeros, so a short key is this 32-byte one */
		uint8_t key[32] = {0}, out[3][32];
		uint8_t *const outs[] = {out[0], out[1], out[2]};

		memcpy(key, tests[i].key, strlen(tests[i].key));
		for (size_t n = 1; n <= 3; n++) {
			wg_kdf(outs, n, key, tests[i].in, strlen(tests[i].in));
			for (size_t k = 0; k < n; k++)
				assert_hex(out[k], 32, tests[i].out[k]);
		}
		/* in place, as the chaining key is renewed */
		wg_kdf((uint8_t *const[]){key}, 1, key, tests[i].in, strlen(tests[i].in));
		assert_hex(key, 32, tests[i].out[0]);
	}
}
END_TEST

START_TEST(hmac_hashes_a_key_longer_than_a_block)
{
	uint8_t key[65], hashed[WG_HASH_BYTES], a[WG_HASH_BYTES], b[WG_HASH_BYTES];

	memset(key, 0xaa, sizeof(key));
	wg_hash(hashed, &(struct wg_bytes){key, sizeof(key)}, 1);
	wg_hmac(a, key, sizeof(key), "x", 1);
	wg_hmac(b, hashed, sizeof(hashed), "x", 1);
	ck_assert_mem_eq(a, b, sizeof(a));
	wg_hmac(b, key, 64, "x", 1);
	ck_assert_mem_ne(a, b, sizeof(a));
}
END_TEST

START_TEST(x25519_known_answers)
{
	uint8_t scalar[32], point[32], out[32], public_key[32];

	hex(scalar, 32, "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
	hex(point, 32, "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
	ck_assert(wg_noise_dh(out, scalar, point));
	assert_hex(out, 32, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
	/* section 6.1: Bob's private, Alice's public key, and what they share */
	hex(scalar, 32, "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
	crypto_scalarmult_curve25519_base(public_key, scalar);
	assert_hex(public_key, 32,
		   "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
	hex(point, 32, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
	ck_assert(wg_noise_dh(out, scalar, point));
	assert_hex(out, 32, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}
END_TEST

/* RFC 7748, section 5.2: what comes of a thousand rounds */
START_TEST(x25519_a_thousand_times)
{
	uint8_t k[32] = {9}, u[32] = {9}, out[32];

	for (int i = 1; i <= 1000; i++) {
		ck_assert(wg_noise_dh(out, k, u));
		memcpy(u, k, 32);
		memcpy(k, out, 32);
		if (i == 1)
			assert_hex(
				k, 32,
				"422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
	}
	assert_hex(k, 32, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}
END_TEST

/* Facts of Wycheproof's: keys on the curve, on its twist, with limbs at their limits. None of these
 * may be refused, because none gives zero. */
START_TEST(x25519_on_curve_and_twist)
{
	static const struct {
		const char *public_key, *private_key, *shared;
	} facts[] = {
		{"504a36999f489cd2fdbc08baff3d88fa00569ba986cba22548ffde80f9806829",
		 "c8a9d5a91091ad851c668b0736c1c9a02936c0d3ad62670858088047ba057475",
		 "436a2c040cf45fea9b29a0cb81b1f41458f863d0d61b453d0a982720d6d61320"},
		{"63aa40c6e38346c5caf23a6df0a5e6c80889a08647e551b3563449befcfc9733",
		 "d85d8c061a50804ac488ad774ac716c3f5ba714b2712e048491379a500211958",
		 "279df67a7c4611db4708a0e8282b195e5ac0ed6f4b2f292c6fbd0acac30d1332"},
		{"0200000000000000000000000000000000000000000000000000000000000000",
		 "d03edde9f3e7b799045f9ac3793d4a9277dadeadc41bec0290f81f744f73775f",
		 "b87a1722cc6c1e2feecb54e97abd5a22acc27616f78f6e315fd2b73d9f221e57"},
		{"ffffff030000f8ffff1f0000c0ffffff000000feffff070000f0ffff3f000000",
		 "105d621e1ef339c3d99245cfb77cd3a5bd0c4427a0e4d8752c3b51f045889b4f",
		 "61eace52da5f5ecefafa4f199b077ff64f2e3d2a6ece6f8ec0497826b212ef5f"},
		{"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff1f",
		 "68e134092e94e622c8a0cd18aff55be23dabd994ebdee982d90601f6f0f4b369",
		 "74bfc15e5597e9f5193f941e10a5c008fc89f051392723886a4a8fe5093a7354"},
		{"00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffff7f",
		 "80da9f02842247d4ade5ddbac51dbce55ea7dca2844e7f97ab8987ce7fd8bc71",
		 "bfe183ba3d4157a7b53ef178613db619e27800f85359c0b39a9fd6e32152c208"},
	};

	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
		uint8_t public_key[32], private_key[32], out[32];

		hex(public_key, 32, facts[i].public_key);
		hex(private_key, 32, facts[i].private_key);
		ck_assert(wg_noise_dh(out, private_key, public_key));
		assert_hex(out, 32, facts[i].shared);
		/* the highest bit of a public key says nothing */
		public_key[31] |= 0x80;
		ck_assert(wg_noise_dh(out, private_key, public_key));
		assert_hex(out, 32, facts[i].shared);
	}
}
END_TEST

/* 2^255 - 19 + x means x (RFC 7748, section 5), except that 0 and 1 give zero. */
START_TEST(x25519_not_canonical_keys_mean_their_residue)
{
	uint8_t scalar[32], high[32], low[32], a[32], b[32];

	memset(scalar, 0x5a, sizeof(scalar));
	for (uint8_t x = 2; x < 19; x++) {
		memset(high, 0xff, sizeof(high));
		high[0] = (uint8_t)(0xed + x);
		high[31] = 0x7f;
		memset(low, 0, sizeof(low));
		low[0] = x;
		ck_assert(wg_noise_dh(a, scalar, high));
		ck_assert(wg_noise_dh(b, scalar, low));
		ck_assert_mem_eq(a, b, sizeof(a));
	}
}
END_TEST

START_TEST(low_order_points_are_refused)
{
	/* all points of order 1, 2, 4 and 8, also in their non-canonical encodings */
	static const char *const points[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	uint8_t scalar[32], point[32], out[32];

	memset(scalar, 0x42, sizeof(scalar));
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		hex(point, 32, points[i]);
		memset(out, 1, sizeof(out));
		ck_assert(!wg_noise_dh(out, scalar, point));
		ck_assert(sodium_is_zero(out, sizeof(out)));
		point[31] |= 0x80;
		ck_assert(!wg_noise_dh(out, scalar, point));
	}
}
END_TEST

START_TEST(libsodium_aead_known_answers)
{
	uint8_t key[32], nonce[24], aad[12], ct[160], out[160];
	static const char text[] = "Ladies and Gentlemen of the class of '99: If I could offer you "
				   "only one tip for the future, sunscreen would be it.";
	unsigned long long len;

	hex(key, 32, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
	hex(aad, 12, "50515253c0c1c2c3c4c5c6c7");
	hex(nonce, 12, "070000004041424344454647");
	crypto_aead_chacha20poly1305_ietf_encrypt(ct, &len, (const uint8_t *)text, 114, aad, 12,
						  NULL, nonce, key);
	assert_hex(ct, 130,
		   "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
		   "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
		   "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
		   "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691");
	hex(nonce, 24, "404142434445464748494a4b4c4d4e4f5051525354555657");
	crypto_aead_xchacha20poly1305_ietf_encrypt(ct, &len, (const uint8_t *)text, 114, aad, 12,
						   NULL, nonce, key);
	assert_hex(ct, 130,
		   "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
		   "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
		   "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
		   "21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49");
	ck_assert_int_eq(crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, ct, 130, aad,
								    11, nonce, key),
			 -1);
}
END_TEST

/* ---- Cacophony's vector ---- */

static const char psk_hex[] = "54686973206973206d7920417573747269616e20706572737065637469766521";
static const struct {
	const char *text, *sealed;
} messages[] = {
	{"Ludwig von Mises",
	 "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
	 "001e21de9f98ddd8e2ad57527207feb56253c9c94a9e496782ecfcb2a75fbcaf1b52948cc48daefe660c6211"
	 "9ab50009"
	 "80c84831215f2441eba616548e832985464cf17e51ee93109008399a21f7e13f"},
	{"Murray Rothbard", "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
			    "cb765f2caef0751b8f007572dab0322217755c0632f365717edbf34d33e87a"},
	{"F. A. Hayek", "8153ca9833bc3c1b91a7e66e5f4d4f5b59bf9e64c2f20d15f0bba7"},
	{"Carl Menger", "07af0c9c86e1b4e80f36b04ff7688d51141af3debd0332f0a705ef"},
	{"Jean-Baptiste Say", "6ab1467c0448cc78394494abaaf23afce0e234315d6e2624dcbfa8a21c1c4d073d"},
	{"Eugen B\xc3\xb6hm von Bawerk", NULL},
};

/** struct noise_side - one side of the vector */
struct noise_side {
	uint8_t private_key[32], public_key[32], ephemeral[32], psk[32];
	struct wg_noise_transcript t;
	uint8_t to_responder[32], to_initiator[32];
};

static void set_side(struct noise_side *side, const char *private_key, const char *ephemeral)
{
	hex(side->private_key, 32, private_key);
	crypto_scalarmult_curve25519_base(side->public_key, side->private_key);
	hex(side->ephemeral, 32, ephemeral);
	hex(side->psk, 32, psk_hex);
}

/* Runs the handshake of the vector and checks both messages. */
static void run_vector(struct noise_side *i, struct noise_side *r)
{
	uint8_t m1[32 + 48 + 16 + 16], m2[32 + 15 + 16], shared[32], key[32], who[32], text[16];
	struct wg_noise_first first = {m1, m1 + 32, m1 + 80, 16};
	struct wg_noise_second second = {m2, m2 + 32, 15};

	set_side(i, "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
		 "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a");
	set_side(r, "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
		 "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b");
	assert_hex(r->public_key, 32,
		   "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62");
	wg_noise_transcript_init(&i->t, "John Galt", 9, r->public_key);
	wg_noise_transcript_init(&r->t, "John Galt", 9, r->public_key);
	ck_assert(wg_noise_dh(shared, i->private_key, r->public_key));

	ck_assert(wg_noise_write_first(&i->t, &first, i->ephemeral, i->public_key, r->public_key,
				       shared, messages[0].text));
	assert_hex(m1, sizeof(m1), messages[0].sealed);
	ck_assert(wg_noise_read_first_static(&r->t, &first, r->private_key, who, key));
	ck_assert_mem_eq(who, i->public_key, 32);
	ck_assert(wg_noise_read_first_payload(&r->t, &first, shared, key, text));
	ck_assert_mem_eq(text, messages[0].text, 16);
	ck_assert_mem_eq(&i->t, &r->t, sizeof(i->t));

	ck_assert(wg_noise_write_second(&r->t, &second, r->ephemeral, first.ephemeral, who, r->psk,
					messages[1].text));
	assert_hex(m2, sizeof(m2), messages[1].sealed);
	ck_assert(wg_noise_read_second(&i->t, &second, i->ephemeral, i->private_key, i->psk, text));
	ck_assert_mem_eq(text, messages[1].text, 15);
	ck_assert_mem_eq(&i->t, &r->t, sizeof(i->t));

	wg_noise_split(&i->t, i->to_responder, i->to_initiator);
	wg_noise_split(&r->t, r->to_responder, r->to_initiator);
}

/* Such a peer key can be configured; whoever knew it could otherwise pass for the peer. */
START_TEST(all_zero_static_static_is_refused)
{
	uint8_t m[32 + 48 + 16 + 16], zeros[32] = {0}, who[32], key[32], text[16];
	struct wg_noise_first first = {m, m + 32, m + 80, 16};
	struct noise_side i, r;
	uint8_t shared[32];

	run_vector(&i, &r);
	ck_assert(wg_noise_dh(shared, i.private_key, r.public_key));
	wg_noise_transcript_init(&i.t, "John Galt", 9, r.public_key);
	ck_assert(!wg_noise_write_first(&i.t, &first, i.ephemeral, i.public_key, r.public_key,
					zeros, messages[0].text));
	wg_noise_transcript_init(&i.t, "John Galt", 9, r.public_key);
	ck_assert(wg_noise_write_first(&i.t, &first, i.ephemeral, i.public_key, r.public_key,
				       shared, messages[0].text));
	wg_noise_transcript_init(&r.t, "John Galt", 9, r.public_key);
	ck_assert(wg_noise_read_first_static(&r.t, &first, r.private_key, who, key));
	ck_assert(!wg_noise_read_first_payload(&r.t, &first, zeros, key, text));
	ck_assert(sodium_is_zero(key, sizeof(key)));
}
END_TEST

START_TEST(noise_transcript_known_answer)
{
	struct noise_side i, r;

	run_vector(&i, &r);
	assert_hex(i.t.hash, 32,
		   "f5191b875290abcd41347ac3622d9679688a7e980229cb937ef748336cfde0e5");
	ck_assert_mem_eq(i.to_responder, r.to_responder, 32);
	ck_assert_mem_eq(i.to_initiator, r.to_initiator, 32);
	ck_assert_mem_ne(i.to_initiator, i.to_responder, 32);
}
END_TEST

/* Transport messages of the vector, by the provider at index _i; nonces and no additional data are
 * as WireGuard has them. */
START_TEST(provider_seals_the_transport_messages)
{
	const struct wg_aead_provider *provider = wg_aead_providers[_i];
	struct noise_side i, r;
	uint8_t buf[64], text[64];
	void *ctx = provider->create();

	if (!ctx)
		return; /* not for this processor; wg_aead_check() says the same */
	run_vector(&i, &r);
	for (size_t m = 2; m < 5; m++) {
		const uint8_t *key = m % 2 == 0 ? i.to_responder : i.to_initiator;
		struct wg_aead_job job = {
			.data = buf, .len = strlen(messages[m].text), .counter = (m - 2) / 2};

		memcpy(buf, messages[m].text, job.len);
		memcpy(text, messages[m].text, job.len);
		provider->seal(ctx, key, &job, 1);
		assert_hex(buf, job.len + WG_TAG_BYTES, messages[m].sealed);
		provider->open(ctx, key, &job, 1);
		ck_assert(job.ok);
		ck_assert_mem_eq(buf, text, job.len);
	}
	provider->destroy(ctx);
}
END_TEST

/* Every length up to 2048, at odd addresses, with the byte behind the tag guarded. */
START_TEST(provider_agrees_with_the_reference_at_every_length)
{
	const struct wg_aead_provider *provider = wg_aead_providers[_i];
	uint8_t key[32], a[2100], b[2100];
	void *ctx = provider->create();

	if (!ctx)
		return;
	memset(key, 0x33, sizeof(key));
	for (size_t len = 0; len <= 2048; len++) {
		struct wg_aead_job mine = {.data = a + len % 16, .len = len, .counter = len};
		struct wg_aead_job reference = {.data = b + len % 16, .len = len, .counter = len};

		memset(a, (int)len, sizeof(a));
		memset(b, (int)len, sizeof(b));
		provider->seal(ctx, key, &mine, 1);
		wg_aead_sodium.seal(NULL, key, &reference, 1);
		ck_assert_mem_eq(a, b, sizeof(a));
		mine.data[len * 7 % (len + WG_TAG_BYTES)] ^= 1;
		provider->open(ctx, key, &mine, 1);
		ck_assert(!mine.ok);
		provider->open(ctx, key, &reference, 1);
		ck_assert(reference.ok);
		ck_assert_uint_eq(b[len % 16 + len + WG_TAG_BYTES], (uint8_t)len);
	}
	provider->destroy(ctx);
}
END_TEST

/* The longest datagrams, of which none has more text than WG_AEAD_TEXT_MAX_BYTES */
START_TEST(provider_agrees_on_the_longest_texts)
{
	enum { SIZE = WG_AEAD_TEXT_MAX_BYTES + WG_TAG_BYTES + 1 };
	static uint8_t a[SIZE], b[SIZE];
	const struct wg_aead_provider *provider = wg_aead_providers[_i];
	const uint8_t key[32] = {0x44};
	void *ctx = provider->create();

	if (!ctx)
		return;
	for (size_t len = WG_AEAD_TEXT_MAX_BYTES - 130; len <= WG_AEAD_TEXT_MAX_BYTES; len++) {
		struct wg_aead_job mine = {.data = a, .len = len, .counter = len};
		struct wg_aead_job reference = {.data = b, .len = len, .counter = len};

		memset(a, (int)len, sizeof(a));
		memset(b, (int)len, sizeof(b));
		provider->seal(ctx, key, &mine, 1);
		wg_aead_sodium.seal(NULL, key, &reference, 1);
		ck_assert_mem_eq(a, b, sizeof(a));
		provider->open(ctx, key, &mine, 1);
		ck_assert(mine.ok);
		wg_aead_sodium.open(NULL, key, &reference, 1);
		ck_assert_mem_eq(a, b, sizeof(a));
	}
	provider->destroy(ctx);
}
END_TEST

/* Poly1305's limbs at their limits: ciphertexts of ones, zeros and 2^130 - 5 in parts. What is
 * sealed is the key stream with that in it. */
START_TEST(provider_agrees_on_ciphertexts_at_the_limits)
{
	static const uint8_t fill[][16] = {
		{0},
		{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255},
		{251, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255},
		{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128},
		{255, 255, 255, 3, 0, 0, 0, 252, 255, 255, 15, 0, 0, 240, 255, 255},
	};
	const struct wg_aead_provider *provider = wg_aead_providers[_i];
	struct sim sim = {.random = 7};
	struct sim_node node = {.sim = &sim};
	uint8_t key[32], a[1024 + 16], b[1024 + 16];
	void *ctx = provider->create();

	if (!ctx)
		return;
	for (size_t n = 0; n < 2000; n++) {
		size_t len = n * 7 % 1025;
		struct wg_aead_job mine = {.data = a, .len = len, .counter = n};
		struct wg_aead_job reference = {.data = b, .len = len, .counter = n};

		sim_random(&node, key, sizeof(key));
		memset(b, 0, sizeof(b));
		wg_aead_sodium.seal(NULL, key, &reference, 1);
		for (size_t i = 0; i < len; i++)
			b[i] ^= fill[n % 5][i % 16];
		memcpy(a, b, sizeof(a));
		provider->seal(ctx, key, &mine, 1);
		wg_aead_sodium.seal(NULL, key, &reference, 1);
		for (size_t i = 0; i < len; i++)
			ck_assert_uint_eq(b[i], fill[n % 5][i % 16]);
		ck_assert_mem_eq(a, b, len + WG_TAG_BYTES);
	}
	provider->destroy(ctx);
}
END_TEST

/* Each bit of the tag counts, and the text is not given out when it is wrong. */
START_TEST(provider_looks_at_every_bit_of_the_tag)
{
	const struct wg_aead_provider *provider = wg_aead_providers[_i];
	uint8_t key[32] = {5}, sealed[64 + 16], buf[64 + 16];
	struct wg_aead_job job = {.data = sealed, .len = 64, .counter = 9};
	void *ctx = provider->create();

	if (!ctx)
		return;
	memset(sealed, 0x11, 64);
	wg_aead_sodium.seal(NULL, key, &job, 1);
	job.data = buf;
	for (size_t bit = 0; bit < 128; bit++) {
		memcpy(buf, sealed, sizeof(buf));
		buf[64 + bit / 8] ^= (uint8_t)(1 << bit % 8);
		provider->open(ctx, key, &job, 1);
		ck_assert(!job.ok);
	}
	memcpy(buf, sealed, sizeof(buf));
	provider->open(ctx, key, &job, 1);
	ck_assert(job.ok);
	provider->destroy(ctx);
}
END_TEST

static void broken_seal(void *ctx, const uint8_t *key, struct wg_aead_job *jobs, size_t count)
{
	wg_aead_sodium.seal(ctx, key, jobs, count);
	jobs[count - 1].data[0] ^= 1; /* the last of a long batch only */
}

static void credulous_open(void *ctx, const uint8_t *key, struct wg_aead_job *jobs, size_t count)
{
	wg_aead_sodium.open(ctx, key, jobs, count);
	for (size_t i = 0; i < count; i++)
		jobs[i].ok = true;
}

START_TEST(check_finds_a_wrong_provider)
{
	struct wg_aead_provider wrong = wg_aead_sodium;

	ck_assert(wg_aead_check(&wrong));
	wrong.seal = broken_seal;
	ck_assert(!wg_aead_check(&wrong));
	wrong = wg_aead_sodium;
	wrong.open = credulous_open;
	ck_assert(!wg_aead_check(&wrong));
}
END_TEST

START_TEST(provider_by_environment)
{
	/* each test runs in a process of its own, so the choice is not made yet */
	setenv("WGWRAP_AEAD", wg_aead_providers[_i]->name, 1);
	if (wg_aead_check(wg_aead_providers[_i]))
		ck_assert_str_eq(wg_aead_provider_name(), wg_aead_providers[_i]->name);
}
END_TEST

/* The provider at index _i takes over, and opens what the reference has sealed. */
START_TEST(first_packets_are_the_reference_s)
{
	const uint8_t key[32] = {6};
	uint8_t buf[64 + WG_TAG_BYTES] = {0};
	struct wg_aead_job job = {.data = buf, .len = 64};
	struct wg_aead aead;

	setenv("WGWRAP_AEAD", wg_aead_providers[_i]->name, 1);
	ck_assert(wg_aead_init(&aead));
	while (job.counter < WG_AEAD_FIRST_PACKETS - 1) {
		job.counter++;
		wg_aead_seal(&aead, key, &job, 1);
		ck_assert_ptr_eq(aead.provider, &wg_aead_sodium);
	}
	wg_aead_open(&aead, key, &job, 1);
	ck_assert(job.ok);
	ck_assert_str_eq(aead.provider->name, wg_aead_provider_name());
	job.counter++;
	wg_aead_seal(&aead, key, &job, 1);
	wg_aead_sodium.open(NULL, key, &job, 1);
	ck_assert(job.ok);
	wg_aead_free(&aead);
}
END_TEST

START_TEST(unknown_provider_counts_as_not_set)
{
	setenv("WGWRAP_AEAD", "rot13", 1);
	ck_assert_str_ne(wg_aead_provider_name(), "none");
}
END_TEST

START_TEST(timestamps_are_tai64n_and_coarse)
{
	struct timespec ts = {.tv_sec = 0, .tv_nsec = 123456789};
	uint8_t base[WG_TIMESTAMP_BYTES], later[WG_TIMESTAMP_BYTES];
	static const struct {
		long ns;
		bool is_later;
	} steps[] = {
		{10, false}, {10000, false}, {1000000, false}, {10000000, false}, {20000000, true}};

	wg_handshake_timestamp(base, &ts);
	assert_hex(base, 12, "400000000000000a07000000");
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		ts.tv_nsec = 123456789 + steps[i].ns;
		wg_handshake_timestamp(later, &ts);
		ck_assert_int_eq(memcmp(later, base, sizeof(base)) > 0, steps[i].is_later);
	}
	ts = (struct timespec){.tv_sec = 1700000000, .tv_nsec = 999999999};
	wg_handshake_timestamp(later, &ts);
	assert_hex(later, 12, "400000006553f10a3b000000");
}
END_TEST

static int count_providers(void)
{
	int n = 0;

	while (wg_aead_providers[n])
		n++;
	return n;
}

static Suite *suite(void)
{
	Suite *s = suite_create("wg_crypto");
	TCase *t = tcase_create("known answers");
	int n = count_providers();

	tcase_set_timeout(t, 180);
	tcase_add_test(t, blake2s_known_answers);
	tcase_add_test(t, blake2s_does_not_care_how_input_is_cut);
	tcase_add_test(t, mac_known_answers);
	tcase_add_test(t, kdf_known_answers);
	tcase_add_test(t, hmac_hashes_a_key_longer_than_a_block);
	tcase_add_test(t, x25519_known_answers);
	tcase_add_test(t, x25519_a_thousand_times);
	tcase_add_test(t, x25519_on_curve_and_twist);
	tcase_add_test(t, x25519_not_canonical_keys_mean_their_residue);
	tcase_add_test(t, low_order_points_are_refused);
	tcase_add_test(t, libsodium_aead_known_answers);
	tcase_add_test(t, noise_transcript_known_answer);
	tcase_add_test(t, all_zero_static_static_is_refused);
	tcase_add_loop_test(t, provider_seals_the_transport_messages, 0, n);
	tcase_add_loop_test(t, provider_agrees_with_the_reference_at_every_length, 0, n);
	tcase_add_loop_test(t, provider_agrees_on_the_longest_texts, 0, n);
	tcase_add_loop_test(t, provider_agrees_on_ciphertexts_at_the_limits, 0, n);
	tcase_add_loop_test(t, provider_looks_at_every_bit_of_the_tag, 0, n);
	tcase_add_loop_test(t, provider_by_environment, 0, n);
	tcase_add_loop_test(t, first_packets_are_the_reference_s, 0, n);
	tcase_add_test(t, check_finds_a_wrong_provider);
	tcase_add_test(t, unknown_provider_counts_as_not_set);
	tcase_add_test(t, timestamps_are_tai64n_and_coarse);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	return run_suite(suite());
}
