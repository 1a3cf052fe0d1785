#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
clients.py - programs that people use, through `wgwrap proxy` and `wgwrap nc`; and other users of the host

time limit: 300 s
"""

import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import tap  # noqa: E402
from lib.proxied import SERVER, WGWRAP, Proxied, read_all, socks  # noqa: E402
from lib.tap import test  # noqa: E402
from lib.world import find, free_port, need, wait_until  # noqa: E402


class World(Proxied):
    """With a web server for files and an sshd in the tunnel, when asked for."""

    def inside(self, name, *argv, ready, port):
        """Starts @argv in the server's tunnel; waits until @port answers through the proxy."""
        log = open(self.path(f"{name}.log"), "w", encoding="utf-8")
        child = subprocess.Popen([WGWRAP, "-c", self.path("server.conf"), *argv], cwd=self.dir, stdin=subprocess.DEVNULL,
                                 stdout=log, stderr=log, env=self.environment("server"))
        self.children.append(child)
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            with self.connect() as s:
                if socks(s, SERVER, port)[0] == 0:
                    return child
            time.sleep(0.1)
        raise AssertionError(f"{name} ({ready}): {self.read(self.path(f'{name}.log'))}")

    def files(self):
        if not hasattr(self, "site"):
            self.site = self.path("site")
            os.mkdir(self.site)
            self.inside("files", sys.executable, "-m", "http.server", "8090", "--bind", "10.9.0.1", "-d", self.site,
                        ready="http.server", port=8090)
        return self.site

    def run(self, *argv, limit=60, **more):
        return subprocess.run(argv, cwd=self.dir, env=self.environment("client", HOME=self.dir, **more), timeout=limit,
                              capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


@test("curl: 20 MB over each protocol, the same bytes")
def _(w):
    data = os.urandom(20 << 20)
    with open(os.path.join(w.files(), "big"), "wb") as f:
        f.write(data)
    for scheme, options in (("socks5h", ()), ("socks4a", ()), ("http", ()), ("http", ("-p",))):
        out = w.path("out")
        done = w.curl(*options, "-o", out, f"http://{SERVER}:8090/big", scheme=scheme)
        with open(out, "rb") as f:
            assert done.returncode == 0 and f.read() == data, (scheme, done)


@test("git clones over socks5h and http")
def _(w):
    need("git")
    site = w.files()
    source = w.path("source")
    who = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t",
           "GIT_COMMITTER_EMAIL": "t@t"}
    os.mkdir(source)
    with open(os.path.join(source, "file"), "w", encoding="ascii") as f:
        f.write("contents\n" * 10000)
    for argv in (("init", "-q", source), ("-C", source, "add", "."), ("-C", source, "commit", "-q", "-m", "one"),
                 ("clone", "-q", "--bare", source, os.path.join(site, "repo.git")),
                 ("-C", os.path.join(site, "repo.git"), "update-server-info")):
        done = w.run("git", *argv, **who)
        assert done.returncode == 0, done
    for i, scheme in enumerate(("socks5h", "http")):
        done = w.run("git", "-c", f"http.proxy={scheme}://127.0.0.1:{w.proxy().port()}", "clone", "-q",
                     f"http://{SERVER}:8090/repo.git", w.path(f"clone{i}"), **who)
        assert done.returncode == 0, done
        assert os.path.getsize(w.path(f"clone{i}", "file")) == 90000


@test("ssh: ProxyCommand wgwrap nc")
def _(w):
    need("ssh", "sshd")
    for name in ("host", "user"):
        assert w.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", w.path(f"ssh_{name}")).returncode == 0
    port = free_port()
    conf = w.write("sshd_config", f"HostKey {w.path('ssh_host')}\nAuthorizedKeysFile {w.path('ssh_user.pub')}\n"
                   f"PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPort {port}\n")
    log = open(w.path("sshd.log"), "w", encoding="utf-8")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    w.children.append(subprocess.Popen([find("sshd"), "-D", "-e", "-f", conf], stdout=log, stderr=log))
    # sshd is on the host; the tunnel's other end lets it in by -R
    wait_until(f"sshd: {w.read(log.name)}", lambda: "listening on 0.0.0.0" in w.read(log.name))
    back = w.start("-R", f"2222:127.0.0.1:{port}", ready="in the tunnel")
    try:
        # a tunnel's own port is reached from the other end: ssh runs there
        command = f"ProxyCommand={WGWRAP} nc -c {w.path('server.conf')} --no-restart %h %p"
        done = subprocess.run(["ssh", "-F", "/dev/null", "-i", w.path("ssh_user"), "-p", "2222", "-o", command, "-o",
                               "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
                               "-o", "LogLevel=ERROR", "10.9.0.2", "cat; echo end"], input="over the tunnel\n",
                              capture_output=True, text=True, timeout=60, check=False, env=w.environment("server"))
        if "account" in done.stderr or "locked" in w.read(log.name):
            tap.skip("this user may not log in here")
        assert done.stdout == "over the tunnel\nend\n" and done.returncode == 0, (done, w.read(log.name))
    finally:
        back.stop()


