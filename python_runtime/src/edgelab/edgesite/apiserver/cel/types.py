"""Types of expressions (`common/types/types.go`, `checker/types.go`)."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, eq=False)
class Type:
    """`kind` is a primitive's name, or list, map, optional_type, type, struct, opaque, param, dyn, error."""

    kind: str
    params: tuple[Type, ...] = ()
    name: str = ""
    fields: dict[str, Type] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.kind in ("list", "map", "type", "optional_type"):
            inner = ", ".join(map(str, self.params))
            return f"{self.kind}({inner})" if inner else self.kind
        names = {"error": "!error!", "null_type": "null"}
        return self.name or names.get(self.kind, self.kind)


DYN, ERROR, NULL = Type("dyn"), Type("error"), Type("null_type")
BOOL, INT, UINT, DOUBLE = Type("bool"), Type("int"), Type("uint"), Type("double")
STRING, BYTES = Type("string"), Type("bytes")
TIMESTAMP, DURATION = Type("timestamp"), Type("duration")
SIMPLE = {
    found.kind: found for found in (DYN, NULL, BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION)
}
OPAQUE = {
    name: Type("opaque", name=full)
    for name, full in (
        ("Authorizer", "kubernetes.authorization.Authorizer"),
        ("CIDR", "net.CIDR"),
        ("Decision", "kubernetes.authorization.Decision"),
        ("Format", "kubernetes.NamedFormat"),
        ("GroupCheck", "kubernetes.authorization.GroupCheck"),
        ("IP", "net.IP"),
        ("PathCheck", "kubernetes.authorization.PathCheck"),
        ("Quantity", "kubernetes.Quantity"),
        ("ResourceCheck", "kubernetes.authorization.ResourceCheck"),
        ("Semver", "kubernetes.Semver"),
        ("URL", "kubernetes.URL"),
    )
}
NAMES = {
    **SIMPLE,
    "google.protobuf.Timestamp": TIMESTAMP,
    "google.protobuf.Duration": DURATION,
    **{found.name: found for found in OPAQUE.values()},
}


def list_of(inner: Type) -> Type:
    """`list(inner)`."""
    return Type("list", (inner,))


def map_of(key: Type, value: Type) -> Type:
    """`map(key, value)`."""
    return Type("map", (key, value))


def optional(inner: Type) -> Type:
    """`optional_type(inner)`."""
    return Type("optional_type", (inner,))


def type_of(inner: Type) -> Type:
    """`type(inner)`."""
    return Type("type", (inner,))


@functools.lru_cache(maxsize=256)
def read(text: str) -> Type:
    """A type as the declarations write it: `int`, `list(A)`, `map(K, V)`, `optional(T)`, `IP`."""
    text = text.strip()
    match = re.fullmatch(r"(\w+)\((.*)\)", text)
    if match is None:
        if text in SIMPLE:
            return SIMPLE[text]
        return OPAQUE.get(text) or Type("param", name=text)
    kind = {"optional": "optional_type"}.get(match[1], match[1])
    return Type(kind, tuple(read(part) for part in split(match[2])))


def split(text: str) -> list[str]:
    """The parts of a list separated by commas that are not in parentheses."""
    parts, depth = [""], 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part for part in parts if part.strip()]


class Mapping:
    """What type parameters stand for."""

    def __init__(self) -> None:
        self.bound: dict[str, Type] = {}
        self._count = 0

    def fresh(self) -> Type:
        """A new parameter."""
        self._count += 1
        return Type("param", name=f"_var{self._count - 1}")

    def instantiate(self, found: list[Type]) -> list[Type]:
        """Types with new parameters in place of their own."""
        names: dict[str, Type] = {}

        def walk(item: Type) -> Type:
            if item.kind == "param":
                return names.setdefault(item.name, self.fresh())
            if not item.params:
                return item
            return Type(item.kind, tuple(walk(inner) for inner in item.params), item.name, item.fields)

        return [walk(item) for item in found]

    def resolved(self, found: Type, *, final: bool = False) -> Type:
        """A type with its parameters replaced; free ones become dyn if `final`."""
        if found.kind == "param":
            if found.name in self.bound:
                return self.resolved(self.bound[found.name], final=final)
            return DYN if final else found
        if not found.params:
            return found
        inner = tuple(self.resolved(item, final=final) for item in found.params)
        return Type(found.kind, inner, found.name, found.fields)

    def assign(self, left: list[Type], right: list[Type]) -> bool:
        """Whether all of `left` can be given where `right` is wanted; binds parameters if so."""
        saved = dict(self.bound)
        if len(left) == len(right) and all(self._assign(a, b) for a, b in zip(left, right, strict=True)):
            return True
        self.bound = saved
        return False

    def _assign(self, left: Type, right: Type) -> bool:
        if "param" in (left.kind, right.kind):
            given = right.kind == "param"
            return self._bind(*((right, left) if given else (left, right)), given=given)
        if _is_loose(left) or _is_loose(right):
            return True
        if left.kind == "null_type" or right.kind == "null_type":
            other = right if left.kind == "null_type" else left
            return other.kind in ("null_type", "struct", "timestamp", "duration", "opaque")
        if left.kind == right.kind == "type":
            return True
        return (
            (left.kind, left.name) == (right.kind, right.name)
            and len(left.params) == len(right.params)
            and all(self._assign(a, b) for a, b in zip(left.params, right.params, strict=True))
        )

    def _bind(self, param: Type, other: Type, *, given: bool) -> bool:
        bound = self.bound.get(param.name)
        if bound is not None:
            if not (self._assign(other, bound) if given else self._assign(bound, other)):
                return False
            if _is_looser(other, bound):
                self.bound[param.name] = other
            return True
        target = self.resolved(other)
        if target.kind == "param" and target.name == param.name:
            return True
        if self._occurs(param.name, target):
            return False
        self.bound[param.name] = target
        return True

    def _occurs(self, name: str, found: Type) -> bool:
        if found.kind == "param":
            return found.name == name
        return any(self._occurs(name, inner) for inner in found.params)


def _is_loose(found: Type) -> bool:
    return found.kind in ("dyn", "error")


def _is_looser(left: Type, right: Type) -> bool:
    """Whether a type says less than another one."""
    if _is_loose(left):
        return not _is_loose(right)
    if left.kind != right.kind or len(left.params) != len(right.params):
        return False
    return any(_is_looser(a, b) for a, b in zip(left.params, right.params, strict=True))


def is_exactly(left: Type, right: Type) -> bool:
    """Whether two types are the same."""
    return str(left) == str(right) and left.kind == right.kind
