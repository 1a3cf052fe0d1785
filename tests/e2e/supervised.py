#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""supervised.py - programs that do not take the shared object: through the tunnel, or refused with an errno

Statically linked ones, Go, musl, raw system calls, and dynamically linked ones that the shared object
is kept away from. The outputs must be those of the kernel's stack.
"""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

from lib import servers, tap, world
from lib.tap import test
from lib.world import find, need, need_no_sanitizer, run

world.enter()

HERE = os.path.dirname(os.path.abspath(__file__))
ECHO_PORT = 4700
ECHO = f"""
import socket, threading
def tcp(family, address):
    s = socket.create_server((address, {ECHO_PORT}), family=family, backlog=256)
    while True:
        threading.Thread(target=one, args=s.accept()[:1], daemon=True).start()
def one(c):
    with c:
        try:
            while data := c.recv(65536):
                c.sendall(data)
        except OSError:
            pass
def udp(family, address):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind((address, {ECHO_PORT}))
    while True:
        data, source = s.recvfrom(65536)
        s.sendto(data, source)
for kind in (tcp, udp):
    for place in ((socket.AF_INET, "10.9.0.1"), (socket.AF_INET6, "fd09::1")):
        threading.Thread(target=kind, args=place, daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""


@servers.once
def echo(w):
    return w.start_server("echo", ["python3", "-c", ECHO])


def program(w, name):
    return w.path("programs", "static_" + name)


def supervised(w):
    """Skips where this machine does not let anything be supervised."""
    said = w.finish_command([*w.unprivileged(), w.wgwrap, "doctor"]).stdout
    if "supervised:" not in said:
        tap.skip(said.splitlines()[1].strip())


def equal(w, *argv, **kwargs):
    """The command's output, which must be the same on the kernel's stack."""
    native, wrapped = w.native(*argv).stdout, w.wrapped(*argv, **kwargs)
    assert native and wrapped.stdout == native, f"natively:\n{native}\nwrapped:\n{wrapped.stdout}{wrapped.stderr}"
    return native


def answered(w, *argv, **kwargs):
    """Runs the command; how many system calls were answered, by name."""
    done = w.wrapped(*argv, options=["-vv"], **kwargs)
    found = re.search("system calls answered: (.*)", done.stderr)
    assert done.returncode == 0 and found, done
    if found.group(1) == "none":
        return {}
    return {name: int(n) for name, n in (item.split() for item in found.group(1).split(", "))}


@test("a static program: TCP over IPv4 and IPv6, refused and unreachable destinations")
def _(w):
    supervised(w)
    echo(w)
    for host in ("10.9.0.1", "fd09::1"):
        assert equal(w, program(w, "client"), host, str(ECHO_PORT), "text\n") == "text\n"
        equal(w, program(w, "client"), host, "1", "x")
    equal(w, program(w, "client"), "10.9.2.1", "1", "x")
    done = w.wrapped(program(w, "client"), "203.0.113.9", "1", "x")
    assert done.stdout == "connect: ENETUNREACH\n" and "203.0.113.9" in done.stderr, done


@test("a static program: datagrams, every call that sends and receives them")
def _(w):
    supervised(w)
    echo(w)
    for host in ("10.9.0.1", "fd09::1"):
        said = equal(w, program(w, "udp"), host, str(ECHO_PORT))
        assert said.count("from there") >= 6, said


@test("a static program: signals and time limits end calls that wait")
def _(w):
    supervised(w)
    echo(w)
    said = equal(w, program(w, "signals"), "10.9.0.1", str(ECHO_PORT), "10.9.1.1")
    assert said.count("EINTR") == 4 and "0 of 300 wrong" in said, said


@test("a static program: sockets closed under a call, or after it; their numbers and ports used again")
def _(w):
    supervised(w)
    echo(w)
    said = equal(w, program(w, "reused"), "10.9.0.1", str(ECHO_PORT), "10.9.1.1", "4")
    assert said.count(": 0 wrong") == 3, said


@test("a static program with 32 threads")
def _(w):
    supervised(w)
    echo(w)
    said = equal(w, program(w, "many"), "10.9.0.1", str(ECHO_PORT), "20")
    assert said == "640 exchanges, 0\n", said


def limited(which, values):
    return lambda: resource.setrlimit(which, values)


@test("more calls that wait than the supervisor has threads: some are refused, the others go on")
def _(w):
    supervised(w)
    echo(w)
    # the usual limit of descriptors, and one that cannot be raised
    for limits in ((1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]), (400, 400)):
        said = w.ok(program(w, "limits"), "10.9.0.1", str(ECHO_PORT), "waiting",
                    preexec_fn=limited(resource.RLIMIT_NOFILE, limits))
        assert said == "refused: some, other errors: 0\ndone\n", (limits, said)


