#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
users.py - two ordinary users on one host: neither uses, sees or disturbs the other's tunnels

Needs root, to be two other users. The one who attacks speaks the protocol itself: what wgwrap
refuses to try proves nothing.
"""

import os
import re
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import operate as t  # noqa: E402
from lib import tap  # noqa: E402

OWNER, OTHER = 65533, 65532
# one that other users may run
PYTHON = shutil.which("python3", path="/usr/bin:/bin:/usr/local/bin")
CH_OPEN, CH_CONTROL, CONTROL_GET, CONTROL_DOWN = 64, 80, 1, 5

# Sends one message of src/session/channel.h with two memory files; prints errno of the answer, "closed" or "refused"
ATTACK = """
import array, os, socket, struct, sys
name, kind, magic, version, code, verb = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(60)
try:
    s.connect("\\0" + name[1:] if name[0] == "@" else name)
except OSError as e:
    sys.exit(print("refused", e.errno))
files = [os.memfd_create("a"), os.memfd_create("b")]
os.write(files[1], b"dns-mode refuse\\n")
n = 1 if kind == "control" else 2
message = struct.pack("=IHHiI", magic, version, code, 0, 0) + (
    struct.pack("=II", verb, 0) if kind == "control" else bytes(range(1, 129)))
try:
    s.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files[:n]))])
    answer = s.recv(65536)
except OSError as e:
    sys.exit(print("closed", e.errno))
print(struct.unpack("=IHHiI", answer[:16])[3] if answer else "closed", os.fstat(files[0]).st_size)
"""


# A UDP socket with a peer, and a TCP connection that is being made
CONNECTED = """
import socket, sys
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect(("10.77.0.1", 8099))
s = socket.socket()
s.setblocking(False)
s.connect_ex(("10.77.0.9", 8099))
print("connected", flush=True)
sys.stdin.read()
"""


class Users(t.Tunnels):
    """The tunnels belong to OWNER."""

    def __init__(self):
        super().__init__()
        os.chmod(self.dir, 0o711)
        for name in ("wgwrap", "libwgwrap.so"):
            shutil.copy(os.path.join(t.BUILD, name), self.dir)
            os.chmod(os.path.join(self.dir, name), 0o755)
        self.binary = os.path.join(self.dir, "wgwrap")
        for path in (self.client, self.server):
            os.chown(path, OWNER, OWNER)
        self.rundir = self.env["WGWRAP_RUNTIME_DIR"]
        os.mkdir(self.rundir, 0o700)
        os.chown(self.rundir, OWNER, OWNER)
        self.env["HOME"] = self.dir
        assert self.as_user(OWNER, "up", self.server)[0] == 0
        assert self.as_user(OWNER, "up", self.client)[0] == 0

    def as_user(self, uid, *args, env=None):
        done = subprocess.run([self.binary, *args], capture_output=True, text=True, env=env or self.env, cwd="/",
                              check=False, user=uid, group=uid, extra_groups=[], timeout=60)
        self.last = f"{uid}: wgwrap {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.returncode, done.stdout, done.stderr

    def names(self):
        """All sockets of the owner's tunnels: paths, and abstract names as anybody can read them."""
        paths = [os.path.join(self.rundir, n) for n in os.listdir(self.rundir) if n.endswith(".q")]
        random = []
        for name in (n for n in os.listdir(self.rundir) if n.endswith(".lock")):
            with open(os.path.join(self.rundir, name), "rb") as f:
                random.append(f.read().hex())
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as f:
            abstract = {line.split()[-1] for line in f if any(r and r in line for r in random)}
        return paths, sorted(n for n in abstract if n.endswith(".q"))

    def attack(self, name, kind, code, verb=0):
        with open(os.path.join(t.ROOT, "src/repr/wire.h"), encoding="utf-8") as f:
            magic, version = (int(re.search(rf"{word} = (\w+)", text)[1], 0) for text in [f.read()]
                              for word in ("WGW_WIRE_MAGIC", "WGW_WIRE_VERSION"))
        done = subprocess.run([PYTHON, "-c", ATTACK, name, kind, str(magic), str(version), str(code),
                               str(verb)], capture_output=True, text=True, check=False, cwd="/", user=self.attacker,
                              group=self.attacker, extra_groups=[], timeout=60)
        assert done.returncode == 0 and done.stdout, done.stderr
        return done.stdout.split()

    attacker = OTHER

    def close(self):
        for name in self.as_user(OWNER, "list", "-q")[1].split():
            self.as_user(OWNER, "down", name)
        super().close()


