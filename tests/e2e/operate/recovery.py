#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
recovery.py - what happens to a tunnel in a day: names that move, servers that start again, pauses, a rival

A relay stands between client and server, so that the server can be at another address at once. Names
come from a hosts file of our own in a mount namespace. Times are printed, never asserted tightly. WGWRAP_SLOW_TESTS=1
adds a pause of minutes; those of the clock alone need none (lib/shifted.py).
"""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import operate as t  # noqa: E402
from lib import tap  # noqa: E402
from lib.shifted import Clock  # noqa: E402

INSIDE = "WGWRAP_TEST_RECOVERY"


def enter():
    """Runs the script anew in a mount namespace, or skips it."""
    if os.environ.get(INSIDE):
        return
    kind = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    if t.run(*kind, "true").returncode:
        tap.skip_all("no mount namespace here")
    os.environ[INSIDE] = "1"
    os.execvp(kind[0], kind + [sys.executable] + sys.argv)


class Relay:
    """Passes datagrams between @listen and the server; one socket a client, like a NAT."""

    def __init__(self, listen, server):
        self.server, self.clients, self.over = server, {}, False
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.bind(listen)
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        while not self.over:
            for s in select.select([self.front, *self.clients.values()], [], [], 0.1)[0]:
                data, peer = s.recvfrom(65536)
                if s is self.front:
                    if peer not in self.clients:
                        self.clients[peer] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    self.clients[peer].sendto(data, self.server)
                else:
                    client = next(c for c, mine in self.clients.items() if mine is s)
                    self.front.sendto(data, client)

    def close(self):
        self.over = True
        self.thread.join()
        for s in (self.front, *self.clients.values()):
            s.close()


class Recovery(t.Tunnels):
    def __init__(self):
        super().__init__()
        self.hosts = os.path.join(self.dir, "hosts")
        self.name("127.0.0.2")
        subprocess.run(["mount", "--bind", self.hosts, "/etc/hosts"], check=True)
        self.public_port = t.free_port()
        self.relay = Relay(("127.0.0.2", self.public_port), ("127.0.0.1", self.port))
        self.client = self.write("client.conf", t.CLIENT, endpoint=f"peer.test:{self.public_port}",
                                 allowed="10.77.0.0/24")

    def name(self, *addresses):
        # in place: it is what is mounted
        with open(self.hosts, "w", encoding="utf-8") as f:
            f.write("127.0.0.1 localhost\n" + "".join(f"{a} peer.test\n" for a in addresses))

    def move(self, address):
        self.relay.close()
        self.relay = Relay((address, self.public_port), ("127.0.0.1", self.port))

    def serve_anew(self):
        """The server's tunnel process dies, and with it all it knows; another one takes its place."""
        pid = self.tunnel("server")["pid"]
        os.kill(pid, signal.SIGKILL)
        self.replaced("server", pid)

    def recovers(self, what, seconds):
        began = time.monotonic()
        assert self.fetch(seconds), f"{what}: no page within {seconds} s"
        print(f"# {what}: the next request took {time.monotonic() - began:.1f} s", flush=True)

    def close(self):
        super().close()
        self.relay.close()


@tap.test("an address that does not answer is passed over: IPv6 first, then IPv4")
def _(w):
    w.name("::1", "127.0.0.2")
    began = time.monotonic()
    w.up()
    print(f"# up took {time.monotonic() - began:.1f} s")
    peer = w.tunnel("client")["peers"][0]
    assert peer["endpoint"] == f"127.0.0.2:{w.public_port}", peer
    assert peer["endpointHost"] == f"peer.test:{w.public_port}", peer
    w.recovers("a first request", 90)


@tap.test("the endpoint's name gets another address while the tunnel is up")
def _(w):
    w.ensure_up()
    w.name("127.0.0.3")
    w.move("127.0.0.3")
    w.recovers("another address", 90)
    peer = w.tunnel("client")["peers"][0]
    assert peer["endpoint"] == f"127.0.0.3:{w.public_port}", peer
    assert peer["counters"]["endpoint_resolutions_total"] >= 1, peer


@tap.test("reload resolves the name at once")
def _(w):
    w.ensure_up()
    w.name("127.0.0.4")
    w.move("127.0.0.4")
    w.ok("reload", "client")
    t.wait_until("the endpoint is the new one",
                 lambda: w.tunnel("client")["peers"][0]["endpoint"] == f"127.0.0.4:{w.public_port}")
    w.recovers("another address and a reload", 90)


@tap.test("the server starts again and knows no session any more")
def _(w):
    w.ensure_up()
    w.serve_anew()
    w.recovers("the server's restart", 90)


@tap.test("the server starts again, at another address of its name")
def _(w):
    w.ensure_up()
    w.name("127.0.0.6")
    w.move("127.0.0.6")
    w.serve_anew()
    w.recovers("the server's restart at another address", 90)
    assert w.tunnel("client")["peers"][0]["endpoint"] == f"127.0.0.6:{w.public_port}"


