#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
examples.py - examples/: their forms are right, and what they run works against a test's peer

What only the services themselves could show (that a runner takes the file, that an image builds) is not shown here.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

try:
    import yaml
except ImportError:  # Debian's modules are those of /usr/bin/python3
    if os.path.realpath(sys.executable) == os.path.realpath("/usr/bin/python3") or not os.path.exists("/usr/bin/python3"):
        print("1..0 # SKIP python3-yaml is not installed")
        sys.exit(0)
    os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])

from lib import tap  # noqa: E402
from lib.behind import Behind  # noqa: E402
from lib.tap import test  # noqa: E402
from lib.world import BUILD, ROOT, find, need  # noqa: E402

EXAMPLES = os.path.join(ROOT, "examples")
WORKFLOW, GITLAB, COMPOSE, KUBERNETES = "github-actions/workflow.yml", "gitlab-ci/gitlab-ci.yml", "docker/compose.yaml", \
    "kubernetes/sidecar.yaml"
URL = "http://v4.test:8080/example"
CONTAINER_USER = 65532


def read(name):
    with open(os.path.join(EXAMPLES, name), encoding="utf-8") as f:
        return f.read()


def document(name):
    return yaml.safe_load(read(name))


class Examples(Behind):
    def shell(self, script, shell, *options, **variables):
        """A step, as a runner has it: wgwrap in $PATH, a home, a place for temporary files."""
        os.makedirs(self.path("runner"), exist_ok=True)
        return self.run(shell, *options, "-c", script, PATH=f"{BUILD}:{os.environ['PATH']}", RUNNER_TEMP=self.path("runner"),
                        INTRANET_URL=URL, **variables)


def checked_by_shellcheck(w, script, shell):
    if w.has("shellcheck"):
        # 2154: variables are the runner's; 2016: the inner shell's
        done = w.run("shellcheck", "-s", shell, "-e", "SC2154,SC2016", "-", input=script)
        assert done.returncode == 0, done.stdout


def is_served(out):
    """How often the page behind the tunnel is in a step's output."""
    return out.count('"path": "/example')


@test("YAML: yamllint")
def _(w):
    need("yamllint")
    rules = "{extends: default, rules: {line-length: {max: 140}, document-start: disable, truthy: {check-keys: false}, " \
        "comments: {min-spaces-from-content: 1}, braces: {max-spaces-inside: 1}, octal-values: disable}}"
    done = w.run("yamllint", "-s", "-d", rules, *(os.path.join(EXAMPLES, f) for f in (WORKFLOW, GITLAB, COMPOSE, KUBERNETES)))
    assert done.returncode == 0, done.stdout


# ---- GitHub Actions ----

EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")
JOB_KEYS = {"name", "runs-on", "env", "steps", "strategy", "concurrency", "needs", "if", "permissions", "timeout-minutes"}
STEP_KEYS = {"name", "env", "run", "uses", "with", "if", "shell", "working-directory"}


def steps_of(flow):
    for name, job in flow["jobs"].items():
        for step in job["steps"]:
            yield name, job, step


def expanded(value, values):
    return EXPRESSION.sub(lambda m: values[m.group(1).strip()], value)


@test("GitHub Actions: keys, contexts, no secret in a script")
def _(w):
    flow = document(WORKFLOW)
    flow["on"] = flow.pop(True)  # YAML 1.1 reads the word as a truth value
    assert set(flow) <= {"name", "on", "permissions", "jobs", "concurrency", "env"}, flow.keys()
    for name, job, step in steps_of(flow):
        assert set(job) <= JOB_KEYS and "runs-on" in job, (name, job.keys())
        assert set(step) <= STEP_KEYS and ("run" in step) != ("uses" in step), step
        assert not EXPRESSION.search(step.get("run", "")), f"an expression in a script is code of whoever sets it: {step}"
        if "run" in step:
            checked_by_shellcheck(w, step["run"], "bash")
        matrix = {k for row in job.get("strategy", {}).get("matrix", {}).get("include", ()) for k in row}
        for text in EXPRESSION.findall(json.dumps([job.get("env", {}), step.get("env", {}), step.get("if", "")])):
            for context, key in re.findall(r"\b(\w+)\.(\w+)", text):
                assert context in ("secrets", "vars", "github", "runner") or (context == "matrix" and key in matrix), text
    # every job of a matrix has a key of its own, and jobs that share one wait for each other
    rows = flow["jobs"]["matrix"]["strategy"]["matrix"]["include"]
    assert len({row["secret"] for row in rows}) == len(rows) > 1
    assert flow["jobs"]["one-tunnel"]["concurrency"]
    assert "One key per job" in read(WORKFLOW)


