#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
run.py - every case of this folder natively and through the tunnel; the outputs must be equal

usage: run.py [-v] [--supervised] [PROGRAM[.CASE]...]
	-v		print the outputs of every case
	--supervised	without the shared object: the supervisor answers every call (--capture=supervisor)

Natively, programs and server run on the kernel's stack, in two network namespaces with a veth between them.
Wrapped, both are wrapped by a wgwrap each, with the same addresses, and nothing but loopback between those. The programs
run without capabilities, as nobody where the test is root. A sentry looks for IP sockets that a wrapped process holds
itself; there are to be none.

A case that differs, in each of three runs, must be in the ledger of preload/README.md (as `program.case`), and what is there must
differ: then it counts as listed. With --supervised, the ledger is that one and the one of src/capture/README.md, less what the latter
says is equal. One line per case says equal, listed or FAILING; TAP goes to tests/run.

time limit: 900 s
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "../.."))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))

from lib import tap  # noqa: E402  pylint: disable=wrong-import-position
from lib.sentry import SocketSentry  # noqa: E402  pylint: disable=wrong-import-position
from lib.world import BUILD, INSIDE, NOBODY, enter, find, wait_until  # noqa: E402  pylint: disable=wrong-import-position

LIMIT_S = 800
AGAIN = 2  # so often a case runs alone that is not what it must be: many wait for a moment, in which a busy machine does nothing
PORT = 51820
TUNNEL_MTU = 1420
LEDGERS = {"preload": ("preload/README.md", "## Accepted differences"),
           "capture": ("src/capture/README.md", "## Differences from the shared object")}
EQUAL_AGAIN = "Equal all the same:"
TABLE = "## What is covered"
CASE_NAME = r"`([a-z0-9_]+\.[a-z0-9_]+)`"
NAMES = ("10.77.0.1 hosts.test hosts-alias\nfd77::1 hosts.test\n127.0.0.1 localhost\n::1 localhost ip6-localhost\n"
         "10.77.0.5 only4.hosts.test\nfd77::5 only6.hosts.test\n")


def run(*argv, **kwargs):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **kwargs)
    if done.returncode:
        raise RuntimeError(f"{argv}: {done.stderr}")
    return done.stdout


