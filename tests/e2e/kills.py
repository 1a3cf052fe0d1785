#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kills.py - kill -9 of front, supervisor, tunnel process and application, in every order, under load

Each round starts a load, waits a random moment, and kills a random selection in a random order. Afterwards
nothing may be left: no process, no socket in the runtime directory, and (the sentry) nothing outside the
tunnel. WGWRAP_KILL_ROUNDS says how many rounds; WGWRAP_KILL_SEED repeats a series.
"""

import contextlib
import fcntl
import os
import random
import signal
import subprocess
import time

from lib import tap, world
from lib.tap import test

world.enter()

ROUNDS = int(os.environ.get("WGWRAP_KILL_ROUNDS", "12"))
SEED = int(os.environ.get("WGWRAP_KILL_SEED", str(int(time.time()))))
END_S = 90
PORT = 4700
ECHO = f"""
import socket, threading
s = socket.create_server(("10.9.0.1", {PORT}), backlog=512)
print("ready", flush=True)
def one(c):
    with c:
        try:
            while data := c.recv(65536):
                c.sendall(data)
        except OSError:
            pass
while True:
    threading.Thread(target=one, args=s.accept()[:1], daemon=True).start()
"""
# Ends at the first error: what has lost its network must be told
PRELOADED = f"""
import socket, threading
def work():
    while True:
        s = socket.create_connection(("10.9.0.1", {PORT}), 60)
        s.settimeout(60)
        for _ in range(20):
            s.sendall(b"x" * 5000)
            left = 5000
            while left:
                piece = s.recv(left)
                if not piece:
                    raise SystemExit(1)
                left -= len(piece)
        s.close()
threads = [threading.Thread(target=work) for _ in range(8)]
for t in threads: t.start()
"""


def descendants(pid):
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", "rb") as f:
                parent = int(f.read().rsplit(b")", 1)[1].split()[1])
        except OSError:
            continue
        if parent == pid:
            found += [int(entry)] + descendants(int(entry))
    return found


def named(pids, name):
    return [pid for pid in pids if world.comm(pid) == name]


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            return f.read().rsplit(b")", 1)[1].split()[0] not in b"ZX"
    except OSError:
        return False


def one_round(w, dice):
    load = [w.path("programs", "static_many"), "10.9.0.1", str(PORT), "100000"] if dice.random() < 0.5 else \
        ["/usr/bin/python3", "-c", PRELOADED]
    front = w.start(w.wrap(*load), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    world.wait_until("the command", lambda: named(descendants(front.pid), "wgwrap-session") or front.poll() is not None)
    time.sleep(dice.random() * 0.4)
    below = descendants(front.pid)
    session = named(below, "wgwrap-session")
    command = [pid for pid in below if pid not in session and world.comm(pid) != "wgwrap-tunnel"]
    whom = {"front": [front.pid], "supervisor": session[:1], "tunnel": w.tunnels(), "application": command}
    # at least one of those whose death ends the run
    chosen = dice.sample(sorted(whom), dice.randint(1, 4))
    if not {"front", "supervisor", "application"} & set(chosen):
        chosen.append(dice.choice(["front", "supervisor", "application"]))
    for who in chosen:
        for pid in whom[who]:
            kill(pid)
        time.sleep(dice.random() * 0.05)
    everybody = set(below) | {front.pid} | set(w.tunnels())
    what = f"{os.path.basename(load[0])}, killed: {', '.join(chosen)}"
    try:
        front.wait(END_S)
        world.wait_until(f"the end of all processes ({what})",
                         lambda: not [pid for pid in everybody | set(w.tunnels()) if alive(pid)], END_S)
    except (AssertionError, subprocess.TimeoutExpired) as hang:
        left = {pid: world.comm(pid) for pid in everybody | set(w.tunnels()) if alive(pid)}
        raise AssertionError(f"{what}: still there: {left}") from hang


def works(w):
    assert w.ok(w.path("programs", "static_client"), "10.9.0.1", str(PORT), "well\n") == "well\n"


@test(f"{ROUNDS} rounds")
def _(w):
    tap.diagnose(f"WGWRAP_KILL_SEED={SEED}")
    w.start_server("echo", ["python3", "-c", ECHO])
    works(w)
    dice = random.Random(SEED)
    for number in range(ROUNDS):
        try:
            one_round(w, dice)
        except AssertionError as hang:
            raise AssertionError(f"round {number}: {hang}") from hang
    works(w)


def rendezvous(w, suffix):
    return [os.path.join(base, name) for base, _, names in os.walk(w.path("run")) for name in names if name.endswith(suffix)]


@test("a supervisor that is killed while a tunnel process is being started ends the run: 125")
def _(w):
    front = w.start(w.wrap("sleep", "600"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    world.wait_until("the command", lambda: named(descendants(front.pid), "sleep"))
    below = descendants(front.pid)
    with contextlib.ExitStack() as locks:
        for path in rendezvous(w, ".lock"):  # who starts one waits for it
            fcntl.flock(locks.enter_context(open(path, "rb")), fcntl.LOCK_EX)
        for pid in w.tunnels():
            kill(pid)
        world.wait_until("a child that starts another", lambda: len(named(descendants(front.pid), "wgwrap-session")) > 1)
        kill(named(below, "wgwrap-session")[0])
        assert front.wait(END_S) == 125
    for pid in below:
        kill(pid)


@test("nothing stays in the runtime directory but what the next start replaces")
def _(w):
    world.wait_until("the end of all tunnel processes", lambda: not w.tunnels())
    left = [os.path.join(base, name) for base, _, names in os.walk(w.path("run")) for name in names]
    assert len(left) <= 4 and not [name for name in left if ".l" in os.path.basename(name).replace(".lock", "")], left


world.main()
