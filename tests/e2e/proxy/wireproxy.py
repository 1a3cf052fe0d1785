#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
wireproxy.py - configuration files of wireproxy, as its documentation writes them

time limit: 240 s
"""

import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import tap  # noqa: E402
from lib.proxied import SERVER, WGWRAP, Proxied, read_all, read_exactly, socks  # noqa: E402
from lib.tap import test  # noqa: E402
from lib.world import free_port  # noqa: E402

ECHO, COUNT, RELAY, UDP_ECHO = 4007, 4008, 4013, 4010


def wg_part(w, private="PrivateKey = {}", allowed=True):
    return (f"""# The [Interface] and [Peer] configurations follow the same semantics and meaning
# of a wg-quick configuration. To understand what these fields mean, please refer to:
[Interface]
Address = 10.9.0.2/32 # The subnet should be /32 and /128 for IPv4 and v6 respectively
# MTU = 1420 (optional)
{private.format(w.private[1])}
# PrivateKey = $MY_WIREGUARD_PRIVATE_KEY # Alternatively, reference environment variables
DNS = {SERVER}

[Peer]
PublicKey = {w.public[0]}
# PresharedKey = UItQuvLsyh50ucXHfjF0bbR4IIpVBd74lwKc8uIPXXs= (optional)
Endpoint = 127.0.0.1:{w.udp_port}
# PersistentKeepalive = 25 (optional)
""" + ("AllowedIPs = 10.9.0.0/16\n" if allowed else ""))


def sections(ports):
    return f"""
# TCPClientTunnel is a tunnel listening on your machine,
# and it forwards any TCP traffic received to the specified target via wireguard.
[TCPClientTunnel]
BindAddress = 127.0.0.1:{ports[0]}
Target = web.test:{COUNT}

# TCPServerTunnel is a tunnel listening on wireguard,
[TCPServerTunnel]
ListenPort = 3422
Target = localhost:{ports[3]}

# Socks5 creates a socks5 proxy on your LAN, and all traffic would be routed via wireguard.
[Socks5]
BindAddress = 127.0.0.1:{ports[1]}

# Socks5 authentication parameters, specifying username and password enables
# proxy authentication.
#Username = ...
# Avoid using spaces in the password field
#Password = ...

# http creates a http proxy on your LAN, and all traffic would be routed via wireguard.
[http]
BindAddress = 127.0.0.1:{ports[2]}
Username = user
Password = $$pass

[UDPProxyTunnel]
BindAddress = 127.0.0.1:{ports[4]}
Target = {SERVER}:{UDP_ECHO}
InactivityTimeout = 15

[Resolve]
ResolveStrategy = ipv4
"""


def check(w, ports, host):
    with socket.create_connection(("127.0.0.1", ports[0]), 10) as s:
        s.sendall(b"abc")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"3\n"
    with socket.create_connection(("127.0.0.1", ports[1]), 10) as s:
        assert socks(s, SERVER, ECHO)[0] == 0
    with socket.create_connection(("127.0.0.1", ports[1]), 10) as s:
        assert socks(s, SERVER, RELAY)[0] == 0
        s.sendall(b"10.9.0.2 3422\n")
        inbound, _ = host.accept()
        with inbound:
            assert read_exactly(inbound, 7) == b"called\n"
    for user, code in (("user:$pass", 0), ("user:wrong", 22)):
        done = subprocess.run(["curl", "-fsS", "-m", "10", "-x", f"http://{user}@127.0.0.1:{ports[2]}",
                               f"http://{SERVER}:8080/"], capture_output=True, timeout=20, check=False,
                              env=w.environment("curl"))
        assert done.returncode == code, done
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.connect(("127.0.0.1", ports[4]))
        s.send(b"datagram")
        assert s.recv(100).endswith(b" datagram")


def started(w, name, text, **more):
    return w.start(conf=w.write(name, text), ready="UDP forward", **more)


@test("the documented sample: every kind of section")
def _(w):
    with socket.create_server(("127.0.0.1", 0)) as host:
        ports = [free_port() for _ in range(3)] + [host.getsockname()[1], free_port(socket.SOCK_DGRAM)]
        proxy = started(w, "sample.conf", wg_part(w) + sections(ports))
        check(w, ports, host)
        assert proxy.stop() == 0


@test("WGConfig names the WireGuard part; $NAME is the environment's; no AllowedIPs is everything")
def _(w):
    w.write("inner.conf", wg_part(w, "PrivateKey = $MY_WIREGUARD_PRIVATE_KEY", allowed=False))
    with socket.create_server(("127.0.0.1", 0)) as host:
        ports = [free_port() for _ in range(3)] + [host.getsockname()[1], free_port(socket.SOCK_DGRAM)]
        proxy = started(w, "outer.conf", "WGConfig = inner.conf\n" + sections(ports),
                        MY_WIREGUARD_PRIVATE_KEY=w.private[1])
        check(w, ports, host)
        assert proxy.stop() == 0


@test("CheckAlive is read; options of the command line come on top")
def _(w):
    text = wg_part(w).replace("DNS =", "CheckAlive = 1.1.1.1, 3.3.3.3\nCheckAliveInterval = 3\nDNS =") + \
        f"[Socks5]\nBindAddress = 127.0.0.1:{free_port()}\n"
    proxy = w.start("-L", f"0:{SERVER}:{ECHO}", conf=w.write("alive.conf", text), ready="TCP forward")
    proxy.wait("SOCKS")
    assert "CheckAlive has no effect" in proxy.words()
    assert proxy.stop() == 0


@test("STDIOTunnel: standard input and output")
def _(w):
    conf = w.write("stdio.conf", wg_part(w) + f"[STDIOTunnel]\nTarget = web.test:{COUNT}\n")
    done = subprocess.run([WGWRAP, "proxy", "-c", conf], input=b"12345", capture_output=True, timeout=30, check=False,
                          env=w.environment("client"))
    assert (done.returncode, done.stdout) == (0, b"5\n"), done


@test("mistakes are named with file and line, secrets are not")
def _(w):
    for text, expected in (("[Socks5]\nUsername = x\n", "has no BindAddress"), ("[http]\nBindAddress = x\n", "BindAddress"),
                           ("[TCPClientTunnel]\nBindAddress = 127.0.0.1:1\n", "Target: is missing"),
                           ("[TCPServerTunnel]\nTarget = a:1\n", "ListenPort"),
                           ("[Socks5]\nBindAdress = 127.0.0.1:1\n", "has no key"),
                           ("[Socks5]\nBindAddress = 127.0.0.1:1\nPassword = $ecret-word\n", "Password"),
                           ("[http]\nBindAddress = 127.0.0.1:1\nCertFile = x\n", "TLS"),
                           ("[Socks6]\nBindAddress = 127.0.0.1:1\n", "Socks6"),
                           ("[Resolve]\nResolveStrategy = x\n", "ResolveStrategy")):
        conf = w.write("bad.conf", wg_part(w) + text)
        done = subprocess.run([WGWRAP, "proxy", "-c", conf], capture_output=True, text=True, timeout=30, check=False,
                              env=w.environment("client"))
        assert done.returncode == 3 and expected in done.stderr and "bad.conf:" in done.stderr, (text, done)
        assert "ecret-word" not in done.stderr and w.private[1] not in done.stderr


if __name__ == "__main__":
    tap.main(Proxied)
