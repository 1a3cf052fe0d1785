# SPDX-License-Identifier: MIT
"""
matrix.py - rows of the program matrix

	@row("curl: ...")		run by `make check`: a few seconds, and common packages
	@full_row("chromium: ...")	run by `make matrix` only

A row is a real use of a program that nobody changed, and its result is checked.
"""

import os
import subprocess

from lib import tap
from lib.serving import peer_says
from lib.world import NOBODY, find, run

PYTHON = "/usr/bin/python3"
CURL = ("curl", "-sS", "--fail", "--max-time", "60")

row = tap.test


def full_row(name):
    return tap.test(name) if os.environ.get("WGWRAP_MATRIX") == "full" else lambda function: function


def need_file(path, package):
    if not os.path.exists(path):
        tap.skip(f"{package} is not installed")


def need_root(w):
    if not w.as_root:
        tap.skip("needs root")


def fetch_from_wrapped(w, port, path=""):
    """What the peer reads from a wrapped web server."""
    return peer_says(w, *CURL, f"http://10.9.0.2:{port}/{path}")


def sha256(path):
    return run("sha256sum", path).split()[0]


def random_file(w, name, size):
    """A file in the wrapped command's directory; returns (path, SHA-256)."""
    path = w.path("work", name)
    with open(path, "wb") as f:
        f.write(os.urandom(size))
    os.chmod(path, 0o644)
    return path, sha256(path)


def owned_dir(w, *parts, mode=0o755):
    """A directory that belongs to the user of the wrapped commands."""
    path = w.path(*parts)
    os.mkdir(path)
    os.chmod(path, mode)
    if w.as_root:
        os.chown(path, NOBODY, NOBODY)
    return path


def need_perl(module):
    """Skips the calling row where perl lacks a module that it usually brings."""
    tool = find("perl")
    if not tool or subprocess.run([tool, f"-e require '{module}'"], capture_output=True, check=False).returncode:
        tap.skip(f"perl with {module} is not installed")
