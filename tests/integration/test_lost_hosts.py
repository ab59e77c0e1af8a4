"""One host among ten that is off: the others are finished, it is named at the end, and the status is not 0.

Ten bare hosts in a lab of their own go through the checks of site.yml; what is deployed on good hosts has
tests of its own, and so has the end of the run on the lab that is up (test_lost_host.py).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from nspawn_lab import definition

from tests.integration.lab import CHECKOUT, recap
from tests.integration.test_bare_lab import lab_rootfs

NAMES = ("cloud", *(f"edge{number}" for number in range(1, 10)))


class TenHosts:
    """Ten hosts of a lab in a folder of its own, of which one can be switched off."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.environment = {**os.environ, "EDGELAB_STATE_DIR": str(state)}

    def lab(self, *words: str) -> None:
        command = [str(CHECKOUT / "scripts" / "lab"), *words]
        subprocess.run(command, env=self.environment, check=True, capture_output=True, timeout=120)

    def check_hosts(self, *extra: str) -> subprocess.CompletedProcess[str]:
        """Run the checks of site.yml, and nothing else of it."""
        command = [str(CHECKOUT / ".venv/bin/ansible-playbook"), "-i", "inventories/local", "site.yml"]
        return subprocess.run(
            [*command, "--tags", "validate", *extra],
            cwd=CHECKOUT,
            env={**self.environment, "ANSIBLE_SSH_RETRIES": "0", "ANSIBLE_TIMEOUT": "5"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="module")
def ten(rootfs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenHosts]:
    """Ten hosts that run."""
    hosts = TenHosts(tmp_path_factory.mktemp("ten") / "lab")
    hosts.lab("up", "--hosts", ",".join(NAMES), "--rootfs", str(lab_rootfs()))
    assert set(definition.Lab(hosts.state).load()[1]) == set(NAMES)
    yield hosts
    hosts.lab("down")


def test_an_edge_host_that_is_off_is_named_and_nine_are_finished(ten: TenHosts) -> None:
    ten.lab("kill", "edge7")
    try:
        done = ten.check_hosts()
    finally:
        ten.lab("start", "edge7")
    counts = recap(done.stdout)
    assert done.returncode != 0
    assert "host edge7 cannot be reached: " in done.stdout, done.stdout
    assert counts["edge7"]["unreachable"] == 1
    good = [host for host in NAMES if host != "edge7"]
    assert {host for host in good if counts[host]["failed"] or counts[host]["unreachable"]} == set()
    # Each good host got as far as the play of the demos, which comes last for them.
    last = done.stdout.split("Note the node for the demos")[1]
    assert [host for host in good[1:] if f"ok: [{host}]" not in last] == []


def test_a_cloud_host_that_is_off_ends_the_run_before_anything_is_changed(ten: TenHosts) -> None:
    ten.lab("kill", "cloud")
    try:
        done = ten.check_hosts()
    finally:
        ten.lab("start", "cloud")
    assert done.returncode != 0
    assert "Nothing was changed, because the cloud is not complete" in done.stdout
    assert "host cloud cannot be reached: " in done.stdout
    assert "Note the node for the demos" not in done.stdout


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"validate_disk_free_mb": {"/opt": 10**9}}, ("1000000000 MB are needed", "validate_disk_free_mb")),
        (
            {"validate_distributions": {"Ubuntu": {"from": "24.04"}}},
            ("is not supported", "Ubuntu 24.04 or later"),
        ),
        ({"validate_python_minimum": "9.9"}, ("its Python is", "validate_python_minimum is 9.9")),
        ({"validate_clock_tolerance": -1}, ("off the controller's", "validate_clock_tolerance")),
        ({"validate_clock_tolerence": 1}, ("did you mean validate_clock_tolerance?",)),
    ],
)
def test_what_cannot_be_used_is_refused_by_host_and_variable(
    ten: TenHosts, variables: dict[str, object], words: tuple[str, ...]
) -> None:
    # All would be refused; two say as much as ten.
    done = ten.check_hosts("--limit", "localhost,cloud,edge1", "-e", json.dumps(variables))
    assert done.returncode != 0
    assert "Prepare what the hosts need" not in done.stdout
    assert all(word in re.sub(r"\s+", " ", done.stdout) for word in words), done.stdout
