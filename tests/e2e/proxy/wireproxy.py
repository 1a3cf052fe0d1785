#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
wireproxy.py - configuration files in the shapes that wireproxy's documentation shows, run as they are

Each shape is a sample of our own; only addresses, ports and keys are those of the test.
"""

import os
import socket
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import tap  # noqa: E402
from lib.proxied import SERVER, WGWRAP, Proxied, key, read_all, read_exactly, socks  # noqa: E402
from lib.tap import test  # noqa: E402
from lib.world import free_port, need, wait_until  # noqa: E402

ECHO, COUNT, RELAY, UDP_ECHO = 4007, 4008, 4013, 4010


def wg_part(w, private="PrivateKey = {}", allowed=True):
    return (f"""# the WireGuard part, comments behind values included
[Interface]
Address = 10.9.0.2/32 # one address, whole
# MTU = 1420
{private.format(w.private[1])}
# PrivateKey = $OFFICE_KEY # would be the environment's
DNS = {SERVER}

[Peer]
PublicKey = {w.public[0]}
# PresharedKey = UItQuvLsyh50ucXHfjF0bbR4IIpVBd74lwKc8uIPXXs=
Endpoint = 127.0.0.1:{w.udp_port}
# PersistentKeepalive = 25
""" + ("AllowedIPs = 10.9.0.0/16\n" if allowed else ""))


class Ports:
    """The ports of one sample; host: what TCPServerTunnel leads to."""

    def __init__(self):
        self.client, self.socks, self.http, self.sni = (free_port() for _ in range(4))
        self.udp = free_port()
        self.host = socket.create_server(("127.0.0.1", 0))

    def server(self):
        return self.host.getsockname()[1]


def sections(p):
    return f"""
# app --> this host --(wireguard)--> web.test
[TCPClientTunnel]
BindAddress = 127.0.0.1:{p.client}
Target = web.test:{COUNT}

# somebody in the tunnel --(wireguard)--> 10.9.0.2:3422 --> this host
[TCPServerTunnel]
ListenPort = 3422
Target = localhost:{p.server()}

[Socks5]
BindAddress = 127.0.0.1:{p.socks}

# with both of these it asks for them
#Username = ...
#Password = ...

[http]
BindAddress = 127.0.0.1:{p.http}
Username = user
Password = $$pass
#CertFile = ...
#KeyFile = ...
"""


def check_client_tunnel(p):
    with socket.create_connection(("127.0.0.1", p.client), 60) as s:
        s.sendall(b"abc")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"3\n"


def check_socks(port, host=SERVER):
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        assert socks(s, host, ECHO)[0] == 0
        s.sendall(b"echo")
        assert read_exactly(s, 4) == b"echo"


def check_server_tunnel(p, port=3422):
    """The tunnel's other end calls back."""
    with socket.create_connection(("127.0.0.1", p.socks), 60) as s:
        assert socks(s, SERVER, RELAY)[0] == 0
        s.sendall(b"10.9.0.2 %d\n" % port)
        p.host.settimeout(60)
        inbound, _ = p.host.accept()
        with inbound:
            assert read_exactly(inbound, 7) == b"called\n"


def check_http(w, p, users):
    for user, status in users:
        done = subprocess.run(["curl", "-fsS", "-m", "100", "-x", f"http://{user}@127.0.0.1:{p.http}",
                               f"http://{SERVER}:8080/"], capture_output=True, timeout=120, check=False,
                              env=w.environment("curl"))
        assert done.returncode == status, done


