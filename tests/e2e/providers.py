#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
providers.py - files in the shape of several providers', from download to a wrapped program and a proxy

The samples are those of tests/data/config: ours, in those shapes. Keys and endpoint are replaced by the test's; the rest
is used as it is: addresses, name servers, MTU, allowed IPs, comments. The commands are the README's.
"""

import os
import re
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import tap  # noqa: E402
from lib.proxied import SERVER, WGWRAP, Proxied, key  # noqa: E402
from lib.world import ROOT, free_port  # noqa: E402

SAMPLES = os.path.join(ROOT, "tests/data/config")


def values(text, name):
    """All values of a key, lists taken apart."""
    return [v.strip() for line in re.findall(rf"(?mi)^{name}\s*=\s*(.*)$", text) for v in line.split(",")]


class Provider(Proxied):
    """The other end of one file: its gateway, with the name servers that the file has, and a web server."""

    def __init__(self, sample):
        with open(os.path.join(SAMPLES, f"{sample}.conf"), encoding="utf-8") as f:
            self.text = f.read()
        self.name_servers = values(self.text, "DNS")
        self.gateway = "10.8.0.1"
        self.sample = sample
        super().__init__()

    def configure(self):
        self.private = [key("genkey"), key("genkey")]
        self.public = [key("pubkey", k + "\n") for k in self.private]
        self.udp_port = free_port()
        mine = dict.fromkeys([*self.name_servers, self.gateway, SERVER, "fd09::1"])
        # the gateway knows the device by its addresses, whatever mask the file gives them
        device = ", ".join(a.partition("/")[0] for a in values(self.text, "Address"))
        self.write("server.conf", f"[Interface]\nPrivateKey = {self.private[0]}\nAddress = {', '.join(mine)}\n"
                   f"ListenPort = {self.udp_port}\n[Peer]\nPublicKey = {self.public[1]}\nAllowedIPs = {device}\n")
        text = self.text
        for name, value in (("PrivateKey", self.private[1]), ("PublicKey", self.public[0]),
                            ("Endpoint", f"127.0.0.1:{self.udp_port}")):
            text, n = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
            assert n == 1, (self.sample, name)
        # a name no interface could have
        self.conf = self.write(f"{self.sample}-de-fra-wg-001.conf", text)

    def wgwrap(self, *argv):
        done = subprocess.run([WGWRAP, *argv], env=self.environment("client"), capture_output=True, text=True, timeout=60,
                              check=False)
        assert self.private[1] not in done.stdout + done.stderr
        return done

    def urls(self):
        """What a newcomer asks for: a name, where the file has name servers; each family that the file has."""
        if not self.name_servers:
            return [f"http://{self.gateway}:8080/"]
        urls = ["http://v4.test:8080/"]
        if any(":" in a for a in values(self.text, "Address")):
            urls.append("http://v6.test:8080/")
        return urls


class World:
    def __init__(self):
        self.provider = None

    def describe(self):
        return self.provider.describe() if self.provider else ""

    def finish(self):
        return ()

    def close(self):
        pass


def try_file(world, sample):
    w = world.provider = Provider(sample)
    try:
        done = w.wgwrap("check", w.conf)
        assert done.returncode == 0 and "error" not in done.stderr, done
        for url in w.urls():
            done = w.wgwrap("-c", w.conf, "curl", "-fsS", "-m", "20", url)
            assert done.returncode == 0 and '"path": "/"' in done.stdout, (url, done)
            assert done.stderr == "", done.stderr
        proxy = w.start("--socks5", "0", "--http", "0")
        proxy.wait("(HTTP)")
        for n, scheme in enumerate(("socks5h", "http")):
            for url in w.urls():
                done = subprocess.run(["curl", "-fsS", "-m", "20", "-x", f"{scheme}://127.0.0.1:{proxy.port(n)}", url],
                                      env=w.environment("curl"), capture_output=True, text=True, timeout=60, check=False)
                assert done.returncode == 0 and '"path": "/"' in done.stdout, (scheme, url, done)
        assert proxy.stop() == 0
    finally:
        w.close()


for shape, file in (("Mullvad's", "mullvad"), ("Proton's", "proton"), ("wgcf's, lists", "wgcf-lists"),
                    ("wgcf's, repeated keys", "wgcf-repeated-keys"), ("wg-quick's, a split tunnel without DNS", "minimal")):
    tap.test(f"{shape}: check, a wrapped program, a proxy")(lambda w, name=file: try_file(w, name))


if __name__ == "__main__":
    tap.main(World)
