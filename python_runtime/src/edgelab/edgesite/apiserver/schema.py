"""Types as the server uses them: a lazy view on OpenAPI v3 schemas, for built-in kinds and CRDs."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from functools import cached_property
from importlib import resources
from typing import Any

from edgelab.edgesite.apiserver import encoding
from edgelab.objects.patch import FieldPatch

REFERENCE = "#/components/schemas/"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
USAGE = "io.k8s.metrics.pkg.apis.metrics.v1beta1."
USAGE_KINDS = {f"metrics.k8s.io/v1beta1/{kind}": USAGE + kind for kind in ("NodeMetrics", "PodMetrics")}
"""Those of metrics-server, which are in none of kube-apiserver's documents: `data/apis/metrics.json`."""
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
PARSED = ("date-time", "byte")
"""Formats of strings that are written in another way than they were given in."""
VERBATIM = {"string": str, "boolean": bool}
Resolve = Callable[[str], dict[str, Any]]


class Node:
    """One schema. Children are made when they are asked for, and then kept."""

    __slots__ = (
        "_fields",
        "_has_items",
        "_has_values",
        "_items",
        "_keywords",
        "_resolve",
        "_values",
        "atomic",
        "encoding",
        "free",
        "keyed",
        "name",
        "raw",
        "type",
        "verbatim",
    )

    def __init__(self, raw: dict[str, Any], resolve: Resolve | None = None, name: str = "") -> None:
        if resolve is not None:
            raw, name = _dereference(raw, resolve, name)
        self.raw = raw
        self.name = name
        self.encoding = encoding.of(name)
        found = raw.get("type", "")
        self.type = found if isinstance(found, str) else ""
        """object, array, string, integer, number, boolean; empty for anything."""
        self.atomic = raw.get("x-kubernetes-map-type") == "atomic"
        """Whether an object is owned as a whole."""
        self.keyed = raw.get("x-kubernetes-list-type") in ("map", "set")
        """Whether the elements of a list are owned one by one."""
        self.free = not (raw.get("properties") or raw.get("additionalProperties"))
        """An object about whose fields nothing is said (RawExtension, FieldsV1, JSON)."""
        self.verbatim = _verbatim(raw, self.type, name)
        """The type (str or bool) whose values built-in kinds keep as they are: nearly all that there are."""
        self._resolve = resolve
        self._has_items = isinstance(raw.get("items"), dict)
        self._has_values = isinstance(raw.get("additionalProperties"), dict)
        self._fields: dict[str, Node] = {}
        self._items: Node | None = None
        self._values: Node | None = None
        self._keywords: frozenset[str] | None = None

    def field(self, name: str) -> Node | None:
        """The schema of a field, or None when the type has no such field."""
        found = self._fields.get(name)
        if found is None:
            raw = (self.raw.get("properties") or {}).get(name)
            if raw is None:
                return None
            found = self._fields[name] = Node(raw, self._resolve)
        return found

    @property
    def field_names(self) -> list[str]:
        """The fields of an object type."""
        return list(self.raw.get("properties") or ())

    @property
    def required(self) -> list[str]:
        """The fields that are always there."""
        return list(self.raw.get("required") or ())

    @property
    def items(self) -> Node | None:
        """The schema of a list's elements."""
        if self._items is None and self._has_items:
            self._items = Node(self.raw["items"], self._resolve)
        return self._items

    @property
    def values(self) -> Node | None:
        """The schema of a map's values."""
        if self._values is None and self._has_values:
            self._values = Node(self.raw["additionalProperties"], self._resolve)
        return self._values

    @property
    def list_keys(self) -> list[str]:
        """The fields that identify an element of a list of type map."""
        return list(self.raw.get("x-kubernetes-list-map-keys") or ())

    @property
    def list_type(self) -> str:
        """atomic, set or map."""
        return str(self.raw.get("x-kubernetes-list-type") or "atomic")

    @property
    def preserves(self) -> bool:
        """Whether unknown fields are kept (CRDs)."""
        return bool(self.raw.get("x-kubernetes-preserve-unknown-fields"))

    @property
    def keywords(self) -> frozenset[str]:
        """All keys in a CRD's schema, at any depth: what none of them asks for, nobody has to look for."""
        if self._keywords is None:
            self._keywords = frozenset(_keys(self.raw))
        return self._keywords

    @property
    def nullable(self) -> bool:
        """Whether null is a value (CRDs)."""
        return bool(self.raw.get("nullable"))

    @property
    def embedded(self) -> bool:
        """Whether the object is a whole resource with its own metadata (CRDs)."""
        return bool(self.raw.get("x-kubernetes-embedded-resource"))

    @property
    def default(self) -> Any:
        """The value of a field that is not set; None for none."""
        return self.raw.get("default")

    def patch_field(self, name: str) -> FieldPatch | None:
        """How a strategic merge patch treats a field."""
        node = self.field(name)
        if node is None:
            values = self.values
            return None if values is None else FieldPatch(frozenset(), "", values)
        strategies = str(node.raw.get("x-kubernetes-patch-strategy") or "")
        return FieldPatch(
            frozenset(filter(None, strategies.split(","))),
            str(node.raw.get("x-kubernetes-patch-merge-key") or ""),
            node.items if node.type == "array" else node,
        )


