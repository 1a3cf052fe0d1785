#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
passwords.py - what clients of `wgwrap proxy` send as their passwords does not stay in memory

Looks at all memory that the tunnel process and the TLS process may write. They are not dumpable, so that only root may.
"""

import base64
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import tap  # noqa: E402
from lib.proxied import SERVER, read_exactly, socks_address  # noqa: E402
from lib.secured import Secured, Tls  # noqa: E402
from lib.tap import test  # noqa: E402
from lib.world import wait_until  # noqa: E402

ECHO = 4007
NAME, PASSWORD = b"quince-xylophone-tablet", b"Vermilion.Kettle+Harpsichord#31"
PART_BYTES = 12
SHADOW_BYTES = 1 << 30  # what is larger is a sanitizer's, and has no bytes of the program's
BASIC = base64.b64encode(NAME + b":" + PASSWORD)
PASSED = b"\1" + bytes([len(NAME)]) + NAME + bytes([len(PASSWORD)]) + PASSWORD  # RFC 1929
# "NAME:" is whole groups of three bytes, so that base64 of the password is a part of BASIC. A part survives where
# something has been written over the rest.
PARTS = [part for text in (PASSWORD, base64.b64encode(PASSWORD)) for part in (text[:PART_BYTES], text[-PART_BYTES:])]


def leftovers(pid):
    """The parts of the password in a process's memory, and where."""
    found = []
    try:
        memory = open(f"/proc/{pid}/mem", "rb", 0)
    except PermissionError:
        tap.skip("may not look into other processes' memory")
    with memory, open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        for line in maps:
            span, mode = line.split()[:2]
            begin, end = (int(at, 16) for at in span.split("-"))
            if not mode.startswith("rw") or end - begin > SHADOW_BYTES:
                continue
            try:
                memory.seek(begin)
                data = memory.read(end - begin)
            except OSError:
                continue  # device memory, or gone
            found += [(part, line.strip()) for part in PARTS if part in data]
    return found


class Told(Secured):
    """A proxy without TLS and one with; the processes that see what clients send."""

    def __init__(self):
        super().__init__()
        users = self.write("secret", f"{NAME.decode()}:{PASSWORD.decode()}\n")
        listeners = ("--socks5", "127.0.0.1:0", "--http", "127.0.0.1:0", "--users", users)
        plain = self.start(*listeners, ready="(HTTP)")
        tls = self.tls(*listeners, ready="(HTTP over TLS)")
        self.pids = {"tunnel": self.tunnel()["pid"], "TLS": self.tls_process(tls)[0]}
        self.clients = ((lambda n: self.connect(plain, n)), (lambda n: Tls(self, tls.port(n))))

    def forgotten(self):
        """What their memory holds must be wiped by the time that a client has its answer."""
        for name, pid in self.pids.items():
            assert not leftovers(pid), (name, leftovers(pid))


def login(s, passed):
    """What a SOCKS server says to a name and a password."""
    s.sendall(b"\5\1\2")
    assert read_exactly(s, 2) == b"\5\2"
    s.sendall(passed)
    return read_exactly(s, 2)


def head(s):
    """The head of an HTTP response."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += read_exactly(s, 1)
    return data


@test("SOCKS: once it is answered, the password that was right or wrong is forgotten, with TLS and without")
def _(w):
    for connect in w.clients:
        with connect(0) as s:
            assert login(s, PASSED) == b"\1\0"
            w.forgotten()
            s.sendall(b"\5\1\0" + socks_address(SERVER, ECHO) + b"early")
            assert read_exactly(s, 10)[:2] == b"\5\0" and read_exactly(s, 5) == b"early"
            w.forgotten()
        with connect(0) as s:
            assert login(s, PASSED[:-1] + b"2") == b"\1\1"
            w.forgotten()


@test("HTTP: the same of Basic credentials, base64 and decoded; CONNECT, absolute form, a long head")
def _(w):
    fields = b"Proxy-Authorization: Basic %s\r\n%s\r\n"
    wrong = base64.b64encode(b"somebody:" + PASSWORD)
    for connect in w.clients:
        for line, status in ((b"CONNECT %s:%d HTTP/1.1\r\n" % (SERVER.encode(), ECHO), b"200"),
                             (b"GET http://%s:8080/x HTTP/1.1\r\nHost: x\r\n" % SERVER.encode(), b"200"),
                             (b"GET not-absolute HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", b"400")):
            for more in (b"", b"X: %s\r\n" % (b"x" * 5000)):
                with connect(1) as s:
                    s.sendall(line + fields % (BASIC, more))
                    assert head(s).split()[1] == status, line
                    if status == b"200":
                        w.forgotten()
        with connect(1) as s:
            s.sendall(b"CONNECT a.test:1 HTTP/1.1\r\n" + fields % (wrong, b""))
            assert head(s).split()[1] == b"407"
            w.forgotten()
    wait_until("the end of those that got 400", lambda: not any(map(leftovers, w.pids.values())))


@test("a password that is not whole is there while its client is, and no longer")
def _(w):
    for n, begun in enumerate((b"\5\1\2" + PASSED[:-1],
                               b"CONNECT a.test:1 HTTP/1.1\r\nProxy-Authorization: Basic " + BASIC + b"\r\n")):
        for connect in w.clients:
            with connect(n) as s:
                s.sendall(begun)
                wait_until("it is there", lambda: leftovers(w.pids["tunnel"]))
                wait_until("the TLS process has passed it on", lambda: not leftovers(w.pids["TLS"]))
            wait_until("it is gone", lambda: not leftovers(w.pids["tunnel"]))


if __name__ == "__main__":
    tap.main(Told)
