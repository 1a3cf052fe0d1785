#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
scale.py - many connections, between two wgwraps

usage: scale.py [rate] [open]        (default: both)

  rate	connect, one byte each way, close, for RATE_SECONDS (60), 32 at a time; memory meanwhile
  open	a download next to 10, 1,000 and 10,000 open connections: CPU per byte, that is per packet; memory of idle ones

The three counts take turns within a round; figures are medians over ROUNDS. Together about four minutes.
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
from sides import ROUNDS, Pair, median, medians, program, transfer  # pylint: disable=wrong-import-position

world.enter()

RATE_SECONDS = int(os.environ.get("RATE_SECONDS", "60"))
COUNTS = (10, 1000, 10000)


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


def open_ones(w, both):
    section("Open connections, two wgwraps")
    results, memory = {count: [] for count in COUNTS}, {count: [] for count in COUNTS}
    for _ in range(ROUNDS):
        for count in COUNTS:
            held = Held(w, both, count)
            time.sleep(2)  # what is given back when it is quiet
            memory[count].append((mib(both.pid), mib(both.server_pid)))
            results[count].append(transfer(w, both.argv, {"client": both.pid}, "-R", host=both.HOST))
            held.close()
    least = medians(results[COUNTS[0]])[1]["client"]
    for count in COUNTS:
        gbit, cpu = medians(results[count])
        row(f"{count} open, 1 stream down", f"{cpu['client']:.2f} CPU s/GB, {cpu['client'] / least:.2f} times that at "
            f"{COUNTS[0]}; {gbit:.2f} Gbit/s")
        bar("CPU seconds per GB by open connections", str(count), "client's tunnel process", cpu["client"])
    for i, name in enumerate(("client", "server")):
        least, *_, most = (median(m[i] for m in memory[count]) for count in COUNTS)
        row(f"{name}'s memory, {COUNTS[0]} idle ones; {COUNTS[-1]}", f"{least:.1f}; {most:.1f} MiB, "
            f"{(most - least) * 1024 / (COUNTS[-1] - COUNTS[0]):.1f} KiB each")
    row("client's memory at its highest", f"{highest_kib(both.pid) / 1024:.0f} MiB")


def main():
    parts = {"rate": rate, "open": open_ones}
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
