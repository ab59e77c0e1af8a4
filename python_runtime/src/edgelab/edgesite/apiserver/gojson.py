"""JSON as Go's encoding/json reads it: its words for what is wrong, its way with repeated keys.

Bytes that are no UTF-8 and halves of surrogates become U+FFFD, a key that is repeated merges objects
(as they are decoded into the same struct or map), and NaN is no value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

MAX_DEPTH = 10_000
SHALLOW = 500
"""With no more brackets than that no decoder finds a text nested too deeply."""
Pairs = list[tuple[str, Any]]
FIND_KIND = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)
NAMES = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_KEY = "looking for beginning of object key string"
_WHERE = {
    "Invalid control": "in string literal",
    "Extra data": "after top-level value",
    "Expecting ':'": "after object key",
}
_LITERALS = {"t": "true", "f": "false", "n": "null"}


class JsonError(ValueError):
    """Text that is no JSON; the message is Go's."""


class Repeated(dict[str, Any]):
    """An object in which keys were repeated: all its `pairs`, as they came."""

    pairs: Pairs


def decode(raw: bytes, seen: list[bool] | None = None, *, merge: bool = True) -> Any:
    """The value. Objects with repeated keys are `Repeated`, and `seen` gets one True for each.

    Raises JsonError.
    """
    plain = _plain(raw)
    if plain is not None:
        return plain
    text = raw.decode(errors="replace")
    if "\\ud" in text or "\\uD" in text:
        return _clean(_load(raw, text, seen, merge))
    return _load(raw, text, seen, merge)


def _plain(raw: bytes) -> Any:
    """The value of a text in the form in which programs write JSON, or None.

    Nothing is odd about a text that is what its value is encoded to: no key is repeated in it, and no
    number or character is written in a way that decoders read differently. msgspec takes a fifth of the time.
    """
    if raw.count(b"{") + raw.count(b"[") > SHALLOW:
        return None
    try:
        value = msgspec.json.decode(raw)
        return value if msgspec.json.encode(value) == raw.rstrip(b" \t\r\n") else None
    except (msgspec.DecodeError, ValueError, OverflowError):
        return None


