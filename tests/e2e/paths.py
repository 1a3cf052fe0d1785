#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""paths.py - paths that take less than the tunnel: programs see what they see on the kernel's stack, next to the same link"""

from lib import tap, world
from lib.hops import FAR, FAR_MTU, HopWorld
from lib.matrix import PYTHON

world.enter()

PORT = 4000
TUNNEL_MTU = 1420
# Datagrams and connections, both families
ECHO = f"""
import socket, threading
def echo(family, address):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind((address, {PORT}))
    while True:
        data, peer = s.recvfrom(65536)
        s.sendto(data, peer)
listener = socket.create_server(("::", {PORT}), family=socket.AF_INET6, dualstack_ipv6=True)
for family, address in ((socket.AF_INET, "{FAR[4]}"), (socket.AF_INET6, "{FAR[6]}")):
    threading.Thread(target=echo, args=(family, address), daemon=True).start()
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    connection.close()
"""


class PathWorld(HopWorld):
    """As HopWorld; the native side's first link takes what the tunnel does, and the far router echoes."""

    def network(self):
        super().network()
        self.at(self.native_ns, "ip", "link", "set", "in0", "mtu", str(TUNNEL_MTU))
        self.at(self.peer_ns, "ip", "link", "set", "in0", "mtu", str(TUNNEL_MTU))


def both(w, program, *arguments):
    """What @program, which is started afresh, prints natively and wrapped."""
    argv = (w.path("programs", program), *arguments)
    return w.native(*argv), w.wrapped(*argv)


for _family, _headers in ((4, 28), (6, 48)):
    @tap.test(f"datagrams and connections over IPv{_family} follow the path as natively")
    def _(w, family=_family, headers=_headers):
        if not hasattr(w, "echo"):
            w.echo = w.start_server("echo", [PYTHON, "-c", ECHO], ns=w.routers[2])
        native, wrapped = both(w, "path_mtus", FAR[family], str(PORT), str(TUNNEL_MTU - headers))
        assert native.returncode == 0 and f"info {FAR_MTU}" in native.stdout, native
        assert wrapped.stdout == native.stdout, f"natively\n{native.stdout}\nwrapped\n{wrapped.stdout}\n{wrapped.stderr}"


tap.main(PathWorld, PathWorld.FINAL_CHECKS)
