#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""runner.py - tests/run: what programs see of its caller, and what is left when it is ended"""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

from lib import tap
from lib.world import HERE, ROOT, wait_until

SEEN = """#!/bin/sh
env | cut -d= -f1 | grep -v -x -e PWD -e SHLVL -e _ -e OLDPWD
umask
ls -A "$HOME"
grep -E '^Sig(Blk|Ign)' /proc/self/status
cat | wc -c
"""
# a world whose end takes a moment, and what it leaves running: a process that ignores signals in a session of its own
WORLD = f"""#!{sys.executable}
import os, subprocess, sys, time
sys.path.insert(0, {os.path.join(ROOT, "tests/e2e")!r})
from lib import tap
class World:
    def __init__(self):
        self.child = subprocess.Popen(["sh", "-c", "trap '' TERM HUP INT; echo $$ >DIR/left; while :; do sleep 1; done"],
                                      start_new_session=True)
        if "MISSING": raise OSError("what it needs is not there")
    def close(self):
        time.sleep(0.3)
        with open("DIR/closed", "w") as f: f.write("closed")
    def describe(self): return ""
    def finish(self): return ()
@tap.test("it sleeps")
def _(w):
    time.sleep(600)
tap.main(World)
"""
LIBCS_SIGNALS = 0x180000000  # 32 and 33, which libc lets nobody set: they stay as whoever calls has them
HOSTILE = {"LD_PRELOAD": "", "http_proxy": "http://127.0.0.1:9/", "ALL_PROXY": "socks5://127.0.0.1:9", "TMPDIR": "/dev/null",
           "CDPATH": "/", "POSIXLY_CORRECT": "1", "LC_ALL": "C", "PYTHONHOME": "", "GIT_DIR": "/", "MAKEFLAGS": "n", "HOME": "/",
           "XDG_RUNTIME_DIR": "/", "XDG_CONFIG_HOME": "/", "WGWRAP_RUNTIME_DIR": "/", "WGWRAP_SESSION": "1", "ENV": "/", "BASH_ENV": "/",
           "TEST_PATTERN": "nothing"}


class Runner:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="wgwrap-test-", dir="/tmp")

    def program(self, text):
        path = os.path.join(self.dir, "program")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o755)
        return [os.path.join(HERE, "../../run"), "-o", os.path.join(self.dir, "logs"), path]

    def read(self, name):
        with contextlib.suppress(OSError):
            with open(os.path.join(self.dir, name), encoding="utf-8") as f:
                return f.read()
        return ""

    def log(self):
        names = os.listdir(os.path.join(self.dir, "logs"))
        assert len(names) == 1, names
        return self.read(f"logs/{names[0]}")

    def describe(self):
        return ""

    def finish(self):
        return ()

    def close(self):
        with contextlib.suppress(ValueError, ProcessLookupError):
            os.kill(int(self.read("left")), signal.SIGKILL)
        shutil.rmtree(self.dir)


def unlike_others():
    """The settings of a caller that are inherited, each as nobody has it."""
    os.umask(0o777)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)


@tap.test("what programs see is the same whoever calls")
def _(w):
    seen = []
    for env, setup in (({}, None), (HOSTILE, unlike_others)):
        done = subprocess.run(w.program(SEEN), env={"PATH": os.environ["PATH"], **env}, preexec_fn=setup, restore_signals=False,
                              input="input", capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and done.stdout.endswith("\n1 passed, 0 failed, 0 skipped\n"), done
        seen.append(w.log())
        shutil.rmtree(os.path.join(w.dir, "logs"))
    assert seen[0] == seen[1], "\n".join(seen)
    lines = seen[0].split()
    assert "PATH" in lines and "0022" in lines and lines[-1] == "0", lines
    for mask in ("SigBlk:", "SigIgn:"):
        assert int(lines[lines.index(mask) + 1], 16) & ~LIBCS_SIGNALS == 0, lines


def ends(w, number):
    for name in ("left", "closed"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(w.dir, name))
    argv = w.program(WORLD.replace("DIR", w.dir).replace("MISSING", ""))
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as run:
        try:
            left = int(wait_until("the program", lambda: w.read("left")))
        finally:
            run.send_signal(number)
        assert run.wait(60) != 0
    wait_until("the program's own end", lambda: w.read("closed"))
    wait_until("the end of what it left", lambda: not os.path.exists(f"/proc/{left}"))


@tap.test("ended by a signal, it lets the program clean up, and leaves nothing running")
def _(w):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
        ends(w, number)


# reaches its time limit, and takes its time to end
SLOW = """#!/bin/sh
# time limit: 1 s
trap 'echo $$ >DIR/left; while ! [ -e DIR/go ]; do sleep 0.1; done; exit 1' TERM
while :; do sleep 0.1; done
"""


@tap.test("ended while a program that has reached its time limit ends, it waits for that one")
def _(w):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(w.dir, "left"))
    with subprocess.Popen(w.program(SLOW.replace("DIR", w.dir)), stdout=subprocess.PIPE, text=True) as run:
        left = int(wait_until("the program's end begins", lambda: w.read("left")))
        run.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(2)
        early = run.poll()
        with open(os.path.join(w.dir, "go"), "w", encoding="utf-8"):
            pass
        said = run.communicate(timeout=60)[0]
    assert early is None and run.returncode != 0 and said.count("interrupted") == 1, (early, run.returncode, said)
    assert not os.path.exists(f"/proc/{left}")


@tap.test("a world that cannot be made whole is closed, and has failed")
def _(w):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(w.dir, "closed"))
    done = subprocess.run(w.program(WORLD.replace("DIR", w.dir)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "what it needs is not there" in done.stdout, done
    assert w.read("closed") == "closed", done


tap.main(Runner)
