#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
clients.py - programs that people use, unchanged, through `wgwrap proxy` and `wgwrap nc`

Their servers run in a wgwrap of their own behind the tunnel (lib/proxied.py, lib/behind.py). Every row that can be asked with and
without a password is asked with both, and a wrong password must fail.
"""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import tap  # noqa: E402
from lib.behind import FILES, Behind, as_text, own_package, repository  # noqa: E402
from lib.proxied import SERVER, WGWRAP  # noqa: E402
from lib.tap import test  # noqa: E402
from lib.world import BUILD, need  # noqa: E402

PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
USER = "someone:pass word"


def ways(w, *schemes):
    """(scheme, URL of the proxy without a password), the same with one."""
    for scheme in schemes:
        yield scheme, w.url(scheme)
        yield f"{scheme} with a password", w.url(scheme, "someone:pass%20word")


def fetched(w, *argv):
    done = w.run("curl", "-sS", "-m", "120", *argv)
    return done.returncode, done.stdout


def refusal(status, code):
    """Whether a curl that got no page says that the proxy refused it: CURLE_PROXY, or an HTTP 407."""
    return status in (7, 56, 97) or code == "407"


@test("curl: 20 MB over each protocol, with and without a password, the same bytes")
def _(w):
    data = os.urandom(20 << 20)
    with open(os.path.join(w.files(), "big"), "wb") as f:
        f.write(data)
    out = w.path("out")
    for way, url in (*ways(w, "socks5", "socks5h", "http"), ("socks4a", w.url("socks4a")), ("socks4", w.url("socks4"))):
        # socks5 and socks4 resolve at the client, which does not know the tunnel's names
        host = SERVER if way.split()[0] in ("socks5", "socks4") else "v4.test"
        for options in ((), ("-p",)) if way.startswith("http") else ((),):
            status, _ = fetched(w, *options, "-x", url, "-o", out, f"http://{host}:{FILES}/big")
            with open(out, "rb") as f:
                assert status == 0 and f.read() == data, (way, options, status)
            os.unlink(out)


@test("curl: a wrong password, none, and protocols without passwords are refused")
def _(w):
    for scheme, user in (("socks5h", "someone:wrong"), ("socks5h", ""), ("http", "someone:wrong"), ("http", ""),
                         ("socks4a", ""), ("socks4a", "someone")):
        status, code = fetched(w, "-x", w.url(scheme, user, guarded=True), "-o", "/dev/null", "-w", "%{http_code}",
                               f"http://{SERVER}:8080/")
        assert refusal(status, code), (scheme, user, status, code)
        assert code in ("000", "407"), (scheme, user, code)


@test("the proxy variables: curl, wget and python's urllib")
def _(w):
    for way, url in ways(w, "http"):
        env = {"http_proxy": url, "no_proxy": ""}
        out = w.run("curl", "-sS", "-m", "120", f"http://{SERVER}:8080/env", **env)
        assert '"path": "/env"' in out.stdout, (way, out)
        out = w.run(PYTHON, "-c", "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=60).read())",
                    f"http://{SERVER}:8080/env", **env)
        assert '"path": "/env"' in out.stdout, (way, out)
        if w.has("wget"):
            out = w.run("wget", "-q", "-T", "120", "-t", "1", "-O", "-", f"http://{SERVER}:8080/env", **env)
            assert '"path": "/env"' in out.stdout, (way, out)


@test("git: clone over http.proxy as HTTP and as SOCKS, and over git's own protocol with core.gitProxy")
def _(w):
    need("git")
    who = repository(w)
    for i, (way, url) in enumerate(ways(w, "socks5h", "http")):
        done = w.run("git", "-c", f"http.proxy={url}", "clone", "-q", f"http://{SERVER}:{FILES}/repo.git",
                     w.path(f"clone{i}"), **who)
        assert done.returncode == 0, (way, done)
        assert os.path.getsize(w.path(f"clone{i}", "file")) == 90000, way
    w.inside("git", "git", "daemon", "--export-all", f"--base-path={w.files()}", "--listen=10.9.0.1", port=9418)
    nc = w.write("git-nc", f"#!/bin/sh\nexec \"{WGWRAP}\" nc -c {w.conf} \"$1\" \"$2\"\n")
    os.chmod(nc, 0o700)
    done = w.run("git", "-c", f"core.gitProxy={nc}", "clone", "-q", f"git://{SERVER}/repo.git", w.path("clone-git"), **who)
    assert done.returncode == 0 and os.path.getsize(w.path("clone-git", "file")) == 90000, done


@test("ssh: ProxyCommand with wgwrap nc, nc -X 5 and nc -X connect, ncat with a password")
def _(w):
    need("ssh", "sshd")
    ssh = w.sshd()
    port = w.proxy().port()
    commands = {"wgwrap nc": f"'{WGWRAP}' nc -c {w.conf} %h %p", "wgwrap nc by name": f"'{WGWRAP}' nc -c {w.conf} v4.test %p"}
    if w.has("nc.openbsd"):
        for protocol in ("5", "connect"):
            commands[f"nc -X {protocol}"] = f"nc.openbsd -X {protocol} -x 127.0.0.1:{port} %h %p"
    if w.has("ncat"):
        for protocol in ("socks5", "http"):
            commands[f"ncat {protocol}"] = (f"ncat --proxy-type {protocol} --proxy 127.0.0.1:{w.guarded().port()} "
                                            f"--proxy-auth \"{USER}\" %h %p")
    data = os.urandom(300000).hex()
    for name, command in commands.items():
        done = w.run(*ssh, "-o", f"ProxyCommand={command}", SERVER, "cat; echo end", input=data)
        if "account" in done.stderr or "locked" in w.read(w.path("sshd.log")):
            tap.skip("this user may not log in here")
        assert done.stdout == data + "end\n" and done.returncode == 0, (name, done.stderr, w.read(w.path("sshd.log")))


@test("apt-get: update and download over Acquire::http::Proxy as HTTP and as SOCKS")
def _(w):
    need("apt-get", "apt-ftparchive", "dpkg-deb")
    for way, url in ways(w, "http", "socks5h"):
        options = w.apt(way.replace(" ", "-"))
        if os.geteuid() == 0 and "password" not in way:
            # root's apt asks as _apt: another user
            done = w.run("apt-get", *options, "-o", f"Acquire::http::Proxy={url}", "update")
            assert "Err:" in done.stdout, done
            w.proxy().wait(f"user {w.uid('_apt')} was refused")
            options += ["-o", "APT::Sandbox::User=root"]
        place = w.path(f"debs-{way.replace(' ', '-')}")
        os.mkdir(place)
        os.chmod(place, 0o777)
        for verb in (("update",), ("download", "proxied-thing")):
            done = w.run("apt-get", *options, "-o", f"Acquire::http::Proxy={url}", *verb, cwd=place)
            assert done.returncode == 0 and "Err:" not in done.stdout, (way, done)
        assert os.listdir(place) == ["proxied-thing_1.0_all.deb"], way


@test("pip: installs a wheel from an index, over HTTP and, with PySocks, SOCKS")
def _(w):
    if w.run(PYTHON, "-m", "pip", "--version").returncode:
        tap.skip("pip is not installed")
    own_package(w)
    schemes = ["http"]
    if w.run(PYTHON, "-c", "import socks").returncode == 0:
        schemes.append("socks5h")
    for way, url in ways(w, *schemes):
        target = w.path(f"pip-{way.replace(' ', '-')}")
        done = w.run(PYTHON, "-m", "pip", "--isolated", "install", "-q", "--no-deps", "--no-cache-dir", "--retries", "0",
                     "--disable-pip-version-check", "--target", target, "--proxy", url, "--trusted-host", SERVER,
                     "-i", f"http://{SERVER}:{FILES}/simple", "proxied-thing")
        assert done.returncode == 0, (way, done)
        done = w.run(PYTHON, "-c", "import proxied_thing; print(proxied_thing.SAID)", cwd=target)
        assert done.stdout == "installed\n", (way, done)


@test("npm: a package of a registry")
def _(w):
    need("npm", "node")
    w.npm_registry("proxied-thing")
    for way, url in ways(w, "http"):
        project = w.path(f"npm-{way.replace(' ', '-')}")
        os.mkdir(project)
        w.write(os.path.join(project, "package.json"), '{"name": "project", "version": "1.0.0"}')
        done = w.run("npm", "install", "--registry", f"http://{SERVER}:{FILES}/npm/", "--proxy", url, "--noproxy", "",
                     "--no-audit", "--no-fund", "--no-update-notifier", "proxied-thing", cwd=project)
        assert done.returncode == 0, (way, done)
        assert os.path.exists(os.path.join(project, "node_modules/proxied-thing/index.js")), way


@test("proxychains4: curl over socks5, socks4 and http; names are resolved in the tunnel")
def _(w):
    need("proxychains4")
    lines = [f"{kind} 127.0.0.1 {w.proxy().port()}" for kind in ("socks5", "socks4", "http")]
    # a blank cannot be written in this file
    lines += [f"{kind} 127.0.0.1 {w.guarded().port()} plain word" for kind in ("socks5", "http")]
    for line in lines:
        conf = w.write("proxychains.conf", f"strict_chain\nproxy_dns\n[ProxyList]\n{line}\n")
        hosts = (SERVER,) if line.startswith("socks4") else (SERVER, "v4.test")
        for host in hosts:
            done = w.run("proxychains4", "-q", "-f", conf, "curl", "-sS", "-m", "120", f"http://{host}:8080/chained")
            assert '"path": "/chained"' in done.stdout, (line, host, done)


UDP_CLIENT = """
import socks, struct, sys
s = socks.socksocket(socks.socket.AF_INET, socks.socket.SOCK_DGRAM)
s.set_proxy(socks.SOCKS5, "127.0.0.1", int(sys.argv[1]), True, *sys.argv[2:])
s.settimeout(60)
s.bind(("", 0))
for i in range(100):
    data = b"%d " % i + b"x" * 1200
    s.sendto(data, ("10.9.0.1", 4010))
    answer, source = s.recvfrom(4096)
    assert source == ("10.9.0.1", 4010) and answer.split(b" ", 1)[1] == data, (source, answer[:20])
