"""Objects in and out: JSON bytes, the checks of decoding, and conversion between served versions."""

from __future__ import annotations

from typing import Any

import msgspec

from edgelab.edgesite.apiserver import autoscalers
from edgelab.edgesite.apiserver.builtin import EVENTS_BUCKET
from edgelab.edgesite.apiserver.conform import Conformer, DecodeError
from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.custom import conversion, objects
from edgelab.edgesite.apiserver.kinds import Kind, Kinds
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

encode = msgspec.json.encode
MAX_REPORTED = 10


def decode(data: bytes) -> Obj:
    """An encoded object of the store."""
    found: Obj = msgspec.json.decode(data)
    return found


def check_type(kind: Kind, obj: Any, kinds: Kinds) -> Obj:
    """The object, with kind and apiVersion set to what the path says. Raises ApiError 400."""
    if not isinstance(obj, dict):
        raise ApiError(
            400, f'{kind.name} in version "{kind.resource.version}" cannot be handled as an object'
        )
    found, version = obj.get("kind") or kind.name, obj.get("apiVersion") or kind.api_version
    if kind.custom is not None:
        objects.check_kind(kind, obj)
    if found != kind.name:
        raise ApiError(400, _wrong_kind(kind, found, version, kinds))
    if version != kind.api_version:
        raise ApiError(
            400,
            f"the API version in the data ({version}) does not match the expected API version"
            f" ({kind.api_version})",
        )
    rest = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
    return {"apiVersion": version, "kind": found, "metadata": obj.get("metadata") or {}, **rest}


def _wrong_kind(kind: Kind, found: str, version: str, kinds: Kinds) -> str:
    group, _, number = version.rpartition("/")
    if kinds.catalogue.kind(group, number, found) is None:
        scheme = "pkg/api/legacyscheme/scheme.go"
        return f'no kind "{found}" is registered for version "{version}" in scheme "{scheme}"'
    internal = kind.group.partition(".")[0] or "core"
    return (
        f'{found} in version "{number}" cannot be handled as a {kind.name}: converting'
        f" ({group.partition('.')[0] or ''}{number}.{found}) to ({internal}.{kind.name}): unknown conversion"
    )


def conform(kind: Kind, obj: Obj, kinds: Kinds, context: Context) -> Obj:
    """The object with its fields checked against the type. Raises ApiError 400 for wrong types, and for
    unknown fields when validation is Strict; otherwise they are dropped (with a warning for Warn).
    """
    conformer = Conformer()
    try:
        if kind.custom is not None:
            obj = _conform_custom(kind, obj, kinds, conformer)
        elif kind.schema is not None:
            obj = conformer.object(obj, kind.schema, "", kind.name)
            obj["metadata"] = obj.get("metadata") or {}
    except DecodeError as error:
        raise ApiError(400, f"{_handled(kind)}: {error}") from error
    unknown = [f'unknown field "{path}"' for path in conformer.unknown]
    if unknown and context.field_validation == "Strict":
        raise ApiError(400, f"{_handled(kind)}: strict decoding error: {', '.join(unknown[:MAX_REPORTED])}")
    if context.field_validation == "Warn":
        context.warnings += unknown[:MAX_REPORTED]
    return obj


def _handled(kind: Kind) -> str:
    return f'{kind.name} in version "{kind.resource.version}" cannot be handled as a {kind.name}'


def _conform_custom(kind: Kind, obj: Obj, kinds: Kinds, conformer: Conformer) -> Obj:
    return objects.conform(obj, kind.schema, kinds.catalogue.object_meta, conformer)


def hub(obj: Obj) -> Obj:
    """An object in the version that defaults, checks and the store know (Events have two)."""
    return autoscalers.to_v2(obj) if obj["apiVersion"] == autoscalers.V1 else obj


def convert(data: bytes, kind: Kind) -> bytes:
    """Stored bytes in the version that `kind` serves."""
    if kind.bucket == EVENTS_BUCKET and kind.group:
        return encode(_event_to_v1(decode(data)))
    if kind.api_version == autoscalers.V1:
        return encode(autoscalers.to_v1(decode(data)))
    return data if kind.custom is None else conversion.read(data, kind)


def needs_conversion(kind: Kind) -> bool:
    """Whether stored bytes differ from what `kind` serves."""
    if kind.custom is not None:
        return not conversion.is_direct(kind)
    return kind.storage_api_version != kind.api_version


def to_storage(obj: Obj, kind: Kind) -> Obj:
    """An object of a served version as it is stored."""
    if kind.bucket == EVENTS_BUCKET and kind.group:
        return _event_to_core(obj)
    if kind.custom is not None:
        return conversion.write(obj, kind)
    if kind.storage_api_version != kind.api_version:
        return {**obj, "apiVersion": kind.storage_api_version}
    return obj


EVENT_FIELDS = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}


def _event_to_v1(obj: Obj) -> Obj:
    names = {old: new for new, old in EVENT_FIELDS.items()}
    return {names.get(key, key): value for key, value in obj.items()} | {"apiVersion": "events.k8s.io/v1"}


def _event_to_core(obj: Obj) -> Obj:
    return {EVENT_FIELDS.get(key, key): value for key, value in obj.items()} | {"apiVersion": "v1"}
