#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
dnsd.py - a name server for the tests, over UDP and TCP

usage: dnsd.py ADDRESS...

Knows web.test (A and AAAA), v4.test, v6.test, both.test (whose IPv6 address is nobody's), order.test, prefix.test (two addresses each), long.test (16), big.test (a TXT answer of more than 4 KB), alias.test
(CNAME of web.test), slow.test (answers after a second) and the reverse of 10.9.0.1. When moved.test is asked for,
late.test begins to exist and moves.test is web.test's IPv4 address, not nobody's. Everything else does not exist.
UDP answers that exceed what the question allows (EDNS, else 512 bytes) are cut, with TC set.
Prints "ready" when it serves.
"""

import asyncio
import ipaddress
import struct
import sys

A, CNAME, PTR, TXT, AAAA, OPT = 1, 5, 12, 16, 28, 41
TTL_S = 60
WEB4, WEB6 = "10.9.0.1", "fd09::1"
BIG = [bytes([65 + i]) * 250 for i in range(17)]


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def address(text):
    return ipaddress.ip_address(text).packed


ZONE = {
    "web.test": {A: [address(WEB4)], AAAA: [address(WEB6)]},
    "v4.test": {A: [address(WEB4)]},
    "v6.test": {AAAA: [address(WEB6)]},
    "slow.test": {A: [address(WEB4)]},
    "both.test": {A: [address(WEB4)], AAAA: [address("fd09:1::1")]},
    "order.test": {A: [address("10.77.0.1")], AAAA: [address("fd77::1")]},
    "prefix.test": {AAAA: [address("fd77:1::9"), address("fd77::1")]},
    "long.test": {A: [address(f"10.9.0.{i}") for i in range(1, 17)]},
    "alias.test": {CNAME: [encode_name("web.test")]},
    "moves.test": {A: [address("10.9.0.9")]},
    "big.test": {TXT: [bytes([len(t)]) + t for t in BIG]},
    "1.0.9.10.in-addr.arpa": {PTR: [encode_name("web.test")]},
}


def parse(query):
    """Returns (id, flags, name, type, end of the question, UDP size that is allowed)."""
    ident, flags, _, _, _, extra = struct.unpack("!6H", query[:12])
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("ascii", "replace"))
        at += 1 + query[at]
    rtype = struct.unpack("!H", query[at + 1:at + 3])[0]
    end = at + 5
    size = 512
    if extra and len(query) >= end + 11 and query[end] == 0:
        opt, udp_size = struct.unpack("!HH", query[end + 1:end + 5])
        if opt == OPT:
            size = max(512, udp_size)
    return ident, flags, ".".join(labels).lower(), rtype, end, size


def answer(query, over_udp):
    ident, flags, name, rtype, end, size = parse(query)
    records, owner = [], encode_name(name)
    if name == "moved.test":
        ZONE["moves.test"] = ZONE["late.test"] = {A: [address(WEB4)]}
    known = ZONE.get(name)
    if known and CNAME in known:
        records.append((owner, CNAME, known[CNAME][0]))
        owner = known[CNAME][0]
        known = ZONE["web.test"]
    if known:
        records += [(owner, rtype, data) for data in known.get(rtype, [])]
    body = b"".join(o + struct.pack("!HHIH", t, 1, TTL_S, len(d)) + d for o, t, d in records)
    code = 0 if known is not None else 3
    head = 0x8480 | (flags & 0x0100) | code
    if over_udp and end + len(body) > size:
        return struct.pack("!6H", ident, head | 0x0200, 1, 0, 0, 0) + query[12:end]
    return struct.pack("!6H", ident, head, 1, len(records), 0, 0) + query[12:end] + body


async def delay(query):
    if parse(query)[2] == "slow.test":
        await asyncio.sleep(1)


class Udp(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        asyncio.ensure_future(self.reply(data, addr))

    async def reply(self, data, addr):
        await delay(data)
        self.transport.sendto(answer(data, True), addr)


async def tcp(reader, writer):
    try:
        while True:
            query = await reader.readexactly(struct.unpack("!H", await reader.readexactly(2))[0])
            await delay(query)
            reply = answer(query, False)
            writer.write(struct.pack("!H", len(reply)) + reply)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve():
    loop = asyncio.get_running_loop()
    for host in sys.argv[1:]:
        await loop.create_datagram_endpoint(Udp, local_addr=(host, 53))
        await asyncio.start_server(tcp, host, 53)
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(serve())
