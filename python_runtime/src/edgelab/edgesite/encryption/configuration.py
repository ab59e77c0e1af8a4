"""Reads `EncryptionConfiguration` (apiserver.config.k8s.io/v1) and says what is wrong with it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.encryption.providers import (
    AES_SIZES,
    SECRETBOX_SIZES,
    AesCbc,
    AesGcm,
    Identity,
    Key,
    Provider,
    Secretbox,
)

API_VERSIONS = ("apiserver.config.k8s.io/v1", "v1")
KIND = "EncryptionConfiguration"
KEYED: dict[str, tuple[Callable[[tuple[Key, ...]], Provider], tuple[int, ...]]] = {
    "aescbc": (AesCbc, AES_SIZES),
    "aesgcm": (AesGcm, AES_SIZES),
    "secretbox": (Secretbox, SECRETBOX_SIZES),
}


class Rule(NamedTuple):
    """Which resources (`secrets`, `*.apps`, `*.*`) are kept by which providers; the first one writes."""

    resources: tuple[str, ...]
    providers: tuple[Provider, ...]


def load(path: Path) -> tuple[Rule, ...]:
    """The rules of a file. Raises Fatal that names the field."""
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise Fatal(f"cannot read --encryption-provider-config {path}: {error.strerror}", code=2) from error
    except (yaml.YAMLError, UnicodeDecodeError):
        raise Fatal(f"{path} is no YAML", code=2) from None  # the parser would quote the keys
    try:
        return _rules(document)
    except _Wrong as error:
        raise Fatal(f"{path}: {error}", code=2) from error


class _Wrong(ValueError):
    pass


def _rules(document: Any) -> tuple[Rule, ...]:
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise _Wrong(f"kind must be {KIND}")
    if document.get("apiVersion") not in API_VERSIONS:
        raise _Wrong(f"apiVersion must be {API_VERSIONS[0]}")
    entries = _list(document.get("resources"), "resources")
    return tuple(_rule(entry, f"resources[{place}]") for place, entry in enumerate(entries))


def _list(value: Any, field: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise _Wrong(f"{field}: Required value: at least one {field} is required")
    return value


def _rule(entry: Any, field: str) -> Rule:
    if not isinstance(entry, dict):
        raise _Wrong(f"{field}: must be an object")
    resources = _list(entry.get("resources"), f"{field}.resources")
    for place, name in enumerate(resources):
        _check_resource(name, f"{field}.resources[{place}]")
    if len(set(resources)) != len(resources):
        raise _Wrong(f"{field}.resources: the same resource cannot be specified multiple times")
    providers = _list(entry.get("providers"), f"{field}.providers")
    found = tuple(_provider(item, f"{field}.providers[{place}]") for place, item in enumerate(providers))
    return Rule(tuple(resources), found)


def _check_resource(name: Any, field: str) -> None:
    if not isinstance(name, str) or not name:
        raise _Wrong(f"{field}: must be the name of a resource")
    if name != name.lower():
        raise _Wrong(f"{field}: resource name should not contain capital letters")
    if name == "*":
        text = "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
        raise _Wrong(f"{field}: {text}")
    resource, _, group = name.partition(".")
    if group == "*" and resource != "*":
        raise _Wrong(f"{field}: encrypting the same resource across groups is not supported")


def _provider(entry: Any, field: str) -> Provider:
    if not isinstance(entry, dict) or len(entry) != 1:
        text = "one provider in a list element: aescbc, aesgcm, secretbox or identity"
        raise _Wrong(f"{field}: {text}")
    ((name, settings),) = entry.items()
    if name == "identity":
        return Identity()
    if name not in KEYED:
        raise _Wrong(f"{field}.{name}: not supported; use aescbc, aesgcm, secretbox or identity")
    make, sizes = KEYED[name]
    keys = _list((settings or {}).get("keys"), f"{field}.{name}.keys")
    return make(tuple(_key(key, f"{field}.{name}.keys[{i}]", sizes) for i, key in enumerate(keys)))


def _key(entry: Any, field: str, sizes: tuple[int, ...]) -> Key:
    """No message shows the secret."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"]:
        raise _Wrong(f"{field}.name: name is a mandatory field for a key")
    try:
        secret = base64.b64decode(str(entry.get("secret") or ""), validate=True)
    except (binascii.Error, ValueError):
        raise _Wrong(f"{field}.secret: secrets must be base64 encoded") from None
    if len(secret) not in sizes:
        expected = " ".join(map(str, sizes))
        text = f"secret is not of the expected length, got {len(secret)}, expected one of [{expected}]"
        raise _Wrong(f"{field}.secret: {text}")
    return Key(entry["name"], secret)
