"""`cloudcore` as a process: one clear line for what stops it, and a clean end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
}


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def configuration(directory: Path, **ports: int) -> dict[str, Any]:
    listeners = {
        name: {"address": "127.0.0.1", "port": ports.get(name, 0)} for name in ("websocket", "https")
    }
    hub = {"advertiseAddress": ["127.0.0.1"], **listeners}
    return {
        "commonConfig": {"monitorServer": {"bindAddress": f"127.0.0.1:{ports.get('monitor', 0)}"}},
        "kubeAPIConfig": {"kubeConfig": str(directory / "kubeconfig")},
        "modules": {"cloudHub": hub},
    }


def start(directory: Path, settings: dict[str, Any], server: str = "http://127.0.0.1:1") -> Any:
    clusters = [{"name": "c", "cluster": {"server": server}}]
    (directory / "kubeconfig").write_text(yaml.safe_dump({**KUBECONFIG, "clusters": clusters}))
    (directory / "cloudcore.yaml").write_text(yaml.safe_dump(settings))
    return subprocess.Popen(
        [sys.executable, "-m", "edgelab.cloudcore", "--config", str(directory / "cloudcore.yaml")],
        stderr=subprocess.PIPE,
        text=True,
    )


def refusal(process: Any) -> str:
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in errors
    return str(errors)


@pytest.mark.parametrize(
    ("listener", "named"),
    [
        ("websocket", "modules.cloudHub.websocket"),
        ("https", "modules.cloudHub.https"),
        ("monitor", "commonConfig.monitorServer"),
    ],
)
def test_a_taken_port_is_named_with_the_module_that_wants_it(
    tmp_path: Path, taken: int, listener: str, named: str
) -> None:
    text = refusal(start(tmp_path, configuration(tmp_path, **{listener: taken})))
    assert f"port {taken} on 127.0.0.1 is taken: {named} cannot listen" in text


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    settings = configuration(tmp_path)
    settings["kubeAPIConfig"]["kubeConfig"] = str(tmp_path / "nothere")
    assert f"kubeconfig {tmp_path / 'nothere'}: No such file" in refusal(start(tmp_path, settings))


def test_a_wrong_setting_is_named_by_its_field(tmp_path: Path) -> None:
    settings = configuration(tmp_path)
    settings["modules"]["cloudHub"]["advertiseAddress"] = ["cloud"]
    assert "modules.cloudHub.advertiseAddress[0]: 'cloud' is no IP address" in refusal(
        start(tmp_path, settings)
    )


def test_it_waits_for_the_api_and_ends_at_once_when_told(tmp_path: Path) -> None:
    process = start(tmp_path, configuration(tmp_path))
    assert "waiting: http://127.0.0.1:1" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in rest


def test_printing_a_configuration_needs_no_server(tmp_path: Path) -> None:
    for flag in ("--minconfig", "--defaultconfig"):
        text = subprocess.run(
            [sys.executable, "-m", "edgelab.cloudcore", flag], capture_output=True, text=True, check=True
        ).stdout
        assert yaml.safe_load(text)["kind"] == "CloudCore"
        (tmp_path / "c.yaml").write_text(text)
        check = [sys.executable, "-m", "edgelab.cloudcore", "--check-config", str(tmp_path / "c.yaml")]
        assert subprocess.run(check, capture_output=True, check=False).returncode == 0
