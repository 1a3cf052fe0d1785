#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""doctor.py - `wgwrap doctor -c FILE`: do the peers answer, and where to look if not; needs no privileges"""

import os
import pty
import re
import resource
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import operate as t  # noqa: E402
from lib import tap  # noqa: E402

PATIENCE = "--wait=40s"  # for what does answer


class Doctor(t.Tunnels):
    def __init__(self):
        super().__init__()
        self.plain = t.run(t.WGWRAP, "doctor", env=self.env).returncode  # where programs cannot be captured: 1

    def doctor(self, conf, *options, status=0):
        """What is said of the file's peers, on both outputs."""
        actual, out, err = self.wgwrap("doctor", "-c", conf, *options)
        assert actual == (status if status == 3 else self.plain or status), (status, self.last)
        for name in ("client_key", "server_key", "psk"):
            assert self.keys[name] not in out + err, name
        return out[out.find("configuration"):] + err

    def variant(self, old, new):
        """The client's file with another line."""
        with open(self.client, encoding="utf-8") as f:
            text = f.read()
        assert old in text
        path = os.path.join(self.dir, "variant.conf")
        with open(path, "w", encoding="utf-8", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(text.replace(old, new))
        return path


@tap.test("a peer that answers: how fast, and from where", groundwork=True)
def _(w):
    w.ok("up", w.server)
    for options in ((), ("-4",)):
        time.sleep(0.1)  # within 17 ms a second handshake looks like the first one again
        said = w.doctor(w.client, PATIENCE, *options)
        assert re.search(rf"(?m)^peer +office gateway at 127\.0\.0\.1:{w.port}: answers, in [0-9.]+ ms \(127\.0\.0\.1:{w.port}\)$", said), said


@tap.test("a wrong PublicKey, ours or the peer's, is silence: keys, clock, firewall and our own key are named")
def _(w):
    stranger = w.word("genkey")
    for old, new, own in ((w.keys["server_public"], w.word("pubkey", input=stranger), w.keys["client_public"]),
                          (w.keys["client_key"], stranger, w.word("pubkey", input=stranger))):
        said = w.doctor(w.variant(old, new), "--wait=700ms", status=4)
        assert "no handshake in 0.7 s" in said and "nothing comes back" in said, said
        for word in ("- Endpoint", "- firewalls", "- PublicKey", "- the clock", own):
            assert word in said, (word, said)


@tap.test("a wrong PresharedKey: something answers")
def _(w):
    for patience in ("6s", "30s"):  # the longer where the answer is late
        said = w.doctor(w.variant(w.keys["psk"], w.word("genpsk")), f"--wait={patience}", status=4)
        if "something answers there" in said:
            break
    assert "something answers there" in said and "- PresharedKey" in said and "- firewalls" not in said, said


@tap.test("nothing there: a closed port is told from silence; so is what cannot be sent")
def _(w):
    for _ in range(5):  # it waits 0.3 s for the ICMP message
        said = w.doctor(w.variant(f":{w.port}", f":{t.free_port()}"), "--wait=300ms", status=4)
        if "nothing listens" in said:
            break
    assert "nothing listens at this UDP port" in said, said
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        said = w.doctor(w.variant(f":{w.port}", f":{silent.getsockname()[1]}"), "--wait=300ms", status=4)
        assert "nothing comes back" in said, said
    said = w.doctor(w.variant("127.0.0.1:", "255.255.255.255:"), "--wait=300ms", status=4)
    # unreachable where there is no default route, as in a container without a network
    assert re.search("nothing could be sent there: (Permission denied|Network is unreachable)", said), said


@tap.test("names without an address, peers without an endpoint; others are tried all the same")
def _(w):
    more = (f"\n[Peer]\nPublicKey = {w.word('pubkey', input=w.word('genkey'))}\nAllowedIPs = 10.78.0.0/24\n# Name = caller\n"
            f"\n[Peer]\nPublicKey = {w.word('pubkey', input=w.word('genkey'))}\nAllowedIPs = 10.79.0.0/24\n# Name = lost\n"
            "Endpoint = nowhere.invalid:1\n")
    said = w.doctor(w.variant(f"Endpoint = 127.0.0.1:{w.port}\n", f"Endpoint = 127.0.0.1:{w.port}\n{more}"), PATIENCE, status=4)
    assert re.search(r"(?m)^peer +office gateway at .*: answers, in ", said), said
    assert re.search(r"(?m)^peer +caller: not tried: it has no Endpoint", said), said
    assert re.search(r"(?m)^peer +lost at nowhere.invalid:1: not tried", said) and "does not resolve" in said, said


@tap.test("--no-wait, --wait=0: nothing is tried; --wait=x is misuse; a file that is wrong is 3")
def _(w):
    for option in ("--no-wait", "--wait=0"):
        said = w.doctor(w.variant(f":{w.port}", f":{t.free_port()}"), option)
        assert "1 peer" in said and "\npeer" not in said, said
    assert w.wgwrap("doctor", "-c", w.client, "--wait=x")[0] == 2, w.last
    w.doctor(w.variant("[Peer]", "[Pear]"), status=3)


@tap.test("a UDP port that is in use is named")
def _(w):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("", 0))
        port = s.getsockname()[1]
        said = w.doctor(w.client, f"--listen-port={port}", status=1)
        assert f"UDP port {port} (ListenPort) is in use" in said, said


@tap.test("a running tunnel with the same key is left alone")
def _(w):
    w.ok("up", w.client)
    assert w.ok("show", "client", "latest-handshakes").split()[1] != "0"
    endpoints = w.ok("show", "server", "endpoints")
    said = w.doctor(w.client)
    assert "not tried: a tunnel with this key runs" in said, said
    assert w.ok("show", "server", "endpoints") == endpoints
    w.ok("down", "client")


def with_little():
    resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@tap.test("ulimit -n 24, ulimit -f 0: a tunnel process could not be started, but none is")
def _(w):
    done = subprocess.run([t.WGWRAP, "doctor", "-c", w.client, PATIENCE], env=w.env, stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, check=False, timeout=60, preexec_fn=with_little)
    assert done.returncode == w.plain and re.search(r"(?m)^peer .*: answers, in ", done.stdout), done
    assert "ulimit" not in done.stderr and "descriptors" not in done.stderr, done


@tap.test("on a terminal, it shows that it waits")
def _(w):
    conf = w.variant(f":{w.port}", f":{t.free_port()}")
    for seconds in (2.5, 20):  # the longer where it had no time to say so in the shorter
        master, slave = pty.openpty()
        done = subprocess.run([t.WGWRAP, "doctor", "-c", conf, f"--wait={int(seconds * 1000)}ms"], env=w.env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave, check=False, timeout=90)
        os.close(slave)
        shown = t.read_terminal(master)
        if found := re.search(rf"waiting for 1 peer: [1-9]\d* s of {re.escape(f'{seconds:g}')} s", shown):
            break
    assert found and b"waiting" not in done.stdout, (shown, done)


tap.main(Doctor)
