#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
loopback.py - wgwrap at both ends, on loopback: needs no namespace, no TUN device, no privilege

What programs.py shows against wireguard-go, as far as it goes without: so that a machine that offers nothing still tests
the whole path. There is no leak sentry here: the host's own traffic would be in it.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from lib import tap
from lib.tap import test
from lib.world import BUILD, find, free_port, wait_until

WGWRAP = os.path.join(BUILD, "wgwrap")
SIZE = 16 << 20

SERVER = """
import http.server, os, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = (self.client_address[0] + "\\n").encode() if self.path == "/address" else None
        if body is None:
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        left = total = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, 65536)))
        body = (str(total) + "\\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
class Server(http.server.ThreadingHTTPServer):
    import socket
    address_family = socket.AF_INET6
    request_queue_size = 128
server = Server(("::", 8080), Handler)
print("ready", flush=True)
server.serve_forever()
"""


class Loopback:
    """One wgwrap with a web server behind it; wrapped() runs a command in another."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="wgwrap-test-")
        self.children = []
        self.make_site()
        self.configure()
        self.log = open(os.path.join(self.dir, "server.log"), "w+", encoding="utf-8")
        argv = [WGWRAP, "-c", os.path.join(self.dir, "server.conf"), sys.executable, "-c", SERVER]
        self.server = subprocess.Popen(argv, cwd=os.path.join(self.dir, "site"), env=self.environment("a"),
                                       stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.children.append(self.server)
        wait_until("the wrapped server: " + self.describe(), lambda: "ready" in self.describe() or self.server.poll())
        assert self.server.poll() is None, self.describe()

    def make_site(self):
        site = os.path.join(self.dir, "site")
        os.mkdir(site)
        self.big = os.urandom(1 << 20) * (SIZE >> 20)
        with open(os.path.join(site, "big"), "wb") as f:
            f.write(self.big)

    def configure(self):
        def key(verb, text=None):
            return subprocess.run([WGWRAP, verb], input=text, check=True, capture_output=True, text=True).stdout.strip()
        private = [key("genkey"), key("genkey")]
        public = [key("pubkey", k + "\n") for k in private]
        psk = key("genpsk")
        port = free_port()
        for i, name in enumerate(("server", "client")):
            text = (f"[Interface]\nPrivateKey = {private[i]}\nAddress = 10.77.0.{i + 1}/32, fd77::{i + 1}/128\n"
                    f"{f'ListenPort = {port}' if i == 0 else ''}\n[Peer]\nPublicKey = {public[1 - i]}\n"
                    f"PresharedKey = {psk}\nAllowedIPs = 10.77.0.{2 - i}/32, fd77::{2 - i}/128\n"
                    f"{f'Endpoint = 127.0.0.1:{port}' if i == 1 else ''}\n")
            with open(os.path.join(self.dir, f"{name}.conf"), "w", encoding="ascii") as f:
                os.fchmod(f.fileno(), 0o600)
                f.write(text)

    def environment(self, which):
        directory = os.path.join(self.dir, f"run-{which}")
        os.makedirs(directory, 0o700, exist_ok=True)
        env = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
        return dict(env, XDG_RUNTIME_DIR=directory)

    def wrapped(self, *argv, **kwargs):
        return subprocess.run([WGWRAP, "-c", os.path.join(self.dir, "client.conf"), *argv], env=self.environment("b"),
                              capture_output=True, timeout=180, check=False, **kwargs)

    def ok(self, *argv, **kwargs):
        done = self.wrapped(*argv, **kwargs)
        assert done.returncode == 0, (argv, done.returncode, done.stderr.decode(errors="replace"))
        return done.stdout

    def describe(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f"-- server.log\n{f.read()[-1500:]}"

    def finish(self):
        return ()

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


CURL = ("curl", "-sS", "--fail", "--noproxy", "*", "--max-time", "160")


@test("curl fetches 16 MiB, over IPv4 and IPv6 inside")
def _(w):
    for host in ("10.77.0.1", "[fd77::1]"):
        got = w.ok(*CURL, f"http://{host}:8080/big")
        assert got == w.big, (host, len(got))


@test("the server sees the client's tunnel address")
def _(w):
    assert w.ok(*CURL, "http://[fd77::1]:8080/address") == b"fd77::2\n"
    assert w.ok(*CURL, "http://10.77.0.1:8080/address").strip().endswith(b"10.77.0.2")


@test("curl uploads 16 MiB")
def _(w):
    path = os.path.join(w.dir, "site", "big")
    assert w.ok(*CURL, "--data-binary", f"@{path}", "http://10.77.0.1:8080/") == b"%d\n" % SIZE


@test("20 curls at once share one tunnel")
def _(w):
    out = w.ok("sh", "-c", "for i in $(seq 20); do curl -sS --noproxy '*' --max-time 160 http://[fd77::1]:8080/address & done; wait")
    assert out == b"fd77::2\n" * 20, out


@test("a port without a listener: refused")
def _(w):
    done = w.wrapped(*CURL, "http://10.77.0.1:9/")
    assert done.returncode == 7, done


@test("outside AllowedIPs: refused, said in one line")
def _(w):
    done = w.wrapped(*CURL, "http://203.0.113.1/")
    lines = re.findall("wgwrap: .*", done.stderr.decode())
    assert done.returncode == 7 and len(lines) == 1 and "203.0.113.1" in lines[0], done


@test("a wrapped program makes no IP socket")
def _(w):
    code = ("import os, socket, sys\ns = socket.create_connection(('10.77.0.1', 8080))\n"
            "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "mine = {os.readlink(f'/proc/self/fd/{x.fileno()}')[8:-1] for x in (s, u)}\n"
            "table = {f[6].decode() for line in open('/proc/self/net/unix', 'rb') for f in [line.split()] if len(f) > 6}\n"
            "print(len(mine), len(mine & table), s.family.name, u.family.name)")
    assert w.ok(sys.executable, "-c", code) == b"2 2 AF_INET AF_INET\n"


@test("when the peer has gone, a request fails and does not hang")
def _(w):
    assert w.ok(*CURL, "http://10.77.0.1:8080/address")
    w.server.terminate()
    w.server.wait(60)
    began = time.monotonic()
    done = w.wrapped("curl", "-sS", "--noproxy", "*", "--max-time", "3", "http://10.77.0.1:8080/address")
    assert done.returncode and time.monotonic() - began < 40, done


if not os.access(WGWRAP, os.X_OK):
    tap.skip_all(f"{WGWRAP} is not built")
if not find("curl"):
    tap.skip_all("curl is not installed")
tap.main(Loopback)
