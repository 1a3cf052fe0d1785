#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""programs.py - unmodified programs against real servers behind wireguard-go

With a preshared key, IPv4 and IPv6 inside and outside.
"""

import hashlib
import os
import shutil
import subprocess

from lib import servers, world
from lib.tap import test
from lib.world import need, need_no_sanitizer

world.enter()

CURL = ("curl", "-sS", "--fail")


def outer_and_inner(w):
    """(file, host of the web server) for all four pairs."""
    return [(conf, host) for conf in (w.conf, w.conf6) for host in ("10.9.0.1", "[fd09::1]")]


@test("curl: 64 MiB arrive with the right SHA-256, IPv4 and IPv6 inside and outside")
def _(w):
    servers.web(w)
    for conf, host in outer_and_inner(w):
        out = os.path.join(w.dir, "work", "big")
        w.ok(*CURL, "-o", out, f"http://{host}/big.bin", conf=conf)
        digest = hashlib.sha256()
        with open(out, "rb") as f:
            while piece := f.read(1 << 20):
                digest.update(piece)
        os.unlink(out)
        assert digest.hexdigest() == w.big_sha256, (conf, host)


@test("curl: the server sees the tunnel address")
def _(w):
    servers.web(w)
    assert w.ok(*CURL, "http://10.9.0.1/address") == "10.9.0.2\n"
    assert w.ok(*CURL, "http://[fd09::1]/address") == "fd09::2\n"


@test("curl: 50 at once")
def _(w):
    servers.web(w)
    script = ('for i in $(seq 50); do curl -sS --fail --max-time 60 http://10.9.0.1/ >out.$i 2>err.$i & done; wait; '
              'cat out.* | sort | uniq -c; cat err.*')
    out = w.ok("sh", "-c", script)
    assert out.split() == ["50", "behind", "the", "tunnel"], out


@test("50 invocations at once share one tunnel process")
def _(w):
    servers.web(w)
    w.end_tunnels()  # one that was about to end would be a second one
    many = [w.start(w.wrap(*CURL, "http://10.9.0.1/"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(50)]
    tunnels = set()
    for child in many:
        tunnels.update(w.tunnels())
        out, err = child.communicate(timeout=world.LIMIT_S)
        assert (child.returncode, out) == (0, "behind the tunnel\n"), (child.returncode, out, err)
    assert len(tunnels) == 1, tunnels


@test("curl: TLS to nginx, the name from the tunnel's DNS")
def _(w):
    servers.web(w)
    servers.dns(w)
    for host in ("web.test", "10.9.0.1", "[fd09::1]"):
        assert w.ok(*CURL, "--cacert", w.path("tls.crt"), f"https://{host}/") == "behind the tunnel\n", host
    assert w.ok(*CURL, "--cacert", w.path("tls.crt"), "-6", "https://web.test/address") == "fd09::2\n"


@test("wget")
def _(w):
    need("wget")
    servers.web(w)
    servers.dns(w)
    assert w.ok("wget", "-q", "-O", "-", "--tries=1", "http://web.test/") == "behind the tunnel\n"


@test("git clone over HTTP")
def _(w):
    head = servers.git(w)
    target = w.path("work", "clone")
    w.ok("git", "clone", "-q", "http://10.9.0.1/repo.git", target)
    assert world.run("git", "-c", "safe.directory=*", "-C", target, "rev-parse", "HEAD").strip() == head


@test("ssh: a command, its status, and bytes both ways")
def _(w):
    command = servers.ssh(w) + ["10.9.0.1"]
    done = w.wrapped(*command, "echo $SSH_CLIENT; exit 7")
    assert done.returncode == 7 and done.stdout.startswith("10.9.0.2 "), (done.returncode, done.stdout, done.stderr)
    text = "".join(f"{i}\n" for i in range(200000))
    done = w.wrapped(*command, "cat", input=text)
    assert done.stdout == text, (done.returncode, len(done.stdout), done.stderr)


@test("python: urllib")
def _(w):
    servers.web(w)
    servers.dns(w)
    code = "import urllib.request as r; print(r.urlopen('http://web.test/', timeout=60).read().decode(), end='')"
    assert w.ok("/usr/bin/python3", "-c", code) == "behind the tunnel\n"


ASYNCIO = """
import asyncio, sys
async def one():
    reader, writer = await asyncio.open_connection("10.9.0.1", 80)
    writer.write(b"GET /address HTTP/1.0\\r\\n\\r\\n")
    data = await reader.read()
    writer.close()
    await writer.wait_closed()
    return data.endswith(b"10.9.0.2\\n")