@test("GitHub Actions: every step but the installation runs")
def _(w):
    flow, ran = document(WORKFLOW), []
    conf = w.client_config()
    for name, job, step in steps_of(flow):
        if step["name"] == "Install wgwrap":
            continue
        for row in job.get("strategy", {}).get("matrix", {}).get("include", [{}]):
            values = {"vars.INTRANET_URL": URL, "secrets.TUNNEL": conf, "secrets[matrix.secret]": conf,
                      "matrix.part": row.get("part", "")}
            env = {k: expanded(v, values) for k, v in {**job.get("env", {}), **step.get("env", {})}.items()}
            env.pop("INTRANET_URL")
            done = w.shell(step["run"], "bash", "--noprofile", "--norc", "-eo", "pipefail", **env)
            assert done.returncode == 0, (name, step["name"], done)
            assert is_served(done.stdout) == step["run"].count('"$INTRANET_URL') - step["run"].count("| wc"), (step, done)
            assert w.private[1] not in done.stdout + done.stderr
            ran.append(step["name"])
    assert len(ran) == 5, ran
    assert not os.path.exists(w.path("runner", "office.conf"))


# ---- GitLab ----

@test("GitLab CI: keys, and every script runs")
def _(w):
    ci = document(GITLAB)
    assert set(ci.pop("default")) <= {"image", "before_script"}
    conf = w.write("gitlab.conf", w.client_config())
    for name, job in ci.items():
        assert "script" in job and set(job) <= {"script", "after_script", "parallel", "resource_group", "stage"}, (name, job)
        assert "resource_group" in job or len({row["SECRET"] for row in job["parallel"]["matrix"]}) > 1, name
        for row in job.get("parallel", {}).get("matrix", [{}]):
            for part in ("script", "after_script"):
                script = "\n".join(job.get(part, []))
                checked_by_shellcheck(w, script, "sh")
                done = w.shell(script, "sh", "-e", TUNNEL=conf, TUNNEL_A=conf, TUNNEL_B=conf, **row)
                assert done.returncode == 0, (name, part, done)
                assert is_served(done.stdout) == script.count('"$INTRANET_URL'), (name, part, done)
    assert "One key per job" in read(GITLAB)


# ---- containers ----

def dockerfile():
    """[(instruction, argument)], lines joined."""
    text = re.sub(r"\\\n\s*", " ", "\n".join(line for line in read("docker/Dockerfile").splitlines()
                                             if not line.startswith("#")))
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def stage(name):
    """The last words of an image's stage: {instruction: argument}; stages are built on those before."""
    found, current = {}, {}
    for word, argument in dockerfile():
        if word == "FROM":
            base, _, as_name = argument.partition(" AS ")
            current = dict(found.get(base, {}))
            found[as_name] = current
        current[word] = argument
    return found[name]


# the container's root: nothing can be written but /tmp, nobody is root, no capability is left, no privilege can be gained
CONTAINER = """
set -e
mount --make-rprivate /
cp "$CONF" "$CONF.mounted"
mount -t tmpfs tmpfs /run
mkdir -p /run/secrets/wgwrap
cp "$CONF.mounted" /run/secrets/wgwrap.conf
cp "$CONF.mounted" /run/secrets/wgwrap/wgwrap.conf
chown -R $ID:$ID /run/secrets
chmod 400 /run/secrets/wgwrap.conf /run/secrets/wgwrap/wgwrap.conf
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mkdir "/dev/shm/bin"
cp "$BUILD/wgwrap" "$BUILD/libwgwrap.so" /dev/shm/bin
mount --bind /dev/shm/bin /mnt
mount -o remount,bind,ro /
mount -t tmpfs -o mode=1777 tmpfs /tmp
cd /
exec setpriv --reuid=$ID --regid=$ID --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \
    env -i PATH=/mnt:/usr/bin:/bin ${ASAN_OPTIONS:+"ASAN_OPTIONS=$ASAN_OPTIONS"} sh -c "$SCRIPT"
"""


