#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
forwards.py - -L, -R, --sni and `wgwrap nc`
"""

import fcntl
import os
import socket
import ssl
import struct
import subprocess
import sys
import termios
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import tap  # noqa: E402
from lib.proxied import (SERVER, WGWRAP, Proxied, ends_in_reset, read_all, read_exactly, read_reply, socks,  # noqa: E402
                         socks_request)
from lib.tap import test  # noqa: E402
from lib.world import free_port, need, wait_until  # noqa: E402

ECHO, COUNT, PARTIAL, CALL, RELAY, UDP_ECHO = 4007, 4008, 4009, 4012, 4013, 4010


def line_of(s):
    line = b""
    while not line.endswith(b"\n"):
        line += read_exactly(s, 1)
    return line


def udp_ask(port, payload, source=None):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        if source:
            s.bind(("127.0.0.1", source))
        s.connect(("127.0.0.1", port))
        s.settimeout(0.5)
        for _ in range(100):  # the first may come before the name is known
            s.send(payload)
            try:
                return s.recv(65536)
            except (TimeoutError, ConnectionRefusedError):
                pass
    raise AssertionError("no answer")


# ---- -L ----

@test("-L: names, addresses, IPv6, a unix socket; half-close and reset")
def _(w):
    path = w.path("forward.sock")
    proxy = w.start("-L", f"0:web.test:{COUNT}", "-L", f"127.0.0.1:0:[fd09::1]:{ECHO}", "-L", f"0:{SERVER}:{PARTIAL}",
                    "-L", f"{path}:{SERVER}:{ECHO}")
    proxy.wait(path)
    with w.connect(proxy, 0) as s:
        s.sendall(b"x" * 100000)
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"100000\n"
    with w.connect(proxy, 1) as s:
        s.sendall(b"six")
        assert read_exactly(s, 3) == b"six"
    with w.connect(proxy, 2) as s:
        s.sendall(b"x")
        assert read_exactly(s, 7) == b"partial" and ends_in_reset(s)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(b"unix")
        assert read_exactly(s, 4) == b"unix"


@test("-L: a destination that refuses is a reset")
def _(w):
    proxy = w.start("-L", f"0:{SERVER}:9")
    try:
        with w.connect(proxy) as s:
            assert ends_in_reset(s)
    except ConnectionResetError:
        pass  # it came while Python's connect was looking


@test("-L: datagrams, one socket per sender; onetun's syntax for both protocols")
def _(w):
    port = free_port()
    proxy = w.start("-L", f"127.0.0.1:{port}:web.test:{UDP_ECHO}:UDP,TCP")
    proxy.wait("UDP forward")
    first, source = free_port(), free_port()
    one, two = udp_ask(port, b"one", first), udp_ask(port, b"two", source)
    assert one.endswith(b" one") and two.endswith(b" two")
    assert one.split()[0] != two.split()[0]
    assert udp_ask(port, b"again", first).split()[0] == one.split()[0]
    assert udp_ask(port, b"x" * 5000).endswith(b"x" * 5000)
    assert f"127.0.0.1:{port} (TCP forward)" in proxy.words()


@test("-L: datagrams to an address that has no route find one that a reload brings")
def _(w):
    w.stop_all()
    port, conf = free_port(), w.write("late.conf", w.client_config(allowed="10.8.0.0/16"))
    proxy = w.start("-L", f"{port}:{SERVER}:{UDP_ECHO}:udp", conf=conf, ready=f"datagrams to {SERVER}:{UDP_ECHO}: no route")
    w.write("late.conf", w.client_config())
    w.wgwrap("reload")
    assert udp_ask(port, b"late").endswith(b" late")
    assert proxy.stop() == 0
    w.stop_all()


@test("-L: wrong specifications are misuse, status 2")
def _(w):
    for spec in ("", "80", "80:host", "80:host:0", "x:host:80", "80::80", "80:host:80:xyz", "[::1:80:host:80",
                 "1:2:3:4:5:6", "70000:host:80", "/path:host:80:udp", "80:127.0.0.1:80", "80:localhost:80", "80:[::1]:80"):
        done = subprocess.run([WGWRAP, "proxy", "-c", w.conf, "-L", spec], capture_output=True, text=True, timeout=60,
                              check=False, env=w.environment("client"))
        assert done.returncode == 2 and "-L" in done.stderr, (spec, done)


# ---- -R ----

class HostServer:
    """A server on the host's loopback that tells what it got."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self.one, args=(s,), daemon=True).start()

    @staticmethod
    def one(s):
        with s:
            data = b""
            while piece := s.recv(65536):
                data += piece
                if data.endswith(b"?"):
                    break
            s.sendall(b"host got %d\n" % len(data))


