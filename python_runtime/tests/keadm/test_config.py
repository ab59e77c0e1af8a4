"""`keadm config merge` on real files."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.keadm.conftest import Keadm

NODE = {"modules": {"edged": {"hostnameOverride": "edge1"}, "edgeHub": {"token": "s3cret.a.b.c"}}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "edgecore.yaml"


def merge(keadm: Keadm, file: Path, settings: object, *more: str) -> tuple[int, dict[str, object]]:
    call = ("config", "merge", "--component", "edgecore", "--file", file, *more)
    return keadm(*call, stdin=json.dumps(settings))


def test_a_missing_file_starts_as_the_minimal_configuration(keadm: Keadm, file: Path) -> None:
    status, answer = merge(keadm, file, NODE)
    written = yaml.safe_load(file.read_text())
    assert (status, answer["changed"], answer["before"]) == (0, True, "")
    assert written["kind"] == "EdgeCore"
    assert written["modules"]["edged"]["hostnameOverride"] == "edge1"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_same_settings_again_leave_the_file_untouched(keadm: Keadm, file: Path) -> None:
    merge(keadm, file, NODE)
    before = (file.read_text(), file.stat().st_mtime_ns, file.stat().st_ino)
    status, answer = merge(keadm, file, NODE)
    assert (status, answer["changed"]) == (0, False)
    assert (file.read_text(), file.stat().st_mtime_ns, file.stat().st_ino) == before


def test_a_file_that_others_can_read_is_closed(keadm: Keadm, file: Path) -> None:
    merge(keadm, file, NODE)
    file.chmod(0o644)
    assert merge(keadm, file, NODE)[1]["changed"] is True
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_check_writes_nothing_and_tells_the_difference(keadm: Keadm, file: Path) -> None:
    merge(keadm, file, NODE)
    before = file.read_text()
    _, answer = merge(keadm, file, {"modules": {"edgeHub": {"heartbeat": 30}}}, "--check")
    assert answer["changed"] is True
    assert "heartbeat: 15" in str(answer["before"])
    assert "heartbeat: 30" in str(answer["after"])
    assert file.read_text() == before


def test_tokens_are_written_but_never_shown(keadm: Keadm, file: Path) -> None:
    _, answer = merge(keadm, file, NODE)
    assert "s3cret.a.b.c" in file.read_text()
    assert "s3cret" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"modules": {"edged": {"hostnameOveride": "x"}}}, "modules.edged.hostnameOveride"),
        ({"modules": {"edgeHub": {"heartbeat": "often"}}}, "modules.edgeHub.heartbeat"),
    ],
)
def test_settings_that_are_wrong_name_the_field_and_change_nothing(
    keadm: Keadm, file: Path, settings: object, field: str
) -> None:
    status, answer = merge(keadm, file, settings)
    assert status == 1
    assert answer["problems"][0]["field"] == field  # type: ignore[index]  # JSON
    assert not file.exists()


@pytest.mark.parametrize("stdin", ["", "[]", "{"])
def test_stdin_that_is_no_object_is_refused(keadm: Keadm, file: Path, stdin: str) -> None:
    status, answer = keadm("config", "merge", "--component", "edgecore", "--file", file, stdin=stdin)
    assert status == 1
    assert "stdin" in answer["error"]


def test_the_program_imports_no_http_client_so_it_starts_at_once(file: Path) -> None:
    code = (
        "import sys; from edgelab.keadm.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'aiohttp', 'cryptography', 'rich', 'asyncio'} & set(sys.modules)"
    )
    words = ["config", "merge", "--component", "edgecore", "--file", str(file)]
    subprocess.run(
        [sys.executable, "-c", code, *words],
        input=json.dumps(NODE),
        text=True,
        check=True,
        env={**os.environ, "TYPER_USE_RICH": "0"},
    )
