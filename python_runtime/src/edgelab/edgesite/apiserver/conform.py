"""Decode a built-in object as the Go types would: types checked, unknown fields dropped and reported."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from functools import lru_cache
from typing import Any

from edgelab.edgesite.apiserver import gotime, gotypes
from edgelab.edgesite.apiserver.encoding import fresh
from edgelab.edgesite.apiserver.schema import INT_OR_STRING, QUANTITY, Node
from edgelab.objects import quantity

JSON_NAMES = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
GO_SCALARS = {"string": "string", "boolean": "bool", "integer": "int64", "number": "float64"}
EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
OR_ARRAY, OR_BOOL = f"{EXTENSIONS}JSONSchemaPropsOrArray", f"{EXTENSIONS}JSONSchemaPropsOrBool"
SCHEMAS = frozenset((OR_ARRAY, OR_BOOL))
KNOWN, SHORT = 1024, 32
"""So many times of so many characters are known: objects written one after another have the same ones."""
INT32 = range(-(2**31), 2**31)
INT64 = range(-(2**63), 2**63)
ZEROS: dict[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False}
BAD_QUANTITY = r"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


class DecodeError(ValueError):
    """The object cannot be decoded into its type; the message is the JSON decoder's."""


class Mismatch(DecodeError):
    """A value of another type. Go's decoder goes on after it, and says the first one at the end."""


