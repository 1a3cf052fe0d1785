# SPDX-License-Identifier: MIT
"""
proxied.py - `wgwrap proxy` with servers behind its tunnel, on loopback: needs no privilege

	wgwrap proxy  10.9.0.2, fd09::2  <-WireGuard, loopback->  10.9.0.1, fd09::1  wgwrap: proxied_server.py, dnsd.py

AllowedIPs are 10.9.0.0/16 and fd09::/16; what is not 10.9.0.1 there swallows packets.
"""

import errno
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from lib import tap
from lib.world import BUILD, HERE, free_port, wait_until

WGWRAP = os.path.join(BUILD, "wgwrap")
SERVER = "10.9.0.1"
UNKNOWN_MAX, HANDSHAKE_S = 1024, 10  # PROXY_UNKNOWN_MAX, PROXY_HANDSHAKE_MS


def key(verb, text=None):
    return subprocess.run([WGWRAP, verb], input=text, check=True, capture_output=True, text=True).stdout.strip()


class Proxy:
    """A running `wgwrap proxy`."""

    def __init__(self, world, options, conf, environment, before=()):
        self.log_path = os.path.join(world.dir, f"proxy{len(world.children)}.log")
        self.log = open(self.log_path, "w", encoding="utf-8")
        self.process = subprocess.Popen([*before, WGWRAP, "proxy", "-c", conf, "-v", *options], env=environment, cwd=world.dir,
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        world.children.append(self.process)
        world.proxies.append(self)

    def words(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait(self, text, seconds=60):
        wait_until(f"{text!r} in {self.words()}", lambda: text in self.words() or self.process.poll() is not None,
                   seconds)
        assert text in self.words(), self.words()

    def port(self, n=0):
        """The port of the nth listener that is an address."""
        def lines():  # whole ones; one may be being written
            return [line for line in self.words().splitlines(True)
                    if "listening on" in line and " in the tunnel" not in line and line.endswith("\n")]
        wait_until(f"listener {n} in {self.words()}", lambda: len(lines()) > n)
        return int(lines()[n].split("listening on ")[1].split(" ")[0].rsplit(":", 1)[1])

    def stop(self, seconds=60):
        self.process.terminate()
        return self.process.wait(seconds)


class Proxied:
    """One wgwrap with servers behind it; proxy() starts another as a proxy."""

    name_servers = (SERVER, "fd09::1")

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="wgwrap-proxy-")
        self.children, self.proxies = [], []
        self.configure()
        for name, argv in (("server", ["proxied_server.py"]), ("dns", ["dnsd.py", *self.name_servers])):
            log = open(os.path.join(self.dir, f"{name}.log"), "w+", encoding="utf-8")
            child = subprocess.Popen([WGWRAP, "-c", self.path("server.conf"), sys.executable,
                                      os.path.join(HERE, argv[0]), *argv[1:]], cwd=self.dir,
                                     env=self.environment("server"), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.children.append(child)
            wait_until(f"the {name}: {self.read(log.name)}",
                       lambda p=log.name, c=child: "ready" in self.read(p) or c.poll() is not None)
            assert child.poll() is None, self.read(log.name)
        self._proxy = self._impatient = None

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    @staticmethod
    def read(path):
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(text)
        return self.path(name)

    def configure(self):
        self.private = [key("genkey"), key("genkey")]
        public = self.public = [key("pubkey", k + "\n") for k in self.private]
        self.udp_port = free_port()
        self.write("server.conf", f"[Interface]\nPrivateKey = {self.private[0]}\nAddress = 10.9.0.1/32, fd09::1/128\n"
                   f"ListenPort = {self.udp_port}\n[Peer]\nPublicKey = {public[1]}\n"
                   "AllowedIPs = 10.9.0.2/32, fd09::2/128\n")
        self.conf = self.write("client.conf", self.client_config())

    def client_config(self, address="10.9.0.2/32, fd09::2/128", allowed="10.9.0.0/16, fd09::/16"):
        return (f"[Interface]\nPrivateKey = {self.private[1]}\nAddress = {address}\nDNS = {SERVER}\n"
                f"\n[Peer]\nPublicKey = {self.public[0]}\nAllowedIPs = {allowed}\nEndpoint = 127.0.0.1:{self.udp_port}\n")

    def environment(self, which, **more):
        directory = self.path(f"run-{which}")
        os.makedirs(directory, 0o700, exist_ok=True)
        env = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
        return dict(env, XDG_RUNTIME_DIR=directory, **more)

    def start(self, *options, conf=None, ready="listening on", before=(), **more):
        proxy = Proxy(self, options, conf or self.conf, self.environment("client", **more), before)
        if ready:
            proxy.wait(ready)
        return proxy

    def proxy(self):
        """The proxy most tests share: SOCKS and HTTP on one port."""
        if not self._proxy or self._proxy.process.poll() is not None:
            self._proxy = self.start("--listen", "127.0.0.1:0", "--connect-timeout", "100s")
        return self._proxy

    def impatient(self):
        """One for destinations that are silent."""
        if not self._impatient or self._impatient.process.poll() is not None:
            self._impatient = self.start("--listen", "127.0.0.1:0", "--connect-timeout", "3s")
        return self._impatient

    def wgwrap(self, *argv, which="client"):
        """Runs a command about that side's tunnel; its output."""
        return subprocess.run([WGWRAP, *argv], env=self.environment(which), capture_output=True, text=True, check=True,
                              timeout=60).stdout

    def tunnel(self, which="client"):
        """What show --json says of the only tunnel."""
        return json.loads(self.wgwrap("show", "--json", which=which))["tunnels"][0]

    def stop_all(self):
        """Ends all proxies, and waits for the end of their tunnel process."""
        for proxy in self.proxies:
            if proxy.process.poll() is None:
                proxy.stop()
        wait_until("the tunnel has ended", lambda: not self.wgwrap("list", "-q"))

    def connect(self, proxy=None, n=0):
        """A connection to a proxy's listener."""
        s = socket.create_connection(("127.0.0.1", (proxy or self.proxy()).port(n)), timeout=60)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def refuses(self, proxy):
        """Waits until a proxy that was asked to end accepts nothing new."""
        def refused():
            try:
                self.connect(proxy).close()
            except ConnectionRefusedError:
                return True
            except ConnectionResetError:
                pass  # it had come before
            return False
        wait_until("the end of the listener", refused)

    def curl(self, *argv, proxy=None, scheme="socks5h", user="", limit=60):
        url = f"{scheme}://{user + '@' if user else ''}127.0.0.1:{(proxy or self.proxy()).port()}"
        return subprocess.run(["curl", "-sS", "-m", str(limit), "-x", url, *argv], capture_output=True, text=True,
                              timeout=limit + 10, check=False, env=self.environment("curl"))

    def nc(self, *argv, **kwargs):
        kwargs.setdefault("timeout", 180)
        return subprocess.run([WGWRAP, "nc", "-c", self.conf, *argv], env=self.environment("client"),
                              capture_output=True, check=False, **kwargs)

    def kill_tunnel(self):
        """Kills the clients' tunnel process."""
        os.kill(self.tunnel()["pid"], signal.SIGKILL)

    def describe(self):
        return "".join(f"-- {p.log_path}\n{p.words()[-1500:]}" for p in self.proxies[-2:]) + \
            self.read(self.path("server.log"))[-1000:]

    def finish(self):
        return ()

    def close(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.terminate()
        for child in self.children:
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


# ---- bytes ----

def read_exactly(s, n):
    data = b""
    while len(data) < n:
        piece = s.recv(n - len(data))
        assert piece, f"end of file after {data!r}, {n} bytes were expected"
        data += piece
    return data


def read_all(s):
    data = b""
    while piece := s.recv(65536):
        data += piece
    return data


def drip(s, data):
    """One byte per segment."""
    for i in range(len(data)):
        s.sendall(data[i:i + 1])
        time.sleep(0.002)


def socks_address(host, port):
    for kind, family in ((1, socket.AF_INET), (4, socket.AF_INET6)):
        try:
            return bytes([kind]) + socket.inet_pton(family, host) + struct.pack("!H", port)
        except OSError:
            pass
    return b"\x03" + bytes([len(host)]) + host.encode() + struct.pack("!H", port)


def socks_request(host, port, command=1):
    return bytes([5, command, 0]) + socks_address(host, port)


def read_address(s):
    kind = read_exactly(s, 1)[0]
    assert kind in (1, 4), kind
    family, size = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
    host = socket.inet_ntop(family, read_exactly(s, size))
    return host, struct.unpack("!H", read_exactly(s, 2))[0]


def read_reply(s):
    """A SOCKS 5 reply: its code, address and port."""
    version, code, reserved = read_exactly(s, 3)
    assert (version, reserved) == (5, 0)
    return (code, *read_address(s))


def socks(s, host, port, command=1):
    """Greets without a password and asks: the reply."""
    s.sendall(b"\5\1\0")
    assert read_exactly(s, 2) == b"\5\0"
    s.sendall(socks_request(host, port, command))
    return read_reply(s)


def oldest_give_way(w, proxy, serve):
    """Whether serve(), a new client, is served beside more silent ones than @proxy keeps. They end by themselves after
    HANDSHAKE_S, so that only what was faster says something."""
    for _ in range(3):
        silent = []
        try:
            start = time.monotonic()
            for _ in range(UNKNOWN_MAX + 50):
                silent.append(w.connect(proxy))
            serve()
            poll = select.poll()  # descriptors may be beyond what select takes
            for s in silent:
                poll.register(s, select.POLLIN)
            over = {fd for fd, _ in poll.poll(0)}
            gone = [s.fileno() in over for s in silent]
            in_time = time.monotonic() - start < HANDSHAKE_S
        except OSError as e:
            if e.errno == errno.EMFILE:
                tap.skip("too few descriptors here")
            raise
        finally:
            for s in silent:
                s.close()
        if in_time:
            return gone == [True] * 51 + [False] * (UNKNOWN_MAX - 1)
    tap.skip(f"{UNKNOWN_MAX + 50} connections take more than {HANDSHAKE_S} s here")


def ends_in_reset(s):
    try:
        read_all(s)
    except ConnectionResetError:
        return True
    return False


def timer_of(port, peer_port):
    """The kernel's timer of a connection between two ports of loopback: 2 is keepalive; and when, in s."""
    loopback = "0100007F" if sys.byteorder == "little" else "7F000001"
    with open("/proc/net/tcp", encoding="ascii") as f:
        for line in f:
            fields = line.split()
            if fields[1:3] == [f"{loopback}:{port:04X}", f"{loopback}:{peer_port:04X}"]:
                kind, when = fields[5].split(":")
                return int(kind, 16), int(when, 16) / os.sysconf("SC_CLK_TCK")
    return None, 0
