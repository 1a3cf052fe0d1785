/* SPDX-License-Identifier: MIT */
/* assertions.h - Check's assertions where there is no suite: what does not hold aborts */
#ifndef TESTS_UNIT_ASSERTIONS_H
#define TESTS_UNIT_ASSERTIONS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define ck_assert_msg(holds, ...)                                                                  \
	do {                                                                                       \
		if (!(holds)) {                                                                    \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #holds);                \
			fprintf(stderr, __VA_ARGS__);                                              \
			fputc('\n', stderr);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)
#define ck_assert(holds) ck_assert_msg(holds, "failed")

#define ASSERT_COMPARED(type, format, a, op, b)                                                    \
	do {                                                                                       \
		type left_ = (a), right_ = (b);                                                    \
		ck_assert_msg(left_ op right_, #a " %" format ", " #b " %" format, left_, right_); \
	} while (0)
#define ck_assert_uint_eq(a, b)	 ASSERT_COMPARED(uintmax_t, "ju", a, ==, b)
#define ck_assert_uint_lt(a, b)	 ASSERT_COMPARED(uintmax_t, "ju", a, <, b)
#define ck_assert_uint_le(a, b)	 ASSERT_COMPARED(uintmax_t, "ju", a, <=, b)
#define ck_assert_int_eq(a, b)	 ASSERT_COMPARED(intmax_t, "jd", a, ==, b)
#define ck_assert_int_ge(a, b)	 ASSERT_COMPARED(intmax_t, "jd", a, >=, b)
#define ck_assert_uint_ge(a, b)	 ASSERT_COMPARED(uintmax_t, "ju", a, >=, b)
#define ck_assert_int_gt(a, b)	 ASSERT_COMPARED(intmax_t, "jd", a, >, b)
#define ck_assert_int_lt(a, b)	 ASSERT_COMPARED(intmax_t, "jd", a, <, b)
#define ck_assert_ptr_eq(a, b)	 ck_assert((a) == (b))
#define ck_assert_ptr_null(p)	 ck_assert((p) == NULL)
#define ck_assert_ptr_nonnull(p) ck_assert((p) != NULL)

#endif
