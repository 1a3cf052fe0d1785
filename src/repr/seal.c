/* SPDX-License-Identifier: MIT */
/*
 * seal.c - labels that only wrapped processes of one session can read, and what only they know
 *
 * Theory of operation
 *
 * Abstract AF_UNIX names are listed in /proc/net/unix for every user, so a label must not show
 * where a program connects. The 40 bytes of a label are XORed with five blocks of SipHash-2-4 in
 * counter mode under the session's key; the 64-bit random nonce in the name makes each key stream
 * single use. SipHash is a pseudo-random function (Aumasson and Bernstein 2012), which is all that
 * counter mode needs. It is written out here because the shim may link to nothing but libc; the
 * unit test holds it against libsodium's.
 *
 * The preambles of datagrams are four more outputs, of blocks that no label has.
 */
#include "src/repr/wire.h"

#include <string.h>

static const char label_magic[5] = {'\0', 'w', 'g', 'w', '1'};

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v; /* one machine: host order serves both ends */
}

static uint64_t rotl(uint64_t v, unsigned int n)
{
	return v << n | v >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

/* SipHash-2-4 of the 16 bytes @m0 || @m1 */
static uint64_t siphash_16(const uint8_t key[WGW_LABEL_KEY_BYTES], uint64_t m0, uint64_t m1)
{
	uint64_t k0 = load64(key), k1 = load64(key + 8);
	uint64_t v[4] = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
			 k1 ^ 0x7465646279746573};
	const uint64_t m[3] = {m0, m1, UINT64_C(16) << 56};

	for (int i = 0; i < 3; i++) {
		v[3] ^= m[i];
		sip_round(v);
		sip_round(v);
		v[0] ^= m[i];
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

enum { PREAMBLE_BLOCK = 256 }; /* labels have blocks 0 to 4 */

void wgw_preambles_make(const uint8_t key[WGW_LABEL_KEY_BYTES], struct wgw_preambles *preambles)
{
	for (unsigned int i = 0; i < WGW_PREAMBLE_BYTES / 8; i++) {
		uint64_t out = siphash_16(key, 0, PREAMBLE_BLOCK + i);
		uint64_t in = siphash_16(key, 1, PREAMBLE_BLOCK + i);

		memcpy(preambles->to_tunnel + 8 * i, &out, sizeof(out));
		memcpy(preambles->to_app + 8 * i, &in, sizeof(in));
	}
}

static void xor_stream(const uint8_t key[WGW_LABEL_KEY_BYTES],
		       const uint8_t nonce[WGW_LABEL_NONCE_BYTES], uint8_t *data)
{
	for (unsigned int block = 0; block < sizeof(struct wgw_label) / 8; block++) {
		uint64_t v = siphash_16(key, load64(nonce), block) ^ load64(data + 8 * block);

		memcpy(data + 8 * block, &v, sizeof(v));
	}
}

/**
 * wgw_label_seal() - make the abstract name that carries a label
 * @key:	The session's label key
 * @nonce:	Random, never used twice with @key
 * @label:	What to say
 * @name:	Result, WGW_LABEL_NAME_BYTES long, not terminated
 */
void wgw_label_seal(const uint8_t key[WGW_LABEL_KEY_BYTES],
		    const uint8_t nonce[WGW_LABEL_NONCE_BYTES], const struct wgw_label *label,
		    uint8_t name[WGW_LABEL_NAME_BYTES])
{
	uint8_t *at = name;

	memcpy(at, label_magic, sizeof(label_magic));
	at += sizeof(label_magic);
	memcpy(at, nonce, WGW_LABEL_NONCE_BYTES);
	at += WGW_LABEL_NONCE_BYTES;
	memcpy(at, label, sizeof(*label));
	xor_stream(key, nonce, at);
}

/**
 * wgw_label_open() - read a label from a socket's name
 * @key:	The session's label key
 * @name:	sun_path as getsockname or getpeername gave it
 * @len:	Its length: address length less offsetof(struct sockaddr_un, sun_path)
 * @label:	Result
 *
 * Return: false when the name is not a label of this session
 */
bool wgw_label_open(const uint8_t key[WGW_LABEL_KEY_BYTES], const void *name, uint32_t len,
		    struct wgw_label *label)
{
	const uint8_t *at = name;
	uint8_t plain[sizeof(*label)];

	if (len != WGW_LABEL_NAME_BYTES || memcmp(at, label_magic, sizeof(label_magic)) != 0)
		return false;
	at += sizeof(label_magic);
	memcpy(plain, at + WGW_LABEL_NONCE_BYTES, sizeof(plain));
	xor_stream(key, at, plain);
	memcpy(label, plain, sizeof(*label));
	if (label->v6 > 1 || label->reserved) /* another session's key */
		return false;
	return label->outcome == WGW_OUTCOME_CONNECTED || label->outcome == WGW_OUTCOME_FAILED ||
	       label->outcome == WGW_OUTCOME_ACCEPTED;
}
