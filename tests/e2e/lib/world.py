# SPDX-License-Identifier: MIT
"""
world.py - a client, a WireGuard peer and servers behind it, in network namespaces of our own

	client namespace (the test's own)         peer namespace
	  out0 192.0.2.2, 2001:db8::2  <---veth---> out0 192.0.2.1, 2001:db8::1
	  wgwrap: 10.9.0.2, fd09::2    <-WireGuard-> wg0  10.9.0.1, fd09::1   wireguard-go, port 51820
	                                             servers on the wildcard
	native namespace
	  in0 10.9.0.3, fd09::3        <---veth---> in0   (the same servers, without WireGuard: the oracle)

Behind the peer, 10.9.1.0/24 and fd09:1::/64 swallow packets (no answer), 10.9.2.0/24 and fd09:2::/64 are answered with ICMP "host
unreachable". The client has no route but to the veth's own prefixes.

enter() puts the script into the namespaces: `unshare -n` as root, `unshare -Urn` otherwise. Wrapped
commands run without capabilities: as nobody where the test is root, else as the mapped user.
"""

import contextlib
import hashlib
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from lib import tap
from lib.sentry import Sentry

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "../../.."))
BUILD = os.environ.get("WGWRAP_BUILD", os.path.join(ROOT, "build"))
INSIDE = "WGWRAP_TEST_INSIDE"
UNWRAPPED = "WGWRAP_TEST_UNWRAPPED"
NOBODY = 65534
PORT = 51820
# An endpoint's port where nobody answers
SILENT_PORT = 9999
BIG_BYTES = 64 << 20
OUTER = {"4": "192.0.2.1", "6": "2001:db8::1"}
# What a command may take before the test calls it hung, on a machine that does much else
LIMIT_S = 180


def enter():
    """Runs the calling script anew inside its namespaces, or skips it with the reason."""
    if os.environ.get(INSIDE):
        return
    root = os.geteuid() == 0
    # Python opens scripts by path: argv[0] is the script itself
    kind = ["unshare", "-nm"] if root else ["unshare", "-Urnm"]
    probe = subprocess.run(kind + ["sh", "-c", "ip link add test0 type veth peer name test1"],
                           capture_output=True, text=True, check=False)
    if probe.returncode:
        tap.skip_all(f"no network namespace here: {probe.stderr.strip().splitlines()[-1:]}")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        tap.skip_all("wireguard-go needs /dev/net/tun, which is not here")
    os.environ[INSIDE] = "root" if root else f"user {os.getuid()} {os.getgid()}"
    os.execvp(kind[0], kind + [sys.executable] + sys.argv)


def need(*tools):
    """Skips the calling test when a program is not installed."""
    for tool in tools:
        if not find(tool):
            tap.skip(f"{tool} is not installed")


def need_no_sanitizer(why):
    """Skips the calling test when wgwrap is built with AddressSanitizer."""
    with open(os.path.join(BUILD, "wgwrap"), "rb") as f:
        if b"libasan" in f.read():
            tap.skip(f"a sanitized wgwrap {why}")


def find(tool):
    """The path of a program; WIREGUARD_GO names another wireguard-go than the installed one."""
    if tool == "wireguard-go" and "WIREGUARD_GO" in os.environ:
        return os.environ["WIREGUARD_GO"]
    return shutil.which(tool, path="/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin")


def run(*argv, **kwargs):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **kwargs).stdout


def wait_until(what, condition, seconds=60.0):
    """Polls @condition until it is true; what it is last if not: AssertionError naming @what."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.02)


def wireguard_go_listens(device):
    """Waits until a wireguard-go can be asked: the socket's name is there a moment before it listens."""
    def listens():
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(f"/run/wireguard/{device}.sock") == 0
    wait_until("wireguard-go's control socket", listens)


