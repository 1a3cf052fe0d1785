#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""web.py - the matrix: curl, wget, aria2, git, package managers, a browser"""

import io
import json
import os
import sys
import tarfile
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import servers, world  # noqa: E402
from lib.matrix import CURL, PYTHON, full_row, need_file, need_root, owned_dir, row, sha256  # noqa: E402
from lib.world import find, need, run  # noqa: E402

world.enter()


@row("curl: HTTP/1.1, HTTP/2 and TLS by name, one connection for several pages, 20 downloads at once")
def _(w):
    servers.web(w)
    servers.dns(w)
    tls = (*CURL, "--cacert", w.path("tls.crt"), "-o", "/dev/null")
    for option, version in (("--http1.1", "1.1"), ("--http2", "2")):
        out = w.ok(*tls, option, "-w", "%{http_version} %{ssl_verify_result} %{remote_ip}\n", "-4", "https://web.test/")
        assert out == f"{version} 0 10.9.0.1\n", (option, out)
    out = w.ok(*tls, "-o", "/dev/null", "-w", "%{num_connects} %{response_code}\n", "https://web.test/",
               "https://web.test/address")
    assert out == "1 200\n0 200\n", out
    out = w.ok(*tls, "--http2-prior-knowledge", "-w", "%{http_version}\n", "https://web.test/big.bin")
    assert out == "2\n", out
    out = w.ok(*CURL, "-Z", "--parallel-max", "20", "-w", "%{size_download}\n", "-o", "part#1", "-r", "0-99999",
               "http://web.test/big.bin?[1-20]")
    assert out == "100000\n" * 20, out


@row("curl: a refused IPv6 address falls back to IPv4 at once")
def _(w):
    servers.web(w)
    # fd0a:: is in nobody's AllowedIPs
    out = w.ok(*CURL, "--resolve", "both.test:80:[fd0a::1],10.9.0.1", "-w", "%{remote_ip}", "-o", "/dev/null",
               "http://both.test/")
    assert out == "10.9.0.1", out


@row("wget: a recursive mirror, a download that goes on where it stopped, TLS")
def _(w):
    need("wget")
    servers.web(w)
    servers.dns(w)
    os.mkdir(w.path("www", "tree"))
    pages = [f"page{i}.html" for i in range(10)]
    for page in pages:
        with open(w.path("www", "tree", page), "w", encoding="ascii") as f:
            f.write("".join(f'<a href="{p}">{p}</a>' for p in pages))
    w.ok("wget", "-q", "-r", "-np", "-nH", "http://web.test/tree/page0.html")
    assert sorted(os.listdir(w.path("work", "tree"))) == pages
    with open(w.path("work", "big.bin"), "wb") as f, open(w.path("www", "big.bin"), "rb") as whole:
        f.write(whole.read(40 << 20))
    os.chmod(w.path("work", "big.bin"), 0o666)
    w.ok("wget", "-q", "-c", "--ca-certificate", w.path("tls.crt"), "https://web.test/big.bin")
    assert sha256(w.path("work", "big.bin")) == w.big_sha256


@row("aria2: one file over eight connections")
def _(w):
    need("aria2c")
    servers.web(w)
    servers.dns(w)
    out = w.ok("aria2c", "-q", "-x", "8", "-s", "8", "-k", "1M", "--file-allocation=none", "-o", "aria.bin",
               f"--checksum=sha-256={w.big_sha256}", "http://web.test/big.bin")
    assert sha256(w.path("work", "aria.bin")) == w.big_sha256, out


GIT_HTTP = """
import http.server, os, sys
os.chdir(sys.argv[1])
os.environ.update(GIT_PROJECT_ROOT=sys.argv[1], GIT_HTTP_EXPORT_ALL="1", REMOTE_USER="tester")
class Handler(http.server.CGIHTTPRequestHandler):
    cgi_directories = ["/cgi-bin"]
server = http.server.ThreadingHTTPServer(("", 8070), Handler)
print("ready", flush=True)
server.serve_forever()
"""


def git(w, *argv):
    return w.ok("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "safe.directory=*", *argv,
                env=w.environment(GIT_CONFIG_GLOBAL="/dev/null", GIT_TERMINAL_PROMPT="0"))


def clone_and_push(w, url, name, bare):
    """A clone, a commit, a push, and a look at what has come."""
    clone = w.path("work", name)
    git(w, "clone", "-q", url, clone)
    assert len(os.listdir(clone)) == 21
    with open(os.path.join(clone, "new"), "w", encoding="ascii") as f:
        f.write(name)
    git(w, "-C", clone, "add", "new")
    git(w, "-C", clone, "commit", "-q", "-m", name)
    git(w, "-C", clone, "push", "-q", "origin", f"HEAD:refs/heads/{name}")
    pushed = run("git", "-c", "safe.directory=*", "-C", bare, "show", f"{name}:new")
    assert pushed == name, pushed


