# SPDX-License-Identifier: MIT
"""
secured.py - `wgwrap proxy` with listeners that speak TLS, and a client for them
"""

import os
import socket
import ssl
import subprocess

from lib.behind import Behind
from lib.proxied import read_exactly, socks_address


class Secured(Behind):
    """Proxies with a certificate for 127.0.0.1."""

    def __init__(self):
        super().__init__()
        self._secured = None
        self.cert, self.key = self.certificate("first")

    def certificate(self, name, *options):
        paths = self.path(f"{name}.crt"), self.path(f"{name}.key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                        f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2", "-keyout",
                        paths[1], "-out", paths[0], *options], check=True, capture_output=True)
        os.chmod(paths[1], 0o600)
        return paths

    def tls(self, *options, cert=None, key=None, **more):
        """A proxy whose listeners speak TLS."""
        return self.start("--tls-cert", cert or self.cert, "--tls-key", key or self.key, *options, **more)

    def secured(self):
        """The one most tests share: SOCKS, then HTTP, over TLS alone; with users."""
        if not self._secured or self._secured.process.poll() is not None:
            users = self.write("users", "someone:pass word\n")
            self._secured = self.tls("--socks5", "127.0.0.1:0", "--http", "127.0.0.1:0", "--users", users,
                                     "--connect-timeout", "100s", ready="(HTTP over TLS)")
        return self._secured

    def curl_tls(self, *argv, port, user="someone:pass%20word@", cert=None, **more):
        return self.run("curl", "-sS", "-m", "170", "--proxy-cacert", cert or self.cert, "-x", f"https://{user}127.0.0.1:{port}",
                        *argv, **more)

    def tls_process(self, proxy):
        """The id of a proxy's TLS process."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/status", encoding="ascii") as f:
                    status = dict(line.split(":", 1) for line in f)
            except OSError:
                continue
            if status["Name"].strip() == "wgwrap-tls" and int(status["PPid"]) == proxy.process.pid:
                return int(pid), status
        return None, None


class Tls:
    """A TLS client in which every step can be taken alone."""

    def __init__(self, w, port, alpn=None, version=None, handshake=True):
        context = ssl.create_default_context(cafile=w.cert)
        context.check_hostname = False
        # set by Python below 3.11.4, to which the end without close_notify then looks like one with it
        context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        if alpn:
            context.set_alpn_protocols(alpn)
        if version:
            context.minimum_version = context.maximum_version = version
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.inward, self.outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.inward, self.outward)
        if handshake:
            self.call(self.tls.do_handshake)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def settimeout(self, seconds):
        self.socket.settimeout(seconds)

    def flush(self):
        if data := self.outward.read():
            self.socket.sendall(data)

    def call(self, function, *argv):
        while True:
            try:
                result = function(*argv)
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                data = self.socket.recv(65536)
                if data:
                    self.inward.write(data)
                else:
                    self.inward.write_eof()

    def sendall(self, data):
        self.tls.write(data)
        self.flush()

    def recv(self, n):
        """Empty after close_notify; ssl.SSLError, of which ssl.SSLEOFError is one, when it is missing."""
        try:
            return self.call(self.tls.read, n)
        except ssl.SSLZeroReturnError:
            return b""

    def finish(self):
        """Sends close_notify and does not wait for the other's."""
        try:
            self.tls.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLSyscallError):
            pass
        self.flush()

    def login(self, host, port, command=1):
        """SOCKS with a name and a password: the reply's code."""
        self.sendall(b"\5\1\2")
        assert read_exactly(self, 2) == b"\5\2"
        self.sendall(b"\1\7someone\x09pass word")
        assert read_exactly(self, 2) == b"\1\0"
        self.sendall(bytes([5, command, 0]) + socks_address(host, port))
        code = read_exactly(self, 4)
        read_exactly(self, {1: 6, 4: 18}[code[3]])
        return code[1]
