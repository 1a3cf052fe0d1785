/* SPDX-License-Identifier: MIT */
/*
 * bytes.h - integers in wire byte order, at any alignment, and arithmetic on times
 */
#ifndef WG_BYTES_H
#define WG_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t wg_get_le32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline void wg_put_le32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint64_t wg_get_le64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline void wg_put_le64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint16_t wg_get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void wg_put_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/**
 * wg_has_expired() - whether something has reached an age
 * @birth:	When it began, in ns
 * @age:	The age, in ns
 * @now:	Time in ns; one before @birth counts as age 0
 */
static inline bool wg_has_expired(uint64_t birth, uint64_t age, uint64_t now)
{
	return now >= birth && now - birth >= age;
}

#endif
