/* SPDX-License-Identifier: MIT */
/*
 * filter.c - what a program's own seccomp filter would say to our question
 *
 * A filter is classic BPF over struct seccomp_data: the subset that the kernel's
 * seccomp_check_filter() lets through, jumps forward only. It is run here before the program
 * installs it, for the calls by which we know our sockets (wgw_repr_tag()) and IP sockets from
 * outside (direct.c).
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#include "preload/pre.h"
#include "src/repr/raw.h"

/** struct machine - the registers of classic BPF; its packet are the words of seccomp_data */
struct machine {
	uint32_t a, x, mem[BPF_MEMWORDS];
};

/* False: no such operation, or a division by 0, which ends a filter with 0. */
static bool calculate(struct machine *m, uint16_t code, uint32_t by)
{
	switch (BPF_OP(code)) {
	case BPF_ADD:
		m->a += by;
		return true;
	case BPF_SUB:
		m->a -= by;
		return true;
	case BPF_MUL:
		m->a *= by;
		return true;
	case BPF_DIV:
		m->a = by ? m->a / by : 0;
		return by;
	case BPF_AND:
		m->a &= by;
		return true;
	case BPF_OR:
		m->a |= by;
		return true;
	case BPF_XOR:
		m->a ^= by;
		return true;
	case BPF_LSH:
		m->a <<= by & 31;
		return true;
	case BPF_RSH:
		m->a >>= by & 31;
		return true;
	case BPF_NEG:
		m->a = 0 - m->a;
		return true;
	default:
		return false;
	}
}

static bool load(struct machine *m, const struct sock_filter *in, const struct seccomp_data *data)
{
	uint32_t *to = BPF_CLASS(in->code) == BPF_LD ? &m->a : &m->x;

	switch (BPF_MODE(in->code)) {
	case BPF_ABS:
		if (in->k % sizeof(*to) || in->k >= sizeof(*data))
			return false;
		memcpy(to, (const uint8_t *)data + in->k, sizeof(*to));
		return true;
	case BPF_IMM:
		*to = in->k;
		return true;
	case BPF_LEN:
		*to = sizeof(*data);
		return true;
	case BPF_MEM:
		if (in->k >= BPF_MEMWORDS)
			return false;
		*to = m->mem[in->k];
		return true;
	default:
		return false;
	}
}

/* How many instructions to pass over after this one. */
static uint32_t jump(const struct machine *m, const struct sock_filter *in)
{
	const uint32_t with = BPF_SRC(in->code) == BPF_X ? m->x : in->k;
	bool is = false;

	switch (BPF_OP(in->code)) {
	case BPF_JA:
		return in->k;
	case BPF_JEQ:
		is = m->a == with;
		break;
	case BPF_JGT:
		is = m->a > with;
		break;
	case BPF_JGE:
		is = m->a >= with;
		break;
	case BPF_JSET:
		is = m->a & with;
		break;
	default:
		break;
	}
	return is ? in->jt : in->jf;
}

/* Anything but a jump and the end. False: the kernel would not take it. */
static bool step(struct machine *m, const struct sock_filter *in, const struct seccomp_data *data)
{
	switch (BPF_CLASS(in->code)) {
	case BPF_LD:
	case BPF_LDX:
		return load(m, in, data);
	case BPF_ST:
	case BPF_STX:
		if (in->k >= BPF_MEMWORDS)
			return false;
		m->mem[in->k] = BPF_CLASS(in->code) == BPF_ST ? m->a : m->x;
		return true;
	case BPF_ALU:
		return calculate(m, in->code, BPF_SRC(in->code) == BPF_X ? m->x : in->k);
	case BPF_MISC:
		if (BPF_MISCOP(in->code) == BPF_TAX)
			m->x = m->a;
		else
			m->a = m->x;
		return true;
	default:
		return false;
	}
}

/* What @program returns for @data; 0, which is SECCOMP_RET_KILL_THREAD, where it is none. */
static uint32_t run(const struct sock_fprog *program, const struct seccomp_data *data)
{
	struct machine m = {0};

	for (size_t at = 0; at < program->len; at++) {
		const struct sock_filter *in = &program->filter[at];

		if (BPF_CLASS(in->code) == BPF_RET)
			return BPF_RVAL(in->code) == BPF_A ? m.a : in->k;
		if (BPF_CLASS(in->code) == BPF_JMP)
			at += jump(&m, in);
		else if (!step(&m, in, data))
			return 0;
	}
	return 0;
}

static bool forbids(const struct sock_fprog *program, uint32_t option)
{
	enum { SOME_FD = 100 }; /* none that a filter would name */
	uint64_t value;
	socklen_t len;
	const struct seccomp_data question = {
		.nr = SYS_getsockopt,
		.arch = WGW_RAW_ARCH,
		.args = {SOME_FD, SOL_SOCKET, option, (uintptr_t)&value, (uintptr_t)&len},
	};
	const uint32_t action = run(program, &question) & SECCOMP_RET_ACTION_FULL;

	return action != SECCOMP_RET_ALLOW && action != SECCOMP_RET_LOG;
}

bool pre_filter_forbids_asking(const struct sock_fprog *program)
{
	/* NULL is EFAULT, by which programs ask whether there are filters */
	return program && program->filter &&
	       (forbids(program, SO_MAX_PACING_RATE) || forbids(program, SO_DOMAIN));
}
