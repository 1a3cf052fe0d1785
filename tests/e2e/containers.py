#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""containers.py - wgwrap inside real containers: podman's and Docker's, with their default system call filters

The container has the machine's programs (bound, read-only) and the test's network namespace. Docker's own daemon is
started for the test, without bridge and firewall; podman runs as root and as an ordinary user.
"""

import os
import subprocess

from lib import servers, tap, world
from lib.tap import test
from lib.world import find, need, run

if not find("podman") and not find("dockerd"):
    tap.skip_all("neither podman nor Docker is installed")
world.enter()

ECHO_PORT = 4700
ECHO = f"""
import socket, threading
s = socket.create_server(("10.9.0.1", {ECHO_PORT}), backlog=256)
print("ready", flush=True)
def one(c):
    while data := c.recv(65536):
        c.sendall(data)
while True:
    threading.Thread(target=one, args=s.accept()[:1], daemon=True).start()
"""
BOUND = ("/usr", "/etc")


@servers.once
def echo(w):
    return w.start_server("echo", ["python3", "-c", ECHO])


@servers.once
def tree(w):
    """A root directory into which the machine's programs are bound."""
    top = w.path("tree")
    for name in ("usr", "etc", "proc", "sys", "dev", "tmp", "run", w.dir[1:]):
        os.makedirs(os.path.join(top, name))
    for name in ("bin", "sbin", "lib", "lib64", "lib32"):
        if os.path.islink("/" + name):
            os.symlink(os.readlink("/" + name), os.path.join(top, name))
    os.chmod(os.path.join(top, "tmp"), 0o1777)
    if w.as_root:
        run("chown", "-R", f"{world.NOBODY}:{world.NOBODY}", top)
    return top


def binds(w):
    return [arg for path in BOUND for arg in ("-v", f"{path}:{path}:ro")] + ["-v", f"{w.dir}:{w.dir}"]


def settings(w):
    return [arg for item in w.environment(HOME="/tmp", XDG_RUNTIME_DIR="/tmp").items() for arg in ("-e", "=".join(item))]


def captured(w, inside):
    """@inside(*argv, options) runs a command in a container. Whether programs of all kinds reach the echo through the tunnel."""
    echo(w)
    servers.web(w)
    said = inside(w.wgwrap, "doctor")
    tap.diagnose(said.stdout)
    assert "supervised:" in said.stdout, said
    wrap = (w.wgwrap, "-c", w.conf, "--")
    for argv, answer in (([w.path("programs", "static_client"), "10.9.0.1", str(ECHO_PORT), "static\n"], "static\n"),
                         ([w.path("programs", "static_many"), "10.9.0.1", str(ECHO_PORT), "3"], "96 exchanges, 0\n"),
                         (["curl", "-sS", "http://10.9.0.1/"], "behind the tunnel\n")):
        done = inside(*wrap, *argv)
        assert (done.returncode, done.stdout) == (0, answer), done
    escape = inside(*wrap, w.path("programs", "static_escape"))
    assert escape.returncode == 0 and "CREATED" not in escape.stdout, escape


# ---- podman ----

def unified_cgroups():
    """crun refuses machines that have both versions mounted; this mount namespace is the test's own."""
    if os.path.isdir("/sys/fs/cgroup/unified"):
        for command in ("umount -R /sys/fs/cgroup", "mount -t cgroup2 cgroup2 /sys/fs/cgroup"):
            subprocess.run(command.split(), capture_output=True, check=False)


def podman(w, prefix=(), more=()):
    need("podman")
    unified_cgroups()
    os.makedirs("/run/podman", exist_ok=True)
    user = "user" if prefix else "root"
    env = w.environment(HOME=w.path("home"), XDG_RUNTIME_DIR=w.path("run"))
    argv = [*prefix, "podman", "--root", w.path("work", user), "--runroot", w.path("work", f"{user}-run"), "--storage-driver=vfs",
            "--cgroup-manager=cgroupfs", "--events-backend=none", "run", "--rm", "--network=host", "--cgroups=disabled",
            "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096", *more, *binds(w), *settings(w), "--rootfs", tree(w)]

    def inside(*command):
        return w.finish_command([*argv, *command], 90, env=env)
    probe = inside("grep", "Seccomp:", "/proc/self/status")
    if probe.returncode:
        tap.skip(f"podman starts no container here: {probe.stderr.strip().splitlines()[-1:]}")
    assert probe.stdout.split() == ["Seccomp:", "2"], probe
    return inside


@test("podman as root, its default filter")
def _(w):
    if not w.as_root:
        tap.skip("needs root")
    captured(w, podman(w))


@test("podman as root: an ordinary user without capabilities, no_new_privs")
def _(w):
    if not w.as_root:
        tap.skip("needs root")
    captured(w, podman(w, more=[f"--user={world.NOBODY}:{world.NOBODY}", "--cap-drop=all", "--security-opt=no-new-privileges"]))


@test("podman as an ordinary user")
def _(w):
    prefix = ["setpriv", f"--reuid={world.NOBODY}", f"--regid={world.NOBODY}", "--clear-groups", "--"] if w.as_root else []
    captured(w, podman(w, prefix=prefix or ["env"]))


# ---- Docker ----

@servers.once
def dockerd(w):
    """A daemon of our own; the argv of its client, or None."""
    state = w.path("docker")
    os.mkdir(state)
    log = open(w.path("dockerd.log"), "w", encoding="utf-8")
    w.log_names.append("dockerd.log")
    daemon = w.start(["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs",
                      f"--data-root={state}/data", f"--exec-root={state}/exec", f"--host=unix://{state}/sock",
                      f"--pidfile={state}/pid"], stdout=log, stderr=log)
    client = ["docker", "-H", f"unix://{state}/sock"]

    def up():
        return daemon.poll() is not None or \
            subprocess.run([*client, "version"], capture_output=True, check=False).returncode == 0
    world.wait_until("dockerd", up)
    if daemon.poll() is not None:
        return None
    archive = subprocess.run(["tar", "-C", tree(w), "-c", "."], capture_output=True, check=True).stdout
    subprocess.run([*client, "import", "-", "tree"], input=archive, capture_output=True, check=True)
    return client


def docker(w, *more):
    need("docker", "dockerd", "containerd")
    if not w.as_root:
        tap.skip("needs root")
    client = dockerd(w)
    if not client:
        tap.skip("dockerd does not start here")

    def inside(*command):
        return w.finish_command([*client, "run", "--rm", "--network=host", *more, *binds(w), *settings(w), "tree", *command])
    probe = inside("grep", "Seccomp:", "/proc/self/status")
    if probe.returncode:
        tap.skip(f"Docker starts no container here: {probe.stderr.strip().splitlines()[-1:]}")
    assert probe.stdout.split() == ["Seccomp:", "2"], probe
    return inside


@test("Docker, its default filter: without pidfd_getfd")
def _(w):
    inside = docker(w)
    captured(w, inside)
    assert "pidfd_getfd" in inside(w.wgwrap, "doctor").stdout


@test("Docker: an ordinary user without capabilities, no_new_privs")
def _(w):
    captured(w, docker(w, f"--user={world.NOBODY}:{world.NOBODY}", "--cap-drop=all", "--security-opt=no-new-privileges"))


world.main()