class Places:
    """The two places a program runs in: native and wrapped."""

    def __init__(self, supervised):
        self.as_root = os.environ[INSIDE] == "root"
        self.options = ["--capture=supervisor"] if supervised else []
        self.dir = tempfile.mkdtemp(prefix="wgwrap-behaviours-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.children = []
        self.install()
        self.native_client, self.native_server = self.namespace(), self.namespace()
        self.network()
        self.names()
        self.configure()
        self.sentry = SocketSentry(self.is_wgwrap)

    def is_wgwrap(self, pid):
        try:
            return os.readlink(f"/proc/{pid}/exe") == self.path("bin", "wgwrap")
        except OSError:
            return False

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def own(self, path):
        if self.as_root:
            os.chown(path, NOBODY, NOBODY)

    def install(self):
        """Where nobody can read it."""
        os.mkdir(self.path("bin"))
        for name in ("wgwrap", "libwgwrap.so"):
            shutil.copy(os.path.join(BUILD, name), self.path("bin"))
        shutil.copytree(os.path.join(BUILD, "tests/behaviours"), self.path("programs"),
                        ignore=shutil.ignore_patterns("*.d"))
        # the build may have been made for its owner alone
        run("chmod", "-R", "a+rX", self.path("bin"), self.path("programs"))
        for name in ("run-a", "run-b", "work", "home"):
            os.mkdir(self.path(name), 0o700)
            self.own(self.path(name))

    # ---- network ----

    def namespace(self):
        holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        self.children.append(holder)
        mine = os.readlink("/proc/self/ns/net")
        wait_until("a network namespace", lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != mine)
        return holder.pid

    @staticmethod
    def inside(ns):
        return ["nsenter", "-t", str(ns), "-n", "--"]

    def network(self):
        run("ip", "link", "set", "lo", "up")
        # interfaces of the host where the wrapped programs run: more than have the indices of the tunnel's
        run("ip", "link", "add", "host0", "type", "veth", "peer", "name", "host1")
        sides = ((self.native_client, "10.77.0.2", "fd77::2"), (self.native_server, "10.77.0.1", "fd77::1"))
        run(*self.inside(sides[0][0]), "ip", "link", "add", "wg0", "type", "veth", "peer", "name", "wg0",
            "netns", str(sides[1][0]))
        for ns, v4, v6 in sides:
            for command in (f"link set lo up\nlink set wg0 mtu {TUNNEL_MTU}\naddress add {v4}/24 dev wg0\n"
                            f"address add {v6}/64 dev wg0 nodad\nlink set wg0 up\n").splitlines():
                run(*self.inside(ns), "ip", *command.split())
        for route, gateway in (("10.77.1.0/24", "10.77.0.1"), ("fd77:1::/64", "fd77::1")):
            run(*self.inside(self.native_client), "ip", "route", "add", route, "via", gateway)
        # ping sockets for everybody, as distributions have it
        for ns, _, _ in sides:
            run(*self.inside(ns), "sysctl", "-qw", "net.ipv4.ping_group_range=0 4294967294" if self.as_root else
                "net.ipv4.ping_group_range=0 0")
            # no case is to have used up another's errors
            run(*self.inside(ns), "sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")

    def names(self):
        """A resolver of our own for both places, in this mount namespace."""
        run("mount", "--make-rprivate", "/")
        for name, text in (("resolv.conf", "nameserver 10.77.0.1\nsearch test\noptions timeout:30 attempts:1\n"),
                           ("hosts", NAMES), ("nsswitch.conf", "hosts: files dns\nservices: files\nnetworks: files\n"
                                              "passwd: files\ngroup: files\n")):
            with open(self.path(name), "w", encoding="ascii") as f:
                f.write(text)
            target = os.path.realpath(f"/etc/{name}")
            if os.path.exists(target):
                run("mount", "--bind", self.path(name), target)

    # ---- wgwrap ----

    def configure(self):
        wgwrap = self.path("bin", "wgwrap")
        private = [run(wgwrap, "genkey").strip() for _ in range(2)]
        public = [run(wgwrap, "pubkey", input=k + "\n").strip() for k in private]
        for i, name in enumerate(("server", "client")):
            allowed = "10.77.0.2/32, fd77::2/128" if i == 0 else "10.77.0.0/16, fd77::/16"
            text = (f"[Interface]\nPrivateKey = {private[i]}\nAddress = 10.77.0.{i + 1}/24, fd77::{i + 1}/64\n"
                    f"MTU = {TUNNEL_MTU}\nDNS = 10.77.0.1, test\n{f'ListenPort = {PORT}' if i == 0 else ''}\n"
                    f"[Peer]\nPublicKey = {public[1 - i]}\nAllowedIPs = {allowed}\n"
                    f"{f'Endpoint = 127.0.0.1:{PORT}' if i == 1 else ''}\n")
            path = self.path(f"{name}.conf")
            with open(path, "w", encoding="ascii") as f:
                os.fchmod(f.fileno(), 0o600)
                f.write(text)
            self.own(path)

    def argv(self, side, *command):
        """@side: "native-client", "native-server", "client" or "server" (wrapped)."""
        drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
        if self.as_root:
            drop += [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        if side == "native-server":  # port 53
            return self.inside(self.native_server) + list(command)
        if side == "native-client":
            return self.inside(self.native_client) + drop + ["--", *command]
        return drop + ["--", self.path("bin", "wgwrap"), "-c", self.path(f"{side}.conf"), *self.options, "--", *command]

    def environment(self, side):
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": self.path("home"), "LC_ALL": "C.UTF-8",
               "XDG_RUNTIME_DIR": self.path("run-a" if side == "server" else "run-b"),
               "BEHAVE_HOST4": "10.77.0.1", "BEHAVE_HOST6": "fd77::1", "BEHAVE_SELF4": "10.77.0.2",
               "BEHAVE_SELF6": "fd77::2"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                env[name] = os.environ[name]
        return env

    def start_server(self, side, *command):
        name = f"{side}-{os.path.basename(command[-2] if len(command) > 2 else command[0])}.log"
        log = open(self.path(name), "w", encoding="utf-8")
        child = subprocess.Popen(self.argv(side, *command), env=self.environment(side), cwd=self.path("work"),
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.children.append(child)

        def ready():
            with open(log.name, encoding="utf-8") as f:
                text = f.read()
            assert child.poll() is None, f"{command}: {text}"
            return "ready" in text
        wait_until(f"{command} ({side})", ready)

    def start_servers(self):
        dnsd = os.path.join(ROOT, "tests/e2e/lib/dnsd.py")
        shutil.copy(dnsd, self.path("dnsd.py"))
        for side in ("native-server", "server"):
            self.start_server(side, self.path("programs", "server"))
            self.start_server(side, find("python3"), "-B", self.path("dnsd.py"), "10.77.0.1", "fd77::1")

    def start(self, side, program, *cases):
        out = open(self.path(f"{side}-{program}.out"), "w+", encoding="utf-8", errors="replace")
        err = open(self.path(f"{side}-{program}.err"), "w+", encoding="utf-8", errors="replace")
        child = subprocess.Popen(self.argv(side, self.path("programs", program), *cases), stdout=out, stderr=err,
                                 env=self.environment(side), cwd=self.path("work"), stdin=subprocess.DEVNULL,
                                 start_new_session=True)
        self.children.append(child)
        return child, out, err

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
        # tunnel processes and supervisors linger: those of our own copy end with us
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/exe").startswith(self.dir + "/"):
                    os.kill(int(pid), signal.SIGKILL)
            except OSError:
                pass
        shutil.rmtree(self.dir, ignore_errors=True)


def split(text):
    """Case name -> output."""
    cases = {}
    for part in re.split(r"^== ", text, flags=re.M)[1:]:
        name, _, output = part.partition("\n")
        cases[name] = output
    return cases


def finish(what, child, out, err, deadline):
    try:
        child.wait(max(1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        print(f"# {what} ran into its time limit")
    for f in (out, err):
        f.seek(0)
    return split(out.read()), err.read()


def listed(which):
    """The cases that a ledger names: those that may differ, and those that are equal all the same."""
    path, title = LEDGERS[which]
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        text = f.read()
    differ, _, equal = text[text.index(title):].partition(EQUAL_AGAIN)
    return [set(re.findall(CASE_NAME, part)) for part in (differ, equal)]


def ledger(supervised):
    """The cases that must differ."""
    accepted, _ = listed("preload")
    if not supervised:
        return accepted
    more, equal = listed("capture")
    return (accepted | more) - equal


def cases_of(program):
    with open(os.path.join(HERE, f"{program}.c"), encoding="utf-8") as f:
        return [f"{program}.{name}" for name in re.findall(r"^CASE\((\w+)\)", f.read(), flags=re.M)]


def programs(wanted, pattern):
    """Those that were asked for, by name or by TEST_PATTERN."""
    found = sorted(f[:-2] for f in os.listdir(HERE) if f.endswith(".c") and f != "server.c")
    return [p for p in found if (not wanted or any(w.split(".")[0] == p for w in wanted))
            and any(pattern in name for name in cases_of(p))]


def rows_of_table():
    """README.md's table of what is covered: for each row its cases, its other files, its result."""
    with open(os.path.join(HERE, "README.md"), encoding="utf-8") as f:
        text = f.read().partition(TABLE)[2]
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 3 and cells[0] != "entry point or trap":
            yield re.findall(CASE_NAME, cells[1]), re.findall(r"`(tests/[^`]+)`", cells[1]), cells[2]


def wrong_in_table():
    """What is not true in that table: one sentence each."""
    differ, _ = listed("preload")
    known = {case for program in programs([], "") for case in cases_of(program)}
    named = set()
    for cases, files, result in rows_of_table():
        named |= set(cases)
        yield from (f"{case}: no such case" for case in set(cases) - known)
        yield from (f"{path}: no such file" for path in files if not os.path.exists(os.path.join(ROOT, path)))
        if not cases and not files:
            yield "a row that names nothing"
        yield from (f"{case}: '{result}' is not what the ledger says" for case in cases
                    if result != ("listed" if case in differ else "equal"))
    yield from (f"{case}: not in the table" for case in sorted(known - named))


class Report:
    def __init__(self, verbose, pattern):
        self.verbose, self.pattern = verbose, pattern
        self.lines, self.counts = [], {"equal": 0, "listed": 0, "FAILING": 0}

    def wants(self, name):
        return self.pattern in name

    def say(self, name, native, wrapped, accepted):
        if not self.wants(name):
            return
        ran = native is not None and wrapped is not None
        same = ran and native == wrapped
        word = "equal" if same and not accepted else "listed" if ran and not same and accepted else "FAILING"
        self.counts[word] += 1
        self.lines.append((word, name))
        n = len(self.lines)
        print(f"{'not ok' if word == 'FAILING' else 'ok'} {n} - {name}: {word}")
        if same and accepted:
            print("# it is in the ledger, but equal")
        elif word == "FAILING" or self.verbose:
            for title, text in (("native", native), ("wrapped", wrapped)):
                print(f"# {title}:")
                for line in (text if text is not None else "(did not run)").splitlines():
                    print(f"#   {line}")
        sys.stdout.flush()

    def sentry(self, sentry):
        """Nothing seen at all means that it does not work."""
        sentry.stop()
        found = sentry.sockets if sentry.sockets_seen else ["no IP socket was seen at all"]
        self.counts["FAILING"] += bool(found)
        self.lines.append(("FAILING" if found else "ok", "sentry"))
        print(f"{'not ok' if found else 'ok'} {len(self.lines)} - only the tunnel processes had IP sockets")
        for line in found:
            print(f"# {line}")

    def table(self):
        wrong = list(wrong_in_table())
        self.counts["FAILING"] += bool(wrong)
        self.lines.append(("FAILING" if wrong else "ok", "table"))
        print(f"{'not ok' if wrong else 'ok'} {len(self.lines)} - README.md's table of what is covered is true")
        for line in wrong:
            print(f"# {line}")

    def end(self):
        print(f"1..{len(self.lines)}")
        print(f"# {self.counts['equal']} equal, {self.counts['listed']} listed, {self.counts['FAILING']} failing")
        sys.exit(1 if self.counts["FAILING"] else 0)


def run_both(places, program, deadline, *only):
    """What the program's cases print natively and wrapped; what the latter says on standard error."""
    runs = {side: places.start(side, program, *only) for side in ("native-client", "client")}
    native, _ = finish(f"{program} (native)", *runs["native-client"], deadline)
    return native, *finish(f"{program} (wrapped)", *runs["client"], deadline)


def run_again(places, program, deadline, case, as_it_must_be):
    """The outputs of a case that was not @as_it_must_be(native, wrapped), once it is."""
    for _ in range(AGAIN):
        native, wrapped, _ = run_both(places, program, deadline, case)
        outputs = native.get(case), wrapped.get(case)
        if as_it_must_be(*outputs):
            break
    print(f"# {program}.{case} was run again")
    return outputs


def compare(places, program, wanted, accepted, report):
    cases = [w.split(".")[1] for w in wanted if "." in w and w.split(".")[0] == program]
    deadline = time.monotonic() + LIMIT_S
    native, wrapped, err = run_both(places, program, deadline, *cases)
    if not native:
        report.say(f"{program}: runs", None, err, False)
    for name in cases_of(program):
        case = name.split(".")[1]
        if cases and case not in cases:
            continue
        outputs = native.get(case), wrapped.get(case)
        # what has not run at all is another matter
        if report.wants(name) and None not in outputs and (outputs[0] == outputs[1]) == (name in accepted):
            outputs = run_again(places, program, deadline, case, lambda a, b, n=name: (a == b) != (n in accepted))
        report.say(name, *outputs, name in accepted)
    for line in err.splitlines():
        if report.verbose:
            print(f"# stderr: {line}")


def main():
    enter()
    # who stops this one early is to find nothing left that runs
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    if not os.access(os.path.join(BUILD, "tests/behaviours/server"), os.X_OK):
        tap.skip_all("tests/behaviours is not built")
    for tool in ("ip", "nsenter", "python3", "setpriv"):
        if not find(tool):
            tap.skip_all(f"{tool} is not installed")
    supervised = "--supervised" in sys.argv
    if supervised and "supervised:" not in (said := run(os.path.join(BUILD, "wgwrap"), "doctor")):
        tap.skip_all(" ".join(said.splitlines()[1].split()))
    wanted = [a for a in sys.argv[1:] if not a.startswith("-")]
    pattern = os.environ.get("TEST_PATTERN", "")
    known = programs([], "")
    if unknown := set(wanted) - set(known) - {case for program in known for case in cases_of(program)}:
        sys.exit(f"run.py: no such program or case: {', '.join(sorted(unknown))}")
    chosen = programs(wanted, pattern)
    if not chosen:
        tap.skip_all(f"no case here is called *{pattern}*")
    report, places = Report("-v" in sys.argv, pattern), Places(supervised)
    try:
        places.start_servers()
        accepted = ledger(supervised)
        for program in chosen:
            compare(places, program, wanted, accepted, report)
        report.sentry(places.sentry)
        report.table()
    finally:
        places.close()
    report.end()


main()
