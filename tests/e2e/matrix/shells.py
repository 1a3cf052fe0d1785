#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""shells.py - the matrix: ssh and what rides on it, rsync, mosh, shells, terminals"""

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import servers, tap, world  # noqa: E402
from lib.matrix import PYTHON, need_root, owned_dir, random_file, row, sha256  # noqa: E402
from lib.serving import end, from_peer, peer_says, serve, text_of  # noqa: E402
from lib.world import find, need, run  # noqa: E402

world.enter()


def ssh_config(w):
    """A client's file with the host "near", and "far" behind it. Returns its path."""
    command = servers.ssh(w)
    user = command[command.index("-l") + 1]
    return w.write("ssh_config", f"Host *\nPort 2222\nUser {user}\nIdentityFile {w.path('home', 'ssh_user')}\n"
                   "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nBatchMode yes\nLogLevel ERROR\n"
                   "Host near\nHostName 10.9.0.1\nHost near6\nHostName fd09::1\n"
                   "Host far\nHostName 10.9.0.1\nProxyJump near6\n")


@row("ssh: a master connection carries other sessions' (descriptor passing)")
def _(w):
    conf = ssh_config(w)
    control = w.path("home", "control")
    ssh = f"ssh -F {conf} -S {control} near"
    w.ok("ssh", "-F", conf, "-S", control, "-o", "ControlMaster=yes", "-o", "ControlPersist=300", "near", "true")
    try:
        assert w.ok("sh", "-c", f"{ssh} 'echo $SSH_CLIENT'").startswith("10.9.0.2 ")
        script = f"for i in 1 2 3 4 5 6 7 8; do {ssh} \"head -c 300000 /dev/zero; echo\" | wc -c & done; wait"
        assert w.ok("sh", "-c", script).split() == ["300001"] * 8
        # One connection for all of it: the server's own name for it is always the same
        ports = {w.ok("sh", "-c", f"{ssh} 'echo $SSH_CLIENT'") for _ in range(3)}
        assert len(ports) == 1, ports
    finally:
        done = w.wrapped("sh", "-c", f"ssh -F {conf} -S {control} -O exit near")
    assert done.returncode == 0, done


@row("ssh: ProxyJump")
def _(w):
    conf = ssh_config(w)
    # The far sshd sees the near one's address
    assert w.ok("ssh", "-F", conf, "far", "echo $SSH_CLIENT").startswith("10.9.0.1 ")


@row("ssh: -L, -D and -R, used in the same session")
def _(w):
    servers.web(w)
    servers.dns(w)
    conf = ssh_config(w)
    script = (f"ssh -F {conf} -N -L 127.0.0.1:5081:10.9.0.1:80 -D 127.0.0.1:5082 near & "
              "curl -sS --retry 30 --retry-connrefused --retry-delay 1 http://127.0.0.1:5081/address; "
              "curl -sS --proxy socks5h://127.0.0.1:5082 http://10.9.0.1/address; kill $!; wait")
    assert w.ok("sh", "-c", script) == "10.9.0.1\n10.9.0.1\n"
    w.write("work/page", "by way of -R\n")
    os.chmod(w.path("work"), 0o755)
    script = (f"{PYTHON} -m http.server 5083 >/dev/null 2>&1 & server=$!; "
              "until curl -s -o /dev/null http://127.0.0.1:5083/; do kill -0 $server || exit; sleep 0.1; done; "
              f"ssh -F {conf} -o ExitOnForwardFailure=yes -R 127.0.0.1:5084:127.0.0.1:5083 near "
              "'curl -sS http://127.0.0.1:5084/page'; kill $server")
    assert w.ok("sh", "-c", script) == "by way of -R\n"


def there_and_back(w, copy, remote):
    """@copy(from, to) copies a file out and, under another name, back."""
    source, digest = random_file(w, "outgoing", 8 << 20)
    back = w.path("work", "back")
    if os.path.exists(back):
        os.unlink(back)
    copy(source, remote(w.path("copied")))
    assert sha256(w.path("copied")) == digest
    copy(remote(w.path("copied")), back)
    assert sha256(back) == digest
    os.unlink(w.path("copied"))


