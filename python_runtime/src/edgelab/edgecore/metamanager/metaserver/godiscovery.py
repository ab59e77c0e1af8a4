"""Discovery as a Go CloudCore hands it on: Kubernetes protobuf, which JSON clients cannot read.

Facts: apimachinery `pkg/runtime/serializer/protobuf`, `pkg/apis/meta/v1/generated.proto`. Only the four
messages of discovery are known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

MAGIC = b"k8s\x00"


class Field(NamedTuple):
    """A field of a message: its JSON name, how its bytes are read, and whether there may be many."""

    name: str
    read: Callable[[Any], Any]
    many: bool = False


Message = dict[int, Field]


def _text(value: Any) -> str:
    return bytes(value).decode()


def _of(message: Message) -> Callable[[Any], Any]:
    return lambda value: read(message, bytes(value))


def _verbs(value: Any) -> list[str]:
    return [_text(item) for number, item in fields(bytes(value)) if number == 1]


_VERSION: Message = {1: Field("groupVersion", _text), 2: Field("version", _text)}
_ADDRESS: Message = {1: Field("clientCIDR", _text), 2: Field("serverAddress", _text)}
_GROUP: Message = {
    1: Field("name", _text),
    2: Field("versions", _of(_VERSION), many=True),
    3: Field("preferredVersion", _of(_VERSION)),
    4: Field("serverAddressByClientCIDRs", _of(_ADDRESS), many=True),
}
_RESOURCE: Message = {
    1: Field("name", _text),
    2: Field("namespaced", bool),
    3: Field("kind", _text),
    4: Field("verbs", _verbs),
    5: Field("shortNames", _text, many=True),
    6: Field("singularName", _text),
    7: Field("categories", _text, many=True),
    8: Field("group", _text),
    9: Field("version", _text),
    10: Field("storageVersionHash", _text),
}
_KINDS: dict[str, Message] = {
    "APIGroup": _GROUP,
    "APIGroupList": {1: Field("groups", _of(_GROUP), many=True)},
    "APIResourceList": {
        1: Field("groupVersion", _text),
        2: Field("resources", _of(_RESOURCE), many=True),
    },
    "APIVersions": {
        1: Field("versions", _text, many=True),
        2: Field("serverAddressByClientCIDRs", _of(_ADDRESS), many=True),
    },
}


def as_json(data: bytes) -> bytes:
    """The JSON of an answer to discovery. Raises ValueError for what is none of it."""
    envelope = dict(fields(data.removeprefix(MAGIC)))
    meta = {number: _text(value) for number, value in fields(bytes(envelope.get(1, b"")))}
    kind = meta.get(2, "")
    if kind not in _KINDS:
        raise ValueError(f"protobuf of kind {kind!r} is no discovery")
    found = read(_KINDS[kind], bytes(envelope.get(2, b"")))
    return msgspec.json.encode({"kind": kind, "apiVersion": meta.get(1) or "v1", **found})


def read(message: Message, data: bytes) -> dict[str, Any]:
    """A message as plain data: lists are there even when empty, other fields when they were sent."""
    found: dict[str, Any] = {field.name: [] for field in message.values() if field.many}
    for number, value in fields(data):
        field = message.get(number)
        if field is None:
            continue
        if field.many:
            found[field.name].append(field.read(value))
        else:
            found[field.name] = field.read(value)
    return found


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a message: a number, or bytes. Raises ValueError."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
        elif tag & 7 == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("the message is cut short")
            yield tag >> 3, data[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {tag & 7} has no place in discovery")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("the message is cut short")
