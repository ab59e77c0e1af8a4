"""Hosts that the role booted: what they are, their power, their plug, and how they go without a trace."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://edge1"]
CHECKOUT = Path(__file__).resolve().parents[3]
CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
STATE = Path(os.environ["EDGELAB_STATE_DIR"])
KEPT_STOPPED = ("containerd", "mosquitto", "victoria-metrics")
Machine = Callable[[str], Host]
Play = Callable[..., tuple[int, str]]
Eventually = Callable[..., Any]


def lab(*words: str, state: Path = STATE) -> str:
    """The program that people drive a lab with."""
    done = subprocess.run(
        [str(CHECKOUT / "scripts" / "lab"), *words],
        env={**os.environ, "EDGELAB_STATE_DIR": str(state)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def links() -> set[str]:
    """Network interfaces of this machine."""
    return {entry.name for entry in Path("/sys/class/net").iterdir()}


def mark(state: Path) -> str:
    """What marks everything that belongs to a lab."""
    found: str = json.loads((state / "state.json").read_text(encoding="utf-8"))["mark"]
    return found


def answers(name: str) -> bool:
    """Whether a host's SSH server greets."""
    address = json.loads((STATE / "state.json").read_text(encoding="utf-8"))["hosts"][name]["address"]
    try:
        with socket.create_connection((address, 22), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def birth(name: str) -> str:
    """When the init of a host came into being."""
    return lab("exec", name, "--", "stat", "--format=%z", "/proc/1")


@pytest.fixture
def second_lab(tmp_path: Path, play: Play) -> Iterator[Path]:
    """The folder of another lab, whose hosts go whatever happens."""
    yield tmp_path / "lab"
    assert play(CONVERGE, {"lab_host_state_dir": str(tmp_path / "lab"), "lab_host_state": "absent"})[0] == 0


@pytest.mark.parametrize(("name", "release"), [("cloud", "bookworm"), ("edge1", "trixie")])
def test_a_host_runs_the_release_it_was_asked_for_without_a_failed_unit(
    machine: Machine, eventually: Eventually, name: str, release: str
) -> None:
    host = machine(name)
    assert host.check_output("hostname") == name
    assert host.system_info.codename == release
    eventually(lambda: host.run("systemctl is-system-running").stdout.strip() == "running", "it is up", 30)


@pytest.mark.parametrize("unit", KEPT_STOPPED)
def test_what_lies_ready_to_save_time_is_stopped(machine: Machine, unit: str) -> None:
    for name in ("cloud", "edge1"):
        service = machine(name).service(unit)
        assert service.exists
        assert not service.is_running
        assert not service.is_enabled


def test_hosts_have_identities_of_their_own_and_reach_one_another(machine: Machine) -> None:
    cloud, edge = machine("cloud"), machine("edge1")
    for path in ("/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub"):
        assert cloud.file(path).content_string != edge.file(path).content_string
    address = cloud.ansible.get_variables()["edgelab_node_ip"]
    assert edge.addr(address).port(22).is_reachable


def test_a_host_that_is_off_is_booted_again_with_its_disk(host: Host, play: Play) -> None:
    word = uuid.uuid4().hex
    host.check_output(f"echo {word} > /root/kept && sync")
    lab("stop", "edge1")
    for words, greets in ((("--check",), False), ((), True)):
        status, text = play(CONVERGE, {}, *words)
        assert (status, "changed=1" in text) == (0, True), text
        assert answers("edge1") is greets
    assert host.file("/root/kept").content_string.strip() == word


def test_a_power_cut_loses_nothing_that_was_synced(host: Host) -> None:
    word = uuid.uuid4().hex
    host.check_output(f"echo {word} > /root/kept && sync")
    lab("kill", "edge1")
    assert not answers("edge1")
    lab("start", "edge1")
    assert host.file("/root/kept").content_string.strip() == word


def test_a_reboot_from_inside_comes_back(eventually: Eventually) -> None:
    before = birth("edge1")
    lab("exec", "edge1", "--", "systemctl", "reboot")
    eventually(lambda: birth("edge1") != before and answers("edge1"), "it comes back", 60)


def test_a_pulled_plug_cuts_a_host_off_and_leaves_it_running() -> None:
    before = birth("edge1")
    lab("link", "edge1", "down")
    try:
        assert not answers("edge1")
    finally:
        lab("link", "edge1", "up")
    assert answers("edge1")
    assert birth("edge1") == before


def test_a_second_lab_comes_and_goes_beside_the_first_without_a_trace(
    host: Host, play: Play, second_lab: Path
) -> None:
    asked = {"lab_host_state_dir": str(second_lab), "lab_host_names": ["edge9"], "lab_host_kinds": {}}
    before = links()
    status, text = play(CONVERGE, asked, "--check", "--diff")
    assert status == 0, text
    assert "changed=1" in text
    assert not second_lab.exists(), "check mode must not begin a lab"
    assert play(CONVERGE, asked)[0] == 0
    bridge = mark(second_lab)
    assert bridge in links()
    assert bridge != mark(STATE)
    status, text = play(CONVERGE, {**asked, "lab_host_state": "absent"}, "--check")
    assert (status, "changed=1" in text) == (0, True)
    assert bridge in links(), "check mode must not remove a lab"
    for changed in (1, 0):
        status, text = play(CONVERGE, {**asked, "lab_host_state": "absent"})
        assert (status, f"changed={changed}" in text) == (0, True)
    assert not second_lab.exists()
    assert not [name for name in links() - before if name.startswith(bridge)]
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{bridge}-*"))
    assert host.check_output("hostname") == "edge1"


def test_a_name_that_no_host_can_have_is_refused(play: Play) -> None:
    for words in ((), ("--check",)):
        status, text = play(CONVERGE, {"lab_host_names": ["cloud", "Edge_1"]}, *words)
        assert status != 0
        assert "Edge_1" in text
        assert "is no host name: use small letters, digits and dashes" in text