def comm(pid):
    """The name of a process; empty when it has gone."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as f:
            return f.read().strip()
    except OSError:
        return ""


def processes(name):
    """Ids of the processes called @name."""
    return [int(pid) for pid in filter(str.isdigit, os.listdir("/proc")) if comm(pid) == name[:15]]


def read_line(stream, seconds=60):
    """The next line of a child's output, or an AssertionError when none comes. Empty: its end."""
    line, deadline = b"", time.monotonic() + seconds
    # Byte by byte, past the stream's buffer: communicate() may read the rest
    while not line.endswith(b"\n"):
        left = max(0, deadline - time.monotonic())
        assert select.select([stream], [], [], left)[0], f"no line within {seconds} s, only {line}"
        byte = os.read(stream.fileno(), 1)
        if not byte:
            break
        line += byte
    return line.decode(errors="replace")


class World:
    """Everything one test script needs; use as tap.main(World)."""

    FINAL_CHECKS = ("nothing but UDP to the endpoint left the client", "only the tunnel process had IP sockets")

    def __init__(self):
        self.as_root = os.environ[INSIDE] == "root"
        self.children, self.log_names, self.unwrapped = [], [], set()
        self.dir = tempfile.mkdtemp(prefix="wgwrap-test-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.files()
        self.network()
        self.wireguard()
        self.sentry = Sentry("out0", set(OUTER.values()), {PORT, SILENT_PORT}, self.may_hold_sockets)

    # ---- files ----

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        with open(path, "w", encoding="utf-8", newline="") as f:
            f.write(text)
        os.chmod(path, mode)
        if self.as_root:
            os.chown(path, NOBODY, NOBODY)
        return path

    def files(self):
        """A copy of what was built, where any user can read it, and directories of the user's own."""
        os.mkdir(self.path("bin"))
        for name in ("wgwrap", "libwgwrap.so"):
            shutil.copy(os.path.join(BUILD, name), self.path("bin", name))
        programs = os.path.join(BUILD, "tests/programs")
        if os.path.isdir(programs):
            shutil.copytree(programs, self.path("programs"))
        # the build may have been made for its owner alone
        run("chmod", "-R", "a+rX", *filter(os.path.isdir, (self.path("bin"), self.path("programs"))))
        for name in ("home", "run", "work"):
            os.mkdir(self.path(name), 0o700)
            if self.as_root:
                os.chown(self.path(name), NOBODY, NOBODY)
        self.wgwrap = self.path("bin", "wgwrap")
        os.mkdir(self.path("www"))
        block = bytes(range(256)) * 4096
        digest = hashlib.sha256()
        with open(self.path("www", "big.bin"), "wb") as f:
            for i in range(BIG_BYTES // len(block)):
                piece = i.to_bytes(8, "big") + block[8:]
                f.write(piece)
                digest.update(piece)
        self.big_sha256 = digest.hexdigest()
        with open(self.path("www", "index.html"), "w", encoding="ascii") as f:
            f.write("behind the tunnel\n")

    # ---- network ----

    def network(self):
        # Ours alone: sockets and pid files of daemons, wireguard-go's control socket
        run("mount", "--make-rprivate", "/")
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        os.makedirs("/run/wireguard", 0o700)
        os.makedirs("/run/sshd", 0o755)
        self.peer_ns = self.namespace()
        self.native_ns = self.namespace()
        run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "out0", "netns", str(self.peer_ns))
        run("ip", "link", "set", "lo", "up")
        self.addresses("", "out0", "192.0.2.2/24", "2001:db8::2/64")
        self.addresses(self.peer_ns, "out0", "192.0.2.1/24", "2001:db8::1/64")
        self.at(self.peer_ns, "ip", "link", "add", "in0", "type", "veth",
                "peer", "name", "in0", "netns", str(self.native_ns))
        self.addresses(self.native_ns, "in0", "10.9.0.3/32", "fd09::3/128")
        self.addresses(self.peer_ns, "in0", "10.9.9.1/32", "fe80::1/64")
        for ns in (self.peer_ns, self.native_ns):
            self.at(ns, "ip", "link", "set", "lo", "up")
        for route in ("10.9.0.3", "fd09::3"):
            self.at(self.peer_ns, "ip", "route", "add", route, "dev", "in0")
        for route, gateway in (("10.9.0.0/16", "10.9.9.1"), ("fd09::/16", "fe80::1")):
            self.at(self.native_ns, "ip", "route", "add", route, "via", gateway, "dev", "in0", "onlink")
        self.at(self.peer_ns, "sh", "-c", "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 "
                "net.ipv4.icmp_ratelimit=0")
        for kind, v4, v6 in (("blackhole", "10.9.1.0/24", "fd09:1::/64"), ("unreachable", "10.9.2.0/24", "fd09:2::/64")):
            self.at(self.peer_ns, "ip", "route", "add", kind, v4)
            self.at(self.peer_ns, "ip", "route", "add", kind, v6)

    def namespace(self):
        holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        self.children.append(holder)
        own = os.readlink("/proc/self/ns/net")
        wait_until("a network namespace", lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != own)
        return holder.pid

    def addresses(self, ns, device, *addresses):
        for address in addresses:
            self.at(ns, "ip", "address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
        self.at(ns, "ip", "link", "set", device, "up")

    @staticmethod
    def inside(ns):
        return ["nsenter", "-t", str(ns), "-n", "--"] if ns else []

    def at(self, ns, *argv):
        try:
            return run(*self.inside(ns), *argv)
        except subprocess.CalledProcessError as e:
            raise RuntimeError(f"{argv}: {e.stderr}") from e

    # ---- WireGuard ----

    def wireguard(self):
        pairs = {name: self.key_pair() for name in ("client", "peer")}
        self.key = {name: private for name, (private, _) in pairs.items()}
        self.pub = {name: public for name, (_, public) in pairs.items()}
        self.psk = run(self.wgwrap, "genpsk").strip()
        self.start_wireguard_go()
        self.conf = self.write("peer.conf", self.config(), 0o600)
        self.last_use = (self.conf, False)
        self.conf6 = self.write("peer6.conf", self.config(outer="6"), 0o600)

    def key_pair(self):
        """A new private key, and the public one that belongs to it."""
        private = run(self.wgwrap, "genkey").strip()
        return private, run(self.wgwrap, "pubkey", input=private + "\n").strip()

    def start_wireguard_go(self):
        log = open(self.path("wireguard-go.log"), "a", encoding="utf-8")
        self.wireguard_go = subprocess.Popen(self.inside(self.peer_ns) + [find("wireguard-go"), "-f", "wg0"],
                                             stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.children.append(self.wireguard_go)
        wireguard_go_listens("wg0")
        peer = (f"[Interface]\nPrivateKey = {self.key['peer']}\nListenPort = {PORT}\n"
                f"[Peer]\nPublicKey = {self.pub['client']}\nPresharedKey = {self.psk}\n"
                "AllowedIPs = 10.9.0.2/32, fd09::2/128\n")
        run(*self.inside(self.peer_ns), find("wg"), "setconf", "wg0", "/dev/stdin", input=peer)
        self.addresses(self.peer_ns, "wg0", "10.9.0.1/32", "fd09::1/128")
        for route in ("10.9.0.2", "fd09::2"):
            self.at(self.peer_ns, "ip", "route", "replace", route, "dev", "wg0")
        self.at(self.peer_ns, "ip", "link", "set", "wg0", "mtu", "1420")

    def config(self, outer="4", address="10.9.0.2/32, fd09::2/128", allowed="10.9.0.0/16, fd09::/16", dns="10.9.0.1",
               key="client", endpoint=None, interface="", peer=""):
        """A client's file, with one line changed or added."""
        host = f"[{OUTER[outer]}]" if outer == "6" else OUTER[outer]
        return ("[Interface]\n"
                f"PrivateKey = {self.key[key]}\nAddress = {address}\n" + (f"DNS = {dns}\n" if dns else "") + interface +
                "\n[Peer]\n"
                f"PublicKey = {self.pub['peer']}\nPresharedKey = {self.psk}\nAllowedIPs = {allowed}\n"
                f"Endpoint = {endpoint or f'{host}:{PORT}'}\n" + peer)

    # ---- running things ----

    def environment(self, **more):
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": self.path("home"), "LANG": "C.UTF-8",
               "XDG_RUNTIME_DIR": self.path("run"), "TMPDIR": "/tmp"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                env[name] = os.environ[name]
        env.update(more)
        return {name: value for name, value in env.items() if value is not None}

    def unprivileged(self):
        """
        What a wrapped command's argv starts with: no capability, and nobody where we are root. The ordinary user, who is
        root in our namespace, is somebody else in one more: programs that behave otherwise as root do not.
        """
        if not self.as_root:
            return ["unshare", "-U", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--"]
        return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", f"--reuid={NOBODY}", f"--regid={NOBODY}",
                "--clear-groups", "--"]

    def start(self, argv, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        kwargs.setdefault("cwd", self.path("work"))
        kwargs.setdefault("env", self.environment())
        child = subprocess.Popen(argv, **kwargs)
        self.children.append(child)
        return child

    def start_server(self, name, argv, ready=None, ns=None, **kwargs):
        """
        Starts @argv in the peer's namespace; waits for a TCP listener on port @ready, for all of a tuple (of "tcp:80", "tcp6:80",
        "udp:53" and the like: what has several listeners opens one after the other), or for the word "ready".
        """
        self.log_names.append(f"{name}.log")
        log = open(self.path(f"{name}.log"), "w", encoding="utf-8")
        ns = self.peer_ns if ns is None else ns
        child = self.start(self.inside(ns) + argv, stdout=log, stderr=log, **kwargs)

        def up():
            if child.poll() is not None:
                with open(log.name, encoding="utf-8", errors="replace") as f:
                    raise AssertionError(f"{name} ended with status {child.returncode}: {f.read()}")
            if isinstance(ready, tuple):
                return all(f":{int(port):04X} " in self.at(ns, "cat", f"/proc/net/{table}")
                           for table, _, port in (place.partition(":") for place in ready))
            if isinstance(ready, int):
                return f":{ready:04X} " in self.at(ns, "cat", "/proc/net/tcp", "/proc/net/tcp6")
            with open(log.name, encoding="utf-8", errors="replace") as f:
                return (ready or "ready") in f.read()
        wait_until(f"{name} to serve", up)
        return child

    def wrap(self, *argv, conf=None, options=(), privileged=False):
        """
        The argv of a wrapped command. Another file than last time: not while the old settings linger. Another
        user: not while the tunnel process of the other user, with the same key, lingers.
        """
        if (conf or self.conf, privileged) != self.last_use:
            self.last_use = (conf or self.conf, privileged)
            self.end_tunnels()
        return ([] if privileged else self.unprivileged()) + \
            [self.wgwrap, "-c", conf or self.conf, *options, "--", *argv]

    def wrapped(self, *argv, conf=None, options=(), privileged=False, limit=LIMIT_S, **kwargs):
        """Runs a wrapped command to its end: CompletedProcess with text output."""
        return self.finish_command(self.wrap(*argv, conf=conf, options=options, privileged=privileged), limit, **kwargs)

    def native(self, *argv, limit=LIMIT_S, **kwargs):
        """Runs the command on the kernel's stack, next to the same servers."""
        return self.finish_command(self.inside(self.native_ns) + list(argv), limit, **kwargs)

    def outside(self, *argv, limit=LIMIT_S):
        """Runs an unwrapped command in the client's namespace: the sentry knows its sockets by the environment."""
        return self.finish_command(list(argv), limit, env=self.environment(**{UNWRAPPED: "1"}))

    def finish_command(self, argv, limit=LIMIT_S, **kwargs):
        kwargs.setdefault("cwd", self.path("work"))
        kwargs.setdefault("env", self.environment())
        if "input" not in kwargs:
            kwargs.setdefault("stdin", subprocess.DEVNULL)
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        kwargs.setdefault("errors", "replace")
        child = subprocess.Popen(argv, stdin=subprocess.PIPE if "input" in kwargs else kwargs.pop("stdin"),
                                 start_new_session=True, **{k: v for k, v in kwargs.items() if k != "input"})
        if UNWRAPPED in kwargs["env"]:
            self.unwrapped.add(child.pid)
        try:
            out, err = child.communicate(kwargs.get("input"), timeout=limit)
        except subprocess.TimeoutExpired as late:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
            raise AssertionError(f"{' '.join(argv)}\nstill running after {limit} s; stderr: {err}") from late
        return subprocess.CompletedProcess(argv, child.returncode, out, err)

    def ok(self, *argv, **kwargs):
        """Like wrapped(), and the command must succeed. Returns its standard output."""
        done = self.wrapped(*argv, **kwargs)
        assert done.returncode == 0, f"{' '.join(argv)}: status {done.returncode}\n{done.stderr}"
        return done.stdout

    def tunnels(self):
        """Ids of our tunnel processes."""
        return [pid for pid in processes("wgwrap-tunnel") if self.is_wgwrap(pid)]

    def end_tunnels(self):
        """Kills all tunnel processes: the next command starts afresh, or with another file's settings."""
        def none_left():
            left = self.tunnels()
            for pid in left:  # a command that is ending may have started one more
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            return not left
        wait_until("the end of all tunnel processes", none_left)

    def is_wgwrap(self, pid):
        """Whether @pid is the front, the supervisor or the tunnel process, of this world's copies of wgwrap."""
        try:
            return os.readlink(f"/proc/{pid}/exe").startswith(self.dir + "/") and "wgwrap" in comm(pid)
        except OSError:
            return False

    def may_hold_sockets(self, pid):
        """Whether the sentry lets @pid hold IP sockets: wgwrap's own processes, and what outside() runs."""
        if self.is_wgwrap(pid) or pid in self.unwrapped:  # which may have ended meanwhile
            return True
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                return f"{UNWRAPPED}=1".encode() in f.read().split(b"\0")
        except OSError:
            return False

    # ---- the end ----

    def describe(self):
        """What a failed test's report should carry: the ends of the logs."""
        text = ""
        for name in self.log_names:
            with contextlib.suppress(OSError):
                with open(self.path(name), encoding="utf-8", errors="replace") as f:
                    tail = f.read()[-800:]
                    text += f"-- {name}\n{tail}\n" if tail.strip() else ""
        return text

    def finish(self):
        self.sentry.stop()
        leaks, sockets = self.sentry.leaks, self.sentry.sockets
        if not self.sentry.packets_seen:
            leaks = ["no packet was seen at all: the capture does not work"]
        return zip(self.FINAL_CHECKS, ("\n".join(leaks) or None, "\n".join(sockets) or None))

    def close(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.terminate()
        for child in self.children:
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for name in ("wgwrap", "wgwrap-session", "wgwrap-tunnel"):
            for pid in filter(self.is_wgwrap, processes(name)):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)


def main(world=World):
    tap.main(world, world.FINAL_CHECKS)


RESERVED = []


def reserve(port):
    """Whether no other script that runs now has been given @port: who has holds a name, in the namespace of the port."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0wgwrap-test-port-{port}")
    except OSError:
        name.close()
        return False
    RESERVED.append(name)
    return True


def free_port():
    """
    A port that nobody has, neither for TCP nor for UDP; outside of those that the kernel gives to others meanwhile, and no
    other script's before this one has ended.
    """
    while True:
        port = random.randrange(10000, 32768)
        if not reserve(port):
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("", port))
                udp.bind(("", port))
                return port
            except OSError:
                pass
