"""The kinds that a definition defines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgelab.edgesite.apiserver.custom import internal
from edgelab.edgesite.apiserver.custom.conditions import is_true
from edgelab.edgesite.apiserver.custom.definition import Definition
from edgelab.edgesite.apiserver.kinds import CustomVersion, Kind, version_rank
from edgelab.edgesite.apiserver.schema import Node
from edgelab.kube.interface import Resource

if TYPE_CHECKING:
    from edgelab.edgesite.apiserver.custom.converting import Resolve
    from edgelab.edgesite.apiserver.custom.rules import SchemaRules

Obj = dict[str, Any]

VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")


def definition(crd: Obj, resolve: Resolve) -> Definition:
    """What the versions of a definition share."""
    group, versions = crd["spec"]["group"], crd["spec"]["versions"]
    schemas = {f"{group}/{version['name']}": _schema(crd, version) for version in versions}
    conversion, converter = crd["spec"].get("conversion") or {}, None
    if conversion.get("strategy") == "Webhook" and len(versions) > 1:
        from edgelab.edgesite.apiserver.custom.converting import WebhookConverter  # noqa: PLC0415

        converter = WebhookConverter(crd, schemas, resolve)
    return Definition(schemas, converter, source=(versions, conversion))


def kinds(crd: Obj, shared: Definition) -> list[Kind]:
    """One for each version that is served."""
    versions = crd["spec"]["versions"]
    storage = next(version["name"] for version in versions if version.get("storage"))
    return [_kind(crd, version, storage, shared) for version in versions if version.get("served")]


def _schema(crd: Obj, version: Obj) -> Node | None:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    return Node(schema) if schema is not None and not crd["spec"].get("preserveUnknownFields") else None


def _kind(crd: Obj, version: Obj, storage: str, shared: Definition) -> Kind:
    spec, names = crd["spec"], crd["status"]["acceptedNames"]
    subresources = version.get("subresources") or {}
    custom = CustomVersion(
        columns=tuple(version.get("additionalPrinterColumns") or ()),
        scale=subresources.get("scale"),
        selectable=tuple(item["jsonPath"].lstrip(".") for item in version.get("selectableFields") or ()),
        storage_version=storage,
        deprecation=_deprecation(spec, version),
        terminating=is_true(crd, "Terminating"),
        definition=shared,
        rules=_rules(version),
    )
    return Kind(
        Resource(
            spec["group"],
            version["name"],
            names["plural"],
            names["kind"],
            namespaced=spec["scope"] == "Namespaced",
        ),
        shared.schemas[f"{spec['group']}/{version['name']}"],
        singular=names["singular"],
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=tuple(name for name in ("status", "scale") if name in subresources),
        verbs=VERBS,
        list_kind=names["listKind"],
        custom=custom,
        storage_api_version=f"{spec['group']}/{storage}",
    )


def _rules(version: Obj) -> SchemaRules | None:
    """The rules of a version; what reads them is only loaded when there are some."""
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None or not any(
        inner.get("x-kubernetes-validations") for inner in internal.inner_schemas(schema)
    ):
        return None
    from edgelab.edgesite.apiserver.custom import rules  # noqa: PLC0415

    return rules.for_schema(schema)


def _deprecation(spec: Obj, version: Obj) -> str:
    """What whoever uses a deprecated version is warned of."""
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning") is not None:
        return str(version["deprecationWarning"])
    group, kind, name = spec["group"], spec["names"]["kind"], version["name"]
    text = f"{group}/{name} {kind} is deprecated"
    newer = [
        other["name"]
        for other in spec["versions"]
        if other.get("served")
        and not other.get("deprecated")
        and version_rank(other["name"]) > version_rank(name)
    ]
    return f"{text}; use {group}/{max(newer, key=version_rank)} {kind}" if newer else text


def plain(kind: Kind | None) -> Kind | None:
    """A kind whose objects nobody has to convert, to delete them."""
    if kind is None or kind.custom is None:
        return kind
    return replace(kind, custom=replace(kind.custom, definition=Definition({}, settled=True)))
