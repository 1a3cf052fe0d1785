# SPDX-License-Identifier: MIT
"""shifted.py - clocks of one wgwrap that a test sets forward or back while it runs (tests/shifted/clock.c)"""

import mmap
import os
import signal
import struct
import time

from lib import tap
from lib.world import BUILD, need_no_sanitizer

LIBRARY = os.path.join(BUILD, "tests/shifted/clock.so")
NS = 10**9


class Clock:
    """@environment: for the wgwrap whose clocks these are."""

    def __init__(self, path):
        if not os.path.exists(LIBRARY):
            tap.skip("the library that shifts clocks is not built (make check-e2e)")
        need_no_sanitizer("wants to be the first that is preloaded")
        with open(path, "w+b") as f:
            f.write(bytes(16))
            f.flush()
            self.map = mmap.mmap(f.fileno(), 16)
        self.environment = {"LD_PRELOAD": LIBRARY, "WGWRAP_TEST_CLOCK": path}
        self.boottime_s = self.realtime_s = 0

    def set(self, boottime_s=0, realtime_s=0):
        """Goes on from now by so much."""
        self.boottime_s += boottime_s
        self.realtime_s += realtime_s
        self.map[:] = struct.pack("qq", int(self.boottime_s * NS), int(self.realtime_s * NS))

    def sleep(self, pid, seconds, wall=True):
        """As if the machine had been suspended: @pid stops, the clocks go on, it wakes. Without @wall the wall
        clock stays: peers refuse handshakes that are older than what they have seen, so who comes later with the
        real one would be refused."""
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.05)
        self.set(seconds, seconds if wall else 0)
        os.kill(pid, signal.SIGCONT)
