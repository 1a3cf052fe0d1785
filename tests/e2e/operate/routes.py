#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
routes.py - --exit-node, --route and Route =: which of two peers gets what, and what they may send

	client 10.77.0.2  <->  office 10.77.0.1, 192.0.2.1
	                  <->  cloud  10.77.0.3, 192.0.2.1

Both peers serve 192.0.2.1: who answers says where the packets went. Needs no privileges.
"""

import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import operate as t  # noqa: E402
from lib import tap  # noqa: E402

CLIENT = """[Interface]
PrivateKey = {client_key}
Address = 10.77.0.2/24
DNS = 10.77.0.1
[Peer]
# Name = office
PublicKey = {office_public}
AllowedIPs = 10.77.0.1/32
Endpoint = 127.0.0.1:{office_port}
{office}
[Peer]
# Name = cloud
PublicKey = {cloud_public}
AllowedIPs = 10.77.0.3/32
Endpoint = 127.0.0.1:{cloud_port}
{cloud}
"""
SERVER = """[Interface]
PrivateKey = {key}
Address = {address}/24, 192.0.2.1/32
ListenPort = {port}
[Peer]
PublicKey = {public}
AllowedIPs = 10.77.0.2/32
"""
# who it is, over TCP to 8000 and 8001 and over UDP to 5000; "send PORT TO" sends from 192.0.2.1:PORT
SERVE = """
import socket, sys, threading
name = sys.argv[1].encode()
def tcp(s):
    while True:
        c, _ = s.accept()
        with c: # a close with a request unread would be a reset
            c.sendall(name)
            c.shutdown(socket.SHUT_WR)
            while c.recv(4096):
                pass
def udp(s):
    while True:
        data, peer = s.recvfrom(65536)
        s.sendto(name + data[:1] * (len(data) - 1), peer)
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("192.0.2.1", 5000))
serve = [(tcp, socket.create_server(("0.0.0.0", port))) for port in (8000, 8001)] + [(udp, datagrams)]
for what, s in serve:
    threading.Thread(target=what, args=(s,), daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    port, to = line.split()
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("192.0.2.1", int(port)))
    s.sendto(name, ("10.77.0.2", int(to)))
    print("sent", flush=True)
"""
ASK = """
import socket, sys
how, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if how == "tcp":
    with socket.create_connection(("192.0.2.1", port), timeout=60) as s:
        print(s.recv(100).decode())
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("192.0.2.1", port))
    s.settimeout(60)
    s.send(b"x" * size)
    answer = s.recv(65536)
    print(answer.rstrip(b"x").decode(), len(answer))
"""


class Routes(t.Tunnels):
    def __init__(self):
        super().__init__()
        self.ports, self.servers = {}, {}
        for name, address in (("office", "10.77.0.1"), ("cloud", "10.77.0.3")):
            key = self.word("genkey")
            self.keys[f"{name}_public"] = self.word("pubkey", input=key)
            self.ports[f"{name}_port"] = port = t.free_port()
            conf = self.write(f"{name}.conf", SERVER, key=key, address=address, port=port,
                              public=self.keys["client_public"])
            self.servers[name] = server = self.start("-c", conf, "--", sys.executable, "-c", SERVE, name,
                                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert server.stdout.readline() == b"ready\n"
        self.conf()

    def conf(self, office="", cloud=""):
        self.client = self.write("client.conf", CLIENT, office=office, cloud=cloud, **self.ports)

    def ask(self, *options, how="tcp", port=8000, size=6):
        """Who answers at 192.0.2.1."""
        return self.ok("-c", self.client, *options, "--", sys.executable, "-c", ASK, how, str(port), str(size)).strip()

    def fails(self, *options):
        status, _, err = self.wgwrap("-c", self.client, *options, "--", "true")
        assert status == 125, self.last
        return err


@tap.test("without a route the address belongs to nobody")
def _(w):
    status, _, err = w.wgwrap("-c", w.client, "--", sys.executable, "-c", ASK, "tcp", "8000", "6")
    assert status == 1 and "192.0.2.1 refused: no peer's AllowedIPs hold it" in err, w.last


@tap.test("--exit-node: a peer by name, by public key, by tunnel address")
def _(w):
    assert w.ask("--exit-node", "office") == "office"
    assert w.ask("--exit-node", w.keys["cloud_public"]) == "cloud"
    assert w.ask("--exit-node", "10.77.0.1") == "office"


@tap.test("--exit-node takes default routes from the other peer, in halves too")
def _(w):
    w.conf(office="AllowedIPs = 0.0.0.0/1, 128.0.0.0/1")
    assert w.ask() == "office"
    assert w.ask("--exit-node=cloud") == "cloud"
    w.conf()


@tap.test("--route: the longer prefix counts, an equal one moves")
def _(w):
    assert w.ask("--exit-node", "office", "--route", "192.0.2.0/24=cloud") == "cloud"
    assert w.ask("--route", "192.0.2.0/24=cloud", "--route", "192.0.2.1=office") == "office"
    w.conf(office="AllowedIPs = 192.0.2.1/32")
    assert w.ask("--route", "192.0.2.0/24=cloud") == "office"
    assert "stays with peer office" in w.wgwrap("-c", w.client, "-v", "--route", "192.0.2.0/24=cloud", "--", "true")[2]
    assert w.ask("--route", "192.0.2.1/32=cloud") == "cloud"
    w.conf()


@tap.test("--route with a protocol and ports goes before allowed IPs, and only for those")
def _(w):
    options = ("--route", "192.0.2.0/24=office", "--route", "192.0.2.0/24:tcp:8001-8099=cloud")
    assert w.ask(*options) == "office"
    assert w.ask(*options, port=8001) == "cloud"
    assert w.ask(*options, how="udp", port=5000) == "office 11"
    assert w.ask("--route", "192.0.2.0/24:udp=cloud", *options, how="udp", port=5000) == "cloud 10"


@tap.test("what only a route of another protocol holds is refused at once, not waited for")
def _(w):
    for route, how in (("192.0.2.1:udp=office", "tcp"), ("192.0.2.1:tcp=office", "udp")):
        status, _, err = w.wgwrap("-c", w.client, "--route", route, "--", sys.executable, "-c", ASK, how, "8000", "6")
        assert status == 1 and "Network is unreachable" in err and "192.0.2.1 refused" in err, w.last


SEND = """
import errno, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, int(sys.argv[1]))
for port in sys.argv[2:]:
    try:
        s.sendto(bytes([8]) + bytes(7), ("192.0.2.1", int(port)))
        print("sent")
    except OSError as e:
        print(errno.errorcode[e.errno])
