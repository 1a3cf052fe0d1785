# SPDX-License-Identifier: MIT
"""
behind.py - lib/proxied.py with what real clients fetch: files, a repository, packages, a shell

All servers run behind the tunnel's other end. Two proxies of the tests' end: one for this user, one with passwords.
"""

import contextlib
import hashlib
import io
import json
import os
import pwd
import subprocess
import sys
import tarfile
import time
import zipfile

from lib import tap
from lib.proxied import SERVER, WGWRAP, Proxied, socks
from lib.world import find, free_port, wait_until

FILES = 8090  # the port of files()
USERS = "someone:pass word\nplain:word\n"


def as_text(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


class Behind(Proxied):
    """Starts what a row asks for at its first use."""

    def __init__(self):
        super().__init__()
        self.site = self._guarded = self._ssh = self._packages = None
        # clients that leave root for a user of their own look at files here
        os.chmod(self.dir, 0o755)

    def guarded(self):
        """A proxy that asks for a name and a password."""
        if not self._guarded:
            self._guarded = self.start("--listen", "127.0.0.1:0", "--users", self.write("users", USERS))
        return self._guarded

    def url(self, scheme, user="", guarded=False):
        proxy = self.guarded() if user or guarded else self.proxy()
        return f"{scheme}://{user + '@' if user else ''}127.0.0.1:{proxy.port()}"

    @staticmethod
    def has(tool):
        return find(tool) is not None

    @staticmethod
    def uid(name):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
        return None

    def inside(self, name, *argv, port):
        """Starts a server in the other end's tunnel; waits until its port answers through the proxy."""
        with open(self.path(f"{name}.log"), "w", encoding="utf-8") as log:
            child = subprocess.Popen([WGWRAP, "-c", self.path("server.conf"), *argv], cwd=self.dir, stdout=log, stderr=log,
                                     stdin=subprocess.DEVNULL, env=self.environment("server"))
        self.children.append(child)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with self.connect() as s:
                if socks(s, SERVER, port)[0] == 0:
                    return
            time.sleep(0.1)
        raise AssertionError(f"{name}: {self.read(self.path(f'{name}.log'))}")

    def files(self):
        """The directory that a web server in the tunnel serves on port FILES."""
        if not self.site:
            self.site = self.path("site")
            os.mkdir(self.site)
            self.inside("files", sys.executable, "-m", "http.server", str(FILES), "--bind", SERVER, "-d", self.site, port=FILES)
        return self.site

    def run(self, *argv, limit=180, cwd=None, **more):
        """A client, outside the tunnel and without the test's own proxy variables; "input" is its standard input."""
        text = more.pop("input", None)
        source = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
        return subprocess.run(argv, cwd=cwd or self.dir, env=self.environment("client", **{"HOME": self.dir, **more}),
                              timeout=limit, capture_output=True, text=True, check=False, **source)

    def sshd(self):
        """sshd on this host's loopback, which the other end lets in at port 2222; ssh's arguments up to the host."""
        if self._ssh:
            return self._ssh
        try:
            user = pwd.getpwuid(os.geteuid())
        except KeyError:
            tap.skip("this user is not in the password file")
        shell = os.path.basename(user.pw_shell)
        if shell in ("nologin", "false"):
            tap.skip(f"this user's shell is {shell}")
        for name in ("host", "user"):
            assert self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.path(f"ssh_{name}")).returncode == 0
        port = free_port()
        conf = self.write("sshd_config", f"HostKey {self.path('ssh_host')}\nAuthorizedKeysFile {self.path('ssh_user.pub')}\n"
                          f"PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nListenAddress 127.0.0.1:{port}\n")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        with open(self.path("sshd.log"), "w", encoding="utf-8") as log:
            self.children.append(subprocess.Popen([find("sshd"), "-D", "-e", "-f", conf], stdout=log, stderr=log))
        wait_until("sshd", lambda: "listening on 127.0.0.1" in self.read(log.name))
        with open(self.path("ssh-remote.log"), "w", encoding="utf-8") as log:
            self.children.append(subprocess.Popen([WGWRAP, "proxy", "-v", "-c", self.path("server.conf"), "-R",
                                                   f"2222:127.0.0.1:{port}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                  env=self.environment("server")))
        wait_until("the port in the tunnel", lambda: "in the tunnel" in self.read(log.name))
        self._ssh = ["ssh", "-F", "/dev/null", "-i", self.path("ssh_user"), "-p", "2222", "-l", user.pw_name,
                     "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
                     "-o", "LogLevel=ERROR"]
        return self._ssh

    def apt(self, name):
        """Options for an apt of our own, which neither reads nor writes the system's state, and a repository for it."""
        if not self._packages:
            self._packages = apt_repository(self)
        state = self.path(f"apt-{name}")
        for part in ("lists/partial", "archives/partial"):
            os.makedirs(os.path.join(state, part))
            if self.uid("_apt") and os.geteuid() == 0:
                os.chown(os.path.join(state, part), self.uid("_apt"), -1)
        as_text(os.path.join(state, "sources.list"), f"deb [trusted=yes] http://{SERVER}:{FILES}/debian ./\n")
        as_text(os.path.join(state, "status"), "")
        options = {"Dir::Etc::sourcelist": f"{state}/sources.list", "Dir::Etc::sourceparts": "-", "Dir::Etc::main": "-",
                   "Dir::Etc::parts": "-", "Dir::State::lists": f"{state}/lists", "Dir::Cache::archives": f"{state}/archives",
                   "Dir::Cache::pkgcache": "", "Dir::Cache::srcpkgcache": "", "Dir::State::status": f"{state}/status",
                   "Debug::NoLocking": "1", "Acquire::Languages": "none", "Acquire::Retries": "0"}
        return [word for option, value in options.items() for word in ("-o", f"{option}={value}")]

    def npm_registry(self, name):
        """A registry made of files: NAME is what npm asks for, NAME.tgz what it then fetches."""
        place = os.path.join(self.files(), "npm")
        os.makedirs(place)
        manifest = {"name": name, "version": "1.0.0"}
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w:gz") as tar:
            for path, text in (("package.json", json.dumps(manifest)), ("index.js", f"module.exports = '{name}';\n")):
                member = tarfile.TarInfo(f"package/{path}")
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
        with open(os.path.join(place, f"{name}.tgz"), "wb") as f:
            f.write(data.getvalue())
        manifest["dist"] = {"tarball": f"http://{SERVER}:{FILES}/npm/{name}.tgz",
                            "shasum": hashlib.sha1(data.getvalue()).hexdigest()}
        as_text(os.path.join(place, name), json.dumps({"name": name, "dist-tags": {"latest": "1.0.0"},
                                                       "versions": {"1.0.0": manifest}}))


def checked(done):
    assert done.returncode == 0, done
    return done.stdout


def apt_repository(w):
    tree, root = w.path("deb"), os.path.join(w.files(), "debian")
    os.mkdir(root)
    as_text(os.path.join(tree, "DEBIAN/control"), "Package: proxied-thing\nVersion: 1.0\nArchitecture: all\n"
            "Maintainer: t <t@example.org>\nDescription: nothing\n")
    checked(w.run("dpkg-deb", "-b", tree, os.path.join(root, "proxied-thing_1.0_all.deb")))
    for name, verb in (("Packages", "packages"), ("Release", "release")):
        as_text(os.path.join(root, name), checked(w.run("apt-ftparchive", verb, ".", cwd=root)))
    return root


def repository(w):
    """A git repository as files, repo.git; the environment for git."""
    source, bare = w.path("source"), os.path.join(w.files(), "repo.git")
    who = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t",
           "GIT_COMMITTER_EMAIL": "t@t"}
    as_text(os.path.join(source, "file"), "contents\n" * 10000)
    for argv in (("init", "-q", source), ("-C", source, "add", "."), ("-C", source, "commit", "-q", "-m", "one"),
                 ("clone", "-q", "--bare", source, bare), ("-C", bare, "update-server-info")):
        checked(w.run("git", *argv, **who))
    return who


def own_package(w):
    """A wheel, and its page of an index, for pip."""
    place = os.path.join(w.files(), "simple", "proxied-thing")
    wheel, info = "proxied_thing-1.0-py3-none-any.whl", "proxied_thing-1.0.dist-info"
    as_text(os.path.join(place, "index.html"), f'<!doctype html><a href="{wheel}">{wheel}</a>')
    with zipfile.ZipFile(os.path.join(place, wheel), "w") as z:
        z.writestr("proxied_thing.py", "SAID = 'installed'\n")
        z.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: proxied-thing\nVersion: 1.0\n")
        z.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(f"{info}/RECORD", "")
