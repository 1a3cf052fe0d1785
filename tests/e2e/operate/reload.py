#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
reload.py - what a running tunnel takes over: by reload, by SIGHUP to its keeper, by the UAPI
"""

import os
import re
import resource
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import operate as t  # noqa: E402
from lib import tap  # noqa: E402

SLOW = """
import socket, time
s = socket.create_connection(("10.77.0.1", 8000))
print("connected", flush=True)
for part in (b"GET /page ", b"HTTP/1.0\\r\\n", b"\\r\\n"):
    time.sleep(0.7)
    s.sendall(part)
data = b""
while got := s.recv(4096):
    data += got
assert data.endswith(b"hello\\n"), data
"""


@tap.test("both tunnels come up", groundwork=True)
def _(w):
    w.up()
    assert w.fetch()


@tap.test("reload with too few descriptors says so, and not that no tunnel runs")
def _(w):
    statuses = set()
    for n in range(4, 24):
        limit = (n, n)
        status, _, err = w.wgwrap("reload", "client", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit))
        statuses.add(status)
        assert status == 0 or "Too many open files" in err or "Error 24" in err, (n, status, err)
        assert status == 0 or "no such tunnel" not in err, (n, status, err)
    assert 0 in statuses and len(statuses) > 1, statuses


@tap.test("reload takes over peers, prefixes and port; connections stay")
def _(w):
    pid = w.tunnel("client")["pid"]
    slow = w.start("-c", w.client, "--", "python3", "-c", SLOW, stdout=subprocess.PIPE)
    assert slow.stdout.readline() == b"connected\n"
    port = t.free_port()
    with open(w.client, "a", encoding="utf-8") as f:
        f.write("PersistentKeepalive = 21\n[Peer]\nPublicKey = " + w.word("pubkey", input=w.word("genkey")) +
                "\nAllowedIPs = 10.99.0.0/16\n")
    t.edit(w.client, "10.77.0.0/24", "10.77.0.0/24, 10.98.0.0/16")
    t.edit(w.client, "[Interface]", f"[Interface]\nListenPort = {port}\nDNS = 10.77.0.53, lab.example")
    w.ok("reload", "client")
    now = w.tunnel("client")
    peer = now["peers"][0]
    assert now["pid"] == pid and now["listenPort"] == port and len(now["peers"]) == 2, now
    assert now["dns"] == ["10.77.0.53", "10.77.0.1"], now
    assert now["searchDomains"] == ["lab.example", "corp.example"], now
    assert peer["allowedIps"] == ["10.77.0.0/24", "10.98.0.0/16"] and peer["persistentKeepalive"] == 21, peer
    assert slow.wait(60) == 0, "the connection that was open did not survive"
    assert w.fetch()


@tap.test("a file with a mistake, or with another address, changes nothing")
def _(w):
    before = w.ok("show", "client", "allowed-ips")
    with open(w.client, encoding="utf-8") as f:
        good = f.read()
    with open(w.client, "w", encoding="utf-8") as f:
        f.write(re.sub(r"AllowedIPs = 10\.77\..*", "AllowedIPs = 10.77.0.0/44", good))
    assert w.wgwrap("reload", "client")[0] == 3, w.last
    with open(w.client, "w", encoding="utf-8") as f:
        f.write(good.replace("10.77.0.2/24", "10.77.0.9/24"))
    status, _, err = w.wgwrap("reload", "client")
    assert status == 1 and "10.77.0.9/24" in err and "wgwrap down" in err, w.last
    with open(w.client, "w", encoding="utf-8") as f: # as an editor that is still writing
        f.write(good[:good.index("[Peer]")])
    status, _, err = w.wgwrap("reload", "client")
    assert status == 1 and "no [Peer]" in err, w.last
    assert w.ok("show", "client", "allowed-ips") == before
    with open(w.client, "w", encoding="utf-8") as f:
        f.write(good)
    assert w.fetch()


@tap.test("SIGHUP to the keeper reads the file again")
def _(w):
    with open(w.client, encoding="utf-8") as f:
        text = f.read().replace("PersistentKeepalive = 21\n", "")
    with open(w.client, "w", encoding="utf-8") as f:
        f.write(text.replace("[Peer]\n", "[Peer]\nPersistentKeepalive = 22\n", 1))
    os.kill(w.keeper("client"), signal.SIGHUP)
    t.wait_until("the keepalive changes", lambda: w.tunnel("client")["peers"][0]["persistentKeepalive"] == 22)


@tap.test("UAPI: get and set on one connection, all or nothing, mistakes are EINVAL")
def _(w):
    key = t.hexadecimal(w.keys["server_public"])
    answer = t.uapi(w, "client", "get=1\n\n" + f"set=1\npublic_key={key}\npersistent_keepalive_interval=9\n\n" +
                  f"set=1\npublic_key={key}\npersistent_keepalive_interval=8\nbogus=1\n\nget=1\n\n")
    assert answer.count("errno=0\n\n") == 3 and answer.count("errno=-22\n\n") == 1, answer
    assert "persistent_keepalive_interval=9\n" in answer.split("errno=")[-2], "the second set left something behind"
    assert t.uapi(w, "client", "junk\n\n") == ""
    assert t.uapi(w, "client", f"set=1\nprivate_key={'00' * 32}\n\n") == "errno=-22\n\n"


def handshake_at(w):
    """When the client's last handshake was, in whole seconds."""
    return max(int(line.split()[1]) for line in w.ok("show", "client", "latest-handshakes").splitlines())


