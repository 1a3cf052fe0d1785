#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tunnels.py - up, down, list, show and top, as a person and a script use them
"""

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


@tap.test("who ignores SIGCHLD starts tunnels as others do, and hears of namespaces")
def _(w):
    def ignore():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    status, _, err = w.wgwrap("up", "--wait=300ms", w.client, preexec_fn=ignore)
    assert status == 4 and "no answer" in err, w.last
    assert "No child processes" not in w.wgwrap("doctor", preexec_fn=ignore)[1], w.last
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


@tap.test("list counts the commands of a tunnel, not what keeps it up")
def _(w):
    def commands(name):
        line = re.search(rf"(?m)^{name} .* \d+/\d+ +(\d+) ", w.ok("list"))
        return line and int(line[1])

    assert [s["keeper"] for s in w.tunnel("server")["sessions"]].count(True) == 1
    assert commands("server") == 1, w.ok("list")  # the HTTP server
    t.wait_until("those that have ended are not counted", lambda: commands("client") == 0)


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
    secrets += [t.hexadecimal(s) for s in secrets]
    everything = [w.ok("show"), w.ok("show", "--json"), w.ok("show", "all", "dump"), w.ok("health", "--metrics"),
                  w.ok("list"), w.ok("top", "-n", "1"), t.uapi(w, "client", "get=1\n\n")]
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
    t.wait_until("the keeper leaves", lambda: t.has_ended(keeper))
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
    t.wait_until("the slow one leaves", lambda: t.has_ended(slow))
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
        assert t.http(f"http://127.0.0.1:{port}/readyz")[2] == "client: up\n"
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
    t.wait_until("its process is gone", lambda: t.has_ended(pid))


tap.main(t.Tunnels)
