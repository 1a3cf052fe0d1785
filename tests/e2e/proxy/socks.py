#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
socks.py - SOCKS 5, 4 and 4a of `wgwrap proxy`, message by message and with curl
"""

import base64
import json
import os
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import tap  # noqa: E402
from lib.proxied import (SERVER, WGWRAP, Proxied, drip, ends_in_reset, oldest_give_way,  # noqa: E402
                         read_address, read_all, read_exactly, read_reply, socks, socks_address, socks_request)
from lib.tap import test  # noqa: E402
from lib.world import wait_until  # noqa: E402

ECHO, COUNT, PARTIAL, CALL, UDP_ECHO, UDP_OTHER = 4007, 4008, 4009, 4012, 4010, 4011


def echoes(s, data=b"through the tunnel"):
    s.sendall(data)
    assert read_exactly(s, len(data)) == data


# ---- handshake ----

@test("curl: socks5h, socks5, socks4a, socks4")
def _(w):
    for scheme, url in (("socks5h", "http://web.test:8080/a"), ("socks4a", "http://v4.test:8080/a"),
                        ("socks5", f"http://{SERVER}:8080/a"), ("socks4", f"http://{SERVER}:8080/a"),
                        ("socks5h", "http://[fd09::1]:8080/a")):
        done = w.curl(url, scheme=scheme)
        assert done.returncode == 0 and '"path": "/a"' in done.stdout, (scheme, url, done)


@test("one byte per segment")
def _(w):
    with w.connect() as s:
        drip(s, b"\5\2\0\2")
        assert read_exactly(s, 2) == b"\5\0"
        drip(s, socks_request("web.test", ECHO))
        assert read_reply(s)[0] == 0
        echoes(s)


@test("everything at once: greeting, request and data before any reply")
def _(w):
    with w.connect() as s:
        s.sendall(b"\5\1\0" + socks_request(SERVER, ECHO) + b"early")
        assert read_exactly(s, 2) == b"\5\0"
        assert read_reply(s)[0] == 0
        assert read_exactly(s, 5) == b"early"
        echoes(s)


@test("early data of 60,000 bytes is not lost")
def _(w):
    data = os.urandom(60000)
    with w.connect() as s:
        s.sendall(b"\5\1\0" + socks_request(SERVER, COUNT) + data)
        s.shutdown(socket.SHUT_WR)
        assert read_exactly(s, 2) == b"\5\0" and read_reply(s)[0] == 0
        assert read_all(s) == b"60000\n"


@test("no method offered, none that is known: 05 FF, then the end")
def _(w):
    for greeting in (b"\5\0", b"\5\2\1\3"):
        with w.connect() as s:
            s.sendall(greeting)
            assert read_all(s) == b"\5\xff", greeting


@test("a handshake that does not go on is dropped, and a head of HTTP that does not")
def _(w):
    start = time.monotonic()
    with w.connect() as s, w.connect() as head:
        s.sendall(b"\5\1\0")
        head.sendall(b"GET http://web.test/ HTTP/1.1\r\nHost:")
        assert read_exactly(s, 2) == b"\5\0"
        s.settimeout(60)
        try:
            assert s.recv(1) == b""
        except ConnectionResetError:
            pass
        assert time.monotonic() - start > 5
        try:
            answer = read_all(head)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 408 "), answer
        except ConnectionResetError:
            pass


# ---- users ----

def with_users(w):
    if not hasattr(w, "users"):
        w.users_file = w.write("users", "# comment\nalice:secret\nbob:\nc\xe4sar:p:w\n")
        w.users = w.start("--listen", "127.0.0.1:0", "--users", w.users_file)
    return w.users


def login(s, name, password):
    s.sendall(b"\5\2\0\2")
    assert read_exactly(s, 2) == b"\5\2"
    s.sendall(b"\1" + bytes([len(name)]) + name + bytes([len(password)]) + password)
    return read_exactly(s, 2)


@test("users: right, empty and odd passwords; wrong ones are refused with 01 and the end")
def _(w):
    proxy = with_users(w)
    for name, password in ((b"alice", b"secret"), (b"bob", b""), ("c\xe4sar".encode(), b"p:w")):
        with w.connect(proxy) as s:
            assert login(s, name, password) == b"\1\0", name
            s.sendall(socks_request(SERVER, ECHO))
            assert read_reply(s)[0] == 0
            echoes(s)
    for name, password in ((b"alice", b""), (b"alice", b"secret\0"), (b"bob", b"x"), (b"eve", b"secret"),
                           (b"alices", b"ecret"), (b"a" * 255, b"b" * 255)):
        with w.connect(proxy) as s:
            answer = login(s, name, password)
            assert answer[0] == 1 and answer[1] != 0, name
            assert s.recv(1) == b""
    proxy.wait("wrong user name or password")
    assert "secret" not in proxy.words()


@test("users: wrong ones are a warning once a minute, not a line each")
def _(w):
    with_users(w)
    proxy = w.start("--listen", "127.0.0.1:0", "--users", w.users_file, "--log-format", "json")
    wrong = base64.b64encode(b"alice:wrong")
    for _ in range(3):
        with w.connect(proxy) as s:
            assert login(s, b"alice", b"wrong")[1] != 0
        with w.connect(proxy) as s:
            s.sendall(b"GET http://x/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic " + wrong + b"\r\n\r\n")
            assert read_exactly(s, 12) == b"HTTP/1.1 407"

    def lines():
        said = [json.loads(line) for line in proxy.words().splitlines(True) if line.endswith("\n")]
        return [line["level"] for line in said if "wrong user name" in line["message"]]
    wait_until("all are said with -v", lambda: len(lines()) == 6)
    assert lines()[0] == "warning" and "info" in lines(), lines()


@test("users: greeting with GSSAPI first, credentials, request and data at once; RSV is not looked at")
def _(w):
    with w.connect(with_users(w)) as s:
        s.sendall(b"\5\3\1\0\2" + b"\1\5alice\6secret" + b"\5\1\x4d" + socks_address(SERVER, ECHO) + b"early")
        assert read_exactly(s, 4) == b"\5\2\1\0"
        assert read_reply(s)[0] == 0
        assert read_exactly(s, 5) == b"early"


@test("users: nothing else is let in: no method, SOCKS 4, HTTP")
def _(w):
    proxy = with_users(w)
    with w.connect(proxy) as s:
        s.sendall(b"\5\1\0")
        assert read_all(s) == b"\5\xff"
    with w.connect(proxy) as s:
        s.sendall(b"\4\1\x0f\xa7\x0a\x09\0\1\0")
        try:
            assert s.recv(8) == b""
        except ConnectionResetError:
            pass
    with w.connect(proxy) as s:
        s.sendall(b"CONNECT 10.9.0.1:4007 HTTP/1.1\r\n\r\n")
        assert read_exactly(s, 12) == b"HTTP/1.1 407"
    assert w.curl(f"http://{SERVER}:8080/", proxy=proxy, user="alice:secret").returncode == 0
    assert w.curl(f"http://{SERVER}:8080/", proxy=proxy, user="alice:wrong").returncode == 97


@test("users: the file is read again on SIGHUP")
def _(w):
    proxy = with_users(w)
    w.write("users", "dora:new\n")
    proxy.process.send_signal(1)
    proxy.wait("was read again")
    wait_until("she is let in", lambda: w.curl(f"http://{SERVER}:8080/", proxy=proxy, user="dora:new").returncode == 0)
    assert w.curl(f"http://{SERVER}:8080/", proxy=proxy, user="alice:secret").returncode == 97


@test("SIGHUP without a file to read again: as SIGTERM")
def _(w):
    proxy = w.start("--socks5", "127.0.0.1:0")
    proxy.process.send_signal(1)
    assert proxy.process.wait(60) == 0


# ---- requests ----

@test("addresses: IPv4, IPv6, names, literals as names, a final dot")
def _(w):
    for host in (SERVER, "fd09::1", "web.test", "v6.test", "alias.test"):
        with w.connect() as s:
            assert socks(s, host, ECHO)[0] == 0, host
            echoes(s)
    for literal in (b"10.9.0.1", b"fd09::1", b"[fd09::1]", b"web.test."):
        with w.connect() as s:
            s.sendall(b"\5\1\0\5\1\0\3" + bytes([len(literal)]) + literal + struct.pack("!H", ECHO))
            assert read_exactly(s, 2) == b"\5\0"
            assert read_reply(s)[0] == 0, literal
            echoes(s)


@test("BND is the connection's own address in the tunnel, of the right family")
def _(w):
    for host, own in ((SERVER, "10.9.0.2"), ("fd09::1", "fd09::2")):
        with w.connect() as s:
            code, bound, port = socks(s, host, 8080)
            assert (code, bound) == (0, own)
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert f'"from": {port},'.encode() in read_all(s)


@test("errors: refused 05, no route 03, loopback 02, no name 04, command 07, type 08, port 0 01")
def _(w):
    for host, port, command, code in ((SERVER, 9, 1, 5), ("fd09::1", 9, 1, 5), ("10.10.0.1", 80, 1, 3),
                                      ("2001:db8::1", 80, 1, 3), ("127.0.0.1", 80, 1, 2), ("::1", 80, 1, 2),
                                      ("169.254.169.254", 80, 1, 2), ("0.0.0.0", 80, 1, 2), ("224.0.0.1", 80, 1, 2),
                                      ("::ffff:127.0.0.1", 80, 1, 2), ("nope.test", 80, 1, 4), (SERVER, 80, 9, 7),
                                      (SERVER, 0, 1, 1)):
        with w.connect() as s:
            reply = socks(s, host, port, command)
            assert reply[0] == code, (host, port, command, reply)
            assert s.recv(1) == b"", "closed after a failure"
    with w.connect() as s:
        s.sendall(b"\5\1\0\5\1\0\7abc")
        assert read_exactly(s, 2) == b"\5\0" and read_reply(s)[0] == 8


@test("a silent host: 04 after --connect-timeout, not before")
def _(w):
    with w.connect(w.impatient()) as s:
        start = time.monotonic()
        assert socks(s, "10.9.1.1", 80)[0] == 4
        assert time.monotonic() - start > 2.5


@test("names: NUL, blanks and empty ones are refused")
def _(w):
    for name in (b"web.test\0", b"web test", b"", b".", b"a" * 255):
        with w.connect() as s:
            s.sendall(b"\5\1\0\5\1\0\3" + bytes([len(name)]) + name + b"\0\x50")
            assert read_exactly(s, 2) == b"\5\0" and read_reply(s)[0] == 4, name


@test("SOCKS 4 and 4a: 90 and 91")
def _(w):
    port = struct.pack("!H", ECHO)
    for request, code in ((b"\4\1" + port + b"\x0a\x09\0\1user\0", 90), (b"\4\1" + port + b"\0\0\0\7\0web.test\0", 90),
                          (b"\4\1\0\x09\x0a\x09\0\1\0", 91), (b"\4\1" + port + b"\0\0\0\1\0nope.test\0", 91)):
        with w.connect() as s:
            drip(s, request)
            reply = read_exactly(s, 8)
            assert (reply[0], reply[1]) == (0, code), request
            if code == 90:
                echoes(s)


@test("Happy Eyeballs: IPv6 that is not answered costs a moment, not a time-out")
def _(w):
    # both.test has 10.9.0.1 and an IPv6 address in AllowedIPs where nobody is
    proxy = w.start("--listen", "127.0.0.1:0", "--connect-timeout", "100s")
    start = time.monotonic()
    with w.connect(proxy) as s:
        s.settimeout(200)
        assert socks(s, "both.test", ECHO)[0] == 0
        echoes(s)
    assert time.monotonic() - start < 50
    assert proxy.stop() == 0


@test("Happy Eyeballs: a name whose first address is silent")
def _(w):
    # long.test has 16 addresses, of which only 10.9.0.1 answers
    with w.connect() as s:
        assert socks(s, "long.test", ECHO)[0] == 0
        echoes(s)


# ---- relay ----

@test("half-close: the answer comes after the client has finished")
def _(w):
    with w.connect() as s:
        assert socks(s, SERVER, COUNT)[0] == 0
        s.sendall(b"x" * 300000)
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"300000\n"


@test("a reset behind the tunnel is a reset at the client, after the data before it")
def _(w):
    with w.connect() as s:
        assert socks(s, SERVER, PARTIAL)[0] == 0
        s.sendall(b"x")
        assert read_exactly(s, 7) == b"partial"
        assert ends_in_reset(s)


@test("a client's reset goes on: the other side does not wait")
def _(w):
    proxy = w.start("--listen", "127.0.0.1:0", "--linger", "200s")
    s = w.connect(proxy)
    assert socks(s, SERVER, ECHO)[0] == 0
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    assert proxy.stop(100) == 0, "nothing was left to drain"


OWN = """
import http.server, socket, sys, threading
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.client_address[0].encode())
    def log_message(self, *a):
        pass