def check_udp(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(60)
        s.connect(("127.0.0.1", port))
        s.send(b"datagram")
        assert s.recv(100).endswith(b" datagram")


def check(w, p):
    check_client_tunnel(p)
    check_socks(p.socks)
    check_server_tunnel(p)
    check_http(w, p, (("user:$pass", 0), ("user:wrong", 22)))


def all_up(w, conf, last, options=(), **more):
    """Starts a file that many listeners are in; waits for the @last of them."""
    return w.start(*options, conf=conf, ready=last, **more)


@test("all in one file: tunnels both ways, SOCKS, HTTP with a password")
def _(w):
    p = Ports()
    with p.host:
        proxy = all_up(w, w.write("sample.conf", wg_part(w) + sections(p)), "(HTTP)")
        check(w, p)
        assert proxy.stop() == 0


@test("[http] with CertFile and KeyFile: an https:// proxy; paths beside the file, or in the working directory")
def _(w):
    need("openssl")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=proxy", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-days", "2", "-keyout", w.path("proxy.key"), "-out", w.path("proxy.crt")],
                   check=True, capture_output=True)
    os.mkdir(w.path("etc"))
    for conf, name in (("tls.conf", "proxy"), ("etc/tls.conf", "proxy"), ("tls.conf", w.path("proxy"))):
        p = Ports()
        with p.host:
            text = sections(p).replace("#CertFile = ...", f"CertFile = {name}.crt").replace("#KeyFile = ...", "KeyFile = $WHERE")
            proxy = all_up(w, w.write(conf, wg_part(w) + text), "(HTTP over TLS)", WHERE=f"{name}.key")
            check_client_tunnel(p)
            check_socks(p.socks)
            for user, status in (("user:$pass", 0), ("user:wrong", 22)):
                done = subprocess.run(["curl", "-fsS", "-m", "100", "--proxy-cacert", w.path("proxy.crt"), "-x",
                                       f"https://{user}@127.0.0.1:{p.http}", f"http://{SERVER}:8080/"], capture_output=True,
                                      timeout=120, check=False, env=w.environment("curl"))
                assert done.returncode == status, (conf, done)
            assert proxy.stop() == 0


@test("all in one file and STDIOTunnel: the listeners stay when the connection has ended")
def _(w):
    p = Ports()
    with p.host:
        conf = w.write("stdio-too.conf", wg_part(w) + f"[STDIOTunnel]\nTarget = web.test:{COUNT}\n" + sections(p))
        with subprocess.Popen([WGWRAP, "proxy", "-v", "-c", conf], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, env=w.environment("client")) as child:
            w.children.append(child)
            out, _ = child.stdin.write(b"12345"), child.stdin.close()
            # the output ends with the connection, not with the process
            assert read_pipe(child.stdout) == b"5\n" and child.poll() is None, out
            check(w, p)
            child.terminate()
            assert child.wait(60) == 0


def read_pipe(stream):
    data = b""
    while piece := os.read(stream.fileno(), 4096):
        data += piece
    return data


@test("SNI on every address: told to take --allow-open-proxy, with which the file runs")
def _(w):
    need("openssl")
    p = Ports()
    with p.host:
        conf = w.write("sni.conf", wg_part(w) + f"[SNI]\nBindAddress = 0.0.0.0:{p.sni}\n")
        done = subprocess.run([WGWRAP, "proxy", "-c", conf], capture_output=True, text=True, timeout=60, check=False,
                              env=w.environment("client"))
        assert done.returncode == 1 and "--allow-open-proxy" in done.stderr and str(p.sni) in done.stderr, done
        log = open(w.path("tls.log"), "w", encoding="utf-8")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=v4.test", "-days", "2", "-keyout",
                        w.path("tls.key"), "-out", w.path("tls.crt")], check=True, capture_output=True)
        w.children.append(subprocess.Popen([WGWRAP, "-c", w.path("server.conf"), "openssl", "s_server", "-quiet", "-accept",
                                            "443", "-www", "-key", w.path("tls.key"), "-cert", w.path("tls.crt")], stdout=log,
                                           stderr=log, stdin=subprocess.DEVNULL, env=w.environment("server")))
        proxy = all_up(w, conf, "server name", ("--allow-open-proxy",))
        context = ssl.create_default_context(cafile=w.path("tls.crt"))
        context.check_hostname = False

        def answered():
            try:
                with socket.create_connection(("127.0.0.1", p.sni), 60) as s, \
                        context.wrap_socket(s, server_hostname="v4.test") as tls:
                    tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    return tls.recv(100).startswith(b"HTTP/1.0 200")
            except (OSError, ssl.SSLError):
                return False
        wait_until(f"TLS: {w.read(log.name)} {proxy.words()}", answered)
        assert proxy.stop() == 0


