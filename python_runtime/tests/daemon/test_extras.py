"""Packages that only some settings and programs need: what is said when one is missing."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path

import pytest

from edgelab.daemon.errors import Fatal
from edgelab.daemon.extras import REQUIREMENTS, missing, require

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def test_a_package_that_is_there_is_not_imported_for_the_question() -> None:
    require("this", "x.enable")
    assert "this" not in sys.modules


def test_a_missing_package_is_named_with_field_and_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Fatal) as caught:
        require("aioquic", "modules.edgeHub.quic.enable")
    assert str(caught.value) == (
        "modules.edgeHub.quic.enable needs the Python package aioquic, which is not installed:"
        f" {sys.executable} -m pip install 'aioquic>=1.7,<2'"
    )


@pytest.mark.parametrize(("name", "package"), [("modbus", "pymodbus"), ("opcua", "asyncua")])
def test_a_mapper_without_its_library_says_what_to_do(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = importlib.import_module(f"edgelab.mappers.{name}.__main__")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert program.run() == 1
    told = capsys.readouterr().err
    assert told.startswith(
        f"edgelab-{name}-mapper needs the Python package {package}, which is not installed:"
    )
    assert f"python_runtime_extras: [{name}]" in told


def test_libraries_of_push_methods_are_one_extra() -> None:
    for package in ("aiohttp", "aiomysql", "redis"):
        assert "python_runtime_extras: [push] for the role, or " in missing(package, "pushMethod.x")


def test_what_pip_is_told_is_what_the_extra_says() -> None:
    extras = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    assert set(REQUIREMENTS.values()) <= {entry for entries in extras.values() for entry in entries}
