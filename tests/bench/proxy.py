#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
proxy.py - SOCKS 5: throughput, requests per second, CPU per byte; wgwrap, wireproxy if on PATH, microsocks as the bound;
wgwrap's https:// proxy, by CONNECT

microsocks reaches the same server without a tunnel: no proxy that encrypts gets past it. The others use the same
wireguard-go server with the same key, so only one runs at a time. Proxies take turns within a round; figures are medians
over ROUNDS. The client is curl, whose own cost is in all rates and in no CPU figure.
"""

import os
import shutil
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))

from figures import row, section  # pylint: disable=wrong-import-position
from lib import servers, world  # pylint: disable=wrong-import-position
from lib.clients import cpu_seconds, highest_kib, seconds  # pylint: disable=wrong-import-position
from lib.world import BIG_BYTES, find, wait_until  # pylint: disable=wrong-import-position

world.enter()

ROUNDS = int(os.environ.get("ROUNDS", "5"))
FILES = int(os.environ.get("FILES", "8"))  # of 64 MiB, one after the other
REQUESTS = int(os.environ.get("REQUESTS", "3000"))
PARALLEL = 16
PORT = 1080


class Proxy:
    """One of those compared: a command in a namespace, and the processes whose time counts."""

    def __init__(self, w, name, argv, ns=None, reach=("-x", f"socks5://127.0.0.1:{PORT}")):
        self.w, self.name, self.argv, self.ns, self.reach = w, name, argv, ns, reach
        self.samples = {}
        self.highest = 0

    def enter(self):
        return self.w.inside(self.ns) if self.ns else []

    def start(self):
        self.log = open(self.w.path(f"{self.name}.log"), "w", encoding="utf-8")
        self.child = self.w.start(self.enter() + self.argv, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        probe = self.client("-o", "/dev/null", "http://10.9.0.1/address")
        wait_until(f"{self.name}: see {self.log.name}",
                   lambda: subprocess.run(probe, capture_output=True, check=False).returncode == 0, 20)

    def client(self, *arguments):
        return self.enter() + ["curl", "-sS", "--fail", *self.reach, *arguments]

    def pids(self):
        return [self.child.pid] + (self.w.tunnels() if "wgwrap" in self.name else []) + self.tls_pids()

    @staticmethod
    def tls_pids():
        return world.processes("wgwrap-tls")

    def timed(self, *arguments):
        """Wall-clock and CPU seconds of one load."""
        before = sum(map(cpu_seconds, self.pids()))
        took = seconds(self.w, self.client(*arguments))
        return took, sum(map(cpu_seconds, self.pids())) - before

    def note(self, what, value):
        self.samples.setdefault(what, []).append(value)

    def measure(self):
        tls = sum(map(cpu_seconds, self.tls_pids()))
        took, cpu = self.timed("-o", "/dev/null", f"http://10.9.0.1/big.bin?[1-{FILES}]")
        gigabytes = FILES * BIG_BYTES / 1e9
        self.note("TLS CPU s/GB", (sum(map(cpu_seconds, self.tls_pids())) - tls) / gigabytes)
        self.note("Gbit/s", gigabytes * 8 / took)
        self.note("CPU s/GB", cpu / gigabytes)
        took, cpu = self.timed("-Z", "--parallel-max", str(PARALLEL), "-o", "/dev/null", "-H", "Connection: close",
                               f"http://10.9.0.1/address?[1-{REQUESTS}]")
        self.note("requests/s", REQUESTS / took)
        self.note("CPU us/request", cpu / REQUESTS * 1e6)
        self.highest = max(self.highest, sum(map(highest_kib, self.pids())))

    def stop(self):
        self.child.terminate()
        self.child.wait(20)
        self.log.close()
        self.w.end_tunnels()


def proxies(w):
    yield Proxy(w, "wgwrap", w.unprivileged() + [w.wgwrap, "proxy", "-c", w.conf, "--socks5", str(PORT), "--any-user"])
    if find("openssl"):
        cert = w.path("proxy.pem")  # and its key
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                        "/CN=127.0.0.1", "-days", "2", "-keyout", cert, "-out", w.path("cert")], check=True, capture_output=True)
        with open(cert, "a", encoding="ascii") as both, open(w.path("cert"), encoding="ascii") as more:
            both.write(more.read())
            os.chmod(cert, 0o644)  # of nobody else's use
        yield Proxy(w, "wgwrap over TLS", w.unprivileged() + [w.wgwrap, "proxy", "-c", w.conf, "--http", str(PORT), "--any-user",
                                                              "--tls-cert", cert],
                    reach=("-p", "--proxy-insecure", "-x", f"https://127.0.0.1:{PORT}"))
    if shutil.which("wireproxy"):
        conf = w.write("wireproxy.conf", f"WGConfig = {w.conf}\n[Socks5]\nBindAddress = 127.0.0.1:{PORT}\n")
        yield Proxy(w, "wireproxy", [shutil.which("wireproxy"), "-s", "-c", conf])
    else:
        print("# wireproxy is not on PATH")
    if find("microsocks"):
        yield Proxy(w, "microsocks", [find("microsocks"), "-i", "127.0.0.1", "-p", str(PORT)], w.native_ns)
    else:
        print("# microsocks is not installed (the group develop of tests/deps.sh)")


def main():
    w = world.World()
    try:
        section("Proxies")
        servers.web(w)
        compared = list(proxies(w))
        for _ in range(ROUNDS):
            for proxy in compared:
                proxy.start()
                proxy.measure()
                proxy.stop()
        first = {what: statistics.median(values) for what, values in compared[0].samples.items()}
        for proxy in compared:
            at = {what: statistics.median(values) for what, values in proxy.samples.items()}
            row(f"{'HTTP CONNECT' if '-p' in proxy.reach else 'SOCKS 5'}, {proxy.name}{' without a tunnel' if proxy.ns else ''}",
                f"{at['Gbit/s']:.2f} Gbit/s, {at['CPU s/GB']:.2f} CPU s/GB; {at['requests/s']:.0f} requests/s on new connections, "
                f"{at['CPU us/request']:.0f} CPU us each; at most {proxy.highest / 1024:.0f} MiB")
            if at["TLS CPU s/GB"]:
                row("  of which the TLS process", f"{at['TLS CPU s/GB']:.2f} CPU s/GB")
            if proxy is not compared[0]:
                row("  wgwrap's ratio", f"{first['Gbit/s'] / at['Gbit/s']:.2f} of the throughput, "
                    f"{first['requests/s'] / at['requests/s']:.2f} of the requests/s")
    finally:
        w.close()


main()
