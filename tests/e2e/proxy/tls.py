#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tls.py - TLS between clients and the listeners of `wgwrap proxy`: --tls-cert, --tls-key
"""

import fcntl
import hashlib
import os
import resource
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import tap  # noqa: E402
from lib.behind import FILES, as_text  # noqa: E402
from lib.proxied import (HANDSHAKE_S, SERVER, WGWRAP, key, oldest_give_way, read_all, read_exactly, socks,  # noqa: E402
                         socks_address, timer_of)
from lib.secured import Secured, Tls  # noqa: E402
from lib.shifted import Clock  # noqa: E402
from lib.tap import test  # noqa: E402
from lib.world import find, need, wait_until  # noqa: E402

ECHO, COUNT, PARTIAL, CALL, ENDS = 4007, 4008, 4009, 4012, 4015
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


def echoes(s):
    s.sendall(b"hello")
    assert read_exactly(s, 5) == b"hello"


def is_cut(s):
    """Whether a connection ends in a reset, or without close_notify."""
    try:
        read_all(s)
    except ConnectionResetError:
        return True
    except ssl.SSLError as e:
        if "EOF" not in str(e):
            raise
        return True
    return False


def unread(s):
    """Bytes in a socket's receive queue."""
    return struct.unpack("i", fcntl.ioctl(s, termios.FIONREAD, bytes(4)))[0]


def is_reset(s):
    poll = select.poll()
    poll.register(s, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def still_serves(w, proxy):
    with Tls(w, proxy.port(0)) as s:
        assert s.login(SERVER, ECHO) == 0
        echoes(s)


@test("curl: CONNECT and absolute form, by name; a wrong password is 407; another certificate is not taken")
def _(w):
    port = w.secured().port(1)
    for options in ((), ("-p",)):
        done = w.curl_tls(*options, "http://web.test:8080/x", port=port)
        assert done.returncode == 0 and '"path": "/x"' in done.stdout, (options, done)
    for user in ("", "someone:wrong@"):
        done = w.curl_tls("-o", "/dev/null", "-w", "%{http_code}", f"http://{SERVER}:8080/", port=port, user=user)
        assert done.stdout == "407", done
    other, _ = w.certificate("stranger")
    done = w.curl_tls(f"http://{SERVER}:8080/", port=port, cert=other)
    assert done.returncode == 60 and "certificate" in done.stderr, done


@test("64 MiB up and down, over both forms: the same bytes")
def _(w):
    need("curl")
    data = os.urandom(1 << 20) * 64
    digest = hashlib.sha256(data).hexdigest()
    big, out, port = os.path.join(w.files(), "big"), w.path("out"), w.secured().port(1)
    with open(big, "wb") as f:
        f.write(data)
    for options in ((), ("-p",)):
        done = w.curl_tls(*options, "--data-binary", f"@{big}", "-H", "Expect:", f"http://{SERVER}:8080/", port=port)
        assert digest in done.stdout, (options, done.stdout[-300:], done.stderr)
        done = w.curl_tls(*options, "-o", out, f"http://{SERVER}:{FILES}/big", port=port)
        with open(out, "rb") as f:
            assert done.returncode == 0 and hashlib.sha256(f.read()).hexdigest() == digest, (options, done)
        os.unlink(out)


@test("SOCKS: CONNECT by name and address, BIND; UDP ASSOCIATE is refused, its datagrams would not be encrypted")
def _(w):
    port = w.secured().port(0)
    for host in ("web.test", SERVER, "fd09::1"):
        with Tls(w, port) as s:
            assert s.login(host, ECHO) == 0
            echoes(s)
    with Tls(w, port) as s:
        assert s.login(SERVER, 0, 2) == 0
    with Tls(w, port) as s:
        assert s.login("0.0.0.0", 0, 3) == 2
    with Tls(w, port) as s:
        assert s.login(SERVER, 9) == 5


@test("python's ssl: 32 connections at once, TLS 1.2 and 1.3, one byte a record")
def _(w):
    port = w.secured().port(0)
    clients = [Tls(w, port, version=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)[n % 2]) for n in range(32)]
    for s in clients:
        assert s.login(SERVER, ECHO) == 0
    for s in clients:
        for byte in b"slowly":
            s.sendall(bytes([byte]))
    for s in clients:
        with s:
            assert read_exactly(s, 6) == b"slowly"


