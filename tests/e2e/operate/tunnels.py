#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tunnels.py - up, down, reload, list, show, top, health and the UAPI, as a person and a script use them
"""

import base64
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import operate as t  # noqa: E402
from lib import tap  # noqa: E402

FIELDS = ("public-key", "private-key", "listen-port", "fwmark", "peers", "preshared-keys", "endpoints",
          "allowed-ips", "latest-handshakes", "transfer", "persistent-keepalive")


@tap.test("without tunnels: list is empty, show says nothing, down and health say 5")
def _(w):
    assert w.ok("list") == "" and w.ok("show") == ""
    assert w.json() == {"schema": 1, "tunnels": []}
    for command in (("down",), ("down", "client"), ("health",), ("show", "client"), ("reload", "client"),
                    ("top", "-n", "1")):
        status, out, err = w.wgwrap(*command)
        assert (status, out) == (5, "") and "running" in err, (command, status, out, err)


@tap.test("misuse is 2, a bad file 3, nobody at the endpoint 4")
def _(w):
    for command in (("up",), ("up", "--bogus"), ("show", "a", "b"), ("list", "x"), ("show", "--json", "dump"),
                    ("health", "a", "b"), ("top", "-n", "0"), ("down", "a", "b")):
        assert w.wgwrap(*command)[0] == 2, w.last
    broken = w.write("broken.conf", "[Interface]\nPrivateKey = {client_key}\nAddres = 10.0.0.1/32\n")
    assert w.wgwrap("up", broken)[0] == 3, w.last
    assert w.wgwrap("up", os.path.join(w.dir, "none.conf"))[0] == 3, w.last
    status, _, err = w.wgwrap("up", "--wait=300ms", w.client)
    assert status == 4 and "no answer" in err, w.last
    t.wait_until("what failed to come up has gone", lambda: w.running() == [])


@tap.test("while it waits, a terminal sees for whom and how long; a pipe and -q see nothing")
def _(w):
    def on_terminal(*options, wait=4500):
        main, other = pty.openpty()
        status = subprocess.run([t.WGWRAP, "up", *options, f"--wait={wait}ms", w.client], env=w.env, stdin=other, check=False,
                                stdout=other, stderr=other, timeout=t.LIMIT_S).returncode
        os.close(other)
        said = t.read_terminal(main)
        assert status == 4, said
        return said

    for wait, limit in ((4500, r"4\.5"), (20500, r"20\.5")):  # the longer where it had no time to say it twice in the shorter
        said = on_terminal(wait=wait)
        seconds = set(re.findall(rf"\r\033\[Kwgwrap: waiting for 127\.0\.0\.1:{w.port}: ([1-9]\d*) s of {limit} s, ", said))
        if len(seconds) > 1:
            break
    assert len(seconds) > 1 and ", no answer" in said, said
    assert "\r\033[Kwgwrap: " + w.client + ": no answer" in said, said
    assert "waiting" not in on_terminal("-q")
    assert "waiting" not in w.wgwrap("up", "--wait=1500ms", w.client)[2]
    t.wait_until("what failed to come up has gone", lambda: w.running() == [])


@tap.test("up waits for the handshake and stays without commands", groundwork=True)
def _(w):
    w.up()
    assert w.running() == ["client", "server"]
    assert w.tunnel("client")["state"] == "up"
    assert w.fetch()
    sessions = w.tunnel("client")["sessions"]
    assert [s["keeper"] for s in sessions if s["sockets"] == 0].count(True) == 1, sessions


@tap.test("up again changes nothing and leaves one keeper")
def _(w):
    before = w.tunnel("client")
    w.ok("up", w.client)
    after = w.tunnel("client")
    assert after["pid"] == before["pid"] and [s["keeper"] for s in after["sessions"]].count(True) == 1


@tap.test("show has the words of wg show, and why")
def _(w):
    out = w.ok("show", "client")
    for line in ("interface: client", "  public key: " + w.keys["client_public"], "  private key: (hidden)",
                 "peer: " + w.keys["server_public"], "  preshared key: (hidden)",
                 f"  endpoint: 127.0.0.1:{w.port}", "  allowed ips: 10.77.0.0/24", "  state: up",
                 "  name: office gateway", "  addresses: 10.77.0.2/24", "  dns: 10.77.0.1"):
        assert line in out.splitlines(), f"no {line!r} in:\n{out}"
    assert re.search(r"^  latest handshake: (Now|(\d+ minutes?, )?\d+ seconds? ago)$", out, re.M), out
    assert re.search(r"^  transfer: [\d.]+ (B|KiB) received, [\d.]+ (B|KiB) sent$", out, re.M), out
    assert "\033" not in out


@tap.test("a tunnel is named by label, id and file")
def _(w):
    ident = w.tunnel("client")["id"]
    for name in (ident, ident[:6], w.client):
        assert w.tunnel(name)["id"] == ident
    same = w.write("other.conf", t.CLIENT, endpoint=f"127.0.0.1:{w.port}", allowed="10.77.0.0/24")
    assert w.tunnel(same)["id"] == ident


@tap.test("no output holds a private or preshared key")
def _(w):
    secrets = [w.keys[k] for k in ("client_key", "server_key", "psk")]
    secrets += [base64.b64decode(s).hex() for s in secrets]
    everything = [w.ok("show"), w.ok("show", "--json"), w.ok("show", "all", "dump"), w.ok("health", "--metrics"),
                  w.ok("list"), w.ok("top", "-n", "1"), uapi(w, "client", "get=1\n\n")]
    everything += [w.ok("show", field) for field in FIELDS]
    for text in everything:
        assert text and not any(s in text for s in secrets)


def read_dump(text):
    """As scripts for wg show NAME dump do: tab-separated, the interface first."""
    lines = [line.split("\t") for line in text.splitlines()]
    private, public, port, mark = lines[0]
    peers = {}
    for key, psk, endpoint, allowed, handshake, rx, tx, keepalive in lines[1:]:
        peers[key] = {"psk": psk, "endpoint": endpoint, "allowed": allowed.split(","), "handshake": int(handshake),
                      "rx": int(rx), "tx": int(tx), "keepalive": keepalive}
    return private, public, int(port), mark, peers


@tap.test("dump is read by what reads wg show dump")
def _(w):
    private, public, port, mark, peers = read_dump(w.ok("show", "client", "dump"))
    assert (private, public, mark) == ("(hidden)", w.keys["client_public"], "off") and port > 0
    peer = peers[w.keys["server_public"]]
    assert peer["endpoint"] == f"127.0.0.1:{w.port}" and peer["allowed"] == ["10.77.0.0/24"]
    assert peer["psk"] == "(hidden)" and peer["keepalive"] == "off"
    assert peer["handshake"] > 1_600_000_000 and peer["rx"] > 0 and peer["tx"] > 0
    every = w.ok("show", "all", "dump").splitlines()
    assert {line.split("\t")[0] for line in every} == {"client", "server"}
    assert [len(line.split("\t")) for line in every] == [5, 9, 5, 9]


WG_JSON = "/usr/share/doc/wireguard-tools/examples/json/wg-json"


@tap.test("dump is read by a script for wg show dump: wireguard-tools' wg-json")
def _(w):
    if not os.path.exists(WG_JSON):
        tap.skip("wireguard-tools is not installed with its examples")
    wg = os.path.join(w.dir, "bin", "wg")
    os.makedirs(os.path.dirname(wg))
    with open(wg, "w", encoding="utf-8") as f:
        f.write(f'#!/bin/sh\nexec "{t.WGWRAP}" "$@"\n')
    os.chmod(wg, 0o755)
    done = t.run("bash", WG_JSON, env=dict(w.env, PATH=f"{os.path.dirname(wg)}:{os.environ['PATH']}"))
    theirs = json.loads(done.stdout)
    assert set(theirs) == {"client", "server"}, done
    ours = w.tunnel("client")
    peer = theirs["client"]["peers"][w.keys["server_public"]]
    assert theirs["client"]["publicKey"] == w.keys["client_public"]
    assert peer["endpoint"] == f"127.0.0.1:{w.port}" and peer["allowedIps"] == ["10.77.0.0/24"]
    assert peer["latestHandshake"] == ours["peers"][0]["latestHandshake"], (peer, ours)
    assert theirs["server"]["peers"][w.keys["client_public"]]["transferRx"] > 0


@tap.test("fields are those of wg show")
def _(w):
    key = w.keys["server_public"]
    wanted = {"public-key": w.keys["client_public"], "private-key": "(hidden)", "fwmark": "off", "peers": key,
              "preshared-keys": f"{key}\t(hidden)", "endpoints": f"{key}\t127.0.0.1:{w.port}",
              "allowed-ips": f"{key}\t10.77.0.0/24", "persistent-keepalive": f"{key}\toff"}
    for field, value in wanted.items():
        assert w.ok("show", "client", field) == value + "\n", (field, w.last)


@tap.test("JSON is as its schema says")
def _(w):
    try:
        import jsonschema  # pylint: disable=import-outside-toplevel
    except ImportError:
        tap.skip("python3-jsonschema is not installed")
    with open(os.path.join(t.ROOT, "cmd/wgwrap-show.schema.json"), encoding="utf-8") as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    for what in ((), ("client",)):
        jsonschema.validate(w.json(*what), schema)
    broken = w.json()
    del broken["tunnels"][0]["state"]
    try:
        jsonschema.validate(broken, schema)
    except jsonschema.ValidationError:
        return
    raise AssertionError("the schema accepts a tunnel without a state")


@tap.test("reload takes over peers, prefixes and port; connections stay")
def _(w):
    pid = w.tunnel("client")["pid"]
    slow = w.start("-c", w.client, "--", "python3", "-c", SLOW, stdout=subprocess.PIPE)
    assert slow.stdout.readline() == b"connected\n"
    port = t.free_port()
    with open(w.client, "a", encoding="utf-8") as f:
        f.write("PersistentKeepalive = 21\n[Peer]\nPublicKey = " + w.word("pubkey", input=w.word("genkey")) +
                "\nAllowedIPs = 10.99.0.0/16\n")
    edit(w.client, "10.77.0.0/24", "10.77.0.0/24, 10.98.0.0/16")
    edit(w.client, "[Interface]", f"[Interface]\nListenPort = {port}\nDNS = 10.77.0.53, lab.example")
    w.ok("reload", "client")
    now = w.tunnel("client")
    peer = now["peers"][0]
    assert now["pid"] == pid and now["listenPort"] == port and len(now["peers"]) == 2, now
    assert now["dns"] == ["10.77.0.53", "10.77.0.1"], now
    assert now["searchDomains"] == ["lab.example", "corp.example"], now
    assert peer["allowedIps"] == ["10.77.0.0/24", "10.98.0.0/16"] and peer["persistentKeepalive"] == 21, peer
    assert slow.wait(60) == 0, "the connection that was open did not survive"
    assert w.fetch()


LISTENS = """
import socket, sys
held = [socket.create_server((at, 0)) for at in ("127.0.0.1", "0.0.0.0")]
print(*(s.getsockname()[1] for s in held), flush=True)
sys.stdin.read()
"""


@tap.test("top tells listeners of the host's loopback from those in the tunnel")
def _(w):
    command = w.start("-c", w.client, "--", sys.executable, "-c", LISTENS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        direct, inside = command.stdout.readline().split()
        lines = [line.split() for line in w.ok("top", "-n", "1", "client").splitlines()]
    finally:
        command.communicate(timeout=60)
    assert command.returncode == 0
    ways = {line[4]: line[3] for line in lines if line[2:3] == ["listening"]}
    assert ways == {f"127.0.0.1:{direct}": "direct", f"0.0.0.0:{inside}": "tunnel"}, lines


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


def edit(path, old, new):
    """Replaces the last @old in a file."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    assert old in text
    with open(path, "w", encoding="utf-8") as f:
        f.write(new.join(text.rsplit(old, 1)))


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