def _load(raw: bytes, text: str, seen: list[bool] | None, merge: bool) -> Any:
    def make(pairs: Pairs) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        if seen is not None:
            seen.append(True)
        return _repeated(pairs, merge)

    try:
        return json.loads(text, object_pairs_hook=make, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise JsonError(_wrong(raw, text, error)) from error
    except _Constant as error:
        raise JsonError(f"invalid character '{str(error)[0]}' looking for beginning of value") from error
    except RecursionError as error:
        raise JsonError(f"invalid character '{_deepest(text)}' exceeded max depth") from error


def _deepest(text: str) -> str:
    """The bracket at which a text is nested too deeply for Go, or the last one that opens."""
    depth, last = 0, "{"
    for bracket in re.findall(r"[\[\]{}]", _STRING.sub("", text)):
        if bracket in "]}":
            depth -= 1
            continue
        depth, last = depth + 1, bracket
        if depth > MAX_DEPTH:
            break
    return str(last)


class _Constant(Exception):
    pass


def _constant(name: str) -> Any:
    if name == "-Infinity":
        raise JsonError("invalid character 'I' in numeric literal")
    raise _Constant(name)


def _repeated(pairs: Pairs, merge: bool) -> Repeated:
    found = Repeated()
    found.pairs = pairs
    for key, value in pairs:
        before = found.get(key)
        both = merge and isinstance(value, dict) and isinstance(before, dict)
        found[key] = _merged(before, value) if both and before is not None else value
    return found


def _merged(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    both = dict(left)
    for key, value in right.items():
        mine = both.get(key)
        both[key] = _merged(mine, value) if isinstance(mine, dict) and isinstance(value, dict) else value
    return both


def _clean(node: Any) -> Any:
    """Without halves of surrogates: they are no text."""
    if isinstance(node, str):
        return _SURROGATE.sub("\ufffd", node)
    if isinstance(node, list):
        return [_clean(item) for item in node]
    if isinstance(node, dict):
        found = {_clean(key): _clean(value) for key, value in node.items()}
        if isinstance(node, Repeated):
            again = Repeated(found)
            again.pairs = node.pairs
            return again
        return found
    return node


def duplicates(node: Any, path: str = "") -> Iterable[str]:
    """The paths of repeated keys, as strict decoding names them."""
    if isinstance(node, dict):
        seen: dict[str, int] = {}
        for key, value in node.pairs if isinstance(node, Repeated) else node.items():
            inner = f"{path}.{key}" if path else key
            yield from duplicates(value, inner)
            seen[key] = seen.get(key, 0) + 1
            if seen[key] == 2:
                yield inner
    elif isinstance(node, list):
        for position, item in enumerate(node):
            yield from duplicates(item, f"{path}[{position}]")


def find_kind(value: Any) -> tuple[str, str]:
    """apiVersion and kind. Raises JsonError."""
    if value is None:
        return "", ""
    if not isinstance(value, dict):
        raise JsonError(f"json: cannot unmarshal {NAMES[type(value)]} into Go value of type {FIND_KIND}")
    for name in ("apiVersion", "kind"):
        found = value.get(name)
        if found is not None and not isinstance(found, str):
            kind = NAMES[type(found)]
            raise JsonError(f"json: cannot unmarshal {kind} into Go struct field .{name} of type string")
    return value.get("apiVersion") or "", value.get("kind") or ""


def summary(raw: bytes) -> str:
    """The beginning of a body, as errors quote it."""
    if not raw:
        return "<empty>"
    start, more = raw[:30], " ..." if len(raw) > 30 else ""
    return (start.decode(errors="replace") if raw[:1] == b"{" else start.hex()) + more


def _wrong(raw: bytes, text: str, error: json.JSONDecodeError) -> str:
    """Go's words for what Python's decoder found; of bytes that are no text it names the first."""
    if "\ufffd" not in text:
        return _message(text, error)
    text = raw.decode(errors="surrogateescape")
    try:
        json.loads(text)
    except json.JSONDecodeError as found:
        error = found
    return _message(text, error)


def _message(text: str, error: json.JSONDecodeError) -> str:
    """Go's words for what Python's decoder found."""
    position, found = error.pos, error.msg
    if found.startswith("Invalid \\"):
        return _escape(text, position)
    if found.startswith("Unexpected UTF-8 BOM"):
        return "invalid character 'ï' looking for beginning of value"
    if found.startswith("Unterminated") or position >= len(text.rstrip(" \t\r\n")):
        return "unexpected end of JSON input"
    if found.startswith("Expecting value"):
        return _value(text, position)
    number = text[position] in ".eE" and text[position - 1 : position].isdecimal()
    if found.startswith("Expecting ','") or (number and found.startswith("Extra data")):
        return _separator(text, position)
    where = next((words for start, words in _WHERE.items() if found.startswith(start)), _KEY)
    return f"invalid character {quote(text[position])} {where}"


def _value(text: str, position: int) -> str:
    found = text[position]
    word = _LITERALS.get(found)
    if found == "-":
        return f"invalid character {quote(text[position + 1 : position + 2] or ' ')} in numeric literal"
    if word is None:
        return f"invalid character {quote(found)} looking for beginning of value"
    for offset, wanted in enumerate(word):
        if text[position + offset : position + offset + 1] != wanted:
            other = quote(text[position + offset : position + offset + 1] or " ")
            return f"invalid character {other} in literal {word} (expecting '{wanted}')"
    return "unexpected end of JSON input"


def _separator(text: str, position: int) -> str:
    shown = quote(text[position])
    if text[position] == "." and text[position - 1 : position].isdecimal():
        rest = text[position + 1 : position + 2] or " "
        return f"invalid character {quote(rest)} after decimal point in numeric literal"
    if text[position] in "eE" and text[position - 1 : position].isdecimal():
        rest = text[position + 1 : position + 2] or " "
        return (
            f"invalid character {quote(rest)} in exponent of numeric literal"
            if rest
            else "unexpected end of JSON input"
        )
    depth = 0
    for bracket in reversed(re.findall(r"[\[\]{}]", _STRING.sub("", text[:position]))):
        depth += 1 if bracket in "]}" else -1
        if depth < 0:
            return f"invalid character {shown} after " + (
                "array element" if bracket == "[" else "object key:value pair"
            )
    return f"invalid character {shown} after top-level value"


def _escape(text: str, position: int) -> str:
    """Python names the backslash, Go the character that does not fit."""
    if text[position + 1 : position + 2] != "u" and text[position : position + 1] != "u":
        return f"invalid character {quote(text[position + 1 : position + 2])} in string escape code"
    start = text.find("u", position) + 1
    for found in text[start : start + 4]:
        if found not in "0123456789abcdefABCDEF":
            return f"invalid character {quote(found)} in \\u hexadecimal character escape"
    return "unexpected end of JSON input"


def quote(character: str) -> str:
    """A character as Go's decoder shows it."""
    known = {"'": "'\\''", '"': "'\"'", "\n": "'\\n'", "\t": "'\\t'", "\r": "'\\r'", "\\": "'\\\\'"}
    if character in known:
        return known[character]
    if character and ord(character) < 0x20:
        return f"'\\x{ord(character):02x}'"
    if not character or ord(character) < 0x80:
        return f"'{character}'"
    first = character.encode(errors="surrogateescape")[0]  # Go names bytes
    return f"'{chr(first)}'" if chr(first).isprintable() else f"'\\u{first:04x}'"
