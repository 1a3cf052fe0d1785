#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""files.py - units, completions and manual pages say what the program does, and are well-formed"""

import glob
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import operate as t  # noqa: E402
from lib import tap  # noqa: E402

COMPLETIONS = os.path.join(t.ROOT, "cmd/completions")


class Files(t.Tunnels):
    def commands(self):
        """Names of the subcommands, from the usage."""
        return re.findall(r"^(?:usage:|      ) wgwrap ([a-z]+)", self.ok("help"), re.M)

    def options(self, command):
        """Long options that a subcommand has: those it does not call unknown."""
        with open(os.path.join(t.ROOT, f"cmd/{command}.c"), encoding="utf-8") as f:
            return set(re.findall(r'^\t+.*?\{"([a-z0-9-]+)", (?:no|required|optional)_argument', f.read(), re.M))


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def need(tool):
    if not shutil.which(tool):
        tap.skip(f"{tool} is not installed")


@tap.test("systemd units verify")
def _(w):
    need("systemd-analyze")
    for unit in glob.glob(os.path.join(t.ROOT, "examples/systemd/*/wgwrap@.service")):
        kind = os.path.basename(os.path.dirname(unit))
        directory = os.path.join(w.dir, kind)
        os.mkdir(directory)
        copy = os.path.join(directory, "wgwrap@office.service")
        with open(copy, "w", encoding="utf-8") as f:
            f.write(re.sub(r"(?m)^(Exec\w+=)wgwrap ", rf'\1"{t.WGWRAP}" ', read(unit)))
        # a user's manager needs a runtime directory even to look
        env = dict(os.environ, XDG_RUNTIME_DIR=directory)
        done = t.run("systemd-analyze", "verify", "--man=no", f"--{kind}", copy, env=env)
        wrong = [line for line in (done.stdout + done.stderr).splitlines() if "wgwrap@" in line]
        assert done.returncode == 0 and not wrong, done


@tap.test("the drop-in that wraps a service verifies, and replaces its command")
def _(w):
    need("systemd-analyze")
    unit = os.path.join(w.dir, "dropped", "example.service")
    os.makedirs(unit + ".d")
    with open(unit, "w", encoding="utf-8") as f:
        f.write("[Unit]\nDescription=an existing service\n[Service]\nExecStart=/bin/false\n")
    drop = read(os.path.join(t.ROOT, "examples/systemd/system/example.service.d/wgwrap.conf"))
    assert "ExecStart=\nExecStart=wgwrap " in drop and "NotifyAccess=all" in drop
    for text, good in ((drop, True), (drop.replace("LoadCredential=", "LoadCredentials="), False)):
        with open(os.path.join(unit + ".d", "wgwrap.conf"), "w", encoding="utf-8") as f:
            f.write(text.replace("=wgwrap ", f'="{t.WGWRAP}" '))
        done = t.run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit,
                     env=dict(os.environ, XDG_RUNTIME_DIR=w.dir))
        wrong = [line for line in (done.stdout + done.stderr).splitlines() if "example.service" in line]
        assert good == (not wrong), done


@tap.test("the system's unit leaves little to attack")
def _(w):
    need("systemd-analyze")
    unit = os.path.join(t.ROOT, "examples/systemd/system/wgwrap@.service")
    copy = os.path.join(w.dir, "wgwrap@.service")
    shutil.copy(unit, copy)
    done = t.run("systemd-analyze", "security", "--offline=true", "--threshold=25", copy)
    if "nrecognized option" in done.stderr:
        tap.skip("systemd-analyze is too old to judge a file")
    assert done.returncode == 0, done.stdout[-400:] + done.stderr


@tap.test("completions are well-formed")
def _(w):
    for shell in ("bash", "zsh", "fish"):
        if shutil.which(shell):
            done = t.run(shell, "-n", os.path.join(COMPLETIONS, f"wgwrap.{shell}"))
            assert done.returncode == 0, done.stderr
        else:
            print(f"# {shell} is not installed")


