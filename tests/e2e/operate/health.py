#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
health.py - health as an exit status, and over HTTP: /livez, /readyz, /metrics; up --health
"""

import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import operate as t  # noqa: E402
from lib import tap  # noqa: E402

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


@tap.test("both tunnels come up", groundwork=True)
def _(w):
    w.up()
    assert w.fetch()


@tap.test("health: an exit status, and /livez, /readyz, /metrics")
def _(w):
    assert w.ok("health") == "client: up\nserver: up\n"
    port = t.free_port()
    server = w.start("health", "--listen", f"127.0.0.1:{port}")
    base = f"http://127.0.0.1:{port}"
    t.wait_until("it listens", lambda: t.run("curl", "-s", base + "/livez").returncode == 0)
    assert t.http(base + "/livez") == (200, "text/plain; charset=utf-8", "ok\n")
    assert t.http(base + "/readyz")[0] == 200
    assert t.http(base + "/nothing")[0] == 404 and t.http(base + "/livez", "POST")[0] == 405
    status, kind, text = t.http(base + "/metrics")
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
    with socket.create_connection(("127.0.0.1", port), timeout=5) as s:  # before its time is over, for no end of headers
        s.sendall(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1500)
        assert s.recv(100).startswith(b"HTTP/1.1 400 ")
    assert t.http(base + "/livez")[0] == 200, "it survives what is no HTTP"
    last_of_many_is_answered(port, 65)
    w.stop(server)
    assert server.returncode == 0


def last_of_many_is_answered(port, n):
    """Who only holds a place has to leave it, who came first before the others."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5)) for _ in range(n)]
        assert held[0].recv(1) == b""
        held[-1].sendall(b"GET /livez HTTP/1.1\r\n\r\n")
        assert held[-1].recv(100).startswith(b"HTTP/1.1 200 ")


@tap.test("health with few descriptors has fewer places, and none who wait for ever")
def _(w):
    port = t.free_port()
    server = w.start("health", "--listen", f"127.0.0.1:{port}",
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)))
    t.wait_until("it listens", lambda: t.run("curl", "-s", f"http://127.0.0.1:{port}/livez").returncode == 0)
    last_of_many_is_answered(port, 40)
    w.stop(server)


@tap.test("health that has no descriptor for signals says so and ends, as none could end it")
def _(w):
    few = (4, 4)  # the fourth is the listener
    server = w.start("health", "--listen", os.path.join(w.dir, "starved"), stderr=subprocess.PIPE, text=True,
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, few))
    assert "signalfd: Too many open files" in server.communicate(timeout=60)[1] and server.returncode == 1


@tap.test("health: what is for --listen is refused without it")
def _(w):
    for option in ("--any-user", "--any-address"):
        status, _, err = w.wgwrap("health", option)
        assert status == 2 and "--listen" in err, w.last


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
    assert w.change_private_key()[0] == 0
    t.wait_until("health follows", lambda: ready() == "client: up\n")
    w.ok("down", "client")
    t.wait_until("the socket has gone", lambda: not os.path.exists(path))
    w.ok("up", w.client)


tap.main(t.Tunnels)