def uapi(w, name, text):
    """Sends operations; what is answered."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.connect(os.path.join(w.env["WGWRAP_RUNTIME_DIR"], w.tunnel(name)["id"] + ".sock"))
        s.sendall(text.encode())
        s.shutdown(socket.SHUT_WR)
        answer = b""
        while got := s.recv(65536):
            answer += got
    return answer.decode()


@tap.test("UAPI: get and set on one connection, all or nothing, mistakes are EINVAL")
def _(w):
    key = base64.b64decode(w.keys["server_public"]).hex()
    answer = uapi(w, "client", "get=1\n\n" + f"set=1\npublic_key={key}\npersistent_keepalive_interval=9\n\n" +
                  f"set=1\npublic_key={key}\npersistent_keepalive_interval=8\nbogus=1\n\nget=1\n\n")
    assert answer.count("errno=0\n\n") == 3 and answer.count("errno=-22\n\n") == 1, answer
    assert "persistent_keepalive_interval=9\n" in answer.split("errno=")[-2], "the second set left something behind"
    assert uapi(w, "client", "junk\n\n") == ""
    assert uapi(w, "client", f"set=1\nprivate_key={'00' * 32}\n\n") == "errno=-22\n\n"


def hexadecimal(key):
    return base64.b64decode(key).hex()


def handshake_at(w):
    """When the client's last handshake was, in whole seconds."""
    return max(int(line.split()[1]) for line in w.ok("show", "client", "latest-handshakes").splitlines())


