"""What tests of several scenarios need."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import testinfra
from testinfra.host import Host

T = TypeVar("T")
CHECKOUT = Path(__file__).resolve().parents[1]
EXPOSURE = re.compile(r"Overall exposure level for \S+: ([0-9.]+)")
PLAY_SECONDS = 480
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "probe", "namespace": "default"},
    "spec": {
        "nodeName": "edge1",
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {"name": "probe", "image": "edgelab.local/busybox:1.35", "command": ["busybox", "sleep", "1000"]}
        ],
    },
}


def inventory() -> str:
    """The scenario's inventory with all that lies beside it, group_vars among that."""
    return str(Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent)


@pytest.fixture(scope="session")
def machine() -> Callable[[str], Host]:
    """Any host of the scenario by its name, or the first one of a group."""
    return lambda name: testinfra.get_hosts([f"ansible://{name}"], ansible_inventory=inventory())[0]


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory: pytest.TempPathFactory, machine: Callable[[str], Host]) -> Callable[..., str]:
    """kubectl of this machine with the administrator's kubeconfig of the first host of group cloud."""
    config = tmp_path_factory.mktemp("kube") / "config"
    config.write_text(machine("cloud").file("/etc/edgelab/admin.kubeconfig").content_string, encoding="utf-8")
    config.chmod(0o600)
    program = Path(sys.executable).with_name("kubectl")

    def run(*argv: str, stdin: str | None = None) -> str:
        command = [str(program), f"--kubeconfig={config}", *argv]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def containers() -> Callable[[Host], set[str]]:
    """Ids of the containers that run on a host, as containerd tells."""

    def run(host: Host) -> set[str]:
        lines = host.check_output("ctr -n k8s.io tasks list").splitlines()[1:]
        return {line.split()[0] for line in lines if "RUNNING" in line}

    return run


@pytest.fixture(scope="module")
def probe(kubectl: Callable[..., str]) -> Iterator[None]:
    """A running pod on edge1."""
    kubectl("apply", "-f", "-", stdin=json.dumps(POD))
    kubectl("wait", "--for=condition=Ready", "pod/probe", "--timeout=60s")
    yield
    kubectl("delete", "pod", "probe", "--wait=true", "--timeout=30s")


@pytest.fixture(scope="session")
def play() -> Callable[..., tuple[int, str]]:
    """Runs a playbook on the scenario's hosts; its status, and its words with single spaces between them."""

    def run(playbook: Path, variables: dict[str, Any], *words: str, **environment: str) -> tuple[int, str]:
        return ansible("ansible-playbook", str(playbook), "-e", json.dumps(variables), *words, **environment)

    return run


@pytest.fixture(scope="session")
def module() -> Callable[..., tuple[int, str]]:
    """Runs one module of the collection on a host; its status and words like those of `play`."""

    def run(host: str, name: str, arguments: dict[str, Any], **environment: str) -> tuple[int, str]:
        words = ("-m", f"edgelab.kubeedge.{name}", "-a", json.dumps(arguments))
        return ansible("ansible", host, *words, **environment)

    return run


def ansible(program: str, *words: str, **environment: str) -> tuple[int, str]:
    """One of Ansible's programs with the scenario's inventory."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), "-i", inventory(), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # Ansible tells failures on either
        text=True,
        check=False,
        timeout=PLAY_SECONDS,
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", **environment},
    )
    return done.returncode, " ".join(done.stdout.split())


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str], Path]:
    """The runtime's sources with a text replaced in one of their modules: another version."""

    def make(module: str, before: str, after: str) -> Path:
        target = tmp_path_factory.mktemp("sources") / "python_runtime"
        ignored = shutil.ignore_patterns(".*", "__pycache__", "tests")
        shutil.copytree(CHECKOUT / "python_runtime", target, ignore=ignored)
        file = target / "src" / "edgelab" / module
        text = file.read_text(encoding="utf-8")
        assert before in text
        file.write_text(text.replace(before, after, 1), encoding="utf-8")
        return target

    return make


@pytest.fixture(scope="session")
def exposure() -> Callable[[Host, str], float]:
    """How exposed systemd finds a unit: 0 is a sandbox for all, 10 none at all."""

    def run(host: Host, unit: str) -> float:
        found = EXPOSURE.search(host.check_output(f"systemd-analyze --no-pager security {unit}"))
        assert found, f"systemd-analyze says nothing of {unit}"
        return float(found.group(1))

    return run


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Asks until the answer is true; an assertion inside it counts as not yet."""

    def run(probe: Callable[[], T], what: str, deadline: float) -> T:
        end = time.monotonic() + deadline
        while True:
            try:
                last: Any = probe()
            except (AssertionError, LookupError, ValueError) as error:
                last = error
            if last and not isinstance(last, Exception):
                return last
            assert time.monotonic() < end, f"{what}: not within {deadline} s; last seen: {last!r}"
            time.sleep(0.5)

    return run
