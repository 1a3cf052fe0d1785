#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
idle.py - what wgwrap's processes do while nothing happens: wake-ups and resident memory

usage: idle.py

A wrapped program holds one TCP connection and waits. After SETTLE seconds (memory is given back, the peer's last
keepalive has come) the voluntary context switches of the tunnel process, the supervisor and the front are counted for
IDLE_SECONDS (120). Every one of them is a wake-up: none of these processes does anything but wait.
"""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))

from figures import row, section  # pylint: disable=wrong-import-position
from lib import world  # pylint: disable=wrong-import-position
from lib.clients import memory_kib  # pylint: disable=wrong-import-position
from lib.world import BUILD, comm, read_line, run  # pylint: disable=wrong-import-position

world.enter()

SETTLE = 15
IDLE_SECONDS = int(os.environ.get("IDLE_SECONDS", "120"))


def wake_ups(pid):
    """Voluntary context switches of all threads."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="ascii", errors="replace") as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt_switches"))
    return total


def main():
    section("Idle")
    w = world.World()
    try:
        program = w.path("programs", "traffic")
        os.makedirs(w.path("programs"), exist_ok=True)
        run("cp", os.path.join(BUILD, "tests/bench/traffic"), program)
        w.start_server("traffic", [program, "serve", "5400"])
        held = w.start(w.wrap(program, "open", "10.9.0.1", "5400", "1"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert read_line(held.stdout, 60) == "open 1\n"
        time.sleep(SETTLE)
        ours = [int(pid) for pid in filter(str.isdigit, os.listdir("/proc")) if w.is_wgwrap(pid)]
        before = {pid: wake_ups(pid) for pid in ours}
        time.sleep(IDLE_SECONDS)
        for pid in ours:
            row(f"{comm(pid)}: wake-ups in {IDLE_SECONDS} s, resident",
                f"{wake_ups(pid) - before[pid]}, {memory_kib(pid, 'Rss:') / 1024:.1f} MiB "
                f"(own share {memory_kib(pid, 'Pss:') / 1024:.1f} MiB)")
        held.stdin.close()
        held.wait()
    finally:
        w.close()


main()