@test("half-close: close_notify goes on as FIN, the answer still comes, then close_notify")
def _(w):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with Tls(w, w.secured().port(0), version=version) as s:
            assert s.login(SERVER, COUNT) == 0
            s.sendall(b"x" * 100000)
            s.finish()
            assert read_all(s) == b"100000\n", version


def ending(w, name, end):
    """How a connection that @end ended came to the server."""
    port = w.secured().port(0)
    with Tls(w, port) as s:
        assert s.login(SERVER, ENDS) == 0
        s.sendall(name + b"\n" + b"y" * 50000)
        assert read_exactly(s, 6) == b"noted\n"
        end(s)

    def told():
        with Tls(w, port) as ask:
            assert ask.login(SERVER, ENDS) == 0
            ask.sendall(b"?" + name + b"\n")
            line = read_all(ask)
            return line != b"none\n" and line
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if line := told():
            return line.strip().decode()
        time.sleep(0.1)
    return "nothing"


@test("what is cut short does not look complete: a FIN without close_notify, and a RST, are resets at the other side")
def _(w):
    def reset(s):
        s.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.socket.close()

    def spoilt(s):
        s.socket.sendall(b"\x17\3\3\0\x20" + b"not what was encrypted for this.")

    assert ending(w, b"whole", lambda s: s.finish()) == "finished"
    assert ending(w, b"cut", lambda s: s.socket.shutdown(socket.SHUT_WR)) == "reset"
    assert ending(w, b"closed", lambda s: s.socket.close()) == "reset"
    assert ending(w, b"reset", reset) == "reset"
    assert ending(w, b"spoilt", spoilt) == "reset"


@test("a reset behind the tunnel: no close_notify, after the data before it; a response that was cut short as well")
def _(w):
    with Tls(w, w.secured().port(0)) as s:
        assert s.login(SERVER, PARTIAL) == 0
        s.sendall(b"x")
        assert read_exactly(s, 7) == b"partial"
        assert is_cut(s)
    with Tls(w, w.secured().port(1)) as s:
        s.sendall(f"GET http://{SERVER}:8080/truncated HTTP/1.1\r\nHost: x\r\n"
                  "Proxy-Authorization: Basic c29tZW9uZTpwYXNzIHdvcmQ=\r\n\r\n".encode())
        assert is_cut(s)


@test("what comes right behind the request, and more than is read before the destination answers, is whole")
def _(w):
    data = bytes(range(251)) * 1200
    with Tls(w, w.secured().port(0)) as s:
        s.sendall(b"\5\1\2\1\7someone\x09pass word" + bytes([5, 1, 0]) + socks_address("v4.test", ECHO) + data)
        assert read_exactly(s, 6) == b"\5\2\1\0\5\0"
        read_exactly(s, 8)
        assert read_exactly(s, len(data)) == data


@test("a RST behind close_notify: nothing of the connection is kept, though its destination is silent")
def _(w):
    proxy = w.tls("--listen", "127.0.0.1:0", "--linger", "1s")
    pid, _ = w.tls_process(proxy)
    if not pid:
        tap.skip("the TLS process cannot be found by this user")

    def descriptors():
        return len(os.listdir(f"/proc/{pid}/fd"))
    try:
        before = descriptors()
    except PermissionError:
        tap.skip("needs root, to count the TLS process's descriptors")
    with Tls(w, proxy.port()) as s:
        assert socks(s, SERVER, CALL)[0] == 0
        s.sendall(f"{SERVER} {COUNT}\n".encode())
        assert s.recv(6).strip().isdigit()
        assert descriptors() > before
        s.finish()
        time.sleep(0.3)
        s.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until("the end of the connection", lambda: descriptors() == before)
    assert proxy.stop() == 0


