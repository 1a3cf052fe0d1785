#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
wireguard_go.py - the engine and wireguard-go: both roles, keys, roaming, several peers

The renewal that comes after two minutes takes that long, so it runs only with WGWRAP_SLOW_TESTS=1.
"""

import base64
import contextlib
import glob
import os
import re
import shutil
import signal
import subprocess
import time

from lib import servers, tap, world
from lib.tap import test
from lib.world import find, run, wait_until

world.enter()

# Order 1, 2, 4 and 8, with those encodings that are not canonical
LOW_ORDER = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)
LISTEN = 9998


def wg(w, *argv, **kwargs):
    return run(*w.inside(w.peer_ns), find("wg"), *argv, **kwargs)


def shown(w, what, device="wg0"):
    """Of the client: what `wg show` says of it."""
    for line in wg(w, "show", device, what).splitlines():
        key, _, value = line.partition("\t")
        if key == w.pub["client"]:
            return value
    return None


def base64_of(hexadecimal):
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


def hexadecimal_of(key):
    return base64.b64decode(key).hex()


def admit_client(w, *more):
    """Makes the client as it is now a peer of wireguard-go's."""
    wg(w, "set", "wg0", "peer", w.pub["client"], "preshared-key", w.write("psk", w.psk + "\n"), "allowed-ips",
       "10.9.0.2/32,fd09::2/128", *more)


def take_private_key(w, key):
    """Gives wireguard-go another private key."""
    wg(w, "set", "wg0", "private-key", w.write("key", key + "\n"))


def fetch(w, **kwargs):
    servers.web(w)
    kwargs.setdefault("options", ())
    done = w.wrapped("curl", "-sS", "--max-time", "60", "http://10.9.0.1/", **kwargs)
    return done.stdout == "behind the tunnel\n", done


