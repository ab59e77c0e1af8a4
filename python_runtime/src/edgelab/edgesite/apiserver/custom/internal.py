"""Definitions as kube-apiserver's internal type has them: errors name its fields, and print its values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from edgelab.edgesite.apiserver.custom.golang import Struct

Obj = dict[str, Any]

SHARED = {
    "schema": "validation",
    "subresources": "subresources",
    "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}
"""What moves to the top of the spec when all versions have the same (versions' field: spec's field)."""

_SCHEMA = (
    "ID Schema Ref? Description Type Nullable! Format Title Default? Maximum? ExclusiveMaximum! Minimum?"
    " ExclusiveMinimum! MaxLength? MinLength? Pattern MaxItems? MinItems? UniqueItems! MultipleOf? Enum?"
    " MaxProperties? MinProperties? Required? Items? AllOf? OneOf? AnyOf? Not? Properties?"
    " AdditionalProperties? PatternProperties? Dependencies? AdditionalItems? Definitions? ExternalDocs?"
    " Example? XPreserveUnknownFields? XEmbeddedResource! XIntOrString! XListMapKeys? XListType? XMapType?"
    " XValidations?"
)
SCHEMA = _SCHEMA.split()
"""The internal fields in order; `?` is null and `!` false when it is not set, others are empty strings."""
SPECIAL = {
    "ID": "id",
    "Schema": "$schema",
    "Ref": "$ref",
    "XPreserveUnknownFields": "x-kubernetes-preserve-unknown-fields",
    "XEmbeddedResource": "x-kubernetes-embedded-resource",
    "XIntOrString": "x-kubernetes-int-or-string",
    "XListMapKeys": "x-kubernetes-list-map-keys",
    "XListType": "x-kubernetes-list-type",
    "XMapType": "x-kubernetes-map-type",
    "XValidations": "x-kubernetes-validations",
}


class Spec:
    """A definition's spec with what its versions share moved to the top."""

    def __init__(self, spec: Obj) -> None:
        self.raw = spec
        versions = spec.get("versions") or []
        self.shared: Obj = {}
        self.versions = [dict(version) for version in versions]
        for field, name in SHARED.items():
            first = versions[0].get(field) if versions else None
            if versions and all((version.get(field) or None) == (first or None) for version in versions):
                self.shared[name] = first or None
                for version in self.versions:
                    version.pop(field, None)

    def shown_versions(self) -> list[Obj] | None:
        """The versions as an error prints them."""
        return None if self.raw.get("versions") is None else [_version(version) for version in self.versions]


def _version(version: Obj) -> Obj:
    schema = version.get("schema")
    columns = version.get("additionalPrinterColumns")
    fields = version.get("selectableFields")
    return Struct(
        {
            "Name": version.get("name") or "",
            "Served": bool(version.get("served")),
            "Storage": bool(version.get("storage")),
            "Deprecated": bool(version.get("deprecated")),
            "DeprecationWarning": version.get("deprecationWarning"),
            "Schema": None if schema is None else {"OpenAPIV3Schema": shown(schema.get("openAPIV3Schema"))},
            "Subresources": _subresources(version.get("subresources")),
            "AdditionalPrinterColumns": None if columns is None else [_column(column) for column in columns],
            "SelectableFields": None
            if fields is None
            else [{"JSONPath": f.get("jsonPath", "")} for f in fields],
        }
    )


def _subresources(found: Obj | None) -> Obj | None:
    if found is None:
        return None
    scale = found.get("scale")
    paths = None
    if scale is not None:
        paths = Struct(
            SpecReplicasPath=scale.get("specReplicasPath") or "",
            StatusReplicasPath=scale.get("statusReplicasPath") or "",
            LabelSelectorPath=scale.get("labelSelectorPath"),
        )
    return Struct(Status={} if "status" in found else None, Scale=paths)


def _column(column: Obj) -> Obj:
    names = ("Name", "Type", "Format", "Description")
    texts = {name: column.get(name.lower()) or "" for name in names}
    return Struct(texts, Priority=column.get("priority") or 0, JSONPath=column.get("jsonPath") or "")


def json_name(name: str) -> str:
    """The published name of an internal field."""
    return SPECIAL.get(name) or name[0].lower() + name[1:]


def set_fields(schema: Obj) -> Iterator[str]:
    """The internal names of the fields that a schema sets, in their order."""
    for entry in SCHEMA:
        name = entry.rstrip("?!")
        value = schema.get(json_name(name))
        if value is not None and (entry.endswith("?") or value not in ("", False)):
            yield name


def shown(schema: Obj | None) -> Obj | None:
    """A schema as an error prints it."""
    if schema is None:
        return None
    result = Struct()
    for entry in SCHEMA:
        name = entry.rstrip("?!")
        empty = {"?": None, "!": False}.get(entry[-1], "")
        value = schema.get(json_name(name))
        result[name] = empty if value is None else _shown_field(name, value)
    return result


def _shown_field(name: str, value: Any) -> Any:
    show = _SHOWN.get(name)
    return value if show is None else show(value)


def _shown_items(value: Any) -> Obj:
    many = isinstance(value, list)
    return Struct(Schema=None if many else shown(value), JSONSchemas=_shown_list(value) if many else None)


def _shown_list(value: list[Obj]) -> list[Obj | None]:
    return [shown(item) for item in value]


def _shown_map(value: Obj) -> Obj:
    return {key: shown(item) for key, item in value.items()}


def _shown_bool(value: Any) -> Obj:
    inner = isinstance(value, dict)
    return Struct(Allows=inner or bool(value), Schema=shown(value) if inner else None)


_SHOWN: dict[str, Callable[[Any], Any]] = {
    "AdditionalItems": _shown_bool,
    "AdditionalProperties": _shown_bool,
    "AllOf": _shown_list,
    "AnyOf": _shown_list,
    "Definitions": _shown_map,
    "ExternalDocs": lambda value: Struct(Description=value.get("description", ""), URL=value.get("url", "")),
    "Items": _shown_items,
    "Not": shown,
    "OneOf": _shown_list,
    "PatternProperties": _shown_map,
    "Properties": _shown_map,
    "XValidations": lambda value: [rule(item) for item in value],
}


def rule(found: Obj) -> Obj:
    """A rule as an error prints it."""
    return Struct(
        Rule=found.get("rule") or "",
        Message=found.get("message") or "",
        MessageExpression=found.get("messageExpression") or "",
        Reason=found.get("reason"),
        FieldPath=found.get("fieldPath") or "",
        OptionalOldSelf=found.get("optionalOldSelf"),
    )


def inner_schemas(schema: Any) -> Iterator[Obj]:
    """A schema and everything below it."""
    if not isinstance(schema, dict):
        return
    yield schema
    below: list[Any] = []
    items = schema.get("items")
    below += items if isinstance(items, list) else [items]
    for name in ("allOf", "anyOf", "oneOf"):
        below += schema.get(name) or ()
    for name in ("not", "additionalProperties", "additionalItems"):
        below.append(schema.get(name))
    for name in ("properties", "patternProperties", "definitions", "dependencies"):
        below += (schema.get(name) or {}).values()
    for inner in below:
        yield from inner_schemas(inner)


def all_schemas(spec: Obj) -> Iterator[Obj]:
    """Every schema in a definition."""
    for version in spec.get("versions") or ():
        yield from inner_schemas((version.get("schema") or {}).get("openAPIV3Schema"))
