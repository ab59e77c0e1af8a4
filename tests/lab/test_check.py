"""What the lab's program foretells with `--check`; that it happens is for the scenario of role lab_host."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from nspawn_lab import cli, control, network
from nspawn_lab.definition import Lab

NAMES = ["cloud", "edge1"]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab whose hosts are recorded and run."""
    made = Lab(tmp_path / "lab")
    made.state.mkdir()
    made.save("10.200.1.0/24", made.plan("10.200.1.0/24", NAMES, {}, dict.fromkeys(NAMES, tmp_path)))
    monkeypatch.setattr(network, "is_up", lambda lab: lab.state == made.state)
    monkeypatch.setattr(
        control, "launchers", lambda lab: dict.fromkeys(NAMES, 1) if lab.state == made.state else {}
    )
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return made


def foretold(capsys: pytest.CaptureFixture[str], state: Path, *words: str) -> bool:
    assert cli.main(["--state", str(state), *words, "--check"]) == 0
    changed: bool = json.loads(capsys.readouterr().out)["changed"]
    return changed


def test_nothing_is_foretold_for_hosts_that_run(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert not foretold(capsys, lab.state, "up", "--hosts=cloud,edge1", "--rootfs=/r")


def test_a_host_that_is_new_or_off_would_be_booted(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert foretold(capsys, lab.state, "up", "--hosts=edge2", "--rootfs=/r")
    monkeypatch.setattr(control, "launchers", lambda _lab: {"cloud": 1})
    assert foretold(capsys, lab.state, "up", "--hosts=cloud", "--rootfs=/r"), "edge1 is of this lab and off"
    assert set(lab.load()[1]) == set(NAMES)


def test_a_bridge_that_is_gone_would_be_made_anew(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "is_up", lambda _lab: False)
    assert foretold(capsys, lab.state, "up", "--hosts=cloud,edge1", "--rootfs=/r")


def test_a_lab_that_is_not_there_would_be_made_and_is_not(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    other = lab.state.with_name("other")
    assert foretold(capsys, other, "up", "--hosts=cloud", "--rootfs=/r")
    assert not foretold(capsys, other, "down")
    assert not other.exists()


def test_a_lab_that_is_there_would_be_removed_and_stays(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert foretold(capsys, lab.state, "down")
    assert lab.record.is_file()


def test_a_name_that_no_host_can_have_is_refused_as_without_it(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--state", str(lab.state), "up", "--hosts=Edge_1", "--rootfs=/r", "--check"]
    assert cli.main(words) == 1
    assert "'Edge_1' is no host name" in capsys.readouterr().err


def test_the_path_of_a_root_file_system_is_known_before_it_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    words = ["rootfs", f"--cache={tmp_path}", "--packages=systemd,sudo", "--check"]
    assert cli.main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["changed"]
    Path(answer["path"]).mkdir(parents=True)
    assert cli.main(words) == 0
    assert json.loads(capsys.readouterr().out) == {"changed": False, "path": answer["path"]}
