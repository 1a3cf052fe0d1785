#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
scale.py - many connections, between two wgwraps

usage: scale.py [rate] [memory] [open]        (default: all)

  rate	connect, one byte each way, close, for RATE_SECONDS (60), 32 at a time; memory meanwhile
  memory	what 10,000 idle connections take more than 10, once each, and what is left when they are closed
  open	a download next to 10, 1,000 and 10,000 open connections: CPU per byte, that is per packet

The three counts of open take turns within a round; figures are medians over ROUNDS. Together about four minutes.
"""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))

from figures import bar, row, section  # pylint: disable=wrong-import-position
from lib import world  # pylint: disable=wrong-import-position
from lib.clients import highest_kib, memory_kib  # pylint: disable=wrong-import-position
from lib.world import read_line  # pylint: disable=wrong-import-position
from sides import ROUNDS, Pair, medians, program, transfer  # pylint: disable=wrong-import-position

world.enter()

RATE_SECONDS = int(os.environ.get("RATE_SECONDS", "60"))
COUNTS = (10, 1000, 10000)
QUIET_SECONDS = 11  # within twice the tunnel process's QUIET_MS it gives back what it does not use


def mib(pid):
    return memory_kib(pid, "Pss:") / 1024


def rate(w, both):
    section("Connections per second, two wgwraps")
    before = mib(both.pid)
    child = w.start(both.argv(program(w, "traffic"), "connections", both.HOST, "5400", str(RATE_SECONDS), "32"),
                    stdout=subprocess.PIPE, text=True)
    during = []
    while child.poll() is None:
        time.sleep(RATE_SECONDS / 6)
        during.append(mib(both.pid))
    figures = dict(line.split() for line in child.stdout)
    row(f"connect, one byte each way, close, for {RATE_SECONDS} s",
        f"{figures['connections_per_s']} per s, {figures['failed']} failed")
    row("client's memory before; each sixth", f"{before:.1f}; " + ", ".join(f"{m:.1f}" for m in during) + " MiB")


class Held:
    """@count open connections that nobody uses."""

    def __init__(self, w, both, count):
        self.child = w.start(both.argv(program(w, "traffic"), "open", both.HOST, "5400", str(count)),
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert read_line(self.child.stdout, 120) == f"open {count}\n"

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def idle_memory(w, both):
    section("Memory of idle connections, two wgwraps")

    def quiet():
        time.sleep(QUIET_SECONDS)
        return mib(both.pid), mib(both.server_pid)

    seen = []
    for count in (COUNTS[0], COUNTS[-1]):
        held = Held(w, both, count)
        seen.append(quiet())
        held.close()
    for name, least, most, after in zip(("client", "server"), *seen, quiet()):
        row(f"{name}'s memory, {COUNTS[0]} idle ones; {COUNTS[-1]}; all closed", f"{least:.1f}; {most:.1f}; {after:.1f} MiB, "
            f"{(most - least) * 1024 / (COUNTS[-1] - COUNTS[0]):.1f} KiB each")


def open_ones(w, both):
    section("Open connections, two wgwraps")
    results = {count: [] for count in COUNTS}
    for _ in range(ROUNDS):
        for count in COUNTS:
            held = Held(w, both, count)
            results[count].append(transfer(w, both.argv, {"client": both.pid}, "-R", host=both.HOST))
            held.close()
    least = medians(results[COUNTS[0]])[1]["client"]
    for count in COUNTS:
        gbit, cpu = medians(results[count])
        row(f"{count} open, 1 stream down", f"{cpu['client']:.2f} CPU s/GB, {cpu['client'] / least:.2f} times that at "
            f"{COUNTS[0]}; {gbit:.2f} Gbit/s")
        bar("CPU seconds per GB by open connections", str(count), "client's tunnel process", cpu["client"])
    row("client's memory at its highest", f"{highest_kib(both.pid) / 1024:.0f} MiB")


def main():
    parts = {"rate": rate, "memory": idle_memory, "open": open_ones}
    wanted = sys.argv[1:] or list(parts)
    if not set(wanted) <= set(parts):
        sys.exit(__doc__)
    w = world.World()
    try:
        both = Pair(w)
        for name in wanted:
            parts[name](w, both)
        both.close()
    finally:
        w.close()


main()