def _keys(raw: Any) -> Iterator[str]:
    if isinstance(raw, dict):
        yield from raw
        raw = list(raw.values())
    for inner in raw if isinstance(raw, list) else ():
        yield from _keys(inner)


def _verbatim(raw: dict[str, Any], kind: str, name: str) -> type | None:
    if name in (QUANTITY, INT_OR_STRING) or raw.get("format") in PARSED:
        return None
    return VERBATIM.get(kind)


def _dereference(raw: dict[str, Any], resolve: Resolve, name: str) -> tuple[dict[str, Any], str]:
    """A schema with its reference resolved; what stands beside the reference wins."""
    while True:
        reference = raw.get("$ref")
        inner = raw.get("allOf") or []
        if reference is None and len(inner) == 1:
            reference = inner[0].get("$ref")
        if reference is None:
            return raw, name
        name = reference.removeprefix(REFERENCE)
        raw = {**resolve(name), **{key: value for key, value in raw.items() if key not in ("$ref", "allOf")}}


class Catalogue:
    """The built-in types, out of `edgelab/data/apis/kubernetes.zip`; decoded one by one when needed."""

    def __init__(self) -> None:
        packed = (resources.files("edgelab") / "data/apis/kubernetes.zip").read_bytes()
        self._archive = zipfile.ZipFile(io.BytesIO(packed))
        self._types: dict[str, dict[str, Any]] = {}
        self._nodes: dict[str, Node] = {}
        self.version = self._archive.read("VERSION").decode()
        self.kinds: dict[str, str] = {**json.loads(self._archive.read("KINDS")), **USAGE_KINDS}

    def definition(self, name: str) -> dict[str, Any]:
        """A type by its name, with descriptions; not kept."""
        found: dict[str, Any]
        if name.startswith(USAGE):
            found = json.loads((resources.files("edgelab") / "data/apis/metrics.json").read_bytes())[name]
        else:
            found = json.loads(self._archive.read(name))
        return found

    def documented(self, name: str) -> dict[str, Any]:
        """A type as documents show it: with the words that fields may have; not kept."""
        found = self.definition(name)
        for field, words in (self._enums.get(name) or {}).items():
            node = found["properties"][field]
            (node["items"] if node.get("type") == "array" else node)["enum"] = words
        return found

    @cached_property
    def _enums(self) -> dict[str, dict[str, list[str]]]:
        found: dict[str, dict[str, list[str]]] = json.loads(self._archive.read("ENUMS"))
        return found

    def protobuf(self) -> dict[str, dict[str, tuple[str, str, str]]]:
        """Message -> number -> (JSON name, type, one | many | map | inline); not kept."""
        found: dict[str, dict[str, tuple[str, str, str]]] = json.loads(self._archive.read("PROTOBUF"))
        return found

    def _resolve(self, name: str) -> dict[str, Any]:
        found = self._types.get(name)
        if found is None:
            found = self._types[name] = _without_descriptions(self.definition(name))
        return found

    def node(self, name: str) -> Node:
        """The schema of a type."""
        found = self._nodes.get(name)
        if found is None:
            found = self._nodes[name] = Node(self._resolve(name), self._resolve, name)
        return found

    def kind(self, group: str, version: str, kind: str) -> Node | None:
        """The schema of a kind, or None."""
        name = self.kinds.get(f"{group}/{version}/{kind}")
        return None if name is None else self.node(name)

    @property
    def object_meta(self) -> Node:
        """metav1.ObjectMeta."""
        return self.node(META + "ObjectMeta")


def _without_descriptions(raw: dict[str, Any]) -> dict[str, Any]:
    """A type without its texts: they are only needed to show the document."""
    result: dict[str, Any] = {}
    for key, value in raw.items():
        if key == "properties":
            result[key] = {name: _without_descriptions(inner) for name, inner in value.items()}
        elif isinstance(value, dict):
            result[key] = _without_descriptions(value)
        elif key != "description" or not isinstance(value, str):
            result[key] = value
    return result
