"""The running lab as a test sees it: kubectl, commands on hosts, the plug, and the playbook."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nspawn_lab import definition

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAMS = "/opt/edgelab/current/bin"
CONFIGS = {
    "cloudcore": "/etc/kubeedge/config/cloudcore.yaml",
    "edgecore": "/etc/kubeedge/config/edgecore.yaml",
}
T = TypeVar("T")


@dataclass(frozen=True)
class Recap:
    """What ansible-playbook counted, added up over all hosts."""

    ok: int
    changed: int
    failed: int
    unreachable: int
    output: str
    seconds: float


class Lab:
    """The lab of this checkout."""

    def __init__(self, checkout: Path = CHECKOUT) -> None:
        self.checkout = checkout
        self.state = checkout / ".lab"
        self.definition = definition.Lab(self.state)

    @property
    def info(self) -> dict[str, Any]:
        """The content of .lab/lab.json."""
        document: dict[str, Any] = json.loads((self.state / "lab.json").read_text(encoding="utf-8"))
        return document

    def url(self, name: str) -> str:
        """A URL that lab.json promises; fails the test when it is missing."""
        url = self.info["urls"][name]
        assert isinstance(url, str), f"lab.json has no URL for {name}"
        return url

    def run(
        self, *argv: str, check: bool = True, stdin: str | None = None, deadline: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the checkout; with `check` a failure shows both of its streams."""
        environment = {**os.environ, "PATH": f"{self.checkout}/.venv/bin:{os.environ['PATH']}"}
        done = subprocess.run(
            argv,
            cwd=self.checkout,
            env=environment,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=deadline,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(
                f"{' '.join(argv)} exited {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            )
        return done

    def host(self, name: str, *argv: str, check: bool = True, deadline: float = 120) -> str:
        """Run a command as root on a host and give what it printed."""
        done = self.run("scripts/lab", "exec", name, "--", *argv, check=check, deadline=deadline)
        return done.stdout if check else done.stdout + done.stderr

    def kubectl(self, *argv: str, check: bool = True, stdin: str | None = None) -> str:
        """Run kubectl against the lab's cluster."""
        config = f"--kubeconfig={self.state / 'kubeconfig'}"
        return self.run("kubectl", config, *argv, check=check, stdin=stdin).stdout

    def get(self, *argv: str) -> dict[str, Any]:
        """`kubectl get ... -o json`."""
        document: dict[str, Any] = json.loads(self.kubectl("get", *argv, "-o", "json"))
        return document

    @contextmanager
    def started(self, *argv: str, deadline: float = 60) -> Iterator[subprocess.Popen[str]]:
        """A command that runs meanwhile, until the deadline; its stdout is what it prints, errors too."""
        process = subprocess.Popen(
            argv,
            cwd=self.checkout,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PATH": f"{self.checkout}/.venv/bin:{os.environ['PATH']}"},
        )
        end = threading.Timer(deadline, process.kill)
        end.start()
        with process:
            try:
                yield process
            finally:
                end.cancel()
                process.kill()

    @contextmanager
    def saved(self) -> Iterator[None]:
        """Afterwards CloudCore and EdgeCore run with the files that they have now."""
        places = (("cloud", "cloudcore"), ("edge1", "edgecore"))
        for host, daemon in places:
            self.host(host, "cp", "-a", CONFIGS[daemon], f"{CONFIGS[daemon]}.before")
        try:
            yield
        finally:
            for host, daemon in places:
                self.host(host, "mv", f"{CONFIGS[daemon]}.before", CONFIGS[daemon])
                self.host(host, "systemctl", "restart", daemon)
            eventually(lambda: self.node_ready("edge1"), "a ready edge1", 60)

    @contextmanager
    def configured(self, **settings: Mapping[str, Any]) -> Iterator[None]:
        """`cloudcore` and `edgecore` run with these settings besides; afterwards as before."""
        with self.saved():
            for daemon, wanted in settings.items():
                host = {"cloudcore": "cloud", "edgecore": "edge1"}[daemon]
                merge = ["config", "merge", "--component", daemon, "--file", CONFIGS[daemon]]
                command = ["scripts/lab", "exec", host, "--", f"{PROGRAMS}/keadm", *merge]
                self.run(*command, stdin=json.dumps(wanted))
                self.host(host, "systemctl", "restart", daemon)
            eventually(lambda: self.node_ready("edge1"), "a ready edge1", 60)
            yield

    @contextmanager
    def objects(self, text: str) -> Iterator[None]:
        """These objects, until the end; pods among them are ready."""
        self.kubectl("apply", "-f", "-", stdin=text)
        try:
            if "kind: Pod" in text:
                wait = ["wait", "--for=condition=Ready", "--timeout=60s", "-f", "-"]
                pods = [part for part in text.split("\n---\n") if "kind: Pod" in part]
                self.kubectl(*wait, stdin="\n---\n".join(pods))
            yield
        finally:
            self.kubectl("delete", "--ignore-not-found", "--timeout=60s", "-f", "-", stdin=text)

    def link(self, host: str, state: str) -> None:
        """Pull a host's plug (`down`) or put it back (`up`)."""
        self.run("scripts/lab", "link", host, state)

    @contextmanager
    def unplugged(self, host: str) -> Iterator[None]:
        """Without the host's link; the plug goes back in whatever happens."""
        self.link(host, "down")
        try:
            yield
        finally:
            self.link(host, "up")
            eventually(lambda: self.node_ready(host), f"a ready {host}", 60)

    def play(self, *extra: str, check: bool = True) -> Recap:
        """Run site.yml on the lab and count."""
        started = time.monotonic()
        done = self.run(
            "ansible-playbook", "-i", "inventories/local", "site.yml", *extra, check=check, deadline=900
        )
        counts = {
            key: sum(int(n) for n in re.findall(rf"\b{key}=(\d+)", done.stdout))
            for key in ("ok", "changed", "failed", "unreachable")
        }
        return Recap(**counts, output=done.stdout, seconds=time.monotonic() - started)

    def node_ready(self, name: str) -> bool:
        """Whether the Node's Ready condition is True."""
        conditions = self.get("node", name)["status"]["conditions"]
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """An instant query of the time-series database; the result vector."""
        base = self.url("timeseries")
        document = json.loads(fetch(f"{base}/api/v1/query?" + urllib.parse.urlencode({"query": expression})))
        result: list[dict[str, Any]] = document["data"]["result"]
        return result


def fetch(url: str, deadline: float = 5) -> str:
    """GET a URL without any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=deadline) as response:
        text: str = response.read().decode()
        return text


def eventually(probe: Callable[[], T], what: str, deadline: float, every: float = 0.5) -> T:
    """Poll until `probe` gives something true; an assertion inside it counts as not yet."""
    end = time.monotonic() + deadline
    last: object = None
    while time.monotonic() < end:
        try:
            last = probe()
        except (AssertionError, OSError, KeyError, IndexError) as error:
            last = error
        else:
            if last:
                return last
        time.sleep(every)
    raise AssertionError(f"{what}: not within {deadline} s; last seen: {last!r}")


def recap(text: str) -> dict[str, dict[str, int]]:
    """What ansible-playbook counted, by host."""
    lines = re.findall(r"^(\S+)\s+: (ok=.*)$", text, re.MULTILINE)
    return {host: {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", counts)} for host, counts in lines}
