# SPDX-License-Identifier: MIT
"""
terminal.py - what a shell with job control sees of wgwrap, on a pseudo terminal; run by signals.sh

usage: terminal.py WGWRAP CONF; prints "ok|NAME" or "fail|NAME" per test, before the latter "seen|LINE" for each line that
was on the terminal since the test before.
"""

import os
import pty
import re
import select
import sys
import time

WGWRAP, CONF = sys.argv[1:3]
LIMIT_S = 60


class Shell:
    """bash on a terminal of its own"""

    def __init__(self):
        self.seen, self.mark, self.reported = "", 0, 0
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(PS1="prompt> ", TERM="dumb", HISTFILE="/dev/null")
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.expect("prompt> ")

    def type(self, text):
        # dash loses an interrupt that comes while it starts a program, natively too
        if text < " ":
            time.sleep(0.3)
        self.mark = len(self.seen)
        os.write(self.fd, text.encode())

    def runs(self, name):
        """Waits until a program called @name has the terminal and sleeps or reads."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            for entry in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                        comm, _, rest = f.read().partition(" (")[2].rpartition(") ")
                except OSError:
                    continue
                state, _, group, session, _, foreground = rest.split()[:6]
                if (comm, state, int(session), group) == (name, "S", self.pid, foreground):
                    return
            time.sleep(0.05)

    def line(self, text):
        self.type(text + "\n")

    def expect(self, pattern):
        """Waits for @pattern behind what was typed last; whether it came."""
        deadline = time.monotonic() + LIMIT_S
        while not re.search(pattern, self.seen[self.mark:]):
            if time.monotonic() > deadline:
                return False
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode(errors="replace").replace("\r\n", "\n")
                except OSError:
                    return bool(re.search(pattern, self.seen[self.mark:]))
        return True

    def report(self, name, passed):
        if not passed:
            for line in self.seen[self.reported:].splitlines():
                print(f"seen|{line}")
        self.reported = len(self.seen)
        print(f"{'ok' if passed else 'fail'}|{name}", flush=True)


def wrapped(command):
    return f"'{WGWRAP}' -c {CONF} -- {command}"


def main():
    sh = Shell()

    sh.line(wrapped("sh -c 'echo begun; sleep 600'"))
    begun = sh.expect(r"\nbegun\n")
    sh.runs("sleep")
    sh.type("\x03")
    sh.report("the terminal's interrupt ends command and wgwrap", begun and sh.expect("prompt> "))
    sh.line("echo status $?")
    sh.report("the shell sees an interrupt", sh.expect(r"\nstatus 130\n"))

    sh.line(wrapped("sh -c 'trap \"echo caught\" INT; echo begun; read x; read x; exit 3'"))
    begun = sh.expect(r"\nbegun\n")
    sh.runs("sh")  # a trap that comes before the read is not run before its end
    sh.type("\x03")
    sh.expect("caught")
    time.sleep(0.3)
    once = begun and sh.seen.count("\ncaught") + sh.seen.count("^Ccaught") == 1
    sh.type("\n\n")
    sh.expect("prompt> ")
    sh.report("a command that handles the interrupt gets it once and lives on", once)
    sh.line("echo status $?")
    sh.report("and its status is passed on", sh.expect(r"\nstatus 3\n"))

    sh.line(wrapped("sh -c 'echo begun; read x; echo \"<$x>\"; exit 7'"))
    begun = sh.expect(r"\nbegun\n")
    sh.type("\x1a")
    sh.report("Ctrl-Z stops the job", begun and sh.expect(r"Stopped"))
    sh.line("jobs -l")
    sh.expect(r"Stopped")
    sh.line("fg")
    sh.expect("begun")
    time.sleep(0.3)
    sh.line("word")
    sh.report("fg continues it, and it reads the terminal", sh.expect(r"\n<word>\n"))
    sh.line("echo status $?")
    sh.report("and it ends with its status", sh.expect(r"\nstatus 7\n"))

    sh.line(wrapped("sh -c 'echo begun; sleep 1; kill -STOP $$; echo continued'"))
    sh.report("a command that stops itself stops the job", sh.expect(r"\nbegun\n") and sh.expect("Stopped"))
    sh.line("bg")
    sh.report("bg continues it", sh.expect(r"(> |\n)continued\n"))

    sh.line(wrapped("bash --norc --noprofile -i"))
    sh.line("PS1='inner> '")
    sh.report("an interactive shell gets the terminal", sh.expect(r"\ninner> "))
    sh.line("sleep 600")
    sh.runs("sleep")
    sh.type("\x1a")
    stopped = sh.expect(r"Stopped.*\n(.*\n)*inner> ")
    sh.line("fg")
    sh.runs("sleep")
    sh.type("\x03")
    sh.report("job control works inside", stopped and sh.expect("inner> "))
    sh.line("suspend -f")
    sh.expect("prompt> ")
    sh.line("fg")
    sh.expect("inner> ")
    sh.line("exit 6")
    sh.expect("prompt> ")
    sh.line("echo status $?")
    sh.report("suspend and fg work from outside", sh.expect(r"\nstatus 6\n"))
    sh.line("exit")


main()
