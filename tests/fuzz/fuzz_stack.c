/* SPDX-License-Identifier: MIT */
/*
 * fuzz_stack.c - the TCP/IP stack, between hostile peers and owners
 *
 * The input is a script: after the MTU and what the stack's randomness begins with, each act is a
 * byte that says which one and about which connection, and the bytes that it asks for. The acts, and
 * what must hold after each, are those of tests/sim/hostile.h and hostile_datagrams.h; the simulator
 * there takes dice for bytes. In the end peers are silent, owners close, and two hours pass: all
 * memory comes back.
 *
 * With libFuzzer's main (make fuzz), or with that of replay.h.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ACTS_MAX = 200 };

static struct {
	const uint8_t *at, *end;
} script;

static bool script_is_over(void)
{
	return script.at == script.end;
}

static uint32_t next_bytes(unsigned int n)
{
	uint32_t value = 0;

	while (n-- > 0 && !script_is_over())
		value = value << 8 | *script.at++;
	return value;
}

/* A number below @n, 0 if @n is; of a script that is over, one in the middle: nothing rare happens */
static uint32_t roll(uint32_t n)
{
	if (script_is_over())
		return n / 2;
	if (n <= 1)
		return 0;
	return next_bytes(n <= 1 << 8 ? 1 : n <= 1 << 16 ? 2 : 4) % n;
}

static bool once_in(uint32_t n)
{
	return roll(n) == 0;
}

static uint32_t roll_all(void)
{
	return next_bytes(4);
}

#define NO_SUITE
#include "tests/sim/hostile_datagrams.h"
#include "tests/sim/memory_used.h"

/* What is allocated once and for all */
static void warm_up(void)
{
	static bool warm;

	if (!warm) {
		h_setup();
		h_teardown();
	}
	warm = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t mtus[] = {1420, 9000, 1280, 576};
	size_t before;

	warm_up();
	before = memory_used();
	script.at = data;
	script.end = data + size;
	begin_acts(mtus[roll(4)], next_bytes(1));
	for (int i = 0; i < ACTS_MAX && !script_is_over(); i++) {
		uint32_t what = next_bytes(1);

		act((enum act)(what % ACTS), &targets[what / ACTS % TARGETS]);
		ck_assert_uint_lt(memory_used(), before + MEMORY_MAX_BYTES);
	}
	end_acts();
	ck_assert_uint_eq(memory_used(), before);
	return 0;
}

#include "tests/fuzz/replay.h"
