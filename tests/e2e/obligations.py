#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
obligations.py - the table in wg/README.md: no cell is empty, and every test that it names is run; the
unit tests that the tables of src/proxy/ and preload/ name exist
"""

import fnmatch
import glob
import os
import re

from lib import tap
from lib.tap import test

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


class Tables:
    """The obligations, and the registered tests by file."""

    def __init__(self):
        text = read("wg/README.md").split("| obligation | P | T |\n|---|---|---|\n")[1].split("\n\n")[0]
        self.rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
        self.tests = {}
        self.names = set()
        for path in glob.glob(os.path.join(ROOT, "tests/unit/test_*.c")):
            source = read(path)
            self.names.update(re.findall(r"START_TEST\((\w+)\)", source))
            added = re.findall(r"tcase_add_\w+\(\s*\w+,\s*(\w+)", source)
            self.tests[os.path.basename(path)[5:-2]] = [name for name in re.findall(r"START_TEST\((\w+)\)", source)
                                                        if name in added]

    def describe(self):
        return ""

    def finish(self):
        return ()

    def close(self):
        pass


@test("each obligation has a place and a test")
def _(w):
    assert len(w.rows) >= 40, len(w.rows)
    for row in w.rows:
        assert len(row) == 3 and all(row), row


@test("the places exist")
def _(w):
    for row in w.rows:
        for place in row[1].split(", "):
            names = (place, f"wg/{place}.c", f"wg/{place}.h", f"src/tunnel/{place}")
            assert any(os.path.exists(os.path.join(ROOT, name)) for name in names), (place, row[0])


@test("the tests exist and are registered")
def _(w):
    for obligation, _, tests in w.rows:
        for part in re.split(r";\s*", tests):
            name, _, rest = part.partition(":")
            if name == "sim":
                assert os.path.exists(os.path.join(ROOT, "tests/sim/sim_wg.c"))
                continue
            known = w.tests[name.removeprefix("test_") if name.startswith("test_") else "wg_" + name]
            for pattern in re.findall(r"`([^`]+)`", rest):
                assert fnmatch.filter(known, pattern), (obligation, name, pattern)


@test("the unit tests that src/proxy/README.md and preload/README.md name exist")
def _(w):
    conformance = read("src/proxy/README.md").split("## Conformance")[1].split("\n## ")[0]
    ledger = read("preload/README.md").split("## Accepted differences")[1]
    named = (re.findall(r"`(\w+)`", conformance.split("|---|")[1]), re.findall(r"\| [TDL] (\w+)[ ,]", ledger))
    for names in named:
        assert len(names) >= 4 and w.names.issuperset(names), set(names) - w.names


tap.main(Tables)
