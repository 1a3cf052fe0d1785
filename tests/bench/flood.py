#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
flood.py - a transfer and a new client while initiations with a right mac1 come from random addresses

	client namespace ---veth--- peer namespace ---veth--- flood namespace
	  wgwrap iperf3 -c -R         the server: wireguard-go,   flood.c: one core, IPv4 sources
	  wgwrap, another key         then wgwrap                 drawn from all unicast addresses

For each server, in one table: the transfer's rate before and during the flood, what the server's peak of resident
memory grew by, how much of a core it took, how many initiations the kernel handed to nobody, and how long clients that
were not there before need for their first handshake; one starts every second, the last early enough for a third try.
Client, server and flood share the machine's cores: read the columns against each other.

FLOOD_S: seconds of each flood; with the default the whole takes about 80 seconds. FLOOD_SERVERS: "wgwrap",
"wireguardgo" or both. FLOOD_MAC2=mac2: initiations that claim to have a cookie. FLOOD_NICE: the flood's priority; -20
gives it a core of its own. FLOOD_VERBOSE: each second's rate.
"""

import json
import os
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))

from lib import servers, world  # pylint: disable=wrong-import-position
from lib.world import find, run, wait_until  # pylint: disable=wrong-import-position

world.enter()

CALM_S, FLOOD_S = 6, int(os.environ.get("FLOOD_S", "26"))
MAC2 = os.environ.get("FLOOD_MAC2", "").split()
NICE = os.environ.get("FLOOD_NICE", "0")
OWN_PORT = 51821
THIRD_TRY_S = 12
NEW_CLIENTS = FLOOD_S - 2 - THIRD_TRY_S
COLUMNS = "{:14} {:>13} {:>8} {:>8} {:>6} {:>12} {:>12} {:>6} {:>7}   {}"
HEADS = ("server", "initiations/s", "Mbit/s", "flooded", "kept", "memory, MiB", "growth, MiB", "core", "unread",
         "new clients, s")


def peak_kib(pid):
    """The most memory that was resident so far."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        fields = dict(line.split(":", 1) for line in f)
    return int(fields["VmHWM"].split()[0])


