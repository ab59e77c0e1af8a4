"""Ciphers and configurations: round trips, rotation, what is refused, and that no message shows a key."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.encryption import salsa
from edgelab.edgesite.encryption.configuration import load
from edgelab.edgesite.encryption.guard import Unencrypted
from edgelab.edgesite.encryption.transform import AtRest
from edgelab.edgesite.store import Key

SECRET = Key("secrets", "default", "s")
PLAIN = b'{"data":{"password":"aHVudGVyMg=="}}'
OLD, NEW = (base64.b64encode(letter * 32).decode() for letter in (b"a", b"b"))


def entry(provider: str, *keys: tuple[str, str]) -> dict[str, Any]:
    if provider == "identity":
        return {"identity": {}}
    return {provider: {"keys": [{"name": name, "secret": secret} for name, secret in keys]}}


def configured(path: Path, *providers: dict[str, Any], resources: tuple[str, ...] = ("secrets",)) -> AtRest:
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": list(resources), "providers": list(providers)}],
    }
    file = path / "encryption.yaml"
    file.write_text(yaml.safe_dump(document))
    return AtRest(load(file))


@pytest.mark.parametrize("provider", ["aescbc", "aesgcm", "secretbox"])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 64, 1000, 70000])
def test_what_is_written_is_read_again(tmp_path: Path, provider: str, size: int) -> None:
    transform = configured(tmp_path, entry(provider, ("k1", OLD)), entry("identity"))
    data = b"x" * size
    stored = transform.to_disk(SECRET, data)
    assert stored.startswith(f"k8s:enc:{provider}:v1:k1:".encode())
    assert size < 16 or data not in stored
    assert transform.from_disk(SECRET, stored) == data
    assert transform.to_disk(SECRET, data) != stored


def test_secretbox_is_that_of_nacl() -> None:
    key = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    nonce = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
    message = bytes.fromhex(
        "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61"
        "296cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af"
        "1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705"
    )
    sealed = salsa.seal(key, nonce, message)
    assert sealed.hex().startswith("f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7")
    assert salsa.unseal(key, nonce, sealed) == message
    for position in (0, 16, len(sealed) - 1):
        forged = bytearray(sealed)
        forged[position] ^= 1
        with pytest.raises(salsa.Forged):
            salsa.unseal(key, nonce, bytes(forged))


def test_the_first_provider_writes_and_all_read(tmp_path: Path) -> None:
    before = configured(tmp_path, entry("aescbc", ("old", OLD)), entry("identity"))
    stored = before.to_disk(SECRET, PLAIN)
    after = configured(
        tmp_path, entry("aesgcm", ("new", NEW)), entry("aescbc", ("old", OLD)), entry("identity")
    )
    assert after.from_disk(SECRET, stored) == PLAIN
    assert after.from_disk(SECRET, PLAIN) == PLAIN
    assert not after.is_current(SECRET, stored)
    assert after.is_current(SECRET, after.to_disk(SECRET, PLAIN))
    rotated = configured(tmp_path, entry("aescbc", ("new", NEW), ("old", OLD)))
    assert rotated.from_disk(SECRET, stored) == PLAIN
    assert b":new:" in rotated.to_disk(SECRET, PLAIN)


def test_a_missing_key_is_named_and_nothing_is_guessed(tmp_path: Path) -> None:
    stored = configured(tmp_path, entry("aesgcm", ("old", OLD))).to_disk(SECRET, PLAIN)
    for lacking in (
        configured(tmp_path, entry("aesgcm", ("new", NEW)), entry("identity")),
        configured(tmp_path, entry("aesgcm", ("old", NEW))),
        Unencrypted(),
    ):
        with pytest.raises(Fatal, match="secrets/default/s is encrypted by aesgcm with key 'old'"):
            lacking.from_disk(SECRET, stored)


def test_an_authenticated_value_cannot_take_another_place(tmp_path: Path) -> None:
    transform = configured(tmp_path, entry("aesgcm", ("k", OLD)))
    stored = transform.to_disk(SECRET, PLAIN)
    with pytest.raises(Fatal):
        transform.from_disk(Key("secrets", "other", "s"), stored)


def test_resources_choose_their_rule(tmp_path: Path) -> None:
    transform = configured(tmp_path, entry("aesgcm", ("k", OLD)), resources=("configmaps", "*.example.com"))
    for bucket, encrypted in (("configmaps", True), ("secrets", False), ("example.com/things", True)):
        assert transform.to_disk(Key(bucket, "a", "b"), PLAIN).startswith(b"k8s:enc:") is encrypted
    every = configured(tmp_path, entry("aesgcm", ("k", OLD)), resources=("*.*",))
    assert every.to_disk(Key("apps/deployments", "a", "b"), PLAIN).startswith(b"k8s:enc:")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "kind must be EncryptionConfiguration"),
        ({"kind": "EncryptionConfiguration"}, "apiVersion must be"),
        ({"resources": []}, "at least one resources is required"),
        ({"resources": [{"resources": ["Secrets"], "providers": [{"identity": {}}]}]}, "capital letters"),
        ({"resources": [{"resources": ["*"], "providers": [{"identity": {}}]}]}, "use '\\*.' to encrypt"),
        ({"resources": [{"resources": ["secrets"], "providers": []}]}, "providers: Required value"),
        ({"resources": [{"resources": ["secrets"], "providers": [{"kms": {}}]}]}, "kms: not supported"),
        ({"resources": [{"resources": ["secrets"], "providers": [{"aescbc": {}}]}]}, "keys: Required value"),
    ],
)
def test_a_wrong_configuration_is_explained(tmp_path: Path, document: dict[str, Any], words: str) -> None:
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
    file = tmp_path / "e.yaml"
    file.write_text(yaml.safe_dump({**head, **document} if "resources" in document else document))
    with pytest.raises(Fatal, match=words):
        load(file)


@pytest.mark.parametrize("secret", ["short", base64.b64encode(b"swordfish").decode()])
def test_messages_do_not_show_keys(tmp_path: Path, secret: str) -> None:
    with pytest.raises(Fatal) as failure:
        configured(tmp_path, entry("aescbc", ("k", secret)))
    assert secret not in str(failure.value)
    assert "resources[0].providers[0].aescbc.keys[0].secret" in str(failure.value)