@test("an answer and the end: what the proxy refuses is read whole, with close_notify")
def _(w):
    with Tls(w, w.secured().port(1)) as s:
        s.sendall(b"GET /origin HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic c29tZW9uZTpwYXNzIHdvcmQ=\r\n\r\n" + b"z" * 3000)
        answer = read_all(s)
        assert answer.startswith(b"HTTP/1.1 400 ") and b"this is a proxy" in answer, answer
    with Tls(w, w.secured().port(0)) as s:
        s.sendall(b"\5\1\0")
        assert read_all(s) == b"\5\xff"


@test("without TLS: HTTP is told so, SOCKS sees the end; --listen on loopback takes both, beyond it TLS alone")
def _(w):
    for n in (0, 1):
        with w.connect(w.secured(), n) as s:
            s.sendall(b"GET http://web.test/ HTTP/1.1\r\n\r\n")
            answer = read_all(s)
            assert answer.startswith(b"HTTP/1.1 400 ") and answer.endswith(b"https:// proxy, not http\n"), answer
        with w.connect(w.secured(), n) as s:
            s.sendall(b"\5\1\2")
            assert read_all(s) == b""
    proxy = w.tls("--listen", "127.0.0.1:0", "--listen", f"unix:{w.path('plain.sock')}", ready="plain.sock (SOCKS and HTTP)")
    assert "(SOCKS and HTTP over TLS)" in proxy.words()
    for scheme in ("https", "http"):
        done = w.curl_tls("-x", f"{scheme}://127.0.0.1:{proxy.port()}", f"http://{SERVER}:8080/both", port=0)
        assert '"path": "/both"' in done.stdout, (scheme, done)
    with w.connect(proxy) as s:
        assert socks(s, SERVER, COUNT)[0] == 0
        s.sendall(b"plain")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"5\n"
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(w.path("plain.sock"))
        assert socks(s, SERVER, ECHO)[0] == 0
        echoes(s)
    assert proxy.stop() == 0
    proxy = w.tls("--listen", "0.0.0.0:0", "--users", w.write("users", "someone:pass word\n"))
    with w.connect(proxy) as s:
        s.sendall(b"\5\1\2")
        assert read_all(s) == b""
    with Tls(w, proxy.port()) as s:
        assert s.login(SERVER, ECHO) == 0
        echoes(s)
    assert proxy.stop() == 0
    proxy = w.tls("--listen", "0.0.0.0:0", ready=None)
    assert proxy.process.wait(60) == 1 and "--allow-open-proxy" in proxy.words(), "TLS alone keeps nobody out"


@test("ALPN: http/1.1 is chosen; a client that knows h2 alone gets an alert")
def _(w):
    with Tls(w, w.secured().port(1), alpn=["h2", "http/1.1"]) as s:
        assert s.tls.selected_alpn_protocol() == "http/1.1"
    try:
        with Tls(w, w.secured().port(1), alpn=["h2"]):
            raise AssertionError("h2 was accepted")
    except ssl.SSLError as e:
        assert "no application protocol" in str(e).replace("_", " ").lower(), e


def refused(w, *options, give=None):
    """The words of an openssl s_client that is not let in."""
    done = w.run("openssl", "s_client", "-connect", f"127.0.0.1:{w.secured().port(0)}", "-CAfile", w.cert, *options, limit=60,
                 input=give or "")
    return done.stdout + done.stderr


def half_handshakes(port):
    """Connections whose clients say nothing, a byte, part of a ClientHello; read_all() of them waits a minute."""
    half = []
    for sent in (b"", b"\x16", b"\x16\3\1\2\0\1\0\1\xfc\3\3" + b"r" * 100):
        half.append(socket.create_connection(("127.0.0.1", port), 60))
        half[-1].sendall(sent)
    return half