def pinging(w, conf=None):
    """A ping through the tunnel each second; count_lost() ends it."""
    ping = w.path("ping")
    if not os.path.exists(ping):
        shutil.copy(find("ping"), ping)  # without its file capabilities
    return w.start(w.wrap(ping, "-i", "1", "10.9.0.1", conf=conf), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def count_lost(child, seconds):
    """How many of the pings before the first one after @seconds that was answered were not: late ones are not lost."""
    text, answered = "", {0}
    while max(answered) < seconds:
        line = world.read_line(child.stdout, 120)
        assert line, text
        text += line
        if found := re.search(r"bytes from .* icmp_seq=(\d+) ", line):
            answered.add(int(found.group(1)))
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    return max(answered) + 1 - len(answered), text


@test("as initiator over IPv4 and over IPv6")
def _(w):
    for conf, endpoint in ((w.conf, "192.0.2.2:"), (w.conf6, "[2001:db8::2]:")):
        before = int(shown(w, "latest-handshakes"))
        if before:
            time.sleep(1.1)  # the clock of `wg show` has seconds
        ok, done = fetch(w, conf=conf)
        assert ok, done
        assert int(shown(w, "latest-handshakes")) > before
        assert shown(w, "endpoints").startswith(endpoint), shown(w, "endpoints")


@test("as responder: wireguard-go begins")
def _(w):
    text = w.config(interface=f"ListenPort = {LISTEN}\n").replace(f"Endpoint = 192.0.2.1:{world.PORT}\n", "")
    conf = w.write("responder.conf", text, 0o600)
    for endpoint in (f"192.0.2.2:{LISTEN}", f"[2001:db8::2]:{LISTEN}"):
        child = w.start(w.wrap("python3", "-u", "-m", "http.server", "8000", conf=conf), stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT)
        world.read_line(child.stdout)
        # forget the session and the address of the client before
        wg(w, "set", "wg0", "peer", w.pub["client"], "remove")
        admit_client(w, "endpoint", endpoint)
        done = w.finish_command(w.inside(w.peer_ns) + ["curl", "-sS", "--max-time", "60", "-o", "/dev/null", "-w",
                                                       "%{http_code}", "http://10.9.0.2:8000/"], 70)
        assert done.stdout == "200", done
        assert shown(w, "endpoints") == endpoint
        child.terminate()
        child.wait(60)
        w.end_tunnels()


@test("a wrong preshared key lets nobody in; a new one is used by the next session")
def _(w):
    wrong = w.write("wrong.conf", w.config().replace(w.psk, run(w.wgwrap, "genpsk").strip()), 0o600)
    done = w.wrapped("true", conf=wrong, options=("--wait=3s",))
    assert done.returncode == 125, done
    ok, done = fetch(w, conf=w.conf)
    assert ok, done
    child = pinging(w)
    time.sleep(3)
    new = run(w.wgwrap, "genpsk").strip()
    wg(w, "set", "wg0", "peer", w.pub["client"], "preshared-key", w.write("psk", new + "\n"))
    lost, text = count_lost(child, 8)
    assert lost == 0, text  # the session goes on
    w.end_tunnels()
    assert w.wrapped("true", conf=w.conf, options=("--wait=3s",)).returncode == 125
    w.psk = new
    w.conf = w.write("peer.conf", w.config(), 0o600)
    w.conf6 = w.write("peer6.conf", w.config(outer="6"), 0o600)
    w.end_tunnels()
    ok, done = fetch(w)
    assert ok, done


def replace_in(path, old, new):
    with open(path, encoding="ascii") as f:
        text = f.read()
    assert old in text
    with open(path, "w", encoding="ascii") as f:
        f.write(text.replace(old, new))


@contextlib.contextmanager
def keys_change(w):
    """
    Yields the client's file and a function: a program that has run since the beginning fetches a page, by the same
    tunnel process. In the end all keys are as before.
    """
    servers.web(w)
    keys, pub, psk = dict(w.key), dict(w.pub), w.psk
    conf = w.write("rekeyed.conf", w.config(), 0o600)
    child = w.start(w.wrap("sh", "-c", "while read -r _; do curl -sS --max-time 60 http://10.9.0.1/; done", conf=conf),
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def fetch_again():
        child.stdin.write(b"\n")
        child.stdin.flush()
        assert world.read_line(child.stdout, 70) == "behind the tunnel\n", "no answer"
        assert w.tunnels() == tunnel

    tunnel = wait_until("the tunnel process", w.tunnels)
    fetch_again()
    try:
        yield conf, fetch_again
    finally:
        child.terminate()
        child.wait(60)
        w.end_tunnels()
        wg(w, "set", "wg0", "peer", w.pub["client"], "remove")
        w.key, w.pub, w.psk = keys, pub, psk
        take_private_key(w, w.key["peer"])
        admit_client(w)
    ok, done = fetch(w)
    assert ok, done


@test("private keys of either side are changed while a program runs: by reload")
def _(w):
    with keys_change(w) as (conf, fetch_again):
        def reload():
            done = w.finish_command(w.unprivileged() + [w.wgwrap, "reload", "rekeyed"])
            assert done.returncode == 0, done

        wg(w, "set", "wg0", "peer", w.pub["client"], "remove")
        key, w.pub["client"] = w.key_pair()
        admit_client(w)
        replace_in(conf, w.key["client"], key)
        reload()
        fetch_again()
        assert int(shown(w, "latest-handshakes"))

        key, public = w.key_pair()
        take_private_key(w, key)
        replace_in(conf, w.pub["peer"], public)
        reload()
        fetch_again()


UAPI = """
import socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.connect(sys.argv[1])
    s.sendall(sys.stdin.buffer.read())
    s.shutdown(socket.SHUT_WR)
    print(s.makefile().read())
"""


def uapi_set(w, *lines):
    """Changes the client's tunnel, as its user."""
    def only():
        found = glob.glob(w.path("run", "wgwrap", "*.sock"))
        return found[0] if len(found) == 1 else None  # named by the key: for a moment there can be two
    done = w.finish_command(w.unprivileged() + ["python3", "-c", UAPI, wait_until("one control socket", only)], 30,
                            input="".join(f"{line}\n" for line in ("set=1", *lines, "")))
    assert done.stdout.strip() == "errno=0", done


@test("private and preshared keys of either side are changed while a program runs: by UAPI")
def _(w):
    def change_client():
        wg(w, "set", "wg0", "peer", w.pub["client"], "remove")
        key, w.pub["client"] = w.key_pair()
        admit_client(w)
        uapi_set(w, f"private_key={hexadecimal_of(key)}")
        fetch_again()
        assert int(shown(w, "latest-handshakes"))

    with keys_change(w) as (_, fetch_again):
        change_client()

        # a preshared key that only we have changes nothing before the next handshake, which needs it
        w.psk = run(w.wgwrap, "genpsk").strip()
        uapi_set(w, f"public_key={hexadecimal_of(w.pub['peer'])}", "update_only=true",
                 f"preshared_key={hexadecimal_of(w.psk)}")
        fetch_again()
        change_client()

        key, public = w.key_pair()
        take_private_key(w, key)
        uapi_set(w, f"public_key={hexadecimal_of(w.pub['peer'])}", "remove=true",
                 f"public_key={hexadecimal_of(public)}", f"preshared_key={hexadecimal_of(w.psk)}",
                 f"endpoint=192.0.2.1:{world.PORT}", "allowed_ip=10.9.0.0/16", "allowed_ip=fd09::/16")
        fetch_again()


@test("several peers, each for its own addresses")
def _(w):
    log = open(w.path("wireguard-go-2.log"), "w", encoding="utf-8")
    second = subprocess.Popen(w.inside(w.peer_ns) + [find("wireguard-go"), "-f", "wg1"], stdout=log, stderr=log,
                              stdin=subprocess.DEVNULL)
    w.children.append(second)
    world.wireguard_go_listens("wg1")
    key, public = w.key_pair()
    text = (f"[Interface]\nPrivateKey = {key}\nListenPort = {world.SILENT_PORT}\n[Peer]\n"
            f"PublicKey = {w.pub['client']}\nAllowedIPs = 10.9.0.2/32\n")
    wg(w, "setconf", "wg1", "/dev/stdin", input=text)
    w.addresses(w.peer_ns, "wg1", "10.9.3.1/32")
    # what is addressed to the client goes back the way it came
    w.at(w.peer_ns, "ip", "route", "add", "10.9.0.2", "dev", "wg1", "table", "7")
    w.at(w.peer_ns, "ip", "rule", "add", "from", "10.9.3.1", "table", "7")
    conf = w.write("two.conf", w.config(allowed="10.9.0.0/24") + "\n[Peer]\n"
                   f"PublicKey = {public}\nAllowedIPs = 10.9.3.0/24\nEndpoint = 192.0.2.1:{world.SILENT_PORT}\n", 0o600)
    servers.web(w)
    out = w.ok("sh", "-c", "curl -sS --max-time 60 http://10.9.0.1/ && curl -sS --max-time 60 http://10.9.3.1/",
               conf=conf)
    assert out == "behind the tunnel\n" * 2, out
    assert int(shown(w, "latest-handshakes", "wg1")) > 0
    w.end_tunnels()
    second.terminate()
    second.wait(60)


@test("roaming: both sides are followed to new addresses and ports")
def _(w):
    child = pinging(w)
    wait_until("the first endpoint", lambda: (shown(w, "endpoints") or "").startswith("192.0.2.2:"))
    time.sleep(2)
    away = -time.monotonic()
    run("ip", "address", "del", "192.0.2.2/24", "dev", "out0")
    run("ip", "address", "add", "192.0.2.5/24", "dev", "out0")
    away += time.monotonic()
    wait_until("the client at its new address", lambda: shown(w, "endpoints").startswith("192.0.2.5:"))
    time.sleep(1)
    # the peer's answer to the next ping comes from another port; the one after goes there
    away -= time.monotonic()
    wg(w, "set", "wg0", "listen-port", str(world.SILENT_PORT))
    # wireguard-go does not speak from its new port before it has something to say
    w.finish_command(w.inside(w.peer_ns) + ["ping", "-c", "1", "-w", "60", "10.9.0.2"])
    away += time.monotonic()
    lost, text = count_lost(child, 14)
    assert lost <= 3 + away, (away, text)
    wg(w, "set", "wg0", "listen-port", str(world.PORT))
    run("ip", "address", "del", "192.0.2.5/24", "dev", "out0")
    run("ip", "address", "add", "192.0.2.2/24", "dev", "out0")
    w.end_tunnels()
    w.at(w.peer_ns, "ip", "neigh", "flush", "dev", "out0")


def renumbered(w, conf, old, new, prefix):
    """A command that waits, and the host's address towards the peer replaced."""
    def endpoint(address):
        return f"[{address}]:" if ":" in address else f"{address}:"

    child = w.start(w.wrap("sh", "-c", "read -r line", conf=conf), stdin=subprocess.PIPE)
    wait_until("the first endpoint", lambda: (shown(w, "endpoints") or "").startswith(endpoint(old)))
    try:
        run("ip", "address", "del", f"{old}/{prefix}", "dev", "out0")
        w.addresses("", "out0", f"{new}/{prefix}")
        wait_until("the client at its new address", lambda: shown(w, "endpoints").startswith(endpoint(new)))
    finally:
        child.communicate(b"\n", timeout=60)
        w.end_tunnels()
        run("ip", "address", "flush", "dev", "out0", "scope", "global")
        w.addresses("", "out0", "192.0.2.2/24", "2001:db8::2/64")
        w.at(w.peer_ns, "ip", "neigh", "flush", "dev", "out0")


@test("a client that is silent tells its new address")
def _(w):
    renumbered(w, w.conf, "192.0.2.2", "192.0.2.5", 24)


@test("a client that is silent tells its new address, over IPv6")
def _(w):
    renumbered(w, w.conf6, "2001:db8::2", "2001:db8::5", 64)


@test("a peer that lost its session is found again within 26 s")
def _(w):
    child = pinging(w)
    wait_until("traffic", lambda: (shown(w, "transfer") or "0\t0") != "0\t0")
    time.sleep(2)
    away = -time.monotonic()
    w.wireguard_go.terminate()
    w.wireguard_go.wait(60)
    w.start_wireguard_go()
    away += time.monotonic()
    lost, text = count_lost(child, 34)
    assert lost <= 26 + away, (away, text)


@test("a public key of low order: no handshake is sent")
def _(w):
    listener = w.start(w.inside(w.peer_ns) + ["python3", "-c", f"""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("192.0.2.1", {world.SILENT_PORT}))
print("ready", flush=True)
while True:
    print(len(s.recv(2048)), flush=True)
"""], stdout=subprocess.PIPE)
    world.read_line(listener.stdout)
    for i, key in enumerate(LOW_ORDER):
        text = w.config(endpoint=f"192.0.2.1:{world.SILENT_PORT}", peer="PersistentKeepalive = 1\n")
        conf = w.write(f"low{i}.conf", text.replace(w.pub["peer"], base64_of(key)), 0o600)
        done = w.wrapped("true", conf=conf, options=("--wait=1s",))
        assert done.returncode == 125, (key, done)
        w.end_tunnels()
    # the same with a good key is heard, and is the first but for the bytes that ask whether the port is closed
    w.wrapped("true", conf=w.write("silent.conf", w.config(endpoint=f"192.0.2.1:{world.SILENT_PORT}"), 0o600),
              options=("--wait=1s",))
    heard = next(line for line in iter(lambda: world.read_line(listener.stdout).strip(), None) if line != "1")
    assert heard == "148", heard
    w.end_tunnels()
    listener.terminate()
    listener.wait(60)


@test("sessions are renewed by either side without a loss")
def _(w):
    if not os.environ.get("WGWRAP_SLOW_TESTS"):
        tap.skip("takes 140 s; WGWRAP_SLOW_TESTS=1 runs it")
    for begins in ("wgwrap", "wireguard-go"):
        w.end_tunnels()
        wg(w, "set", "wg0", "peer", w.pub["client"], "remove")
        child = pinging_as(w, begins)
        first = wait_until("a session", lambda: int(shown(w, "latest-handshakes") or 0))
        lost, text = count_lost(child, 130)
        assert lost == 0, (begins, text)
        assert int(shown(w, "latest-handshakes")) - first in range(115, 130), (begins, first)


def pinging_as(w, begins):
    """Pings for 130 s, the session having been begun by @begins."""
    if begins == "wgwrap":
        admit_client(w)
        return pinging(w, conf=w.conf)
    text = w.config(interface=f"ListenPort = {LISTEN}\n").replace(f"Endpoint = 192.0.2.1:{world.PORT}\n", "")
    keeper = w.start(w.wrap("sleep", "170", conf=w.write("responder.conf", text, 0o600)))
    wait_until("the tunnel process", w.tunnels)
    assert keeper.poll() is None
    time.sleep(1)
    admit_client(w, "endpoint", f"192.0.2.2:{LISTEN}")
    return w.start(w.inside(w.peer_ns) + ["ping", "-i", "1", "10.9.0.2"],
                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


world.main()
