#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""proxies.py - the matrix: nginx, haproxy and unbound, wrapped, between the peer's clients and the peer's servers"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import servers, world  # noqa: E402
from lib.matrix import CURL, fetch_from_wrapped, need_root, owned_dir, row  # noqa: E402
from lib.serving import end, from_peer, peer_says, serve, text_of  # noqa: E402
from lib.world import find, need  # noqa: E402

world.enter()

NGINX = """
    {user} worker_processes 4; daemon off; pid {work}/pid; error_log stderr notice;
    events {{ worker_connections 512; }}
    http {{
        access_log {work}/access.log; client_body_temp_path {work}/b; proxy_temp_path {work}/p;
        fastcgi_temp_path {work}/f; uwsgi_temp_path {work}/u; scgi_temp_path {work}/s;
        resolver 10.9.0.1 ipv6=off;
        upstream servers {{ server 10.9.0.1:80; server [fd09::1]:80; keepalive 8; }}
        upstream half {{ server 10.9.0.1:81 max_fails=0; server 10.9.0.1:80; }}
        server {{
            listen 8003 reuseport; listen [::]:8003; listen 8443 ssl http2;
            ssl_certificate {tls}.crt; ssl_certificate_key {tls}.key;
            root {www};
            location = /who {{ return 200 "$pid $remote_addr\\n"; }}
            location /kept/ {{ proxy_pass http://servers/; proxy_http_version 1.1; proxy_set_header Connection ""; }}
            location /half/ {{ proxy_pass http://half/; }}
            location /dead/ {{ proxy_pass http://10.9.0.1:81/; }}
            location /silent/ {{ proxy_pass http://10.9.1.1:80/; proxy_connect_timeout 1s; }}
            location /cut/ {{ proxy_pass http://10.9.0.1:4006/; }}
            location /named/ {{ set $name v4.test; rewrite ^/named(/.*) $1 break; proxy_pass http://$name; }}
        }}
    }}"""


def nginx(w, privileged):
    """A wrapped nginx, as the ordinary user or as root whose workers are nobody. Returns what serve() does."""
    servers.web(w)
    servers.dns(w)
    servers.behaviour(w)
    work = w.path(f"nginx-{privileged}")
    if not os.path.exists(work):
        owned_dir(w, f"nginx-{privileged}")
    if w.as_root:
        os.chown(w.path("tls.key"), 65534, 65534)
    conf = w.write("proxy.conf", NGINX.format(user="user nobody nogroup;" if privileged else "", work=work,
                                              tls=w.path("tls"), www=w.path("www")))
    return serve(w, find("nginx"), "-c", conf, "-e", "stderr", ready=8003, privileged=privileged)


def status(w, path):
    return peer_says(w, "curl", "-sS", "--max-time", "60", "-o", "/dev/null", "-w", "%{http_code}",
                     f"http://10.9.0.2:8003/{path}")


@row("nginx: four workers serve files, HTTP/2 over TLS, IPv6")
def _(w):
    need("nginx", "openssl")
    child, log = nginx(w, False)
    who = [fetch_from_wrapped(w, 8003, "who").split() for _ in range(20)]
    assert {address for _, address in who} == {"10.9.0.1"}, who
    done = from_peer(w, "sh", "-c", "curl -sS --max-time 60 'http://[fd09::2]:8003/big.bin' | sha256sum")
    assert done.stdout.split()[0] == w.big_sha256, text_of(log)
    out = peer_says(w, *CURL, "-k", "-w", "%{http_version} %{size_download}", "-o", "/dev/null",
                    "https://10.9.0.2:8443/big.bin")
    assert out == f"2 {world.BIG_BYTES}", out
    end(child)


@row("nginx: a reverse proxy with kept connections, dead and silent and resetting upstreams, names at run time")
def _(w):
    need("nginx", "openssl")
    child, log = nginx(w, False)
    done = from_peer(w, "sh", "-c", "curl -sS --max-time 60 http://10.9.0.2:8003/kept/big.bin | sha256sum")
    assert done.stdout.split()[0] == w.big_sha256, text_of(log)
    seen = {fetch_from_wrapped(w, 8003, "kept/address") for _ in range(20)}
    assert seen == {"10.9.0.2\n", "fd09::2\n"}, seen
    out = peer_says(w, *CURL, "-Z", "--parallel-max", "50", "-o", "/dev/null", "-w", "%{http_code}\n",
                    "http://10.9.0.2:8003/kept/?[1-200]")
    assert out == "200\n" * 200, out
    assert [status(w, "half/") for _ in range(6)] == ["200"] * 6
    assert status(w, "named/") == "200"
    assert (status(w, "dead/"), status(w, "cut/"), status(w, "silent/")) == ("502", "502", "504")
    said = text_of(log)
    for words in ("(111: Connection refused) while connecting", "(104: Connection reset by peer) while ",
                  "(110: Connection timed out) while connecting"):
        assert words in said, said[-2000:]
    end(child)


