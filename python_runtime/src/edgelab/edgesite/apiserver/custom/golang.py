"""Values as Go prints them in error messages (`fmt`, `strconv.Quote`, `encoding/json`)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

ESCAPES = {'"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r"}
ESCAPES |= {"\t": "\\t", "\v": "\\v"}
HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def quote(text: str) -> str:
    """`%q`."""
    return '"' + "".join(ESCAPES.get(char) or _printable(char) for char in text) + '"'


def _printable(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def number(value: float) -> str:
    """`%v` of a float64 or int64."""
    if isinstance(value, int):
        return str(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    if not isinstance(exponent, int):
        return {"F": "Inf", "n": "NaN"}.get(exponent, str(value))
    point = len(digits) + exponent - 1
    if -4 <= point < 6:
        return format(Decimal(repr(value)).normalize(), "f")
    text = "".join(map(str, digits))
    mantissa = text[0] + (f".{text[1:]}" if len(text) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{'-' if point < 0 else '+'}{abs(point):02d}"


def plain(value: Any) -> Any:
    """A value as Go's encoder of JSON writes it: whole floats lose their fraction."""
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e21:
            return int(Decimal(repr(value)))
        return value
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return plain(float(value))
    if isinstance(value, dict):
        # nearly all that an object holds is text
        return {key: inner if isinstance(inner, str) else plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


class Struct(dict[str, Any]):
    """An object whose fields stay in their order."""


def json(value: Any) -> str:
    """`json.Marshal`: keys of maps in order, HTML escaped."""
    return "".join(HTML.get(char, char) for char in _json(value))


def _json(value: Any) -> str:
    if isinstance(value, dict):
        names = value if isinstance(value, Struct) else sorted(value)
        return "{" + ",".join(f"{_json(name)}:{_json(value[name])}" for name in names) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_json, value)) + "]"
    return msgspec.json.encode(plain(value)).decode()


def bad_value(value: Any) -> str:
    """A value in a validation error (`field.Error.ErrorBody`)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, int | float):
        return number(value)
    return json(value)


def shown(value: Any) -> str:
    """Go's `%v`."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{shown(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(shown, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<nil>"
    return value if isinstance(value, str) else number(value)


def syntax(value: Any) -> str:
    """Go's `%#v`."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{quote(key)}:{syntax(value[key])}" for key in sorted(value))
        return f"map[string]interface {{}}{{{pairs}}}"
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(map(syntax, value))}}}"
    if value is None:
        return "interface {}(nil)"
    return quote(value) if isinstance(value, str) else shown(value)