def change_private_key(w):
    """Gives the client another private key, by its file, and the server the public one; what reload says."""
    key = w.word("genkey")
    public = w.word("pubkey", input=key)
    edit(w.server, w.keys["client_public"], public)
    edit(w.client, w.keys["client_key"], key)
    w.ok("reload", "server")
    w.keys.update(client_key=key, client_public=public)
    return w.wgwrap("reload", "client")


@tap.test("another preshared key by reload: the session stays, the next handshake uses it")
def _(w):
    before = handshake_at(w)
    new = w.word("genpsk")
    edit(w.client, w.keys["psk"], new)
    w.ok("reload", "client")
    assert w.fetch() and handshake_at(w) == before, "the session did not stay"
    # only one side has it: a new private key needs a handshake, which fails
    change_private_key(w)
    assert not w.fetch(3)
    edit(w.server, w.keys["psk"], new)
    w.keys["psk"] = new
    w.ok("reload", "server")
    assert w.fetch() and handshake_at(w) > before


@tap.test("another private key by reload: the process and connections stay, the ID is another")
def _(w):
    before = w.tunnel("client")
    slow = w.start("-c", w.client, "--", "python3", "-c", SLOW, stdout=subprocess.PIPE)
    assert slow.stdout.readline() == b"connected\n"
    status, _, err = change_private_key(w)
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
    change_private_key(w)
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
    peer = hexadecimal(w.keys["server_public"])
    for key, public, psk in ((key, public, psk), (w.keys["client_key"], w.keys["client_public"], w.keys["psk"])):
        assert uapi(w, "server", f"set=1\npublic_key={hexadecimal(public)}\npreshared_key={hexadecimal(psk)}\n"
                    "allowed_ip=10.77.0.2/32\n\n") == "errno=0\n\n"
        assert uapi(w, "client", f"set=1\nprivate_key={hexadecimal(key)}\npublic_key={peer}\n"
                    f"preshared_key={hexadecimal(psk)}\n\n") == "errno=0\n\n"
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


