"""Every sample inventory can be loaded, and role validate finds nothing wrong with it. No host is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
INVENTORIES = sorted(path.name for path in (CHECKOUT / "inventories").iterdir() if path.is_dir())
CHECK = """
- name: Check the inventory
  hosts: localhost
  connection: local
  gather_facts: false
  roles:
    - role: edgelab.kubeedge.validate
"""
STATE = {
    "key": "/nowhere",
    "known_hosts": "/nowhere",
    "hosts": {
        name: {"address": f"192.0.2.{number}", "control_path": f"/nowhere/{name}"}
        for number, name in enumerate(("cloud", "edge1"), start=10)
    },
}
# What `vagrant` tells when the machines of vagrant/topology.yml run: containers, which get no kubeadm.
VAGRANT = """#!/bin/sh
case $1 in
  status)
    for name in cloud edge1; do
      printf '1,%s,provider-name,docker\\n1,%s,state,running\\n' $name $name
    done ;;
  ssh-config)
    printf 'Host %s\\n  HostName 127.0.0.1\\n  User vagrant\\n  Port %s\\n' cloud 2222 edge1 2200 ;;
  *) exit 1 ;;
esac
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "state.json").write_text(json.dumps(STATE), encoding="utf-8")
    program = tmp_path / "bin" / "vagrant"
    program.parent.mkdir()
    program.write_text(VAGRANT, encoding="utf-8")
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    foreign = ("EDGELAB_TOPOLOGY", "VAGRANT_CWD", "VAGRANT_DOTFILE_PATH")
    inherited = {name: value for name, value in os.environ.items() if name not in foreign}
    return {**inherited, "PATH": path, "EDGELAB_STATE_DIR": str(tmp_path), "ANSIBLE_NOCOLOR": "1"}


def run(environment: dict[str, str], *argv: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / argv[0]), *argv[1:]]
    return subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_samples_that_users_start_from_are_there() -> None:
    assert set(INVENTORIES) == {"airgap", "edgesite", "ha", "local", "raspberry_pi", "vagrant"}


@pytest.mark.parametrize("name", INVENTORIES)
def test_an_inventory_is_loaded_and_sound(name: str, environment: dict[str, str], tmp_path: Path) -> None:
    listed = run(environment, "ansible-inventory", "-i", f"inventories/{name}", "--list")
    assert listed.returncode == 0, listed.stderr
    groups: dict[str, Any] = json.loads(listed.stdout)
    assert groups["cloud"]["hosts"]
    assert groups["edge"]["hosts"]
    (tmp_path / "check.yml").write_text(CHECK, encoding="utf-8")
    done = run(environment, "ansible-playbook", "-i", f"inventories/{name}", str(tmp_path / "check.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The inventory is sound." in done.stdout


@pytest.mark.parametrize("name", ["edgesite", "raspberry_pi", "ha"])
def test_a_sample_explains_itself(name: str) -> None:
    folder = CHECKOUT / "inventories" / name
    assert {path.name for path in (folder / "group_vars").iterdir()} == {"all.yml", "cloud.yml", "edge.yml"}
    for file in sorted(folder.rglob("*.yml")):
        text = file.read_text(encoding="utf-8")
        assert yaml.safe_load(text), file
        assert "#" in text, f"{file} has no comment"


def test_a_mistake_in_a_sample_is_found(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "check.yml").write_text(CHECK, encoding="utf-8")
    wrong = json.dumps({"edgelab_control_plain": "edgesite", "edgelab_control_plane": "edgesite"})
    command = ("ansible-playbook", "-i", "inventories/ha", str(tmp_path / "check.yml"), "-e", wrong)
    done = run(environment, *command)
    assert done.returncode != 0
    assert "did you mean edgelab_control_plane?" in " ".join(done.stdout.split())
    assert "runs on one host" in done.stdout


def refusal(environment: dict[str, str], inventory: str, *arguments: str) -> str:
    """What edgesite.yml says when it ends at once, in one line."""
    command = ("ansible-playbook", "-i", f"inventories/{inventory}", "playbooks/edgesite.yml")
    done = run(environment, *command, *arguments)
    assert done.returncode != 0, done.stdout
    return " ".join(done.stdout.split())


def test_one_box_is_in_both_groups_and_alone(environment: dict[str, str]) -> None:
    listed = run(environment, "ansible-inventory", "-i", "inventories/edgesite", "--list")
    groups: dict[str, Any] = json.loads(listed.stdout)
    assert groups["cloud"]["hosts"] == groups["edge"]["hosts"]
    assert len(groups["edge"]["hosts"]) == 1


def test_edgesite_refuses_an_inventory_without_a_box(environment: dict[str, str]) -> None:
    told = refusal(environment, "raspberry_pi")
    assert "cloud has server, edge has pi1, pi2." in told
    assert "inventories/edgesite/hosts.yml" in told
    assert "PLAY [Check the inventory]" not in told


def test_edgesite_refuses_whichever_tags_are_asked_for(environment: dict[str, str]) -> None:
    assert "No host is in both groups" in refusal(environment, "ha", "--tags", "edgecore")


def test_the_local_lab_puts_a_box_into_both_groups(environment: dict[str, str], tmp_path: Path) -> None:
    state = {**STATE, "hosts": {"box": {"address": "192.0.2.10", "control_path": "/nowhere/box"}}}
    (tmp_path / "state.json").write_text(json.dumps(state), encoding="utf-8")
    listed = run(environment, "ansible-inventory", "-i", "inventories/local", "--list")
    groups: dict[str, Any] = json.loads(listed.stdout)
    assert (groups["cloud"]["hosts"], groups["edge"]["hosts"]) == (["box"], ["box"])


def test_wrong_switches_come_with_everything_else_that_is_wrong(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "check.yml").write_text(CHECK, encoding="utf-8")
    wrong = json.dumps(
        {"edgelab_control_plane": "kubeadmin", "edgelab_timeseries": "perhaps", "edgelab_lap": "x"}
    )
    command = ("ansible-playbook", "-i", "inventories/edgesite", str(tmp_path / "check.yml"), "-e", wrong)
    done = run(environment, *command)
    assert done.returncode != 0
    told = " ".join(done.stdout.split())
    assert "host box: edgelab_control_plane: 'kubeadmin' is not offered; use edgesite or kubeadm" in told
    assert "host box: edgelab_timeseries is 'perhaps', and must be true or false" in told
    assert "did you mean edgelab_lab?" in told
