#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
capture.py - what capturing costs: microseconds a call, side by side; a gigabyte from a direct destination; reported calls

usage: capture.py [reported]		reported: the calls alone, no times

The same program natively (to the servers, by a veth), preloaded, and supervised. Connecting goes to a listener on the
client's own loopback, so that no round trip of a tunnel is in it.
"""

import os
import re
import shutil
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))

from figures import row, section  # pylint: disable=wrong-import-position
from lib import servers, world  # pylint: disable=wrong-import-position

world.enter()

MEASURES = ("getppid", "write and read, AF_UNIX", "getpeername", "getsockopt(TCP_NODELAY)", "socket and close",
            "socket, connect and close", "sendto of a datagram", "read of a datagram, connected", "write of a datagram, connected")
PORT = 4700
ROUNDS = 3
SERVER = f"import socket\ns = socket.create_server(('127.0.0.1', {PORT}), backlog=512)\nprint('ready', flush=True)\n" \
    "while True: s.accept()[0].close()"
GIGABYTE_PORT = 4701
GIGABYTE = f"""
import socket
s = socket.create_server(('127.0.0.1', {GIGABYTE_PORT}))
piece = memoryview(bytes(1 << 20))
print('ready', flush=True)
while True:
    c = s.accept()[0]
    c.recv(4096)
    c.sendall(b'HTTP/1.0 200 OK\\r\\nContent-Length: 1000000000\\r\\n\\r\\n')
    left = 1000000000
    while left:
        left -= c.send(piece[:left])
    c.close()
"""
ASYNCIO = """
import asyncio
async def fetch():
    r, w = await asyncio.open_connection('10.9.0.1', 80)
    w.write(b'GET / HTTP/1.0\\r\\n\\r\\n')
    assert await r.read()
    w.close()
asyncio.run(fetch())
"""


def values(w, argv):
    done = w.finish_command(argv, 120)
    if done.returncode:
        raise RuntimeError(done)
    return [float(value) for value in done.stdout.split()]


def costs(w):
    w.start_server("here", ["python3", "-c", SERVER], ready="ready", ns=0)
    shutil.copy(os.path.join(world.BUILD, "tests/bench/calls"), w.path("programs", "calls"))
    argv = [w.path("programs", "calls"), "127.0.0.1", str(PORT)]
    ways = {"native": [*w.unprivileged(), *argv], "preloaded": w.wrap(*argv),
            "supervised": w.wrap(*argv, options=["--capture=supervisor"])}
    best = {way: [1e9] * len(MEASURES) for way in ways}
    for _ in range(ROUNDS):
        for way, command in ways.items():
            best[way] = [min(pair) for pair in zip(best[way], values(w, command))]
    row("microseconds, median (best of three)", " / ".join(ways))
    for i, name in enumerate(MEASURES):
        row(f"  {name}", " / ".join(f"{best[way][i]:.2f}" for way in ways))


def direct(w):
    """A direct destination is relayed: what that costs."""
    w.start_server("gigabyte", ["python3", "-c", GIGABYTE], ready="ready", ns=0)
    argv = ["curl", "-sS", "--fail", "--noproxy", "*", "-o", "/dev/null", "-w", "%{time_total} %{size_download}",
            f"http://127.0.0.1:{GIGABYTE_PORT}/"]
    ways = {"native": [*w.unprivileged(), *argv], "wrapped": w.wrap(*argv)}
    times = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, command in ways.items():
            total, size = values(w, command)
            if size != 1e9:
                raise RuntimeError(f"{way}: {size} bytes")
            times[way].append(total)
    native, wrapped = (statistics.median(times[way]) for way in ways)
    row("1 GB over the host's loopback, native / wrapped", f"{native:.2f} s / {wrapped:.2f} s, {wrapped / native:.2f} times")


def reported(w):
    servers.web(w)
    fetch = {
        "curl, preloaded": (["curl", "-sS", "-o", "/dev/null", "http://10.9.0.1/"], []),
        "python asyncio, preloaded": (["/usr/bin/python3", "-c", ASYNCIO], []),
        "node, preloaded": (["node", "-e", "require('http').get('http://10.9.0.1/', r => r.resume())"], []),
        "curl, supervised": (["curl", "-sS", "-o", "/dev/null", "http://10.9.0.1/"], ["--capture=supervisor"]),
        "busybox wget": (["busybox", "wget", "-q", "-O", "/dev/null", "http://10.9.0.1/"], []),
    }
    if shutil.which("go"):
        cache = os.path.join(world.BUILD, "tests", "gocache")
        world.run("go", "build", "-o", w.path("programs", "go"), os.path.join(os.path.dirname(__file__), "../programs/go_net.go"),
                  env=dict(os.environ, GOCACHE=cache, GO111MODULE="off", CGO_ENABLED="0"))
        fetch["Go net/http"] = ([w.path("programs", "go"), "get", "http://10.9.0.1/"], [])
    for name, (argv, options) in fetch.items():
        if not shutil.which(argv[0]):
            row(f"reported calls, {name}", f"{argv[0]} is not installed")
        else:
            done = w.wrapped(*argv, options=["-vv", *options])
            found = re.search("system calls answered: (.*)", done.stderr)
            row(f"reported calls, {name}", found.group(1) if found else done.stderr)


def main():
    section("Calls and connections")
    w = world.World()
    try:
        if sys.argv[1:] != ["reported"]:
            costs(w)
            direct(w)
        reported(w)
    finally:
        w.sentry.stop()
        w.close()


main()