@row("scp and sftp: 8 MiB there and back, IPv6")
def _(w):
    need("scp", "sftp")
    conf = ssh_config(w)
    there_and_back(w, lambda a, b: w.ok("scp", "-q", "-F", conf, a, b), lambda path: f"near6:{path}")
    there_and_back(w, lambda a, b: w.ok("scp", "-q", "-O", "-F", conf, a, b), lambda path: f"near:{path}")
    random_file(w, "outgoing", 1 << 20)
    batch = f"put outgoing {w.path('copied')}\nget {w.path('copied')} back2\n"
    w.ok("sftp", "-q", "-F", conf, "-b", "-", "near", input=batch)
    assert sha256(w.path("work", "back2")) == sha256(w.path("work", "outgoing"))


@row("rsync: over ssh, and to a daemon")
def _(w):
    need("rsync")
    conf = ssh_config(w)
    there_and_back(w, lambda a, b: w.ok("rsync", "-e", f"ssh -F {conf}", a, b), lambda path: f"near:{path}")
    tree = owned_dir(w, "work", "tree")
    for i in range(200):
        w.write(f"work/tree/{i}", f"{i}\n" * 1000)
    module = owned_dir(w, "module")
    rsyncd = w.write("rsyncd.conf", f"pid file = {w.path('home', 'rsyncd.pid')}\nuse chroot = no\n"
                     f"[module]\npath = {module}\nread only = no\n")
    w.start_server("rsyncd", w.unprivileged() + ["rsync", "--daemon", "--no-detach", "--port=8730",
                                                 f"--config={rsyncd}"], ready=("tcp:8730", "tcp6:8730"))
    w.ok("rsync", "-rz", tree + "/", "rsync://10.9.0.1:8730/module/")
    w.ok("rsync", "-r", "rsync://[fd09::1]:8730/module/", w.path("work", "mirror"))
    run("diff", "-r", tree, w.path("work", "mirror"))
    w.write("work/tree/7", "changed\n")
    out = w.ok("rsync", "-rt", "--stats", "--checksum", tree + "/", "rsync://10.9.0.1:8730/module/")
    assert "regular files transferred: 1\n" in out, out


@row("rsync as a wrapped daemon")
def _(w):
    need("rsync")
    tree = owned_dir(w, "work", "served")
    for i in range(50):
        w.write(f"work/served/{i}", f"{i}\n" * 1000)
    conf = w.write("work/inner-rsyncd.conf", f"pid file = {w.path('work', 'inner-rsyncd.pid')}\nuse chroot = no\n"
                   f"[served]\npath = {tree}\n")
    child, _ = serve(w, "rsync", "--daemon", "--no-detach", "--port=5873", f"--config={conf}", ready=5873)
    peer_says(w, "rsync", "-r", "rsync://10.9.0.2:5873/served/", w.path("fetched"))
    run("diff", "-r", tree, w.path("fetched"))
    end(child)


@row("as root: sshd, wrapped: a command, scp, and a session's own connections")
def _(w):
    need_root(w)
    servers.web(w)
    conf = ssh_config(w)
    inner = w.write("inner_sshd_config", text_of(w.path("sshd_config")).replace("Port 2222", "Port 2224"))
    child, log = serve(w, find("sshd"), "-D", "-e", "-f", inner, ready="Server listening", privileged=True)
    ssh = ("-F", conf, "-o", "HostName=10.9.0.2")
    assert peer_says(w, "ssh", *ssh, "-p", "2224", "x", "echo $SSH_CLIENT").startswith("10.9.0.1 ")
    source, digest = random_file(w, "outgoing", 8 << 20)
    peer_says(w, "scp", "-q", *ssh, "-P", "2224", source, f"x:{w.path('copied')}")
    assert sha256(w.path("copied")) == digest, text_of(log)
    # The environment that sshd builds for the session knows nothing of wgwrap; the session is wrapped all the same
    assert peer_says(w, "ssh", *ssh, "-p", "2224", "x", "curl -sS http://10.9.0.1/address") == "10.9.0.2\n"
    end(child)


@row("mosh: a session over UDP")
def _(w):
    need("mosh-server", "mosh-client")
    out = from_peer(w, "mosh-server", "new", "-i", "10.9.0.1", "-p", "60001", "--", "sh", "-c",
                    "echo over mosh; read line; echo typed $line; sleep 5", env=w.environment(LANG="C.UTF-8"))
    words = out.stdout.split("MOSH CONNECT ")[1].split()
    screen, terminal = in_terminal(w, w.wrap("mosh-client", "10.9.0.1", words[0]),
                                   w.environment(MOSH_KEY=words[1], TERM="xterm"))
    until(terminal, screen, b"over mosh")
    os.write(terminal, b"by-hand\n")
    until(terminal, screen, b"typed by-hand")
    os.close(terminal)