def bare_copy(w, name):
    servers.git(w)
    bare = w.path(name)
    run("git", "clone", "-q", "--bare", w.path("source"), bare)
    run("git", "-C", bare, "config", "http.receivepack", "true")
    run("git", "-C", bare, "config", "daemon.receivepack", "true")
    return bare


@row("git: clone and push over HTTP (the smart protocol)")
def _(w):
    need("git")
    bare = bare_copy(w, "smart.git")
    if w.as_root:
        # Python's CGI server gives up root
        run("chown", "-R", "nobody:", bare)
    backend = os.path.join(run("git", "--exec-path").strip(), "git-http-backend")
    os.mkdir(w.path("cgi-bin"))
    os.symlink(backend, w.path("cgi-bin", "git"))
    w.start_server("git-http", [PYTHON, "-c", GIT_HTTP, w.dir])
    clone_and_push(w, "http://10.9.0.1:8070/cgi-bin/git/smart.git", "over-http", bare)


@row("git: clone and push over ssh")
def _(w):
    need("git")
    bare = bare_copy(w, "ssh.git")
    command = servers.ssh(w)
    clone = w.path("work", "over-ssh")
    ssh = ("-c", f"core.sshCommand={' '.join(command)}", "-c", "safe.directory=*")
    env = {"env": w.environment(GIT_CONFIG_GLOBAL="/dev/null")}
    w.ok("git", *ssh, "clone", "-q", f"10.9.0.1:{bare}", clone, **env)
    assert len(os.listdir(clone)) == 21
    w.ok("git", *ssh, "-C", clone, "push", "-q", "origin", "HEAD:refs/heads/over-ssh", **env)
    assert "over-ssh" in run("git", "-c", "safe.directory=*", "-C", bare, "branch")


@row("git: clone and push with git's own protocol")
def _(w):
    need("git")
    bare = bare_copy(w, "own.git")
    w.start_server("git-daemon", ["git", "daemon", "--export-all", "--reuseaddr", "--enable=receive-pack",
                                  f"--base-path={w.dir}"], ready=("tcp:9418",))
    clone_and_push(w, "git://10.9.0.1/own.git", "over-git", bare)


@row("pip: a package from an index behind the tunnel")
def _(w):
    need_file("/usr/lib/python3/dist-packages/pip", "python3-pip")
    servers.web(w)
    servers.dns(w)
    os.makedirs(w.path("www", "simple", "wrapped-thing"))
    wheel = "wrapped_thing-1.0-py3-none-any.whl"
    info = "wrapped_thing-1.0.dist-info"
    with zipfile.ZipFile(w.path("www", "simple", "wrapped-thing", wheel), "w") as z:
        z.writestr("wrapped_thing.py", "said = 'installed'\n")
        z.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: wrapped-thing\nVersion: 1.0\n")
        z.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(f"{info}/RECORD", "")
    with open(w.path("www", "simple", "wrapped-thing", "index.html"), "w", encoding="ascii") as f:
        f.write(f'<!DOCTYPE html><a href="{wheel}">{wheel}</a>')
    target = w.path("work", "pip")
    env = w.environment(PIP_CONFIG_FILE="/dev/null", PIP_DISABLE_PIP_VERSION_CHECK="1")
    w.ok(PYTHON, "-m", "pip", "install", "-q", "--no-cache-dir", "--target", target, "--cert", w.path("tls.crt"),
         "--index-url", "https://web.test/simple/", "wrapped-thing", env=env)
    assert run(PYTHON, "-c", "import wrapped_thing; print(wrapped_thing.said)", cwd=target) == "installed\n"


def npm_package(w, name, dependencies):
    """A package in a registry made of files: NAME is what npm asks for, NAME.tgz what it then fetches."""
    manifest = {"name": name, "version": "1.0.0", "dependencies": dependencies}
    packed = w.path("www", "npm-files", f"{name}.tgz")
    with tarfile.open(packed, "w:gz") as tar:
        for path, text in (("package.json", json.dumps(manifest)), ("index.js", f"module.exports = '{name}';\n")):
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    manifest["dist"] = {"tarball": f"http://web.test/npm-files/{name}.tgz",
                        "shasum": run("sha1sum", packed).split()[0]}
    with open(w.path("www", "npm", name), "w", encoding="ascii") as f:
        json.dump({"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": manifest}}, f)