@test("proxychains4")
def _(w):
    need("proxychains4")
    conf = w.write("proxychains.conf", f"strict_chain\nproxy_dns\n[ProxyList]\nsocks5 127.0.0.1 {w.proxy().port()}\n")
    done = w.run("proxychains4", "-q", "-f", conf, "curl", "-sS", "-m", "20", f"http://{SERVER}:8080/chained")
    assert '"path": "/chained"' in done.stdout, done


@test("pip asks an index through the HTTP proxy")
def _(w):
    package = os.path.join(w.files(), "simple", "nothing")
    os.makedirs(package)
    with open(os.path.join(package, "index.html"), "w", encoding="ascii") as f:
        f.write("<html><body></body></html>")
    done = w.run(sys.executable, "-m", "pip", "--isolated", "download", "--no-deps", "--disable-pip-version-check",
                 "--retries", "0", "--proxy", f"http://127.0.0.1:{w.proxy().port()}", "--trusted-host", SERVER,
                 "-i", f"http://{SERVER}:8090/simple", "nothing")
    if "No module named pip" in done.stderr:
        tap.skip("pip is not installed")
    assert "from versions: none" in done.stderr, done
    assert "GET /simple/nothing/" in w.read(w.path("files.log"))


@test("a client in the browser's way: many connections at once")
def _(w):
    clients = [subprocess.Popen(["curl", "-sS", "-m", "50", "-w", "%{http_code} ", "-x",
                                 f"socks5h://127.0.0.1:{w.proxy().port()}"] +
                                [word for n in range(10) for word in ("-o", "/dev/null", f"http://web.test:8080/{n}")],
                                stdout=subprocess.PIPE, env=w.environment("curl"), text=True) for _ in range(30)]
    for child in clients:
        out, _ = child.communicate(timeout=60)
        assert out.split() == ["200"] * 10, out


# ---- other users ----

def as_user(uid):
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]


CONNECT = """
import socket, sys
try:
    s = socket.socket(socket.AF_UNIX if sys.argv[1].startswith("/") else socket.AF_INET)
    s.settimeout(10)
    s.connect(sys.argv[1] if sys.argv[1].startswith("/") else ("127.0.0.1", int(sys.argv[1])))
    s.sendall(b"\\5\\1\\0")
    print(s.recv(2))
except OSError as e:
    print(type(e).__name__)
"""


@test("another user of the host: refused on loopback and on the unix socket, let in by --any-user")
def _(w):
    if os.geteuid() != 0:
        tap.skip("needs root, to be two other users")
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    os.chmod(w.dir, 0o755)
    path = w.path("shared.sock")
    own, other = 65533, 65532
    os.mkdir(w.path("run-own"), 0o700)
    for name in (w.path("run-own"), w.conf):
        os.chown(name, own, own)
    for options, answer in (((), "ConnectionResetError b''"), (("--any-user",), "b'\\x05\\x00'")):
        log = open(w.path("own.log"), "w", encoding="utf-8")
        child = subprocess.Popen(as_user(own) + [WGWRAP, "proxy", "-c", w.conf, "-v", "--listen", "0", "--listen",
                                                 f"unix:/tmp/wgwrap-shared-{os.getpid()}.sock", *options],
                                 cwd="/", env=dict(w.environment("x"), XDG_RUNTIME_DIR=w.path("run-own")), stdout=log,
                                 stderr=log, stdin=subprocess.DEVNULL)
        w.children.append(child)
        deadline = time.monotonic() + 15
        while "sock (" not in w.read(log.name) and time.monotonic() < deadline:
            time.sleep(0.05)
        words = w.read(log.name)
        assert "sock (" in words, words
        path = f"/tmp/wgwrap-shared-{os.getpid()}.sock"
        port = words.split("127.0.0.1:")[1].split(" ")[0]
        try:
            for uid, where, expected in ((own, port, "b'\\x05\\x00'"), (0, port, "b'\\x05\\x00'"), (other, port, answer),
                                         (own, path, "b'\\x05\\x00'"), (other, path, "PermissionError")):
                done = subprocess.run(as_user(uid) + [python, "-c", CONNECT, where], capture_output=True, text=True, cwd="/",
                                      timeout=20, check=False)
                assert done.stdout.strip() and done.stdout.strip() in expected, (uid, where, done)
            assert ("user 65532 was refused" in w.read(log.name)) == (not options), w.read(log.name)
        finally:
            child.terminate()
            child.wait(15)
    os.chown(w.conf, 0, 0)


@test("the tunnel process dies: the listeners stay, and work again")
def _(w):
    proxy = w.start("--listen", "127.0.0.1:0")
    before = w.connect(proxy)
    assert socks(before, SERVER, 4007)[0] == 0
    killed = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                ours = w.path("run-client").encode() in f.read()
            with open(f"/proc/{pid}/comm", encoding="ascii") as f:
                ours &= f.read().strip() == "wgwrap-tunnel"
            if ours:
                os.kill(int(pid), 9)
                killed += 1
        except OSError:
            pass
    if not killed:
        tap.skip("the tunnel process cannot be found by this user")
    try:
        assert read_all(before) == b""
    except ConnectionResetError:
        pass
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with w.connect(proxy) as s:
                if socks(s, SERVER, 4007)[0] == 0:
                    assert proxy.stop() == 0
                    return
        except (OSError, AssertionError, socket.timeout):
            pass
        time.sleep(0.3)
    raise AssertionError(proxy.words())


if __name__ == "__main__":
    tap.main(World)