@tap.test("another preshared key by reload: the session stays, the next handshake uses it")
def _(w):
    before = handshake_at(w)
    new = w.word("genpsk")
    t.edit(w.client, w.keys["psk"], new)
    w.ok("reload", "client")
    # one of 120 s is renewed in any case
    assert w.fetch() and (handshake_at(w) == before or time.time() - before > 100), "the session did not stay"
    # only one side has it: a new private key needs a handshake, which fails
    w.change_private_key()
    assert not w.fetch(3)
    t.edit(w.server, w.keys["psk"], new)
    w.keys["psk"] = new
    w.ok("reload", "server")
    assert w.fetch() and handshake_at(w) > before


@tap.test("the private key of a tunnel that runs is no other's by reload")
def _(w):
    before, key = w.tunnel("client"), w.word("genkey")
    with open(w.client, encoding="utf-8") as f:
        other = w.write("other.conf", f.read().replace(w.keys["client_key"], key))
    w.ok("up", "--no-wait", "--listen-port=0", other)
    t.edit(w.client, w.keys["client_key"], key)
    status, _, err = w.wgwrap("reload", "client")
    t.edit(w.client, key, w.keys["client_key"])
    w.ok("down", "other")
    assert status == 1 and "a tunnel with the new private key runs already" in err, (status, err)
    after = w.tunnel("client")
    assert [after[k] for k in ("id", "publicKey", "pid")] == [before[k] for k in ("id", "publicKey", "pid")] and w.fetch()


@tap.test("another private key by reload: the process and connections stay, the ID is another")
def _(w):
    before = w.tunnel("client")
    slow = w.start("-c", w.client, "--", "python3", "-c", SLOW, stdout=subprocess.PIPE)
    assert slow.stdout.readline() == b"connected\n"
    status, _, err = w.change_private_key()
    assert status == 0, err
    after = w.tunnel("client")
    assert w.running() == ["client", "server"] and after["pid"] == before["pid"] and after["id"] != before["id"]
    assert after["publicKey"] == w.keys["client_public"]
    assert slow.wait(60) == 0, "the connection that was open did not survive"
    assert w.fetch(), "the file's key does not find the tunnel"
    assert w.tunnel("client")["pid"] == before["pid"]
    left = os.listdir(w.env["WGWRAP_RUNTIME_DIR"])
    assert not [name for name in left if name.startswith(before["id"])], left
    # its keeper has the file's key, too, even if it had no time to hear of it
    keeper = next(session["pid"] for session in after["sessions"] if session["keeper"])
    os.kill(keeper, signal.SIGSTOP)
    w.change_private_key()
    os.kill(before["pid"], signal.SIGKILL)
    os.kill(keeper, signal.SIGCONT)
    w.replaced("client", before["pid"])
    assert w.tunnel("client")["publicKey"] == w.keys["client_public"] and w.fetch()


