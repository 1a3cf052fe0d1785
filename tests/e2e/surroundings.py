#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""surroundings.py - bad input, silent peers and odd surroundings

Each is either overcome or told in one plain line, with the right exit status, and never with a key.
"""

import contextlib
import os
import re
import resource
import shutil
import subprocess
import time

from lib import servers, tap, world
from lib.tap import test

world.enter()

CURL = ("curl", "-sS", "--fail", "--noproxy", "*", "http://10.9.0.1/")
PAGE = "behind the tunnel\n"


def says(w, done, status, *patterns):
    """@done ended with @status, and each pattern occurs in a line of wgwrap's; no key does anywhere."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("wgwrap: ")]
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    for pattern in patterns:
        assert any(re.search(pattern, line, re.I) for line in lines), (pattern, done.stderr)
    for secret in (*w.key.values(), w.psk):
        assert secret[:12] not in done.stderr and secret[12:30] not in done.stderr, done.stderr
    return lines


def change(w, old, new, name="changed.conf"):
    text = w.config()
    assert re.search(old, text, re.M), old
    return w.write(name, re.sub(old, lambda _: new, text, count=1, flags=re.M), 0o600)


# ---- the file ----

BAD = [
    # what, pattern in a good file, its replacement, what the error names
    ("bad base64", r"^PrivateKey = .*$", "PrivateKey = !!!notbase64!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!=", r":\d+: .*PrivateKey"),
    ("a short key", r"^PublicKey = .*$", "PublicKey = AAAAAAAA", r":\d+: .*PublicKey"),
    ("a zero key", r"^PrivateKey = .*$", "PrivateKey = " + "A" * 43 + "=", r":\d+: .*PrivateKey"),
    ("an unknown key", r"^Address = ", "Adress = 10.9.0.2\nAddress = ", r":\d+: .*Adress"),
    ("a key before a section", r"\A", "MTU = 1400\n", r":1: .*MTU"),
    ("a bad CIDR", r"^AllowedIPs = .*$", "AllowedIPs = 10.9.0.0/33", r":\d+: .*AllowedIPs"),
    ("a missing Address", r"^Address = .*\n", "", r"Address"),
]


def bad_file(what, pattern, replacement, named):
    @test(f"{what} is an error that names file, line and key: 125")
    def _(w):
        conf = change(w, pattern, replacement)
        says(w, w.wrapped("true", conf=conf), 125, named, re.escape(os.path.basename(conf)))


for case in BAD:
    bad_file(*case)


@test("a missing file: 125")
def _(w):
    says(w, w.wrapped("true", conf=w.path("none.conf")), 125, "none.conf.*No such file")


@test("an unreadable file: 125")
def _(w):
    path = w.write("secret.conf", w.config(), 0)
    if w.as_root:
        os.chown(path, 0, 0)
    done = w.wrapped("true", conf=path)
    if done.returncode == 0:
        tap.skip("the file's owner can read it all the same here")
    says(w, done, 125, "secret.conf.*Permission denied")


GOOD = [
    ("a byte order mark", r"\A", "\ufeff"),
    ("CRLF", None, None),
    ("an AllowedIPs line of 5,000 characters", r"^AllowedIPs = ",
     "AllowedIPs = " + ", ".join(f"198.51.{i // 256}.{i % 256}/32" for i in range(280)) + ", "),
    ("DNS with a search domain", r"^DNS = .*$", "DNS = 10.9.0.1, test"),
    ("PersistentKeepalive = off", r"\Z", "PersistentKeepalive = off\n"),
    ("hooks, which are not run", r"^Address", "PostUp = touch HOOK\nAddress"),
]


def good_file(what, pattern, replacement):
    @test(f"{what}: works")
    def _(w):
        servers.web(w)
        conf = change(w, pattern, replacement) if pattern else w.write("crlf.conf", w.config().replace("\n", "\r\n"), 0o600)
        assert w.ok(*CURL, conf=conf) == PAGE
        assert not os.path.exists(w.path("work", "HOOK"))


