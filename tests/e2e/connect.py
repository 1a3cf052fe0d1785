#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""connect.py - connections begin and end as on the kernel's stack

Each program runs natively and wrapped, against the same servers; the outputs must be equal.
"""

import os
import signal
import socket
import struct
import subprocess
import threading
import time

from lib import servers, tap, world
from lib.tap import test
from lib.world import need

world.enter()

HOSTS = ("10.9.0.1", "fd09::1")


def same(w, program, *arguments, **kwargs):
    """Runs tests/programs/@program both ways. Returns the output, which was the same."""
    argv = (w.path("programs", program), *arguments)
    native, wrapped = w.native(*argv), w.wrapped(*argv, **kwargs)
    assert native.stdout, native
    assert wrapped.stdout == native.stdout, \
        f"{program} {arguments}\nnative:\n{native.stdout}\nwrapped:\n{wrapped.stdout}\nstderr:\n{wrapped.stderr}"
    return native.stdout


@test("success, blocking and non-blocking")
def _(w):
    servers.behaviour(w)
    for host in HOSTS:
        out = same(w, "connect_errors", host, "4011")
        assert "blocking connect: 0" in out and "EISCONN" in out, out


@test("refused: ECONNREFUSED")
def _(w):
    for host in HOSTS:
        out = same(w, "connect_errors", host, "9")
        assert out.count("ECONNREFUSED") == 4, out


@test("unreachable: EHOSTUNREACH or ENETUNREACH, from the router's ICMP")
def _(w):
    for host, error in (("10.9.2.1", "EHOSTUNREACH"), ("fd09:2::1", "ENETUNREACH")):
        out = same(w, "connect_errors", host, "9", "brief")
        assert out.count(error) == 4, out


@test("nobody answers: ETIMEDOUT")
def _(w):
    out = same(w, "connect_errors", "10.9.1.1", "9", "syncnt", "1")
    assert out.count("ETIMEDOUT") >= 2, out


@test("success gives exactly one EPOLLOUT edge")
def _(w):
    servers.behaviour(w)
    for host in HOSTS:
        out = same(w, "epoll_edges", host, "4011", "500")
        assert out.count("edge:") == 1 and "edge: OUT" in out, out


def without_repeats(out):
    """The kernel wakes twice for a failure (tcp_reset() does), close() of an AF_UNIX socket also before it frees what
    the other end has written: whoever comes in between sees the edge twice, the first time perhaps without OUT. The
    rest must be as it is."""
    kept = []
    for line in out.splitlines():
        if kept and "ERR" in kept[-1] and kept[-1].split() in (line.split(), line.replace("OUT ", "").split()):
            kept.pop()
        kept.append(line)
    return kept


@test("failure gives one edge with everything")
def _(w):
    argv = (w.path("programs", "epoll_edges"), "10.9.0.1", "9", "500")
    native, wrapped = (without_repeats(run(*argv).stdout) for run in (w.native, w.wrapped))
    assert native == wrapped and len(native) == 3 and "ERR" in native[1], (native, wrapped)


@test("one edge also when each system call of the tunnel process takes 5 ms")
def _(w):
    need("strace")
    servers.behaviour(w)
    keeper = w.start(w.wrap("sleep", "600"))
    pid = world.wait_until("a tunnel process", w.tunnels)[0]
    with open(w.path("strace.log"), "w", encoding="utf-8") as log:
        slow = w.start(["strace", "-f", "-p", str(pid), "-o", "/dev/null", "-e", "inject=all:delay_exit=5000"], stderr=log)
    try:
        def attached():
            if slow.poll() is not None:
                with open(w.path("strace.log"), encoding="utf-8") as log:
                    tap.skip(f"strace cannot attach: {log.read().strip()}")
            with open(f"/proc/{pid}/status", encoding="utf-8") as status:
                return f"TracerPid:\t{slow.pid}\n" in status.read()
        world.wait_until("strace", attached)
        for port, edge in (("4011", "edge: OUT "), ("9", "edge: IN OUT ERR HUP RDHUP ")):
            out = w.ok(w.path("programs", "epoll_edges"), "10.9.0.1", port, "3000")
            assert [line for line in without_repeats(out) if "edge:" in line] == [edge], out
    finally:
        slow.terminate()
        slow.wait(60)
        keeper.terminate()


@test("a reset after data arrives as ECONNRESET")
def _(w):
    servers.behaviour(w)
    for host in HOSTS:
        assert "4 bytes, then ECONNRESET" in same(w, "endings", "read", host, "4001")


@test("a reset at once arrives as ECONNRESET")
def _(w):
    servers.behaviour(w)
    assert "0 bytes, then ECONNRESET" in same(w, "endings", "read", "10.9.0.1", "4006")


@test("FIN arrives as end of file")
def _(w):
    servers.behaviour(w)
    for host in HOSTS:
        assert "4 bytes, then end of file" in same(w, "endings", "read", host, "4002")


@test("a writer learns of a reset")
def _(w):
    servers.behaviour(w)
    assert "ECONNRESET" in same(w, "endings", "write", "10.9.0.1", "4007")


@test("half-close: the client's FIN first, the answer after it")
def _(w):
    servers.behaviour(w)
    for host in HOSTS:
        assert "read: got 1000000\n" in same(w, "endings", "halfclose", host, "4003")


@test("half-close: the server's FIN first, the client's data after it")
def _(w):
    servers.behaviour(w)
    for run in (w.native, w.wrapped):
        done = run(w.path("programs", "endings"), "afterfin", "10.9.0.1", "4004")
        assert "0 bytes, then end of file" in done.stdout and "sent 100000 bytes" in done.stdout, done
        count = w.native(w.path("programs", "endings"), "show", "10.9.0.1", "4005").stdout
        assert "read: 100000\n" in count, count


@test("datagrams: sizes, truncation, addresses, a closed port")
def _(w):
    servers.behaviour(w)
    for host in HOSTS:
        out = same(w, "udp_errors", host, "4000", "9")
        assert "recv: ECONNREFUSED" in out, out


def start_burst(w, host, port, count, how):
    child = w.start(w.wrap(w.path("programs", "burst"), host, port, str(count), how),
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = world.read_line(child.stdout)
    if line.startswith("descriptor limit"):
        tap.skip("the hard limit on descriptors is too low")
    assert line == "ready\n", (line, child.communicate())
    return child


@test("a program that has reserved all addresses below 4 GB before any constructor ran")
def _(w):
    servers.behaviour(w)
    for host in HOSTS:
        out = same(w, "reserved", host, "4000", "9")
        assert out == "sendto: 11 \nrecvfrom: 11, the sender as asked\nrecv: 9\nconnect: ECONNREFUSED\n", out


@test("5,000 connects while the tunnel process is stopped for 200 ms: all succeed")
def _(w):
    servers.behaviour(w)
    child = start_burst(w, "10.9.0.1", "4011", 5000, "finish")
    pid = w.tunnels()[0]
    os.kill(pid, signal.SIGSTOP)
    child.stdin.write("go\n")
    child.stdin.flush()
    time.sleep(0.2)
    os.kill(pid, signal.SIGCONT)
    out, err = child.communicate(timeout=200)  # it gives up before that
    assert out == "start EINPROGRESS 5000\noutcome 0 5000\npending 0\n", (out, err)


SO_TIMESTAMPNS = 35


class Syns(threading.Thread):
    """Notes when, by the kernel's clock of the day, a TCP SYN to 10.9.1.0/24 comes out of the tunnel."""

    def __init__(self, w):
        super().__init__(daemon=True)
        self.times = []
        # A socket stays in the namespace that it was made in
        with open("/proc/self/ns/net", encoding="utf-8") as own, \
                open(f"/proc/{w.peer_ns}/ns/net", encoding="utf-8") as peer:
            os_setns(peer.fileno())
            try:
                self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
                self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
                self.raw.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                self.raw.bind(("wg0", 0x0800))
            finally:
                os_setns(own.fileno())

    def run(self):
        while True:
            try:
                packet, more, _, _ = self.raw.recvmsg(128, 128)
            except OSError:
                return
            header = (packet[0] & 15) * 4
            if packet[9] == 6 and packet[16:19] == bytes((10, 9, 1)) and packet[header + 13] & 0x12 == 0x02:
                seconds, ns = struct.unpack("qq", more[0][2])
                self.times.append(seconds + ns / 1e9)


def os_setns(fd):
    import ctypes  # pylint: disable=import-outside-toplevel
    if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000):
        raise OSError(ctypes.get_errno(), "setns")


@test("1,000 connects to a black hole, closed after 100 ms: no SYN after 5 s")
def _(w):
    syns = Syns(w)
    syns.start()

    def late():
        seen = len(syns.times)
        child = start_burst(w, "10.9.1.1", "9", 1000, "abandon")
        child.stdin.write("go\n")
        child.stdin.flush()
        out = world.read_line(child.stdout) + world.read_line(child.stdout)
        closed = time.time()
        assert out == "start EINPROGRESS 1000\nclosed\n", (out, child.communicate("\n"))
        # An attempt that is still alive would repeat its SYN after 1, 3 and 7 seconds
        time.sleep(8)
        child.communicate("\n", timeout=60)
        # not all 1000: the capture, too, has a buffer that fills where nobody reads in time
        assert len(syns.times) >= seen + 100, f"only {len(syns.times) - seen} SYNs were seen at all"
        return [t - closed for t in syns.times[seen:] if t > closed + 5]

    # a tunnel process that halts in between repeats what it has not heard the end of
    servers.third_time(late, lambda late: not late)


world.main()