@tap.test("UAPI: another private and another preshared key, and back")
def _(w):
    key, psk = w.word("genkey"), w.word("genpsk")
    public = w.word("pubkey", input=key)
    pid, ident = w.tunnel("client")["pid"], w.tunnel("client")["id"]
    command = w.start("-c", w.client, "--", "sh", "-c",
                      "echo up; while read x; do curl -sS --max-time 60 http://10.77.0.1:8000/page; done",
                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert command.stdout.readline() == b"up\n"
    peer = t.hexadecimal(w.keys["server_public"])
    for key, public, psk in ((key, public, psk), (w.keys["client_key"], w.keys["client_public"], w.keys["psk"])):
        assert t.uapi(w, "server", f"set=1\npublic_key={t.hexadecimal(public)}\npreshared_key={t.hexadecimal(psk)}\n"
                    "allowed_ip=10.77.0.2/32\n\n") == "errno=0\n\n"
        assert t.uapi(w, "client", f"set=1\nprivate_key={t.hexadecimal(key)}\npublic_key={peer}\n"
                    f"preshared_key={t.hexadecimal(psk)}\n\n") == "errno=0\n\n"
        t.wait_until("the tunnel has the key's name", lambda: named_by(w, pid, public))
        command.stdin.write(b"\n")
        command.stdin.flush()
        assert command.stdout.readline() == b"hello\n"
    assert w.tunnel("client")["id"] == ident and w.tunnel("client")["pid"] == pid
    command.stdin.close()
    assert command.wait(60) == 0


def named_by(w, pid, public):
    """Whether the tunnel of @pid is there once, with that public key."""
    tunnels = [tunnel for tunnel in w.json()["tunnels"] if tunnel["pid"] == pid]
    return len(tunnels) == 1 and tunnels[0]["publicKey"] == public


@tap.test("UAPI: wg(8) shows and changes a tunnel")
def _(w):
    kind = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    if t.run(*kind, "true").returncode:
        tap.skip("no mount namespace here")
    if t.run("sh", "-c", "command -v wg").returncode:
        tap.skip("wg is not installed")
    sock = os.path.join(w.env["WGWRAP_RUNTIME_DIR"], w.tunnel("client")["id"] + ".sock")
    key = w.keys["server_public"]
    script = (f"mount -t tmpfs none /run && mkdir /run/wireguard && ln -s {sock} /run/wireguard/wgw0.sock && "
              f"wg set wgw0 peer {key} persistent-keepalive 7 && wg show wgw0 dump")
    done = t.run(*kind, "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    theirs = [line.split("\t") for line in done.stdout.splitlines() if line.startswith(key)][0]
    ours = [line.split("\t") for line in w.ok("show", "client", "dump").splitlines() if line.startswith(key)][0]
    assert theirs[7] == ours[7] == "7" and theirs[2:5] == ours[2:5], (theirs, ours)


@tap.test("reload of a tunnel that a command began in another directory, with a relative path")
def _(w):
    w.ok("down", "client")
    command = w.start("-c", "client.conf", "--", "sh", "-c", "echo up; read x", cwd=w.dir, stdin=subprocess.PIPE,
                      stdout=subprocess.PIPE)
    assert command.stdout.readline() == b"up\n"
    w.ok("up", w.client)
    assert w.tunnel("client")["source"] == w.client
    w.ok("reload", "client")
    command.communicate(b"\n", timeout=60)
    assert w.fetch()


@tap.test("a tunnel is called as its keeper's file is, else as the first command's; reload keeps up nothing that was not")
def _(w):
    w.ok("down", "client")
    with open(w.client, encoding="utf-8") as f:
        office = w.write("office.conf", f.read())
    first = w.start("-c", w.client, "--", "sh", "-c", "echo up; read x", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert first.stdout.readline() == b"up\n"
    w.ok("reload", "client")
    assert [s["keeper"] for s in w.tunnel("client")["sessions"]] == [False]
    second = w.start("-c", office, "--", "sh", "-c", "echo up; read x", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert second.stdout.readline() == b"up\n" and w.tunnel("client")["source"] == w.client
    first.communicate(b"\n", timeout=60)
    t.wait_until("the other's name is its name", lambda: "office" in w.running())
    w.ok("up", office)
    second.communicate(b"\n", timeout=60)
    assert w.tunnel("office")["source"] == office
    t.edit(office, "[Peer]", "[Peer]\nPersistentKeepalive = 23")
    w.ok("reload", office)
    assert w.tunnel("office")["peers"][-1]["persistentKeepalive"] == 23
    status, _, err = w.wgwrap("up", w.client)
    assert status == 1 and "another file" in err, w.last
    assert w.tunnel("office")["peers"][-1]["persistentKeepalive"] == 23
    w.ok("down", "office")


tap.main(t.Tunnels)