@tap.test("a wrapped program sees its tunnel but cannot change it")
def _(w):
    before = w.ok("show", "client", "dump").splitlines()[0]
    wrapped = ("-c", w.client, "--", t.WGWRAP)
    assert w.ok(*wrapped, "show", "client", "public-key").strip() == w.keys["client_public"]
    status, _, err = w.wgwrap(*wrapped, "down", "client")
    assert status == 1 and "cannot change" in err, w.last
    assert w.wgwrap(*wrapped, "reload", "client")[0] == 1, w.last
    sock = os.path.join(w.env["WGWRAP_RUNTIME_DIR"], w.tunnel("client")["id"] + ".sock")
    script = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
              "s.sendall(b'set=1\\nreplace_peers=true\\n\\n'); print(s.recv(100))")
    out = w.ok("-c", w.client, "--", "python3", "-c", script, sock)
    assert out == "b'errno=-1\\n\\n'\n", out
    assert w.ok("show", "client", "dump").splitlines()[0] == before and w.fetch()


@tap.test("top shows a connection and its rate")
def _(w):
    with open(os.path.join(w.dir, "web/big"), "wb") as f:
        f.truncate(1 << 30)
    load = w.start("-c", w.client, "--", "curl", "-s", "-o", "/dev/null", "--limit-rate", "2M",
                   "http://10.77.0.1:8000/big")
    try:
        t.wait_until("the connection shows", lambda: " open " in w.ok("top", "-n", "1", "client"))

        def rated():
            out = w.ok("top", "-n", "2", "-d", "500ms", "client")
            # others are on their way out
            rows = [line for line in out.splitlines() if line.startswith("tcp") and "10.77.0.1:8000" in line and " open " in line]
            assert len(rows) == 2, out
            return re.search(r"[\d.]+ [KM]iB/s$", rows[1])
        t.wait_until("a rate: curl reads by the megabyte and rests in between", rated)
        # a terminal of 80 columns has the rates, too
        main, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        done = subprocess.run([t.WGWRAP, "top", "-n", "2", "-d", "500ms", "client"], env=w.env, check=False, stdout=other,
                              timeout=t.LIMIT_S)
        os.close(other)
        lines = t.read_terminal(main).split("\033[J")[-1].splitlines()
        assert done.returncode == 0 and max(map(len, lines)) <= 80, lines
        rows = [line for line in lines if line.startswith("tcp") and "10.77.0.1:8000" in line and " open " in line]
        assert len(rows) == 1 and re.search(r"( -|[KM]?i?B/s)$", rows[0]), lines
        assert any(line.endswith(" IN/S") for line in lines), lines
    finally:
        w.stop(load)


