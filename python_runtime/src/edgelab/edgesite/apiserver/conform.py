"""Decode a built-in object as the Go types would: types checked, unknown fields dropped and reported."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from typing import Any

from edgelab.edgesite.apiserver.schema import Node
from edgelab.objects import quantity

JSON_NAMES = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
GO_SCALARS = {"string": "string", "boolean": "bool", "integer": "int64", "number": "float64"}
INT32 = range(-(2**31), 2**31)
INT64 = range(-(2**63), 2**63)


class DecodeError(ValueError):
    """The object cannot be decoded into its type; the message is the JSON decoder's."""


class Conformer:
    """One pass over one object; `unknown` collects the paths of fields that the type does not have."""

    def __init__(self) -> None:
        self.unknown: list[str] = []

    def value(self, value: Any, node: Node, path: str, owner: str) -> Any:
        """The value as it is kept. Raises DecodeError."""
        if node.name == QUANTITY:
            return _quantity(value, path, owner)
        if node.name == INT_OR_STRING:
            if isinstance(value, bool) or not isinstance(value, int | str):
                raise _mismatch(value, path, owner, "intstr.IntOrString")
            return value
        handler = _HANDLERS.get(node.type)
        return value if handler is None else handler(self, value, node, path, owner)

    def object(self, value: Any, node: Node, path: str, owner: str) -> Any:
        """An object: by its fields, or as a map."""
        if not isinstance(value, dict):
            raise _mismatch(value, path, owner, node.name.rpartition(".")[2] or _go_map(node))
        if node.free:
            return value
        values = node.values
        if values is not None:
            scalar = values.type in GO_SCALARS  # Go's decoder names no keys
            found = {
                key: self.value(inner, values, path if scalar else f"{path}.{key}", owner)
                for key, inner in value.items()
                if inner is not None or values.type in ("", "string")
            }
            return found or None
        owner = node.name.rpartition(".")[2] or owner
        result = {}
        for key, inner in value.items():
            field, full = node.field(key), f"{path}.{key}" if path else key
            if field is None:
                self.unknown.append(full)
            elif inner is not None or field.type == "":
                kept = self.value(inner, field, full, owner)
                if kept is None and key in (node.raw.get("required") or ()):
                    kept = inner  # empty, and always written
                if kept is not None or field.type == "":
                    result[key] = kept
        return result

    def array(self, value: Any, node: Node, path: str, owner: str) -> Any:
        """A list."""
        if not isinstance(value, list):
            raise _mismatch(value, path, owner, "[]" + _go_name(node.items))
        items = node.items
        if items is None:
            return value
        return [self.value(inner, items, f"{path}[{i}]", owner) for i, inner in enumerate(value)] or None

    def string(self, value: Any, node: Node, path: str, owner: str) -> Any:
        """A string, a time or base64."""
        if value is None:
            return ""
        if not isinstance(value, str):
            raise _mismatch(value, path, owner, "[]uint8" if node.raw.get("format") == "byte" else "string")
        if node.raw.get("format") == "byte":
            _check_base64(value)
        elif node.raw.get("format") == "date-time":
            return _time(value, node)
        return value

    def integer(self, value: Any, node: Node, path: str, owner: str) -> Any:
        """An integer of 32 or 64 bits."""
        wide = node.raw.get("format") != "int32"
        name = "int64" if wide else "int32"
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value not in (INT64 if wide else INT32):
            raise _mismatch(value, path, owner, name)
        return value

    def boolean(self, value: Any, node: Node, path: str, owner: str) -> Any:
        """True or false."""
        if not isinstance(value, bool):
            raise _mismatch(value, path, owner, "bool")
        return value


_HANDLERS = {
    "object": Conformer.object,
    "array": Conformer.array,
    "string": Conformer.string,
    "integer": Conformer.integer,
    "boolean": Conformer.boolean,
}


def _go_name(node: Node | None) -> str:
    return "interface {}" if node is None else node.name.rpartition(".")[2] or node.type


def _go_map(node: Node) -> str:
    """The Go type of a map."""
    if node.values is None:
        return "map[string]interface {}"
    return f"map[string]{GO_SCALARS.get(node.values.type) or _go_name(node.values)}"


def _mismatch(value: Any, path: str, owner: str, wanted: str) -> DecodeError:
    found = JSON_NAMES.get(type(value), "value")
    if found == "number" and wanted.startswith("int"):
        found = f"number {value}"
    return DecodeError(f"json: cannot unmarshal {found} into Go struct field {owner}.{path} of type {wanted}")


def _quantity(value: Any, path: str, owner: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _mismatch(value, path, owner, "resource.Quantity")
    try:
        return quantity.canonical(value)
    except ValueError as error:
        raise DecodeError(str(error)) from error


def _check_base64(value: str) -> None:
    try:
        base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except binascii.Error as error:
        raise DecodeError("illegal base64 data at input byte 0") from error


def _time(value: str, node: Node) -> str:
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError as error:
        raise DecodeError(
            f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}"'
        ) from error
    if moment.tzinfo is None:
        raise DecodeError(
            f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00"'
        )
    form = "%Y-%m-%dT%H:%M:%S.%fZ" if node.name.endswith("MicroTime") else "%Y-%m-%dT%H:%M:%SZ"
    return moment.astimezone(dt.UTC).strftime(form)
