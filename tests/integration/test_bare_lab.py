"""The hosts themselves, without anything deployed: boot, power, plug, and what is left when they go.

In labs of their own in temporary folders, so that they may run beside the checkout's lab. What compares the
machine before and after comes first: it sees more when no other lab runs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from nspawn_lab import control, definition
from nspawn_lab import rootfs as root_file_systems

from tests.integration import footprint
from tests.integration.lab import CHECKOUT, eventually

CAP_SYS_TIME = 25


def lab_rootfs() -> Path:
    """The root file system of the local lab's hosts, by the packages that role lab_host names."""
    defaults = yaml.safe_load((CHECKOUT / "roles/lab_host/defaults/main.yml").read_text(encoding="utf-8"))
    packages = defaults["lab_host_packages"] + defaults["lab_host_preinstalled_packages"]
    return root_file_systems.build(CHECKOUT / ".cache", packages)[0]


class BareLab:
    """A lab with two hosts in a folder of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.lab = definition.Lab(state)

    def command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(CHECKOUT / "scripts" / "lab"), *words],
            env={**os.environ, "EDGELAB_STATE_DIR": str(self.state)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done

    def up(self) -> bool:
        done = self.command("up", "--hosts", "cloud,edge1", "--rootfs", str(lab_rootfs()))
        changed: bool = json.loads(done.stdout)["changed"]
        return changed

    def ssh(self, host: str, *words: str) -> str:
        return self.command("ssh", host, *words).stdout.strip()

    def inside(self, host: str, *words: str, check: bool = True) -> str:
        return self.command("exec", host, "--", *words, check=check).stdout.strip()


@pytest.fixture(scope="module")
def shared(rootfs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareLab]:
    """A lab for the tests that do not mind what others did to its hosts."""
    lab = BareLab(tmp_path_factory.mktemp("bare") / "lab")
    yield lab
    lab.command("down")


@pytest.fixture
def bare(shared: BareLab) -> BareLab:
    """It runs, whatever became of it in another test."""
    shared.up()
    return shared


def test_hosts_boot_fast_and_completely(rootfs: None, tmp_path: Path) -> None:
    lab = BareLab(tmp_path / "lab")
    begin = time.monotonic()
    try:
        assert lab.up()
        assert time.monotonic() - begin < 15
        assert not lab.up()
        for host in ("cloud", "edge1"):
            assert lab.ssh(host, "systemctl", "is-system-running", "--wait") == "running"
            assert lab.ssh(host, "hostname") == host
    finally:
        lab.command("down")


def test_down_leaves_nothing(rootfs: None, tmp_path: Path) -> None:
    lab = BareLab(tmp_path / "lab")
    before = footprint.take(lab.lab)
    lab.up()
    lab.ssh("edge1", "systemctl", "start", "containerd")
    assert footprint.added(before, footprint.take(lab.lab))
    lab.command("down")
    assert footprint.added(before, footprint.take(lab.lab)) == {}
    assert not lab.state.exists()


@pytest.mark.parametrize("forgetful", [False, True], ids=["its record is there", "its folder is gone"])
def test_what_a_killed_lab_left_is_reclaimed(rootfs: None, tmp_path: Path, forgetful: bool) -> None:
    lab = BareLab(tmp_path / "lab")
    before = footprint.take(lab.lab)
    lab.up()
    launchers = control.launchers(lab.lab)
    assert set(launchers) == {"cloud", "edge1"}
    os.kill(launchers["edge1"], signal.SIGKILL)
    if forgetful:
        shutil.rmtree(lab.state)
    try:
        assert lab.up()
        assert lab.ssh("edge1", "hostname") == "edge1"
    finally:
        lab.command("down")
    assert footprint.added(before, footprint.take(lab.lab)) == {}


def test_hosts_reach_each_other_and_differ(bare: BareLab) -> None:
    _, hosts = bare.lab.load()
    assert "1 received" in bare.ssh("edge1", "ping", "-c1", "-W2", hosts["cloud"].address)
    for identity in ("/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub"):
        assert bare.ssh("edge1", "cat", identity) != bare.ssh("cloud", "cat", identity)


def test_each_host_has_cgroups_of_its_own(bare: BareLab) -> None:
    bare.ssh("edge1", "systemctl", "start", "containerd")
    shown = json.loads(bare.command("status").stdout)
    assert "containerd" in {daemon["unit"] for daemon in shown["edge1"]["daemons"]}
    assert "containerd" not in {daemon["unit"] for daemon in shown["cloud"]["daemons"]}
    resident = next(d["resident_mib"] for d in shown["edge1"]["daemons"] if d["unit"] == "containerd")
    assert 5 < resident < 500


def test_nothing_in_a_host_may_set_the_machines_clock(bare: BareLab) -> None:
    # Not tried out: where it fails, it would be the machine's clock that is wrong.
    for sets in (
        bare.inside("edge1", "cat", "/proc/self/status"),
        bare.ssh("edge1", "cat", "/proc/1/status"),
    ):
        bounding = next(line.split()[1] for line in sets.splitlines() if line.startswith("CapBnd:"))
        assert not int(bounding, 16) >> CAP_SYS_TIME & 1


def test_a_pulled_plug_cuts_the_host_off_and_it_stays_reachable_from_inside(bare: BareLab) -> None:
    _, hosts = bare.lab.load()
    bare.command("link", "edge1", "down")
    try:
        assert not control.answers(hosts["edge1"])
        assert bare.inside("edge1", "hostname") == "edge1"
        assert "NO-CARRIER" in bare.inside("edge1", "ip", "link", "show", "eth0")
    finally:
        bare.command("link", "edge1", "up")
    eventually(lambda: control.answers(hosts["edge1"]), "the host answers again", 5, every=0.1)


def test_a_power_cut_keeps_the_disk(bare: BareLab) -> None:
    bare.ssh("edge1", "sh -c 'echo kept > /root/note; sync'")
    bare.command("kill", "edge1")
    shown = json.loads(bare.command("status").stdout)
    assert shown["edge1"]["state"] == "off"
    assert shown["cloud"]["state"] == "running"
    begin = time.monotonic()
    bare.command("start", "edge1")
    assert time.monotonic() - begin < 15
    assert bare.ssh("edge1", "cat", "/root/note") == "kept"


def test_a_reboot_comes_back_by_itself(bare: BareLab) -> None:
    booted = bare.ssh("edge1", "stat", "-c", "%Y", "/run/systemd/system")
    bare.command("ssh", "edge1", "systemctl", "reboot", check=False)

    def again() -> bool:
        done = bare.command("ssh", "edge1", "stat", "-c", "%Y", "/run/systemd/system", check=False)
        return done.returncode == 0 and done.stdout.strip() != booted

    eventually(again, "the host came back", 30)


def test_what_a_command_in_the_host_says_and_ends_with_comes_out(bare: BareLab) -> None:
    done = bare.command("exec", "edge1", "--", "sh", "-c", "echo out; echo err >&2; exit 3", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert "no host edge9" in bare.command("exec", "edge9", "--", "true", check=False).stderr


def test_two_labs_live_beside_each_other(bare: BareLab, tmp_path: Path) -> None:
    other = BareLab(tmp_path / "other")
    assert bare.ssh("edge1", "hostname") == "edge1"
    eventually(footprint.is_settled, "the addresses of a host that has just booted", 10)
    before = footprint.take(bare.lab)
    try:
        other.up()
        assert other.ssh("edge1", "hostname") == "edge1"
        assert footprint.added(before, footprint.take(bare.lab)) == {}, "another lab is taken for this one's"
        assert other.lab.load()[0] != bare.lab.load()[0]
        other.command("down")
        assert bare.ssh("cloud", "hostname") == "cloud"
    finally:
        other.command("down")
