#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""databases.py - the matrix: PostgreSQL, redis, memcached: their clients wrapped, and their servers"""

import glob
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import tap, world  # noqa: E402
from lib.matrix import PYTHON, owned_dir, row  # noqa: E402
from lib.serving import end, from_peer, peer_says, serve, text_of  # noqa: E402
from lib.servers import once  # noqa: E402
from lib.world import find, need, read_line  # noqa: E402

world.enter()


# ---- redis ----

@once
def redis(w):
    need("redis-server", "redis-cli", "redis-benchmark")
    return w.start_server("redis", redis_argv(w, "redis-data", 6379), ready=("tcp:6379", "tcp6:6379"))


def redis_argv(w, name, port, *more):
    return [find("redis-server"), "--port", str(port), "--bind", "0.0.0.0", "::", "--protected-mode", "no",
            "--dir", owned_dir(w, name), "--daemonize", "no", *more]


@row("redis-cli: commands, 5 MiB values, a pipe of 20000, subscriptions; redis-benchmark")
def _(w):
    redis(w)
    cli = ("redis-cli", "-h", "10.9.0.1")
    assert w.ok(*cli, "SET", "a", "value") == "OK\n"
    assert w.ok("redis-cli", "-h", "fd09::1", "GET", "a") == "value\n"
    big = "x" * (5 << 20)
    assert w.ok(*cli, "-x", "SET", "big", input=big) == "OK\n"
    assert len(w.ok(*cli, "GET", "big")) == len(big) + 1
    out = w.ok(*cli, "--pipe", input="".join(f"SET key{i} {i}\r\n" for i in range(20000)))
    assert "errors: 0, replies: 20000" in out, out
    subscriber = w.start(w.wrap(*cli, "SUBSCRIBE", "news"), stdout=subprocess.PIPE)
    assert "".join(read_line(subscriber.stdout) for _ in range(3)) == "subscribe\nnews\n1\n"
    assert w.ok(*cli, "PUBLISH", "news", "told") == "1\n"
    assert "".join(read_line(subscriber.stdout) for _ in range(3)) == "message\nnews\ntold\n"
    subscriber.send_signal(signal.SIGINT)
    subscriber.wait(60)
    out = w.ok("redis-benchmark", "-h", "10.9.0.1", "-q", "-c", "50", "-n", "5000", "-t", "set,get", "--threads", "2")
    assert out.count("requests per second") == 2, out


@row("redis-server: asked by redis-cli and redis-benchmark, saves in a child, copies another's data")
def _(w):
    redis(w)
    w.ok("redis-cli", "-h", "10.9.0.1", "SET", "copied", "yes")
    child, log = serve(w, *redis_argv(w, "redis-inner", 6380), ready="Ready to accept connections")
    cli = ("redis-cli", "-h", "10.9.0.2", "-p", "6380")
    assert peer_says(w, *cli, "SET", "b", "inner") == "OK\n"
    assert peer_says(w, "redis-cli", "-h", "fd09::2", "-p", "6380", "GET", "b") == "inner\n"
    assert "addr=10.9.0.1:" in peer_says(w, *cli, "CLIENT", "LIST")
    out = peer_says(w, "redis-benchmark", "-h", "10.9.0.2", "-p", "6380", "-q", "-c", "50", "-n", "5000", "-t", "set,get")
    assert out.count("requests per second") == 2, out
    peer_says(w, *cli, "BGSAVE")
    world.wait_until("BGSAVE", lambda: "Background saving terminated with success" in text_of(log))
    assert peer_says(w, *cli, "REPLICAOF", "10.9.0.1", "6379") == "OK\n"
    world.wait_until("the copy", lambda: peer_says(w, *cli, "GET", "copied") == "yes\n")
    assert peer_says(w, "redis-cli", "-h", "10.9.0.1", "SET", "later", "too") == "OK\n"
    world.wait_until("what came later", lambda: peer_says(w, *cli, "GET", "later") == "too\n")
    end(child)


# ---- memcached ----

MEMCACHED = """
import socket, struct, sys
host, port = sys.argv[1], int(sys.argv[2])
s = socket.create_connection((host, port), 60)
value = b"v" * 500000
s.sendall(b"set key 0 0 %d\\r\\n%s\\r\\n" % (len(value), value))
f = s.makefile("rb")
assert f.readline() == b"STORED\\r\\n"
many = [socket.create_connection((host, port), 60) for _ in range(30)]
for c in many:
    c.sendall(b"get key\\r\\n")
for c in many:
    g = c.makefile("rb")
    assert g.readline() == b"VALUE key 0 500000\\r\\n"
    assert g.read(500000) == value
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.settimeout(60)
u.connect((host, port))
for i in range(50):
    u.send(struct.pack("!4H", i, 0, 1, 0) + b"version\\r\\n")
    answer = u.recv(2000)
    assert answer[:2] == struct.pack("!H", i) and answer[8:].startswith(b"VERSION "), answer
print("good")
"""


def memcached_argv(port):
    return [find("memcached"), "-u", "nobody", "-l", "0.0.0.0", "-p", str(port), "-U", str(port), "-t", "4", "-m", "64"]


