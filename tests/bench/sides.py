# SPDX-License-Identifier: MIT
"""sides.py - the two sides of a measurement, and one transfer between them"""

import glob
import gzip
import json
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))

from figures import row  # pylint: disable=wrong-import-position
from lib.clients import cpu_seconds  # pylint: disable=wrong-import-position
from lib.world import BUILD, find, read_line, run, wait_until  # pylint: disable=wrong-import-position

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = int(os.environ.get("SECONDS", "4"))
PAIR_PORT = 51900


def program(w, name):
    """The path of a program of this folder, where the world's users can read it."""
    path = w.path("bin", name)
    if not os.path.exists(path):
        run("cp", os.path.join(BUILD, "tests/bench", name), path)
    return path


def median(values):
    return statistics.median(values)


def version(tool):
    """The Debian version of an installed or unpacked program, else what it says itself."""
    path = find(tool)
    docs = os.path.join(os.path.dirname(os.path.realpath(path)), "../share/doc", tool)
    for changelog in sorted(glob.glob(docs + "/changelog.Debian*.gz")):
        with gzip.open(changelog, "rt", encoding="utf-8", errors="replace") as f:
            first = f.readline()
        if "(" in first:
            return f"{tool} {first.partition('(')[2].partition(')')[0]} ({path})"
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return f"{(done.stdout + done.stderr).splitlines()[0] if done.stdout + done.stderr else tool} ({path})"


class Wgwrap:
    """A client that stays up between measurements, as the TUN device does."""

    def __init__(self, w, conf=None, **environment):
        self.w, self.conf = w, conf or w.conf
        w.end_tunnels()
        self.environment = w.environment(**environment)
        self.keeper = w.start(w.wrap("sleep", "100000", conf=self.conf), env=self.environment)
        wait_until("the tunnel process", w.tunnels)
        self.pid = w.tunnels()[0]

    def argv(self, *argv):
        return self.w.wrap(*argv, conf=self.conf)

    def close(self):
        self.keeper.terminate()
        self.keeper.wait()
        self.w.end_tunnels()


def pair_conf(w):
    """Files of a wgwrap that serves in the peer's namespace, and of one that talks to it."""
    keys = {name: run(w.wgwrap, "genkey").strip() for name in ("server", "client")}
    pubs = {name: run(w.wgwrap, "pubkey", input=key + "\n").strip() for name, key in keys.items()}
    server = w.write("pair-server.conf", f"[Interface]\nPrivateKey = {keys['server']}\nAddress = 10.8.0.1/24\n"
                     f"ListenPort = {PAIR_PORT}\n[Peer]\nPublicKey = {pubs['client']}\nAllowedIPs = 10.8.0.2/32\n", 0o600)
    client = w.write("pair-client.conf", f"[Interface]\nPrivateKey = {keys['client']}\nAddress = 10.8.0.2/24\n"
                     f"[Peer]\nPublicKey = {pubs['server']}\nAllowedIPs = 10.8.0.0/24\n"
                     f"Endpoint = 192.0.2.1:{PAIR_PORT}\n", 0o600)
    return server, client


class Pair:
    """Two wgwraps: servers wrapped in the peer's namespace, a client in the test's own."""

    HOST = "10.8.0.1"

    def __init__(self, w):
        self.w = w
        w.end_tunnels()
        server, client = pair_conf(w)
        serve = f"trap 'kill $t $i' TERM; {program(w, 'traffic')} serve 5400 & t=$!; iperf3 -s & i=$!; wait"
        self.server = w.start(w.inside(w.peer_ns) + w.unprivileged() + [w.wgwrap, "-c", server, "--", "sh", "-c", serve],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              env=w.environment(XDG_RUNTIME_DIR=w.path("work")))
        read_line(self.server.stdout)
        self.server_pid = wait_until("the server's tunnel process", w.tunnels)[0]
        self.conf = client
        self.keeper = w.start(self.argv("sleep", "100000"))
        self.pid = wait_until("the client's tunnel process",
                              lambda: [pid for pid in w.tunnels() if pid != self.server_pid])[0]
        time.sleep(0.5)

    def argv(self, *argv):
        return self.w.unprivileged() + [self.w.wgwrap, "-c", self.conf, "--", *argv]

    def close(self):
        self.keeper.terminate()
        self.server.terminate()
        self.keeper.wait()
        self.server.wait()
        self.w.end_tunnels()


def iperf3(w, argv, host, *options):
    """One measurement: iperf3's own report. A slow path keeps the server busy with the end of the last one."""
    failures = 0
    for _ in range(20):
        done = w.finish_command(argv("iperf3", "-c", host, "-t", str(SECONDS), "-J", *options), SECONDS + 60)
        result = json.loads(done.stdout)
        if "error" not in result:
            return result["end"]
        if "busy" not in result["error"]:
            failures += 1
            row(f"failure {failures} of iperf3 {' '.join(options)}, tried again", result["error"])
        assert failures < 3, result["error"]
        time.sleep(1)
    raise AssertionError("iperf3's server is busy for ever")


def transfer(w, argv, pids, *options, host="10.9.0.1"):
    """
    One iperf3 run: Gbit/s received, and CPU seconds per 10^9 bytes of each process of @pids (name: pid) and of both
    iperf3, with what the kernel did for them.
    """
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    end = iperf3(w, argv, host, *options)
    gigabytes = end["sum_received"]["bytes"] / 1e9
    cpu = {name: (cpu_seconds(pid) - before[name]) / gigabytes for name, pid in pids.items()}
    share = end["cpu_utilization_percent"]
    cpu["iperf3"] = (share["host_total"] + share["remote_total"]) / 100 * SECONDS / gigabytes
    return end["sum_received"]["bits_per_second"] / 1e9, cpu


def medians(results):
    """Of several transfers: median rate, and each process's median cost."""
    return median(rate for rate, _ in results), {name: median(cpu[name] for _, cpu in results) for name in results[0][1]}


def costs(cpu):
    return ", ".join(f"{name} {value:.2f}" for name, value in cpu.items())
