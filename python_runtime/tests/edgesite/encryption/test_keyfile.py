"""Keys are made, changed and taken out by commands, which show none of them and lose no Secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.edgesite.apiserver.running import running
from tests.edgesite.encryption.test_at_rest import ENCODED, create, present, read
from tests.edgesite.encryption.test_ciphers import OLD, configured, entry

from edgelab.daemon.clock import SYSTEM
from edgelab.daemon.errors import Fatal
from edgelab.edgesite.__main__ import main
from edgelab.edgesite.encryption import configuration, keyfile


def secrets_of(file: Path) -> list[str]:
    """Every key in a file of keys, in order."""
    rules = yaml.safe_load(file.read_text())["resources"]
    providers = [settings for rule in rules for entry in rule["providers"] for settings in entry.values()]
    return [key["secret"] for settings in providers for key in (settings or {}).get("keys", [])]


async def test_keys_are_made_and_changed_without_being_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, site = tmp_path / "encryption.yaml", ("--data-dir", str(tmp_path / "data"))
    seen: set[str] = set()

    def command(action: str, *more: str) -> Any:
        words = [action, *site, "--encryption-provider-config", str(file), "--output=json", *more]
        assert main(["encryption", *words]) == 0
        told = capsys.readouterr()
        seen.update(secrets_of(file))
        assert not [secret for secret in seen if secret in told.out + told.err]
        return json.loads(told.out)

    async with running(tmp_path) as client:
        await create(client, "plain")
    first = command("new-key", "--if-needed")["key"]
    assert not command("new-key", "--if-needed")["changed"]
    assert file.stat().st_mode & 0o777 == 0o600
    async with running(tmp_path, encryption=file) as client:
        assert await read(client, "plain") == ENCODED.decode()
    assert command("rewrite")["changed"]
    assert present(tmp_path, ENCODED) == []

    second = command("new-key", "--provider=secretbox", "--if-needed")["key"]
    async with running(tmp_path, encryption=file) as client:
        await create(client, "between")
        with pytest.raises(Fatal, match="in use by another edgesite"):
            keyfile.retire(file, tmp_path / "data")
    with pytest.raises(Fatal, match=r"\d+ versions in .* are not written by the first key of .*rewrite"):
        keyfile.retire(file, tmp_path / "data")
    assert len(secrets_of(file)) == 2
    command("rewrite")
    assert command("retire")["retired"] == [first]
    assert not command("retire")["changed"]
    assert len(secrets_of(file)) == 1
    async with running(tmp_path, encryption=file) as client:
        assert await read(client, "plain") == await read(client, "between") == ENCODED.decode()
    assert main(["check", *site, "--encryption-provider-config", str(file)]) == 0
    configured(tmp_path, entry("secretbox", ("another", OLD)))
    assert main(["check", *site, "--encryption-provider-config", str(file)]) == 1
    assert f"is encrypted by secretbox with key '{second}'" in capsys.readouterr().err
    assert command("status")["secrets"] == {f"secretbox with key '{second}'": 2}


def test_a_new_key_leaves_the_rest_of_the_file_as_it_is(tmp_path: Path) -> None:
    configured(
        tmp_path, entry("aescbc", ("old", OLD)), entry("identity"), resources=("secrets", "configmaps")
    )
    file = tmp_path / "encryption.yaml"
    name = keyfile.new_key(file, "aescbc", SYSTEM)
    [rule] = configuration.load(file)
    assert rule.resources == ("secrets", "configmaps")
    assert [provider.name for provider in rule.providers] == ["aescbc", "identity"]
    assert [key.name for key in rule.providers[0].keys] == [name, "old"]
    keyfile.new_key(file, "aesgcm", SYSTEM)
    assert [provider.name for provider in configuration.load(file)[0].providers] == [
        "aesgcm",
        "aescbc",
        "identity",
    ]


def test_the_keys_of_a_site_that_is_to_be_decrypted_can_be_taken_out(tmp_path: Path) -> None:
    configured(tmp_path, entry("identity"), entry("aesgcm", ("old", OLD)))
    assert keyfile.retire(tmp_path / "encryption.yaml", tmp_path / "data") == ("old",)
    assert secrets_of(tmp_path / "encryption.yaml") == []


def test_a_file_is_checked_before_the_server_is_started_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configured(tmp_path, entry("aesgcm", ("k", OLD)))
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n")
    words = ["check", "--encryption-provider-config", str(tmp_path / "encryption.yaml")]
    assert main([*words, "--audit-policy-file", str(policy)]) == 0
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Everything}]\n")
    capsys.readouterr()
    assert main(["check", "--audit-policy-file", str(policy)]) == 2
    assert f"{policy}: " in capsys.readouterr().err
    (tmp_path / "encryption.yaml").write_text("kind: Other\n")
    assert main(words) == 2
    assert "kind must be EncryptionConfiguration" in capsys.readouterr().err
    assert main(["encryption", "new-key"]) == 2
    assert "edgesite encryption new-key needs --encryption-provider-config" in capsys.readouterr().err