@row("memcached: TCP and UDP, a wrapped client and a wrapped server")
def _(w):
    need("memcached")
    w.start_server("memcached", w.unprivileged() + memcached_argv(11211), ready=("tcp:11211", "udp:11211"))
    assert w.ok(PYTHON, "-c", MEMCACHED, "10.9.0.1", "11211") == "good\n"
    child, _ = serve(w, *memcached_argv(11212), ready=11212)
    assert peer_says(w, PYTHON, "-c", MEMCACHED, "10.9.0.2", "11212") == "good\n"
    end(child)


# ---- PostgreSQL ----

def postgres_bin(tool):
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{tool}"))
    if not found:
        tap.skip("postgresql is not installed")
    return found[-1]


def cluster(w, name, port):
    """A new cluster of the wrapped commands' user (PostgreSQL refuses root); returns the server's argv."""
    initdb, postgres = postgres_bin("initdb"), postgres_bin("postgres")
    data = owned_dir(w, name, mode=0o700)
    done = w.finish_command(w.unprivileged() + [initdb, "-D", data, "-U", "tester", "-A", "trust", "--no-sync", "-E",
                                                "UTF8"], 60)
    assert done.returncode == 0, done.stderr
    with open(os.path.join(data, "pg_hba.conf"), "a", encoding="ascii") as f:
        f.write("host all all 0.0.0.0/0 trust\nhost all all ::0/0 trust\n")
    return [postgres, "-D", data, "-p", str(port), "-c", "listen_addresses=*", "-c", f"unix_socket_directories={data}",
            "-c", "fsync=off"]


def ask(host, port, sql):
    return [postgres_bin("psql"), "-X", "-q", "-t", "-A", "-h", host, "-p", str(port), "-U", "tester", "-c", sql, "postgres"]


def pgbench(host, port):
    start = [postgres_bin("pgbench"), "-h", host, "-p", str(port), "-U", "tester"]
    return start + ["-i", "-q", "-s", "1", "postgres"], start + ["-c", "8", "-j", "4", "-t", "50", "postgres"]


@once
def postgres(w):
    """PostgreSQL next to the servers, port 5432."""
    return w.start_server("postgres", w.unprivileged() + cluster(w, "pg", 5432),
                          ready="ready to accept connections")


@row("psql: queries, COPY of 10 MB both ways, a cancelled query, refusals")
def _(w):
    postgres(w)
    assert w.ok(*ask("10.9.0.1", 5432, "SELECT inet_client_addr(), inet_server_addr()")) == "10.9.0.2|10.9.0.1\n"
    assert w.ok(*ask("fd09::1", 5432, "SELECT inet_client_addr()")) == "fd09::2\n"
    w.ok(*ask("10.9.0.1", 5432, "CREATE TABLE t (n int, text text)"))
    rows = "".join(f"{i}\t{'x' * 100}\n" for i in range(100000))
    w.ok(*ask("10.9.0.1", 5432, "COPY t FROM STDIN"), input=rows)
    assert w.ok(*ask("10.9.0.1", 5432, "COPY t TO STDOUT")) == rows
    # SIGINT makes psql ask for the cancellation over a second connection
    sleeper = w.start(w.wrap(*ask("10.9.0.1", 5432, "SELECT pg_sleep(30)")), stderr=subprocess.PIPE, text=True)
    world.wait_until("the query", lambda: "1" in w.ok(*ask(
        "10.9.0.1", 5432, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'")))
    sleeper.send_signal(signal.SIGINT)
    _, err = sleeper.communicate(timeout=60)
    assert "canceling statement due to user request" in err, err
    refused = w.wrapped(*ask("10.9.0.1", 5431, "SELECT 1"))
    assert refused.returncode == 2 and "Connection refused" in refused.stderr, refused


@row("pgbench: eight clients in four threads")
def _(w):
    postgres(w)
    start, bench = pgbench("10.9.0.1", 5432)
    w.ok(*start)
    out = w.ok(*bench)
    assert "400/400" in out, out


@row("PostgreSQL, wrapped: psql and pgbench from the peer")
def _(w):
    child, log = serve(w, *cluster(w, "pg-inner", 5433), ready="ready to accept connections")
    assert peer_says(w, *ask("10.9.0.2", 5433, "SELECT inet_client_addr()")) == "10.9.0.1\n"
    assert peer_says(w, *ask("fd09::2", 5433, "SELECT inet_client_addr()")) == "fd09::1\n"
    start, bench = pgbench("10.9.0.2", 5433)
    peer_says(w, *start)
    out = peer_says(w, *bench)
    assert "400/400" in out, (out, text_of(log))
    # A client that goes away in the middle of a query does not disturb the next
    done = from_peer(w, "timeout", "1", *ask("10.9.0.2", 5433, "SELECT pg_sleep(30)"))
    assert done.returncode == 124, done
    assert peer_says(w, *ask("10.9.0.2", 5433, "SELECT 7")) == "7\n"
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == 0, text_of(log)


world.main()