async def main():
    print(sum(await asyncio.gather(*(one() for _ in range(100)))))
asyncio.run(asyncio.wait_for(main(), 170))
"""


@test("python: asyncio, 100 connections at once")
def _(w):
    servers.web(w)
    assert w.ok("/usr/bin/python3", "-c", ASYNCIO) == "100\n"


@test("node: http")
def _(w):
    need("node")
    servers.web(w)
    servers.dns(w)
    code = ("require('http').get('http://web.test/', r => { let d = ''; r.on('data', c => d += c); "
            "r.on('end', () => process.stdout.write(d)); })")
    assert w.ok("node", "-e", code) == "behind the tunnel\n"


@test("dig: a 4 KB answer over UDP and over TCP")
def _(w):
    need("dig")
    servers.dns(w)
    for options in (["+notcp", "+time=60", "+bufsize=8192", "+ignore"], ["+tcp"], ["+bufsize=512", "+time=60"]):
        for server in ("10.9.0.1", "fd09::1"):
            out = w.ok("dig", "+short", "+tries=1", *options, f"@{server}", "big.test", "TXT")
            assert len(out) > 4000, (options, server, out)


@test("getent: names, both families, aliases, reverse, and one that does not exist")
def _(w):
    servers.dns(w)
    assert set(w.ok("getent", "ahosts", "web.test").split()) >= {"10.9.0.1", "fd09::1"}
    assert w.ok("getent", "ahostsv4", "alias.test").startswith("10.9.0.1 ")
    assert len(set(line.split()[0] for line in w.ok("getent", "ahostsv4", "long.test").splitlines())) == 16
    assert w.ok("getent", "hosts", "10.9.0.1").split()[1] == "web.test"
    assert w.wrapped("getent", "ahosts", "missing.test").returncode == 2


def iperf(w, *options, conf=None):
    return servers.iperf_again(lambda: w.wrapped("iperf3", "-J", "-c", "10.9.0.1", *options, conf=conf))["end"]


@test("iperf3: TCP both ways")
def _(w):
    servers.iperf3(w)
    for conf in (w.conf, w.conf6):
        for direction in ([], ["-R"]):
            end = iperf(w, "-n", "32M", *direction, conf=conf)
            assert end["sum_received"]["bytes"] >= (32 << 20) * 0.9, end["sum_received"]


@test("iperf3: four TCP streams")
def _(w):
    servers.iperf3(w)
    servers.third_time(lambda: iperf(w, "-P", "4", "-t", "2")["sum_received"], lambda end: end["bytes"] > 1 << 20)


@test("iperf3: UDP both ways")
def _(w):
    servers.iperf3(w)
    for direction in ([], ["-R"]):
        # A slow machine may lose some, a broken path loses all or lies about its count
        servers.third_time(lambda d=direction: iperf(w, "-u", "-b", "5M", "-t", "2", *d)["sum"],
                           lambda end: end["packets"] > 200 and end["lost_percent"] < 50)


@test("nc: TCP")
def _(w):
    need("nc")
    listener = w.start(w.inside(w.peer_ns) + ["nc", "-l", "-N", "10.9.0.1", "3001"], stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE, text=True)
    world.wait_until("nc to listen", lambda: ":0BB9 " in w.at(w.peer_ns, "cat", "/proc/net/tcp"))
    done = w.start(w.wrap("nc", "-N", "10.9.0.1", "3001"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    done.stdin.write("from the client\n")
    done.stdin.close()
    out, _ = listener.communicate("from the server\n", timeout=60)
    assert out == "from the client\n", out
    assert done.stdout.read() == "from the server\n"
    assert done.wait(60) == 0


@test("nc: UDP")
def _(w):
    need("nc")
    listener = w.start(w.inside(w.peer_ns) + ["nc", "-u", "-l", "10.9.0.1", "3002"], stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE, text=True)
    world.wait_until("nc to listen", lambda: ":0BBA " in w.at(w.peer_ns, "cat", "/proc/net/udp"))
    client = w.start(w.wrap("nc", "-u", "10.9.0.1", "3002"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    client.stdin.write("ask\n")
    client.stdin.flush()
    assert world.read_line(listener.stdout) == "ask\n"
    listener.stdin.write("answer\n")
    listener.stdin.flush()
    assert world.read_line(client.stdout) == "answer\n"
    client.terminate()
    listener.terminate()


@test("ping: echo over IPv4 and IPv6, and what is unreachable")
def _(w):
    need("ping")
    ping = w.path("bin", "ping")
    shutil.copyfile(world.find("ping"), ping)
    os.chmod(ping, 0o755)
    for host in ("10.9.0.1", "fd09::1"):
        out = w.ok(ping, "-c", "3", "-i", "0.2", "-w", "60", host)  # until three are answered
        assert "3 received" in out, out
    done = w.wrapped(ping, "-c", "1", "-W", "2", "10.9.1.1")
    assert done.returncode == 1 and "100% packet loss" in done.stdout, done


@test("wgwrap inside wgwrap: the inner tunnel goes through the outer one")
def _(w):
    need_no_sanitizer("has its shadow where the shared object's page would be, and cannot be looked into")
    servers.web(w)
    key = [world.run(w.wgwrap, "genkey") for _ in range(2)]
    pub = [world.run(w.wgwrap, "pubkey", input=k).strip() for k in key]
    runtime = w.path("far")
    os.mkdir(runtime, 0o700)
    if w.as_root:
        os.chown(runtime, world.NOBODY, world.NOBODY)
    far = w.write("far.conf", f"[Interface]\nPrivateKey = {key[0]}Address = 10.66.0.1/32\nListenPort = 5555\n"
                  f"[Peer]\nPublicKey = {pub[1]}\nAllowedIPs = 10.66.0.2/32\n", 0o600)
    inner = w.write("inner.conf", f"[Interface]\nPrivateKey = {key[1]}Address = 10.66.0.2/32\nMTU = 1280\n"
                    f"[Peer]\nPublicKey = {pub[0]}\nAllowedIPs = 10.66.0.0/24\nEndpoint = 10.9.0.3:5555\n", 0o600)
    server = w.start(w.inside(w.native_ns) + w.unprivileged() +
                     [w.wgwrap, "-c", far, "python3", "-u", "-m", "http.server", "--directory", w.path("www"), "8080"],
                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=w.environment(XDG_RUNTIME_DIR=runtime))
    assert "Serving" in world.read_line(server.stdout)
    out = w.ok(w.wgwrap, "-c", inner, *CURL, "http://10.66.0.1:8080/index.html")
    assert out == "behind the tunnel\n", out
    assert world.read_line(server.stdout).startswith("10.66.0.2 ")
    server.terminate()
    server.wait(60)


@test("a download by a wrapped program and its children goes on when the parent has gone")
def _(w):
    servers.web(w)
    out = w.path("work", "late")
    w.ok("sh", "-c", f"(sleep 0.5; curl -sS -o {out}.tmp http://10.9.0.1/big.bin && mv {out}.tmp {out}) "
         ">/dev/null 2>&1 & exit 0")
    world.wait_until("the daemon's download", lambda: os.path.exists(out))
    assert os.path.getsize(out) == world.BIG_BYTES


world.main()
