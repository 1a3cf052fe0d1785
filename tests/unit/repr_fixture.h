/* SPDX-License-Identifier: MIT */
/* repr_fixture.h - what the tests of src/repr start from: a fake tunnel process and a session with
 * it */
#ifndef TESTS_UNIT_REPR_FIXTURE_H
#define TESTS_UNIT_REPR_FIXTURE_H

#include "src/repr/repr.h"
#include "tests/unit/fake_tunnel.h"

static struct fake_tunnel tunnel;
static struct wgw_repr_session session;

static void set_up(void)
{
	fake_start(&tunnel);
	ck_assert(wgw_repr_session_parse(&session, tunnel.env));
}

static void tear_down(void)
{
	fake_stop(&tunnel);
}

/* @fd is a socket of the session. */
static uint64_t tag_of(int fd)
{
	uint64_t tag = 0;

	ck_assert(wgw_repr_tag(fd, &tag));
	return tag;
}

#endif
