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


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "state.json").write_text(json.dumps(STATE), encoding="utf-8")
    return {**os.environ, "EDGELAB_STATE_DIR": str(tmp_path), "ANSIBLE_NOCOLOR": "1"}


def run(environment: dict[str, str], *argv: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / argv[0]), *argv[1:]]
    return subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_samples_that_users_start_from_are_there() -> None:
    assert {"local", "raspberry_pi", "ha"} <= set(INVENTORIES)


@pytest.mark.parametrize("name", ["local", "raspberry_pi", "ha"])
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


@pytest.mark.parametrize("name", ["raspberry_pi", "ha"])
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