@tap.test("completions and manual know every subcommand")
def _(w):
    commands = w.commands()
    assert {"run", "up", "show", "health"} <= set(commands), commands
    for path in (*glob.glob(COMPLETIONS + "/*"), os.path.join(t.ROOT, "cmd/wgwrap.1")):
        words = set(re.findall(r"[a-z]+", read(path)))
        assert not set(commands) - words, (path, set(commands) - words)


@tap.test("completions know every option")
def _(w):
    for command in ("run", "up", "show", "top", "health", "list", "proxy", "doctor", "check"):
        options = w.options(command) - {"config", "help"}
        assert options, command
        for path in glob.glob(COMPLETIONS + "/*"):
            text = read(path)
            missing = {o for o in options if not re.search(rf"(?:--|-l ){o}\b", text)}
            assert not missing, (path, command, missing)


@tap.test("bash offers the options that a command takes, and no others")
def _(w):
    need("bash")
    every = set()
    for source in glob.glob(os.path.join(t.ROOT, "cmd/*.c")):
        every |= set(re.findall(r'\{"([a-z0-9-]+)", (?:no|required|optional)_argument', read(source)))
    for command in ("run", "up", "proxy", "nc", "check", "list", "show", "top", "health"):
        done = t.run("bash", "-c", f". {COMPLETIONS}/wgwrap.bash; COMP_WORDS=(wgwrap {command} --); COMP_CWORD=2; _wgwrap; "
                     'printf "%s\\n" "${COMPREPLY[@]}"')
        offered = {word[2:] for word in done.stdout.split() if word.startswith("--")}
        taken = {o for o in every if "unknown option" not in w.wgwrap(command, f"--{o}")[2]}
        # what is short for one that is offered is taken, too; -c is offered only where the file is no argument
        missing = {o for o in taken - {"config"} if not any(word.startswith(o) for word in offered)}
        assert offered <= taken and not missing, (command, offered - taken, missing, done.stderr)


@tap.test("the manual knows every option of what operates tunnels")
def _(w):
    text = read(os.path.join(t.ROOT, "cmd/wgwrap.1"))
    for option in w.options("proxy"):
        assert re.search(rf"\.It (.* )?-{option}\b", text), option
    for option in set().union(*map(w.options, ("up", "health", "show", "top"))) - {"config", "help"}:
        assert re.search(rf"\bFl (\w , )?-{option}\b", text), option


@tap.test("help names every option of a command")
def _(w):
    for command in ("up", "health", "proxy", "doctor", "list", "check", "show"):
        text = w.ok("help", command)
        # of those the usage has the letter or the value only
        named = {"local", "remote", "dynamic", "quiet", "help", "config"}
        missing = {o for o in w.options(command) - named if not re.search(rf"--{o}\b", text)}
        assert not missing, (command, missing)
    assert all(f"--{o}" in w.ok("help", "nc") for o in ("connect-timeout", "resolve", "wait"))


@tap.test("what the manual sets as an option is one")
def _(w):
    known = {"-", "c", "4", "6", "q", "v", "vv", "h", "V", "D", "L", "R", "n", "d"}
    for source in glob.glob(os.path.join(t.ROOT, "cmd/*.c")):
        known |= {"-" + name for name in re.findall(r'\{"([a-z0-9-]+)", (?:no|required|optional)_argument', read(source))}
    for page in ("wgwrap.1", "wgwrap.conf.5"):
        for line in re.findall(r"(?m)^\..*\bFl\b.*", read(os.path.join(t.ROOT, "cmd", page))):
            # the words after Fl, up to the next macro
            for words in re.findall(r"\bFl((?: (?![A-Z][a-z]\b)\S+)*)", line):
                unknown = set(re.findall(r"[a-zA-Z0-9-]+", words)) - known
                assert not unknown, (page, line, unknown)


@tap.test("the manual knows every key of a file")
def _(w):
    # those that AMNEZIA and WINDOWS make are told of together
    keys = set(re.findall(r'(?m)^\t(?:\{|NOTE\()"(\w+)"', read(os.path.join(t.ROOT, "src/config/keys.c"))))
    assert {"AllowedIPs", "Table", "Reserved"} <= keys, keys
    text = read(os.path.join(t.ROOT, "cmd/wgwrap.conf.5"))
    keys = {k for k in keys if not k.startswith("Socks5Proxy")} | {"Socks5Proxy"}
    missing = {k for k in keys if not re.search(rf"(?m)^\.It .*\b{k}\b", text)}
    assert not missing, missing


