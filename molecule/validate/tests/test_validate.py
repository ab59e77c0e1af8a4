"""What the checks refuse on real hosts, with the words they use, and that they change nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://edge1"]
PLAYBOOK = Path(__file__).resolve().parents[1] / "converge.yml"
INVENTORY = str(Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent)
BUSY = {
    "validate_python_minimum": "9.9",
    "validate_disk_free_mb": {"/var": 99_999_999},
    "validate_distributions": {"Ubuntu": {"from": "24.04"}},
}
LATE = '#!/bin/sh\nexec /usr/bin/date --date="1 hour" "$@"\n'


def check(variables: dict[str, Any], *words: str) -> tuple[int, str]:
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", INVENTORY, str(PLAYBOOK)]
    done = subprocess.run(
        [*command, "-e", json.dumps(variables), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # Ansible tells failures on either
        text=True,
        check=False,
        timeout=120,
    )
    assert "changed=1" not in done.stdout
    return done.returncode, " ".join(done.stdout.split())


@pytest.fixture
def late_clock(host: Host) -> Iterator[None]:
    """A host that tells the time of an hour from now."""
    program = "/usr/local/bin/date"
    host.check_output(f"printf '%s' '{LATE}' > {program} && chmod 755 {program}")
    yield
    host.check_output(f"rm {program}")


def test_a_good_inventory_and_good_hosts_pass() -> None:
    status, text = check({})
    assert status == 0, text
    assert "failed=1" not in text


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"nginx_demo_host_port": 1883}, "1883"),
        ({"mosquitto_prot": 1884}, "mosquitto_prot"),
    ],
)
def test_a_mistake_of_the_inventory_is_named_before_a_host_is_asked(
    variables: dict[str, Any], told: str
) -> None:
    status, text = check(variables)
    assert status != 0
    assert "The inventory cannot be used:" in text
    assert told in text
    assert "Check each host" not in text


def test_everything_that_is_wrong_with_a_host_is_told_at_once() -> None:
    status, text = check(BUSY, "--limit", "edge1,localhost")
    assert status != 0
    assert "Host edge1 cannot be used:" in text
    assert "validate_python_minimum is 9.9" in text
    assert "/var" in text
    assert "is not supported; use Ubuntu 24.04 or later" in text


def test_a_clock_that_is_off_is_told_of_that_host_only(host: Host, late_clock: None) -> None:
    status, text = check({})
    assert status != 0
    assert "Host edge1 cannot be used:" in text
    assert "clock is 36" in text or "clock is 3599" in text
    assert "Host cloud cannot be used" not in text


def test_what_kubeadm_needs_is_asked_of_the_cloud_only() -> None:
    status, text = check({"edgelab_control_plane": "kubeadm", "kubeadm_minimum_cpus": 999})
    assert status != 0
    assert "Host cloud cannot be used:" in text
    assert "kubeadm needs 999" in text
    assert "Host edge1 cannot be used" not in text