question = struct.pack("!6H", 7, 256, 1, 0, 0, 0) + b"\\2v4\\4test\\0" + struct.pack("!2H", 1, 1)
s.sendto(question, ("10.9.0.1", 53))
answer, source = s.recvfrom(512)
print(source, ".".join(str(byte) for byte in answer[-4:]))
"""


@test("PySocks: a UDP client through ASSOCIATE, 100 datagrams and a DNS question")
def _(w):
    if w.run(PYTHON, "-c", "import socks").returncode:
        tap.skip("python3-socks is not installed")
    for arguments in ((str(w.proxy().port()),), (str(w.guarded().port()), *USER.split(":"))):
        done = w.run(PYTHON, "-c", UDP_CLIENT, *arguments)
        assert done.stdout == "('10.9.0.1', 53) 10.9.0.1\n", done


PAGE = """<!doctype html><title>waiting</title><style>body { font: 28px sans-serif; background: #e8f0e8; margin: 40px }</style>
<h1>Behind the tunnel</h1><p id=p>no script has run</p><img src=picture.svg width=300>
<script src=script.js></script>"""
SCRIPT = """fetch('data.json').then(r => r.json()).then(j => {
	document.title = j.word; document.getElementById('p').textContent = 'fetched by name: ' + j.word + ' from ' + location.host;
});"""
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 30 10"><circle cx="5" cy="5" r="4" fill="seagreen"/>' \
    '<path d="M9 5h12" stroke="black"/><rect x="21" y="1" width="8" height="8" fill="teal"/></svg>'


@test("chromium: a page by name, its script, picture and fetch, over SOCKS and HTTP; the screenshot stays in the build")
def _(w):
    need("chromium")
    site = w.files()
    for name, text in (("page.html", PAGE), ("script.js", SCRIPT), ("picture.svg", PICTURE),
                       ("data.json", json.dumps({"word": "seen-through-the-tunnel"}))):
        as_text(os.path.join(site, name), text)
    os.makedirs(os.path.join(BUILD, "tests"), exist_ok=True)
    shot = os.path.join(BUILD, "tests", "proxy-chromium.png")
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=10000"]
    for scheme in ("socks5", "http"):
        done = w.run(*browser, f"--user-data-dir={w.path('chromium')}", f"--proxy-server={w.url(scheme)}", "--dump-dom",
                     f"http://v4.test:{FILES}/page.html", limit=90)
        assert f"fetched by name: seen-through-the-tunnel from v4.test:{FILES}" in done.stdout, (scheme, done)
    if os.path.exists(shot):
        os.unlink(shot)
    done = w.run(*browser, f"--user-data-dir={w.path('chromium')}", f"--proxy-server={w.url('socks5')}", f"--screenshot={shot}",
                 "--window-size=900,600", f"http://v4.test:{FILES}/page.html", limit=90)
    assert os.path.getsize(shot) > 5000, done
    print(f"# {shot}")


@test("a client in the browser's way: many connections at once")
def _(w):
    clients = [subprocess.Popen(["curl", "-sS", "-m", "170", "-w", "%{http_code} ", "-x", w.url("socks5h")] +
                                [word for n in range(10) for word in ("-o", "/dev/null", f"http://web.test:8080/{n}")],
                                stdout=subprocess.PIPE, env=w.environment("curl"), text=True) for _ in range(30)]
    for child in clients:
        out, _ = child.communicate(timeout=180)
        assert out.split() == ["200"] * 10, out


if __name__ == "__main__":
    tap.main(Behind)
