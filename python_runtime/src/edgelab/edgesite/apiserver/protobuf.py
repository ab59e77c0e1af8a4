"""Built-in objects as Go's typed clients send them: `application/vnd.kubernetes.protobuf`.

The body is `k8s\\0` and a runtime.Unknown; its `raw` is the message of the kind. The numbers of the
fields come from the catalogue (`PROTOBUF`). Go writes every field that is no pointer, even when it is
zero; those are left out, as JSON's `omitempty` would.
"""

from __future__ import annotations

import base64
import datetime as dt
import struct
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from edgelab.edgesite.apiserver.schema import Catalogue

Obj = dict[str, Any]
Table = dict[str, dict[str, tuple[str, str, str]]]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
# Pointers in Go: sent only when they are set, so a zero means what it says.
KEPT_WHEN_ZERO = frozenset(
    {
        "activeDeadlineSeconds",
        "allowPrivilegeEscalation",
        "automountServiceAccountToken",
        "backoffLimit",
        "blockOwnerDeletion",
        "completions",
        "controller",
        "defaultMode",
        "enableServiceLinks",
        "failedJobsHistoryLimit",
        "gracePeriodSeconds",
        "immutable",
        "mode",
        "optional",
        "orphanDependents",
        "parallelism",
        "partition",
        "port",
        "privileged",
        "readOnlyRootFilesystem",
        "replicas",
        "revisionHistoryLimit",
        "runAsGroup",
        "runAsNonRoot",
        "runAsUser",
        "storageClassName",
        "successfulJobsHistoryLimit",
        "suspend",
        "terminationGracePeriodSeconds",
        "tolerationSeconds",
        "ttlSecondsAfterFinished",
        "value",
    }
)
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class ProtobufError(ValueError):
    """A body that is no such message."""


class Decoder:
    """Decodes objects by the catalogue's tables."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._table: Table = {}

    def decode(self, body: bytes) -> Obj:
        """The object, as it would have come in JSON. Raises ProtobufError."""
        if not body.startswith(MAGIC):
            raise ProtobufError(
                "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
            )
        if not self._table:
            self._table = self._catalogue.protobuf()
        try:
            return self._unknown(body[len(MAGIC) :])
        except (IndexError, struct.error, UnicodeDecodeError, msgspec.DecodeError) as error:
            raise ProtobufError(f"the message ends early or is not well formed: {error}") from error

    def _unknown(self, body: bytes) -> Obj:
        """runtime.Unknown: typeMeta = 1, raw = 2."""
        parts = {number: value for number, _, value in _fields(body)}
        meta = {number: value.decode() for number, _, value in _fields(parts.get(1, b""))}
        version, kind = meta.get(1, ""), meta.get(2, "")
        group, _, number = version.rpartition("/")
        name = self._catalogue.kinds.get(f"{group}/{number}/{kind}")
        if name is None or name not in self._table:
            raise ProtobufError(f'no kind "{kind}" is registered for version "{version}"')
        return {"apiVersion": version, "kind": kind, **self._message(parts.get(2, b""), name)}

    def _message(self, body: bytes, name: str) -> Obj:
        result: Obj = {}
        table = self._table[name]
        for number, _, value in _fields(body):
            field = table.get(str(number))
            if field is None:
                continue
            key, kind, how = field
            if how == "map":
                self._entry(value, kind, result.setdefault(key, {}))
            elif how == "many":
                result.setdefault(key, []).append(self._value(value, kind))
            elif how == "inline":
                result.update(self._message(value, kind))
            else:
                decoded = self._value(value, kind)
                if (decoded or isinstance(decoded, dict) or key in KEPT_WHEN_ZERO) and decoded is not None:
                    result[key] = decoded
        return result

    def _entry(self, body: bytes, kind: str, target: Obj) -> None:
        key, value = "", self._value(b"", kind) if kind == "string" else None
        for number, _, inner in _fields(body):
            if number == 1:
                key = inner.decode()
            else:
                value = self._value(inner, kind)
        target[key] = value

    def _value(self, value: Any, kind: str) -> Any:
        scalar = _SCALARS.get(kind) or _SPECIAL.get(kind.rpartition(".")[2])
        if scalar is not None:
            return scalar(value)
        table = self._table.get(kind)
        if table is None:
            return None
        message = self._message(value, kind)
        wrapped = [entry[0] for entry in table.values()] == ["items"]
        return message.get("items", []) if wrapped else message


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _fields(body: bytes) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value) of a message."""
    position = 0
    while position < len(body):
        tag, position = _varint(body, position)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, position = _varint(body, position)
            yield number, wire, value
            continue
        if wire == BYTES:
            length, position = _varint(body, position)
        elif wire in (FIXED64, FIXED32):
            length = 8 if wire == FIXED64 else 4
        else:
            raise IndexError(f"wire type {wire}")
        if position + length > len(body):
            raise IndexError("length beyond the end")
        yield number, wire, body[position : position + length]
        position += length


def _varint(body: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = body[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & (1 << 64) - 1, position
        shift += 7
        if shift > 63:
            raise IndexError("varint too long")


def _by_number(body: bytes) -> dict[int, Any]:
    return {number: value for number, _, value in _fields(body)}


def _time(body: bytes) -> str | None:
    parts = _by_number(body)
    if not parts:
        return None
    moment = dt.datetime.fromtimestamp(_signed(parts.get(1, 0)), dt.UTC)
    return moment.replace(microsecond=parts.get(2, 0) // 1000).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _quantity(body: bytes) -> str:
    text: bytes = _by_number(body).get(1, b"0")
    return text.decode()


def _int_or_string(body: bytes) -> int | str:
    parts = _by_number(body)
    if parts.get(1, 0):
        return str(parts.get(3, b"").decode())
    return _signed(parts.get(2, 0))


def _raw(body: bytes) -> Any:
    raw = _by_number(body).get(1, b"")
    return msgspec.json.decode(raw) if raw else None


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "string": lambda value: value.decode(),
    "bytes": lambda value: base64.b64encode(value).decode(),
    "bool": bool,
    "int": _signed,
    "double": lambda value: struct.unpack("<d", value)[0],
}
_SPECIAL: dict[str, Callable[[Any], Any]] = {
    "FieldsV1": _raw,
    "IntOrString": _int_or_string,
    "MicroTime": _time,
    "Quantity": _quantity,
    "RawExtension": _raw,
    "Time": _time,
}
