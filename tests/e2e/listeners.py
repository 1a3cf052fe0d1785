#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""listeners.py - wrapped servers, reached from the peer's side"""

import os

from lib import servers, tap, world
from lib.tap import test
from lib.world import need

world.enter()


def from_peer(w, *argv):
    return w.finish_command(w.inside(w.peer_ns) + list(argv))


def serve(w, *argv, ready, privileged=False, **kwargs):
    """Starts a wrapped server; waits until its output has @ready. Returns (child, path of its output)."""
    path = w.path("work", f"server-{len(w.children)}.log")
    with open(path, "wb") as log:
        child = w.start(w.wrap(*argv, privileged=privileged), stdout=log, stderr=log, **kwargs)

    def up():
        with open(path, encoding="utf-8", errors="replace") as log:
            text = log.read()
        assert child.poll() is None, text
        return ready in text
    world.wait_until(f"{argv[0]} to say {ready}", up)
    return child, path


def text_of(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def end(child):
    child.terminate()
    child.wait(60)


@test("python3 -m http.server is reached, and sees the client's tunnel address")
def _(w):
    with open(os.path.join(w.dir, "work", "page"), "w", encoding="ascii") as f:
        f.write("served inside\n")
    os.chmod(w.path("work"), 0o755)
    child, log = serve(w, "/usr/bin/python3", "-u", "-m", "http.server", "8000", ready="Serving HTTP")
    done = from_peer(w, "curl", "-sS", "--max-time", "60", "http://10.9.0.2:8000/page")
    assert done.stdout == "served inside\n", done
    assert "10.9.0.1 - - [" in text_of(log), text_of(log)
    for _ in range(20):
        assert from_peer(w, "curl", "-sS", "--max-time", "60", "http://10.9.0.2:8000/page").stdout == "served inside\n"
    end(child)
    world.wait_until("the end of the listener", lambda: from_peer(w, "curl", "-sS", "--max-time", "20",
                                                                  "http://10.9.0.2:8000/page").returncode == 7)


@test("the same over IPv6, and 64 MiB from the wrapped server")
def _(w):
    os.symlink(w.path("www", "big.bin"), w.path("work", "big.bin"))
    child, log = serve(w, "/usr/bin/python3", "-u", "-m", "http.server", "--bind", "::", "8006", ready="Serving HTTP")
    done = from_peer(w, "sh", "-c", "curl -sS --max-time 170 'http://[fd09::2]:8006/big.bin' | sha256sum")
    assert done.stdout.split()[0] == w.big_sha256, (done, text_of(log))
    assert "fd09::1 - - [" in text_of(log), text_of(log)
    end(child)


FOUR = """
import socket
socks = [socket.create_connection((%r, 3200), timeout=60) for _ in range(4)]
print(sorted(s.recv(100).decode() for s in socks))
"""


@test("a pre-forking server: four workers share one listener")
def _(w):
    child, _ = serve(w, w.path("programs", "prefork"), "3200", "4", ready="ready")
    for host, seen in (("10.9.0.2", "::ffff:10.9.0.1"), ("fd09::2", "fd09::1")):
        done = from_peer(w, "python3", "-c", FOUR % host)
        assert done.stdout == f"{[f'{i} {seen}' + chr(10) for i in range(4)]}\n", done
    end(child)


@test("a server and its client in one session meet on 127.0.0.1")
def _(w):
    script = ("/usr/bin/python3 -m http.server 8001 >/dev/null 2>&1 & "
              "curl -sS --retry 20 --retry-connrefused --retry-delay 1 http://127.0.0.1:8001/page; kill $!")
    assert w.ok("sh", "-c", script) == "served inside\n"


@test("a server bound to 127.0.0.1 listens on the host's loopback, not in the tunnel")
def _(w):
    child, _ = serve(w, "/usr/bin/python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "8002",
                     ready="Serving HTTP")
    outside = w.outside("curl", "-sS", "--max-time", "60", "http://127.0.0.1:8002/page")
    assert outside.stdout == "served inside\n", outside
    assert from_peer(w, "curl", "-sS", "--max-time", "60", "http://10.9.0.2:8002/page").returncode == 7
    end(child)


@test("a UDP server answers, and sees the client's tunnel address")
def _(w):
    code = ("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('', 3300))\n"
            "print('ready', flush=True)\nwhile True:\n    d, a = s.recvfrom(9000)\n    s.sendto(d + a[0].encode(), a)")
    child, _ = serve(w, "/usr/bin/python3", "-c", code, ready="ready")
    # again and again: the first ones may go where the tunnel process before had its socket
    ask = ("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.settimeout(1)\n"
           "for _ in range(60):\n  s.sendto(b'from ', ('10.9.0.2', 3300))\n"
           "  try: print(s.recv(100).decode()); break\n  except TimeoutError: pass")
    assert from_peer(w, "python3", "-c", ask).stdout == "from 10.9.0.1\n"
    end(child)


@test("as root: nginx, whose workers change to another user")
def _(w):
    if not w.as_root:
        tap.skip("needs root")
    need("nginx")
    work = w.path("inner-nginx")
    os.mkdir(work)
    conf = w.write("inner-nginx.conf", f"""
        user nobody nogroup; worker_processes 2; daemon off; pid {work}/pid; error_log stderr notice;
        events {{ }}
        http {{ access_log {work}/access.log; client_body_temp_path {work}/b; proxy_temp_path {work}/p;
            fastcgi_temp_path {work}/f; uwsgi_temp_path {work}/u; scgi_temp_path {work}/s;
            server {{ listen 8003; location / {{ proxy_pass http://10.9.0.1:80; }} }} }}""")
    servers.web(w)
    child, log = serve(w, world.find("nginx"), "-c", conf, "-e", "stderr", ready="start worker process", privileged=True)
    done = from_peer(w, "curl", "-sS", "--max-time", "60", "http://10.9.0.2:8003/")
    assert done.stdout == "behind the tunnel\n", (done, text_of(log))
    end(child)


@test("as root: programs that drop to another uid or chroot keep their network")
def _(w):
    if not w.as_root:
        tap.skip("needs root")
    servers.web(w)
    for how in ("setuid", "chroot"):
        done = w.wrapped(w.path("programs", "dropped"), how, w.path("www"), "10.9.0.1", "80", privileged=True)
        assert done.stdout == "HTTP/1.1 200 OK\n", (how, done)
    # the listener's file must be made somewhere: where the program cannot, the supervisor does (preload/spare.c)
    os.mkdir(w.path("sealed"), 0o755)
    os.mkdir(w.path("open"), 0o777)
    os.chmod(w.path("open"), 0o777)
    for where, capture, expected in (("sealed", "auto", "listens\n"), ("open", "auto", "listens\n"),
                                     ("sealed", "preload", "EACCES\n"), ("open", "preload", "listens\n")):
        done = w.wrapped(w.path("programs", "dropped"), "listen", w.path(where), "10.9.0.1", "80", privileged=True,
                         options=(f"--capture={capture}",))
        assert done.stdout == expected, (where, capture, done)


@test("as root: sshd, whose sessions change user")
def _(w):
    if not w.as_root:
        tap.skip("needs root")
    command = servers.ssh(w)
    conf = w.path("sshd_config")
    inner = w.write("inner_sshd_config", text_of(conf).replace("Port 2222", "Port 2223"))
    child, log = serve(w, world.find("sshd"), "-D", "-e", "-f", inner, ready="Server listening", privileged=True)
    done = from_peer(w, *(a.replace("2222", "2223") for a in command), "10.9.0.2", "echo $SSH_CLIENT")
    assert done.stdout.startswith("10.9.0.1 "), (done, text_of(log))
    end(child)


world.main()