class Conformer:
    """One pass over one object; `unknown` collects the paths of fields that the type does not have.

    `hollow` tells that there are lists or maps with nothing in them.
    """

    def __init__(self, *, unstructured: bool = False) -> None:
        self.unknown: list[str] = []
        self.hollow = False
        self._first: Mismatch | None = None
        self._unstructured = unstructured
        # where we are: a field is (name, its type's name), a key of a map (name,), an element its index
        self._way: list[tuple[str, ...] | int] = []

    def value(self, value: Any, node: Node, owner: str) -> Any:
        """The value as it is kept. Raises DecodeError."""
        if node.name == QUANTITY:
            return self._quantity(value)
        if node.name == INT_OR_STRING:
            if isinstance(value, int | str) and not isinstance(value, bool):
                return value
            raise DecodeError(str(self._mismatch(value, "int32")))
        handler = _HANDLERS.get(node.type)
        return value if handler is None else handler(self, value, node, owner)

    def root(self, value: Any, node: Node, name: str, *at: str) -> Any:
        """The whole of an object, or with `at` what lies below one of its fields."""
        self._way = [(field, name) for field in at]
        found = self.object(value, node, name)
        self._way = []
        if self._first is not None:
            raise self._first
        return found

    def _inner(self, value: Any, node: Node, owner: str) -> Any:
        """A value in an object or a list; a mismatch is remembered."""
        try:
            return self.value(value, node, owner)
        except Mismatch as error:
            if self._unstructured:
                raise
            self._first = self._first or error
            return None

    def object(self, value: Any, node: Node, owner: str) -> Any:
        """An object: by its fields, or as a map."""
        if not isinstance(value, dict):
            raise self._mismatch(value, gotypes.name(node, owner, self._field()))
        if node.free:
            return value
        if node.values is not None:
            return self._map(value, node.values, owner)
        return self._struct(value, node, node.name.rpartition(".")[2] or owner)

    def _struct(self, value: dict[str, Any], node: Node, owner: str) -> dict[str, Any]:
        way, omitted = self._way, node.encoding.omitted
        result: dict[str, Any] = {}
        for key, inner in value.items():
            field = node.field(key)
            if field is None:
                self.unknown.append(self.path(key))
            elif type(inner) is field.verbatim:  # in short what follows would do
                if inner or key not in omitted:
                    result[key] = inner
            elif inner is not None or field.type == "":
                way.append((key, owner))
                found = self._inner(inner, field, owner)
                if field.name in SCHEMAS:
                    found = self._schema(found, field, node, owner)
                way.pop()
                if found:
                    result[key] = found
                elif not _is_omitted(found, field, key, node):
                    result[key] = found
                    self.hollow = self.hollow or found in ([], {})
        for key, zero in node.encoding.filled:
            if key not in result:
                result[key] = fresh(zero)
        return result

    def _schema(self, value: Any, field: Node, node: Node, owner: str) -> Any:
        """`items` and `additionalProperties` of a schema are schemas as well; their decoder knows no more.

        What is none of either is nothing in `items`, and wrong in `additionalProperties` (`marshal.go`).
        """
        if field.name == OR_BOOL:
            if not isinstance(value, bool | dict | None):
                raise DecodeError("boolean or JSON schema expected")
        elif isinstance(value, list):
            return [self._schema(item, field, node, owner) or {} for item in value]
        if isinstance(value, dict):
            return self._nested(value, node, owner)
        return value if field.name == OR_BOOL else None

    def _nested(self, value: dict[str, Any], node: Node, owner: str) -> Any:
        inner = Conformer()
        inner._way = list(self._way)
        found = inner.object(value, node, owner)
        if inner._first is not None:
            raise DecodeError(str(inner._first))
        return found

    def _map(self, value: dict[str, Any], values: Node, owner: str) -> Any:
        way, result, verbatim = self._way, {}, values.verbatim
        for key, inner in value.items():
            if type(inner) is verbatim:
                result[key] = inner
                continue
            if inner is None:
                if values.type != "array" and values.name != QUANTITY:
                    result[key] = _zero(values)
                continue
            way.append((key,))
            result[key] = self._inner(inner, values, owner)
            way.pop()
        return result

    def array(self, value: Any, node: Node, owner: str) -> Any:
        """A list."""
        if not isinstance(value, list):
            raise self._mismatch(value, gotypes.name(node, owner, self._field()))
        items = node.items
        if items is None:
            return value
        way, result = self._way, []
        for position, inner in enumerate(value):
            way.append(position)
            result.append(_zero(items) if inner is None else self._inner(inner, items, owner))
            way.pop()
        return result

    def string(self, value: Any, node: Node, owner: str) -> Any:
        """A string, a time or base64."""
        form = node.raw.get("format")
        if form == "date-time":
            return self._time(value, node)
        if not isinstance(value, str):
            raise self._mismatch(value, "[]uint8" if form == "byte" else self._string())
        return _canonical_base64(value) if form == "byte" else value

    def integer(self, value: Any, node: Node, owner: str) -> Any:
        """An integer of 32 or 64 bits."""
        wide = node.raw.get("format") != "int32"
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value not in (INT64 if wide else INT32):
            raise self._mismatch(value, "int64" if wide else "int32")
        return value

    def number(self, value: Any, node: Node, owner: str) -> Any:
        """A number."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._mismatch(value, "float64")
        return value

    def boolean(self, value: Any, node: Node, owner: str) -> Any:
        """True or false."""
        if not isinstance(value, bool):
            raise self._mismatch(value, "bool")
        return value

    def path(self, *more: str) -> str:
        """Where we are, as strict decoding names it."""
        text = ""
        for part in (*self._way, *((key,) for key in more)):
            text += f"[{part}]" if isinstance(part, int) else f".{part[0]}"
        return text.removeprefix(".")

    def _field(self) -> str:
        """The name of the field that holds the value; empty for what lies in a list or a map."""
        last = self._way[-1] if self._way else ()
        return last[0] if isinstance(last, tuple) and len(last) == 2 else ""

    def _string(self) -> str:
        """The type of the text at this place."""
        inside = bool(self._way) and not self._field()
        fields = [part for part in self._way if isinstance(part, tuple) and len(part) == 2]
        return gotypes.string(fields[-1][1], fields[-1][0], inside=inside) if fields else "string"

    def _mismatch(self, value: Any, wanted: str) -> Mismatch:
        """Go names the innermost struct, and of the way only the fields."""
        if self._unstructured:
            return Mismatch(gotypes.not_restored(value, wanted))
        found = JSON_NAMES.get(type(value), "value")
        if found == "number" and wanted.startswith(("int", "float")):
            found = f"number {value}"
        fields = [part for part in self._way if isinstance(part, tuple) and len(part) == 2]
        if not fields:
            return Mismatch(f"json: cannot unmarshal {found} into Go value of type {wanted}")
        names = ".".join(gotypes.embedded(name, owner) for name, owner in fields)
        return Mismatch(
            f"json: cannot unmarshal {found} into Go struct field {fields[-1][1]}.{names} of type {wanted}"
        )

    def _quantity(self, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise DecodeError(BAD_QUANTITY)
        try:
            return quantity.canonical(value)
        except ValueError as error:
            raise DecodeError(str(error)) from error

    def _time(self, value: Any, node: Node) -> str:
        if not isinstance(value, str):
            raise DecodeError(str(self._mismatch(value, "string")))
        return _time(value, node)


_HANDLERS = {
    "object": Conformer.object,
    "array": Conformer.array,
    "string": Conformer.string,
    "integer": Conformer.integer,
    "number": Conformer.number,
    "boolean": Conformer.boolean,
}


def _is_omitted(value: Any, field: Node, key: str, node: Node) -> bool:
    """What is empty is left out where Go may (`omitempty`)."""
    if isinstance(value, list) or (isinstance(value, dict) and field.values is not None):
        return key != "managedFields" and key not in node.encoding.always  # an empty list resets them
    return key in node.encoding.omitted


def _zero(node: Node) -> Any:
    """What a null in a list or a map becomes."""
    return ZEROS.get(node.type, {} if node.type == "object" else None)


def _canonical_base64(value: str) -> str:
    text = value.replace("\n", "").replace("\r", "")
    try:
        return base64.b64encode(base64.b64decode(text.encode(), validate=True)).decode()
    except binascii.Error as error:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        whole = len(value) - len(text) % 4  # where the last group of four begins
        wrong = next((i for i, found in enumerate(value) if found not in alphabet + "\r\n"), whole)
        raise Mismatch(f"illegal base64 data at input byte {wrong}") from error


def _time(value: str, node: Node) -> str:
    micro = node.name.endswith("MicroTime")
    try:
        return _known_time(value, micro) if len(value) <= SHORT else _canonical_time(value, micro)
    except ValueError as error:
        raise DecodeError(str(error)) from error


def _canonical_time(value: str, micro: bool) -> str:
    moment = gotime.parse(value, micro=micro)
    form = "%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ"
    return moment.astimezone(dt.UTC).strftime(form)


_known_time = lru_cache(maxsize=KNOWN)(_canonical_time)
