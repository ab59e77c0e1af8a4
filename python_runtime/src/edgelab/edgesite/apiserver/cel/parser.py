"""Expressions to syntax trees (`CEL.g4` and the macros of cel-go and its extensions)."""

from __future__ import annotations

import math

from edgelab.edgesite.apiserver.cel import macros
from edgelab.edgesite.apiserver.cel.grammar import (
    AFTER,
    IN_LIST,
    IN_MAP,
    LEVELS,
    MAX_DEPTH,
    MAX_SIZE,
    NO_WAY,
    PRIMARY,
    RESERVED,
    STARTS,
    TYPES,
)
from edgelab.edgesite.apiserver.cel.nodes import Failures, Node
from edgelab.edgesite.apiserver.cel.tokens import Token, tokens


class Parser:
    """One expression."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._errors: list[tuple[int, str]] = []
        self._tokens = tokens(source, self._errors)
        self._at = 0
        self._depth = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _accept(self, *kinds: str) -> Token | None:
        return self._take() if self._next.kind in kinds else None

    def _fail(self, expected: str, how: str = "mismatched") -> Failures:
        token = self._next
        return self._error(token.position, f"Syntax error: {how} input '{token.text}' expecting {expected}")

    def _error(self, position: int, message: str) -> Failures:
        return Failures(self._source, [*self._errors, (position, message)])

    def _skip(self, kinds: frozenset[str], expected: str) -> bool:
        """Leave out one token if what is expected comes after it."""
        if self._at + 1 < len(self._tokens) and self._tokens[self._at + 1].kind in kinds:
            self._errors += self._fail(expected, "extraneous").found[len(self._errors) :]
            self._at += 1
            return True
        return False

    def _match(self, kind: str) -> None:
        """A token that must come; one too many or too few is only recorded. Raises Failures."""
        shown = kind if kind.isupper() or kind == "<EOF>" else f"'{kind}'"
        if self._accept(kind) is not None:
            return
        if self._skip(frozenset((kind,)), shown):
            self._at += 1
            return
        if kind != "<EOF>" and self._next.kind in (STARTS if kind == ":" else AFTER):
            token = self._next
            self._errors.append((token.position, f"Syntax error: missing {shown} at '{token.text}'"))
            return
        raise self._fail(shown)

    def _separator(self, closing: str) -> bool:
        """Whether a comma follows; if not, the end does. Raises Failures."""
        expected = f"{{'{closing}', ','}}"
        if self._next.kind not in (closing, ","):
            kinds = frozenset((closing, ","))
            if not self._skip(kinds, expected):
                raise self._fail(expected)
        return self._take().kind == ","

    def parse(self) -> Node:
        """The whole expression. Raises Failures."""
        if len(self._source) > MAX_SIZE:
            text = f"expression code point size exceeds limit: size: {len(self._source)}, limit {MAX_SIZE}"
            raise self._error(0, text)
        found = self._ternary()
        self._match("<EOF>")
        if self._errors:
            raise Failures(self._source, self._errors)
        return found

    def _ternary(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(-1, f"expression recursion limit exceeded: {MAX_DEPTH}")
        found = self._binary(0)
        if token := self._accept("?"):
            yes = self._binary(0)
            self._match(":")
            no = self._ternary()
            found = Node("call", token.position, "_?_:_", args=[found, yes, no])
        self._depth -= 1
        return found

    def _binary(self, level: int) -> Node:
        if level == len(LEVELS):
            return self._unary()
        found = self._binary(level + 1)
        while token := self._accept(*LEVELS[level]):
            right = self._binary(level + 1)
            name = "@in" if token.kind == "in" else f"_{token.kind}_"
            found = Node("call", token.position, name, args=[found, right])
        return found

    def _unary(self) -> Node:
        token = self._next
        if token.kind not in ("!", "-"):
            return self._member()
        if token.kind == "-" and self._tokens[self._at + 1].kind in ("NUM_INT", "NUM_FLOAT"):
            return self._member()
        count = 0
        while self._accept(token.kind):
            count += 1
        if self._next.kind == "<EOF>" and token.kind == "-":
            self._errors.append((self._next.position, NO_WAY.format("-")))
        if self._next.kind == "<EOF>" and token.kind == "!":
            raise self._fail(PRIMARY, "extraneous")
        operand = self._member()
        if count % 2 == 0:
            return operand
        return Node("call", token.position, "!_" if token.kind == "!" else "-_", args=[operand])

    def _member(self) -> Node:
        found = self._primary()
        while True:
            if token := self._accept("."):
                found = self._selection(found, token)
            elif token := self._accept("["):
                optional = self._accept("?") is not None
                index = self._ternary()
                self._match("]")
                found = Node("call", token.position, "_[?_]" if optional else "_[_]", args=[found, index])
            else:
                return found

    def _selection(self, operand: Node, dot: Token) -> Node:
        optional = self._accept("?") is not None
        name = self._accept("IDENTIFIER", "ESCAPED", "in", "true", "false", "null")
        if name is None:
            token = self._next
            shown = "." if token.kind == "<EOF>" else f".{token.text}"
            raise self._error(token.position, NO_WAY.format(shown))
        if name.kind == "ESCAPED":
            raise self._error(name.position, "unsupported syntax: '`'")
        if not optional and name.kind == "IDENTIFIER" and (opened := self._accept("(")):
            return self._call(name.text, opened.position, operand)
        return Node("select", dot.position, name.text, args=[operand], optional=optional)

    def _call(self, name: str, position: int, target: Node | None) -> Node:
        args = self._arguments(")")
        expanded = macros.expand(self._source, name, position, target, args)
        if expanded is not None:
            return expanded
        if target is None:
            return Node("call", position, name, args=args)
        return Node("call", position, name, args=[target, *args], member=True)

    def _arguments(self, closing: str) -> list[Node]:
        found: list[Node] = []
        if self._accept(closing):
            return found
        if self._next.kind == "<EOF>":
            raise self._fail(PRIMARY.replace("'.', ", "')', '.', "))
        while True:
            found.append(self._ternary())
            if self._accept(closing):
                return found
            if not self._accept(","):
                self._match(closing)
                return found

    def _primary(self) -> Node:
        token = self._next
        if token.kind in (".", "IDENTIFIER"):
            return self._identifier()
        if token.kind == "(":
            self._take()
            found = self._ternary()
            self._match(")")
            return found
        if token.kind == "[":
            return self._list()
        if token.kind == "{":
            return self._map()
        return self._literal()

    def _identifier(self) -> Node:
        dot = self._accept(".")
        if dot and self._next.kind != "IDENTIFIER":
            raise self._fail("IDENTIFIER")
        token = self._take()
        if opened := self._accept("("):
            return self._call(token.text, opened.position, None)
        if token.text in RESERVED:
            raise self._error(token.position, f"reserved identifier: {token.text}")
        if self._next.kind == "{":
            return self._struct(token)
        return Node("ident", token.position, token.text)

    def _struct(self, name: Token) -> Node:
        opened = self._take()
        args: list[Node] = []
        while not self._accept("}"):
            if self._next.kind != "IDENTIFIER":
                raise self._fail("{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}")
            field = self._take()
            self._match(":")
            args += [Node("literal", field.position, "string", field.text), self._ternary()]
            if not self._separator("}"):
                break
        return Node("struct", opened.position, name.text, args=args)

    def _list(self) -> Node:
        opened, optionals = self._take(), set[int]()
        args: list[Node] = []
        while not self._accept("]"):
            if self._accept("?"):
                optionals.add(len(args))
            elif self._next.kind == "<EOF>":
                raise self._fail(IN_LIST)
            args.append(self._ternary())
            if not self._separator("]"):
                break
        return Node("list", opened.position, args=args, optionals=frozenset(optionals))

    def _map(self) -> Node:
        opened, optionals = self._take(), set[int]()
        args: list[Node] = []
        while not self._accept("}"):
            if self._accept("?"):
                optionals.add(len(args) // 2)
            elif self._next.kind == "<EOF>":
                raise self._fail(IN_MAP)
            key = self._ternary()
            self._match(":")
            args += [key, self._ternary()]
            if not self._separator("}"):
                break
        return Node("map", opened.position, args=args, optionals=frozenset(optionals))

    def _literal(self) -> Node:
        token = self._next
        sign = 1
        if token.kind == "-":
            self._take()
            sign = -1
        kind = self._next.kind
        if kind not in ("NUM_INT", "NUM_UINT", "NUM_FLOAT", "STRING", "BYTES", "true", "false", "null"):
            if self._skip(STARTS, PRIMARY):
                return self._primary()
            raise self._fail(PRIMARY)
        found = self._take()
        value, name = found.value, kind
        if kind in ("true", "false"):
            value, name = kind == "true", "bool"
        elif kind == "NUM_INT":
            value = sign * found.value
            if not -(2**63) <= value < 2**63:
                raise self._error(token.position, "invalid int literal")
        elif kind == "NUM_UINT" and value >= 2**64:
            raise self._error(token.position, "invalid uint literal")
        elif kind == "NUM_FLOAT":
            value = sign * found.value
            if math.isinf(value):
                raise self._error(token.position, "invalid double literal")
        return Node("literal", token.position, TYPES.get(name, name), value)


def parse(source: str) -> Node:
    """The tree of an expression. Raises Failures."""
    return Parser(source).parse()