def need_root():
    if os.geteuid() != 0:
        tap.skip_all("needs root, to be two other users")
    if not PYTHON:
        tap.skip_all("there is no python3 that other users could run")


@tap.test("the owner can do what the others will try")
def _(w):
    assert w.as_user(OWNER, "list", "-q")[1].split() == ["client", "server"], w.last
    paths, abstract = w.names()
    assert len(paths) == 2 and len(abstract) >= 2
    w.attacker = OWNER
    try:
        err, size = w.attack(paths[0], "control", CH_CONTROL, CONTROL_GET)
        assert err == "0" and int(size) > 500, (err, size)
        err, size = w.attack(abstract[0], "control", CH_CONTROL, CONTROL_GET)
        assert err == "0" and int(size) > 500, (err, size)
    finally:
        w.attacker = OTHER


@tap.test("another user sees none of the tunnels, whatever directory is named")
def _(w):
    for directory in (None, w.rundir):
        env = dict(w.env)
        env.pop("WGWRAP_RUNTIME_DIR")
        if directory:
            env["WGWRAP_RUNTIME_DIR"] = directory
        assert w.as_user(OTHER, "list", "-q", env=env)[1] == "", w.last
        for command in (("show", "client"), ("down", "client"), ("health", "client"), ("top", "-n", "1", "client")):
            assert w.as_user(OTHER, *command, env=env)[0] == 5, w.last


@tap.test("another user cannot reach the sockets by path")
def _(w):
    for path in w.names()[0]:
        assert w.attack(path, "control", CH_CONTROL, CONTROL_GET) == ["refused", "13"]


@tap.test("over the abstract names another user gets neither state nor a session, and ends nothing")
def _(w):
    for name in w.names()[1]:
        for verb in (CONTROL_GET, CONTROL_DOWN):
            answer = w.attack(name, "control", CH_CONTROL, verb)
            assert answer == ["1", "0"], answer
        answer = w.attack(name, "open", CH_OPEN)
        assert answer[0] in ("1", "closed"), answer
    assert w.as_user(OWNER, "health")[1] == "client: up\nserver: up\n", w.last


@tap.test("even with the directory open to all, the uid decides")
def _(w):
    paths = [os.path.join(w.rundir, n) for n in os.listdir(w.rundir) if n.endswith((".q", ".sock"))]
    os.chmod(w.rundir, 0o755)
    try:
        for path in paths:
            os.chmod(path, 0o666)
        for path in (p for p in paths if p.endswith(".q")):
            assert w.attack(path, "control", CH_CONTROL, CONTROL_GET) == ["1", "0"]
        for path in (p for p in paths if p.endswith(".sock")):
            done = subprocess.run([PYTHON, "-c", "import socket, sys; s = socket.socket(socket.AF_UNIX); "
                                   "s.connect(sys.argv[1]); s.sendall(b'get=1\\n\\n'); print(len(s.recv(65536)))", path],
                                  capture_output=True, text=True, check=False, user=OTHER, group=OTHER,
                                  extra_groups=[], timeout=60)
            assert done.stdout in ("0\n", ""), done
    finally:
        os.chmod(w.rundir, 0o700)


