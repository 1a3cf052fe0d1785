#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
compare.py - wgwrap side by side with a wireguard-go TUN client, against the same wireguard-go server

usage: compare.py [throughput] [floor] [providers] [others] [pair] [small] [requests] [datagrams] [lossy]        (default: all)

  throughput	iperf3 up and down, 1 and 8 streams; CPU seconds per GB of every process
  floor		what AF_UNIX, AEAD and UDP alone cost a byte
  providers	the tunnel process's CPU per byte with each AEAD provider, as a multiple of the AEAD alone
  others	wireproxy, if it is on PATH; the kernel's loopback
  pair		two wgwraps, no wireguard-go
  small		start to first byte, round trips of one byte and of an HTTP request
  requests	HTTP requests per second over 1, 16, 64 and 256 connections; CPU of every process
  datagrams	UDP, at a rate and as fast as the sender can: what arrives, and CPU of every process
  lossy		one stream over a relay with delay, loss or a bottleneck; two that share the bottleneck

Clients take turns within a round; figures are medians over ROUNDS. The kernel's TCP work is in no figure of
the TUN client. WIREGUARD_GO names another wireguard-go than the one on PATH.
"""

import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))

from figures import bar, row, section  # pylint: disable=wrong-import-position
from lib import servers, world  # pylint: disable=wrong-import-position
from lib.clients import TunClient, cpu_seconds, highest_kib  # pylint: disable=wrong-import-position
from lib.world import BUILD, find, run, wait_until  # pylint: disable=wrong-import-position
from sides import (  # pylint: disable=wrong-import-position
    ROUNDS, SECONDS, Pair, Wgwrap, costs, iperf3, median, medians, program, transfer, version)

world.enter()

RELAY_PORT = 51821
SHARED_PORTS = (5401, 5402)
SHARED_S, SHARED_LATER_S = 20, 2
SHARED_ROUNDS = (ROUNDS + 2) // 3
REQUESTS_ROUNDS = (ROUNDS + 1) // 2
CONNECTIONS = (1, 16, 64, 256)
WAYS = (("up", ()), ("down", ("-R",)))
STREAMS = (("up, 1 stream", ()), ("down, 1 stream", ("-R",)),
           ("up, 8 streams", ("-P", "8")), ("down, 8 streams", ("-P", "8", "-R")))
DATAGRAM_BYTES = 1200  # what QUIC sends
DATAGRAMS = (("200 Mbit/s", "200M"), ("as fast as they are sent", "0"))
PATHS = (  # round trip in ms, loss in %, Mbit/s, queue in packets or a policer's bucket in KiB
    (40, 0, 0, 0), (40, 0.1, 0, 0), (40, 1, 0, 0), (200, 0, 0, 0), (200, 0.1, 0, 0), (200, 1, 0, 0), (40, 0, 50, 100),
    (40, 0, 50, "64K"))


def throughput(w, tun):
    section("Throughput, and CPU seconds per GB")
    servers.iperf3(w)
    for name, options in STREAMS:
        client = Wgwrap(w)
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(transfer(w, client.argv, {"client": client.pid, "peer": w.wireguard_go.pid}, *options))
            theirs.append(transfer(w, tun.argv, {"client": tun.process.pid, "peer": w.wireguard_go.pid}, *options))
        rate, cpu = medians(ours)
        other_rate, other_cpu = medians(theirs)
        for who, pid, r, c in (("wgwrap", client.pid, rate, cpu),
                               ("wireguard-go TUN client", tun.process.pid, other_rate, other_cpu)):
            row(f"{name}: {who}", f"{r:.2f} Gbit/s; CPU s/GB: {costs(c)}; at most {highest_kib(pid) / 1024:.0f} MiB")
            bar("Throughput, Gbit/s", name, who, r)
            bar("CPU seconds per GB of the client", name, who, c["client"])
        # what all of them together use of the machine, and how fast it would be with no client at all
        bound = os.cpu_count() * 8 / (sum(cpu.values()) - cpu["client"])
        row("  ratio", f"{rate / other_rate:.2f} times the throughput, {cpu['client'] / other_cpu['client']:.2f} of the CPU")
        row("  what bounds it", f"the processes use {sum(cpu.values()) * rate / 8 / os.cpu_count() * 100:.0f} % of "
            f"{os.cpu_count()} processors; a client that costs nothing would leave room for {bound:.1f} Gbit/s, "
            f"{bound / other_rate:.2f} times the TUN client's")
        client.close()


def floor(_w, _tun):
    section("What a byte costs at least")
    for line in run(os.path.join(BUILD, "tests/bench/floor")).splitlines():
        way, *steps = line.split()
        row(f"{way}: AF_UNIX, the fastest AEAD, UDP on loopback",
            f"{' + '.join(steps)} = {sum(map(float, steps)):.2f} CPU s/GB")


def providers(w, _tun):
    section("AEAD providers")
    servers.iperf3(w)
    bare, results = {}, {}
    for _ in range(ROUNDS):
        for line in run(os.path.join(BUILD, "tests/bench/aead")).splitlines():
            name, *costs_alone = line.split()
            client = Wgwrap(w, WGWRAP_AEAD=name)
            for (way, options), alone in zip(WAYS, costs_alone):
                bare.setdefault((name, way), []).append(float(alone))
                results.setdefault((name, way), []).append(
                    transfer(w, client.argv, {"client": client.pid}, *options))
            client.close()
    for (name, way), measured in results.items():
        rate, cpu = medians(measured)
        alone = median(bare[name, way])
        times = cpu["client"] / alone
        row(f"{name}, {way}", f"{cpu['client']:.2f} CPU s/GB, {times:.2f} times its bare AEAD's {alone:.2f}; "
            f"{rate:.2f} Gbit/s")
        bar("Times the bare AEAD's CPU", f"{name} {way}", "tunnel process", times)


def wireproxy(w):
    """wireproxy's TCPClientTunnel carries iperf3; its peer is ours, whose client is not running meanwhile."""
    w.end_tunnels()
    conf = w.write("wireproxy.conf", w.config(allowed="10.9.0.0/16") +
                   "\n[TCPClientTunnel]\nBindAddress = 127.0.0.1:5301\nTarget = 10.9.0.1:5201\n", 0o600)
    process = w.start([find("wireproxy"), "-c", conf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until("wireproxy's listener", lambda: ":14B5 " in w.at(0, "cat", "/proc/net/tcp"))
    for way, options in WAYS:
        rate, cpu = medians([transfer(w, lambda *argv: list(argv), {"client": process.pid}, "-p", "5301", *options,
                                      host="127.0.0.1") for _ in range(ROUNDS)])
        row(f"wireproxy, {way}", f"{rate:.2f} Gbit/s; CPU s/GB: {costs(cpu)}; "
            f"at most {highest_kib(process.pid) / 1024:.0f} MiB")
    process.terminate()
    process.wait()


def others(w, _tun):
    section("Others")
    servers.iperf3(w)
    if find("wireproxy"):
        row("wireproxy", version("wireproxy"))
        wireproxy(w)
    else:
        row("wireproxy", "not on PATH")
    inside = w.inside(w.peer_ns)
    for way, options in WAYS:
        rate, cpu = medians([transfer(w, lambda *argv: inside + list(argv), {}, *options, host="127.0.0.1")
                             for _ in range(ROUNDS)])
        row(f"kernel's loopback, {way}", f"{rate:.1f} Gbit/s; CPU s/GB: {costs(cpu)}")


def pair(w, _tun):
    section("Two wgwraps")
    both = Pair(w)
    for way, options in WAYS:
        rate, cpu = medians([transfer(w, both.argv, {"client": both.pid, "server": both.server_pid}, *options,
                                      host=both.HOST) for _ in range(ROUNDS)])
        row(f"two wgwraps, 1 stream {way}", f"{rate:.2f} Gbit/s; CPU s/GB: {costs(cpu)}")
    both.close()


# ---- small exchanges ----

def figure(done, name):
    for line in done.stdout.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    raise AssertionError(done)


def exchanges(w, client, *what):
    done = w.finish_command(client.argv(program(w, "traffic"), *what), 60)
    return figure(done, "median_us")


def first_byte_ms(w, argv, prefix=(), count=1):
    """
    Median time from the start of what @argv makes of a client to its first byte from the server. @prefix, which gives up
    privileges, is not part of it.
    """
    command = argv(program(w, "traffic"), "pingpong", "10.9.0.1", "5400", "1")
    gives_up = w.unprivileged()
    assert command[:len(gives_up)] == gives_up, command
    done = w.finish_command([*prefix, *gives_up, program(w, "traffic"), "start", str(count), *command[len(gives_up):]], 60)
    return figure(done, "median_us") / 1000


def starts(w, tun):
    cold = []
    for _ in range(ROUNDS):
        w.end_tunnels()
        time.sleep(0.2)  # wireguard-go ignores an initiation within 50 ms of the last one
        cold.append(first_byte_ms(w, w.wrap))
    client = Wgwrap(w)
    warm = first_byte_ms(w, client.argv, count=4 * ROUNDS)
    bare = first_byte_ms(w, lambda *argv: [*w.unprivileged(), *argv], tun.argv(), 4 * ROUNDS)
    row("start to first byte, cold; warm", f"{median(cold):.1f} ms; {warm:.1f} ms "
        f"(the same program in the TUN's namespace: {bare:.1f} ms)")
    return client


def small(w, tun):
    section("Small exchanges")
    w.start_server("traffic", [program(w, "traffic"), "serve", "5400"])
    with open(w.path("www", "1k"), "wb") as f:
        f.write(bytes(1024))
    servers.web(w)
    exchanges(w, tun, "pingpong", "10.9.0.1", "5400", "1")  # its handshake
    client = starts(w, tun)
    for name, what in (("one byte there and back", ("pingpong", "10.9.0.1", "5400", "3000")),
                       ("HTTP request for 1 KiB", ("http", "10.9.0.1", "80", "/1k", "3000"))):
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(exchanges(w, client, *what))
            theirs.append(exchanges(w, tun, *what))
        row(f"{name}: wgwrap; TUN client", f"{median(ours):.0f} us; {median(theirs):.0f} us, "
            f"{median(ours) / median(theirs):.2f} of it")
        bar("Round trips, microseconds", name, "wgwrap", median(ours))
        bar("Round trips, microseconds", name, "wireguard-go TUN client", median(theirs))
    client.close()


# ---- many small exchanges ----

def rate_of_requests(w, argv, parallel, pids):
    """Requests per second, and CPU in microseconds per request of each process of @pids (name: pid)."""
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    done = w.finish_command(argv(program(w, "traffic"), "requests", "10.9.0.1", "80", "/1k", str(parallel), str(SECONDS)), 60)
    rate = figure(done, "requests_per_s")
    return rate, {name: (cpu_seconds(pid) - before[name]) / (rate * SECONDS) * 1e6 for name, pid in pids.items()}


def requests(w, tun):
    section("Requests per second over kept connections, and CPU in microseconds per request")
    with open(w.path("www", "1k"), "wb") as f:
        f.write(bytes(1024))
    nginx = servers.web(w).pid
    client = Wgwrap(w)
    for parallel in CONNECTIONS:
        ours, theirs = [], []
        for _ in range(REQUESTS_ROUNDS):
            for side, argv, pid in ((ours, client.argv, client.pid), (theirs, tun.argv, tun.process.pid)):
                side.append(rate_of_requests(w, argv, parallel, {"client": pid, "peer": w.wireguard_go.pid, "nginx": nginx}))
        name = f"{parallel} connection" + "s" * (parallel > 1)
        for who, side in (("wgwrap", ours), ("wireguard-go TUN client", theirs)):
            rate, cpu = medians(side)
            row(f"{name}: {who}", f"{rate:.0f} requests/s; CPU us: {costs(cpu)}")
            bar("Requests per second", name, who, rate)
        row("  ratio", f"{medians(ours)[0] / medians(theirs)[0]:.2f} times the requests")
    client.close()


# ---- datagrams ----

def rate_of_datagrams(w, argv, pids, *options):
    """Datagrams received per second, and CPU in microseconds per received one of each process of @pids (name: pid)."""
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    total = iperf3(w, argv, "10.9.0.1", "-u", "-l", str(DATAGRAM_BYTES), *options)["sum"]
    received = total["packets"] - total["lost_packets"]
    return received / SECONDS, {name: (cpu_seconds(pid) - before[name]) / received * 1e6 for name, pid in pids.items()}


def datagrams(w, tun):
    section(f"Datagrams of {DATAGRAM_BYTES} bytes received per second, and CPU in microseconds per received one")
    servers.iperf3(w)
    client = Wgwrap(w)
    for load, rate in DATAGRAMS:
        for way, options in WAYS:
            ours, theirs = [], []
            for _ in range(ROUNDS):
                for side, argv, pid in ((ours, client.argv, client.pid), (theirs, tun.argv, tun.process.pid)):
                    side.append(rate_of_datagrams(w, argv, {"client": pid, "peer": w.wireguard_go.pid}, "-b", rate, *options))
            name = f"{load}, {way}"
            for who, side in (("wgwrap", ours), ("wireguard-go TUN client", theirs)):
                arrive, cpu = medians(side)
                row(f"{name}: {who}", f"{arrive:.0f} datagrams/s; CPU us: {costs(cpu)}")
                bar("Datagrams per second", name, who, arrive)
            row("  ratio", f"{medians(ours)[0] / medians(theirs)[0]:.2f} times the datagrams, "
                f"{medians(ours)[1]['client'] / medians(theirs)[1]['client']:.2f} of the CPU")
    client.close()


# ---- lossy paths ----

def relay(w, path, *addresses):
    """A path that the tunnels of all @addresses share."""
    rtt, loss, rate, queue = path
    pairs = [word for address in addresses for word in (address, str(RELAY_PORT), address, str(world.PORT))]
    return w.start_server(f"relay-{addresses[0]}", [program(w, "relay"), str(rtt / 2), str(loss), str(rate), str(queue), *pairs])


def end_relays(*relays):
    for child in relays:
        child.send_signal(signal.SIGTERM)
        child.wait()


def buffer(queue):
    return f"{queue} packets" if isinstance(queue, int) else f"policer of {queue}iB"


def mbit(w, argv, *options):
    return iperf3(w, argv, "10.9.0.1", *options)["sum_received"]["bits_per_second"] / 1e6


def lossy(w, tun):
    section("Lossy paths")
    servers.iperf3(w)
    for ns in (w.peer_ns, tun.ns):
        w.at(ns, "sysctl", "-qw", "net.ipv4.tcp_congestion_control=bbr",
             "net.ipv4.tcp_rmem=4096 131072 33554432", "net.ipv4.tcp_wmem=4096 131072 33554432")
    conf = w.write("lossy.conf", w.config(endpoint=f"192.0.2.1:{RELAY_PORT}"), 0o600)
    tun.go_through(RELAY_PORT)
    for path in PATHS:
        relays = [relay(w, path, address) for address in ("192.0.2.1", tun.SERVER)]
        client = Wgwrap(w, conf)
        rtt, loss, rate, queue = path
        for name, options in WAYS:
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(mbit(w, client.argv, *options))
                theirs.append(mbit(w, tun.argv, *options))
            bottleneck = f", {rate} Mbit/s, {buffer(queue)}" if rate else ""
            row(f"{rtt} ms, {loss} % loss{bottleneck}, {name}",
                f"{median(ours):.0f} Mbit/s; Linux (BBR) over wireguard-go {median(theirs):.0f}; "
                f"ratio {median(ours) / median(theirs):.2f}")
            for who, values in (("wgwrap", ours), ("Linux (BBR) over wireguard-go", theirs)):
                bar(f"Lossy paths, {name}, Mbit/s", f"{rtt} ms, {loss} %{bottleneck}", who, median(values))
        client.close()
        end_relays(*relays)
    shared(w, tun, conf)
    tun.go_through(world.PORT)


def received(result, since, until):
    """Mbit/s that an iperf3 server has got between two times of day."""
    server = result["server_output_json"]
    start = server["start"]["timestamp"]["timesecs"]
    slices = [s["sum"] for s in server["intervals"]
              if start + s["sum"]["start"] >= since and start + s["sum"]["end"] <= until]
    return sum(s["bytes"] for s in slices) * 8e-6 / sum(s["seconds"] for s in slices) if slices else 0


def later_half(w, argvs, host):
    """Mbit/s of uploads side by side, each begun SHARED_LATER_S after the one before, once all have had time to settle."""
    began = time.time()
    commands = []
    for i, (argv, port) in enumerate(zip(argvs, SHARED_PORTS)):
        time.sleep(max(0.0, began + i * SHARED_LATER_S - time.time()))
        commands.append(w.start(argv("iperf3", "-c", host, "-p", str(port), "-t", str(SHARED_S - i * SHARED_LATER_S), "-J",
                                     "--get-server-output"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    results = [json.loads(child.communicate(timeout=SHARED_S + 60)[0]) for child in commands]
    return [received(result, began + SHARED_S / 2, began + SHARED_S - 1) for result in results]


def shared(w, tun, conf):
    """Uploads through one bottleneck, next to what two of Linux's do to each other."""
    for port in SHARED_PORTS:
        w.start_server(f"iperf3-{port}", ["iperf3", "-s", "-J", "-p", str(port)], ready=port)
    child = relay(w, (40, 0, 50, 100), "192.0.2.1", tun.SERVER)
    client = Wgwrap(w, conf)
    # what the machine does not allow, its namespaces cannot have
    allowed = w.at(tun.ns, "sysctl", "-n", "net.ipv4.tcp_allowed_congestion_control").split()
    other = "cubic" if "cubic" in allowed else "reno"
    flows = {"wgwrap": client.argv} | {
        f"Linux ({control})": lambda *argv, control=control: tun.argv(*argv, "-C", control) for control in ("bbr", other)}
    for names in (("wgwrap", "Linux (bbr)"), ("Linux (bbr)", "wgwrap"), ("Linux (bbr)", "Linux (bbr)"),
                  ("wgwrap", f"Linux ({other})"), (f"Linux ({other})", "wgwrap"),
                  ("Linux (bbr)", f"Linux ({other})"), (f"Linux ({other})", "Linux (bbr)")):
        rates = [later_half(w, [flows[name] for name in names], "10.9.0.1") for _ in range(SHARED_ROUNDS)]
        row(f"50 Mbit/s, 100 packets: {names[0]}, then {names[1]}",
            " and ".join(f"{median(column):.1f}" for column in zip(*rates)) + " Mbit/s")
    client.close()
    end_relays(child)


def main():
    parts = {f.__name__: f for f in (throughput, floor, providers, others, pair, small, requests, datagrams, lossy)}
    wanted = sys.argv[1:] or list(parts)
    if not set(wanted) <= set(parts):
        sys.exit(__doc__)
    w = world.World()
    w.sentry.stop()  # it looks at every packet of ours, and at none of the TUN client's
    try:
        section("Compared with")
        row("peer and TUN client", version("wireguard-go"))
        row("iperf3", version("iperf3"))
        tun = TunClient(w)
        for name in wanted:
            began = time.monotonic()
            parts[name](w, tun)
            print(f"({name} took {time.monotonic() - began:.0f} s)", flush=True)
    finally:
        w.close()


main()