for case in GOOD:
    good_file(*case)


@test("the search domain is used")
def _(w):
    servers.dns(w)
    conf = change(w, r"^DNS = .*$", "DNS = 10.9.0.1, test")
    assert w.ok("getent", "ahostsv4", "v4", conf=conf).startswith("10.9.0.1 ")


@test("one prefix on two peers: a warning that names both")
def _(w):
    other = world.run(w.wgwrap, "pubkey", input=world.run(w.wgwrap, "genkey")).strip()
    # The first [Peer] is in line 6 of config(), this one in line 11
    conf = w.write("two.conf", w.config() + f"[Peer]\nPublicKey = {other}\nAllowedIPs = 10.9.0.0/16\n", 0o600)
    done = w.wrapped("true", conf=conf)
    lines = says(w, done, 0, r"10\.9\.0\.0/16")
    named = [line for line in lines if "10.9.0.0/16" in line][0]
    assert re.search(r"line 11 gets it, the .Peer. of line 6 does not", named), named


@test("-c from a pipe, from standard input, and from the environment")
def _(w):
    servers.web(w)
    curl = " ".join(CURL[:-1]).replace("*", "'*'") + " " + CURL[-1]
    script = f"{w.wgwrap} -c /dev/fd/3 -- {curl} 3<<E\n{w.config()}\nE\n"
    assert w.finish_command(w.unprivileged() + ["sh", "-c", script]).stdout == PAGE
    assert w.wrapped(*CURL, conf="-", input=w.config()).stdout == PAGE
    assert w.wrapped("cat", conf="-", input=w.config() + "# rest\n").stdout == ""
    done = w.wrapped("sh", "-c", "cat /proc/$PPID/environ /proc/self/environ; exec " + curl, conf="env:WG_CONF",
                     env=w.environment(WG_CONF=w.config()))
    assert PAGE in done.stdout, done
    assert w.key["client"] not in done.stdout


@test("a file that was edited: the next command uses it")
def _(w):
    servers.web(w)
    conf = w.write("edited.conf", w.config(), 0o600)
    assert w.ok(*CURL, conf=conf) == PAGE
    w.write("edited.conf", w.config(outer="6"), 0o600)
    assert w.ok(*CURL, conf=conf) == PAGE


# ---- the peer ----

@test("an endpoint that does not resolve: 125, and its name")
def _(w):
    conf = w.write("noname.conf", w.config(endpoint="vpn.invalid:51820"), 0o600)
    says(w, w.wrapped("true", conf=conf), 125, "vpn.invalid")


SILENT = f"""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("192.0.2.1", {world.SILENT_PORT}))
print("ready", flush=True)
while True:
    s.recv(2048)
"""


@test("a peer that never answers: 125 after --wait, and the likely causes")
def _(w):
    silent = w.start_server("silent", ["python3", "-c", SILENT])
    conf = w.write("silent.conf", w.config(endpoint=f"192.0.2.1:{world.SILENT_PORT}"), 0o600)
    began = time.monotonic()
    done = w.wrapped("true", conf=conf, options=["--wait=3s"])
    took = time.monotonic() - began
    lines = says(w, done, 125, r"192\.0\.2\.1:9999")
    assert 2.5 < took < 60, took
    for cause in ("wrong address or port", "UDP is filtered", "PublicKey", "clock"):
        assert cause in lines[-1], lines
    silent.terminate()
    silent.wait()


@test("a closed port, and a router without a route: 125, and that they said so")
def _(w):
    away = "203.0.113.9"
    w.sentry.endpoints.add(away)
    w.at(w.peer_ns, "ip", "route", "add", "unreachable", away)
    w.at(0, "ip", "route", "add", away, "via", "192.0.2.1")
    for host, said in (("192.0.2.1", "the host there says that nothing listens"),
                       (away, "a router on the way says: No route to host")):
        conf = w.write("refused.conf", w.config(endpoint=f"{host}:{world.SILENT_PORT}"), 0o600)
        says(w, w.wrapped("true", conf=conf, options=["--wait=1s"]), 125, said)
        w.end_tunnels()
        done = w.finish_command([*w.unprivileged(), w.wgwrap, "doctor", "-c", conf, "--wait=1s"])
        assert done.returncode == 4 and said in done.stdout, done


