#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
sharing.py - a proxy on a host with other users, and one whose tunnel process dies
"""

import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import tap  # noqa: E402
from lib.proxied import SERVER, WGWRAP, Proxied, read_all, socks  # noqa: E402
from lib.tap import test  # noqa: E402
from lib.world import wait_until  # noqa: E402


def as_user(uid):
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]


CONNECT = """
import socket, sys
try:
    s = socket.socket(socket.AF_UNIX if sys.argv[1].startswith("/") else socket.AF_INET)
    s.settimeout(60)
    s.connect(sys.argv[1] if sys.argv[1].startswith("/") else ("127.0.0.1", int(sys.argv[1])))
    s.sendall(b"\\5\\1\\0")
    print(s.recv(2))
except OSError as e:
    print(type(e).__name__)
"""


@test("another user of the host: refused on loopback and on the unix socket, let in by --any-user")
def _(w):
    if os.geteuid() != 0:
        tap.skip("needs root, to be two other users")
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    os.chmod(w.dir, 0o755)
    path = w.path("shared.sock")
    own, other = 65533, 65532
    os.mkdir(w.path("run-own"), 0o700)
    for name in (w.path("run-own"), w.conf):
        os.chown(name, own, own)
    for options, answer in (((), "ConnectionResetError b''"), (("--any-user",), "b'\\x05\\x00'")):
        log = open(w.path("own.log"), "w", encoding="utf-8")
        child = subprocess.Popen(as_user(own) + [WGWRAP, "proxy", "-c", w.conf, "-v", "--listen", "0", "--listen",
                                                 f"unix:/tmp/wgwrap-shared-{os.getpid()}.sock", "-L", f"0:{SERVER}:4007",
                                                 *options],
                                 cwd="/", env=dict(w.environment("x"), XDG_RUNTIME_DIR=w.path("run-own")), stdout=log,
                                 stderr=log, stdin=subprocess.DEVNULL)
        w.children.append(child)
        deadline = time.monotonic() + 60
        while not all(text in w.read(log.name) for text in ("sock (", "(TCP forward)")) and time.monotonic() < deadline:
            time.sleep(0.05)
        words = w.read(log.name)
        assert "sock (" in words and "(TCP forward)" in words, words
        path = f"/tmp/wgwrap-shared-{os.getpid()}.sock"
        port, forward = (next(line.split("127.0.0.1:")[1].split(" ")[0] for line in words.splitlines() if kind in line)
                         for kind in ("(SOCKS and HTTP)", "(TCP forward)"))
        try:
            for uid, where, expected in ((own, port, "b'\\x05\\x00'"), (0, port, "b'\\x05\\x00'"), (other, port, answer),
                                         (own, path, "b'\\x05\\x00'"), (other, path, "PermissionError")):
                done = subprocess.run(as_user(uid) + [python, "-c", CONNECT, where], capture_output=True, text=True, cwd="/",
                                      timeout=60, check=False)
                assert done.stdout.strip() and done.stdout.strip() in expected, (uid, where, done)
            if not options:
                wait_until("the line", lambda p=log.name: "user 65532 was refused" in w.read(p))
                assert "--users FILE" in w.read(log.name), w.read(log.name)
                words = len(w.read(log.name))
                subprocess.run(as_user(other) + [python, "-c", CONNECT, forward], cwd="/", timeout=60, check=True,
                               stdout=subprocess.DEVNULL)
                wait_until("another line", lambda p=log.name: "user 65532 was refused" in w.read(p)[words:])
                advice = w.read(log.name)[words:]
                assert "--any-user" in advice and "--users" not in advice, advice  # forwards take no users
            assert ("user 65532 was refused" in w.read(log.name)) == (not options), w.read(log.name)
        finally:
            child.terminate()
            child.wait(60)
    os.chown(w.conf, 0, 0)


@test("the tunnel process dies: the listeners stay, and work again")
def _(w):
    proxy = w.start("--listen", "127.0.0.1:0")
    before = w.connect(proxy)
    assert socks(before, SERVER, 4007)[0] == 0
    w.kill_tunnel()
    try:
        assert read_all(before) == b""
    except ConnectionResetError:
        pass
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with w.connect(proxy) as s:
                if socks(s, SERVER, 4007)[0] == 0:
                    assert proxy.stop() == 0
                    return
        except (OSError, AssertionError, socket.timeout):
            pass
        time.sleep(0.3)
    raise AssertionError(proxy.words())


if __name__ == "__main__":
    tap.main(Proxied)
