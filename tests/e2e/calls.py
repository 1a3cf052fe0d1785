#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
calls.py - which system calls a program makes, counted: natively and wrapped

What moves data on a connection is one call wrapped as it is natively, and the same one, but that write(2) goes out as
sendto(2) (for its MSG_NOSIGNAL, preload/stream.c). On a connected UDP socket it is one call, too: recvmsg(2) for what reads, which tells
what read(2) would not. Opening a connection costs more calls; their number is bounded here.
"""

import collections
import re

from lib import servers, world
from lib.tap import test
from lib.serving import text_of
from lib.world import need

ROUNDS = 50
OPEN_CALLS_MAX = 18
ECHO = """
import socket, sys, threading
def serve(c):
    while (data := c.recv(65536)):
        c.sendall(data)
    c.close()
s = socket.create_server((sys.argv[1], 4010), backlog=512)
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""


world.enter()


UDP_ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 4010))
print("ready", flush=True)
while True:
    s.sendto(*s.recvfrom(65536))
"""


@servers.once
def echo(w):
    for program in (ECHO, UDP_ECHO):
        assert world.read_line(servers.peer_python(w, program, "10.9.0.1").stdout) == "ready\n"


def calls(w, run, *kind):
    """The names of the calls of trips.c, in its three parts: before, moving data, opening."""
    need("strace")
    echo(w)
    trace = w.path("work", f"calls-{run.__name__}")
    done = run("strace", "-qq", "-o", trace, w.path("programs", "trips"), "10.9.0.1", "4010", str(ROUNDS), *kind)
    assert done.stdout == f"{3 * ROUNDS} trips\n", done
    names = re.findall(r"^(\w+)\(", text_of(trace), flags=re.M)
    parts = " ".join(names).split("getppid")
    assert len(parts) == 4, names
    return [part.split() for part in parts]


@test("read, write, poll and the like on a connection make no other call than natively")
def _(w):
    native, wrapped = calls(w, w.native)[1], calls(w, w.wrapped)[1]
    assert native[:3] == ["write", "poll", "read"] and len(native) == 9 * ROUNDS, native[:20]
    assert wrapped == ["sendto" if name == "write" else name for name in native], collections.Counter(wrapped)


@test("read, write, send, recv, poll and the like on a connected UDP socket are as many calls as natively, from the first one on")
def _(w):
    native, wrapped = calls(w, w.native, "udp")[1], calls(w, w.wrapped, "udp")[1]
    assert native[:3] == ["write", "poll", "read"] and len(native) == 9 * ROUNDS, native[:20]
    same = {"write": "sendto", "writev": "sendmsg", "read": "recvmsg", "recvfrom": "recvmsg", "readv": "recvmsg"}
    assert wrapped == [same.get(name, name) for name in native], collections.Counter(wrapped)


@test(f"opening and closing a connection is at most {OPEN_CALLS_MAX} calls of the program")
def _(w):
    native, wrapped = calls(w, w.native)[2], calls(w, w.wrapped)[2]
    assert native == ["socket", "connect", "close"] * ROUNDS, native[:10]
    assert len(wrapped) <= OPEN_CALLS_MAX * ROUNDS, collections.Counter(wrapped)
    print(f"# {len(wrapped) / ROUNDS:.1f} calls: " +
          ", ".join(f"{name} {n / ROUNDS:.1f}" for name, n in collections.Counter(wrapped).most_common()))


world.main()
