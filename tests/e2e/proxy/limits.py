#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
limits.py - what a proxy does in time and with what it has: idle associations, BIND that nobody answers, no more
descriptors, options of its connections, the address of a name that worked

Minutes pass on clocks that the test sets forward.
"""

import os
import select
import signal
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import tap  # noqa: E402
from lib.proxied import (SERVER, Proxied, read_exactly, read_reply, socks, socks_address, socks_request,  # noqa: E402
                         timer_of)
from lib.shifted import Clock  # noqa: E402
from lib.tap import test  # noqa: E402
from lib.world import free_port, wait_until  # noqa: E402

ECHO, SLOWLY, UDP_ECHO = 4007, 4014, 4010
UDP_IDLE_S, BIND_S = 300, 120  # PROXY_UDP_IDLE_S, PROXY_BIND_MS


def echoes(s, data=b"x"):
    s.sendall(data)
    assert read_exactly(s, len(data)) == data


def ended(s):
    """Whether its end has come."""
    if not select.select([s], [], [], 0)[0]:
        return False
    assert s.recv(1) == b""
    return True


# ---- minutes ----

def with_clock(w):
    """A proxy whose clocks can be set; it starts its own tunnel process."""
    if not hasattr(w, "clock"):
        w.stop_all()
        w.clock = Clock(w.path("clock"))
        w.shifted = w.start("--listen", "127.0.0.1:0", **w.clock.environment)
        w.pid = w.tunnel()["pid"]
    return w.shifted


def minutes_pass(w, seconds):
    w.clock.sleep(w.pid, seconds, wall=False)


@test("UDP: an association without datagrams ends after 300 s, one with them does not")
def _(w):
    proxy = with_clock(w)
    with w.connect(proxy) as idle, w.connect(proxy) as used, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as relay:
        assert socks(idle, "0.0.0.0", 0, 3)[0] == 0
        code, host, port = socks(used, "0.0.0.0", 0, 3)
        assert code == 0
        relay.settimeout(60)
        relay.connect((host, port))

        def ask():
            relay.send(b"\0\0\0" + socks_address(SERVER, UDP_ECHO) + b"payload")
            assert relay.recv(100).endswith(b" payload")

        ask()
        minutes_pass(w, UDP_IDLE_S - 100)
        ask()
        assert not ended(idle)
        minutes_pass(w, 105)
        wait_until("the idle one has ended", lambda: ended(idle))
        for _ in range(2):
            ask()
            minutes_pass(w, UDP_IDLE_S + 5)
            ask()
            assert not ended(used)

        def over():  # the first time, it looks whether it was used
            minutes_pass(w, UDP_IDLE_S + 5)
            time.sleep(0.2)
            return ended(used)
        wait_until("the other has ended, too", over)


@test("BIND: 06 and the end after 120 s without a connection, not before")
def _(w):
    proxy = with_clock(w)
    with w.connect(proxy) as s:
        assert socks(s, SERVER, 0, 2)[0] == 0
        minutes_pass(w, BIND_S - 60)
        assert not select.select([s], [], [], 0.5)[0]
        minutes_pass(w, 65)
        assert read_reply(s)[0] == 6 and s.recv(1) == b""


@test("-L: datagrams of a sender find a destination whose name has another address, and one that exists late")
def _(w):
    with_clock(w)
    ports = [free_port(), free_port()]
    proxy = w.start("-v", "--listen", "127.0.0.1:0", "-L", f"{ports[0]}:moves.test:{UDP_ECHO}:udp",
                    "-L", f"{ports[1]}:late.test:{UDP_ECHO}:udp", ready="datagrams to late.test", **w.clock.environment)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as moves, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        def answered(s):
            s.send(b"payload")
            return select.select([s], [], [], 0.2)[0] and s.recv(100).endswith(b" payload")

        moves.connect(("127.0.0.1", ports[0]))
        late.connect(("127.0.0.1", ports[1]))
        assert not answered(moves)
        # at the pace at which an address that was found is asked for, three questions more would take three minutes
        wait_until("the name is asked for again and again",
                   lambda: not answered(late) and proxy.words().count("datagrams to late.test") > 3, 150)
        assert not answered(moves) and not answered(late)
        with w.connect(proxy) as s:
            assert socks(s, "moved.test", ECHO)[0] == 4  # from now on it has
        wait_until("it is asked for when it is there", lambda: answered(late))
        minutes_pass(w, 65)
        wait_until("the sender's datagrams go where the name leads now", lambda: answered(moves))
    assert proxy.stop() == 0


# ---- descriptors ----

def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@test("without descriptors accepting pauses: no spinning, open connections go on, waiting ones are served when there are")
def _(w):
    w.stop_all()
    proxy = w.start("--listen", "127.0.0.1:0", before=("prlimit", "--nofile=64:64"))
    pid = w.tunnel()["pid"]
    served = []
    waiting = None
    while not waiting:
        assert len(served) < 64, "more connections than descriptors"
        s = w.connect(proxy)
        s.sendall(b"\5\1\0" + socks_request(SERVER, ECHO))
        if select.select([s], [], [], 10)[0]:
            assert read_exactly(s, 2) == b"\5\0" and read_reply(s)[0] == 0
            served.append(s)
        else:
            waiting = s
    assert len(served) > 5, len(served)
    cpu = cpu_seconds(pid)
    time.sleep(1.5)
    assert cpu_seconds(pid) - cpu < 0.4, "it spins"
    for s in served:
        echoes(s)
    assert not select.select([waiting], [], [], 0)[0]
    served.pop().close()
    waiting.settimeout(60)
    assert read_exactly(waiting, 2) == b"\5\0" and read_reply(waiting)[0] == 0
    echoes(waiting)
    for s in (*served, waiting):
        s.close()
    assert proxy.stop() == 0


# ---- options ----

@test("SO_KEEPALIVE: a client that has gone without a word is noticed")
def _(w):
    with w.connect() as s:
        assert socks(s, SERVER, ECHO)[0] == 0
        echoes(s)
        kind, seconds = wait_until("no retransmission timer", lambda: (
            found if (found := timer_of(w.proxy().port(), s.getsockname()[1]))[0] in (0, 2) else None))
        assert kind == 2 and 0 < seconds <= 60, (kind, seconds)


def data_segments(s):
    """tcpi_data_segs_in of struct tcp_info (linux/tcp.h)."""
    return struct.unpack_from("I", s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 152)[0]


@test("TCP_NODELAY towards the client: small pieces are not collected")
def _(w):
    counts = []
    for _ in range(100):  # where the proxy does not run in time, pieces come to it together
        with w.connect() as s:
            assert socks(s, SERVER, SLOWLY)[0] == 0
            before = data_segments(s)
            s.sendall(b"x")
            # 20 pieces in 100 ms, while each acknowledgement takes 40: without the option 4 segments
            for _ in range(40):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
                time.sleep(0.005)
            assert len(read_exactly(s, 20)) == 20
            counts.append(data_segments(s) - before)
        if counts[-1] > 10:
            return
    raise AssertionError(f"segments of 20 pieces: {counts}")


def packets(path):
    """IP packets of a capture file, which may be being written."""
    with open(path, "rb") as f:
        data = f.read()
    if len(data) < 24:
        return
    assert struct.unpack_from("=I", data)[0] in (0xA1B2C3D4, 0xA1B23C4D) and struct.unpack_from("=I", data, 20)[0] == 101
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack_from("=I", data, at + 8)[0]
        if at + 16 + size > len(data):
            return
        yield data[at + 16:at + 16 + size]
        at += 16 + size


def segments(path, to):
    """(source port, flags, payload) of TCP segments to the address @to."""
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    to, head = socket.inet_pton(family, to), 40 if family == socket.AF_INET6 else 20
    for p in packets(path):
        protocol, target = (p[6], p[24:40]) if p[0] >> 4 == 6 else (p[9], p[16:20])
        if protocol == 6 and target == to:
            yield struct.unpack_from("!H", p, head)[0], p[head + 13], p[head + (p[head + 12] >> 4) * 4:]


def captured(w):
    """A proxy with --pcap, and its file."""
    if not hasattr(w, "capture"):
        w.stop_all()
        w.capture = w.start("--listen", "127.0.0.1:0", "--pcap", w.path("pcap"))
    return w.capture, w.path("pcap")


@test("TCP_NODELAY towards the tunnel: a piece does not wait for the acknowledgement of the one before")
def _(w):
    proxy, file = captured(w)
    server = w.tunnel("server")["pid"]
    with w.connect(proxy) as s:
        assert socks(s, SERVER, ECHO)[0] == 0
        echoes(s)
        os.kill(server, signal.SIGSTOP)  # nothing is acknowledged any more
        try:
            s.sendall(b"first piece")
            wait_until("it is sent", lambda: any(data == b"first piece" for _, _, data in segments(file, SERVER)))
            s.sendall(b"second piece")
            wait_until("the second is sent", lambda: any(data == b"second piece" for _, _, data in segments(file, SERVER)))
        finally:
            os.kill(server, signal.SIGCONT)
        assert read_exactly(s, 23) == b"first piecesecond piece"


def attempts(w, turn):
    """Connects to both.test four times by a proxy that knows nothing yet, then to web.test; how often both.test's IPv6
    address, where nobody is, had been tried after each time; at which of web.test's addresses it was."""
    w.stop_all()
    file = w.path(f"eyeballs{turn}")
    proxy = w.start("--listen", "127.0.0.1:0", "--pcap", file)

    def tried(address):
        return len({port for port, flags, _ in segments(file, address) if flags & 0x12 == 0x02})

    counts = []
    for _ in range(4):
        with w.connect(proxy) as s:
            assert socks(s, "both.test", ECHO)[0] == 0
            echoes(s)
        counts.append(tried("fd09:1::1"))
    before = tried(SERVER)
    assert before >= 4
    with w.connect(proxy) as s:
        assert socks(s, "web.test", ECHO)[0] == 0
    return counts, tried("fd09::1"), tried(SERVER) - before


@test("Happy Eyeballs: the address that worked is tried first the next time, the other not at all; another name has its own")
def _(w):
    seen = []
    for turn in range(5):  # what keeps an answer for 250 ms, or one of a name server's for 50, is met by another attempt
        seen.append(attempts(w, turn))
        if seen[-1] == ([1] * 4, 1, 0):
            return
    raise AssertionError(f"attempts: {seen}")


if __name__ == "__main__":
    tap.main(Proxied)
