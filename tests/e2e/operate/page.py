#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
page.py - the status page of the health listener: with curl, without a script, and in a browser

The screenshots stay in the build folder: status-page.png, -dark.png, -phone.png.
"""

import html.parser
import json
import os
import re
import shutil
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import operate as t  # noqa: E402
from lib import tap  # noqa: E402

EVIL = '<img src=x onerror="document.title=1">&amp;'


class Text(html.parser.HTMLParser):
    """Tags, attributes and text of a document, without its script and style."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.links, self.inside = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.inside = tag
        self.links += [v for k, v in attrs if k in ("src", "href", "srcset", "action")]
        assert not any(k == "style" or k.startswith("on") for k, _ in attrs), attrs

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.words.append(data)


class Page(t.Tunnels):
    def __init__(self):
        super().__init__()
        self.up()
        self.load = self.start("-c", self.client, "--", "sh", "-c",
                               "while :; do curl -s -o /dev/null --limit-rate 300k http://10.77.0.1:8000/big; done")
        with open(os.path.join(self.dir, "web/big"), "wb") as f:
            f.truncate(8 << 20)
        self.wgwrap("-c", self.client, "--", "curl", "-s", "http://192.0.2.1/")  # is refused
        self.address = f"127.0.0.1:{t.free_port()}"
        self.server = self.start("health", "--listen", self.address)
        t.wait_until("it listens", lambda: self.get("/livez")[0] == 200)

    def get(self, path, *options):
        """Status, headers, body."""
        out = t.run("curl", "-s", "-i", *options, f"http://{self.address}{path}").stdout
        if not out:
            return 0, "", ""
        head, _, body = out.partition("\n\n")
        return int(head.split()[1]), head, body

    def browser(self, name, *options, size="1100,1000", budget=3000):
        """A screenshot, and the document that was left."""
        chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if not chromium:
            tap.skip("chromium is not installed")
        path = os.path.join(os.path.abspath(t.BUILD), name)
        if os.path.exists(path):
            os.unlink(path)
        done = t.run(chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--hide-scrollbars", f"--user-data-dir={self.dir}/chromium", f"--window-size={size}",
                     f"--virtual-time-budget={budget}", "--enable-logging=stderr", "--v=0", *options, f"--screenshot={path}",
                     f"http://{self.address}/", timeout=90)
        assert os.path.exists(path) and os.path.getsize(path) > 20000, done.stderr[-2000:]
        complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert not complaints, complaints
        return path


@tap.test("the page is one document, and says what show says without its script")
def _(w):
    # its connection comes and goes
    status, head, body = t.wait_until("the load shows", lambda: got if "10.77.0.1:8000" in (got := w.get("/"))[2] else None)
    assert status == 200 and "Content-Type: text/html; charset=utf-8" in head, head
    page = Text(body)
    words = " ".join(" ".join(page.words).split())
    for what in ("client", "server", "office gateway", w.keys["server_public"], f"127.0.0.1:{w.port}", "10.77.0.0/24",
                 "10.77.0.1:8000", "Open connections", "Refused",
                 "connections to destinations that no peer is allowed to carry"):
        assert what in words, (what, words)
    assert page.links == ["data:,"], page.links
    assert "preshared" not in body and w.keys["client_key"] not in body and w.keys["psk"] not in body


@tap.test("the policy allows nothing from elsewhere, and its word is new every time")
def _(w):
    nonces = []
    for _ in range(2):
        _, head, body = w.get("/")
        policy = re.search("^Content-Security-Policy: (.*)$", head, re.M)[1].strip()
        nonce = re.search("script-src 'nonce-([0-9a-f]{32})'", policy)[1]
        assert policy == (f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
                          "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                          "frame-ancestors 'none'"), policy
        assert body.count(f'nonce="{nonce}"') == 2 and not re.search(r"https?://(?!www\.w3\.org/2000/svg)", body)
        nonces.append(nonce)
    assert nonces[0] != nonces[1]
    for path in ("/livez", "/metrics", "/status.json", "/none"):
        assert "Content-Security-Policy: default-src 'none'" in w.get(path)[1], path


@tap.test("numbers for the plot as JSON")
def _(w):
    def samples():
        return {x["name"]: x["samples"] for x in json.loads(w.get("/status.json")[2])["tunnels"]}

    assert list(samples()) == ["client", "server"], samples()
    t.wait_until("the load shows", lambda: samples()["client"][-1][1] > samples()["client"][0][1] + 1000000)
    client = samples()["client"]
    assert all(a[0] - b[0] >= 1000 and a[1] <= b[1] and a[2] <= b[2] for a, b in zip(client, client[1:])), client


@tap.test("only loopback's own names are answered: a page from elsewhere reads nothing")
def _(w):
    port = w.address.split(":")[1]
    for host in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}", "127.8.9.1", f"[::1]:{port}", "LOCALHOST"):
        assert w.get("/", "-H", f"Host: {host}")[0] == 200, host
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1",
                 "[::1].evil.example", "x" * 60):
        for path in ("/", "/status.json", "/metrics"):
            assert w.get(path, "-H", f"Host: {host}")[0] == 421, host
    assert w.get("/", "-H", "Host: " + "x" * 70)[0] == 400
    with socket.create_connection(("127.0.0.1", int(port))) as s:
        for piece in (b"GET / HTTP/1.1\r\nHo", b"st: ev", b"il.example\r\n\r\n"):
            s.sendall(piece)
            time.sleep(0.2)
        assert s.recv(100).startswith(b"HTTP/1.1 421 ")


@tap.test("what a file says is text, never markup")
def _(w):
    with open(w.client, encoding="utf-8") as f:
        text = f.read()
    w.write("client.conf", text.replace("office gateway", EVIL).replace("{", "{{").replace("}", "}}"))
    w.ok("reload", "client")
    body = w.get("/")[2]
    assert "<img" not in body and EVIL in "".join(Text(body).words), body
    w.write("client.conf", text)
    w.ok("reload", "client")


@tap.test("in a browser: light, dark, on a phone; nothing on its console")
def _(w):
    # so that there is something to draw
    for n in range(12):
        w.get("/status.json")
        time.sleep(1.1 if n < 8 else 0.5)
    for name, options, size in (("status-page.png", (), "1100,1000"),
                                ("status-page-dark.png", ("--force-dark-mode", "--blink-settings=preferredColorScheme=0"),
                                 "1100,1000"),
                                ("status-page-phone.png", (), "500,1400")):
        path = w.browser(name, *options, size=size)
        print(f"# {path}")


if __name__ == "__main__":
    tap.main(Page)
