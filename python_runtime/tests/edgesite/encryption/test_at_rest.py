"""What lies in the real database file of a site, and how it is encrypted anew."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from tests.edgesite.apiserver.running import Client, running, settings
from tests.edgesite.encryption.test_ciphers import NEW, OLD, configured, entry

from edgelab.daemon.clock import SYSTEM
from edgelab.daemon.errors import Fatal
from edgelab.edgesite.__main__ import main
from edgelab.edgesite.app import Site
from edgelab.edgesite.store import Store

VALUE = "correct-horse-battery-staple"
ENCODED = base64.b64encode(VALUE.encode())
PATH = "/api/v1/namespaces/default/secrets"


def present(directory: Path, *words: bytes) -> list[str]:
    """Files of the site in which one of these occurs."""
    files = sorted(path for path in (directory / "data").rglob("*") if path.is_file())
    return [path.name for path in files if any(word in path.read_bytes() for word in words)]


async def create(client: Client, name: str) -> None:
    body = {"metadata": {"name": name}, "data": {"password": ENCODED.decode()}}
    assert (await client.call("POST", PATH, body))[0] == 201


async def read(client: Client, name: str) -> Any:
    return (await client.call("GET", f"{PATH}/{name}"))[1]["data"]["password"]


def command(capsys: pytest.CaptureFixture[str], directory: Path, *arguments: str) -> Any:
    code = main(["encryption", *arguments, "--data-dir", str(directory / "data"), "--output", "json"])
    assert code == 0
    return json.loads(capsys.readouterr().out)


async def test_the_file_has_no_plain_value_and_keys_are_changed_without_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "encryption.yaml"
    async with running(tmp_path) as client:
        await create(client, "before")
    assert present(tmp_path, ENCODED), "the test looks at the right place"

    configured(tmp_path, entry("aesgcm", ("first", OLD)), entry("identity"))
    async with running(tmp_path, encryption=file) as client:
        await create(client, "after")
        assert await read(client, "before") == await read(client, "after") == ENCODED.decode()
    assert command(capsys, tmp_path, "status")["secrets"] == {"aesgcm with key 'first'": 1, "identity": 1}
    answer = command(capsys, tmp_path, "rewrite", "--encryption-provider-config", str(file))
    assert answer["changed"]
    assert present(tmp_path, ENCODED, VALUE.encode()) == []
    assert command(capsys, tmp_path, "status")["secrets"] == {"aesgcm with key 'first'": 2}
    assert not command(capsys, tmp_path, "rewrite", "--encryption-provider-config", str(file))["changed"]

    configured(tmp_path, entry("secretbox", ("second", NEW)), entry("aesgcm", ("first", OLD)))
    command(capsys, tmp_path, "rewrite", "--encryption-provider-config", str(file))
    configured(tmp_path, entry("secretbox", ("second", NEW)))
    async with running(tmp_path, encryption=file) as client:
        assert await read(client, "before") == await read(client, "after") == ENCODED.decode()
    assert present(tmp_path, ENCODED, VALUE.encode()) == []


async def test_a_site_does_not_start_without_its_key(tmp_path: Path) -> None:
    file = tmp_path / "encryption.yaml"
    configured(tmp_path, entry("aescbc", ("first", OLD)))
    async with running(tmp_path, encryption=file) as client:
        await create(client, "s")
    assert present(tmp_path, ENCODED, VALUE.encode()) == []
    with pytest.raises(
        Fatal, match="secrets/default/s is encrypted by aescbc with key 'first'; give the file"
    ):
        Site(settings(tmp_path), SYSTEM)
    other = configured(tmp_path, entry("aescbc", ("first", NEW)))
    with pytest.raises(Fatal, match="is encrypted by aescbc with key 'first'"):
        Store(tmp_path / "data", SYSTEM, other)


def test_the_command_line_names_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encryption", "rewrite", "--data-dir", str(tmp_path)]) == 2
    assert "--encryption-provider-config" in capsys.readouterr().err
    assert main(["encryption", "status", "--data-dir", str(tmp_path)]) == 1
    assert "holds no site" in capsys.readouterr().err
