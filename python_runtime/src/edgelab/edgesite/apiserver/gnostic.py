"""An OpenAPI v2 document as `application/com.github.proto-openapi.spec.v2@v1.0+protobuf`.

kubectl and client-go read /openapi/v2 only in this form. The numbers of the fields are those of
gnostic's OpenAPIv2.proto; of its messages only those are written that the document uses.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

Obj = dict[str, Any]
Encode = Callable[[Any], bytes]


def document(openapi: Obj) -> bytes:
    """The message `Document`."""
    info = openapi["info"]
    return b"".join(
        (
            _text(1, openapi["swagger"]),
            _bytes(2, _text(1, info["title"]) + _text(2, info["version"])),
            _bytes(8, _named(2, openapi["paths"], _path)),
            _bytes(9, _named(1, openapi["definitions"], schema)),
        )
    )


def schema(raw: Obj) -> bytes:
    """The message `Schema`."""
    parts = [_SCHEMA[key](value) for key, value in raw.items() if key in _SCHEMA]
    return b"".join(parts) + _extensions(31, raw)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def _texts(number: int, values: Iterable[str]) -> bytes:
    return b"".join(_text(number, value) for value in values)


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(int(value))


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _any(value: Any) -> bytes:
    """`Any` holds YAML, and JSON is YAML."""
    return _bytes(2, msgspec.json.encode(value))


def _named(number: int, items: Obj, encode: Encode) -> bytes:
    """A map, as repeated pairs of name and value."""
    pairs = (_text(1, name) + _bytes(2, encode(value)) for name, value in items.items())
    return b"".join(_bytes(number, pair) for pair in pairs)


def _extensions(number: int, raw: Obj) -> bytes:
    return _named(number, {key: value for key, value in raw.items() if key.startswith("x-")}, _any)


def _types(value: str | list[str]) -> bytes:
    return _bytes(22, _texts(1, [value] if isinstance(value, str) else value))


def _additional(value: Obj | bool) -> bytes:
    return _bytes(21, _number(2, value) if isinstance(value, bool) else _bytes(1, schema(value)))


def _plain(number: int, write: Callable[[int, Any], bytes]) -> Encode:
    return lambda value: write(number, value)


_SCHEMA: dict[str, Encode] = {
    "$ref": _plain(1, _text),
    "format": _plain(2, _text),
    "title": _plain(3, _text),
    "description": _plain(4, _text),
    "default": lambda value: _bytes(5, _any(value)),
    "multipleOf": _plain(6, _double),
    "maximum": _plain(7, _double),
    "exclusiveMaximum": _plain(8, _number),
    "minimum": _plain(9, _double),
    "exclusiveMinimum": _plain(10, _number),
    "maxLength": _plain(11, _number),
    "minLength": _plain(12, _number),
    "pattern": _plain(13, _text),
    "maxItems": _plain(14, _number),
    "minItems": _plain(15, _number),
    "uniqueItems": _plain(16, _number),
    "maxProperties": _plain(17, _number),
    "minProperties": _plain(18, _number),
    "required": _plain(19, _texts),
    "enum": lambda values: b"".join(_bytes(20, _any(value)) for value in values),
    "additionalProperties": _additional,
    "type": _types,
    "items": lambda value: _bytes(23, _bytes(1, schema(value))),
    "allOf": lambda values: b"".join(_bytes(24, schema(value)) for value in values),
    "properties": lambda value: _bytes(25, _named(1, value, schema)),
}


def _path(item: Obj) -> bytes:
    numbers = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 7}
    verbs = b"".join(
        _bytes(number, _operation(item[verb])) for verb, number in numbers.items() if verb in item
    )
    return verbs + _parameters(9, item)


def _operation(operation: Obj) -> bytes:
    return b"".join(
        (
            _text(5, operation["operationId"]),
            _texts(6, operation.get("produces", ())),
            _texts(7, operation.get("consumes", ())),
            _parameters(8, operation),
            _bytes(9, _named(1, operation["responses"], _response)),
            _extensions(13, operation),
        )
    )


def _response(response: Obj) -> bytes:
    body = _text(1, response["description"])
    if "schema" in response:
        body += _bytes(2, _bytes(1, schema(response["schema"])))
    return _bytes(1, body)


def _parameters(number: int, holder: Obj) -> bytes:
    """Each is a ParametersItem of a Parameter: of the body, the query or the path."""
    found = (_parameter(item) for item in holder.get("parameters", ()))
    return b"".join(_bytes(number, _bytes(1, item)) for item in found)


def _parameter(item: Obj) -> bytes:
    if item["in"] == "body":
        body = _text(2, item["name"]) + _text(3, "body") + _number(4, item.get("required", False))
        return _bytes(1, body + _bytes(5, schema(item["schema"])))
    common = _number(1, item.get("required", False)) + _text(2, item["in"]) + _text(4, item["name"])
    if item["in"] == "path":
        return _bytes(2, _bytes(4, common + _text(5, item["type"]) + _number(19, 1)))
    return _bytes(2, _bytes(3, common + _text(6, item["type"]) + _number(20, 1)))
