"""The types of expressions, and what is wrong with them (`checker/checker.go`, `cel/validator.go`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.cel import types
from edgelab.edgesite.apiserver.cel.declarations import functions
from edgelab.edgesite.apiserver.cel.literalchecks import bad_format, bad_literals, qualified
from edgelab.edgesite.apiserver.cel.nodes import Failures, Node
from edgelab.edgesite.apiserver.cel.schematypes import RESERVED
from edgelab.edgesite.apiserver.cel.types import (
    BOOL,
    DYN,
    ERROR,
    INT,
    Mapping,
    Type,
    list_of,
    map_of,
    optional,
    type_of,
)

CONTAINERS = ("list", "map", "dyn", "error", "param")


class Checker:
    """One expression in an environment of variables. `used` names the variables that it uses."""

    def __init__(self, source: str, variables: dict[str, Type]) -> None:
        self._source = source
        self._scopes: list[dict[str, Type]] = [variables]
        self._types = Mapping()
        self._mixed: list[tuple[int, str]] = []
        self._exempt = 0
        self._formatted: list[tuple[Node, list[Type]]] = []
        self._errors: list[tuple[int, str]] = []
        self._element_types: dict[int, Type] = {}
        self.used: set[str] = set()

    def check(self, node: Node) -> Type:
        """The type of the expression. Raises Failures."""
        found = self._types.resolved(self._check(node), final=True)
        if not self._errors:
            self._errors += bad_literals(node)
            self._errors += self._mixed
            for call, items in self._formatted:
                shown = [str(self._types.resolved(item, final=True)) for item in items]
                self._errors += bad_format(call, shown)
        if self._errors:
            raise Failures(self._source, self._errors)
        return found

    def _error(self, node: Node, message: str) -> Type:
        self._errors.append((node.position, message))
        return ERROR

    def _check(self, node: Node) -> Type:
        handler: Any = getattr(self, f"_check_{node.kind}")
        found: Type = handler(node)
        return found

    def _lookup(self, name: str) -> Type | None:
        for scope in reversed(self._scopes):
            if name in scope:
                if scope is self._scopes[0]:
                    self.used.add(name)
                return scope[name]
        found = types.NAMES.get(name)
        if found is not None:
            return type_of(found)
        if name in ("list", "map"):
            params = (DYN,) if name == "list" else (DYN, DYN)
            return type_of(Type(name, params))
        return type_of(types.DYN) if name in ("type", "optional_type") else None

    def _check_literal(self, node: Node) -> Type:
        return types.SIMPLE[node.name]

    def _check_ident(self, node: Node) -> Type:
        found = self._lookup(node.name)
        if found is None:
            return self._error(node, f"undeclared reference to '{node.name}' (in container '')")
        return found

    def _check_select(self, node: Node) -> Type:
        name = qualified(node)
        if name is not None and not node.test and (found := self._lookup(name)) is not None:
            node.kind, node.name, node.args = "ident", name, []
            return found
        result = self._field(node, self._check(node.args[0]))
        return BOOL if node.test else result

    def _field(self, node: Node, operand: Type) -> Type:
        target = self._types.resolved(operand)
        wrapped = target.kind == "optional_type"
        if wrapped:
            target = self._types.resolved(target.params[0])
        result = DYN
        if target.kind == "map":
            result = target.params[1]
        elif target.kind == "struct":
            field = target.fields.get(node.name)
            if field is None and node.name in RESERVED:
                field = target.fields.get(f"__{node.name}__")
            result = self._error(node, f"undefined field '{node.name}'") if field is None else field
        elif target.kind == "param":
            self._types.assign([DYN], [target])
        elif target.kind == "opaque":
            self._error(node, f"unexpected failed resolution of '{target}'")
        elif target.kind not in ("dyn", "error"):
            self._error(node, f"type '{target}' does not support field selection")
        return optional(result) if wrapped or node.optional else result

    def _check_call(self, node: Node) -> Type:
        if not node.member:
            args = [self._check(arg) for arg in node.args]
            if node.name not in functions() or (not node.name.isidentifier() and node.name[0].isalpha()):
                return self._error(node, f"undeclared reference to '{node.name}' (in container '')")
            return self._overload(node, args, member=False)
        target, rest = node.args[0], node.args[1:]
        self._exempt += node.name == "format"
        args = [self._check(arg) for arg in rest]
        self._exempt -= node.name == "format"
        space = qualified(target)
        if space is not None and f"{space}.{node.name}" in functions():
            node.name, node.args, node.member = f"{space}.{node.name}", rest, False
            return self._overload(node, args, member=False)
        args = [self._check(target), *args]
        if node.name == "format" and target.kind == "literal" and rest and rest[0].kind == "list":
            elements = [self._element_types.get(id(item), DYN) for item in rest[0].args]
            self._formatted.append((node, elements))
        if node.name not in functions():
            return self._error(node, f"undeclared reference to '{node.name}' (in container '')")
        return self._overload(node, args, member=True)

    def _overload(self, node: Node, args: list[Type], *, member: bool) -> Type:
        if node.name in ("_&&_", "_||_"):
            return self._logical(node, args)
        result: Type | None = None
        for overload in functions()[node.name]:
            if overload.member != member or len(overload.args) != len(args):
                continue
            *wanted, gives = self._types.instantiate([*overload.args, overload.result])
            if self._types.assign(args, wanted):
                found = self._types.resolved(gives)
                if result is None:
                    result = found
                elif result.kind != "dyn" and not types.is_exactly(found, result):
                    result = DYN
        if result is not None:
            return result
        shown = [str(self._types.resolved(arg, final=True)) for arg in args]
        text = f"({', '.join(shown)})"
        if member:
            text = f"{shown[0]}.({', '.join(shown[1:])})"
        return self._error(node, f"found no matching overload for '{node.name}' applied to '{text}'")

    def _logical(self, node: Node, args: list[Type]) -> Type:
        good = [self._expect_bool(inner, found) for inner, found in zip(node.args, args, strict=True)]
        return BOOL if all(good) else ERROR

    def _expect_bool(self, node: Node, found: Type) -> bool:
        if self._types.assign([found], [BOOL]):
            return True
        shown = self._types.resolved(found, final=True)
        self._error(node, f"expected type 'bool' but found '{shown}'")
        return False

    def _element(self, node: Node, *, is_optional: bool) -> Type:
        found = self._check(node)
        if not is_optional:
            return found
        inner = self._types.resolved(found)
        if inner.kind == "optional_type":
            return inner.params[0]
        if inner.kind not in ("dyn", "error"):
            self._error(node, f"expected type '{optional(inner)}' but found '{inner}'")
        return inner

    def _join(self, node: Node, before: Type | None, found: Type) -> Type:
        if before is None:
            return found
        if self._types.assign([before], [found]):
            loose = self._types.resolved(found).kind in ("dyn", "error")
            return found if loose else before
        left, right = (self._types.resolved(item, final=True) for item in (before, found))
        if not self._exempt:
            self._mixed.append((node.position, f"expected type '{left}' but found '{right}'"))
        return DYN

    def _check_list(self, node: Node) -> Type:
        inner: Type | None = None
        for position, item in enumerate(node.args):
            found = self._element(item, is_optional=position in node.optionals)
            self._element_types[id(item)] = found
            inner = self._join(item, inner, found)
        return list_of(inner or self._types.fresh())

    def _check_map(self, node: Node) -> Type:
        key: Type | None = None
        value: Type | None = None
        for position in range(0, len(node.args), 2):
            name, item = node.args[position : position + 2]
            key = self._join(name, key, self._check(name))
            found = self._element(item, is_optional=position // 2 in node.optionals)
            value = self._join(item, value, found)
        return map_of(key or self._types.fresh(), value or self._types.fresh())

    def _check_struct(self, node: Node) -> Type:
        return self._error(node, f"undeclared reference to '{node.name}' (in container '')")

    def _check_comp(self, node: Node) -> Type:
        ranged = self._types.resolved(self._check(node.args[0]))
        if node.name in ("optMap", "optFlatMap"):
            return self._optional_macro(node, ranged)
        first, second = self._iteration(node, ranged)
        if len(node.variables) == 1 and node.name != "sortBy":
            pairs = [first]
        elif node.name == "sortBy":
            pairs = [second if ranged.kind == "list" else first]
        else:
            pairs = [first, second]
        self._scopes.append(dict(zip(node.variables, pairs, strict=True)))
        found = self._macro(node, ranged)
        self._scopes.pop()
        return found

    def _iteration(self, node: Node, ranged: Type) -> tuple[Type, Type]:
        """The types of the variables: key or element, and value."""
        if ranged.kind not in CONTAINERS:
            text = "cannot be range of a comprehension (must be list, map, or dynamic)"
            self._error(node.args[0], f"expression of type '{ranged}' {text}")
            return ERROR, ERROR
        if ranged.kind == "list":
            single = len(node.variables) == 1 and node.name != "sortBy"
            return (ranged.params[0] if single else INT), ranged.params[0]
        if ranged.kind == "map":
            return ranged.params[0], ranged.params[1]
        self._types.assign([DYN], [ranged])
        return DYN, DYN

    def _macro(self, node: Node, ranged: Type) -> Type:
        name, args = node.name, node.args[1:]
        found = [self._check(arg) for arg in args]
        if name in ("all", "exists"):
            self._expect_bool(args[0], found[0])
            return BOOL
        if name in ("existsOne", "filter"):
            gives = INT if name == "existsOne" else list_of(self._scopes[-1][node.variables[0]])
            self._condition(node, found[0], gives)
            return BOOL if name == "existsOne" else gives
        if name == "sortBy":
            return ranged
        if len(args) == 2 and name != "transformMapEntry":
            self._condition(node, found[0], list_of(found[-1]))
        if name in ("map", "transformList"):
            return list_of(found[-1])
        key = self._scopes[-1][node.variables[0]]
        return map_of(key, found[-1]) if name == "transformMap" else found[-1]

    def _condition(self, node: Node, found: Type, result: Type) -> None:
        if not self._types.assign([found], [BOOL]):
            shown = ", ".join(str(self._types.resolved(item, final=True)) for item in (found, result, result))
            self._error(node, f"found no matching overload for '_?_:_' applied to '({shown})'")

    def _optional_macro(self, node: Node, target: Type) -> Type:
        inner = self._types.resolved(target.params[0]) if target.kind == "optional_type" else DYN
        if target.kind not in ("optional_type", "dyn", "error"):
            text = f"found no matching overload for 'hasValue' applied to '{target}.()'"
            return self._error(node, text)
        self._scopes.append({node.variables[0]: inner})
        found = self._types.resolved(self._check(node.args[1]))
        self._scopes.pop()
        if node.name == "optMap":
            return optional(found)
        if found.kind in ("optional_type", "dyn", "error"):
            return found
        shown = f"(bool, {found}, optional_type(dyn))"
        return self._error(node, f"found no matching overload for '_?_:_' applied to '{shown}'")


def check(source: str, node: Node, variables: dict[str, Type]) -> tuple[Type, set[str]]:
    """The type of an expression and the variables that it uses. Raises Failures."""
    checker = Checker(source, variables)
    return checker.check(node), checker.used
