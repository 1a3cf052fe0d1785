# SPDX-License-Identifier: MIT
"""
hops.py - a world (world.py) with routers behind the peer

	peer 10.9.16.1, fd09:16::1 --- 10.9.16.2, fd09:16::2 near
	near 10.9.17.1, fd09:17::1 --- 10.9.17.2, fd09:17::2 middle
	middle 10.9.18.1, fd09:18::1 --- 10.9.18.2, fd09:18::2 far     its link takes packets of 1300 bytes

So a packet of a wrapped program takes four hops to the far one: the peer, near, middle, far. The middle one answers what goes to
10.9.19.0/24 and fd09:19::/64 with "administratively prohibited", as firewalls do.
"""

from lib.world import World

FAR_MTU = 1300
FAR = {4: "10.9.18.2", 6: "fd09:18::2"}
HOPS = {4: ("10.9.16.2", "10.9.17.2", "10.9.18.2"), 6: ("fd09:16::2", "fd09:17::2", "fd09:18::2")}
# ICMP is not to be rationed: all probes are to be answered
SYSCTL = ("net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 "
          "net.ipv4.icmp_msgs_per_sec=100000 net.ipv4.icmp_msgs_burst=100000")


class HopWorld(World):
    """As World; self.routers are the namespaces' holders: near, middle, far."""

    def network(self):
        super().network()
        self.routers = [self.namespace() for _ in range(3)]
        places = [self.peer_ns, *self.routers]
        for i, (above, below) in enumerate(zip(places, self.routers)):
            net = 16 + i
            self.at(above, "ip", "link", "add", f"down{i}", "type", "veth", "peer", "name", "up0", "netns", str(below))
            self.addresses(above, f"down{i}", f"10.9.{net}.1/24", f"fd09:{net}::1/64")
            self.addresses(below, "up0", f"10.9.{net}.2/24", f"fd09:{net}::2/64")
            self.at(below, "ip", "link", "set", "lo", "up")
            self.at(below, "ip", "route", "add", "default", "via", f"10.9.{net}.1")
            self.at(below, "ip", "route", "add", "default", "via", f"fd09:{net}::1")
            for further in range(net + 1, 20):
                if i < 2:
                    self.at(above, "ip", "route", "add", f"10.9.{further}.0/24", "via", f"10.9.{net}.2")
                    self.at(above, "ip", "route", "add", f"fd09:{further}::/64", "via", f"fd09:{net}::2")
        for ns in places:
            self.at(ns, "sh", "-c", f"sysctl -qew {SYSCTL}")
        for address in ("10.9.19.0/24", "fd09:19::/64"):
            self.at(self.routers[1], "ip", "route", "add", "prohibit", address)
        self.at(self.routers[1], "ip", "link", "set", "down2", "mtu", str(FAR_MTU))
        self.at(self.routers[2], "ip", "link", "set", "up0", "mtu", str(FAR_MTU))
        # ping sockets for everybody, as distributions have it
        group = "0 4294967294" if self.as_root else "0 0"
        self.at(self.native_ns, "sysctl", "-qw", f"net.ipv4.ping_group_range={group}")
