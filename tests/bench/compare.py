#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
compare.py - wgwrap side by side with a wireguard-go TUN client, against the same wireguard-go server

usage: compare.py [throughput] [pair] [small] [scale] [lossy]        (default: all)

  throughput	iperf3 up and down, 1 and 8 streams; CPU seconds per GB of the client's own process
  pair		two wgwraps, no wireguard-go
  small		start to first byte, one-byte round trips, connections per second
  scale		cost and memory with 10, 1,000 and 10,000 open connections
  lossy		one stream over a relay with delay, loss or a bottleneck

Clients take turns within a round; figures are medians over ROUNDS. The kernel's TCP work is in no figure of
the TUN client. WIREGUARD_GO names another wireguard-go than the one on PATH.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))

from lib import servers, world  # pylint: disable=wrong-import-position
from lib.clients import TunClient, cpu_seconds, highest_kib, memory_kib, row  # pylint: disable=wrong-import-position
from lib.world import BUILD, read_line, run, wait_until  # pylint: disable=wrong-import-position

world.enter()

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = int(os.environ.get("SECONDS", "4"))
RELAY_PORT = 51821
PAIR_PORT = 51900
PATHS = (  # round trip in ms, loss in %, Mbit/s, queue in packets
    (40, 0, 0, 0), (40, 0.1, 0, 0), (40, 1, 0, 0), (200, 0, 0, 0), (200, 0.1, 0, 0), (40, 0, 50, 100))


class Wgwrap:
    """A client that stays up between measurements, as the TUN device does."""

    def __init__(self, w, conf=None):
        self.w, self.conf = w, conf or w.conf
        w.wrap("true", conf=self.conf)  # ends the tunnel processes of other files
        self.keeper = w.start(w.wrap("sleep", "100000", conf=self.conf))
        wait_until("the tunnel process", w.tunnels)
        self.pid = w.tunnels()[0]

    def argv(self, *argv):
        return self.w.wrap(*argv, conf=self.conf)

    def close(self):
        self.keeper.terminate()
        self.keeper.wait()
        self.w.end_tunnels()


def program(w, name):
    return w.path("programs", name)


def iperf3(w, argv, host, *options):
    """One measurement: bits per second received, and bytes."""
    # a slow path keeps the server busy with the end of the last one
    for _ in range(20):
        done = w.finish_command(argv("iperf3", "-c", host, "-t", str(SECONDS), "-J", *options), SECONDS + 60)
        result = json.loads(done.stdout)
        if "busy" not in result.get("error", ""):
            break
        time.sleep(1)
    assert "error" not in result, result["error"]
    end = result["end"]["sum_received"]
    return end["bits_per_second"], end["bytes"]


def median(values):
    return statistics.median(values)


def measured(w, client, pid, *options, host="10.9.0.1"):
    """Gbit/s and CPU seconds per GB of process @pid."""
    before = cpu_seconds(pid)
    rate, count = iperf3(w, client.argv, host, *options)
    return rate / 1e9, (cpu_seconds(pid) - before) / (count / 1e9)


