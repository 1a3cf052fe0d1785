# SPDX-License-Identifier: MIT
"""servers.py - the real servers behind the peer, started on the first use"""

import json
import os
import re
import resource
import subprocess

from lib.world import HERE, find, need, run, wait_until


def once(function):
    """Starts a server at its first use in this world."""
    def start(world):
        started = world.__dict__.setdefault("started", {})
        if function.__name__ not in started:
            started[function.__name__] = function(world)
        return started[function.__name__]
    return start


@once
def web(world):
    """nginx on ports 80 and 443 of every address, the document root being www."""
    need("nginx", "openssl")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=web.test", "-addext", "subjectAltName=DNS:web.test,IP:10.9.0.1,IP:fd09::1",
        "-keyout", world.path("tls.key"), "-out", world.path("tls.crt"))
    work = world.path("nginx")
    os.mkdir(work)
    conf = world.write("nginx.conf", f"""
        user root root; daemon off; master_process off; pid {work}/pid; error_log {work}/error.log;
        events {{ worker_connections 1024; }}
        http {{
            access_log {work}/access.log; sendfile on; keepalive_requests 1000000;
            client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
            uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
            server {{
                listen 80; listen [::]:80; listen 443 ssl http2; listen [::]:443 ssl http2;
                ssl_certificate {world.path("tls.crt")}; ssl_certificate_key {world.path("tls.key")};
                root {world.path("www")};
                location = /address {{ return 200 "$remote_addr\\n"; }}
            }}
        }}""")
    return world.start_server("nginx", [find("nginx"), "-c", conf, "-e", f"{work}/start.log"],
                              ready=("tcp:80", "tcp6:80", "tcp:443", "tcp6:443"))


@once
def dns(world):
    """The name server of dnsd.py on the peer's inner addresses."""
    return world.start_server("dnsd", ["python3", os.path.join(HERE, "dnsd.py"), "10.9.0.1", "fd09::1"])


@once
def iperf3(world):
    need("iperf3")
    return world.start_server("iperf3", ["iperf3", "-s"], ready=5201)


def iperf_again(ask):
    """
    The result of @ask(), an iperf3 -J, once its server is there: it closes its listener with each test, and whoever comes before it
    has another is refused, or told that it is busy.
    """
    def asked():
        done = ask()
        assert done.stdout, done
        result = json.loads(done.stdout)
        return result if not re.search("refused|busy|reset", result.get("error", "")) else None
    result = wait_until("iperf3's server", asked)
    assert "error" not in result, result["error"]
    return result


def third_time(measure, enough):
    """What @measure() returns, which must be @enough: once in three times, since a machine that halts may lose what runs for a second."""
    for _ in range(3):
        value = measure()
        if enough(value):
            return value
    raise AssertionError(value)


@once
def git(world):
    """A repository served as plain files (git's dumb HTTP protocol) below www/repo.git."""
    need("git")
    web(world)
    env = world.environment(GIT_CONFIG_GLOBAL="/dev/null", GIT_AUTHOR_NAME="t", GIT_AUTHOR_EMAIL="t@example.org",
                            GIT_COMMITTER_NAME="t", GIT_COMMITTER_EMAIL="t@example.org")
    source, bare = world.path("source"), world.path("www", "repo.git")
    run("git", "init", "-q", "-b", "main", source)
    for i in range(20):
        with open(os.path.join(source, f"file{i}"), "wb") as f:
            f.write(os.urandom(20000))
    run("git", "-C", source, "add", ".", env=env)
    run("git", "-C", source, "commit", "-q", "-m", "contents", env=env)
    run("git", "clone", "-q", "--bare", source, bare, env=env)
    run("git", "-C", bare, "update-server-info", env=env)
    return run("git", "-C", source, "rev-parse", "HEAD", env=env).strip()


@once
def ssh(world):
    """sshd on port 2222; returns the client's arguments up to and including the host."""
    need("sshd", "ssh")
    host, user = world.path("ssh_host"), world.path("home", "ssh_user")
    for key in (host, user):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    keys = world.path("authorized_keys")
    os.rename(user + ".pub", keys)
    os.chmod(keys, 0o644)
    inside = os.environ["WGWRAP_TEST_INSIDE"].split()
    if world.as_root:
        os.chown(user, 65534, 65534)
        login, enter = "root", []
    else:
        # sshd as an ordinary user serves that user, who needs a shell and a password that is not locked
        login = "tester"
        for name, line in (("passwd", f"tester:*:{inside[1]}:{inside[2]}::{world.path('home')}:/bin/sh\n"),
                           ("shadow", "tester:*:19000:0:99999:7:::\n")):
            run("mount", "--bind", world.write(name, line + "root:*:0:0::/root:/bin/sh\n"), f"/etc/{name}")
        enter = ["unshare", "-U", f"--map-user={inside[1]}", f"--map-group={inside[2]}"]
    conf = world.write("sshd_config", f"HostKey {host}\nAuthorizedKeysFile {keys}\nPidFile none\nUsePAM no\n"
                       "StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nPort 2222\n"
                       "Subsystem sftp internal-sftp\n")
    world.start_server("sshd", enter + [find("sshd"), "-D", "-e", "-f", conf],
                       ready=("tcp:2222", "tcp6:2222"))
    return ["ssh", "-F", "/dev/null", "-i", user, "-p", "2222", "-l", login, "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]


def peer_python(world, code, *arguments, **kwargs):
    """Starts Python code next to the servers; it prints "ready" when the test may go on."""
    return world.start(world.inside(world.peer_ns) + ["python3", "-c", code, *arguments],
                       stdout=subprocess.PIPE, text=True, **kwargs)


@once
def behaviour(world):
    """behaviour.py: one way to end a connection per port."""
    return world.start_server("behaviour", ["python3", os.path.join(HERE, "behaviour.py")],
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(
                                  resource.RLIMIT_NOFILE)[1],) * 2))
