"""ConfigMaps, Secrets, ServiceAccounts."""

from __future__ import annotations

import base64
from typing import Any

from edgelab.edgesite.apiserver import names, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, immutable, required, too_long
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.core.gojson import unmarshal_error
from edgelab.edgesite.apiserver.strategy import Strategy

Obj = dict[str, Any]

MAX_BYTES = 1 << 20
FROZEN = "field is immutable when `immutable` is set"
TOKEN_OF = "kubernetes.io/service-account.name"  # noqa: S105 - the name of an annotation
JSON_KEYS = {
    "kubernetes.io/dockercfg": ".dockercfg",
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
}


def secret_default(obj: Obj) -> None:
    """Type Opaque; stringData goes into data."""
    for key, text in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()
    if not obj.get("type"):
        obj["type"] = "Opaque"


def _size(data: Obj) -> int:
    """Bytes behind base64."""
    return sum(len(value) * 3 // 4 - value[-2:].count("=") for value in data.values() if value)


def config_map(obj: Obj) -> list[Cause]:
    """Keys and size of a ConfigMap."""
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    causes: list[Cause] = []
    for key in data:
        causes += checks.texts(names.config_key, key, f"data[{key}]")
        if key in binary:
            causes.append(bad(f"data[{key}]", key, "duplicate of key present in binaryData"))
    for key in binary:
        causes += checks.texts(names.config_key, key, f"binaryData[{key}]")
    if sum(len(value.encode()) for value in data.values()) + _size(binary) > MAX_BYTES:
        causes.append(too_long("", MAX_BYTES))
    return causes


def config_map_changed(new: Obj, old: Obj) -> list[Cause]:
    """An immutable ConfigMap stays as it is."""
    causes = objectmeta.changed(new, old) + _frozen(new, old, ("data", "binaryData"))
    return causes + objectmeta.of_kind(new, "", "ConfigMap") + config_map(new)


def _frozen(new: Obj, old: Obj, fields: tuple[str, ...]) -> list[Cause]:
    if not old.get("immutable"):
        return []
    causes = [] if new.get("immutable") else [forbidden("immutable", FROZEN)]
    changed = [field for field in fields if (new.get(field) or {}) != (old.get(field) or {})]
    return causes + [forbidden(field, FROZEN) for field in changed]


def secret(obj: Obj) -> list[Cause]:
    """Keys, size and what the type asks for."""
    data = obj.get("data") or {}
    causes: list[Cause] = []
    for key in data:
        causes += checks.texts(names.config_key, key, f"data[{key}]")
    if _size(data) > MAX_BYTES:
        causes.append(too_long("data", MAX_BYTES))
    return causes + _typed(obj, obj.get("type") or "", data)


def _typed(obj: Obj, kind: str, data: Obj) -> list[Cause]:
    if kind == "kubernetes.io/service-account-token":
        named = (obj["metadata"].get("annotations") or {}).get(TOKEN_OF)
        return [] if named else [required(f"metadata.annotations[{TOKEN_OF}]")]
    if kind in JSON_KEYS:
        return _document(data, JSON_KEYS[kind])
    if kind == "kubernetes.io/basic-auth" and not data.keys() & {"username", "password"}:
        return [required("data[username]"), required("data[password]")]
    if kind == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
        return [required("data[ssh-privatekey]")]
    if kind == "kubernetes.io/tls":
        return [required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in data]
    return []


def _document(data: Obj, key: str) -> list[Cause]:
    if key not in data:
        return [required(f"data[{key}]")]
    problem = unmarshal_error(base64.b64decode(data[key] or ""), "map[string]interface {}")
    return [bad(f"data[{key}]", "<secret contents redacted>", problem)] if problem else []


def secret_on_update(new: Obj, old: Obj) -> None:
    """A Secret whose type is left out keeps it."""
    if not new.get("type"):
        new["type"] = old.get("type") or "Opaque"


def secret_changed(new: Obj, old: Obj) -> list[Cause]:
    """The type of a Secret cannot change, and an immutable one cannot at all."""
    causes = objectmeta.changed(new, old)
    if (new.get("type") or "") != (old.get("type") or ""):
        causes.append(immutable("type", new.get("type") or ""))
    return causes + _frozen(new, old, ("data",)) + objectmeta.of_kind(new, "", "Secret") + secret(new)


def account_changed(new: Obj, old: Obj) -> list[Cause]:
    """Nothing but metadata is checked."""
    return objectmeta.changed(new, old) + objectmeta.of_kind(new, "", "ServiceAccount")


def account_prepared(obj: Obj) -> None:
    """Secrets are known by their names only."""
    if obj.get("secrets"):
        obj["secrets"] = [{"name": item["name"]} if item.get("name") else {} for item in obj["secrets"]]


CONFIG_MAP = Strategy(validate=config_map, validate_update=config_map_changed, has_generation=False)
SECRET = Strategy(
    default=secret_default,
    on_update=secret_on_update,
    validate=secret,
    validate_update=secret_changed,
    has_generation=False,
)
SERVICE_ACCOUNT = Strategy(
    on_create=account_prepared,
    on_update=lambda new, old: account_prepared(new),
    validate_update=account_changed,
    returns_deleted=True,
    has_generation=False,
)