def from_inside(w, proxy, host, port):
    """A connection that the server behind the tunnel makes to @host; what comes from it."""
    s = w.connect(proxy)
    assert socks(s, SERVER, RELAY)[0] == 0
    s.sendall(f"{host} {port}\n".encode())
    return s, line_of(s)


@test("-R: connections from the tunnel reach the host, IPv4 and IPv6")
def _(w):
    server = HostServer()
    proxy = w.start("--listen", "127.0.0.1:0", "-R", f"7000:localhost:{server.port}", "-R",
                    f"[fd09::2]:7001:127.0.0.1:{server.port}")
    proxy.wait("7001 in the tunnel")
    for host, port in (("10.9.0.2", 7000), ("fd09::2", 7000), ("fd09::2", 7001)):
        s, first = from_inside(w, proxy, host, port)
        with s:
            assert b"error" not in first, first
            s.sendall(b"hello?")
            answer = line_of(s)
            assert answer == b"host got 13\n", answer  # "called\n" comes first
            assert read_all(s) == b"", "the host's end"
    s, first = from_inside(w, proxy, "10.9.0.2", 7001)
    with s:
        assert b"refused" in first, first


@test("-R: nobody listens on the host: the tunnel's side is reset")
def _(w):
    proxy = w.start("--listen", "127.0.0.1:0", "-R", f"7002:127.0.0.1:{free_port()}")
    proxy.wait("in the tunnel")
    s, first = from_inside(w, proxy, "10.9.0.2", 7002)
    with s:
        # the reset comes before the connect has returned, before "called" is sent, or after
        assert b"error" in first or (rest := read_all(s)) == b"" or rest.startswith(b"error"), (first, rest)


@test("-R: datagrams")
def _(w):
    host = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    host.bind(("127.0.0.1", 0))

    def serve():
        while True:
            data, address = host.recvfrom(65536)
            host.sendto(b"host:" + data, address)
    threading.Thread(target=serve, daemon=True).start()
    proxy = w.start("-R", f"7003:127.0.0.1:{host.getsockname()[1]}:udp", ready="in the tunnel")
    code = ("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)\n"
            "for i in range(50):\n"
            "  s.sendto(b'ping', ('10.9.0.2', 7003))\n"
            "  try: print(s.recvfrom(100)); break\n"
            "  except TimeoutError: pass\n")
    done = subprocess.run([WGWRAP, "-c", w.path("server.conf"), sys.executable, "-c", code], capture_output=True,
                          text=True, timeout=60, check=False, env=w.environment("server"))
    assert "(b'host:ping', ('10.9.0.2', 7003))" in done.stdout, done
    assert proxy.stop() == 0


@test("-R: a port that is taken in the tunnel: status 1")
def _(w):
    first = w.start("-R", "7004:localhost:80", ready="in the tunnel")
    second = w.start("-R", "7004:localhost:80", ready=None)
    assert second.process.wait(60) == 1 and "in use" in second.words(), second.words()
    assert first.stop() == 0


# ---- SNI ----