@tap.test("bash completes running tunnels")
def _(w):
    w.ok("up", w.server)
    script = (f"source {COMPLETIONS}/wgwrap.bash; COMP_WORDS=(wgwrap show ''); COMP_CWORD=2; _wgwrap; "
              "printf '%s\\n' \"${COMPREPLY[@]}\"")
    env = dict(w.env, PATH=f"{t.BUILD}:{os.environ['PATH']}")
    done = t.run("bash", "-c", script, env=env)
    assert "server" in done.stdout.split() and "dump" in done.stdout.split(), done


@tap.test("fish completes subcommands and running tunnels")
def _(w):
    need("fish")
    env = dict(w.env, PATH=f"{t.BUILD}:{os.environ['PATH']}", HOME=w.dir)
    source = f"source {COMPLETIONS}/wgwrap.fish; "
    done = t.run("fish", "-c", source + "complete -C 'wgwrap show s'", env=env)
    assert "server" in done.stdout.split(), done
    done = t.run("fish", "-c", source + "complete -C 'wgwrap re'", env=env)
    assert done.stdout.split() == ["reload"], done


ZSH = r"""
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1=; fpath=($1 \$fpath); autoload -U compinit; compinit -u -D; bindkey '^I' complete-word"
out=
# what is typed before the shell reads is not completed: again, then
try() {
	for n in {1..60}; do
		zpty -n -w z "$1"
		sleep 0.3
		while zpty -r -t z more; do out+=$more; done
		[[ $out == *"$2"* ]] && return
	done
}
try $'wgwrap rel\t-x\n' 'reload '
try $'wgwrap proxy --allow\t\n' --allow-open-proxy
print -r -- $out
"""


@tap.test("zsh completes subcommands and options")
def _(w):
    need("zsh")
    directory = os.path.join(w.dir, "zsh")
    os.mkdir(directory)
    shutil.copy(os.path.join(COMPLETIONS, "wgwrap.zsh"), os.path.join(directory, "_wgwrap"))
    env = dict(w.env, PATH=f"{t.BUILD}:{os.environ['PATH']}", HOME=w.dir, TERM="dumb", LANG="C.UTF-8")
    done = t.run("zsh", "-f", "-c", ZSH, "zsh", directory, env=env)
    assert "reload " in done.stdout and "--allow-open-proxy" in done.stdout, done


@tap.test("bash completes options and their values, behind a sign too")
def _(w):
    config = os.path.join(w.dir, "valued.conf")
    with open(config, "w", encoding="utf-8"):
        pass
    cases = [("proxy --allow", "--allow-open-proxy"), ("proxy --resolve ip", "ipv4"), ("proxy --soc", "--socks5"),
             ("--capture = su", "supervisor"), ("--log-format =", "json")]
    for command in ("run", "proxy", "nc", "doctor", "up"):
        cases += [(f"{command} --config{sign}{config[:-1]}", config) for sign in (" ", " = ")]
    for command in ("proxy", "nc", "up"):
        cases += [(f"{command} --log-format j", "json"), (f"{command} --log-format = h", "human"), (f"{command} --log-format =", "json")]
    for text, expected in cases:
        words = ["wgwrap", *text.split()]
        script = (f"source {COMPLETIONS}/wgwrap.bash; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _wgwrap; "
                  "printf '%s\\n' \"${COMPREPLY[@]}\"")
        done = t.run("bash", "-c", script)
        assert expected in done.stdout.split(), (text, done)


@tap.test("mandoc finds nothing wrong with the manual pages")
def _(w):
    need("mandoc")
    pages = glob.glob(os.path.join(t.ROOT, "cmd/*.[1-8]"))
    done = t.run("mandoc", "-T", "lint", "-W", "warning", *pages)
    assert done.returncode == 0 and done.stdout == "", done.stdout


tap.main(Files)