@test("a static process that is not dumpable: nothing reaches anybody, AF_UNIX works")
def _(w):
    supervised(w)
    echo(w)
    said = w.ok(program(w, "limits"), "10.9.0.1", str(ECHO_PORT), "hidden")
    assert said == "socket: 0\nconnect: EPERM\nsendto: EPERM\npair: 0\nits name: 0\n", said


@test("storms of vfork and posix_spawn")
def _(w):
    supervised(w)
    echo(w)
    said = w.ok(program(w, "spawn"), "storm", "100", program(w, "client"), "10.9.0.1", str(ECHO_PORT), "")
    assert said == "100 of 100\n", said


@test("a double-forked static daemon keeps its network after wgwrap has ended")
def _(w):
    supervised(w)
    echo(w)
    with open(w.path("work", "daemon"), "w", encoding="ascii") as out:
        done = w.wrapped(program(w, "spawn"), "daemon", program(w, "client"), "10.9.0.1", str(ECHO_PORT), "late\n",
                         stdout=out, stderr=subprocess.DEVNULL)
    assert done.returncode == 0, done

    def said():
        with open(out.name, encoding="ascii") as f:
            return f.read()
    world.wait_until("the daemon's answer", said)
    assert said() == "late\n", said()


@test("a static server: addresses, accept with and without one, poll, two processes")
def _(w):
    supervised(w)
    for port, how in enumerate(("", "plain", "poll", "fork"), 3400):
        listener = w.start(w.wrap(program(w, "server"), "0.0.0.0", str(port), "4", *filter(None, [how])),
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert world.read_line(listener.stdout) == "ready\n", listener.communicate()
        # two processes of four connections each
        for _ in range(8 if how == "fork" else 4):
            client = w.finish_command(w.inside(w.peer_ns) + [program(w, "client"), "10.9.0.2", str(port), "hello\n"])
            assert client.stdout == "hello\n", (how, client)
        said, err = listener.communicate(timeout=60)
        assert set(said.splitlines()) == {"10.9.0.1 to 10.9.0.2"}, (how, said, err)


GO = {"CGO_ENABLED=0": "go-static", "CGO_ENABLED=1": "go-cgo"}


def go_programs(w):
    """Builds the Go program both ways, once."""
    need("go")
    if not os.path.exists(w.path("programs", "go-cgo")):
        for setting, name in GO.items():
            name_of, value = setting.split("=")
            # the cache is kept between runs: the standard library takes a while
            cache = os.path.join(world.BUILD, "tests", "gocache")
            run("go", "build", "-o", w.path("programs", name), os.path.join(HERE, "../programs/go_net.go"),
                env=dict(os.environ, GOCACHE=cache, GOFLAGS="-mod=mod", GO111MODULE="off", **{name_of: value}))
    return [w.path("programs", name) for name in GO.values()]


@test("Go, with and without cgo: net/http client, 100 connections, datagrams, refusals")
def _(w):
    supervised(w)
    servers.web(w)
    echo(w)
    for path in go_programs(w):
        assert w.ok(path, "get", "http://10.9.0.1/") == "behind the tunnel\n"
        assert w.ok(path, "get", "http://[fd09::1]/address") == "fd09::2\n"
        assert equal(w, path, "many", f"10.9.0.1:{ECHO_PORT}") == "100 good\n"
        equal(w, path, "udp", f"10.9.0.1:{ECHO_PORT}")
        equal(w, path, "udp", f"[fd09::1]:{ECHO_PORT}")
        equal(w, path, "dial", "10.9.0.1:1")
        assert "network is unreachable" in w.wrapped(path, "dial", "203.0.113.9:1").stdout


@test("Go: a net/http server sees its clients' addresses")
def _(w):
    supervised(w)
    for port, path in enumerate(go_programs(w), 3420):
        served = w.start(w.wrap(path, "serve", f":{port}"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert world.read_line(served.stdout) == "ready\n", served.communicate()
        for host, address in (("10.9.0.2", "10.9.0.1"), ("[fd09::2]", "fd09::1")):
            said = w.finish_command(w.inside(w.peer_ns) + ["curl", "-sS", f"http://{host}:{port}/"])
            assert said.stdout == f"you are {address}\n", said
        served.terminate()
        served.communicate(timeout=60)


@test("Rust's standard library, statically linked and not: streams, threads, datagrams, a listener")
def _(w):
    echo(w)
    need("rustc")
    for name, linked in (("rust-static", "+crt-static"), ("rust-dynamic", "-crt-static")):
        path = w.path("programs", name)
        run(find("rustc"), "--edition=2021", "-O", "-C", f"target-feature={linked}", "-o", path,
            os.path.join(HERE, "../programs/rust_net.rs"), env=dict(os.environ, TMPDIR=w.path("work")))
        if name == "rust-static":
            supervised(w)
        for host in ("10.9.0.1", "fd09::1"):
            said = equal(w, path, host, str(ECHO_PORT))
            assert "160 of 160" in said and "refused: ConnectionRefused" in said, said


@test("names: Go's resolver, glibc's in a static program, musl's, busybox's; nscd is not asked")
def _(w):
    supervised(w)
    servers.dns(w)
    for path in go_programs(w) if shutil.which("go") else []:
        assert w.ok(path, "resolve", "web.test").split() == ["10.9.0.1", "fd09::1"]
    # the system's resolver, asked directly, stands for the tunnel's
    said = w.ok("getent", "ahostsv4", "web.test", options=["--capture=supervisor"])
    assert said.split()[0] == "10.9.0.1", said
    resolver = w.write("work/resolv.conf", "nameserver 10.9.0.1\noptions timeout:30\n")
    run("mount", "--bind", resolver, "/etc/resolv.conf")
    try:
        static = w.path("programs", "resolve_static")
        run("cc", "-D_GNU_SOURCE", "-static", "-o", static, os.path.join(HERE, "../programs/resolve.c"))
        said = w.ok("env", "-i", static, "web.test")
        assert set(said.split()) == {"10.9.0.1", "fd09::1"}, said
        musl = musl_programs(w)
        if musl:
            said = w.ok(musl["resolve"], "web.test")
            assert set(said.split()) == {"10.9.0.1", "fd09::1"}, said
    finally:
        run("umount", "/etc/resolv.conf")


def musl_programs(w):
    """Statically linked with musl, where that is installed."""
    if not shutil.which("musl-gcc"):
        tap.diagnose("no musl-gcc: musl is not tested")
        return {}
    made = {}
    for name in ("static_client", "resolve"):
        made[name] = w.path("programs", "musl_" + name)
        run("musl-gcc", "-D_GNU_SOURCE", "-Dstrerrorname_np=strerror", "-static", "-O2", "-o", made[name],
            os.path.join(HERE, f"../programs/{name}.c"))
    return made


@test("musl: a static client")
def _(w):
    supervised(w)
    echo(w)
    need("musl-gcc")
    assert w.ok(musl_programs(w)["static_client"], "10.9.0.1", str(ECHO_PORT), "musl\n") == "musl\n"


@test("musl: a dynamically linked client, by itself and from a shell: its loader takes the shared object")
def _(w):
    supervised(w)
    echo(w)
    need("musl-gcc")
    program = w.path("programs", "musl_dynamic")
    run("musl-gcc", "-D_GNU_SOURCE", "-Dstrerrorname_np=strerror", "-O2", "-o", program, os.path.join(HERE, "../programs/static_client.c"))
    for argv in ((program,), ("sh", "-c", 'exec "$@"', "sh", program)):
        assert w.ok(*argv, "10.9.0.1", str(ECHO_PORT), "musl\n") == "musl\n"


@test("busybox wget")
def _(w):
    supervised(w)
    need("busybox")
    servers.web(w)
    assert w.ok("busybox", "wget", "-q", "-O", "-", "http://10.9.0.1/") == "behind the tunnel\n"


@test("ping with its file capability")
def _(w):
    supervised(w)
    need("ping", "getcap", "setcap")
    if not w.as_root:
        tap.skip("needs root, to make a file with a capability")
    ping = w.path("work", "ping")
    shutil.copy(shutil.which("ping"), ping)
    run("setcap", "cap_net_raw+ep", ping)
    # the bounding set stays: without it such a file is not executed at all, tunnel or not
    user = ["setpriv", f"--reuid={world.NOBODY}", f"--regid={world.NOBODY}", "--clear-groups", "--"]
    for host in ("10.9.0.1", "fd09::1"):
        argv = w.wrap(ping, "-c", "2", "-i", "0.2", "-w", "60", host, privileged=True)  # until two are answered
        done = w.finish_command(user + argv)
        assert done.returncode == 0 and " 2 received" in done.stdout, done


@test("what a filter might overlook is refused")
def _(w):
    supervised(w)
    lines = w.ok(program(w, "escape")).splitlines()
    assert len(lines) >= 8 and not [line for line in lines if "CREATED" in line], lines
    for line in lines:
        wanted = {"i": "ENOSYS", "x": "ENOSYS", "r": "EPERM", "s": "EPROTONOSUPPORT", "m": "EPROTONOSUPPORT",
                  "p": "EAFNOSUPPORT", "v": "EAFNOSUPPORT", "n": "EPROTONOSUPPORT"}[line[0]]
        assert line.endswith(": " + wanted), line


@test("IP sockets of another process, received in a message, reach this machine only")
def _(w):
    supervised(w)
    path = w.path("work", "giver")
    code = ("import socket, array\ns = socket.socket(socket.AF_UNIX); s.bind('giver'); import os; os.chmod('giver', 0o777)\n"
            "s.listen(1); print('ready', flush=True); c, _ = s.accept()\n"
            "for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n"
            "    with socket.socket(socket.AF_INET, kind) as gift: socket.send_fds(c, [b'x'], [gift.fileno()])\n"
            "c.recv(1)")
    giver = w.start(w.inside(w.native_ns) + ["python3", "-c", code], stdout=subprocess.PIPE, text=True)
    assert world.read_line(giver.stdout) == "ready\n"
    said = w.ok(program(w, "escape"), path)
    giver.communicate(timeout=60)
    assert said.count("EACCES\n") == 5, said
    assert re.search("to this machine: (ECONNREFUSED|0)\n", said), said


@test("odd ways to a socket: shared tables, memory files, debuggers, filters, namespaces, addresses that change")
def _(w):
    supervised(w)
    echo(w)
    said = w.ok(program(w, "adversary"), "10.9.0.1", str(ECHO_PORT))
    wrong = [line for line in said.splitlines() if not line.endswith(": tunnel") and line != "as a pair: EOPNOTSUPP"]
    assert not wrong and said.count("tunnel") >= 7, said


@test("a socket taken from another process of the user goes nowhere")
def _(w):
    supervised(w)
    code = "import socket, time\ns = socket.socket(); print('ready', s.fileno(), flush=True); time.sleep(600)"
    victim = w.start([*w.inside(w.native_ns), *w.unprivileged(), "python3", "-c", code], stdout=subprocess.PIPE, text=True)
    ready, number = world.read_line(victim.stdout).split()
    # nsenter, unshare and setpriv become what they start
    said = w.ok(program(w, "adversary"), "192.0.2.1", "9", "steal", str(victim.pid), number)
    victim.kill()
    victim.communicate()
    assert ready and re.fullmatch("opened in /proc: (ENXIO|EACCES)\ntaken by pidfd_getfd: (EACCES|EPERM)\n", said), said


@test("a 32-bit program, started by another, gets no system call at all")
def _(w):
    need("as", "ld")
    source = w.write("work/small.s", ".globl _start\n_start:\n" + "".join(
        f"  mov ${value}, %{register}\n" for value, register in ((359, "eax"), (2, "ebx"), (1, "ecx"), (0, "edx"))) +
        "  int $0x80\n  mov %eax, %ebx\n  mov $1, %eax\n  int $0x80\n  ud2\n")
    path = w.path("work", "small")
    if os.uname().machine != "x86_64":
        tap.skip("there is no 32-bit entry here")
    run("as", "--32", "-o", path + ".o", source)
    run("ld", "-m", "elf_i386", "-o", path, path + ".o")
    native = w.native(path)
    if native.returncode not in range(3, 64):
        tap.skip("this kernel runs no 32-bit programs")
    assert w.wrapped(path).returncode == 126
    # even exit(2) is refused: it runs into the trap behind
    assert w.ok("sh", "-c", f"{path}; echo $?").split()[-1] == str(128 + signal.SIGILL)


PYTHON_FETCH = f"import socket\ns = socket.create_connection(('10.9.0.1', {ECHO_PORT}))\ns.sendall(b'kept')\nprint(s.recv(9))"


@test("programs that lose the shared object: cleared environments, scripts, dlmopen, closed descriptors")
def _(w):
    supervised(w)
    need("busybox")
    echo(w)
    # a static env starts a dynamic program without LD_PRELOAD; nothing put it back
    said = w.ok("busybox", "env", "-i", "/usr/bin/python3", "-c", PYTHON_FETCH)
    assert said == "b'kept'\n", said
    said = w.ok("busybox", "env", "-i", "/bin/sh", "-c", f'exec /usr/bin/python3 -c "{PYTHON_FETCH}"')
    assert said == "b'kept'\n", said
    said = w.ok("/usr/bin/python3", "-c", "import os\nos.closerange(3, 1000)\n" + PYTHON_FETCH)
    assert said == "b'kept'\n", said
    said = w.ok(w.path("programs", "other_libc"), "10.9.0.1", str(ECHO_PORT))
    assert said == "kept\n", said


@test("preloaded programs cost nothing: no call of python's asyncio, node, or a server is reported")
def _(w):
    supervised(w)
    echo(w)
    code = ("import asyncio\nasync def one():\n"
            f"    r, w = await asyncio.open_connection('10.9.0.1', {ECHO_PORT})\n"
            "    w.write(b'x'); assert await r.read(1) == b'x'; w.close(); await w.wait_closed()\n"
            "async def all():\n    await asyncio.gather(*[one() for _ in range(20)])\nasyncio.run(all())")
    assert answered(w, "/usr/bin/python3", "-c", code) == {}
    code = ("import socket, threading\nl = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(l.getsockname())\n"
            "s, a = l.accept(); c.sendall(b'x'); assert s.recv(1) == b'x'; assert a[0]")
    assert answered(w, "/usr/bin/python3", "-c", code) == {}
    if shutil.which("node"):
        code = (f"const s = require('net').connect({ECHO_PORT}, '10.9.0.1', () => s.end('x')); s.on('data', () => 0);"
                "s.on('error', () => process.exit(1))")
        assert answered(w, shutil.which("node"), "-e", code) == {}
    servers.web(w)
    # what is left are libc's own attempts to reach nscd
    counts = answered(w, "curl", "-sS", "-o", "/dev/null", "http://10.9.0.1/")
    assert set(counts) <= {"connect"}, counts


@test("--capture=supervisor: curl, python and the programs of the other tests behave the same")
def _(w):
    supervised(w)
    servers.web(w)
    servers.behaviour(w)
    echo(w)
    only = {"options": ["--capture=supervisor"]}
    assert w.ok("curl", "-sS", "http://10.9.0.1/", **only) == "behind the tunnel\n"
    assert w.ok("/usr/bin/python3", "-c", PYTHON_FETCH, **only) == "b'kept'\n"
    # datagrams differ, as src/capture/README.md says
    for argv in (("connect_errors", "10.9.0.1", "1"), ("epoll_edges", "10.9.0.1", "4011", "500")):
        equal(w, w.path("programs", argv[0]), *argv[1:], **only)


def may_unshare(w):
    """Whether the user of the wrapped commands can have a user namespace. An ordinary user's world maps it to uid 0, whom
    the kernel lets nobody map again without CAP_SETFCAP."""
    done = w.finish_command([*w.unprivileged(), "unshare", "-U", "--map-current-user", "true"])
    return done.returncode == 0


@test("--isolate: an empty network namespace, and the tunnel works")
def _(w):
    if not may_unshare(w):
        tap.skip("no user namespace for the wrapped command here")
    supervised(w)
    echo(w)
    done = w.wrapped("sh", "-c", "tail -n +3 /proc/net/dev; $0 10.9.0.1 $1 alone", program(w, "client"), str(ECHO_PORT),
                     options=["--isolate"])
    if "no network namespace can be had" in done.stderr:
        tap.skip(done.stderr.strip())
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and lines[0].split()[0] == "lo:" and lines[1] == "alone", done


@test("a wrapped strace, gdb and bubblewrap around a static program")
def _(w):
    supervised(w)
    echo(w)
    client = [program(w, "client"), "10.9.0.1", str(ECHO_PORT), "seen\n"]
    for tool in (["strace", "-f", "-o", w.path("work", "trace")], ["gdb", "-q", "-batch", "-ex", "run", "--args"],
                 ["bwrap", "--dev-bind", "/", "/"]):
        if not shutil.which(tool[0]) or tool[0] == "bwrap" and not may_unshare(w):
            tap.diagnose(f"no {tool[0]} here")
            continue
        done = w.wrapped(*tool, *client)
        if "setting up uid map" in done.stderr or "No permissions to creat" in done.stderr:
            tap.diagnose(done.stderr.strip())
            continue
        assert "seen\n" in done.stdout, done


@test("wgwrap under strace, under gdb, and in a sandbox of bubblewrap's")
def _(w):
    supervised(w)
    echo(w)
    wrap = w.wrap(program(w, "client"), "10.9.0.1", str(ECHO_PORT), "seen\n")[len(w.unprivileged()):]
    sandbox = ["bwrap", "--ro-bind", "/", "/", "--bind", w.dir, w.dir, "--proc", "/proc", "--dev", "/dev", "--unshare-all",
               "--share-net", "--die-with-parent"]
    for tool in (["strace", "-f", "-o", "/dev/null"], ["gdb", "-q", "-batch", "-ex", "run", "--args"], sandbox):
        if not shutil.which(tool[0]) or tool[0] == "bwrap" and not may_unshare(w):
            tap.diagnose(f"no {tool[0]} here")
            continue
        w.end_tunnels()  # it starts one
        done = w.finish_command([*w.unprivileged(), *tool, *wrap])
        if "setting up uid map" in done.stderr or "No permissions to creat" in done.stderr:
            tap.diagnose(done.stderr.strip())
            continue
        assert "seen\n" in done.stdout, done


@test("gdb: a breakpoint of wgwrap's is there when the machine has been tried")
def _(w):
    supervised(w)
    need("gdb")
    argv = w.wrap("echo", "on")[len(w.unprivileged()):]
    done = w.finish_command([*w.unprivileged(), "gdb", "-nx", "-q", "-batch", "-ex", "break wgw_environ_build", "-ex", "run",
                             "-ex", "continue", "--args", *argv])
    assert re.search(r"^Breakpoint 1, .*wgw_environ_build", done.stdout, re.M) and "\non\n" in done.stdout, done


@test("strace: wgwrap can be dumped for a moment where it forks for a tracer of its own user, not for root's")
def _(w):
    need("strace")
    if not w.as_root:
        tap.skip("needs root, to be another user than the one that is traced")
    path = w.path("work", "prctl")
    argv, tracer = w.wrap("echo", "on")[len(w.unprivileged()):], ["strace", "-o", path, "-e", "trace=prctl"]
    for command, dumpable in (([*tracer, *w.unprivileged(), *argv], False), ([*w.unprivileged(), *tracer, *argv], True)):
        w.end_tunnels()  # it starts one
        done = w.finish_command(command)
        with open(path, encoding="utf-8") as f:
            calls = f.read()
        os.unlink(path)
        assert done.stdout == "on\n", done
        assert "PR_SET_DUMPABLE, SUID_DUMP_DISABLE" in calls, calls
        assert ("PR_SET_DUMPABLE, SUID_DUMP_USER" in calls) == dumpable, calls


@test("no_new_privs and a filter of somebody else are no obstacle")
def _(w):
    supervised(w)
    echo(w)
    argv = w.wrap(program(w, "client"), "10.9.0.1", str(ECHO_PORT), "still\n")
    done = w.finish_command(["setpriv", "--no-new-privs", "--", *argv])
    assert done.stdout == "still\n", done


@test("under a container's filter, without pidfd_getfd and process_vm_readv")
def _(w):
    supervised(w)
    echo(w)
    # the filter refuses unshare(2), too
    prefix = [*w.unprivileged(), w.path("programs", "container_filter")]

    def inside(*argv, limit=60):
        return w.finish_command([*prefix, *w.wrap(*argv)[len(w.unprivileged()):]], limit)
    said = w.finish_command([*prefix, w.wgwrap, "doctor"]).stdout
    assert "supervised:" in said and "pidfd_getfd" in said, said
    assert inside(program(w, "client"), "10.9.0.1", str(ECHO_PORT), "copied\n").stdout == "copied\n"
    assert inside(program(w, "many"), "10.9.0.1", str(ECHO_PORT), "5").stdout == "160 exchanges, 0\n"
    assert inside(program(w, "udp"), "10.9.0.1", str(ECHO_PORT)).stdout.count("from there") >= 6
    for path in go_programs(w) if shutil.which("go") else []:
        assert inside(path, "many", f"10.9.0.1:{ECHO_PORT}").stdout == "100 good\n"
    # AF_UNIX and netlink go on working, in a static and in a preloaded program
    code = "import socket; a, b = socket.socketpair(); socket.send_fds(a, [b'x'], [0]); print(len(socket.recv_fds(b, 9, 9)[1]))"
    assert inside("/usr/bin/python3", "-c", code).stdout == "1\n"
    assert inside("busybox", "ip", "link").returncode in (0, 127)


@test("under a filter that kills who looks into other processes: the shared object, others are refused")
def _(w):
    supervised(w)
    echo(w)
    prefix = [*w.unprivileged(), w.path("programs", "container_filter"), "-k"]
    said = w.finish_command([*prefix, w.wgwrap, "doctor"]).stdout
    assert "kills who looks into other processes" in said, said

    def inside(*argv):
        return w.finish_command([*prefix, *w.wrap(*argv)[len(w.unprivileged()):]])
    assert inside("/usr/bin/python3", "-c", PYTHON_FETCH).stdout == "b'kept'\n"
    static = inside(program(w, "client"), "10.9.0.1", str(ECHO_PORT), "x")
    assert static.returncode == 126 and "kills who looks" in static.stderr, static


@test("wgwrap inside wgwrap: the inner tunnel goes through the outer one")
def _(w):
    need_no_sanitizer("has its shadow where the shared object's page would be, and cannot be looked into")
    echo(w)
    inner_keys = {name: run(w.wgwrap, "genkey").strip() for name in ("client", "peer")}
    public = {name: run(w.wgwrap, "pubkey", input=key + "\n").strip() for name, key in inner_keys.items()}
    far = w.write("far.conf", f"[Interface]\nPrivateKey = {inner_keys['peer']}\nAddress = 10.8.0.1/32\nListenPort = 4801\n"
                  f"[Peer]\nPublicKey = {public['client']}\nAllowedIPs = 10.8.0.2/32\n", 0o600)
    near = w.write("near.conf", f"[Interface]\nPrivateKey = {inner_keys['client']}\nAddress = 10.8.0.2/32\nMTU = 1280\n"
                   f"[Peer]\nPublicKey = {public['peer']}\nAllowedIPs = 10.8.0.0/16\nEndpoint = 10.9.0.1:4801\n", 0o600)
    server = f"import socket\ns = socket.create_server(('10.8.0.1', 4802))\nprint('ready', flush=True)\n" \
        "while True:\n    c, a = s.accept(); c.sendall(a[0].encode() + b' ' * 20000); c.close()"
    other = w.environment(XDG_RUNTIME_DIR=w.path("run-far"))
    os.mkdir(w.path("run-far"), 0o700)
    w.start_server("far", [w.wgwrap, "-c", far, "python3", "-u", "-c", server], env=other)
    fetch = ("import socket\ns = socket.create_connection(('10.8.0.1', 4802)); t = b''\n"
             "while d := s.recv(9999): t += d\nprint(t.decode().strip(), len(t))")
    done = w.wrapped(w.wgwrap, "-c", near, "--", "/usr/bin/python3", "-c", fetch)
    assert done.stdout.startswith("10.8.0.2 "), done
    static = w.wrapped(w.wgwrap, "-c", near, "--", program(w, "client"), "10.8.0.1", "4802", "x")
    assert static.returncode == 126 and "without a supervisor (another wgwrap" in static.stderr, static
    # started by the command, nothing stops it before exec: it gets no IP socket of either tunnel
    started = w.wrapped(w.wgwrap, "-c", near, "--", "sh", "-c", '"$0" 10.9.0.1 "$1" x', program(w, "client"), str(ECHO_PORT))
    assert started.stdout == "socket: EACCES\n", started
    escape = w.ok(w.wgwrap, "-c", near, "--", "sh", "-c", '"$0"', program(w, "escape"))
    assert "CREATED" not in escape, escape


world.main()