@row("npm: a package and its dependencies from a registry behind the tunnel")
def _(w):
    need("npm", "node")
    servers.web(w)
    servers.dns(w)
    for name in ("npm", "npm-files"):
        os.mkdir(w.path("www", name))
    names = [f"part{i}" for i in range(20)]
    npm_package(w, "whole", {name: "^1.0.0" for name in names})
    for name in names:
        npm_package(w, name, {})
    project = owned_dir(w, "work", "npm")
    w.write("work/npm/package.json", '{"name": "project", "version": "1.0.0"}')
    w.ok("npm", "install", "--registry", "http://web.test/npm/", "--no-audit", "--no-fund", "--no-update-notifier",
         "whole", cwd=project)
    for name in ("whole", *names):
        assert os.path.exists(os.path.join(project, "node_modules", name, "index.js")), name


def apt_repository(w):
    """A package and its index below www/debian."""
    tree = w.path("deb")
    os.makedirs(os.path.join(tree, "DEBIAN"))
    with open(os.path.join(tree, "DEBIAN/control"), "w", encoding="ascii") as f:
        f.write("Package: wrapped-thing\nVersion: 1.0\nArchitecture: all\nMaintainer: t <t@example.org>\n"
                "Description: nothing\n")
    root = w.path("www", "debian")
    os.mkdir(root)
    run("dpkg-deb", "-b", tree, os.path.join(root, "wrapped-thing_1.0_all.deb"))
    with open(os.path.join(root, "Packages"), "w", encoding="utf-8") as f:
        f.write(run("apt-ftparchive", "packages", ".", cwd=root))
    release = run("apt-ftparchive", "release", ".", cwd=root)
    with open(os.path.join(root, "Release"), "w", encoding="utf-8") as f:
        f.write(release)


def apt_options(w):
    """An apt of our own: nothing of the system's is read or written."""
    state = w.path("apt")
    for name in ("lists/partial", "archives/partial", "etc"):
        os.makedirs(os.path.join(state, name))
    with open(os.path.join(state, "etc", "sources.list"), "w", encoding="ascii") as f:
        f.write("deb [trusted=yes] http://web.test/debian ./\n")
    with open(os.path.join(state, "status"), "w", encoding="ascii"):
        pass
    options = {"Dir::Etc::sourcelist": f"{state}/etc/sources.list", "Dir::Etc::sourceparts": "-",
               "Dir::Etc::main": "-", "Dir::Etc::parts": "-",
               "Dir::State::lists": f"{state}/lists", "Dir::Cache::archives": f"{state}/archives",
               "Dir::Cache::pkgcache": "", "Dir::Cache::srcpkgcache": "", "Dir::State::status": f"{state}/status",
               "Debug::NoLocking": "1", "Acquire::Languages": "none", "Acquire::Retries": "0"}
    run("sh", "-c", f"chown -R _apt {state}/lists/partial {state}/archives/partial 2>/dev/null || true")
    return [o for name, value in options.items() for o in ("-o", f"{name}={value}")]


@row("as root: apt-get update and download; its method runs as _apt")
def _(w):
    need("apt-get", "apt-ftparchive", "dpkg-deb")
    need_root(w)
    servers.web(w)
    servers.dns(w)
    apt_repository(w)
    options = apt_options(w)
    done = w.wrapped("apt-get", *options, "update", privileged=True)
    assert done.returncode == 0 and "Err:" not in done.stdout and "W:" not in done.stderr, (done.stdout, done.stderr)
    place = owned_dir(w, "debs", mode=0o777)
    done = w.wrapped("apt-get", *options, "download", "wrapped-thing", privileged=True, cwd=place)
    assert os.listdir(place) == ["wrapped-thing_1.0_all.deb"] and "unsandboxed" not in done.stderr, done
    with open(w.path("nginx", "access.log"), encoding="utf-8") as f:
        assert any(line.startswith(("10.9.0.2 ", "fd09::2 ")) and "wrapped-thing_1.0_all.deb" in line for line in f)


@full_row("chromium: a page by name, its script and its fetch()")
def _(w):
    need("chromium")
    servers.web(w)
    servers.dns(w)
    with open(w.path("www", "script.html"), "w", encoding="ascii") as f:
        f.write("<p id=p>nothing</p><script src=script.js></script>")
    with open(w.path("www", "script.js"), "w", encoding="ascii") as f:
        f.write("fetch('/address').then(r => r.text()).then(t => document.getElementById('p').textContent = 'from ' + t)")
    out = w.ok("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
               "--disable-background-networking", "--disable-component-update", "--no-first-run",
               f"--user-data-dir={w.path('home', 'chromium')}", "--virtual-time-budget=10000", "--dump-dom",
               "http://v4.test/script.html")
    assert "from 10.9.0.2" in out, out


world.main()