def in_terminal(w, argv, env):
    """Starts a command in a terminal of its own. Returns (what it has written so far, the terminal)."""
    terminal, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    w.start(argv, stdin=inner, stdout=inner, stderr=inner, env=env, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(inner)
    return bytearray(), terminal


def until(terminal, screen, word, seconds=60):
    """Reads from a terminal until @word has come."""
    deadline = time.monotonic() + seconds
    while word not in screen:
        assert select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0], bytes(screen)
        try:
            screen += os.read(terminal, 4096)
        except OSError as e:
            raise AssertionError(bytes(screen)) from e


def runs(command):
    """Whether there is a process with that command line."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read() == command:
                    return True
        except OSError:
            continue
    return False


@row("bash: /dev/tcp and /dev/udp")
def _(w):
    need("bash")
    servers.web(w)
    servers.dns(w)
    script = ("exec 5<>/dev/tcp/web.test/80; printf 'GET /address HTTP/1.0\\r\\n\\r\\n' >&5; tail -n 1 <&5; "
              "exec 5>&-; ! echo >/dev/tcp/10.9.0.1/81")
    done = w.wrapped("bash", "-c", script)
    assert done.returncode == 0 and done.stdout in ("10.9.0.2\n", "fd09::2\n"), done
    assert "Connection refused" in done.stderr, done
    servers.behaviour(w)
    script = "exec 5<>/dev/udp/10.9.0.1/4000; printf abc >&5; head -c 3 <&5"
    assert w.ok("bash", "-c", script) == "abc"


@row("tmux: a session that outlives its client has the tunnel")
def _(w):
    need("tmux")
    servers.web(w)
    socket = w.path("home", "tmux")
    out = w.path("work", "tmux-out")
    env = w.environment(TERM="xterm", SHELL="/bin/sh")
    try:
        w.ok("tmux", "-S", socket, "-f", "/dev/null", "new-session", "-d", "-s", "one", env=env)
        w.ok("tmux", "-S", socket, "send-keys", "-t", "one", f"curl -sS http://10.9.0.1/address >{out}; echo done >>{out}",
             "Enter", env=env)
        world.wait_until("the session's curl", lambda: os.path.exists(out) and text_of(out).endswith("done\n"))
        assert text_of(out) == "10.9.0.2\ndone\n", text_of(out)
        # A second client, not wrapped, asks for a new window: what runs in it is the wrapped server's child
        w.finish_command(w.unprivileged() + ["tmux", "-S", socket, "new-window", "-t", "one",
                         f"curl -sS http://10.9.0.1/address >{out}2; echo done >>{out}2"], 20, env=env)
        world.wait_until("the window's curl", lambda: os.path.exists(out + "2") and text_of(out + "2").endswith("done\n"))
        assert text_of(out + "2") == "10.9.0.2\ndone\n", text_of(out + "2")
    finally:
        w.finish_command(w.unprivileged() + ["tmux", "-S", socket, "kill-server"], 20, env=env)


@row("an interactive shell in a terminal, interrupted and gone on with")
def _(w):
    servers.web(w)
    screen, terminal = in_terminal(w, w.wrap("sh", "-i"), w.environment(TERM="dumb", PS1="$ "))
    os.write(terminal, b"curl -sS http://10.9.0.1/address; echo one-$((1+1))\n")
    until(terminal, screen, b"10.9.0.2\r\none-2")
    os.write(terminal, b"curl -sS http://10.9.1.1/\n")
    # a shell that is about to start a program may lose an interrupt
    world.wait_until("curl", lambda: runs(b"curl\0-sS\0http://10.9.1.1/\0"))
    time.sleep(0.3)
    os.write(terminal, b"\3")
    os.write(terminal, b"curl -sS http://10.9.0.1/address; echo two-$((1+1))\n")
    until(terminal, screen, b"two-2")
    assert screen.count(b"10.9.0.2\r\n") == 2, bytes(screen)
    os.write(terminal, b"exit\n")
    os.close(terminal)


world.main()
