"""How Go encodes the fields of a served type: what it leaves out when empty, and what it never does.

The facts lie in `edgelab/data/apis/encoding.txt` (see `scripts/build_encoding.py`), a line for each type.
Lines are read when their type is asked for.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from edgelab.edgesite.apiserver.schema import Node

Obj = dict[str, Any]


class Encoding(NamedTuple):
    """Fields that are left out when they are zero, what stands for the ones that are not there, and which
    lists and maps are never left out.
    """

    omitted: frozenset[str] = frozenset()
    filled: tuple[tuple[str, Any], ...] = ()
    always: frozenset[str] = frozenset()


NONE = Encoding()
CONTAINERS = (dict, list)
METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
"""Nothing in it is always there; it is the larger part of most objects."""
RAW = "io.k8s.apimachinery.pkg.runtime.RawExtension"


@cache
def _lines() -> bytes:
    return b"\n" + (resources.files("edgelab") / "data/apis/encoding.txt").read_bytes()


@cache
def of(name: str) -> Encoding:
    """The encoding of a type by its name in OpenAPI."""
    text = _lines()
    start = text.find(f"\n{name} ".encode())
    if not name or start < 0:
        return NONE
    _, omitted, filled = text[start + 1 : text.index(b"\n", start + 1)].decode().split(" ")
    pairs = [pair.split("=") for pair in filter(None, filled.split(","))]
    return Encoding(
        frozenset(filter(None, omitted.split(","))),
        tuple((key, _value(what)) for key, what in pairs),
        frozenset(key for key, what in pairs if what == "null"),
    )


def _value(what: str) -> Any:
    if what.startswith("io."):
        return {key: fresh(value) for key, value in of(what).filled}
    return json.loads(what)


def fresh(value: Any) -> Any:
    """A value of `filled` that may be written to."""
    return {key: fresh(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def settle(value: Any, node: Node) -> None:
    """Make null of empty lists and maps that are never left out, as they come out of a store of protobuf."""
    if isinstance(value, list):
        items = node.items
        for item in value if items is not None else ():
            settle(item, items or node)
    elif isinstance(value, dict):
        always, values = node.encoding.always, node.values
        for key, inner in value.items():
            if inner and isinstance(inner, CONTAINERS):
                field = values or node.field(key)
                if field is not None and field.name != METADATA:
                    settle(inner, field)
            elif not inner and key in always:
                field = values or node.field(key)
                # what a RawExtension holds is bytes, and `{}` are two of them
                value[key] = inner if field is not None and field.name == RAW else None