def cpu_s(pid):
    """The processor time it used so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Flooded:
    """The world with a third side that floods. No sentry: it would have to look at every frame."""

    def __init__(self):
        self.w = world.World()
        self.w.sentry.stop()
        w = self.w
        self.ns = w.namespace()
        run("ip", "link", "add", "flood0", "type", "veth", "peer", "name", "flood0", "netns", str(self.ns))
        w.at(0, "ip", "link", "set", "flood0", "netns", str(w.peer_ns))
        w.addresses(self.ns, "flood0", "198.18.0.2/30")
        w.addresses(w.peer_ns, "flood0", "198.18.0.1/30")
        # answers to the flood's sources go back there, and end there
        w.at(w.peer_ns, "ip", "neigh", "replace", "198.18.0.2", "lladdr", self.mac(self.ns), "dev", "flood0")
        w.at(w.peer_ns, "ip", "route", "add", "default", "via", "198.18.0.2")
        for name in ("all", "flood0"):
            w.at(w.peer_ns, "sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=0")

    def mac(self, ns):
        return json.loads(self.w.at(ns, "ip", "-j", "link", "show", "flood0"))[0]["address"]

    def flood(self, port, public):
        program = os.path.join(world.BUILD, "tests/bench/flood")
        flood = [program, "flood0", self.mac(self.w.peer_ns), "198.18.0.1", str(port), public, str(FLOOD_S), *MAC2]
        return self.w.start(self.w.inside(self.ns) + ["nice", "-n", NICE, *flood], stdout=subprocess.PIPE, text=True)


class WireguardGo:
    name = "wireguard-go"

    def __init__(self, f):
        w = f.w
        self.port, self.inner = world.PORT, "10.9.0.1"
        self.public, self.pid = w.pub["peer"], w.wireguard_go.pid
        self.conf = w.conf
        self.new_confs = []
        for number in range(10, 10 + NEW_CLIENTS):
            key, public = w.key_pair()
            w.at(w.peer_ns, find("wg"), "set", "wg0", "peer", public, "allowed-ips", f"10.9.0.{number}/32")
            text = config(w, key, number, self.public, self.port)
            self.new_confs.append(w.write(f"new-go{number}.conf", text, 0o600))
        servers.iperf3(w)


class Wgwrap:
    name = "wgwrap"

    def __init__(self, f):
        w = f.w
        self.port, self.inner = OWN_PORT, "10.9.0.7"
        key, self.public = w.key_pair()
        text = f"[Interface]\nPrivateKey = {key}\nAddress = 10.9.0.7/32\nListenPort = {OWN_PORT}\n"
        confs = []
        for number in range(9, 10 + NEW_CLIENTS):
            key, public = w.key_pair()
            text += f"[Peer]\nPublicKey = {public}\nAllowedIPs = 10.9.0.{number}/32\n"
            confs.append(w.write(f"to-server{number}.conf",
                                 config(w, key, number, self.public, OWN_PORT, "10.9.0.7"), 0o600))
        self.conf, *self.new_confs = confs
        server = w.write("server.conf", text, 0o600)
        log = open(w.path("server.log"), "w", encoding="utf-8")
        w.end_tunnels()
        w.start(w.inside(w.peer_ns) + [w.wgwrap, "-c", server, "--", "iperf3", "-s"], stdout=log, stderr=log)
        self.pid = wait_until("the server's tunnel process", w.tunnels)[0]
        time.sleep(1)


def config(w, key, number, public, port, inner="10.9.0.1"):
    psk = f"PresharedKey = {w.psk}\n" if number == 2 and port == world.PORT else ""
    return (f"[Interface]\nPrivateKey = {key}\nAddress = 10.9.0.{number}/32\n[Peer]\nPublicKey = {public}\n{psk}"
            f"AllowedIPs = {inner}/32\nEndpoint = 192.0.2.1:{port}\n")


def transfer(w, server, seconds):
    return w.start(w.unprivileged() + [w.wgwrap, "-c", server.conf, "--", "iperf3", "-c", server.inner, "-R", "-J",
                                       "-t", str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def new_clients(w, confs, end):
    """Starts one after the other. Returns how long each needs for its first handshake, in order, as text."""
    took = [None] * len(confs)

    def run_one(i, limit):
        began = time.monotonic()
        done = w.finish_command(w.unprivileged() + [w.wgwrap, "-c", confs[i], f"--wait={limit:.0f}s", "--", "true"], 90)
        took[i] = time.monotonic() - began if done.returncode == 0 else None

    threads = []
    for i in range(len(confs)):
        threads.append(threading.Thread(target=run_one, args=(i, end - time.monotonic())))
        threads[-1].start()
        time.sleep(1)
    for thread in threads:
        thread.join()
    inside = sorted(t for t in took if t is not None)
    text = " ".join(f"{t:.1f}" for t in inside)
    return text + (f"; {len(confs) - len(inside)} of {len(confs)} not within {THIRD_TRY_S} s or more"
                   if len(inside) < len(confs) else "")


def unread(w, port):
    """How many datagrams to @port the kernel dropped because nobody took them."""
    dropped = 0
    for line in w.at(w.peer_ns, "cat", "/proc/net/udp", "/proc/net/udp6").splitlines():
        fields = line.split()
        if fields[0] != "sl" and int(fields[1].rsplit(":", 1)[1], 16) == port:
            dropped += int(fields[-1])
    return dropped


def rates_of(client):
    """Mbit/s of each second of the transfer, and what iperf3 said."""
    try:
        out, err = client.communicate(timeout=60)
        return [i["sum"]["bits_per_second"] / 1e6 for i in json.loads(out)["intervals"]], out + err
    except subprocess.TimeoutExpired:
        client.kill()
        return [], "it did not end"
    except (KeyError, ValueError):
        return [], out + err


def measure(f, server):
    """One row of the table."""
    w = f.w
    client = transfer(w, server, CALM_S + FLOOD_S + 4)
    time.sleep(CALM_S)
    before, unread_before, cpu = peak_kib(server.pid), unread(w, server.port), cpu_s(server.pid)
    flood = f.flood(server.port, server.public)
    began = time.monotonic()
    time.sleep(2)
    took = new_clients(w, server.new_confs, began + FLOOD_S)
    sent, per_second = (int(word) for word in flood.communicate()[0].split())
    cpu = (cpu_s(server.pid) - cpu) / (time.monotonic() - began)
    after, lost = peak_kib(server.pid), unread(w, server.port) - unread_before
    rates, said = rates_of(client)
    if len(rates) < CALM_S + FLOOD_S:
        return server.name, per_second, "-", "-", "-", "-", "-", "-", "-", "the transfer ended early: " + said[-300:]
    if os.environ.get("FLOOD_VERBOSE"):
        print(server.name, [round(r) for r in rates])
    calm = statistics.median(rates[2:CALM_S])
    stormy = statistics.median(rates[CALM_S + 2:CALM_S + FLOOD_S - 1])
    return (server.name, per_second, round(calm), round(stormy), f"{100 * stormy / calm:.0f} %", f"{before / 1024:.1f}",
            f"{(after - before) / 1024:+.1f}", f"{100 * cpu:.0f} %",
            f"{100 * lost / sent:.1f} %", took)


def main():
    rows, f = [], Flooded()
    try:
        for kind in (Wgwrap, WireguardGo):
            if kind.__name__.lower() in os.environ.get("FLOOD_SERVERS", "wgwrap wireguardgo"):
                f.w.end_tunnels()
                rows.append(measure(f, kind(f)))
    finally:
        f.w.close()
    for row in (HEADS, *rows):
        print(COLUMNS.format(*row).rstrip())


main()
