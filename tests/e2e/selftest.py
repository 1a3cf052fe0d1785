#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""selftest.py - the leak sentry sees what it must see, and the servers work without wgwrap"""

import subprocess

from lib import servers, world
from lib.sentry import Sentry
from lib.tap import test

world.enter()

LEAK = """
import socket, time
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.sendto(b"x", ("192.0.2.1", 9))
t = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
t.connect_ex(("2001:db8::1", 9))
t = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
t.bind(("::", 7777))
t.listen()
time.sleep(600)
"""


@test("the sentry sees a packet that leaves and a socket that stays")
def _(w):
    own = Sentry("out0", {"192.0.2.1"}, {world.PORT}, w.is_wgwrap)
    with subprocess.Popen(["python3", "-c", LEAK]) as child:
        try:
            # the world's own looks by itself, and is to have seen all of it, too, before it ends
            for sentry in (own, w.sentry):
                world.wait_until("what leaks", lambda: any("0x86dd" in leak for leak in sentry.leaks) and
                                 all(any(table in s for s in sentry.sockets) for table in ("udp:", "tcp6:")))
        finally:
            child.kill()
    own.stop()
    w.sentry.leaks.clear()
    w.sentry.sockets.clear()
    assert any("0x0800" in leak for leak in own.leaks), own.leaks
    assert any("0x86dd" in leak for leak in own.leaks), own.leaks
    assert any("udp:" in s for s in own.sockets) and any("tcp6:" in s for s in own.sockets), own.sockets


@test("web, DNS and ssh servers answer on the kernel's stack")
def _(w):
    servers.web(w)
    servers.dns(w)
    page = w.native("curl", "-sS", "http://10.9.0.1/")
    assert page.stdout == "behind the tunnel\n", page
    page = w.native("curl", "-sS", "--cacert", w.path("tls.crt"), "https://[fd09::1]/")
    assert page.stdout == "behind the tunnel\n", page
    answer = w.native("dig", "+short", "@10.9.0.1", "big.test", "TXT").stdout
    assert len(answer) > 4000, answer
    command = servers.ssh(w)
    done = w.native(*command, "10.9.0.1", "echo over ssh")
    assert done.stdout == "over ssh\n", (done.stderr, w.describe())


@test("the black hole is silent, the unreachable network is answered")
def _(w):
    hole = w.native("ping", "-c1", "-W1", "10.9.1.1").stdout
    assert "100% packet loss" in hole and "nreachable" not in hole, hole
    answer = w.native("ping", "-c1", "-W20", "10.9.2.1").stdout
    assert "Destination Host Unreachable" in answer, answer


world.main()
