from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from tests.keadm.api_server import ApiServer
from tests.keadm.host import Host, Units
from typer.testing import CliRunner

from edgelab.keadm.__main__ import app

Keadm = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="session", autouse=True)
def one_command_tree() -> Iterator[None]:
    """CliRunner makes all commands anew for each call, which takes longer than most of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", cache(typer.main.get_command), raising=False)
        yield


@pytest.fixture(autouse=True)
def host(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Host:
    """The host that keadm believes it runs on; never this one."""
    host = Host(tmp_path_factory.mktemp("host"), Units())
    monkeypatch.setattr("edgelab.keadm.machine.this", lambda: host)
    return host


@pytest.fixture
def server() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.close()


@pytest.fixture
def kube_config(server: ApiServer, tmp_path: Path) -> Path:
    return server.write_kubeconfig(tmp_path / "kubeconfig")


@pytest.fixture
def keadm() -> Keadm:
    """Run the command line in this process: exit status and JSON answer."""

    def run(*arguments: str | Path, stdin: str = "") -> tuple[int, dict[str, Any]]:
        result = CliRunner().invoke(app, [*map(str, arguments), "--output", "json"], input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, json.loads(result.stdout)

    return run
