# SPDX-License-Identifier: MIT
"""
tap.py - named tests in a script, reported as TAP

	@test("curl fetches a page")
	def _(world): ...

	main(World)

A test fails by an exception (assert, say), is skipped by skip(reason). The tests run in the order of the file;
TEST_PATTERN selects those whose name contains it. What world.finish() returns are checks of their
own, (name, problem or None), made after the last test.
"""

import os
import sys
import traceback

TESTS = []


class Skip(Exception):
    """Raised by skip()."""


def skip(reason):
    raise Skip(reason)


def test(name):
    def add(function):
        TESTS.append((name, function))
        return function
    return add


def skip_all(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def diagnose(text):
    for line in str(text).splitlines():
        print(f"# {line}")


class Report:
    def __init__(self, planned):
        self.number, self.failed = 0, 0
        print(f"1..{planned}", flush=True)

    def say(self, name, problem=None, reason=None):
        self.number += 1
        self.failed += problem is not None
        print(f"{'ok' if problem is None else 'not ok'} {self.number} - {name}"
              f"{' # SKIP ' + reason if reason else ''}")
        if problem is not None:
            diagnose(problem)
        sys.stdout.flush()


def main(make_world, final_checks=()):
    """Runs all tests with make_world(); @final_checks are the names that world.finish() reports."""
    pattern = os.environ.get("TEST_PATTERN", "")
    chosen = [t for t in TESTS if pattern in t[0]]
    if not chosen:
        skip_all(f"no test here is called *{pattern}*")
    report = Report(len(chosen) + len(final_checks))
    world = make_world()
    try:
        for name, function in chosen:
            try:
                function(world)
                report.say(name)
            except Skip as reason:
                report.say(name, reason=str(reason))
            except Exception:  # pylint: disable=broad-except
                report.say(name, traceback.format_exc() + world.describe())
        for name, problem in world.finish():
            report.say(name, problem)
    finally:
        world.close()
    sys.exit(1 if report.failed else 0)