@row("as root: nginx reloads and replaces its workers, who are another user")
def _(w):
    need("nginx", "openssl")
    need_root(w)
    child, log = nginx(w, True)
    before = {fetch_from_wrapped(w, 8003, "who").split()[0] for _ in range(20)}
    with open(w.path("nginx-True", "pid"), encoding="ascii") as f:
        os.kill(int(f.read()), 1)
    world.wait_until("new workers", lambda: fetch_from_wrapped(w, 8003, "who").split()[0] not in before)
    world.wait_until("the old workers' end", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in before))
    assert {status(w, "kept/") for _ in range(20)} == {"200"}, text_of(log)
    end(child)


HAPROXY = """
global
    nbthread 4
    log stderr format raw local0
defaults
    timeout connect 2s
    timeout client 20s
    timeout server 20s
    retries 2
frontend web
    mode http
    bind 0.0.0.0:8005,:::8005
    default_backend web
backend web
    mode http
    balance roundrobin
    option httpchk GET /
    option redispatch
    http-reuse always
    server a 10.9.0.1:80 check inter 200 fall 1000
    server b [fd09::1]:80 check inter 200 fall 1000
    server dead 10.9.0.1:81 check inter 200
listen tcp
    mode tcp
    bind 0.0.0.0:8006
    server a 10.9.0.1:80
resolvers tunnel
    nameserver one 10.9.0.1:53
    resolve_retries 3
    hold valid 1s
listen named
    mode http
    bind 0.0.0.0:8007
    server a v4.test:80 resolvers tunnel init-addr none check inter 200
"""


@row("haproxy: HTTP and TCP, four threads, health checks, its own resolver")
def _(w):
    need("haproxy")
    servers.web(w)
    servers.dns(w)
    conf = w.write("haproxy.cfg", HAPROXY)
    child, log = serve(w, find("haproxy"), "-db", "-f", conf, ready=8005)
    world.wait_until("the dead server to be noticed", lambda: "Server web/dead is DOWN" in text_of(log))
    assert "Connection refused" in text_of(log), text_of(log)
    seen = [fetch_from_wrapped(w, 8005, "address") for _ in range(20)]
    assert set(seen) == {"10.9.0.2\n", "fd09::2\n"}, seen
    for port in (8005, 8006):
        done = from_peer(w, "sh", "-c", f"curl -sS --max-time 60 http://10.9.0.2:{port}/big.bin | sha256sum")
        assert done.stdout.split()[0] == w.big_sha256, text_of(log)
        out = peer_says(w, *CURL, "-Z", "--parallel-max", "50", "-o", "/dev/null", "-w", "%{http_code}\n",
                        f"http://10.9.0.2:{port}/?[1-200]")
        assert out == "200\n" * 200, out
    world.wait_until("haproxy's own resolver", lambda: from_peer(
        w, "curl", "-sS", "--fail", "--max-time", "60", "http://10.9.0.2:8007/").stdout == "behind the tunnel\n")
    end(child)


UNBOUND = """
server:
    username: ""
    chroot: ""
    directory: "{work}"
    pidfile: "{work}/pid"
    use-syslog: no
    num-threads: 4
    so-reuseport: yes
    interface: 0.0.0.0@5300
    interface: ::0@5300
    access-control: 0.0.0.0/0 allow
    access-control: ::0/0 allow
    module-config: "iterator"
    local-zone: "test." nodefault
    local-zone: "9.10.in-addr.arpa." nodefault
    cache-max-ttl: 0
forward-zone:
    name: "."
    forward-addr: 10.9.0.1
    forward-addr: fd09::1
remote-control:
    control-enable: no
"""


@row("unbound: four threads that forward, asked over UDP and TCP, busily")
def _(w):
    need("unbound", "dig", "dnsperf")
    servers.dns(w)
    work = owned_dir(w, "unbound")
    child, log = serve(w, find("unbound"), "-d", "-c", w.write("unbound.conf", UNBOUND.format(work=work)), ready=5300)
    for host, option in (("10.9.0.2", "+notcp"), ("10.9.0.2", "+tcp"), ("fd09::2", "+notcp"), ("fd09::2", "+tcp")):
        out = peer_says(w, "dig", "+short", "+tries=1", "+time=60", option, "-p", "5300", f"@{host}", "web.test", "A")
        assert out == "10.9.0.1\n", (host, option, out)
        assert len(peer_says(w, "dig", "+short", "-p", "5300", f"@{host}", "big.test", "TXT")) > 4000
    names = w.write("names", "".join(f"{name}.test {kind}\n" for name in ("web", "v4", "long", "missing")
                                     for kind in ("A", "AAAA")) * 10)
    for mode in ("udp", "tcp"):
        out = peer_says(w, "dnsperf", "-s", "10.9.0.2", "-p", "5300", "-d", names, "-m", mode, "-c", "10", "-l", "2", "-t", "30")
        lost = next(line for line in out.splitlines() if "Queries lost" in line)
        done = next(line for line in out.splitlines() if "Queries completed" in line)
        # Whoever is slow may lose a datagram; a broken path loses nearly all
        assert int(done.split()[2]) > 200 and int(lost.split()[2]) * 20 < int(done.split()[2]), (out, text_of(log))
    end(child)


world.main()