web = http.server.HTTPServer(("10.9.0.2", 8090), Page)
threading.Thread(target=web.serve_forever, daemon=True).start()
count = socket.create_server(("10.9.0.2", 8091))
print("ready", flush=True)
while True:
    s, _ = count.accept()
    n = 0
    while data := s.recv(65536):
        n += len(data)
    s.sendall(b"%d\\n" % n)
    s.close()
"""


@test("the tunnel's own address: a program that is wrapped with the same file; 05 where none listens")
def _(w):
    proxy = w.proxy()
    with subprocess.Popen([WGWRAP, "-c", w.conf, "--", sys.executable, "-c", OWN], stdout=subprocess.PIPE,
                          env=w.environment("client")) as program:
        try:
            assert program.stdout.readline() == b"ready\n"
            for size in (0, 5, 3000000):
                with w.connect(proxy) as s:
                    assert socks(s, "10.9.0.2", 8091)[0] == 0
                    s.sendall(b"x" * size)
                    s.shutdown(socket.SHUT_WR)
                    assert read_all(s) == b"%d\n" % size
            for scheme in ("socks5h", "http"):
                done = w.curl("http://10.9.0.2:8090/", scheme=scheme)
                assert done.stdout == "10.9.0.2", done
            with w.connect(proxy) as s:
                assert socks(s, "10.9.0.2", 8092)[0] == 5
            with w.connect(proxy) as s:
                assert socks(s, "fd09::2", 8091)[0] == 5
        finally:
            program.terminate()


@test("back-pressure: a client that does not read does not fill the proxy's memory")
def _(w):
    with w.connect() as s:
        assert socks(s, SERVER, ECHO)[0] == 0
        s.setblocking(False)
        sent, stuck = 0, time.monotonic()
        while time.monotonic() - stuck < 2 and sent < 128 << 20:
            try:
                sent += s.send(b"y" * 65536)
                stuck = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        # there and back a window of the stack's, 16 MiB at most, and the kernel's buffers
        assert sent < 80 << 20, sent
        s.settimeout(60)
        s.shutdown(socket.SHUT_WR)
        assert len(read_all(s)) == sent


# ---- UDP ASSOCIATE ----

def associate(w, proxy=None):
    control = w.connect(proxy)
    code, host, port = socks(control, "0.0.0.0", 0, 3)
    assert (code, host) == (0, "127.0.0.1")
    relay = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    relay.settimeout(60)
    relay.connect((host, port))
    return control, relay


def ask(relay, host, port, payload=b"payload"):
    relay.send(b"\0\0\0" + socks_address(host, port) + payload)
    return split(relay.recv(65536))


def split(datagram):
    """Source and payload of a datagram from the relay."""
    assert datagram[:3] == b"\0\0\0"
    size = 4 if datagram[3] == 1 else 16
    family = socket.AF_INET if datagram[3] == 1 else socket.AF_INET6
    host = socket.inet_ntop(family, datagram[4:4 + size])
    return host, struct.unpack("!H", datagram[4 + size:6 + size])[0], datagram[6 + size:]


@test("UDP: IPv4, IPv6 and names; replies carry the true source")
def _(w):
    control, relay = associate(w)
    with control, relay:
        for host, source in ((SERVER, SERVER), ("fd09::1", "fd09::1"), ("v4.test", SERVER), ("v4.test", SERVER)):
            answer = ask(relay, host, UDP_ECHO)
            assert answer[:2] == (source, UDP_ECHO) and answer[2].endswith(b" payload"), (host, answer)
        host, port, payload = ask(relay, SERVER, UDP_OTHER)
        assert host == SERVER and port != UDP_OTHER and payload.endswith(b" payload")


@test("UDP: one mapping for all destinations")
def _(w):
    control, relay = associate(w)
    with control, relay:
        ports = {ask(relay, SERVER, port)[2].split()[0] for port in (UDP_ECHO, UDP_OTHER)}
        assert len(ports) == 1, ports


@test("UDP: fragments, strangers and bad headers are dropped")
def _(w):
    control, relay = associate(w)
    with control, relay, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        assert ask(relay, SERVER, UDP_ECHO)[2].endswith(b"payload")
        address = socks_address(SERVER, UDP_ECHO)
        relay.send(b"\0\0\1" + address + b"fragment")
        relay.send(b"\0\1\0" + address + b"reserved")
        relay.send(b"\0\0\0\7" + address[1:] + b"type")
        relay.send(b"\0\0")
        stranger.connect(relay.getpeername())
        stranger.send(b"\0\0\0" + address + b"stranger")
        assert ask(relay, SERVER, UDP_ECHO, b"after")[2].endswith(b" after")
        stranger.settimeout(0.5)
        try:
            assert not stranger.recv(100)
        except TimeoutError:
            pass


@test("UDP: 8,000 and 65,000 bytes in one datagram")
def _(w):
    for size in (8000, 65000):
        control, relay = associate(w)
        data = os.urandom(size)
        with control, relay:
            assert ask(relay, SERVER, UDP_ECHO, data)[2].endswith(data)


@test("UDP: the relay is at the listener's address alone, for the client's address and the port it named alone")
def _(w):
    with w.connect() as control, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as relay, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        datagram = b"\0\0\0" + socks_address(SERVER, UDP_ECHO) + b"first"
        relay.bind(("127.0.0.1", 0))
        relay.settimeout(60)
        code, host, at = socks(control, "0.0.0.0", relay.getsockname()[1], 3)
        assert (code, host) == (0, "127.0.0.1")
        other.bind(("127.0.0.2", 0))
        for stranger in (other, port):  # before the client itself
            stranger.sendto(datagram, (host, at))
        relay.connect((host, at))
        assert ask(relay, SERVER, UDP_ECHO)[2].endswith(b" payload")
        for stranger in (other, port):
            stranger.settimeout(0.2)
            try:
                assert not stranger.recv(100)
            except TimeoutError:
                pass
        other.connect(("127.0.0.2", at))
        other.send(datagram)
        other.settimeout(60)
        try:
            other.recv(100)
            raise AssertionError("the relay is at another address of the host, too")
        except ConnectionRefusedError:
            pass


@test("UDP: the association ends with its control connection")
def _(w):
    control, relay = associate(w)
    with relay:
        assert ask(relay, SERVER, UDP_ECHO)[2]
        control.close()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                relay.send(b"\0\0\0" + socks_address(SERVER, UDP_ECHO) + b"late")
                time.sleep(0.05)
            except ConnectionRefusedError:
                return
        raise AssertionError("the relay is still open")


# ---- BIND ----

@test("BIND: two replies, then the connection")
def _(w):
    with w.connect() as s, w.connect() as caller:
        code, host, port = socks(s, SERVER, 0, 2)
        assert (code, host) == (0, "10.9.0.2") and port
        assert socks(caller, SERVER, CALL)[0] == 0
        caller.sendall(f"{host} {port}\n".encode())
        line = b""
        while not line.endswith(b"\n"):
            line += read_exactly(caller, 1)
        assert read_exactly(s, 3) == b"\5\0\0"
        assert read_address(s) == (SERVER, int(line)), line
        assert read_exactly(s, 7) == b"called\n"
        echoes(s)


@test("BIND: a connection from a host that was not named does not count")
def _(w):
    with w.connect() as s, w.connect() as caller:
        code, host, port = socks(s, "10.9.1.1", 0, 2)
        assert (code, host) == (0, "10.9.0.2")
        assert socks(caller, SERVER, CALL)[0] == 0
        caller.sendall(f"{host} {port}\n".encode())
        caller.recv(100)  # its connect has ended, one way or the other
        s.settimeout(0.5)
        try:
            assert not s.recv(10), "a second reply"
            raise AssertionError("the listener is given up")
        except TimeoutError:
            pass


# ---- listeners ----

@test("a unix socket has mode 0600 and is gone afterwards")
def _(w):
    path = w.path("socks.sock")
    proxy = w.start("--listen", f"unix:{path}")
    assert os.stat(path).st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        assert socks(s, SERVER, ECHO)[0] == 0
        echoes(s)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        assert socks(s, "0.0.0.0", 0, 3)[0] == 2, "an association needs a port here"
    assert proxy.stop() == 0
    assert not os.path.exists(path)


@test("a listener on IPv6's loopback")
def _(w):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        tap.skip("this host has no ::1")
    proxy = w.start("--listen", "[::1]:0")
    with socket.create_connection(("::1", proxy.port()), 60) as s:
        assert socks(s, SERVER, ECHO)[0] == 0
        echoes(s)
    with socket.create_connection(("::1", proxy.port()), 60) as control:
        code, host, port = socks(control, "::", 0, 3)
        assert (code, host) == (0, "::1")
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as relay:
            relay.settimeout(60)
            relay.connect((host, port))
            assert ask(relay, SERVER, UDP_ECHO)[2].endswith(b" payload")


@test("clients that say nothing keep nobody out: the oldest give way, with users and without")
def _(w):
    for options in ((), ("--users", w.write("some", "a:b\n"))):
        proxy = w.start("--listen", "127.0.0.1:0", *options)

        def serve(with_users=options):
            with w.connect(proxy) as s:
                if with_users:
                    s.sendall(b"\5\1\2\1\1a\1b" + socks_request(SERVER, ECHO))
                    assert read_exactly(s, 4) == b"\5\2\1\0"
                    assert read_reply(s)[0] == 0
                else:
                    assert socks(s, SERVER, ECHO)[0] == 0
                echoes(s)
        assert oldest_give_way(w, proxy, serve), proxy.words()[-1000:]
        assert proxy.stop() == 0


@test("an open listener beyond loopback is refused, with users it is not")
def _(w):
    proxy = w.start("--listen", "0.0.0.0:0", ready=None)
    assert proxy.process.wait(60) == 1
    assert "--users FILE, a unix socket, or --allow-open-proxy" in proxy.words()
    for option, words in ((("-L", f"0.0.0.0:0:{SERVER}:80"), "give a unix socket, or --allow"), (("--sni", "0.0.0.0:0"),
                          "give a unix socket, or --allow"), (("-L", f"*:9:{SERVER}:80:udp"), "give --allow-open-proxy")):
        proxy = w.start(*option, ready=None)
        assert proxy.process.wait(60) == 1 and words in proxy.words(), proxy.words()
    users = w.write("some", "a:b\n")
    assert w.start("--listen", "0.0.0.0:0", "--users", users).stop() == 0
    assert w.start("--listen", "0.0.0.0:0", "--allow-open-proxy").stop() == 0
    proxy = w.start("-L", f"0:{SERVER}:80", "--users", users, ready=None)
    assert proxy.process.wait(60) == 3 and "--users" in proxy.words(), "a forward asks nobody"


@test("SIGTERM: what is open may end, then status 0; nothing new is accepted")
def _(w):
    proxy = w.start("--listen", "127.0.0.1:0", "--linger", "100s")
    s = w.connect(proxy)
    assert socks(s, SERVER, COUNT)[0] == 0
    s.sendall(b"before")
    proxy.process.terminate()
    w.refuses(proxy)
    s.sendall(b" and after")
    s.shutdown(socket.SHUT_WR)
    assert read_all(s) == b"16\n"
    assert proxy.process.wait(60) == 0


@test("SIGTERM: what does not end is reset after --linger")
def _(w):
    proxy = w.start("--listen", "127.0.0.1:0", "--linger", "1s")
    with w.connect(proxy) as s:
        assert socks(s, SERVER, ECHO)[0] == 0
        assert proxy.stop() == 0
        assert ends_in_reset(s)


if __name__ == "__main__":
    tap.main(Proxied)