def http(url, method="GET"):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=60) as r:
            return r.status, r.headers["Content-Type"], r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers["Content-Type"], e.read().decode()


SAMPLE = re.compile(r'([a-z_]+)(?:\{([a-z_]+="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\[\\"n])*")*)\})? '
                    r"([0-9.]+)")


# parts of names that promtool's lint refuses: types, suffixes of other types, units that are not the base ones, short forms
NO_METRIC_WORDS = set("counter gauge histogram summary count sum bucket milliseconds microseconds nanoseconds minutes hours days "
                      "kilobytes megabytes gigabytes bits kib mib gib s ms us ns sec b kb mb gb".split())


def check_metrics(text):
    """The exposition format, as strict as a parser and promtool's lint; family -> samples."""
    families, kind, seen, name = {}, {}, {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert line.split(" ", 3)[3:], f"{name} has no help"
            assert name not in families, f"{name} is not in one piece"
            families[name] = []
        elif line.startswith("# TYPE "):
            _, _, typed, kind[name] = line.split(" ")
            assert typed == name and kind[name] in ("counter", "gauge")
            assert (kind[name] == "counter") == name.endswith("_total"), name
            assert not set(name.split("_")) & NO_METRIC_WORDS, name
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample and sample[1] == name and name in kind, line
            labels = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', sample[2] or "")
            assert len(dict(labels)) == len(labels) and not {"le", "quantile"} & set(dict(labels)), line
            assert sorted(labels) not in seen.setdefault(name, []), f"twice: {line}"
            seen[name].append(sorted(labels))
            families[name].append((sample[2], float(sample[3])))
    assert text.endswith("\n") and all(families.values())
    return families


@tap.test("health: an exit status, and /livez, /readyz, /metrics")
def _(w):
    assert w.ok("health") == "client: up\nserver: up\n"
    port = t.free_port()
    server = w.start("health", "--listen", f"127.0.0.1:{port}")
    base = f"http://127.0.0.1:{port}"
    t.wait_until("it listens", lambda: t.run("curl", "-s", base + "/livez").returncode == 0)
    assert http(base + "/livez") == (200, "text/plain; charset=utf-8", "ok\n")
    assert http(base + "/readyz")[0] == 200
    assert http(base + "/nothing")[0] == 404 and http(base + "/livez", "POST")[0] == 405
    status, kind, text = http(base + "/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    families = check_metrics(text)
    for name in ("wireguard_sent_bytes_total", "wireguard_received_bytes_total", "wireguard_latest_handshake_seconds",
                 "wgwrap_ready", "wgwrap_dropped_total", "wgwrap_build_info"):
        assert families[name], name
    labels = families["wireguard_sent_bytes_total"][0][0]
    assert 'interface="client"' in labels and 'friendly_name="office gateway"' in labels
    for junk in (b"GET\r\n\r\n", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", b"\0\0\0\0\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
            s.sendall(junk)
            assert s.recv(100).startswith(b"HTTP/1.1 400 "), junk[:20]
    assert http(base + "/livez")[0] == 200, "it survives what is no HTTP"
    w.stop(server)
    assert server.returncode == 0


# promtool takes the last one, though it is twice the same series
BAD_METRICS = ("a_total 1\n", "# HELP a_total x\n# TYPE a_total counter\na_total 1", "# HELP a x\n# TYPE a counter\na 1\n",
               "# HELP a_total x\n# TYPE a_total gauge\na_total 1\n", "# HELP a_ms x\n# TYPE a_ms gauge\na_ms 1\n",
               "# HELP a_gauge x\n# TYPE a_gauge gauge\na_gauge 1\n", "# HELP a x\n# TYPE a gauge\na{le=\"1\"} 1\n",
               "# TYPE a gauge\na 1\n", "# HELP a x\n# TYPE a gauge\na{b=\"1} 1\n",
               "# HELP a_minutes x\n# TYPE a_minutes gauge\na_minutes 1\n",
               "# HELP a x\n# TYPE a gauge\na{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 1\n")


@tap.test("the checker of metrics refuses what promtool refuses")
def _(w):
    check_metrics("# HELP a x\n# TYPE a gauge\na 1\n")
    for text in BAD_METRICS:
        try:
            check_metrics(text)
        except (AssertionError, KeyError, ValueError):
            continue
        raise AssertionError(f"taken: {text!r}")
    if t.run("sh", "-c", "command -v promtool").returncode == 0:
        for text in BAD_METRICS:
            assert t.run("promtool", "check", "metrics", input=text).returncode or text == BAD_METRICS[-1], text


@tap.test("promtool accepts the metrics")
def _(w):
    if t.run("sh", "-c", "command -v promtool").returncode:
        tap.skip("promtool is not installed")
    done = t.run("promtool", "check", "metrics", input=w.ok("health", "--metrics"))
    assert done.returncode == 0, done.stderr


@tap.test("health refuses other hosts unless it is told otherwise")
def _(w):
    status, _, err = w.wgwrap("health", "--listen", f"0.0.0.0:{t.free_port()}")
    assert status == 1 and "--any-address" in err, w.last


def helper(keeper):
    """The child of a keeper that serves health."""
    return int(t.run("pgrep", "-P", str(keeper)).stdout.split()[0])


@tap.test("up --health: options behind the file, too; a unix socket outlives another key; up again says what it does not")
def _(w):
    def ready():
        return t.run("curl", "-sS", "--unix-socket", path, "http://localhost/readyz").stdout

    path = os.path.join(w.dir, "health")
    w.ok("down", "client")
    w.ok("up", w.client, "--health", path)
    assert os.stat(path).st_mode & 0o777 == 0o600 and ready() == "client: up\n"
    status, _, err = w.wgwrap("up", "--health", path, w.client)
    assert status == 0 and "up already" in err and ready() == "client: up\n", w.last
    os.kill(helper(w.keeper("client")), signal.SIGKILL)
    t.wait_until("another process serves health", lambda: ready() == "client: up\n")
    assert w.wgwrap("health", "--listen", path)[0] == 1 and "in use" in w.last and ready() == "client: up\n", w.last
    assert change_private_key(w)[0] == 0
    t.wait_until("health follows", lambda: ready() == "client: up\n")
    w.ok("down", "client")
    t.wait_until("the socket has gone", lambda: not os.path.exists(path))
    w.ok("up", w.client)


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
    edit(office, "[Peer]", "[Peer]\nPersistentKeepalive = 23")
    w.ok("reload", office)
    assert w.tunnel("office")["peers"][-1]["persistentKeepalive"] == 23
    status, _, err = w.wgwrap("up", w.client)
    assert status == 1 and "another file" in err, w.last
    assert w.tunnel("office")["peers"][-1]["persistentKeepalive"] == 23
    w.ok("down", "office")


@tap.test("down with a command running leaves it its tunnel")
def _(w):
    w.ok("up", w.client)
    command = w.start("-c", w.client, "--", "sh", "-c", "echo up; read x; curl -sS http://10.77.0.1:8000/page",
                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert command.stdout.readline() == b"up\n"
    w.wgwrap("down", "client")
    assert "1 running command" in w.last, w.last
    assert command.communicate(b"\n", timeout=60)[0] == b"hello\n" and command.returncode == 0


@tap.test("the tunnel is started again when its process dies")
def _(w):
    w.ok("up", w.client)
    pid = w.tunnel("client")["pid"]
    os.kill(pid, signal.SIGKILL)
    w.replaced("client", pid)
    assert w.fetch()
    sessions = t.wait_until("it has its keeper", lambda: [s for s in w.tunnel("client")["sessions"] if s["keeper"]])
    assert len(sessions) == 1


@tap.test("down before the keeper is back at a tunnel process that was started again: it leaves, too")
def _(w):
    w.ok("up", w.client)
    command = w.start("-c", w.client, "--", "sh", "-c", "echo up; read x", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert command.stdout.readline() == b"up\n"
    keeper, pid = w.keeper("client"), w.tunnel("client")["pid"]
    os.kill(keeper, signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        w.replaced("client", pid)
        t.wait_until("the command is back", lambda: w.tunnel("client")["sessions"])
        w.wgwrap("down", "client")
        assert "1 running command still uses it" in w.last, w.last
    finally:
        os.kill(keeper, signal.SIGCONT)
    t.wait_until("the keeper leaves", lambda: has_ended(keeper))
    command.communicate(b"\n", timeout=60)
    t.wait_until("the tunnel has ended", lambda: "client" not in w.running())


@tap.test("down while the keeper is stopped: it names that process")
def _(w):
    w.ok("up", w.client)
    keeper = w.keeper("client")
    os.kill(keeper, signal.SIGSTOP)
    try:
        status, _, err = w.wgwrap("down", "client")
        assert status == 1 and f"process {keeper}, which keeps it up" in err, w.last
    finally:
        os.kill(keeper, signal.SIGCONT)
    t.wait_until("the tunnel has ended", lambda: "client" not in w.running())


@tap.test("a tunnel process that is stopped: who asks it says so soon, and names it at the end")
def _(w):
    w.ensure_up()
    w.ok("up", w.client)
    pid = w.tunnel("client")["pid"]
    who = f"process {pid}, which is stopped"
    os.kill(pid, signal.SIGSTOP)
    try:
        asking = [w.start(*argv, stderr=subprocess.PIPE) for argv in
                  (("down", "client"), ("show", "client"), ("up", w.client), ("-c", w.client, "--", "true"))]
        said = [child.communicate(timeout=60)[1].decode().splitlines() for child in asking]
    finally:
        os.kill(pid, signal.SIGCONT)
    for child, lines in zip(asking, said):
        assert child.returncode in (1, 125), said
        assert f"no answer yet from the tunnel process ({who})" in lines[0], said
        assert f"({who}) does not answer" in lines[1], said
    assert [child.returncode for child in asking] == [1, 1, 1, 125], said
    assert "client: no such tunnel answers" in said[1][-1], said
    w.ok("down", "client")


@tap.test("up behind a down whose keeper is slow to leave: another one keeps the tunnel up")
def _(w):
    w.ok("up", w.client)
    command = w.start("-c", w.client, "--", "sh", "-c", "echo up; read x", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert command.stdout.readline() == b"up\n"
    slow = w.keeper("client")
    os.kill(slow, signal.SIGSTOP)
    try:
        w.ok("down", "client")
        assert [s["keeper"] for s in w.tunnel("client")["sessions"]] == [False]
        w.ok("up", w.client)
        assert w.keeper("client") != slow
    finally:
        os.kill(slow, signal.SIGCONT)
    command.communicate(b"\n", timeout=60)
    t.wait_until("the slow one leaves", lambda: has_ended(slow))
    pid = w.tunnel("client")["pid"]
    os.kill(pid, signal.SIGKILL)
    w.replaced("client", pid)
    t.wait_until("it has its keeper", lambda: any(s["keeper"] for s in w.tunnel("client")["sessions"]))


@tap.test("up --foreground notifies, feeds the watchdog, serves health and ends by SIGTERM")
def _(w):
    w.ok("down", "client")
    path, port = os.path.join(w.dir, "notify"), t.free_port()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(60)
        w.env.update(NOTIFY_SOCKET=path, WATCHDOG_USEC="200000")
        keeper = w.start("up", "--foreground", "--health", f"127.0.0.1:{port}", w.client)
        del w.env["NOTIFY_SOCKET"], w.env["WATCHDOG_USEC"]
        assert s.recv(200).startswith(b"READY=1\n")
        assert s.recv(200) == s.recv(200) == b"WATCHDOG=1"
        assert http(f"http://127.0.0.1:{port}/readyz")[2] == "client: up\n"
        keeper.send_signal(signal.SIGHUP)
        lines = [s.recv(200)]
        while b"READY=1" not in lines and len(lines) < 1000:  # behind what the watchdog got meanwhile
            lines.append(s.recv(200))
        assert any(line.startswith(b"RELOADING=1\n") for line in lines) and b"READY=1" in lines, lines
        keeper.terminate()
        while s.recv(200) != b"STOPPING=1":  # as long as nobody reads, it may wait to say something else
            pass
        assert keeper.wait(60) == 0
    t.wait_until("the tunnel has ended", lambda: "client" not in w.running())


@tap.test("SIGHUP to a keeper without a file: it is said that there is none to read")
def _(w):
    with open(w.client, encoding="utf-8") as f:
        text = f.read()
    w.ok("up", w.server)
    for what, said in (("-", "standard input"), ("env:TUNNEL", "TUNNEL")):
        with subprocess.Popen([t.WGWRAP, "up", "--foreground", "-c", what], env=dict(w.env, TUNNEL=text), stdin=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as keeper:
            try:
                if what == "-":
                    keeper.stdin.write(text)
                keeper.stdin.close()
                t.wait_until(f"{what} is up", 
                             lambda: any(s["keeper"] for n in w.json()["tunnels"] if n["name"] != "server" for s in n["sessions"]))
                keeper.send_signal(signal.SIGHUP)
                line = select.select([keeper.stderr], [], [], 60)[0] and keeper.stderr.readline()
                assert line and "no file to read again" in line and said in line, (what, line)
                assert keeper.poll() is None
            finally:
                keeper.terminate()
        t.wait_until("the tunnel has ended", lambda: w.running() == ["server"])


@tap.test("down ends a tunnel for good")
def _(w):
    w.ok("up", w.client)
    pid = w.tunnel("client")["pid"]
    w.ok("down", "client")
    assert "client" not in w.running()
    t.wait_until("its process is gone", lambda: has_ended(pid))


def has_ended(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


tap.main(t.Tunnels)