def in_container(w, script):
    if os.geteuid() != 0:
        tap.skip("needs root, to make the container's root read-only and to be its user")
    env = dict(w.environment("client"), CONF=w.conf, BUILD=BUILD, ID=str(CONTAINER_USER))
    run = ["unshare", "-m", "sh", "-c", CONTAINER]
    probe = subprocess.run(run, env=dict(env, SCRIPT="! touch /usr/x 2>/dev/null"), capture_output=True, text=True, check=False)
    if probe.returncode:
        tap.skip(f"no read-only root here: {probe.stderr.strip()}")
    return subprocess.run(run, env=dict(env, SCRIPT=textwrap.dedent(script)), capture_output=True, text=True, timeout=180,
                          check=False)


def through_proxy(w, argv, health, variables):
    """Starts @argv as a sidecar, waits until it is healthy, and fetches with what its neighbour's environment says."""
    done = in_container(w, f"""
        {shlex.join(argv)} & proxy=$!
        tries=600
        until {shlex.join(health)} >/tmp/health; do
            tries=$((tries - 1)); [ $tries -gt 0 ] && kill -0 $proxy || exit 9; sleep 0.1
        done
        wgwrap list -q >/tmp/list
        {' '.join(f'{k}={v}' for k, v in variables.items())} curl -fsS -m 20 {URL}
        kill $proxy; wait $proxy
    """)
    assert done.returncode == 0 and is_served(done.stdout) == 1, done


def free_1080():
    """The examples listen at a fixed port."""
    for _ in range(50):
        try:
            import socket  # pylint: disable=import-outside-toplevel
            socket.create_server(("127.0.0.1", 1080)).close()
            return
        except OSError:
            time.sleep(0.1)
    tap.skip("port 1080 is taken on this host")


@test("Dockerfile: a user who is not root, exec forms, lists removed")
def _(w):
    for name in ("wgwrap", "wrapped"):
        last = stage(name)
        assert last["USER"] == f"{CONTAINER_USER}:{CONTAINER_USER}", last
        for word in ("ENTRYPOINT", "CMD"):
            assert isinstance(json.loads(last[word]), list), last[word]
    for word, argument in dockerfile():
        assert word in ("FROM", "WORKDIR", "COPY", "RUN", "USER", "HEALTHCHECK", "ENTRYPOINT", "CMD"), word
        if word == "RUN":
            script = re.sub(r"--mount=\S+\s*", "", argument)
            checked_by_shellcheck(w, script, "sh")
            assert "apt-get upgrade" not in script and "apt-get install -y --no-install-recommends" in script, script
    assert "rm -rf /var/lib/apt/lists/*" in stage("wgwrap")["RUN"]
    copied = next(a for word, a in dockerfile() if word == "RUN" and "make deb" in a)
    for package in ("debhelper", "build-essential"):
        assert package in copied


@test("Dockerfile: its commands as that user, without capabilities, on a read-only root")
def _(w):
    free_1080()
    proxy, wrapped = stage("wgwrap"), stage("wrapped")
    health = json.loads(proxy["HEALTHCHECK"].partition("CMD ")[2])
    through_proxy(w, json.loads(proxy["ENTRYPOINT"]) + json.loads(proxy["CMD"]), health,
                  {"ALL_PROXY": "socks5h://127.0.0.1:1080"})
    argv = [URL if word.startswith("http:") else word for word in json.loads(wrapped["ENTRYPOINT"]) + json.loads(wrapped["CMD"])]
    done = in_container(w, shlex.join(argv))
    assert done.returncode == 0 and is_served(done.stdout) == 1, done


