#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
proxied_server.py - the servers that the tests of proxies reach through the tunnel

	TCP 8080  HTTP/1.1: any method and path is answered with what came, as JSON; special paths below
	TCP 4007  echo, until the client has finished
	TCP 4008  reads to the end, then tells how many bytes, then finishes: needs half-close
	TCP 4009  sends "partial" and resets
	TCP 4012  a line "HOST PORT": connects there, sends "called\\n" and echoes; tells its source port first
	TCP 4014  reads a byte, then sends 20 of them, one every 5 ms
	TCP 4013  the same as 4012, and then passes on what comes from either side
	TCP 4015  a line NAME: is told "noted\\n"; reads to the end and notes how it came; a line ?NAME: tells that
	UDP 4010  answers "SOURCE-PORT PAYLOAD"
	UDP 4011  the same from another port

Prints "ready" when all serve.
"""

import base64
import contextlib
import hashlib
import http.server
import json
import socket
import struct
import threading
import time

CHUNKS = [b"first ", b"second ", b"x" * 70000, b" last"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served, cut = 0, False

    def body(self):
        if self.headers.get("Expect") == "100-continue":
            pass  # BaseHTTPRequestHandler has answered
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                data += self.rfile.read(size)
                while size == 0 and self.rfile.readline() != b"\r\n":
                    pass  # trailers
                if size == 0:
                    return data
                self.rfile.readline()
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def send(self, data, **headers):
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def answer(self):
        Handler.served += 1
        path = self.path.split("?")[0]
        if path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for chunk in CHUNKS:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")
        elif path == "/until-end":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Kind: until-end\r\n\r\n" + b"z" * 100000)
        elif path == "/truncated":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"t" * 1000)
        elif path == "/goodbye":  # says keep-alive, closes
            self.send(b"bye")
            self.close_connection = True
        elif path == "/no-answer":
            self.body()
            self.close_connection = True
        elif path == "/cut-head":  # the first time, then whole
            self.close_connection = True
            Handler.cut = not Handler.cut
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Cut: " + (b"" if Handler.cut else b"no\r\nContent-Length: 0\r\n\r\n"))
        elif path == "/hop":
            self.send(b"hop", Connection="X-Secret, keep-alive", X_Secret="1", Keep_Alive="timeout=5", X_Public="2")
        elif path == "/early":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
        elif path == "/websocket":
            self.websocket()
        else:
            data = self.body()
            self.send(json.dumps({
                "method": self.command, "path": self.path, "headers": self.headers.items(), "length": len(data),
                "sha256": hashlib.sha256(data).hexdigest(), "from": self.client_address[1],
                "at": self.connection.getsockname()[0]}).encode())

    def websocket(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"switched")
        self.close_connection = True
        while data := self.connection.recv(65536):
            self.connection.sendall(data)

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 256
    daemon_threads = True


def echo(s):
    while data := s.recv(65536):
        s.sendall(data)


def count(s):
    n = 0
    while data := s.recv(65536):
        n += len(data)
    s.sendall(b"%d\n" % n)


def partial(s):
    s.recv(1)
    s.sendall(b"partial")
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def slowly(s):
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.recv(1)
    for _ in range(20):
        time.sleep(0.005)
        s.sendall(b"x")
    s.recv(1)


def relay(s, out):
    def back():
        try:
            while data := out.recv(65536):
                s.sendall(data)
        except OSError:
            pass
        with contextlib.suppress(OSError):
            s.shutdown(socket.SHUT_WR)
    thread = threading.Thread(target=back, daemon=True)
    thread.start()
    while data := s.recv(65536):
        out.sendall(data)
    out.shutdown(socket.SHUT_WR)
    thread.join()


def call(s, then=lambda s, out: echo(out)):
    line = b""
    while not line.endswith(b"\n"):
        line += s.recv(1)
    host, port = line.split()
    try:
        with socket.create_connection((host.decode(), int(port)), timeout=10) as out:
            s.sendall(b"%d\n" % out.getsockname()[1])
            out.sendall(b"called\n")
            then(s, out)
    except OSError as e:
        s.sendall(b"error %s\n" % str(e).encode())


ENDS = {}


def end(s):
    line = b""
    while not line.endswith(b"\n"):
        line += s.recv(1)
    name = line.strip()
    if name.startswith(b"?"):
        s.sendall(ENDS.get(name[1:], b"none") + b"\n")
        return
    s.sendall(b"noted\n")
    try:
        while s.recv(65536):
            pass
        ENDS[name] = b"finished"
    except ConnectionResetError:
        ENDS[name] = b"reset"


def tcp(port, serve):
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=256)

    def one(s):
        with s:
            try:
                serve(s)
            except OSError:
                pass

    def accept():
        while True:
            s, _ = listener.accept()
            threading.Thread(target=one, args=(s,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()


def udp(port, other):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::", port))
    out = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) if other else s
    if other:
        out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        out.bind(("::", 0))

    def serve():
        while True:
            data, address = s.recvfrom(65536)
            try:
                out.sendto(b"%d %s" % (address[1], data), address)
            except OSError:
                pass
    threading.Thread(target=serve, daemon=True).start()


def main():
    for port, serve in ((4007, echo), (4008, count), (4009, partial), (4014, slowly), (4012, call),
                        (4013, lambda s: call(s, relay)), (4015, end)):
        tcp(port, serve)
    udp(4010, False)
    udp(4011, True)
    server = Server(("::", 8080), Handler)
    print("ready", flush=True)
    server.serve_forever()


main()