@test("--sni: TLS to the name in its ClientHello; without a name: an alert")
def _(w):
    need("openssl")
    proxy = w.start("--sni", "127.0.0.1:0", ready="TLS by server name")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # nobody serves 443: that the connect was refused shows where it went
    with w.connect(proxy) as s:
        try:
            context.wrap_socket(s, server_hostname="web.test")
            raise AssertionError("a handshake with nobody")
        except (ConnectionResetError, ssl.SSLError):
            pass
    proxy.wait("to web.test:443: connection refused")
    with w.connect(proxy) as s:
        try:
            context.wrap_socket(s)
            raise AssertionError("a handshake without a name")
        except ssl.SSLError as e:
            assert "MISSING_EXTENSION" in str(e).upper() or "109" in str(e), e
    with w.connect(proxy) as s:
        try:
            context.wrap_socket(s, server_hostname="a_name/that.cannot.be")
            raise AssertionError("a handshake with a name that cannot be")
        except ssl.SSLError as e:
            assert "UNRECOGNIZED_NAME" in str(e).upper(), e
    with w.connect(proxy) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert read_exactly(s, 7) == b"\x15\3\3\0\2\2\x32", "decode_error"


# ---- nc ----

@test("nc: standard input and output, half-close, status 0")
def _(w):
    done = w.nc("web.test", str(COUNT), input=b"z" * 3000000)
    assert (done.returncode, done.stdout) == (0, b"3000000\n"), done
    data = os.urandom(2000000)
    done = w.nc(SERVER, str(ECHO), input=data)
    assert done.returncode == 0 and done.stdout == data, done.stderr


@test("nc: a reset and a refusal are status 1 and a line")
def _(w):
    done = w.nc(SERVER, str(PARTIAL), input=b"x")
    assert (done.returncode, done.stdout) == (1, b"partial") and b"wgwrap: " in done.stderr, done
    done = w.nc(SERVER, "9", input=b"")
    assert done.returncode == 1 and b"refused" in done.stderr, done
    for arguments in (("host",), ("host", "0"), ("host", "x"), ("", "80"), ("a", "1", "b")):
        assert w.nc(*arguments).returncode == 2, arguments


@test("nc: it ends when the other side does, though its input is open")
def _(w):
    with subprocess.Popen([WGWRAP, "nc", "-c", w.conf, SERVER, str(CALL)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, env=w.environment("client")) as child:
        child.stdin.write(b"127.0.0.1 9\n")
        child.stdin.flush()
        assert child.stdout.readline().startswith(b"error")
        assert child.wait(60) == 0


def waiting(stream):
    return struct.unpack("i", fcntl.ioctl(stream, termios.FIONREAD, bytes(4)))[0]


@test("nc: SIGTERM ends it, though nobody reads its output")
def _(w):
    with subprocess.Popen([WGWRAP, "nc", "-c", w.conf, SERVER, str(ECHO)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          pipesize=4096, env=w.environment("client")) as child:
        try:
            child.stdin.write(b"x")
            child.stdin.flush()
            wait_until("the only page is in use", lambda: waiting(child.stdout) == 1)
            child.stdin.write(b"x" * 65536)  # more than it takes, in whatever pieces it comes back
            child.stdin.flush()

            def full():
                before = waiting(child.stdout)
                time.sleep(0.5)
                return 0 < before == waiting(child.stdout)
            wait_until("the pipe is full", full)
            for _ in range(100):
                child.terminate()  # the second time nothing is waited for
                try:
                    child.wait(0.5)
                    break
                except subprocess.TimeoutExpired:
                    pass
            assert child.returncode == 1, child.returncode
        finally:
            child.kill()


@test("a SOCKS client and pipelined data through -L: forwards can be chained")
def _(w):
    inner = w.proxy().port()
    with w.connect() as s:
        s.sendall(b"\5\1\0" + socks_request(SERVER, ECHO) + b"chain")
        assert read_exactly(s, 2) == b"\5\0" and read_reply(s)[0] == 0
        assert read_exactly(s, 5) == b"chain" and inner


if __name__ == "__main__":
    tap.main(Proxied)
