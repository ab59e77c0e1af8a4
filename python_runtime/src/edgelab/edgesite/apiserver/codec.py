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
HEADER = ("apiVersion", "kind", "metadata")
SCHEME = "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"
EXTENSIONS_SCHEME = "k8s.io/apiextensions-apiserver/pkg/apiserver/apiserver.go:55"
# versions that are no longer served, but still known to kube-apiserver
OLD_VERSIONS = {
    "apps": ("v1beta1", "v1beta2"),
    "batch": ("v1beta1",),
    "policy": ("v1beta1",),
    "extensions": ("v1beta1",),
    "networking.k8s.io": ("v1beta1",),
    "rbac.authorization.k8s.io": ("v1alpha1", "v1beta1"),
    "storage.k8s.io": ("v1alpha1", "v1beta1"),
    "scheduling.k8s.io": ("v1alpha1", "v1beta1"),
    "coordination.k8s.io": ("v1alpha2", "v1beta1"),
    "certificates.k8s.io": ("v1alpha1", "v1beta1"),
    "events.k8s.io": ("v1beta1",),
    "discovery.k8s.io": ("v1beta1",),
    "autoscaling": ("v2beta1", "v2beta2"),
}


def decode(data: bytes) -> Obj:
    """An encoded object of the store."""
    found: Obj = msgspec.json.decode(data)
    return found


def check_type(kind: Kind, obj: Any, kinds: Kinds) -> Obj:
    """The object, with kind and apiVersion set to what the path says. Raises ApiError 400."""
    try:
        return typed(kind, obj, kinds)
    except WrongType as error:
        raise ApiError(400, error.handled) from error


class WrongType(ValueError):
    """An object of another kind or version; `handled` says it of a whole request."""

    def __init__(self, message: str, handled: str = "") -> None:
        super().__init__(message)
        self.handled = handled or message


def typed(kind: Kind, obj: Any, kinds: Kinds) -> Obj:
    """The object with kind and apiVersion. Raises WrongType."""
    if not isinstance(obj, dict):
        raise WrongType(f'{kind.name} in version "{kind.resource.version}" cannot be handled as an object')
    found, version = obj.get("kind") or kind.name, obj.get("apiVersion") or kind.api_version
    if kind.custom is not None and (not obj.get("kind") or version == kind.api_version):
        objects.check_kind(kind, obj)
    if (found, version) != (kind.name, kind.api_version):
        raise _wrong_type(kind, found, version, kinds)
    metadata = obj.get("metadata")
    header = {"apiVersion": version, "kind": found, "metadata": {} if metadata is None else metadata}
    return {**obj, **header}  # in the order of the body: of several errors the first one counts


def _wrong_type(kind: Kind, found: str, version: str, kinds: Kinds) -> WrongType:
    group, _, number = version.rpartition("/")
    same_kind = found == kind.name and group == kind.group
    start = f'{found} in version "{number}" cannot be handled as a {kind.name}: '
    if kind.custom is not None:
        return WrongType(other_version(kind, version))
    if kinds.catalogue.kind(group, number, found) is None and number not in OLD_VERSIONS.get(group, ()):
        scheme = EXTENSIONS_SCHEME if kind.group == "apiextensions.k8s.io" else SCHEME
        text = f'no kind "{found}" is registered for version "{version}" in scheme "{scheme}"'
        return WrongType(text, start + text)
    if same_kind:
        return WrongType(other_version(kind, version))
    internal = kind.group.partition(".")[0] or "core"
    text = f"converting ({number}.{found}) to ({internal}.{kind.name}): unknown conversion"
    return WrongType(text, start + text)


def other_version(kind: Kind, version: str) -> str:
    """The words for an object of another version."""
    return (
        f"the API version in the data ({version}) does not match the expected API version"
        f" ({kind.api_version})"
    )


def conform(kind: Kind, obj: Obj, kinds: Kinds, context: Context) -> Obj:
    """The object with its fields checked against the type. Raises ApiError 400 for wrong types, and for
    unknown fields when validation is Strict; otherwise they are dropped (with a warning for Warn).
    """
    try:
        return fitting(kind, obj, kinds, context)
    except DecodeError as error:
        raise ApiError(400, f"{_handled(kind)}: {error}") from error


def fitting(kind: Kind, obj: Obj, kinds: Kinds, context: Context, *, unstructured: bool = False) -> Obj:
    """The same, raising DecodeError; with `unstructured` in the words of Go's converter of maps."""
    conformer = Conformer(unstructured=unstructured)
    if kind.custom is not None:
        obj = _conform_custom(kind, obj, kinds, conformer)
    elif kind.schema is not None:
        obj = conformer.root(obj, kind.schema, kind.name)
        obj["metadata"] = obj.get("metadata") or {}
        context.hollow = context.hollow or conformer.hollow
    obj = {**{key: obj[key] for key in HEADER}, **obj}
    unknown = [f'unknown field "{path}"' for path in conformer.unknown]
    if not (unknown or context.repeated):
        return obj
    ignored = {f'duplicate field "{path}"' for path in conformer.unknown}
    repeated, context.repeated = [text for text in context.repeated if text not in ignored], []
    if context.field_validation == "Strict":
        if repeated and repeated[0].startswith("line "):
            repeated = ["yaml: unmarshal errors:\n  " + "\n  ".join(repeated)]
        raise DecodeError(f"strict decoding error: {', '.join([*repeated, *unknown])}")
    if context.field_validation == "Warn":
        context.warnings += [*repeated, *unknown]
    return obj


def _handled(kind: Kind) -> str:
    return f'{kind.name} in version "{kind.resource.version}" cannot be handled as a {kind.name}'


def _conform_custom(kind: Kind, obj: Obj, kinds: Kinds, conformer: Conformer) -> Obj:
    return objects.conform(obj, kind.schema, kinds.catalogue.object_meta, conformer)


def hub(obj: Obj) -> Obj:
    """An object in the version that defaults, checks and the store know (Events have two)."""
    return autoscalers.to_v2(obj) if obj["apiVersion"] == autoscalers.V1 else obj


def served(obj: Obj, kind: Kind) -> Obj:
    """The same in the version that `kind` serves."""
    return autoscalers.to_v1(obj) if kind.api_version == autoscalers.V1 else obj


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
