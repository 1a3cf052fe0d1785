#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
basic.py - cold start, memory, and a 64 MiB download side by side with a wireguard-go TUN client

Everything is measured in one run on one machine against the same wireguard-go peer, the two downloads in
turns. Numbers of a shared or busy machine are noise: compare columns, not runs.
"""

import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))

from figures import row, section  # pylint: disable=wrong-import-position
from lib import servers, world  # pylint: disable=wrong-import-position
from lib.clients import TunClient, memory_kib, seconds  # pylint: disable=wrong-import-position
from lib.world import wait_until  # pylint: disable=wrong-import-position

world.enter()

ROUNDS = 5


def no_tunnels(w):
    for pid in w.tunnels():
        os.kill(pid, 9)
    wait_until("the end of the tunnel process", lambda: not w.tunnels())


def cold_start(w):
    times = []
    for _ in range(ROUNDS * 2):
        no_tunnels(w)
        time.sleep(0.2)  # wireguard-go ignores an initiation within 50 ms of the last one
        times.append(seconds(w, w.wrap("true")) * 1000)
    row("cold start of `wgwrap -c peer.conf true`, median", f"{statistics.median(times):.0f} ms")
    bare = statistics.median(seconds(w, w.unprivileged() + ["true"]) * 1000 for _ in range(ROUNDS))
    row("  of which are the test's own", f"{bare:.0f} ms")


def memory(w):
    no_tunnels(w)
    inside = w.start(w.wrap("sleep", "60"), stdout=subprocess.DEVNULL)
    plain = w.start(w.unprivileged() + ["sleep", "60"], stdout=subprocess.DEVNULL)
    tunnel = wait_until("the tunnel process", w.tunnels)[0]
    time.sleep(1)
    wrapped = [pid for pid in world.processes("sleep") if pid != plain.pid and
               os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net")][0]
    row("idle tunnel process, resident (Pss)",
        f"{memory_kib(tunnel, 'Rss:') / 1024:.1f} MiB ({memory_kib(tunnel, 'Pss:') / 1024:.1f} MiB)")
    added = [memory_kib(wrapped, f) - memory_kib(plain.pid, f) for f in ("Private_Dirty:", "Rss:")]
    row("what the shared object adds to `sleep`, private (resident)", f"{added[0]} KiB ({added[1]} KiB)")
    inside.terminate()
    plain.terminate()
    inside.wait()


def download(w):
    servers.web(w)
    tun = TunClient(w)
    curl = ("curl", "-sS", "--fail", "-o", "/dev/null", "http://10.9.0.1/big.bin")
    keeper = w.start(w.wrap("sleep", "300"))
    wait_until("the tunnel process", w.tunnels)
    times = {"wgwrap": [], "wireguard-go TUN client": [], "no tunnel": []}
    for _ in range(ROUNDS):
        times["wgwrap"].append(seconds(w, w.wrap(*curl)))
        times["wireguard-go TUN client"].append(seconds(w, tun.argv(*curl)))
        times["no tunnel"].append(seconds(w, w.inside(w.native_ns) + list(curl)))
    keeper.terminate()
    base = statistics.median(times["wireguard-go TUN client"])
    for name, values in times.items():
        median = statistics.median(values)
        row(f"64 MiB with curl, {name}", f"{median:.2f} s, {base / median:.2f} times wireguard-go's speed")


def main():
    section("Start, memory, a download")
    w = world.World()
    try:
        cold_start(w)
        memory(w)
        download(w)
    finally:
        w.close()


main()
