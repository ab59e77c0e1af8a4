"""The lab on a usual machine: systemd is PID 1 and cgroups are version 2 only.

That machine is a host of another lab, so this runs wherever the lab runs. Its kernel may have no
controllers left for version 2, so limits are not tested here, only the delegation.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.lab import CHECKOUT
from tests.integration.test_bare_lab import BareLab, lab_rootfs

SHARED = "/var/lib/containerd"
"""The folder of the outer host that lies on a real file system, so that overlays work in it."""
LAB = ["env", f"PYTHONPATH={SHARED}", "python3", "-m", "nspawn_lab", "--state", f"{SHARED}/inner/.lab"]


class Machine:
    """A host that plays the machine."""

    def __init__(self, outer: BareLab) -> None:
        self.outer = outer

    def run(self, *words: str) -> str:
        return self.outer.inside("machine", *words)

    def lab(self, *words: str) -> str:
        return self.run(*LAB, *words)

    def up(self) -> bool:
        changed: bool = json.loads(self.lab("up", "--hosts", "cloud,edge1", "--rootfs", f"{SHARED}/rootfs"))[
            "changed"
        ]
        return changed


@pytest.fixture(scope="module")
def machine(rootfs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with systemd and cgroup2, the lab program and a root file system on it."""
    outer = BareLab(tmp_path_factory.mktemp("machine") / "lab")
    os.environ["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "1"
    try:
        outer.command("up", "--hosts", "machine", "--rootfs", str(lab_rootfs()))
        shared = outer.state / "hosts" / "machine" / "containerd"
        shutil.copytree(CHECKOUT / "roles/lab_host/files/nspawn_lab", shared / "nspawn_lab")
        subprocess.run(["cp", "-a", str(lab_rootfs()), str(shared / "rootfs")], check=True)
        result = Machine(outer)
        result.run("apt-get", "update", "-q")
        result.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qy", "systemd-container")
        yield result
    finally:
        del os.environ["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"]
        outer.command("down")


def units(machine: Machine) -> list[str]:
    """The lab's units on the machine, without their mark."""
    listed = machine.run("systemctl", "list-units", "--no-legend", "--plain", "edgelab-*").splitlines()
    return sorted(line.split()[0].split("-", 2)[2] for line in listed)


def test_the_machine_is_of_the_usual_kind(machine: Machine) -> None:
    assert machine.run("stat", "-fc", "%T", "/sys/fs/cgroup") == "cgroup2fs"
    assert machine.run("cat", "/proc/1/comm") == "systemd"


def test_hosts_boot_as_delegated_units_and_go_without_a_trace(machine: Machine) -> None:
    links = machine.run("ls", "/sys/class/net")
    assert machine.up()
    assert not machine.up()
    assert units(machine) == ["cloud.service", "edge1.service"]
    config = f"{SHARED}/inner/.lab/ssh/config"
    assert machine.run("ssh", "-F", config, "edge1", "systemctl", "is-system-running", "--wait") == "running"
    groups = machine.run("sh", "-c", "ls -d /sys/fs/cgroup/system.slice/edgelab-*-edge1.service/host/payload")
    assert len(groups.splitlines()) == 1

    machine.lab("kill", "edge1")
    assert units(machine) == ["cloud.service"]
    machine.lab("start", "edge1")
    assert machine.lab("exec", "edge1", "--", "hostname") == "edge1"

    machine.lab("down")
    assert units(machine) == []
    assert machine.run("ls", "/sys/class/net") == links
    assert machine.run("nft", "list", "tables") == ""
    assert machine.run("sh", "-c", "ls -d /sys/fs/cgroup/system.slice/edgelab-* || true") == ""
    assert not Path(machine.outer.state / "hosts/machine/containerd/inner/.lab").exists()