@test("bad clients: TLS 1.1, renegotiation, garbage, records too long, half a handshake, gone in the middle of it")
def _(w):
    pid, _ = w.tls_process(w.secured())
    assert "alert" in refused(w, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), "TLS 1.1"
    assert "no renegotiation" in refused(w, "-tls1_2", give="R\n").lower(), "a renegotiation"
    port = w.secured().port(0)
    half = half_handshakes(port)
    for sent in (b"\1" + os.urandom(5000), b"\x16" + os.urandom(5000), b"\x16\3\1\xff\xff" + b"l" * (1 << 20), b"\x16\3\1\0\0" * 1000,
                 b"\x80\x2e\1\0\2" + bytes(50), b"\0" * 100):
        with socket.create_connection(("127.0.0.1", port), 60) as s:
            try:
                s.sendall(sent)
                assert len(read_all(s)) <= 7, "more than an alert"
            except (ConnectionResetError, BrokenPipeError):
                pass
    with Tls(w, port) as s:  # after the handshake
        try:
            s.socket.sendall(b"\x17\3\3\xff\xff" + b"l" * (1 << 20))
            assert is_cut(s)
        except (ssl.SSLError, ConnectionResetError, BrokenPipeError):
            pass
    for _ in range(50):
        s = Tls(w, port, handshake=False)
        try:
            s.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        s.flush()
        s.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.socket.close()
    still_serves(w, w.secured())
    w.secured().wait("Connection reset by peer")
    words = w.secured().words()
    assert "unknown error" not in words, words[-3000:]
    for s in half:
        s.close()
    assert w.tls_process(w.secured())[0] == pid, w.secured().words()
    still_serves(w, w.secured())


@test("half a handshake is given 10 s, by the TLS process's clock, then it ends")
def _(w):
    w.stop_all()
    clock = Clock(w.path("handshakes"))
    proxy = w.tls("--socks5", "127.0.0.1:0", "--users", w.write("users", "someone:pass word\n"), **clock.environment)
    pid, _ = w.tls_process(proxy)
    if not pid:
        tap.skip("the TLS process cannot be found by this user")
    for _ in range(5):
        opened = time.monotonic()
        half = half_handshakes(proxy.port())
        with Tls(w, proxy.port()) as s:  # they came before
            clock.sleep(pid, HANDSHAKE_S - 4, wall=False)
            assert s.login(SERVER, ECHO) == 0
            over = select.select(half, [], [], 0)[0]
        if took_less := time.monotonic() - opened < 3:
            assert not over, "they were not given time"
        clock.sleep(pid, 5, wall=False)
        for s in half:
            with s:
                try:
                    assert read_all(s) == b""
                except ConnectionResetError:
                    pass
        if took_less:
            break
    else:
        tap.diagnose("too slow a machine to tell 10 s from less")
    still_serves(w, proxy)
    w.stop_all()


@test("clients that begin no handshake keep nobody out: the oldest give way")
def _(w):
    proxy = w.tls("--socks5", "127.0.0.1:0", "--users", w.write("users", "someone:pass word\n"))

    def serve():
        with Tls(w, proxy.port()) as s:
            assert s.login(SERVER, ECHO) == 0
            echoes(s)
    assert oldest_give_way(w, proxy, serve), proxy.words()[-1000:]
    assert proxy.stop() == 0


@test("back-pressure: a client that does not read does not fill the TLS process's memory")
def _(w):
    pid, status = w.tls_process(w.secured())
    before = int(status["RssAnon"].split()[0])
    with Tls(w, w.secured().port(0)) as s:
        assert s.login(SERVER, ECHO) == 0
        s.socket.setblocking(False)
        sent, stuck, pending = 0, time.monotonic(), b""
        while time.monotonic() - stuck < 2 and sent < 128 << 20:
            try:
                if not pending:
                    s.tls.write(b"y" * 16384)
                    pending = s.outward.read()
                pending = pending[s.socket.send(pending):]
                sent += 0 if pending else 16384
                stuck = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        assert sent < 80 << 20, sent
        after = int(w.tls_process(w.secured())[1]["RssAnon"].split()[0])
        assert w.tls_process(w.secured())[0] == pid
        assert after - before < 4096 or "asan" in WGWRAP, (before, after)  # that one keeps what was freed
        s.settimeout(60)
        sent += 16384 if pending else 0
        rest = threading.Thread(target=s.socket.sendall, args=(pending,))
        rest.start()
        while sent > 0:
            sent -= len(s.recv(min(sent, 65536)))
        rest.join()
        s.finish()
        assert read_all(s) == b""


