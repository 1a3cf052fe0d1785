/* SPDX-License-Identifier: MIT */
/* test_repr_apps.c - AllowedApps and DisallowedApps: who is outside of the tunnel */
#include <check.h>
#include <stdlib.h>

#include "src/repr/apps.h"
#include "tests/unit/run_suite.h"

static const struct {
	const char *lists, *exe;
	bool outside;
} cases[] = {
	{"", "/usr/bin/curl", false},
	{"+curl,", "/usr/bin/curl", false},
	{"+curl", "/usr/bin/wget", true},
	{"+curl,+wget,", "/usr/bin/wget", false},
	{"-wget,", "/usr/bin/wget", true},
	{"-wget,", "/usr/bin/curl", false},
	{"+curl,-curl,", "/usr/bin/curl", true},
	{"+curl", "/usr/bin/curl2", true},
	{"+curl2", "/usr/bin/curl", true},
	{"-usr", "/usr/bin/curl", false},
	{"+/usr/bin/curl,", "/usr/bin/curl", false},
	{"+/usr/bin/curl,", "/opt/bin/curl", true},
	{"-/opt/games/,", "/opt/games/bin/chess", true},
	{"-/opt/games/,", "/opt/gamesmaster", false},
	{"-bin/curl,", "/usr/bin/curl", false},
	{"+,", "/usr/bin/curl", true},
	{"curl,", "/usr/bin/curl", false},
	{"-curl", "curl", true},
};

START_TEST(lists_decide)
{
	ck_assert_msg(wgw_apps_outside(cases[_i].lists, cases[_i].exe) == cases[_i].outside,
		      "%s %s", cases[_i].lists, cases[_i].exe);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("repr apps");
	TCase *tcase = tcase_create("apps");

	tcase_add_loop_test(tcase, lists_decide, 0, sizeof(cases) / sizeof(*cases));
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
