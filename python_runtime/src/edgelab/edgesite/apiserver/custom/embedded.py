"""Resources inside of custom objects: their type and their metadata (`apiserver/schema/objectmeta`)."""

from __future__ import annotations

import re
from typing import Any

from edgelab.edgesite.apiserver import names, objectmeta
from edgelab.edgesite.apiserver.conform import Conformer, DecodeError
from edgelab.edgesite.apiserver.custom.errors import Cause, child, invalid, key, required
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.schema import Node
from edgelab.kube.interface import Resource

Obj = dict[str, Any]

SEGMENTS = Kind(Resource("rbac.authorization.k8s.io", "v1", "roles", "Role"), None, "role")
"""Any name that fits into a path is good enough for an embedded resource."""


def coerce(value: Any, node: Node | None, metadata: Node, unknown: list[str], path: str = "") -> None:
    """Bring embedded metadata into its form; unknown fields go. Raises DecodeError."""
    if node is None:
        return
    if isinstance(value, dict):
        if node.embedded:
            _coerce_one(value, metadata, unknown, path)
        for name, inner in value.items():
            coerce(inner, node.field(name) or node.values, metadata, unknown, child(path, name))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            coerce(inner, node.items, metadata, unknown, f"{path}[{position}]")


def _coerce_one(value: Obj, metadata: Node, unknown: list[str], path: str) -> None:
    for name in ("apiVersion", "kind"):
        if name in value and not isinstance(value[name], str):
            cause = invalid(child(path, name), value[name], "must be a string")
            raise DecodeError(f"{cause.field}: {cause.message}")
    if "metadata" not in value:
        return
    conformer = Conformer()
    full = child(path, "metadata")
    try:
        found = conformer.root(value["metadata"] or {}, metadata, "ObjectMeta")
    except DecodeError as error:
        cause = invalid(full, value["metadata"], str(error))
        raise DecodeError(f"{cause.field}: {cause.message}") from error
    unknown += [f"{full}.{name}" for name in conformer.unknown]
    value["metadata"] = found


def validate(value: Any, node: Node | None, path: str = "") -> list[Cause]:
    """What is wrong with embedded resources, anywhere below."""
    causes: list[Cause] = []
    if node is None:
        return causes
    if isinstance(value, dict):
        if node.embedded:
            causes += _validate_one(value, path)
        for name in sorted(value):
            field = node.field(name)
            where = child(path, name) if field is not None else key(path, name)
            causes += validate(value[name], field or node.values, where)
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            causes += validate(inner, node.items, f"{path}[{position}]")
    return causes


def _validate_one(value: Obj, path: str) -> list[Cause]:
    causes = [required(child(path, name)) for name in ("apiVersion", "kind") if name not in value]
    version, kind = value.get("apiVersion"), value.get("kind")
    if version is not None:
        where = child(path, "apiVersion")
        if not isinstance(version, str):
            causes.append(invalid(where, version, "must be a string"))
        elif not version:
            causes.append(invalid(where, version, "must not be empty"))
        elif version.count("/") > 1:
            causes.append(invalid(where, version, f"unexpected GroupVersion string: {version}"))
    if kind is not None:
        where = child(path, "kind")
        if not isinstance(kind, str):
            causes.append(invalid(where, kind, "must be a string"))
        elif not kind:
            causes.append(invalid(where, kind, "must not be empty"))
        elif problems := names.service_label(kind.lower()):
            text = "may have mixed case, but should otherwise match: " + ",".join(problems)
            causes.append(invalid(where, kind, text))
    if isinstance(value.get("metadata"), dict):
        causes += _metadata(value["metadata"], path)
    return causes


def _metadata(metadata: Obj, path: str) -> list[Cause]:
    obj = {"metadata": {**metadata, "name": metadata.get("name") or "fakename"}}
    return [
        Cause(re.sub("^metadata", child(path, "metadata"), cause.field), cause.reason, cause.message)
        for cause in objectmeta.validate(obj, SEGMENTS)
    ]
