#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
http.py - the HTTP side of `wgwrap proxy`: CONNECT and requests in absolute form
"""

import hashlib
import json
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import tap  # noqa: E402
from lib.proxied import SERVER, Proxied, drip, ends_in_reset, key, read_all, read_exactly  # noqa: E402
from lib.tap import test  # noqa: E402

URL = f"http://{SERVER}:8080"
HOST = f"{SERVER}:8080"


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


def read_line(s):
    line = b""
    while not line.endswith(b"\n"):
        line += read_exactly(s, 1)
    assert line.endswith(b"\r\n"), line
    return line[:-2].decode()


def read_head(s):
    status = int(read_line(s).split()[1])
    headers = {}
    while line := read_line(s):
        name, value = line.split(": ", 1)
        headers.setdefault(name.lower(), value)
    return status, headers


def read_response(s, method="GET"):
    status, headers = read_head(s)
    if method == "HEAD" or status in (204, 304) or status < 200:
        return Response(status, headers, b"")
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(read_line(s), 16):
            body += read_exactly(s, size)
            assert read_exactly(s, 2) == b"\r\n"
        assert read_line(s) == ""
        return Response(status, headers, body)
    if "content-length" in headers:
        return Response(status, headers, read_exactly(s, int(headers["content-length"])))
    return Response(status, headers, read_all(s))


def request(method, path="/", *headers, body=b"", version="1.1", url=URL):
    lines = [f"{method} {url}{path} HTTP/{version}", "Host: ignored.example", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def one(w, data, method="GET"):
    with w.connect() as s:
        s.sendall(data)
        return read_response(s, method)


@test("curl: CONNECT by name, address and IPv6; absolute form")
def _(w):
    for host in ("web.test", SERVER, "[fd09::1]"):
        for options in (("-p",), ()):
            done = w.curl(*options, f"http://{host}:8080/x", scheme="http")
            assert done.returncode == 0 and '"path": "/x"' in done.stdout, (host, options, done)


@test("CONNECT: 200 without body fields; bytes behind the head go on")
def _(w):
    with w.connect() as s:
        s.sendall(f"CONNECT {SERVER}:4007 HTTP/1.1\r\nHost: x\r\n\r\nearly".encode())
        assert read_head(s) == (200, {})
        assert read_exactly(s, 5) == b"early"
        s.sendall(b"more")
        assert read_exactly(s, 4) == b"more"
    with w.connect() as s:
        drip(s, b"CONNECT [fd09::1]:4007 HTTP/1.0\r\n\r\n")
        assert read_head(s) == (200, {})
        s.sendall(b"more")
        assert read_exactly(s, 4) == b"more"


@test("CONNECT: half-close and reset as they are")
def _(w):
    with w.connect() as s:
        s.sendall(f"CONNECT {SERVER}:4008 HTTP/1.1\r\n\r\n".encode() + b"x" * 1000)
        s.shutdown(socket.SHUT_WR)
        assert read_head(s)[0] == 200
        assert read_all(s) == b"1000\n"
    with w.connect() as s:
        s.sendall(f"CONNECT {SERVER}:4009 HTTP/1.1\r\n\r\nx".encode())
        assert read_head(s)[0] == 200
        assert read_exactly(s, 7) == b"partial"
        assert ends_in_reset(s)


@test("errors: 400, 403, 502, 504 with a text that says why")
def _(w):
    for line, status, text in ((f"CONNECT {SERVER}:9", 502, "refused"), ("CONNECT nope.test:80", 502, "name"),
                               ("CONNECT 127.0.0.1:80", 403, "loopback"), ("CONNECT 10.10.0.1:80", 502, "no route"),
                               ("CONNECT 10.9.1.1:80", 504, "no answer"), (f"CONNECT {SERVER}", 400, "host:port"),
                               ("GET /origin", 400, "this is a proxy"), ("GET ftp://web.test/", 400, "this is a proxy"),
                               (f"GET http://u:p@{HOST}/", 400, "this is a proxy"),
                               (f"GET http://{SERVER}:9/", 502, "refused"), ("GET http://nope.test/", 502, "name"),
                               ("GET http://[::1]/", 403, "loopback")):
        with w.connect(w.impatient() if status == 504 else None) as s:
            s.sendall(f"{line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = read_response(s)
            assert answer.status == status and text in answer.body.decode(), (line, answer.status, answer.body)


@test("503 when no peer answers at all")
def _(w):
    conf = w.write("silent.conf", w.client_config().replace(f"127.0.0.1:{w.udp_port}", "127.0.0.1:9")
                   .replace(w.private[1], key("genkey")))
    proxy = w.start("--http", "127.0.0.1:0", "--connect-timeout", "1s", conf=conf)
    for line in (f"CONNECT {SERVER}:80", f"GET http://{SERVER}/"):
        with w.connect(proxy) as s:
            s.sendall(f"{line} HTTP/1.1\r\n\r\n".encode())
            answer = read_response(s)
            assert answer.status == 503 and b"no peer answers" in answer.body, answer.body
    assert proxy.stop() == 0


@test("every method")
def _(w):
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "REPORT", "TRACE"):
        body = b"x" * 10 if method in ("POST", "PUT", "PATCH", "PROPFIND", "REPORT") else b""
        fields = [f"Content-Length: {len(body)}"] if body else []
        answer = one(w, request(method, "/m?q=1#fragment", *fields, body=body), method)
        assert answer.status == 200, method
        if method != "HEAD":
            seen = answer.json()
            assert (seen["method"], seen["path"], seen["length"]) == (method, "/m?q=1", len(body)), seen


@test("target forms: no path, query only, OPTIONS *")
def _(w):
    assert one(w, request("GET", "")).json()["path"] == "/"
    assert one(w, request("GET", "?a")).json()["path"] == "/?a"
    assert one(w, request("OPTIONS", "")).json()["path"] == "*"


@test("Host is the target's; what is the hop's or the proxy's stays here, the rest is kept")
def _(w):
    seen = one(w, request("GET", "/", "Proxy-Authorization: Basic YTpi", "Proxy-Connection: keep-alive", "X-Mine: 1",
                          "Connection: X-Drop, keep-alive", "X-Drop: 2", "Keep-Alive: 5", "TE: trailers",
                          "Cookie: a=b")).json()
    names = [name.lower() for name, _ in seen["headers"]]
    assert dict(seen["headers"])["Host"] == HOST, seen
    assert names == ["host", "x-mine", "cookie"], names
    answer = one(w, request("GET", "/hop"))
    assert answer.body == b"hop" and "x-secret" not in answer.headers and "x-public" in answer.headers


@test("one client connection, requests to two hosts: each goes to its own")
def _(w):
    with w.connect() as s:
        for host, at in ((SERVER, f"::ffff:{SERVER}"), ("[fd09::1]", "fd09::1"), (SERVER, f"::ffff:{SERVER}")):
            s.sendall(request("GET", url=f"http://{host}:8080"))
            assert read_response(s).json()["at"] == at


@test("the connection to a host is used again; one that was closed meanwhile is made anew")
def _(w):
    with w.connect() as s:
        ports = set()
        for _ in range(3):
            s.sendall(request("GET"))
            ports.add(read_response(s).json()["from"])
        assert len(ports) == 1, ports
        s.sendall(request("GET", "/goodbye"))
        assert read_response(s).body == b"bye"
        time.sleep(0.3)
        s.sendall(request("GET"))
        assert read_response(s).json()["from"] not in ports


@test("a connection that ends where the answer is due: 502 at once, also of a request whose body has gone")
def _(w):
    for method, body in (("GET", b""), ("PUT", b"gone"), ("DELETE", b"gone"), ("POST", b"gone")):
        with w.connect() as s:
            s.sendall(request("GET"))
            assert read_response(s).status == 200
            s.sendall(request(method, "/no-answer", f"Content-Length: {len(body)}", body=body))
            assert read_response(s).status == 502, method


@test("a response that ends in its head is no answer: 502, and nothing that comes later completes it")
def _(w):
    with w.connect() as s:
        s.sendall(request("GET"))
        assert read_response(s).status == 200
        s.sendall(request("GET", "/cut-head"))
        answer = read_response(s)
        assert answer.status == 502, (answer.status, answer.headers)
    assert one(w, request("GET", "/cut-head")).headers["x-cut"] == "no"


@test("empty lines before a request, more of them than a head may be long")
def _(w):
    with w.connect() as s:
        s.sendall(request("GET"))
        assert read_response(s).status == 200
        s.sendall(b"\r\n" * 500000 + request("GET"))
        assert read_response(s).status == 200


@test("requests that were sent before the answers came")
def _(w):
    with w.connect() as s:
        s.sendall(b"".join(request("GET", f"/{i}") for i in range(20)))
        for i in range(20):
            assert read_response(s).json()["path"] == f"/{i}"


@test("bodies: length, chunks, 5 MB, one byte at a time")
def _(w):
    data = os.urandom(5 << 20)
    digest = hashlib.sha256(data).hexdigest()
    assert one(w, request("POST", "/", f"Content-Length: {len(data)}", body=data)).json()["sha256"] == digest
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(data[i:i + 50000]), data[i:i + 50000])
                      for i in range(0, len(data), 50000)) + b"0\r\n\r\n"
    assert one(w, request("PUT", "/", "Transfer-Encoding: chunked", body=chunks)).json()["sha256"] == digest
    with w.connect() as s:
        drip(s, request("POST", "/", "Transfer-Encoding: chunked", body=b"3;x=y\r\nabc\r\n0\r\nTrailer: t\r\n\r\n"))
        assert read_response(s).json()["length"] == 3
        s.sendall(request("GET", "/after"))
        assert read_response(s).json()["path"] == "/after"


@test("responses: chunks, until the end, HEAD, cut short")
def _(w):
    with w.connect() as s:
        s.sendall(request("GET", "/chunked") + request("HEAD", "/") + request("GET", "/next"))
        assert len(read_response(s).body) == 6 + 7 + 70000 + 5
        assert read_response(s, "HEAD").status == 200
        assert read_response(s).json()["path"] == "/next"
        s.sendall(request("GET", "/until-end"))
        answer = read_response(s)
        assert answer.body == b"z" * 100000 and answer.headers["connection"] == "close"
    with w.connect() as s:
        s.sendall(request("GET", "/truncated"))
        assert read_head(s)[0] == 200
        assert ends_in_reset(s), "a response that is cut short must not look complete"


@test("HTTP/1.0: contents of chunks, then the end; keep-alive when asked for")
def _(w):
    with w.connect() as s:
        s.sendall(request("GET", "/chunked", version="1.0"))
        status, headers = read_head(s)
        assert status == 200 and "transfer-encoding" not in headers
        assert len(read_all(s)) == 6 + 7 + 70000 + 5
    with w.connect() as s:
        s.sendall(request("GET", "/", version="1.0"))
        assert read_response(s).status == 200 and s.recv(1) == b""
    with w.connect() as s:
        for _ in range(2):
            s.sendall(request("GET", "/", "Connection: keep-alive", version="1.0"))
            assert read_response(s).status == 200


@test("100 Continue, and a server that answers before the body")
def _(w):
    with w.connect() as s:
        s.sendall(request("POST", "/", "Expect: 100-continue", "Content-Length: 5"))
        assert read_response(s).status == 100
        s.sendall(b"hello")
        assert read_response(s).json()["length"] == 5
    with w.connect() as s:
        s.sendall(request("POST", "/early", "Content-Length: 1000000"))
        assert read_response(s).status == 413
        assert s.recv(1) == b"", "the connection cannot be used again"


@test("Upgrade: 101, then bytes both ways")
def _(w):
    with w.connect() as s:
        s.sendall(request("GET", "/websocket", "Connection: Upgrade", "Upgrade: websocket",
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
        status, headers = read_head(s)
        assert status == 101 and headers["upgrade"] == "websocket"
        assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert read_exactly(s, 8) == b"switched"
        s.sendall(b"frame")
        assert read_exactly(s, 5) == b"frame"


@test("what two readers would read differently is refused: 400")
def _(w):
    host = f"GET {URL}/ HTTP/1.1\r\nHost: x\r\n"
    for head in (host + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                 host + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
                 host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
                 host + "Content-Length: 1, 1\r\n\r\n", host + "Content-Length: +1\r\n\r\n",
                 host + "Content-Length: -1\r\n\r\n",
                 host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                 host + "Transfer-Encoding: gzip, chunked\r\n\r\n", host + "Transfer-Encoding: xchunked\r\n\r\n",
                 host + "Host: y\r\n\r\n", host + "X-Folded: a\r\n b\r\n\r\n", host + "X-Bare: a\nX: b\r\n\r\n",
                 host + "Content-Length : 1\r\n\r\n", host + "X\0Y: 1\r\n\r\n", host.replace("1.1", "2.0") + "\r\n",
                 f"GET {URL}/ \r\n\r\n", f"G@T {URL}/ HTTP/1.1\r\n\r\n", "\x16\x03\x01\r\n\r\n",
                 host + "".join(f"X-{i}: 1\r\n" for i in range(300)) + "\r\n"):
        answer = one(w, head.encode("latin-1"))
        assert answer.status == 400, (head, answer.status)


@test("a head of more than 64 KiB is refused")
def _(w):
    with w.connect() as s:
        s.sendall(f"GET {URL}/ HTTP/1.1\r\n".encode())
        try:
            for _ in range(9):
                s.sendall(b"X-Long: " + b"x" * 8000 + b"\r\n")
            assert read_response(s).status in (400, 431)
        except (BrokenPipeError, ConnectionResetError):
            pass


@test("bodies that are none end the connection: a chunk without a size")
def _(w):
    with w.connect() as s:
        s.sendall(request("POST", "/", "Transfer-Encoding: chunked", body=b"zz\r\n"))
        try:
            assert s.recv(100) == b"" or True
        except ConnectionResetError:
            pass
    assert one(w, request("GET")).status == 200


@test("users: 407 when missing, wrong and malformed; the connection goes on")
def _(w):
    proxy = w.start("--http", "127.0.0.1:0", "--users", w.write("users", "user:pass:word\n"))
    with w.connect(proxy) as s:
        for field in ((), ("Proxy-Authorization: Basic d3Jvbmc6d3Jvbmc=",), ("Proxy-Authorization: Basic !!",),
                      ("Proxy-Authorization: Bearer x",), ("Proxy-Authorization: Basic dXNlcg==",)):
            s.sendall(request("GET", "/", *field))
            answer = read_response(s)
            assert answer.status == 407 and answer.headers["proxy-authenticate"].startswith("Basic "), field
        s.sendall(request("GET", "/", "Proxy-Authorization: basic dXNlcjpwYXNzOndvcmQ="))
        answer = read_response(s)
        assert answer.status == 200 and "proxy-authorization" not in str(answer.json()).lower()
    for options in ((), ("-p",)):
        assert w.curl(*options, URL, proxy=proxy, scheme="http", user="user:pass%3Aword").returncode == 0
        done = w.curl(*options, "-f", URL, proxy=proxy, scheme="http", user="user:wrong")
        assert done.returncode in (22, 56), done
    with w.connect(proxy) as s:  # not a SOCKS listener
        s.sendall(b"\5\1\0")
        s.shutdown(socket.SHUT_WR)
        assert b"\5" not in read_all(s)[:1]


if __name__ == "__main__":
    tap.main(Proxied)
