# SPDX-License-Identifier: MIT
"""clients.py - what the measurements compare wgwrap with, and how they count"""

import os
import subprocess
import time

from lib import world
from lib.world import find, run, wireguard_go_listens

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class TunClient:
    """A second peer of the same server: wireguard-go with a TUN device, in a namespace of its own."""

    ADDRESS, SERVER = "192.0.3.2", "192.0.3.1"

    def __init__(self, w):
        self.w = w
        self.ns = w.namespace()
        run("ip", "link", "add", "out1", "type", "veth", "peer", "name", "out0", "netns", str(self.ns))
        w.at(0, "ip", "link", "set", "out1", "netns", str(w.peer_ns))
        w.addresses(self.ns, "out0", f"{self.ADDRESS}/24")
        w.addresses(w.peer_ns, "out1", f"{self.SERVER}/24")
        key, self.public = w.key_pair()
        self.process = subprocess.Popen(w.inside(self.ns) + [find("wireguard-go"), "-f", "wg1"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        w.children.append(self.process)
        wireguard_go_listens("wg1")
        conf = (f"[Interface]\nPrivateKey = {key}\n[Peer]\nPublicKey = {w.pub['peer']}\nPresharedKey = {w.psk}\n"
                f"AllowedIPs = 10.9.0.1/32\nEndpoint = {self.SERVER}:{world.PORT}\n")
        run(*w.inside(self.ns), find("wg"), "setconf", "wg1", "/dev/stdin", input=conf)
        psk = w.write("psk", w.psk + "\n")
        w.at(w.peer_ns, find("wg"), "set", "wg0", "peer", self.public, "preshared-key", psk,
             "allowed-ips", "10.9.0.4/32")
        w.addresses(self.ns, "wg1", "10.9.0.4/32")
        w.at(self.ns, "ip", "link", "set", "wg1", "mtu", "1420")
        w.at(self.ns, "ip", "route", "add", "10.9.0.1", "dev", "wg1")
        w.at(w.peer_ns, "ip", "route", "add", "10.9.0.4", "dev", "wg0")

    def argv(self, *argv):
        return self.w.inside(self.ns) + list(argv)

    def go_through(self, port):
        """Sends to another port of the server: a relay's."""
        self.w.at(self.ns, find("wg"), "set", "wg1", "peer", self.w.pub["peer"],
                  "endpoint", f"{self.SERVER}:{port}")


def seconds(w, argv):
    began = time.monotonic()
    done = w.finish_command(argv, 120)
    took = time.monotonic() - began
    assert done.returncode == 0, done
    return took


def cpu_seconds(pid):
    """User and system time of a process with all its threads."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def memory_kib(pid, field):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith(field))


def highest_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))