"""


@tap.test("sendto is refused at once, too: by protocol and port, also behind a datagram that was allowed")
def _(w):
    def send(route, protocol, *ports):
        return w.ok("-c", w.client, "-q", "--route", route, "--", sys.executable, "-c", SEND, str(protocol),
                    *map(str, ports)).split()

    assert send("192.0.2.1:tcp=office", socket.IPPROTO_UDP, 5000) == ["ENETUNREACH"]
    assert send("192.0.2.1:udp:5000=office", socket.IPPROTO_UDP, 5000, 5001, 5000) == ["sent", "ENETUNREACH", "sent"]
    assert send("192.0.2.1:udp=office", socket.IPPROTO_ICMP, 0) == ["ENETUNREACH"]
    assert send("192.0.2.1:icmp=office", socket.IPPROTO_ICMP, 0) == ["sent"]
    assert send("192.0.2.1:icmp=office", socket.IPPROTO_UDP, 5000) == ["ENETUNREACH"]


@tap.test("fragments follow their first, both ways")
def _(w):
    assert w.ask("--route", "192.0.2.1:udp:5000=cloud", "--exit-node=office", how="udp", port=5000, size=4000) == \
        "cloud 4004"


@tap.test("Route = of the file, as WrapGuard writes it and as a comment; check and show tell it")
def _(w):
    w.conf(office="Route = 192.0.2.0/24", cloud="#@wgwrap:Route = 192.0.2.0/24:tcp:8001")
    out = w.ok("check", w.client)
    assert "AllowedIPs = 10.77.0.1/32, 192.0.2.0/24\n" in out and "#@wgwrap:Route = 192.0.2.0/24:tcp:8001\n" in out, out
    assert w.ask() == "office" and w.ask(port=8001) == "cloud"
    w.ok("up", w.client)
    peers = {p["name"]: p for p in w.tunnel("client")["peers"]}
    assert peers["cloud"]["routes"] == ["192.0.2.0/24:tcp:8001"] and peers["office"]["routes"] == [], peers
    assert "192.0.2.0/24" in peers["office"]["allowedIps"], peers
    assert "  routes: 192.0.2.0/24:tcp:8001\n" in w.ok("show", "client")
    w.conf(office="Route = 192.0.2.0/24", cloud="Route = 192.0.2.0/24:tcp:8000")
    w.ok("reload", "client")
    assert w.ask() == "cloud" and w.ask(port=8001) == "office"
    w.ok("down", "client")
    w.conf()


@tap.test("a reload keeps what up was told on its command line")
def _(w):
    w.ok("up", "--exit-node", "cloud", "--route", "192.0.2.1:tcp:8001=office", w.client)
    w.conf(office="PersistentKeepalive = 25")
    w.ok("reload", "client")
    t.wait_until("the file was read", lambda: w.tunnel("client")["peers"][0]["persistentKeepalive"] == 25)
    t.wait_until("the routes are there", lambda: [(p["allowedIps"][1:], p["routes"]) for p in w.tunnel("client")["peers"]]
                 == [([], ["192.0.2.1/32:tcp:8001"]), (["0.0.0.0/0", "::/0"], [])])
    assert w.ask("--join") == "cloud" and w.ask("--join", port=8001) == "office"
    w.ok("down", "client")
    w.conf()


BUSY = """
import select, socket, sys
asked = 0
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.connect(("192.0.2.1", 5000))
udp.settimeout(60)
print("begins", flush=True)
over = False
while not over:
    over = select.select([0], [], [], 0)[0]
    with socket.create_connection(("192.0.2.1", 8001), timeout=60) as s:
        assert s.recv(100) == b"office"
    for _ in range(20):
        udp.send(b"x")
        assert udp.recv(100) == b"cloud"
    asked += 21
