# SPDX-License-Identifier: MIT
"""
operate.py - two tunnels of wgwrap on loopback, a client and a server, for tests of what operates them

Needs no privileges: the server's side is wgwrap, too.
"""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from lib.world import free_port

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "../../.."))
BUILD = os.environ.get("WGWRAP_BUILD", os.path.join(ROOT, "build"))
WGWRAP = os.path.join(BUILD, "wgwrap")
LIMIT_S = 120

CLIENT = """[Interface]
PrivateKey = {client_key}
Address = 10.77.0.2/24
# not reached by what the tests send
DNS = 10.77.0.1, corp.example
[Peer]
# Name = office gateway
PublicKey = {server_public}
PresharedKey = {psk}
AllowedIPs = {allowed}
Endpoint = {endpoint}
"""
SERVER = """[Interface]
PrivateKey = {server_key}
Address = 10.77.0.1/24
ListenPort = {port}
[Peer]
# Name = client
PublicKey = {client_public}
PresharedKey = {psk}
AllowedIPs = 10.77.0.2/32
"""


def run(*argv, env=None, timeout=LIMIT_S, **kwargs):
    """Runs a program to its end; its output as text."""
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=env, timeout=timeout, **kwargs)


def read_terminal(main):
    """All that was written to the other side of a pseudo terminal, which must be closed; it may come in several pieces."""
    said = b""
    with contextlib.suppress(OSError):  # EIO is the end
        while data := os.read(main, 65536):
            said += data
    os.close(main)
    return said.decode()


def wait_until(what, condition, seconds=60.0):
    """Polls @condition until it is true; AssertionError naming @what when it never is."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(0.05)
    return value


def edit(path, old, new):
    """Replaces the last @old in a file."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    assert old in text
    with open(path, "w", encoding="utf-8") as f:
        f.write(new.join(text.rsplit(old, 1)))


def hexadecimal(key):
    """A key as the UAPI writes it."""
    return base64.b64decode(key).hex()


def uapi(w, name, text):
    """Sends operations of the cross-platform UAPI to the tunnel called @name; what is answered."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.connect(os.path.join(w.env["WGWRAP_RUNTIME_DIR"], w.tunnel(name)["id"] + ".sock"))
        s.sendall(text.encode())
        s.shutdown(socket.SHUT_WR)
        answer = b""
        while got := s.recv(65536):
            answer += got
    return answer.decode()


def http(url, method="GET"):
    """Status, content type and text of an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=60) as r:
            return r.status, r.headers["Content-Type"], r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers["Content-Type"], e.read().decode()


def has_ended(pid):
    """Whether process @pid is gone, or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Tunnels:
    """Files, environment and processes of one test script; use as tap.main(Tunnels)."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="wgwrap-test-", dir="/tmp")
        self.children = []
        self.env = dict(os.environ, WGWRAP_RUNTIME_DIR=os.path.join(self.dir, "run"), NO_COLOR="1")
        self.env.pop("XDG_RUNTIME_DIR", None)
        self.keys = {"psk": self.word("genpsk")}
        for side in ("client", "server"):
            key = self.word("genkey")
            self.keys[f"{side}_key"] = key
            self.keys[f"{side}_public"] = self.word("pubkey", input=key)
        self.port = free_port()
        self.client = self.write("client.conf", CLIENT, endpoint=f"127.0.0.1:{self.port}", allowed="10.77.0.0/24")
        self.server = self.write("server.conf", SERVER, port=self.port)
        self.last = ""

    def word(self, *args, **kwargs):
        return run(WGWRAP, *args, **kwargs).stdout.strip()

    def write(self, name, template, **values):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(template.format(**self.keys, **values))
        return path

    def wgwrap(self, *args, **kwargs):
        """Runs wgwrap; (exit status, standard output, standard error)."""
        done = run(WGWRAP, *args, env=self.env, **kwargs)
        self.last = f"wgwrap {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.returncode, done.stdout, done.stderr

    def ok(self, *args, **kwargs):
        """The same, which must succeed; its standard output."""
        status, out, err = self.wgwrap(*args, **kwargs)
        assert status == 0, f"wgwrap {' '.join(args)} ended with {status}: {err}"
        return out

    def start(self, *args, **kwargs):
        """Starts wgwrap in the background."""
        child = subprocess.Popen([WGWRAP, *args], env=self.env, stdin=kwargs.pop("stdin", subprocess.DEVNULL),
                                 stdout=kwargs.pop("stdout", subprocess.DEVNULL), **kwargs)
        self.children.append(child)
        return child

    def up(self):
        """Both tunnels, with an HTTP server at 10.77.0.1:8000."""
        self.ok("up", self.server)
        web = os.path.join(self.dir, "web")
        os.makedirs(web, exist_ok=True)
        with open(os.path.join(web, "page"), "w", encoding="utf-8") as f:
            f.write("hello\n")
        child = self.start("-c", self.server, "--", "python3", "-u", "-m", "http.server", "-d", web, "8000",
                           stderr=subprocess.DEVNULL, stdout=subprocess.PIPE)
        child.stdout.readline()
        self.ok("up", self.client)

    def ensure_up(self):
        """The same, unless an earlier test has left them up."""
        if not self.running():
            self.up()

    def fetch(self, seconds=60):
        """Whether a page comes through the tunnel."""
        try:
            return self.ok("-c", self.client, "--", "curl", "-sS", "--max-time", str(seconds),
                           "http://10.77.0.1:8000/page", timeout=seconds + LIMIT_S) == "hello\n"
        except AssertionError:
            return False

    def json(self, *what):
        return json.loads(self.ok("show", *what, "--json"))

    def tunnel(self, name):
        """What show --json says of one tunnel."""
        return self.json(name)["tunnels"][0]

    def change_private_key(self):
        """Gives the client another private key, by its file, and the server the public one; what reload says."""
        key = self.word("genkey")
        public = self.word("pubkey", input=key)
        edit(self.server, self.keys["client_public"], public)
        edit(self.client, self.keys["client_key"], key)
        self.ok("reload", "server")
        self.keys.update(client_key=key, client_public=public)
        return self.wgwrap("reload", "client")

    def process(self, name):
        """The id of a tunnel's process, None while there is none."""
        return next((tunnel["pid"] for tunnel in self.json()["tunnels"] if tunnel["name"] == name), None)

    def replaced(self, name, pid):
        """Waits until another process than @pid has a tunnel."""
        wait_until(f"another process of {name}", lambda: self.process(name) not in (None, pid))

    def keeper(self, name):
        """The process that holds a tunnel up."""
        return [s["pid"] for s in self.tunnel(name)["sessions"] if s["keeper"]][0]

    def running(self):
        return self.ok("list", "-q").split()

    def describe(self):
        return f"\nlast command: {self.last}"

    def finish(self):
        return ()

    def stop(self, child, number=signal.SIGTERM):
        if child.poll() is None:
            child.send_signal(number)
        child.wait(60)

    def close(self):
        for child in self.children:
            self.stop(child)
        for name in run(WGWRAP, "list", "-q", env=self.env).stdout.split():
            run(WGWRAP, "down", name, env=self.env)
        run("rm", "-rf", self.dir)
