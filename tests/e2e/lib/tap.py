# SPDX-License-Identifier: MIT
"""
tap.py - named tests in a script, reported as TAP

	@test("curl fetches a page")
	def _(world): ...

	main(World)

A test fails by an exception (assert, say), is skipped by skip(reason). The tests run in the order of the file;
TEST_PATTERN selects those whose name contains it, and groundwork, tests that others behind them stand on. What world.finish() returns are checks of their
own, (name, problem or None), made after the last test. world.close() is called in any case but SIGKILL, also when World()
has done a part of its work.
"""

import contextlib
import os
import signal
import sys
import traceback

TESTS = []


class Skip(Exception):
    """Raised by skip()."""


def skip(reason):
    raise Skip(reason)


def test(name, groundwork=False):
    """@groundwork: what tests behind this one find because of it."""
    def add(function):
        TESTS.append((name, function, groundwork))
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


def close_when_ended():
    """Lets signals end this process as an exception does; not the processes that it forks."""
    us = os.getpid()

    def ended(number, _):
        if os.getpid() != us:
            os._exit(128 + number)
        for again in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(again, signal.SIG_IGN)
        sys.exit(128 + number)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, ended)


def main(make_world, final_checks=()):
    """Runs all tests with make_world(), a class; @final_checks are the names that world.finish() reports."""
    pattern = os.environ.get("TEST_PATTERN", "")
    named = [i for i, (name, _, _) in enumerate(TESTS) if pattern in name]
    if not named:
        skip_all(f"no test here is called *{pattern}*")
    chosen = [t for i, t in enumerate(TESTS) if i in named or t[2] and i < named[-1]]
    report = Report(len(chosen) + len(final_checks))
    world = make_world.__new__(make_world)
    close_when_ended()
    try:
        world.__init__()
    except BaseException:
        with contextlib.suppress(Exception):  # it may be about what is not there yet
            world.close()
        raise
    try:
        for name, function, _ in chosen:
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