def throughput(w, tun):
    servers.iperf3(w)
    for name, options in (("up, 1 stream", ()), ("down, 1 stream", ("-R",)),
                          ("up, 8 streams", ("-P", "8")), ("down, 8 streams", ("-P", "8", "-R"))):
        client = Wgwrap(w)
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(measured(w, client, client.pid, *options))
            theirs.append(measured(w, tun, tun.process.pid, *options))
        rate, cost = (median(column) for column in zip(*ours))
        other_rate, other_cost = (median(column) for column in zip(*theirs))
        row(f"{name}: wgwrap", f"{rate:.2f} Gbit/s, {cost:.2f} CPU s/GB, "
            f"at most {highest_kib(client.pid) / 1024:.0f} MiB")
        row(f"{name}: wireguard-go TUN client", f"{other_rate:.2f} Gbit/s, {other_cost:.2f} CPU s/GB, "
            f"at most {highest_kib(tun.process.pid) / 1024:.0f} MiB")
        row("  ratio", f"{rate / other_rate:.2f} times the throughput, {cost / other_cost:.2f} of the CPU")
        client.close()


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

    def __init__(self, w):
        self.w = w
        server, client = pair_conf(w)
        self.server = w.start(
            w.inside(w.peer_ns) + w.unprivileged() + [w.wgwrap, "-c", server, "--", "sh", "-c",
                                                      "trap 'kill $t $i' TERM; "
                                                      f"{program(w, 'traffic')} serve 5400 & t=$!; iperf3 -s & i=$!; wait"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=w.environment(XDG_RUNTIME_DIR=w.path("work")))
        read_line(self.server.stdout)
        self.server_pid = wait_until("the server's tunnel process", w.tunnels)[0]
        self.conf = client
        self.keeper = w.start(self.argv("sleep", "100000"))
        self.client_pid = wait_until("the client's tunnel process",
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


def pair(w, _tun):
    both = Pair(w)
    for name, options in (("up", ()), ("down", ("-R",))):
        results = [measured(w, both, both.client_pid, *options, host="10.8.0.1") for _ in range(ROUNDS)]
        rate, cost = (median(column) for column in zip(*results))
        row(f"two wgwraps, 1 stream {name}", f"{rate:.2f} Gbit/s, {cost:.2f} CPU s/GB of the client's tunnel process")
    both.close()


def figure(done, name):
    for line in done.stdout.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    raise AssertionError(done)


def round_trips(w, client):
    done = w.finish_command(client.argv(program(w, "traffic"), "pingpong", "10.9.0.1", "5400", "3000"), 60)
    return figure(done, "median_us")


def first_byte_ms(w, argv):
    began = time.monotonic()
    done = w.finish_command(argv(program(w, "traffic"), "pingpong", "10.9.0.1", "5400", "1"), 60)
    assert done.returncode == 0, done
    return (time.monotonic() - began) * 1000


def small(w, tun):
    w.start_server("traffic", [program(w, "traffic"), "serve", "5400"])
    first_byte_ms(w, tun.argv)
    cold, warm, bare = [], [], []
    for _ in range(ROUNDS):
        w.end_tunnels()
        time.sleep(0.2)  # wireguard-go ignores an initiation within 50 ms of the last one
        cold.append(first_byte_ms(w, w.wrap))
    client = Wgwrap(w)
    for _ in range(ROUNDS):
        warm.append(first_byte_ms(w, client.argv))
        bare.append(first_byte_ms(w, lambda *argv: tun.argv(*w.unprivileged(), *argv)))
    row("start to first byte, cold; warm", f"{median(cold):.1f} ms; {median(warm):.1f} ms "
        f"(of which start of the same program in the TUN's namespace {median(bare):.1f} ms)")
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(round_trips(w, client))
        theirs.append(round_trips(w, tun))
    row("one byte there and back: wgwrap; TUN client", f"{median(ours):.0f} us; {median(theirs):.0f} us, "
        f"{median(ours) / median(theirs):.2f} of it")
    client.close()


def connection_rate(w, both, seconds):
    done = w.finish_command(both.argv(program(w, "traffic"), "connections", "10.8.0.1", "5400", str(seconds), "32"),
                            seconds + 60)
    assert done.returncode == 0, done
    return figure(done, "connections_per_s"), int(figure(done, "failed"))


def scale(w, _tun):
    both = Pair(w)
    before = memory_kib(both.client_pid, "Pss:")
    for _ in range(3):
        rate, failed = connection_rate(w, both, 20)
        row("connect, one byte each way, close; two wgwraps", f"{rate:.0f} per s, {failed} failed, "
            f"memory {before / 1024:.1f} to {memory_kib(both.client_pid, 'Pss:') / 1024:.1f} MiB")
    for count in (10, 1000, 10000):
        held = w.start(both.argv(program(w, "traffic"), "open", "10.8.0.1", "5400", str(count)),
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert read_line(held.stdout, 60) == f"open {count}\n"
        results = [measured(w, both, both.client_pid, "-R", host="10.8.0.1") for _ in range(ROUNDS)]
        rate, cost = (median(column) for column in zip(*results))
        row(f"{count} connections open, 1 stream down", f"{rate:.2f} Gbit/s, {cost:.2f} CPU s/GB, "
            f"{memory_kib(both.client_pid, 'Pss:') / 1024:.0f} MiB")
        held.stdin.close()
        held.wait()
    both.close()


def relay(w, address, path):
    rtt, loss, rate, queue = path
    return w.start_server(f"relay-{address}", [program(w, "relay"), address, str(RELAY_PORT), address, str(world.PORT),
                                               str(rtt / 2), str(loss), str(rate), str(queue)])


def lossy(w, tun):
    servers.iperf3(w)
    for ns in (w.peer_ns, tun.ns):
        w.at(ns, "sysctl", "-qw", "net.ipv4.tcp_congestion_control=bbr",
             "net.ipv4.tcp_rmem=4096 131072 33554432", "net.ipv4.tcp_wmem=4096 131072 33554432")
    conf = w.write("lossy.conf", w.config(endpoint=f"192.0.2.1:{RELAY_PORT}"), 0o600)
    tun.go_through(RELAY_PORT)
    for path in PATHS:
        relays = [relay(w, address, path) for address in ("192.0.2.1", tun.SERVER)]
        client = Wgwrap(w, conf)
        rtt, loss, rate, queue = path
        for name, options in (("up", ()), ("down", ("-R",))):
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(measured(w, client, client.pid, *options)[0])
                theirs.append(measured(w, tun, tun.process.pid, *options)[0])
            bottleneck = f", {rate} Mbit/s, {queue} packets" if rate else ""
            row(f"{rtt} ms, {loss} % loss{bottleneck}, {name}",
                f"{median(ours) * 1000:.0f} Mbit/s; Linux (BBR) over wireguard-go {median(theirs) * 1000:.0f}; "
                f"ratio {median(ours) / median(theirs):.2f}")
        client.close()
        for child in relays:
            child.send_signal(signal.SIGTERM)
            child.wait()
    tun.go_through(world.PORT)


def main():
    parts = {f.__name__: f for f in (throughput, pair, small, scale, lossy)}
    wanted = sys.argv[1:] or list(parts)
    if not set(wanted) <= set(parts):
        sys.exit(__doc__)
    w = world.World()
    try:
        for name in ("traffic", "relay"):
            run("cp", os.path.join(BUILD, "tests/bench", name), program(w, name))
        version = run(world.find("wireguard-go"), "--version").split("\n", maxsplit=1)[0]
        row("peer and TUN client", f"{version} ({world.find('wireguard-go')})")
        tun = TunClient(w)
        for name in wanted:
            parts[name](w, tun)
    finally:
        w.close()


main()
