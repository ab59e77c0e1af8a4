"""The names of Go's types and fields that are not in the published schemas."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from edgelab.edgesite.apiserver.schema import Node

KINDS = {dict: "map", list: "slice", str: "string", bool: "bool", int: "int64", float: "float64"}
SCALARS = {"string": "string", "boolean": "bool", "number": "float64"}
# structs with an embedded struct that has a name of its own: which fields lie in it
EMBEDDED = {
    "Probe": ("ProbeHandler", {"exec", "grpc", "httpGet", "tcpSocket"}),
}
OWN = {
    "Volume": ("VolumeSource", "name"),
    "EphemeralContainer": ("EphemeralContainerCommon", "targetContainerName"),
}


@cache
def named() -> dict[tuple[str, str], str]:
    """(struct, field) -> its type, of the fields whose type is a string, list or map with a name.

    Out of `edgelab/data/apis/gotypes.txt`, which tells of the types in k8s.io/api; only errors need it.
    """
    found = {}
    text = (resources.files("edgelab") / "data/apis/gotypes.txt").read_text()
    for kind, *places in (line.split() for line in text.splitlines()):
        for place in places:
            struct, _, field = place.partition(".")
            found[struct, field] = kind
    return found


def name(node: Node, owner: str = "", field: str = "") -> str:
    """A type as Go prints it: `v1.ObjectMeta`, `[]v1.Container`, `map[string]string`."""
    if (owner, field) in named() or node.name:
        return named().get((owner, field)) or ".".join(node.name.split(".")[-2:])
    if node.type == "array":
        return "[]" + (name(node.items) if node.items is not None else "interface {}")
    if node.values is not None:
        return "map[string]" + name(node.values)
    form = node.raw.get("format")
    if node.type == "integer":
        return "int32" if form == "int32" else "int64"
    return (
        "[]uint8"
        if form == "byte"
        else SCALARS.get(node.type, "map" if node.type == "object" else "interface {}")
    )


def string(owner: str, field: str, *, inside: bool = False) -> str:
    """The type of a field that is a string, or of what is inside of one that is a list or a map."""
    found = named().get((owner, field), "string")
    if inside:
        return found.removeprefix("[]").removeprefix("map[string]")
    return found


def embedded(field: str, owner: str) -> str:
    """A field's name, with that of the embedded struct in which it lies."""
    within, fields = EMBEDDED.get(owner, ("", ()))
    if field in fields:
        return f"{within}.{field}"
    other, own = OWN.get(owner, ("", field))
    return field if field == own or not other else f"{other}.{field}"


def not_restored(value: Any, wanted: str) -> str:
    """What runtime.DefaultUnstructuredConverter says of a value that does not fit."""
    found = KINDS.get(type(value), "interface")
    if wanted.startswith("[]"):
        return f"cannot restore slice from {found}"
    if wanted.startswith("map") or wanted == "v1.ResourceList":
        return f"cannot restore map from {found}"
    if type(value) is int and (wanted == "string" or wanted in named().values()):
        return f"cannot convert int64 to {wanted}"
    if wanted in ("int32", "int64", "float64", "bool", "string"):
        return f"unrecognized type: {wanted}"
    if wanted in named().values():
        return "unrecognized type: string"
    return f"cannot restore struct from: {found}"
