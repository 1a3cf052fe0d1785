#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
behaviour.py - a TCP server with one kind of behaviour per port, and UDP echo on 4000

usage: behaviour.py; listens on the wildcard, IPv4 and IPv6; prints "ready".

	4001 sends "data", then a reset		4002 sends "data", then FIN
	4003 reads to the end, then answers with the count and FIN
	4004 FIN at once, then reads to the end	4005 answers with the count that 4004 read last
	4006 resets at once			4007 reads nothing, resets after half a second
	4008 HTTP/1.0 without a length: 1 KiB every 10 ms, for as long as the client stays
	4009 reads to the end, slowly at first; keeps the count for 4010; 4010 waits for and answers with it
	4011 accepts and keeps all connections open
	4012 sends "data", then keeps the connection open
"""

import socket
import struct
import threading
import time

COUNTS = {}


def reset(conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def count(conn):
    total = 0
    try:
        while data := conn.recv(1 << 16):
            total += len(data)
    except OSError as e:
        return f"{total} and {e.strerror}"
    return str(total)


def data_then_reset(conn):
    conn.sendall(b"data")
    time.sleep(0.3)
    reset(conn)


def data_then_fin(conn):
    conn.sendall(b"data")
    conn.close()


def answer_after_end(conn):
    conn.sendall(f"got {count(conn)}".encode())
    conn.close()


def fin_then_read(conn):
    conn.shutdown(socket.SHUT_WR)
    COUNTS[4004] = count(conn)
    conn.close()


def answer_count(conn, port):
    for _ in range(300):
        if port in COUNTS:
            break
        time.sleep(0.1)
    conn.sendall(COUNTS.pop(port, "nothing").encode())
    conn.close()


def reset_later(conn):
    time.sleep(0.5)
    reset(conn)


def endless_page(conn):
    try:
        conn.recv(4096)
        conn.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            conn.sendall(b"x" * 1024)
            time.sleep(0.01)
    except OSError:
        conn.close()


def slow_upload(conn):
    time.sleep(1)
    COUNTS[4009] = count(conn)
    conn.close()


def data_then_wait(conn):
    conn.sendall(b"data")
    count(conn)
    conn.close()


PORTS = {
    4001: data_then_reset, 4002: data_then_fin, 4003: answer_after_end, 4004: fin_then_read,
    4005: lambda conn: answer_count(conn, 4004), 4006: reset, 4007: reset_later, 4008: endless_page,
    4009: slow_upload, 4012: data_then_wait, 4010: lambda conn: answer_count(conn, 4009),
}


def serve(port, behave):
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=behave, args=(conn,), daemon=True).start()


def keep_all(port):
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=8192)
    kept = []
    while True:
        kept.append(listener.accept()[0])


def echo(family, host):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind((host, 4000))
    while True:
        data, peer = s.recvfrom(65536)
        s.sendto(data, peer)


def main():
    for port, behave in PORTS.items():
        threading.Thread(target=serve, args=(port, behave), daemon=True).start()
    threading.Thread(target=keep_all, args=(4011,), daemon=True).start()
    for family, host in ((socket.AF_INET, "10.9.0.1"), (socket.AF_INET6, "fd09::1")):
        threading.Thread(target=echo, args=(family, host), daemon=True).start()
    for port in (*PORTS, 4011):
        for _ in range(100):
            try:
                if port not in (4005, 4010):
                    socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
    COUNTS.clear()
    print("ready", flush=True)
    threading.Event().wait()


main()