@test("a peer that does not know our key: the same")
def _(w):
    text = w.config().replace(w.key["client"], world.run(w.wgwrap, "genkey").strip())
    says(w, w.wrapped("true", conf=w.write("stranger.conf", text, 0o600), options=["--wait=3s"]), 125, "handshake|answer")


@test("the same key in use elsewhere is said in one line")
def _(w):
    # Another runtime directory: a tunnel process of its own, as on another host
    elsewhere = w.path("elsewhere")
    os.mkdir(elsewhere, 0o700)
    if w.as_root:
        os.chown(elsewhere, world.NOBODY, world.NOBODY)
    servers.web(w)
    loop = f"while :; do {' '.join(CURL[:3])} --max-time 8 {CURL[-1]} >/dev/null 2>&1; sleep 0.5; done"
    pair = [w.start(w.wrap("sh", "-c", loop), stderr=subprocess.PIPE, text=True, env=w.environment(XDG_RUNTIME_DIR=d))
            for d in (w.path("run"), elsewhere)]
    for child in pair:
        os.set_blocking(child.stderr.fileno(), False)
    try:
        def told():
            for child in pair:
                line = child.stderr.readline()
                if re.search("same key|another|elsewhere|key is (also )?in use", line or ""):
                    return line
            return None
        tap.diagnose(world.wait_until("the line", told, 170))
    finally:
        for child in pair:
            child.kill()
            child.wait()
        w.end_tunnels()


# ---- the command ----

@test("command not found: 127")
def _(w):
    says(w, w.wrapped("no-such-command"), 127, "no-such-command")
    says(w, w.wrapped("./no/such/path"), 127, "no/such/path")


@test("command not executable: 126")
def _(w):
    path = w.write("plain", "text\n", 0o644)
    says(w, w.wrapped(path), 126, "plain")
    says(w, w.wrapped(w.path("work")), 126, "work")


@test("wrong usage: 125 and a pointer to the help")
def _(w):
    done = w.finish_command(w.unprivileged() + [w.wgwrap, "-c", w.conf])
    says(w, done, 125, "command")
    says(w, w.wrapped("true", options=["--no-such-option"]), 125, "no-such-option")


# ---- surroundings ----

def fetches(w, **kwargs):
    servers.web(w)
    done = w.wrapped(*CURL, **kwargs)
    assert (done.returncode, done.stdout) == (0, PAGE), done


def or_says(w, pattern, **kwargs):
    """It works, or one line says why not."""
    servers.web(w)
    done = w.wrapped(*CURL, **kwargs)
    if (done.returncode, done.stdout) != (0, PAGE):
        lines = says(w, done, 125, pattern)
        assert len(lines) == 1, lines
        tap.diagnose(lines[0])


@test("no XDG_RUNTIME_DIR, no /run/user")
def _(w):
    fetches(w, env=w.environment(XDG_RUNTIME_DIR=None))
    fetches(w, env=w.environment(XDG_RUNTIME_DIR="/dev/null"))


@test("a runtime directory squatted by somebody else is not used")
def _(w):
    if not w.as_root:
        tap.skip("needs root, to be two users")
    name = f"wgwrap-{world.NOBODY}"
    script = ("set -e; mount -t tmpfs -o mode=1777 tmpfs /dev/shm; "
              f"mkdir -m 777 /dev/shm/{name}; mkdir -m 777 /tmp/{name} 2>/dev/null || :; \"$@\"; s=$?; "
              f"ls -A /dev/shm/{name} >&2; exit $s")
    servers.web(w)
    done = w.finish_command(["unshare", "-m", "sh", "-c", script, "sh", *w.wrap(*CURL)], 40,
                            env=w.environment(XDG_RUNTIME_DIR=None))
    if (done.returncode, done.stdout) != (0, PAGE):
        says(w, done, 125, "directory|owner|mode")
    assert ".lock" not in done.stderr, done
    with contextlib.suppress(OSError):
        os.rmdir(f"/tmp/{name}")