@test("HTTP twice, once with a password; SOCKS with one")
def _(w):
    p, q = Ports(), Ports()
    with p.host, q.host:
        conf = w.write("twice.conf", wg_part(w) + f"[Socks5]\nBindAddress = 127.0.0.1:{p.socks}\nUsername = peter\n"
                       f"Password = two words\n\n[http]\nBindAddress = 127.0.0.1:{p.http}\n\n[http]\n"
                       f"BindAddress = 127.0.0.1:{q.http}\nUsername = peter\nPassword = hunter123\n")
        proxy = all_up(w, conf, f"{q.http} (HTTP)")
        check_http(w, p, (("any:thing", 0),))
        check_http(w, q, (("peter:hunter123", 0), ("peter:hunter12", 22)))
        for user, status in (("peter:two%20words", 0), ("peter:two", 97)):
            done = subprocess.run(["curl", "-sS", "-m", "100", "-x", f"socks5h://{user}@127.0.0.1:{p.socks}",
                                   f"http://web.test:8080/"], capture_output=True, timeout=120, check=False,
                                  env=w.environment("curl"))
            assert done.returncode == status, done
        assert proxy.stop() == 0


def reloads(w, name, text):
    """The file is edited and read again, by somebody who only knows that one tunnel runs."""
    env = w.environment("client", OFFICE_KEY=w.private[1])
    for seconds in (25, 24):
        w.write(name, text.replace("# PersistentKeepalive = 25", f"PersistentKeepalive = {seconds}"))
        done = subprocess.run([WGWRAP, "reload"], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done
        shown = subprocess.run([WGWRAP, "show", "all", "persistent-keepalive"], env=env, capture_output=True, text=True,
                               check=True).stdout
        assert shown.split()[-1] == str(seconds), shown
    w.write(name, text)


@test("a file with sections of wireproxy's is reloaded; up takes its tunnel alone")
def _(w):
    p = Ports()
    with p.host:
        text = wg_part(w) + sections(p)
        conf = w.write("whole.conf", text)
        proxy = all_up(w, conf, "(HTTP)")
        check(w, p)
        reloads(w, "whole.conf", text)
        check(w, p)
        assert proxy.stop() == 0
    env = w.environment("client")
    for words in (["up", "whole.conf"], ["down", "whole.conf"]):
        done = subprocess.run([WGWRAP, *words], env=env, capture_output=True, text=True, check=False, cwd=w.dir)
        assert done.returncode == 0, done


@test("WGConfig names a provider's file, bare and with its path; $NAME is the environment's; no AllowedIPs is everything")
def _(w):
    w.write("inner.conf", wg_part(w, "PrivateKey = $OFFICE_KEY", allowed=False))
    for name in ("inner.conf", w.path("inner.conf")):
        p = Ports()
        with p.host:
            proxy = all_up(w, w.write("outer.conf", f"# the file that was downloaded\nWGConfig = {name}\n" + sections(p)),
                           "(HTTP)", OFFICE_KEY=w.private[1])
            check(w, p)
            reloads(w, "inner.conf", wg_part(w, "PrivateKey = $OFFICE_KEY", allowed=False))
            check(w, p)
            assert proxy.stop() == 0


@test("several peers by AllowedIPs, three server tunnels, a UDP tunnel, [Resolve]")
def _(w):
    p = Ports()
    with p.host:
        text = f"""[Interface]
Address = 10.9.0.2/32
PrivateKey = {w.private[1]}

[Peer]
Endpoint = 127.0.0.1:{free_port()}
PublicKey = {key("pubkey", key("genkey"))}
AllowedIPs = 10.9.3.100/32
PersistentKeepalive = 25

[Peer]
PublicKey = {w.public[0]}
AllowedIPs = {SERVER}/32, fd09::1/128
Endpoint = 127.0.0.1:{w.udp_port}
PersistentKeepalive = 25


[TCPServerTunnel]
ListenPort = 5000
Target = localhost:{p.server()}

[TCPServerTunnel]
ListenPort = 5001
Target = localhost:{p.server()}

[TCPServerTunnel]
ListenPort = 5080
Target = 127.0.0.1:{p.server()}

[Socks5]
BindAddress = 127.0.0.1:{p.socks}

[UDPProxyTunnel]
BindAddress = 127.0.0.1:{p.udp}
Target = {SERVER}:{UDP_ECHO}
InactivityTimeout = 30 # 0 would be never

[Resolve]
# `auto` is the default
ResolveStrategy = auto\x20
"""
        proxy = all_up(w, w.write("peers.conf", text), "UDP forward")
        for port in (5000, 5001, 5080):
            check_server_tunnel(p, port)
        check_udp(p.udp)
        assert proxy.stop() == 0


def by_strategy(w, strategy):
    """Asks for pages by a proxy with that ResolveStrategy; what came from web.test, which has addresses of both families."""
    p = Ports()
    with p.host:
        text = wg_part(w).replace("10.9.0.2/32", "10.9.0.2/32, fd09::2/128").replace("10.9.0.0/16", "10.9.0.0/16, fd09::/16")
        conf = w.write(f"{strategy}.conf", text + f"[Socks5]\nBindAddress = 127.0.0.1:{p.socks}\n"
                       f"[Resolve]\nResolveStrategy = {strategy}\n")
        proxy = all_up(w, conf, "(SOCKS)")
        for name in ("v4.test", "v6.test", "web.test"):
            done = subprocess.run(["curl", "-fsS", "-m", "100", "-x", f"socks5h://127.0.0.1:{p.socks}",
                                   f"http://{name}:8080/"], capture_output=True, timeout=120, check=False, text=True,
                                  env=w.environment("curl"))
            assert done.returncode == 0, (strategy, name, done)
        assert proxy.stop() == 0
        return done.stdout.replace("::ffff:", "")


@test("ResolveStrategy is a preference: a name without such an address is reached at the other")
def _(w):
    for strategy, first in (("ipv4", "10.9.0.1"), ("ipv6", "fd09::1"), ("auto", "")):
        # an address that does not answer within 250 ms is overtaken by the other: not five times in a row
        said = []
        while not said or f'"at": "{first}' not in said[-1] and len(said) < 5:
            said.append(by_strategy(w, strategy))
        assert f'"at": "{first}' in said[-1], (strategy, said)


@test("peers connect to it: ListenPort and a peer without an endpoint")
def _(w):
    p, (private, public) = Ports(), (key("genkey"), "")
    public = key("pubkey", private)
    there = key("genkey")
    port = free_port()
    with p.host:
        conf = w.write("responder.conf", f"[Interface]\nListenPort = {port}\nAddress = 10.9.0.2/32\nPrivateKey = {private}\n\n"
                       f"[Peer]\nPublicKey = {key('pubkey', there)}\nAllowedIPs = 10.9.0.7/32\n# no endpoint: it calls\n\n"
                       f"[TCPServerTunnel]\nListenPort = 5000\nTarget = localhost:{p.server()}\n")
        proxy = all_up(w, conf, "in the tunnel")
        other = w.write("caller.conf", f"[Interface]\nAddress = 10.9.0.7/32\nPrivateKey = {there}\n[Peer]\nPublicKey = {public}\n"
                        f"AllowedIPs = 10.9.0.2/32\nEndpoint = 127.0.0.1:{port}\n")
        with subprocess.Popen([WGWRAP, "nc", "-c", other, "10.9.0.2", "5000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              env=w.environment("caller")) as child:
            child.stdin.write(b"called")
            child.stdin.close()
            p.host.settimeout(60)
            inbound, _ = p.host.accept()
            with inbound:
                assert read_all(inbound) == b"called"
            assert child.wait(60) == 0
        assert proxy.stop() == 0


def health(w, port):
    """wgwrap health's status and words, and those of /readyz, which tells of other tunnels that linger, too."""
    done = subprocess.run([WGWRAP, "health", "alive"], capture_output=True, text=True, timeout=60, check=False,
                          env=w.environment("client"))
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        s.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        head, body = read_all(s).decode().split("\r\n\r\n")
    body = "".join(line for line in body.splitlines(True) if line.startswith("alive: "))
    return done.returncode, int(head.split(" ")[1]), done.stdout, body


@test("CheckAlive: ready while every address answers echo requests in the tunnel")
def _(w):
    port = free_port()
    text = wg_part(w).replace("10.9.0.2/32", "10.9.0.2/32, fd09::2/128").replace("10.9.0.0/16", "10.9.0.0/16, fd09::/16")
    with subprocess.Popen([WGWRAP, "health", "--listen", f"127.0.0.1:{port}"], env=w.environment("client")) as listener:
        try:
            for asked, silent in ((f"{SERVER}, fd09::1", None), (f"{SERVER}, 10.9.3.100", "10.9.3.100"),
                                  ("203.0.113.1", "203.0.113.1")):
                conf = w.write("alive.conf", text.replace("DNS =", f"CheckAlive = {asked}\nCheckAliveInterval = 1\nDNS =") +
                               f"[Socks5]\nBindAddress = 127.0.0.1:{free_port()}\n")
                proxy = w.start(conf=conf, ready="(SOCKS)")
                if silent:
                    time.sleep(2)  # an answer would be there by now
                    expected = f"{silent} never answered"
                    status, code, words, body = wait_until("the others answer", lambda e=expected: (
                        got if e in (got := health(w, port))[2] and SERVER not in got[2] and got[3] == got[2] else None))
                    assert (status, code) == (6, 503), (status, code, words, body)
                else:
                    wait_until("it is ready", lambda: health(w, port)[:2] == (0, 200))
                    shown = subprocess.run([WGWRAP, "show", "alive"], capture_output=True, text=True, timeout=60, check=True,
                                           env=w.environment("client")).stdout
                    assert f"alive: {SERVER} answered" in shown and "alive: fd09::1 answered" in shown, shown
                assert proxy.stop() == 0
                wait_until("the tunnel is gone", lambda: health(w, port)[0] == 5)
        finally:
            listener.terminate()


@test("options of the command line come on top of the file's sections")
def _(w):
    text = wg_part(w) + \
        f"[Socks5]\nBindAddress = 127.0.0.1:{free_port()}\n"
    proxy = w.start("-L", f"0:{SERVER}:{ECHO}", conf=w.write("more.conf", text), ready="TCP forward")
    proxy.wait("SOCKS")
    assert proxy.stop() == 0


@test("STDIOTunnel: standard input and output")
def _(w):
    conf = w.write("stdio.conf", wg_part(w) + f"[STDIOTunnel]\nTarget = web.test:{COUNT}\n")
    done = subprocess.run([WGWRAP, "proxy", "-c", conf], input=b"12345", capture_output=True, timeout=60, check=False,
                          env=w.environment("client"))
    assert (done.returncode, done.stdout) == (0, b"5\n"), done


@test("mistakes are named with file and line, secrets are not")
def _(w):
    for text, expected in (("[Socks5]\nUsername = x\n", "has no BindAddress"), ("[http]\nBindAddress = x\n", "BindAddress"),
                           ("[TCPClientTunnel]\nBindAddress = 127.0.0.1:1\n", "Target: is missing"),
                           ("[TCPServerTunnel]\nTarget = a:1\n", "ListenPort"),
                           ("[Socks5]\nBindAdress = 127.0.0.1:1\n", "has no key"),
                           ("[Socks5]\nBindAddress = 127.0.0.1:1\nPassword = $ecret-word\n", "Password"),
                           ("[http]\nBindAddress = 127.0.0.1:1\nCertFile = x\n", "CertFile and KeyFile belong together"),
                           ("[Socks5]\nBindAddress = 127.0.0.1:1\nCertFile = x\nKeyFile = y\n", "has no key 'CertFile'"),
                           ("[Socks6]\nBindAddress = 127.0.0.1:1\n", "Socks6"),
                           ("[Resolve]\nResolveStrategy = x\n", "ResolveStrategy")):
        conf = w.write("bad.conf", wg_part(w) + text)
        done = subprocess.run([WGWRAP, "proxy", "-c", conf], capture_output=True, text=True, timeout=60, check=False,
                              env=w.environment("client"))
        assert done.returncode == 3 and expected in done.stderr and "bad.conf:" in done.stderr, (text, done)
        assert "ecret-word" not in done.stderr and w.private[1] not in done.stderr


if __name__ == "__main__":
    tap.main(Proxied)
