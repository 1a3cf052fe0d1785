#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools.py - the matrix: dig and its kin, netcats, socat, iperf3, ping, debuggers and checkers"""

import contextlib
import glob
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import servers, tap, world  # noqa: E402
from lib.matrix import CURL, PYTHON, full_row, need_file, row  # noqa: E402
from lib.serving import end, from_peer, peer_says, serve, text_of  # noqa: E402
from lib.world import find, need, need_no_sanitizer, wait_until  # noqa: E402

world.enter()


# ---- names ----

@row("dig, host, nslookup: the system's server and the peer's, IPv6, reverse")
def _(w):
    need("dig", "host", "nslookup")
    servers.dns(w)
    assert w.ok("dig", "+short", "web.test", "AAAA") == "fd09::1\n"
    assert w.ok("dig", "+short", "@fd09::1", "v4.test") == "10.9.0.1\n"
    assert w.ok("dig", "+short", "+tcp", "-x", "10.9.0.1") == "web.test.\n"
    # BIND's tools look at a whole list of questions at once
    assert w.ok("dig", "+short", "web.test", "v4.test", "alias.test", "AAAA").count("\n") >= 3
    assert "status: NXDOMAIN" in w.ok("dig", "missing.test")
    assert "web.test has address 10.9.0.1\nweb.test has IPv6 address fd09::1\n" in w.ok("host", "web.test")
    assert "domain name pointer web.test." in w.ok("host", "10.9.0.1")
    out = w.ok("nslookup", "web.test", "10.9.0.1")
    assert "Server:\t\t10.9.0.1" in out and "Address: 10.9.0.1" in out, out
    done = w.wrapped("dig", "+tries=1", "+time=60", "@10.9.0.1", "-p", "5399", "web.test")
    assert done.returncode == 9 and "connection refused" in done.stdout + done.stderr, done


@row("drill and kdig")
def _(w):
    need("drill", "kdig")
    servers.dns(w)
    assert "10.9.0.1" in w.ok("drill", "web.test", "@10.9.0.1")
    assert "10.9.0.1" in w.ok("drill", "web.test")
    assert len(w.ok("drill", "-t", "big.test", "TXT", "@fd09::1")) > 4000
    assert w.ok("kdig", "+short", "@10.9.0.1", "web.test", "AAAA") == "fd09::1\n"
    assert w.ok("kdig", "+short", "+tcp", "@fd09::1", "web.test") == "10.9.0.1\n"
    assert w.ok("kdig", "+short", "web.test") == "10.9.0.1\n"


@row("sixteen threads resolve in every way libc has")
def _(w):
    servers.dns(w)
    out = w.ok(w.path("programs", "resolvers"), "16", "20")
    assert out == f"{16 * 20 * 10} right, 0 wrong\n", out


# ---- netcats ----

def netcat(*names):
    """The path of the first that is there; which package's it is, the name says."""
    for name in names:
        if find(name):
            return find(name)
    tap.skip(f"{names[0]} is not installed")
    return None


def listening(w, port, table="tcp"):
    return f":{port:04X} " in w.at(w.peer_ns, "cat", f"/proc/net/{table}", f"/proc/net/{table}6")


def first_heard(w, server, argv, again):
    """
    Starts @argv until it meets @server: the client, and the line that @server heard. A client that is refused came before the
    server and ends; @again: its datagram was perhaps lost.
    """
    client = None
    for _ in range(60):
        fresh = client is None or client.poll() is not None
        if fresh:
            client = w.start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        with contextlib.suppress(BrokenPipeError):
            if fresh or again:
                client.stdin.write(b"from the client\n")
                client.stdin.flush()
        with contextlib.suppress(AssertionError):
            return client, world.read_line(server.stdout, 1)
    raise AssertionError(f"{argv} meets nobody")