print(asked)
"""


@tap.test("20 reloads while routes of the command line are in use: nothing is refused, dropped or led astray")
def _(w):
    w.ok("up", "--exit-node", "cloud", "--route", "192.0.2.1:tcp:8001=office", w.client)
    busy = w.start("-c", w.client, "--join", "--", sys.executable, "-c", BUSY, stdin=subprocess.PIPE,
                   stdout=subprocess.PIPE)
    assert busy.stdout.readline() == b"begins\n"
    for _ in range(20):
        w.ok("reload", "client")
        assert busy.poll() is None, "the program has failed"
    out, _ = busy.communicate(b"\n", timeout=60)
    assert busy.returncode == 0 and int(out) > 20, out
    now = w.tunnel("client")
    assert now["options"] == ["--exit-node=cloud", "--route=192.0.2.1:tcp:8001=office"], now
    assert "  options: --exit-node=cloud, --route=192.0.2.1:tcp:8001=office\n" in w.ok("show", "client")
    lost = {k: v for k, v in now["counters"].items() if v and k.startswith(("dropped_", "refused_"))}
    assert not lost, lost
    w.ok("down", "client")


@tap.test("a reload keeps -4; up with other options than the tunnel was brought up with is refused, not undone later")
def _(w):
    w.ok("up", "-4", w.client)
    w.ok("reload", "client")
    assert w.tunnel("client")["options"] == ["--ipv4"]
    w.ok("up", "-4", w.client)
    status, _, err = w.wgwrap("up", "--exit-node", "cloud", w.client)
    assert status == 1 and "other options" in err and "wgwrap down" in err, w.last
    w.ok("down", "client")


@tap.test("a route lets its peer answer, and send nothing else")
def _(w):
    code = ("import socket, sys\n"
            "s = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]\n"
            "for x in s: x.bind(('10.77.0.2', 0)); x.settimeout(60)\n"
            # the peer sends the first datagram: to this tunnel process only once they have keys together
            "with socket.create_connection(('10.77.0.3', 8000), timeout=60) as c: c.recv(9)\n"
            "print(*[x.getsockname()[1] for x in s], flush=True)\n"
            "print(s[0].recv(99).decode(), flush=True)\n"
            "s[1].setblocking(False)\n"
            "try: print(s[1].recv(99))\n"
            "except BlockingIOError: print('nothing')\n")
    child = w.start("-c", w.client, "--route", "192.0.2.0/24:udp:6000=cloud", "--", sys.executable, "-c", code,
                    stdout=subprocess.PIPE)
    held, refused = child.stdout.readline().decode().split()

    def send(port, to):
        w.servers["cloud"].stdin.write(f"{port} {to}\n".encode())
        w.servers["cloud"].stdin.flush()
        assert w.servers["cloud"].stdout.readline() == b"sent\n"

    # in this order in one tunnel: what was refused would have come before
    send(6001, refused)
    send(6000, held)
    assert child.communicate(timeout=60)[0] == b"cloud\nnothing\n"


@tap.test("wgwrap proxy has the same options")
def _(w):
    port = t.free_port()
    proxy = w.start("proxy", "-c", w.client, "-v", "--any-user", "--listen", str(port), "--exit-node", "office",
                    "--route", "192.0.2.1:tcp:8001=cloud", stderr=subprocess.PIPE)
    while b"listening on" not in (line := proxy.stderr.readline()):
        assert line, "the proxy has ended"

    def ask(to):
        return t.run("curl", "-sS", "--http0.9", "-m", "100", "-x", f"socks5h://127.0.0.1:{port}",
                     f"http://192.0.2.1:{to}/").stdout

    assert ask(8000) == "office" and ask(8001) == "cloud"
    w.stop(proxy)
    proxy.stderr.close()


@tap.test("what is wrong with an option is told with its value and the peers there are")
def _(w):
    assert "--exit-node home: " in w.fails("--exit-node", "home") and "office, cloud" in w.fails("--exit-node", "home")
    assert "no peer '10.9.9.9'" in w.fails("--route", "10.0.0.0/8=10.9.9.9")
    assert "the peer is missing" in w.fails("--route", "10.0.0.0/8")
    for wrong in ("10.0.0.0/33=office", "10.0.0.0/8:sctp=office", "10.0.0.0/8:tcp:0=office", "10.0.0.0/8:tcp:9-8=office",
                  "10.0.0.0/8:icmp:1=office", "=office"):
        assert f"--route {wrong}: " in w.fails("--route", wrong), w.last
    w.conf(cloud="# Name = office")
    assert "2 peers called 'office'" in w.fails("--exit-node", "office")
    w.conf(cloud="Route = 10.0.0.0/8:tcp:http")
    assert "client.conf:16: Route: " in w.wgwrap("check", w.client)[2], w.last


if __name__ == "__main__":
    tap.main(Routes)