@test("a client that does not read what is left of a connection is given 300 s, not for ever")
def _(w):
    w.stop_all()
    clock = Clock(w.path("clock"))
    big = os.path.join(w.files(), "unread")
    with open(big, "wb") as f:
        f.truncate(32 << 20)
    proxy = w.tls("--listen", "127.0.0.1:0", **clock.environment)
    pid, _ = w.tls_process(proxy)
    if not pid:
        tap.skip("the TLS process cannot be found by this user")
    with Tls(w, proxy.port()) as s:
        assert socks(s, SERVER, FILES)[0] == 0
        s.sendall(b"GET /unread HTTP/1.0\r\n\r\n")
        moved, still = -1, 0

        def stuck():
            nonlocal moved, still
            time.sleep(0.5)
            before, moved = moved, unread(s.socket)
            still = still + 1 if moved == before > 0 else 0
            return still == 4 and timer_of(proxy.port(), s.socket.getsockname()[1])[0] == 4  # a probe of a closed window
        wait_until("nothing moves", stuck)
        w.kill_tunnel()
        proxy.wait("the tunnel process ended")
        clock.sleep(pid, 200, wall=False)
        assert not select.select([], [], [s.socket], 0.5)[2] and not is_reset(s.socket)

        def reset():  # its time begins when the TLS process hears of the tunnel's end, which may be late
            clock.sleep(pid, 105, wall=False)
            time.sleep(0.2)
            return is_reset(s.socket)
        wait_until("it is reset", reset)
    w.stop_all()


@test("the tunnel process has no descriptors left: connections wait at the TLS process, none is reset")
def _(w):
    w.stop_all()
    proxy = w.tls("--listen", "127.0.0.1:0")
    resource.prlimit(w.tunnel()["pid"], resource.RLIMIT_NOFILE, (48, 48))
    served, waiting = [], None
    while not waiting:
        assert len(served) < 48, "more connections than descriptors"
        s = Tls(w, proxy.port(), version=ssl.TLSVersion.TLSv1_2)  # 1.3 sends tickets behind the handshake
        s.sendall(b"\5\1\0" + bytes([5, 1, 0]) + socks_address(SERVER, ECHO))
        if select.select([s.socket], [], [], 2 if len(served) > 8 else 15)[0]:
            assert read_exactly(s, 4) == b"\5\0\5\0"
            read_exactly(s, 8)
            served.append(s)
        else:
            waiting = s
    assert len(served) > 8, len(served)
    for s in served:
        echoes(s)
    served.pop().socket.close()
    assert read_exactly(waiting, 4) == b"\5\0\5\0"
    read_exactly(waiting, 8)
    echoes(waiting)
    for s in (*served, waiting):
        s.socket.close()
    w.stop_all()


def says(w, expected, *options, status=3):
    done = w.run(WGWRAP, "proxy", "-c", w.conf, *options, limit=60)
    assert done.returncode == status and expected in done.stderr, (options, done)
    assert "PRIVATE" not in done.stderr