@test("compose: the sidecar is confined, and its command works")
def _(w):
    services = document(COMPOSE)["services"]
    tunnel, application = services["tunnel"], services["application"]
    assert tunnel["read_only"] and tunnel["cap_drop"] == ["ALL"] and "no-new-privileges:true" in tunnel["security_opt"]
    assert tunnel["user"] == f"{CONTAINER_USER}:{CONTAINER_USER}" and "privileged" not in tunnel and "cap_add" not in tunnel
    assert set(tunnel["secrets"]) == set(document(COMPOSE)["secrets"])
    assert application["network_mode"] == "service:tunnel"
    assert os.path.exists(os.path.join(EXAMPLES, "docker", tunnel["build"]["context"], tunnel["build"]["dockerfile"]))
    free_1080()
    assert tunnel["healthcheck"]["test"][0] == "CMD"
    through_proxy(w, ["wgwrap", *tunnel["command"]], tunnel["healthcheck"]["test"][1:], application["environment"])


def violations(pod):
    """What the restricted profile of the pod security standards refuses in a pod's specification."""
    wrong = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    wrong += [v["name"] for v in pod.get("volumes", ()) if set(v) - {"name"} - allowed]
    for c in pod.get("initContainers", []) + pod["containers"]:
        own, common = c.get("securityContext", {}), pod.get("securityContext", {})
        both = {**common, **own}
        caps = own.get("capabilities", {})
        wrong += [f"{c['name']}: {what}" for what, bad in (
            ("privileged", own.get("privileged")), ("escalation", own.get("allowPrivilegeEscalation") is not False),
            ("capabilities", "ALL" not in caps.get("drop", ()) or set(caps.get("add", ())) - {"NET_BIND_SERVICE"}),
            ("root", both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0),
            ("seccomp", both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost")),
            ("host port", any(p.get("hostPort") for p in c.get("ports", ())))) if bad]
    return wrong


@test("Kubernetes: the restricted profile holds, one pod per key, and the sidecar works")
def _(w):
    namespace, deployment = yaml.safe_load_all(read(KUBERNETES))
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = deployment["spec"]["template"]["spec"]
    assert not violations(pod), violations(pod)
    assert violations({**pod, "hostNetwork": True}) and violations({**pod, "securityContext": {}})
    assert deployment["spec"]["replicas"] == 1 and deployment["spec"]["strategy"]["type"] == "Recreate"
    mounted = {v["name"] for v in pod["volumes"]}
    tunnel, application = pod["initContainers"][0], pod["containers"][0]
    assert {m["name"] for m in tunnel["volumeMounts"]} == mounted and tunnel["restartPolicy"] == "Always"
    free_1080()
    through_proxy(w, ["wgwrap", *tunnel["args"]], tunnel["startupProbe"]["exec"]["command"],
                  {e["name"]: e["value"] for e in application["env"]})


# ---- ssh ----

@test("ssh's configuration: ssh reads it, and logs in through both ways")
def _(w):
    need("ssh", "sshd")
    config = os.path.join(EXAMPLES, "ssh/config")
    for host, command in (("db.intranet", "wgwrap nc -c office %h %p"), ("db.via-proxy", "nc -X 5 -x 127.0.0.1:1080 %h %p"),
                          ("elsewhere.example", None)):
        out = w.run("ssh", "-G", "-F", config, host).stdout
        assert (f"proxycommand {command}" in out) if command else ("proxycommand" not in out), out
    os.makedirs(w.path("config/wgwrap"), mode=0o700)
    w.write("config/wgwrap/office.conf", w.client_config())
    login = w.sshd()
    copy = w.write("ssh-config", read("ssh/config").replace("127.0.0.1:1080", f"127.0.0.1:{w.proxy().port()}"))
    for host in ("db.intranet", "db.via-proxy"):
        if "proxy" in host and (not find("nc") or "-X" not in w.run("nc", "-h").stderr):
            print("# nc is not OpenBSD's")
            continue
        done = w.run(*("ssh", "-F", copy, *login[3:]), "-o", "HostName=v4.test", host, "echo in",
                     PATH=f"{BUILD}:{os.environ['PATH']}", XDG_CONFIG_HOME=w.path("config"))
        if "account" in done.stderr or "locked" in w.read(w.path("sshd.log")):
            tap.skip("this user may not log in here")
        assert done.stdout == "in\n", (host, done, w.read(w.path("sshd.log")))


if __name__ == "__main__":
    tap.main(Examples)
