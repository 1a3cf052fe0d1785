# SPDX-License-Identifier: MIT
"""serving.py - wrapped servers, and what reaches them from the peer's side"""

from lib import world


def from_peer(w, *argv, limit=60, **kwargs):
    """Runs a command next to the real servers, behind the tunnel's other end."""
    return w.finish_command(w.inside(w.peer_ns) + list(argv), limit, **kwargs)


def peer_says(w, *argv, **kwargs):
    """Like from_peer(), and the command must succeed. Returns its standard output."""
    done = from_peer(w, *argv, **kwargs)
    assert done.returncode == 0, f"{' '.join(argv)}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def text_of(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def is_reached(w, port):
    """Whether the wrapped server answers the peer's SYN."""
    code = f"import socket; socket.create_connection(('10.9.0.2', {port}), 5).close()"
    return from_peer(w, "/usr/bin/python3", "-c", code).returncode == 0


def serve(w, *argv, ready, privileged=False, **kwargs):
    """
    Starts a wrapped server. Waits until its output has the word @ready, or the peer reaches port @ready.
    Returns (child, path of its output).
    """
    path = w.path("work", f"server-{len(w.children)}.log")
    w.log_names.append(f"work/server-{len(w.children)}.log")
    with open(path, "wb") as log:
        child = w.start(w.wrap(*argv, privileged=privileged), stdout=log, stderr=log, **kwargs)

    def up():
        assert child.poll() is None, text_of(path)
        return is_reached(w, ready) if isinstance(ready, int) else ready in text_of(path)
    world.wait_until(f"{argv[0]}: {ready}", up)
    return child, path


def end(child):
    child.terminate()
    child.wait(60)
