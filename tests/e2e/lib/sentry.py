# SPDX-License-Identifier: MIT
"""
sentry.py - proves that nothing leaks

Two threads for as long as a test runs. One sees every packet that leaves the client's network namespace and keeps those that
are not UDP to the peer's endpoint (neighbour discovery and other link-local ICMPv6 apart: the kernel's
own). The other looks at the namespace's IP sockets again and again and keeps those that a process
other than the tunnel process holds.
"""

import os
import socket
import struct
import threading
import time

ETH_P_ALL, PACKET_OUTGOING = 3, 4
ETH_P_IP, ETH_P_IPV6, ETH_P_ARP = 0x0800, 0x86DD, 0x0806
TABLES = ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6")
KEPT = 20


def number(packet, at):
    return struct.unpack("!H", packet[at:at + 2])[0]


def packet_is_expected(protocol, packet, endpoints, ports):
    if protocol == ETH_P_ARP:
        return True
    if protocol == ETH_P_IP:
        header = (packet[0] & 15) * 4
        if packet[9] == socket.IPPROTO_ICMP and packet[header:header + 2] in (b"\3\1", b"\3\3"):
            return packet[header + 8 + 9] == socket.IPPROTO_UDP and number(packet, header + 8 + 20) in ports
        return (packet[9] == socket.IPPROTO_UDP and socket.inet_ntop(socket.AF_INET, packet[16:20]) in endpoints
                and number(packet, header + 2) in ports)
    if protocol == ETH_P_IPV6:
        if packet[6] == socket.IPPROTO_UDP:
            return (socket.inet_ntop(socket.AF_INET6, packet[24:40]) in endpoints
                    and number(packet, 42) in ports)
        if packet[6] == socket.IPPROTO_ICMPV6 and packet[40:42] == b"\1\4":
            return packet[48 + 6] == socket.IPPROTO_UDP and number(packet, 48 + 40) in ports
        # hop-by-hop (multicast listener reports), or neighbour discovery; never echo
        return packet[6] == 0 or (packet[6] == socket.IPPROTO_ICMPV6 and 130 <= packet[40] <= 143)
    return False


def holder(inode):
    """(pid, name) of a process that holds the socket, or None when it has gone."""
    wanted = f"socket:[{inode}]"
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") == wanted:
                    with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                        return int(pid), f.read().strip()
        except OSError:
            continue
    return None


def is_ending(pid):
    """Whether a process has no program any more; its descriptors it may still have for a moment."""
    try:
        os.readlink(f"/proc/{pid}/exe")
    except (FileNotFoundError, ProcessLookupError):
        return True
    except OSError:
        pass
    return False


class SocketSentry:
    """Watches the namespace's IP sockets."""

    def __init__(self, is_tunnel):
        """@is_tunnel(pid): whether that process may hold IP sockets."""
        self.is_tunnel = is_tunnel
        self.sockets_seen, self.sockets = 0, []
        self.stopping, self.threads = False, []
        self.watch(self.watch_sockets)

    def watch(self, what):
        self.threads.append(threading.Thread(target=what, daemon=True))
        self.threads[-1].start()

    def watch_sockets(self):
        known = set()
        while not self.stopping:
            for table in TABLES:
                try:
                    with open(f"/proc/thread-self/net/{table}", encoding="ascii") as f:
                        lines = f.readlines()[1:]
                except OSError:
                    continue
                for line in lines:
                    inode = line.split()[9]
                    if inode == "0" or inode in known:
                        continue
                    known.add(inode)
                    who = holder(inode)
                    if who is None:
                        continue
                    self.sockets_seen += 1
                    # what an ending process was can only be told by its name
                    ours = self.is_tunnel(who[0]) or who[1].startswith("wgwrap") and is_ending(who[0])
                    if not ours and len(self.sockets) < KEPT:
                        self.sockets.append(f"{table}: {line.strip()} held by {who[1]} ({who[0]})")
            time.sleep(0.05)

    def stop(self):
        time.sleep(0.3)
        self.stopping = True
        for thread in self.threads:
            thread.join(2)


class Sentry(SocketSentry):
    """Watches the packets on an interface, too."""

    def __init__(self, interface, endpoints, ports, is_tunnel):
        self.endpoints, self.ports = endpoints, ports
        self.packets_seen, self.leaks = 0, []
        self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
        self.raw.bind((interface, ETH_P_ALL))
        self.raw.settimeout(0.2)
        super().__init__(is_tunnel)
        self.watch(self.watch_packets)

    def watch_packets(self):
        while not self.stopping:
            try:
                packet, where = self.raw.recvfrom(128)
            except (TimeoutError, socket.timeout):
                continue
            except OSError:
                return
            if where[2] != PACKET_OUTGOING:
                continue
            self.packets_seen += 1
            if not packet_is_expected(where[1], packet, self.endpoints, self.ports) and len(self.leaks) < KEPT:
                self.leaks.append(f"protocol {where[1]:#06x}: {packet[:64].hex()}")

    def stop(self):
        super().stop()
        self.raw.close()