@test("certificates that cannot be used are named with their file and the reason")
def _(w):
    other, other_key = w.certificate("other")
    encrypted, empty, junk = w.path("encrypted.key"), w.write("empty", ""), w.write("junk", "junk\n" * 100)
    subprocess.run(["openssl", "pkey", "-in", w.key, "-aes128", "-passout", "pass:word", "-out", encrypted], check=True)
    os.chmod(encrypted, 0o600)
    listen = ("--http", "127.0.0.1:0")
    for cert, key, expected in ((w.path("none"), w.key, f"{w.path('none')}: No such file"),
                                (w.cert, w.path("none"), f"{w.path('none')}: No such file"),
                                (w.cert, other_key, f"{other_key}: the key does not belong to the certificate"),
                                (w.cert, encrypted, f"{encrypted}: the key is encrypted"),
                                (w.cert, junk, f"{junk}: there is no private key in it"),
                                (junk, w.key, f"{junk}: there is no certificate in it"),
                                (empty, w.key, f"{empty}: there is no certificate in it"),
                                (w.key, w.key, f"{w.key}: there is no certificate in it"),
                                (w.dir, w.key, f"{w.dir}: Is a directory")):
        says(w, expected, *listen, "--tls-cert", cert, "--tls-key", key)
    says(w, f"{w.cert}: there is no private key in it", *listen, "--tls-cert", w.cert)
    os.mkfifo(w.path("fifo"))
    says(w, f"{w.path('fifo')}: Invalid argument", *listen, "--tls-cert", w.path("fifo"))
    says(w, "--tls-key needs --tls-cert", *listen, "--tls-key", w.key, status=2)
    says(w, "no listener for SOCKS or HTTP", "-L", f"127.0.0.1:0:{SERVER}:80", "--tls-cert", w.cert, "--tls-key", w.key)
    assert other


@test("a key that others can read is warned of; one file may hold both; a chain is sent whole")
def _(w):
    with open(w.cert, encoding="ascii") as cert, open(w.key, encoding="ascii") as key:
        both = w.write("both.pem", cert.read() + key.read())
    os.chmod(both, 0o640)
    proxy = w.start("--http", "127.0.0.1:0", "--tls-cert", both)
    assert "both.pem: others can read it (mode 640)" in proxy.words(), proxy.words()
    assert '"path": "/one"' in w.curl_tls(f"http://{SERVER}:8080/one", port=proxy.port(), user="").stdout
    assert proxy.stop() == 0
    # root -> middle -> leaf: with the root alone a client has to be sent the middle one
    for name, parent in (("root", None), ("middle", "root"), ("leaf", "middle")):
        subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                        f"/CN={name}", "-keyout", w.path(f"{name}.key"), "-out", w.path(f"{name}.csr")], check=True,
                       capture_output=True)
        extensions = w.write("ext", "subjectAltName=IP:127.0.0.1\n" if name == "leaf" else "basicConstraints=critical,CA:TRUE\n")
        signer = ["-CA", w.path(f"{parent}.crt"), "-CAkey", w.path(f"{parent}.key"), "-CAcreateserial"] if parent else \
            ["-signkey", w.path("root.key")]
        subprocess.run(["openssl", "x509", "-req", "-in", w.path(f"{name}.csr"), "-days", "2", "-extfile", extensions, *signer,
                        "-out", w.path(f"{name}.crt")], check=True, capture_output=True)
    with open(w.path("leaf.crt"), encoding="ascii") as leaf, open(w.path("middle.crt"), encoding="ascii") as middle:
        chain = w.write("chain.pem", leaf.read() + middle.read())
    proxy = w.tls("--http", "127.0.0.1:0", cert=chain, key=w.path("leaf.key"))
    done = w.curl_tls(f"http://{SERVER}:8080/chain", port=proxy.port(), user="", cert=w.path("root.crt"))
    assert '"path": "/chain"' in done.stdout, done
    assert proxy.stop() == 0