@tap.test("names of sockets tell another user no destination")
def _(w):
    command = subprocess.Popen([w.binary, "-c", w.client, "--", PYTHON, "-c", CONNECTED], env=w.env, user=OWNER,
                               group=OWNER, extra_groups=[], cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert command.stdout.readline() == b"connected\n"
        t.wait_until("both to be there", lambda: w.as_user(OWNER, "top", "-n", "1", "client")[1].count(":8099") == 2)
        seen = subprocess.run(["cat", "/proc/net/unix"], capture_output=True, check=True, user=OTHER, group=OTHER,
                              extra_groups=[]).stdout
        # the names alone: addresses of sockets and inode numbers are any digits
        names = [b"".join(line.split(None, 7)[7:]) for line in seen.split(b"\n") if line]
        assert any(b"wgw" in name for name in names), seen
        for secret in (b"10.77.0", socket.inet_aton("10.77.0.1"), b"0a4d0001", b"0A4D0001"):
            assert not [name for name in names if secret in name], secret
        # four digits may be in random ones, and in those by which the tests share ports out
        assert not [name for name in names if b"8099" in re.sub(rb"[0-9a-f]{16,}|wgwrap-test-port-\d+", b"", name)], names
    finally:
        command.communicate()


def http_status(uid, port):
    """What the health listener at @port says to this user."""
    return subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{port}/metrics"],
                          capture_output=True, text=True, check=False, user=uid, group=uid, extra_groups=[]).stdout


@tap.test("the health listener answers its owner and root, and nobody else")
def _(w):
    port = t.free_port()
    server = subprocess.Popen([w.binary, "health", "--listen", f"127.0.0.1:{port}"], env=w.env, user=OWNER,
                              group=OWNER, extra_groups=[], cwd="/")
    try:
        t.wait_until("it answers its owner", lambda: http_status(OWNER, port) == "200")
        assert http_status(0, port) == "200" and http_status(OTHER, port) == "403"
        # who is refused cannot keep others out, either, by holding connections
        hold = ("import socket, sys; held = [socket.create_connection(('127.0.0.1', %d)) for _ in range(100)]; "
                "print('held', flush=True); sys.stdin.read()" % port)
        holder = subprocess.Popen(["python3", "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, user=OTHER,
                                  group=OTHER, extra_groups=[], cwd="/")
        try:
            assert holder.stdout.readline() == b"held\n"
            assert http_status(OWNER, port) == "200"
        finally:
            holder.communicate(timeout=60)
    finally:
        w.stop(server)


@tap.test("up --health answers its owner alone, with --any-user the others, too")
def _(w):
    for options, others in (((), "403"), (("--any-user",), "200")):
        port = t.free_port()
        assert w.as_user(OWNER, "down", "client")[0] == 0, w.last
        assert w.as_user(OWNER, "up", "--health", f"127.0.0.1:{port}", *options, w.client)[0] == 0, w.last
        assert http_status(OWNER, port) == "200" and http_status(OTHER, port) == others, options


@tap.test("another user has tunnels of the same file name side by side")
def _(w):
    env = dict(w.env, WGWRAP_RUNTIME_DIR=os.path.join(w.dir, "other"))
    os.mkdir(env["WGWRAP_RUNTIME_DIR"], 0o700)
    os.chown(env["WGWRAP_RUNTIME_DIR"], OTHER, OTHER)
    path = os.path.join(w.dir, "other", "client.conf")
    shutil.copy(w.client, path)
    with open(path, encoding="utf-8") as f:
        text = f.read().replace(w.keys["client_key"], w.word("genkey"))
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chown(path, OTHER, OTHER)
    os.chmod(path, 0o600)
    assert w.as_user(OTHER, "up", "--no-wait", path, env=env)[0] == 0, w.last
    assert w.as_user(OTHER, "list", "-q", env=env)[1] == "client\n", w.last
    assert w.as_user(OTHER, "down", "client", env=env)[0] == 0, w.last
    assert w.as_user(OWNER, "health")[0] == 0, w.last


need_root()
tap.main(Users)
