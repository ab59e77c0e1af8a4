"""`vagrant up` with the Docker provider: the whole lab on containers with systemd, nginx Running at the edge.

Where no Docker daemon answers, one of the test's own is started: it needs root, and is gone afterwards.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_boxes.docker_daemon import Daemon
from nspawn_lab.definition import Lab

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = CHECKOUT / ".venv" / "bin"
UP_SECONDS = 1500
NETWORK = "192.168.60"
"""Not the one of topology.yml: a lab of machines may be up beside this one."""


class VagrantLab:
    """A lab of this checkout in folders of its own."""

    def __init__(self, state: Path, environment: dict[str, str]) -> None:
        self.state = state
        topology = state / "topology.yml"
        text = (CHECKOUT / "vagrant" / "topology.yml").read_text(encoding="utf-8")
        topology.write_text(text.replace("192.168.56", NETWORK), encoding="utf-8")
        self.environment = {
            **os.environ,
            **environment,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "EDGELAB_TOPOLOGY": str(topology),
            "VAGRANT_DOTFILE_PATH": str(state / "vagrant"),
            "VAGRANT_DEFAULT_PROVIDER": "docker",
            "VAGRANT_CHECKPOINT_DISABLE": "1",
        }

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the checkout; with `check` a failure shows the end of its output."""
        done = subprocess.run(
            argv,
            cwd=CHECKOUT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=UP_SECONDS,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(argv)}\n{done.stdout[-5000:]}\n{done.stderr[-5000:]}")
        return done


@pytest.fixture(scope="module")
def docker_host() -> Iterator[dict[str, str]]:
    """The environment by which `docker` finds a daemon."""
    asked = subprocess.run(["docker", "version"], capture_output=True, check=False)
    if asked.returncode == 0:
        yield {}
        return
    # Below the checkout: Docker's layers want a file system that overlays work on, and /tmp may be a tmpfs.
    with tempfile.TemporaryDirectory(dir=CHECKOUT / ".cache") as folder:
        daemon = Daemon(Lab(Path(folder)))
        try:
            daemon.start()
            yield {"DOCKER_HOST": daemon.host}
        finally:
            daemon.stop()


@pytest.fixture(scope="module")
def lab(docker_host: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[VagrantLab]:
    """The lab after the first `vagrant up`."""
    found = VagrantLab(tmp_path_factory.mktemp("lab"), docker_host)
    try:
        found.run("vagrant", "up")
        yield found
    finally:
        found.run("vagrant", "destroy", "--force")


def test_nginx_runs_on_the_edge_host(lab: VagrantLab) -> None:
    config = f"--kubeconfig={lab.state / 'vagrant' / 'lab' / 'kubeconfig'}"
    shown = lab.run("kubectl", config, "get", "pods", "--all-namespaces", "--output=json").stdout
    pods = {pod["metadata"]["name"]: pod for pod in json.loads(shown)["items"]}
    (nginx,) = [pod for name, pod in pods.items() if name.startswith("nginx")]
    assert (nginx["spec"]["nodeName"], nginx["status"]["phase"]) == ("edge1", "Running")


def test_the_cluster_knows_its_nodes_by_the_topology_s_addresses(lab: VagrantLab) -> None:
    described = json.loads((lab.state / "vagrant" / "lab" / "lab.json").read_text(encoding="utf-8"))
    assert described["nodes"] == {"cloud": f"{NETWORK}.10", "edge1": f"{NETWORK}.11"}
    assert described["lab"] == "vagrant"


def test_a_second_run_changes_nothing(lab: VagrantLab) -> None:
    started = time.monotonic()
    done = lab.run("ansible-playbook", "-i", "inventories/vagrant", "site.yml")
    recap = done.stdout[done.stdout.index("PLAY RECAP") :]
    counts = {
        key: sum(map(int, re.findall(rf"\b{key}=(\d+)", recap)))
        for key in ("ok", "changed", "failed", "unreachable")
    }
    assert counts["ok"] > 0
    assert (counts["changed"], counts["failed"], counts["unreachable"]) == (0, 0, 0), done.stdout[-5000:]
    print(f"second run: {time.monotonic() - started:.0f} s")


def test_what_does_not_run_is_not_in_the_inventory_and_the_playbook_says_so(lab: VagrantLab) -> None:
    lab.run("vagrant", "halt", "cloud")
    listed = json.loads(lab.run("ansible-inventory", "-i", "inventories/vagrant", "--list").stdout)
    assert set(listed["_meta"]["hostvars"]) == {"edge1"}
    done = lab.run("ansible-playbook", "-i", "inventories/vagrant", "site.yml", check=False)
    assert done.returncode != 0
    assert "group cloud has no host" in done.stdout + done.stderr