@test("SIGHUP: the files are read again, connections go on; what is wrong then changes nothing")
def _(w):
    old, old_key = w.certificate("before")
    new, new_key = w.certificate("after")
    cert, key = w.path("changing.crt"), w.path("changing.key")

    def put(source, source_key):
        for a, b in ((source, cert), (source_key, key)):
            with open(a, encoding="ascii") as f:
                w.write(os.path.basename(b), f.read())

    def shown(port):
        return ssl.get_server_certificate(("127.0.0.1", port), timeout=60)

    def read(path):
        with open(path, encoding="ascii") as f:
            return f.read()
    put(old, old_key)
    proxy = w.tls("--listen", "127.0.0.1:0", cert=cert, key=key)
    before = w.cert
    try:
        w.cert = old
        with Tls(w, proxy.port()) as s:
            assert socks(s, SERVER, ECHO)[0] == 0
            put(new, new_key)
            proxy.process.send_signal(signal.SIGHUP)
            proxy.wait("certificates were read again")
            assert shown(proxy.port()) == read(new)
            put(new, old_key)
            proxy.process.send_signal(signal.SIGHUP)
            proxy.wait("does not belong to the certificate")
            assert shown(proxy.port()) == read(new)
            echoes(s)
    finally:
        w.cert = before
    assert proxy.stop() == 0


@test("SIGHUP while the TLS process hangs: all listeners together wait for it once; then it is asked again")
def _(w):
    listeners = [word for _ in range(6) for word in ("--socks5", "127.0.0.1:0")]
    proxy = w.tls(*listeners, "--users", w.write("users", "someone:pass word\n"))
    wait_until("all listen", lambda: proxy.words().count("listening on") == 6)
    pid, _ = w.tls_process(proxy)
    if not pid:
        tap.skip("the TLS process cannot be found by this user")
    os.kill(pid, signal.SIGSTOP)
    try:
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait("the TLS process does not answer", 40)
        proxy.process.send_signal(signal.SIGHUP)
        # one listener after the other would take 50 s more
        wait_until("the next signal is heeded", lambda: proxy.words().count("users was read again") == 2)
    finally:
        os.kill(pid, signal.SIGCONT)
    proxy.wait("certificates were read again")
    still_serves(w, proxy)
    assert proxy.stop() == 0


@test("a TLS process that cannot be started is a failure (status 1), not a mistake in the configuration")
def _(w):
    with tempfile.TemporaryDirectory() as directory:
        files = []
        for path in (w.conf, w.cert, w.key):
            files.append(shutil.copy(path, directory))
            os.chmod(files[-1], 0o600)
        argv = [WGWRAP, "proxy", "-c", files[0], "--http", "127.0.0.1:0", "--tls-cert", files[1], "--tls-key", files[2]]
        if os.geteuid() == 0:  # who has no limit of processes
            for path in (directory, *files):
                os.chown(path, 65531, 65531)
            argv = ["setpriv", "--reuid=65531", "--regid=65531", "--clear-groups", "--", *argv]
        done = subprocess.run(["prlimit", "--nproc=1:1", "--", *argv], capture_output=True, text=True, cwd=directory,
                              stdin=subprocess.DEVNULL, timeout=60, check=False, env=dict(w.environment("client"), XDG_RUNTIME_DIR=directory))
    if "ermission denied" in done.stderr:
        tap.skip(f"another user cannot start it: {done.stderr.strip()}")
    assert done.returncode == 1 and "cannot start the TLS process: Resource temporarily" in done.stderr, done


@test("the TLS process: no privileges, no files, no core; when it dies another takes its place")
def _(w):
    proxy = w.tls("--listen", "127.0.0.1:0")
    pid, status = w.tls_process(proxy)
    if not pid:
        tap.skip("the TLS process cannot be found by this user")
    assert status["NoNewPrivs"].strip() == "1", status
    if "asan" not in WGWRAP:
        assert status["Seccomp"].strip() == "2", status
    with Tls(w, proxy.port()) as s:
        assert socks(s, SERVER, ECHO)[0] == 0
        os.kill(pid, signal.SIGKILL)
        assert is_cut(s)
    proxy.wait("the TLS process ended (signal 9)")
    wait_until("another one", lambda: w.tls_process(proxy)[0])
    with Tls(w, proxy.port()) as s:
        assert socks(s, SERVER, ECHO)[0] == 0
        echoes(s)
    assert proxy.stop() == 0
    assert w.tls_process(proxy)[0] is None


