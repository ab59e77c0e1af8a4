"""Tokens of an expression (the lexer of `CEL.g4`)."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from edgelab.edgesite.apiserver.cel.nodes import Failures


class Token(NamedTuple):
    """`kind` is the symbol itself, or IDENTIFIER, ESCAPED, NUM_*, STRING, BYTES or <EOF>."""

    kind: str
    text: str
    position: int
    value: Any = None


ESCAPED = r"\\(?:[abfnrtv\\\"'`?]|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[xX][0-9a-fA-F]{2}|[0-3][0-7]{2})"
STRINGS = (
    r"[rR]?\"\"\"(?:\\.|[^\\])*?\"\"\""
    r"|[rR]?'''(?:\\.|[^\\])*?'''"
    r"|[rR]\"[^\"\n\r]*\"|[rR]'[^'\n\r]*'"
    rf"|\"(?:{ESCAPED}|[^\\\"\n\r])*\"|'(?:{ESCAPED}|[^\\'\n\r])*'"
)
TOKEN = re.compile(
    r"(?P<space>[ \t\r\n\f]+|//[^\n]*)"
    rf"|(?P<bytes>[bB](?:{STRINGS}))"
    rf"|(?P<string>{STRINGS})"
    r"|(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)"
    r"|(?P<uint>(?:0x[0-9a-fA-F]+|\d+)[uU])"
    r"|(?P<int>0x[0-9a-fA-F]+|\d+)"
    r"|(?P<ident>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<escaped>`[A-Za-z0-9_.\-/ ]+`)"
    r"|(?P<symbol>==|!=|<=|>=|&&|\|\||[\[\]{}().,\-!?:+*/%<>])",
    re.S,
)
KEYWORDS = ("true", "false", "null", "in")
ESCAPE = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|[xX]([0-9a-fA-F]{2})|([0-3][0-7]{2})|(.))", re.S
)
SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
SIMPLE |= {character: character for character in "\\'\"`?"}


def tokens(source: str, errors: list[tuple[int, str]]) -> list[Token]:
    """The tokens; ends with <EOF>. What is no token goes to `errors`. Raises Failures."""
    found: list[Token] = []
    position = 0
    while position < len(source):
        match = TOKEN.match(source, position)
        if match is None:
            stop = _unreadable(source, position)
            errors.append((position, f"Syntax error: token recognition error at: '{source[position:stop]}'"))
            position = stop
            continue
        kind, text = match.lastgroup or "", match.group()
        if kind != "space":
            found.append(_token(kind, text, position, source))
        position = match.end()
    found.append(Token("<EOF>", "<EOF>", len(source)))
    return found


PARTIAL = re.compile(
    r"[=&|].?|'(?:\\[abfnrtv\\'\"`?]|[^'\\\n])*(?:\\.?)?|\"(?:\\[abfnrtv\\'\"`?]|[^\"\\\n])*(?:\\.?)?", re.S
)


def _unreadable(source: str, position: int) -> int:
    """Where the lexer goes on after something that only began like a token."""
    match = PARTIAL.match(source, position)
    return match.end() if match is not None else position + 1


def _token(kind: str, text: str, position: int, source: str) -> Token:
    if kind == "ident":
        return Token(text if text in KEYWORDS else "IDENTIFIER", text, position)
    if kind in ("symbol", "escaped"):
        return Token(text if kind == "symbol" else "ESCAPED", text, position)
    if kind in ("int", "uint"):
        digits = text.rstrip("uU")
        return Token(f"NUM_{kind.upper()}", text, position, int(digits, 16 if digits[:2] == "0x" else 10))
    if kind == "float":
        return Token("NUM_FLOAT", text, position, float(text))
    value = _unquoted(
        text.lstrip("bB") if kind == "bytes" else text, source, position, as_bytes=kind == "bytes"
    )
    return Token(kind.upper(), text, position, value)


def _unquoted(text: str, source: str, position: int, *, as_bytes: bool) -> Any:
    raw = text[0] in "rR"
    text = text[1:] if raw else text
    width = 3 if text[:3] in ("'''", '"""') else 1
    inner = text[width:-width].replace("\r\n", "\n").replace("\r", "\n")
    if raw:
        return inner.encode() if as_bytes else inner
    pieces: list[bytes] = []
    last = 0
    for match in ESCAPE.finditer(inner):
        pieces.append(inner[last : match.start()].encode())
        short, long, code, octal, simple = match.groups()
        if simple is not None:
            if simple not in SIMPLE:
                raise Failures(source, [(position, "invalid string literal: unable to unescape string")])
            pieces.append(SIMPLE[simple].encode())
        elif short or long:
            pieces.append(chr(int(short or long, 16)).encode())
        else:
            number = int(code, 16) if code else int(octal, 8)
            pieces.append(bytes([number]) if as_bytes else chr(number).encode())
        last = match.end()
    pieces.append(inner[last:].encode())
    data = b"".join(pieces)
    return data if as_bytes else data.decode()
