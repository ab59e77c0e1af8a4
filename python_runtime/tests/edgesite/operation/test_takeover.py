"""One command makes the box that follows the one that serves; systemd is a program that notes its calls."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.edgesite.apiserver.running import running
from tests.edgesite.operation.test_fence import followed

from edgelab.edgesite.__main__ import main
from edgelab.edgesite.operation.copies import is_copy

STATUS = "following https://192.0.2.10:6443 at revision 7"
SYSTEMCTL = f"""#!{sys.executable}
import pathlib, sys
here, words = pathlib.Path(__file__).parent, sys.argv[1:]
with (here / "calls").open("a") as calls:
    print(*words, file=calls)
if words[0] == "show":
    print({STATUS!r} if "StatusText" in words[1] else "active" if (here / "active").exists() else "inactive")
if words[0] == "enable":
    if (here / "broken").exists():
        sys.exit("Job for edgesite.service failed")
    (here / "active").touch()
"""


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the calls are written down."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "systemctl").write_text(SYSTEMCTL)
    (folder / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def promote(capsys: pytest.CaptureFixture[str], data_dir: Path, status: int = 0) -> Any:
    assert main(["promote", "--now", "--data-dir", str(data_dir), "--output=json"]) == status
    return json.loads(capsys.readouterr().out)


async def test_it_stops_following_promotes_and_serves_and_a_second_time_it_changes_nothing(
    tmp_path: Path, systemd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await followed(tmp_path)
    answer = promote(capsys, tmp_path / "second/data")
    assert (answer["changed"], answer["followed"]) == (True, STATUS)
    assert answer["revision"] > 1_000_000_000
    calls = (systemd / "calls").read_text().splitlines()
    changes = [call for call in calls if not call.startswith("show")]
    assert changes == ["disable --now edgesite-follow.service", "enable --now edgesite.service"]
    assert not is_copy(tmp_path / "second/data/state.db")
    assert promote(capsys, tmp_path / "second/data")["changed"] is False
    async with running(tmp_path / "second") as second:
        assert (await second.call("GET", "/readyz"))[0] == 200


async def test_what_systemd_refuses_is_told(
    tmp_path: Path, systemd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await followed(tmp_path)
    (systemd / "broken").touch()
    answer = promote(capsys, tmp_path / "second/data", status=1)
    assert answer["error"] == "systemctl enable --now edgesite.service: Job for edgesite.service failed"
    assert "holds no copy of a site" in promote(capsys, tmp_path / "nothing", status=1)["error"]