@test("the tunnel process dies: connections are cut, the listeners stay, and work again")
def _(w):
    proxy = w.tls("--listen", "127.0.0.1:0")
    with Tls(w, proxy.port()) as s:
        assert socks(s, SERVER, ECHO)[0] == 0
        w.kill_tunnel()
        assert is_cut(s)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with Tls(w, proxy.port()) as s:
                if socks(s, SERVER, ECHO)[0] == 0:
                    echoes(s)
                    assert proxy.stop() == 0
                    return
        except (OSError, AssertionError):
            pass
        time.sleep(0.3)
    raise AssertionError(proxy.words())


@test("SIGTERM: what is open may end, then status 0; nothing new is accepted; what does not end is cut after --linger")
def _(w):
    proxy = w.tls("--listen", "127.0.0.1:0", "--linger", "100s")
    with Tls(w, proxy.port()) as s:
        assert socks(s, SERVER, COUNT)[0] == 0
        s.sendall(b"before")
        proxy.process.terminate()
        w.refuses(proxy)
        s.sendall(b" and after")
        s.finish()
        assert read_all(s) == b"16\n"
        assert proxy.process.wait(60) == 0
    proxy = w.tls("--listen", "127.0.0.1:0", "--linger", "1s")
    with Tls(w, proxy.port()) as s:
        assert socks(s, SERVER, ECHO)[0] == 0
        assert proxy.stop() == 0
        assert is_cut(s)


ASK = """
import socket, ssl, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
try:
    s = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60))
    s.sendall(b"\\5\\1\\0")
    print(s.recv(2))
except OSError as e:
    print("refused")
"""


WAIT = """
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
try:
    print(s.recv(2))
except OSError:
    print("refused")
"""


@test("another user of the host is refused on loopback over TLS, too, before it has said anything")
def _(w):
    if os.geteuid() != 0:
        tap.skip("needs root, to be another user")
    proxy = w.tls("--socks5", "127.0.0.1:0")
    for uid, expected in ((0, ("b'\\x05\\x00'",)), (65532, ("refused", "b''"))):
        done = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", PYTHON, "-c", ASK,
                               str(proxy.port())], capture_output=True, text=True, cwd="/", timeout=60, check=False)
        assert done.stdout.strip() in expected, (uid, done)
    proxy.wait("user 65532 was refused")
    done = subprocess.run(["setpriv", "--reuid=65531", "--regid=65531", "--clear-groups", "--", PYTHON, "-c", WAIT,
                           str(proxy.port())], capture_output=True, text=True, cwd="/", timeout=60, check=False)
    assert done.stdout.strip() in ("refused", "b''"), done
    proxy.wait("user 65531 was refused")
    assert proxy.stop() == 0


@test("chromium: a page over an https:// proxy")
def _(w):
    need("chromium")
    as_text(os.path.join(w.files(), "page.html"), "<!doctype html><p id=p>no script has run</p><script>"
            "document.getElementById('p').textContent = 'from ' + location.host</script>")
    proxy = w.tls("--http", "127.0.0.1:0")
    done = w.run("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--ignore-certificate-errors",
                 f"--user-data-dir={w.path('chromium')}", f"--proxy-server=https://127.0.0.1:{proxy.port()}", "--dump-dom",
                 f"http://v4.test:{FILES}/page.html", limit=90)
    assert f"from v4.test:{FILES}" in done.stdout, (done, proxy.words())
    assert f"to v4.test:{FILES}: connected" in proxy.words()
    assert proxy.stop() == 0


def check_build():
    if not find("openssl"):
        tap.skip_all("openssl is not installed")
    done = subprocess.run([WGWRAP, "proxy", "-c", "-", "--http", "127.0.0.1:0", "--tls-cert", __file__], capture_output=True,
                          input=f"[Interface]\nPrivateKey = {key('genkey')}\n", text=True, timeout=60, check=False)
    if "without TLS" in done.stderr or "is not installed" in done.stderr:
        tap.skip_all(done.stderr.strip())


if __name__ == "__main__":
    check_build()
    tap.main(Secured)
