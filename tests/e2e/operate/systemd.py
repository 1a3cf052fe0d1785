#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""systemd.py - what systemd hands to a service reaches the wrapped command: its notifications, watchdog and descriptors

Without a systemd: its protocol is a socket, three variables and descriptors from 3 on.
"""

import os
import shlex
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import operate as t  # noqa: E402
from lib import tap  # noqa: E402

# A service: says what is addressed to it, tells that it is ready, serves one client of descriptor 3
SERVICE = """
import os, socket
print(*(os.environ[name] == str(os.getpid()) for name in ("LISTEN_PID", "WATCHDOG_PID")), flush=True)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
s.send(b"READY=1\\nMAINPID=%d" % os.getpid())
s.send(b"WATCHDOG=1")
if os.environ.get("LISTEN_FDS") == "1":
    connection, _ = socket.socket(fileno=3).accept()
    connection.sendall(connection.recv(100).upper())
"""


class Service(t.Tunnels):
    def start_service(self, options, listener=None, pid="$$"):
        """Starts a wrapped service as systemd does; @pid: whom the variables are addressed to."""
        path = os.path.join(self.dir, "notify")
        if os.path.exists(path):
            os.unlink(path)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.settimeout(60)
        self.notify.bind(path)
        env = dict(self.env, NOTIFY_SOCKET=path, WATCHDOG_USEC="20000000")
        prefix = f"LISTEN_PID={pid} WATCHDOG_PID={pid} "
        redirect = ""
        if listener:
            env["LISTEN_FDS"] = "1"
            redirect = f" 3<&{listener.fileno()}"
        argv = [t.WGWRAP, "-c", self.client, *options, "--", "python3", "-c", SERVICE]
        child = subprocess.Popen(["bash", "-c", f"{prefix}exec {shlex.join(argv)}{redirect}"], env=env, stdin=subprocess.DEVNULL,
                                 pass_fds=[listener.fileno()] if listener else (), stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        self.children.append(child)
        return child


def ended(child):
    out, err = child.communicate(timeout=60)
    return child.returncode, out, err


MODES = ((), ("--capture", "preload"), ("--capture", "supervisor"))


@tap.test("the command is who LISTEN_PID and WATCHDOG_PID mean; it notifies; its unix listener serves")
def _(w):
    w.ok("up", w.server)
    for mode in MODES:
        path = os.path.join(w.dir, "service")
        if os.path.exists(path):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            listener.bind(path)
            listener.listen()
            child = w.start_service(mode, listener)
            pid = w.notify.recv(200)
            assert pid.startswith(b"READY=1\nMAINPID=") and w.notify.recv(200) == b"WATCHDOG=1", pid
            client.settimeout(60)
            client.connect(path)
            client.sendall(b"activated")
            assert client.recv(100) == b"ACTIVATED"
        status, out, err = ended(child)
        if status == 126 and "supervisor" in mode:
            print(f"# {err.strip()}")
            continue
        assert (status, out) == (0, "True True\n"), (mode, status, out, err)


@tap.test("variables that mean another process stay as they are")
def _(w):
    child = w.start_service((), pid="1")
    assert w.notify.recv(200).startswith(b"READY=1")
    status, out, err = ended(child)
    assert (status, out) == (0, "False False\n"), (out, err)


@tap.test("an inherited IP listener is refused, unless --keep-fd names it")
def _(w):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        status, out, err = ended(w.start_service((), listener))
        assert status == 125 and out == "" and "--keep-fd 3" in err and "not in the tunnel" in err, (status, out, err)
        child = w.start_service(("--keep-fd", "3"), listener)
        assert w.notify.recv(200).startswith(b"READY=1")
        with socket.create_connection(listener.getsockname(), 60) as client:
            client.sendall(b"kept")
            assert client.recv(100) == b"KEPT"
        assert ended(child)[:2] == (0, "True True\n")


@tap.test("wgwrap proxy says when its listeners are there, and that it stops")
def _(w):
    path = os.path.join(w.dir, "notify-proxy")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(60)
        child = subprocess.Popen([t.WGWRAP, "proxy", "-c", w.client, "--listen", "0"], env=dict(w.env, NOTIFY_SOCKET=path),
                                 stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        w.children.append(child)
        assert s.recv(200).startswith(b"READY=1")
        child.terminate()
        assert s.recv(200).startswith(b"STOPPING=1")
        assert child.wait(60) == 0


tap.main(Service)