@test("a read-only root")
def _(w):
    servers.web(w)
    script = f"mount --bind / /mnt && mount -o remount,bind,ro / 2>/dev/null; mount --bind {w.dir} {w.dir}; exec \"$@\""
    done = w.finish_command(["unshare", "-m", "sh", "-c", script, "sh", *w.wrap(*CURL)])
    if (done.returncode, done.stdout) != (0, PAGE):
        says(w, done, 125, "directory|read-only")


@test("no HOME, and cron's environment")
def _(w):
    fetches(w, env=w.environment(HOME=None))
    kept = {name: value for name, value in w.environment().items() if name.endswith("SAN_OPTIONS")}
    fetches(w, env={"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "nobody", **kept})


@test("stdin, stdout and stderr closed")
def _(w):
    servers.web(w)
    out = w.path("work", "closed")
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        script = f"exec \"$@\" {closed}"
        done = w.finish_command(["sh", "-c", script, "sh", *w.wrap(*CURL[:-1], "-o", out, CURL[-1])])
        assert done.returncode == 0, (closed, done)
        with open(out, encoding="ascii") as f:
            assert f.read() == PAGE, closed
        os.unlink(out)


def limited(which, value):
    return lambda: resource.setrlimit(which, (value, value))


@test("an allocation that fails is told as such, each of those that reading a file makes")
def _(w):
    world.need_no_sanitizer("has an allocator of its own")
    library = os.path.join(world.BUILD, "tests/shifted/memory.so")
    if not os.path.exists(library):
        tap.skip("the library that lets allocations fail is not built (make check-e2e)")
    conf = w.write("few.conf", w.config(), 0o600)
    good = w.finish_command([w.wgwrap, "check", conf])
    assert good.returncode == 0, good.stderr
    refused = w.path("refused")
    told = set()
    for n in range(1, 5000):
        env = w.environment(LD_PRELOAD=library,
                            WGWRAP_TEST_NO_MEMORY=str(n), WGWRAP_TEST_REFUSED=refused)
        done = w.finish_command([w.wgwrap, "check", conf], env=env)
        if not os.path.exists(refused):
            break
        os.unlink(refused)
        # what one can do without is not told
        if (done.returncode, done.stdout, done.stderr) == (0, good.stdout, good.stderr):
            continue
        lines = [line for line in says(w, done, 3) if line not in good.stderr]
        assert lines and all("memory" in line for line in lines), (n, done.stderr)
        told.update(lines)
    else:
        assert False, "no end of the allocations"
    assert told


@test("ulimit -n 64")
def _(w):
    fetches(w, preexec_fn=limited(resource.RLIMIT_NOFILE, 64))


@test("RLIMIT_MEMLOCK 0")
def _(w):
    w.end_tunnels()
    fetches(w, preexec_fn=limited(resource.RLIMIT_MEMLOCK, 0))


@test("a library path with a space, and one with a colon")
def _(w):
    for name in ("with space", "with:colon"):
        directory = w.path(name)
        os.mkdir(directory)
        for part in ("wgwrap", "libwgwrap.so"):
            subprocess.run(["cp", w.path("bin", part), directory], check=True)
        usual, w.wgwrap = w.wgwrap, os.path.join(directory, "wgwrap")
        try:
            w.end_tunnels()
            or_says(w, "space|colon|path")
            # a link stands for it, which children do not put before itself
            done = w.wrapped("sh", "-c", "sh -c 'sh -c \"echo \\$LD_PRELOAD; :\"; :'; :")
            if done.returncode != 125:
                assert len(done.stdout.split()) == 1 and ":" not in done.stdout, done
        finally:
            w.wgwrap = usual


@test("without a library that only the tunnel process needs: a word on which, no run, no crash")
def _(w):
    world.need_no_sanitizer("has libraries opened by its runtime")
    for library, word in (("libcares.so.2", "c-ares"), ("libhttp_parser.so.2.9", "http-parser"),
                          ("libseccomp.so.2", "libseccomp")):
        directory = w.path("broken-" + word)
        os.mkdir(directory)
        with open(os.path.join(directory, library), "wb"):
            pass
        w.end_tunnels()
        says(w, w.wrapped("true", env=w.environment(LD_LIBRARY_PATH=directory)), 125, word)


@test("http_proxy on loopback is warned about")
def _(w):
    servers.web(w)
    done = w.wrapped(*CURL, env=w.environment(http_proxy="http://127.0.0.1:3128"))
    assert done.stdout == PAGE, done
    says(w, done, 0, "http_proxy")


def without(w, family):
    """Argv that runs the rest in a copy of the client's namespace without @family's outer addresses."""
    return ["sh", "-c", f"ip -{family} address flush dev out0; \"$@\"; s=$?; " +
            ("ip address add 192.0.2.2/24 dev out0" if family == "4" else "ip address add 2001:db8::2/64 dev out0 nodad") +
            "; exit $s", "sh"]


@test("a host without IPv6, and one without IPv4")
def _(w):
    servers.web(w)
    for family, conf in (("6", w.conf), ("4", w.conf6)):
        w.end_tunnels()
        done = w.finish_command(without(w, family) + w.wrap(*CURL, conf=conf))
        assert (done.returncode, done.stdout) == (0, PAGE), (family, done)


@test("PID 1 in a container reaps, forwards SIGTERM and exits 128+N")
def _(w):
    script = "trap 'exit 5' TERM; (sleep 0.1 &) ; echo up; while :; do sleep 0.1; done"
    child = w.start(["unshare", "-p", "-f", "--mount-proc", *w.wrap("sh", "-c", script)],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = world.read_line(child.stdout)
    if not line:
        err = child.stderr.read()
        if "unshare:" in err:
            tap.skip(err.strip())
        raise AssertionError(err)
    first = [int(p) for p in world.run("pgrep", "-P", str(child.pid)).split()]
    os.kill(first[0], 15)
    assert child.wait(60) == 5, (child.returncode, child.stderr.read())
    done = w.finish_command(["unshare", "-p", "-f", "--mount-proc", *w.wrap("sh", "-c", "kill -9 $$")])
    assert done.returncode == 128 + 9, done


@test("set-user-ID and set-group-ID programs run in the tunnel, without the privilege; of the former a line warns")
def _(w):
    if not w.as_root:
        tap.skip("needs root, to make such files")
    servers.web(w)
    for mode, warning in ((0o4755, "set-user-ID"), (0o2755, "")):
        for name in ("curl", "id"):
            shutil.copy(shutil.which(name), w.path(name))
            os.chmod(w.path(name), mode)
        done = w.wrapped(w.path(CURL[0]), *CURL[1:])
        assert (done.returncode, done.stdout) == (0, PAGE) and warning in done.stderr, done
        assert bool(done.stderr) == bool(warning), done
        for what in ("-u", "-g"):
            assert w.ok(w.path("id"), what) == f"{world.NOBODY}\n"


@test("setuid programs inside cannot gain privileges, and nothing of ours stays behind")
def _(w):
    assert "NoNewPrivs:\t1" in w.ok("grep", "NoNewPrivs", "/proc/self/status")
    world.wait_until("the end of the tunnel process", lambda: not w.tunnels())
    assert not [f for f in os.listdir(w.path("run")) if not f.startswith("wgwrap")], os.listdir(w.path("run"))


world.main()
