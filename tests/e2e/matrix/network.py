#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""network.py - the matrix: what network engineers look at paths with, through three routers behind the peer"""

import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import servers, tap, world  # noqa: E402
from lib.hops import FAR, FAR_MTU, HOPS, HopWorld  # noqa: E402
from lib.matrix import row  # noqa: E402
from lib.world import find, need  # noqa: E402

world.enter()

TUNNEL_MTU = 1420
PEER = {4: "10.9.0.1", 6: "fd09::1"}
FILTERED = "10.9.19.2"


def natively(w, *argv):
    """As w.native, but as the wrapped commands run: without privileges."""
    return w.finish_command(w.inside(w.native_ns) + w.unprivileged() + list(argv))


def hops_of(text):
    """Hop -> the addresses that a line of tracepath or traceroute names for it."""
    found = {}
    for hop, address in re.findall(r"^ ?(\d+):? +([0-9a-f.:]+[0-9a-f])", text, flags=re.M):
        found.setdefault(int(hop), set()).add(address)
    return found


def whole_path(family):
    return {1: {PEER[family]}, **{i + 2: {hop} for i, hop in enumerate(HOPS[family])}}


@row("tracepath: every hop, and the link with the small MTU, over both families")
def _(w):
    need("tracepath")
    for family in (4, 6):
        expected = whole_path(family)
        expected[4].add(HOPS[family][1])  # who says that the next link is small

        def traced(f=family):
            w.end_tunnels()  # the next one has not learned the path's MTU yet
            return w.ok("tracepath", f"-{f}", "-n", FAR[f])
        text = servers.third_time(traced, lambda out, e=expected: hops_of(out) == e)
        assert f"pmtu {TUNNEL_MTU}" in text and f"pmtu {FAR_MTU}" in text, text
        assert f"Resume: pmtu {FAR_MTU} hops 4 back 4" in text, text


@row("traceroute: every hop by UDP and by echo requests, and the link with the small MTU")
def _(w):
    need("traceroute")
    for family in (4, 6):
        for how in ((), ("-I",)):
            def traced(f=family, more=how):
                return w.ok("traceroute", f"-{f}", "-n", "-w", "3", *more, FAR[f])
            servers.third_time(traced, lambda out, f=family: hops_of(out) == whole_path(f))
    servers.third_time(lambda: w.ok("traceroute", "-n", "--mtu", FAR[4]),
                       lambda out: f"F={TUNNEL_MTU}" in out and f"F={FAR_MTU}" in out)
    servers.third_time(lambda: w.ok("traceroute", "-n", "-w", "3", FILTERED), lambda out: "!X" in out)


def refused_here(done, mtu):
    """In 2024 iputils began to say what sendmsg said, without a look at the error queue."""
    return f"local error: message too long, mtu={mtu}" in done.stderr or "sendmsg: Message too long" in done.stderr


def own_ping(w):
    """A copy of ping without capabilities: with them it would have a raw socket natively."""
    need("ping")
    path = w.path("bin", "ping")
    shutil.copyfile(find("ping"), path)
    os.chmod(path, 0o755)
    return path


@row("ping: which router a TTL reaches, who filters, what does not fit")
def _(w):
    ping = own_ping(w)
    for family, word in ((4, "Time to live exceeded"), (6, "Time exceeded: Hop limit")):
        for ttl, hop in enumerate((PEER[family], *HOPS[family][:2]), 1):
            done = w.wrapped(ping, "-n", "-c", "1", "-W", "20", "-t", str(ttl), FAR[family])
            assert done.returncode == 1 and f"From {hop} icmp_seq=1 {word}" in done.stdout, done
        assert "1 received" in w.ok(ping, "-n", "-c", "1", "-w", "60", "-t", "4", FAR[family])
    # Linux says that once a second only
    servers.third_time(lambda: w.wrapped(ping, "-n", "-c", "1", "-W", "5", FILTERED),
                       lambda done: f"From {HOPS[4][1]} icmp_seq=1 Packet filtered" in done.stdout)
    w.end_tunnels()  # what others have said of the path is forgotten
    done = w.wrapped(ping, "-n", "-c", "2", "-i", "0.5", "-W", "20", "-M", "do", "-s", str(FAR_MTU), FAR[4])
    assert f"From {HOPS[4][1]} icmp_seq=1 Frag needed and DF set (mtu = {FAR_MTU})" in done.stdout, done
    assert refused_here(done, FAR_MTU), done
    done = w.wrapped(ping, "-n", "-c", "1", "-W", "20", "-M", "do", "-s", str(TUNNEL_MTU), PEER[4])
    assert refused_here(done, TUNNEL_MTU), done
    # without -M the routers may make fragments of it
    assert "1 received" in w.ok(ping, "-n", "-c", "1", "-w", "60", "-M", "dont", "-s", str(FAR_MTU), FAR[4])


@row("dig: a closed port and a firewall's word end the wait")
def _(w):
    need("dig")
    for address, word in ((FAR[4], "connection refused"), (FILTERED, "host unreachable")):
        servers.third_time(lambda a=address: w.wrapped("dig", "+notcp", "+tries=1", "+time=5", f"@{a}", "web.test"),
                           lambda done, text=word: done.returncode == 9 and text in done.stdout + done.stderr)


REFUSALS = (("traceroute", "-n", "-T", FAR[4]), ("hping3", "-c", "1", "-2", FAR[4]), ("nmap", "-n", "-Pn", "-sU", FAR[4]))


@row("raw sockets: refused as to everybody without privileges")
def _(w):
    commands = [argv for argv in REFUSALS if find(argv[0])]
    if not commands:
        tap.skip("none of traceroute, hping3, nmap is installed")
    for argv in commands:
        native, wrapped = natively(w, *argv), w.wrapped(*argv)
        assert native.returncode == wrapped.returncode != 0, (native, wrapped)
        assert native.stdout + native.stderr == wrapped.stdout + wrapped.stderr, (native, wrapped)


tap.main(HopWorld, HopWorld.FINAL_CHECKS)