SIZE = 16 << 30  # a hole, and more than the relay can carry meanwhile
# Reads until its input ends, and then 1 MiB more
DOWNLOAD = """
import select, urllib.request
f, left = urllib.request.urlopen("http://10.77.0.1:8000/big", timeout=200), None
while left != 0:
    assert f.read(65536), "the end"
    if left is None and select.select([0], [], [], 0)[0]:
        left = 16
    elif left:
        left -= 1
print("gone on")
"""


def received(w):
    return w.tunnel("client")["peers"][0]["transferRx"]


def survives(w, what, pause):
    """A download goes on after @pause(), in the connection that it has."""
    with open(os.path.join(w.dir, "web/big"), "wb") as f:
        f.truncate(SIZE)
    before = received(w)
    load = w.start("-c", w.client, "--join", "--", sys.executable, "-c", DOWNLOAD, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    t.wait_until("it transfers", lambda: received(w) > before + (1 << 20))
    pause()
    began, before = time.monotonic(), received(w)
    t.wait_until("it transfers again", lambda: received(w) > before + (1 << 20), 90)
    print(f"# {what}: a connection goes on after {time.monotonic() - began:.1f} s", flush=True)
    assert load.communicate(timeout=200)[0] == b"gone on\n" and load.returncode == 0


def stop_for(w, seconds):
    pid = w.tunnel("client")["pid"]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


@tap.test("a connection survives a pause of the client's tunnel process")
def _(w):
    w.ensure_up()
    survives(w, "4 s stopped", lambda: stop_for(w, 4))


@tap.test("a connection survives a pause of minutes, longer than a session lives")
def _(w):
    if os.environ.get("WGWRAP_SLOW_TESTS") != "1":
        tap.skip("takes 200 s: WGWRAP_SLOW_TESTS=1")
    survives(w, "200 s stopped", lambda: stop_for(w, 200))


@tap.test("the name is resolved again while a command waits for the peer")
def _(w):
    w.ensure_up()
    w.ok("down", "client")
    w.name("127.0.0.9")
    w.ok("up", "--no-wait", w.client)
    w.move("127.0.0.5")
    w.name("127.0.0.5")
    w.recovers("a name that moved before the first handshake", 90)


def with_clock(w):
    """The client's tunnel, with clocks that can be set."""
    if not hasattr(w, "clock"):
        w.clock = Clock(os.path.join(w.dir, "clock"))
        w.ensure_up()
        w.ok("down", "client")
        done = t.run(t.WGWRAP, "up", w.client, env=dict(w.env, **w.clock.environment))
        assert done.returncode == 0, done
    return w.clock


@tap.test("a suspend of an hour: clocks go on, sessions are too old; a connection goes on, and a new one comes")
def _(w):
    clock = with_clock(w)
    survives(w, "an hour of suspend", lambda: clock.sleep(w.tunnel("client")["pid"], 3600))
    clock.sleep(w.tunnel("client")["pid"], 8 * 3600)
    w.recovers("eight hours of suspend", 90)


@tap.test("the wall clock is set back and forward: handshakes go on")
def _(w):
    clock = with_clock(w)
    for seconds in (-24 * 3600, 48 * 3600, -7 * 24 * 3600):
        handshakes = w.tunnel("client")["peers"][0]["counters"]["handshakes_total"]
        clock.set(realtime_s=seconds)
        clock.sleep(w.tunnel("client")["pid"], 200, wall=False)  # the session is too old
        w.recovers(f"the wall clock set by {seconds // 3600} hours", 90)
        assert w.tunnel("client")["peers"][0]["counters"]["handshakes_total"] > handshakes
    # a peer refuses handshakes that are older than what it has seen: the real time's would be
    w.ok("down", "client")
    w.serve_anew()


@tap.test("the same key on another host is told in one line")
def _(w):
    """Two clients with one key, each with traffic that needs answers."""
    w.ensure_up()
    rival = dict(w.env, WGWRAP_RUNTIME_DIR=os.path.join(w.dir, "rival"))
    os.mkdir(rival["WGWRAP_RUNTIME_DIR"], 0o700)
    script = ("import time, urllib.request\nend = time.monotonic() + 200\n"
              "while time.monotonic() < end:\n"
              "    try: urllib.request.urlopen('http://10.77.0.1:8000/page', timeout=2).read()\n"
              "    except OSError: pass\n    time.sleep(0.1)\n")
    words, commands = [], []
    for env in (w.env, rival):
        path = os.path.join(w.dir, f"words{len(words)}")
        words.append(path)
        with open(path, "wb") as f:
            command = subprocess.Popen([t.WGWRAP, "-c", w.client, "--", "python3", "-c", script], env=env, stderr=f,
                                       stdin=subprocess.DEVNULL)
        w.children.append(command)
        commands.append(command)

    def said():
        text = ""
        for path in words:
            with open(path, encoding="utf-8") as f:
                text += f.read()
        return [line for line in text.splitlines() if "private key" in line]
    try:
        lines = t.wait_until("somebody says it", said, 190)
    finally:
        for command in commands:
            w.stop(command)
    assert "each its own" in lines[0] and len(lines) <= 2, lines
    print(f"# {lines[0]}")


enter()
tap.main(Recovery)