def both_ways(w, connect, listen, port, table="tcp"):
    """
    @listen(ns argv prefix...) at the peer, @connect here: a word each way; then the roles change.
    UDP ends by a signal, TCP by the client's end of input.
    """
    for wrapped_listens in (False, True):
        if wrapped_listens:
            server = w.start(w.wrap(*listen("0.0.0.0")), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            client_argv = w.inside(w.peer_ns) + connect("10.9.0.2")
        else:
            server = w.start(w.inside(w.peer_ns) + listen("0.0.0.0"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            wait_until("a listener", lambda: listening(w, port, table))
            client_argv = w.wrap(*connect("10.9.0.1"))
        client, heard = first_heard(w, server, client_argv, table == "udp")
        assert heard == "from the client\n", heard
        server.stdin.write(b"from the server\n")
        server.stdin.flush()
        assert world.read_line(client.stdout) == "from the server\n"
        for child in (client, server):
            child.stdin.close()
            child.terminate()
            child.wait(60)


@row("nc (OpenBSD's): TCP and UDP, both roles, a port scan, 8 MiB")
def _(w):
    nc = netcat("nc.openbsd")
    both_ways(w, lambda host: [nc, "-N", host, "3010"], lambda host: [nc, "-l", "-N", host, "3010"], 3010)
    both_ways(w, lambda host: [nc, "-u", host, "3011"], lambda host: [nc, "-u", "-l", host, "3011"], 3011, "udp")
    servers.web(w)
    done = w.wrapped(nc, "-z", "-v", "-w", "60", "10.9.0.1", "79-81")
    refused, found = done.stderr.count("Connection refused"), done.stderr.count("succeeded")
    assert (refused, found) == (2, 1), done
    servers.behaviour(w)
    out = w.ok("sh", "-c", f"head -c 8388608 /dev/zero | {nc} -N 10.9.0.1 4003")
    assert out == f"got {8 << 20}", out
    assert w.wrapped(nc, "-w", "1", "10.9.1.1", "80").returncode == 1


@row("nc (the traditional one): TCP and UDP, both roles")
def _(w):
    nc = netcat("nc.traditional")
    both_ways(w, lambda host: [nc, host, "3012"], lambda host: [nc, "-l", "-s", host, "-p", "3012"], 3012)
    both_ways(w, lambda host: [nc, "-u", host, "3013"], lambda host: [nc, "-u", "-l", "-s", host, "-p", "3013"], 3013,
              "udp")
    servers.web(w)
    done = w.wrapped(nc, "-v", "-n", "-z", "-w", "60", "10.9.0.1", "80")
    assert done.returncode == 0 and "open" in done.stderr, done
    # It binds its own port and then connects
    out = w.ok(nc, "-p", "31313", "-q", "60", "10.9.0.1", "80", input="GET /address HTTP/1.0\r\n\r\n")
    assert out.endswith("10.9.0.2\n"), out


@row("ncat: TCP and UDP, both roles, TLS, a broker for three")
def _(w):
    ncat = netcat("ncat")
    both_ways(w, lambda host: [ncat, host, "3014"], lambda host: [ncat, "-l", host, "3014"], 3014)
    both_ways(w, lambda host: [ncat, "-u", host, "3015"], lambda host: [ncat, "-u", "-l", host, "3015"], 3015, "udp")
    both_ways(w, lambda host: [ncat, "--ssl", host, "3016"], lambda host: [ncat, "--ssl", "-l", host, "3016"], 3016)
    broker, _ = serve(w, ncat, "-l", "-k", "--broker", "3017", ready=3017)
    first = w.start(w.inside(w.peer_ns) + [ncat, "10.9.0.2", "3017"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    second = w.start(w.inside(w.peer_ns) + [ncat, "fd09::2", "3017"], stdin=subprocess.PIPE)
    wait_until("both to be there", lambda: w.at(w.peer_ns, "ss", "-Htn", "state", "established", "dport = :3017")
               .count("\n") == 2)
    second.stdin.write(b"to all\n")
    second.stdin.flush()
    assert world.read_line(first.stdout) == "to all\n"
    for child in (first, second, broker):
        end(child)


@row("socat: TCP, UDP, IPv6, a forking forwarder, a command behind a port")
def _(w):
    need("socat")
    servers.web(w)
    servers.dns(w)
    servers.behaviour(w)
    for address in ("TCP:10.9.0.1:80", "TCP6:[fd09::1]:80", "TCP:web.test:80,retry=3", "TCP4:10.9.0.1:80,bind=10.9.0.2"):
        out = w.ok("socat", "-t", "60", "-", address, input="GET / HTTP/1.0\r\n\r\n")
        assert out.endswith("behind the tunnel\n"), (address, out)
    for address in ("UDP:10.9.0.1:4000", "UDP6-SENDTO:[fd09::1]:4000"):
        servers.third_time(lambda a=address: w.ok("socat", "-t", "2", "-", a, input="datagram"), lambda out: out == "datagram")
    child, log = serve(w, "socat", "TCP-LISTEN:3020,fork,reuseaddr,keepalive,nodelay", "TCP:10.9.0.1:80", ready=3020)
    done = from_peer(w, "sh", "-c", "curl -sS --max-time 60 http://10.9.0.2:3020/big.bin | sha256sum")
    assert done.stdout.split()[0] == w.big_sha256, text_of(log)
    assert [peer_says(w, *CURL, "http://10.9.0.2:3020/address") for _ in range(5)] == ["10.9.0.2\n"] * 5
    end(child)
    child, _ = serve(w, "socat", "TCP6-LISTEN:3021,fork", "EXEC:'sh -c \"cat; echo $SOCAT_PEERADDR\"'", ready=3021)
    out = peer_says(w, "socat", "-t", "60", "-", "TCP:10.9.0.2:3021", input="there and back\n")
    assert out.splitlines() == ["there and back", "[0000:0000:0000:0000:0000:ffff:0a09:0001]"], out
    end(child)
    child, _ = serve(w, "socat", "-d", "-d", "UDP-RECVFROM:3022,fork", "EXEC:cat", ready="receiving")
    servers.third_time(lambda: peer_says(w, "socat", "-t", "3", "-", "UDP:10.9.0.2:3022", input="echoed"),
                       lambda out: out == "echoed")
    end(child)


# ---- iperf3, ping ----

def measured(w, *options):
    return servers.iperf_again(lambda: w.wrapped("iperf3", "-J", *options, "-t", "1"))


def moves(w, least, *options):
    """A second of iperf3 gets @least bytes across; both ways where there are two."""
    def received():
        end_ = measured(w, *options)["end"]
        return [end_[key]["bytes"] for key in ("sum_received", "sum_received_bidir_reverse") if key in end_]
    servers.third_time(received, lambda both: min(both) > least)


@row("iperf3: eight streams, both ways at once, a window, a rate, zero copy, IPv6")
def _(w):
    need("iperf3")
    servers.iperf3(w)
    for options in (("-P", "8"), ("-P", "8", "-R"), ("-w", "128K"), ("-Z",), ("-b", "50M"), ("-M", "1000"),
                    ("-C", "cubic"), ("-N", "-l", "1K")):
        moves(w, 1 << 18, "-c", "10.9.0.1", *options)
    moves(w, 1 << 18, "-c", "10.9.0.1", "--bidir")
    moves(w, 1 << 20, "-6", "-c", "fd09::1", "-R")


def few_lost(result):
    return result["end"]["sum"]["packets"] > 300 and result["end"]["sum"]["lost_percent"] < 30


@row("iperf3: UDP both ways; its datagrams have the size of the connection's segments")
def _(w):
    need("iperf3")
    servers.iperf3(w)
    for options in ((), ("-R",)):
        result = servers.third_time(lambda o=options: measured(w, "-c", "10.9.0.1", "-u", "-b", "10M", *o), few_lost)
        size = result["start"]["test_start"]["blksize"]
        assert 1200 < size <= 1380, size


@row("iperf3 as a wrapped server: TCP, eight streams, UDP, both ways")
def _(w):
    need("iperf3")
    child, log = serve(w, "iperf3", "-s", "--forceflush", "-p", "5202", ready="Server listening")
    done = 0

    def ask(*options):
        # it closes its listener with each test, and says when the next one is there
        nonlocal done
        done += 1
        wait_until("iperf3 to listen again", lambda: text_of(log).count("Server listening") == done)
        answer = from_peer(w, "iperf3", "-J", "-c", "10.9.0.2", "-p", "5202", "-t", "1", *options)
        assert answer.stdout, answer
        result = json.loads(answer.stdout)
        assert "error" not in result, result["error"]
        return result
    for options in ((), ("-R",), ("-P", "8"), ("-P", "8", "-R")):
        servers.third_time(lambda o=options: ask(*o)["end"]["sum_received"], lambda end_: end_["bytes"] > 1 << 20)
    for options in ((), ("-R",)):
        servers.third_time(lambda o=options: ask("-u", "-b", "10M", *o), few_lost)
    end(child)


@row("ping: a copy without capabilities; sizes, a flood's worth, what is unreachable")
def _(w):
    need("ping")
    ping = w.path("bin", "ping")
    shutil.copyfile(find("ping"), ping)
    os.chmod(ping, 0o755)
    # until as many are answered
    assert "100 received" in w.ok(ping, "-c", "100", "-i", "0.01", "-w", "60", "-s", "1300", "10.9.0.1")
    assert "5 received" in w.ok(ping, "-c", "5", "-i", "0.1", "-w", "60", "-s", "4000", "fd09::1")
    done = w.wrapped(ping, "-c", "1", "-W", "20", "10.9.2.1")
    assert done.returncode == 1 and "100% packet loss" in done.stdout, done


# ---- debuggers and checkers ----

@row("strace: of a wrapped program, and wrapped itself: no IP socket is made")
def _(w):
    need("strace")
    servers.web(w)
    servers.dns(w)
    trace = w.path("work", "trace")
    out = w.ok("strace", "-f", "-qq", "-e", "trace=socket,connect", "-o", trace, *CURL, "http://web.test/address")
    assert out in ("10.9.0.2\n", "fd09::2\n"), out
    text = text_of(trace)
    assert "socket(AF_UNIX, SOCK_STREAM" in text and "AF_INET" not in text.replace("AF_INET6", "AF_INET"), text


@row("gdb: a breakpoint at send, a caller, and the program goes on")
def _(w):
    need("gdb")
    servers.web(w)
    done = w.wrapped("gdb", "-nx", "-batch", "-ex", "set breakpoint pending on", "-ex", "set debuginfod enabled off",
                     "-ex", "break send", "-ex", "run", "-ex", "info symbol $pc", "-ex", "delete",
                     "-ex", "continue", "--args", *CURL, "http://10.9.0.1/address")
    text = done.stdout + done.stderr
    assert "send in section .text of" in text and "libwgwrap.so" in text, text
    assert "10.9.0.2\n" in done.stdout and "exited normally" in text, text


@full_row("valgrind: a program that resolves and talks, without an error or a leak of ours")
def _(w):
    need("valgrind")
    servers.web(w)
    servers.dns(w)
    done = w.wrapped("valgrind", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite",
                     w.path("programs", "resolvers"), "4", "2", limit=120)
    assert done.returncode == 0 and done.stdout == f"{4 * 2 * 10} right, 0 wrong\n", (done.stdout, done.stderr)
    assert "ERROR SUMMARY: 0 errors" in done.stderr, done.stderr


@row("valgrind: datagrams, which the supervisor answers for")
def _(w):
    need("valgrind", "dig")
    servers.dns(w)
    done = w.wrapped("valgrind", "--tool=none", "-q", "dig", "+short", "+tries=1", "+time=60", "@10.9.0.1", "v4.test",
                     limit=120)
    assert done.returncode == 0 and done.stdout == "10.9.0.1\n", (done.stdout, done.stderr)


def preloadable(name, package):
    """The path of a shared object for LD_PRELOAD."""
    found = sorted(glob.glob(f"/usr/lib/*/{name}") + glob.glob(f"/usr/lib/*/faketime/{name}"))
    if not found:
        tap.skip(f"{package} is not installed")
    return found[0]


MALLOC = """
import os, socket, sys, threading
mapped = open("/proc/self/maps").read()
assert sys.argv[1] in mapped and "libwgwrap.so" in mapped
def page():
    s = socket.create_connection(("v4.test", 80), 60)
    s.sendall(b"GET /address HTTP/1.0\\r\\n\\r\\n")
    if not s.makefile().read().endswith("10.9.0.2\\n"):
        os._exit(1)
threads = [threading.Thread(target=page) for _ in range(20)]
for t in threads: t.start()
for t in threads: t.join()
if os.fork() == 0:
    page()
    os._exit(0)
print(os.wait()[1])
"""


@row("jemalloc and tcmalloc, preloaded by the user, each with threads and a fork")
def _(w):
    need_no_sanitizer("wants to be the first that is preloaded")
    servers.web(w)
    servers.dns(w)
    for name, package in (("libjemalloc.so.2", "libjemalloc2"), ("libtcmalloc_minimal.so.4", "libtcmalloc-minimal4")):
        env = w.environment(LD_PRELOAD=preloadable(name, package))
        assert w.ok(PYTHON, "-c", MALLOC, name, env=env) == "0\n", name


@row("libfaketime: by its own command, and in an LD_PRELOAD that replaces ours")
def _(w):
    need("faketime")
    servers.web(w)
    script = "date +%Y; curl -sS --fail http://10.9.0.1/address"
    assert w.ok("faketime", "2001-02-03 04:05:06", "sh", "-c", script) == "2001\n10.9.0.2\n"
    library = preloadable("libfaketime.so.1", "libfaketime")
    out = w.ok("env", f"LD_PRELOAD={library}", "FAKETIME=@2001-02-03 04:05:06", "sh", "-c", script)
    assert out == "2001\n10.9.0.2\n", out


@row("a program with a seccomp filter of its own: what moves data makes no call that the filter does not know")
def _(w):
    servers.web(w)
    for how in ("prctl", "seccomp"):
        for calls in ("read", "recv", "recvmsg"):
            out = w.ok(w.path("programs", "sandboxed"), "10.9.0.1", how, calls)
            assert out == "10.9.0.2\n10.9.0.2\n", (how, calls)


@row("a seccomp filter that lists socket options: AF_UNIX sockets as natively; ours are known where it lets us ask")
def _(w):
    for how in ("prctl", "seccomp"):
        for options, families in (("some", "AF_UNIX\n"), ("all", "AF_UNIX\nAF_INET\n")):
            argv = (w.path("programs", "listed_options"), options, how)
            for done in (w.native(*argv), w.wrapped(*argv)):
                assert done.returncode == 0 and done.stdout == 3 * families, (argv, done)


@row("a program with AddressSanitizer: its runtime stays first, and it still finds the bug")
def _(w):
    program = w.path("programs", "sanitized")
    if not os.path.exists(program):
        tap.skip("the compiler here has no AddressSanitizer")
    servers.web(w)
    servers.dns(w)
    servers.behaviour(w)
    done = w.wrapped(program, "web.test")
    assert done.returncode == 0 and done.stdout in ("10.9.0.2\n1000\n", "fd09::2\n1000\n"), done
    done = w.wrapped(program, "10.9.0.1", "bug")
    assert "heap-buffer-overflow" in done.stderr and done.stdout == "10.9.0.2\n1000\n", done


world.main()
