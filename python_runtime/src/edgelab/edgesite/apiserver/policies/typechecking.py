"""Expressions of a policy with the types of what it looks at (`policy/validating/typechecking.go`).

Warnings only: what a policy does does not depend on them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from edgelab.edgesite.apiserver.cel import types
from edgelab.edgesite.apiserver.cel.expressions import compiled, composed
from edgelab.edgesite.apiserver.cel.schematypes import SCALARS, STRINGS, escape
from edgelab.edgesite.apiserver.cel.types import Type, list_of, map_of
from edgelab.edgesite.apiserver.kinds import Kind, Kinds
from edgelab.edgesite.apiserver.policies.variables import declared
from edgelab.edgesite.apiserver.schema import Node

Obj = dict[str, Any]

MOST_TYPES = 10
REQUEST_RESOURCE = "authorizer.requestResource"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
PREFIX = "compilation failed: "


def warnings(policy: Obj, kinds: Kinds) -> list[Obj]:
    """ExpressionWarnings for the status of a policy."""
    checker = _Checker(policy["spec"], kinds)
    found: list[Obj] = []
    for position, validation in enumerate(policy["spec"].get("validations") or ()):
        for field in ("expression", "messageExpression"):
            text = checker.check(validation.get(field) or "")
            if text:
                found.append({"fieldRef": f"spec.validations[{position}].{field}", "warning": text})
    return found


class _Checker:
    """The types that a policy may meet."""

    def __init__(self, spec: Obj, kinds: Kinds) -> None:
        self._spec = spec
        found = ((kind, _type_of(kind, kinds)) for kind in _kinds(spec, kinds))
        self._types = [(kind, kind_type) for kind, kind_type in found if kind_type is not None]
        wanted = spec.get("paramKind")
        params = kinds.by_kind(wanted["apiVersion"], wanted["kind"]) if wanted is not None else None
        self._params = _type_of(params, kinds) if params is not None else None

    def check(self, expression: str) -> str:
        """What is wrong with an expression, for each type."""
        if not expression:
            return ""
        found = []
        for kind, object_type in self._types:
            error = self._error(expression, object_type)
            if error:
                version = kind.api_version if kind.group else f"/{kind.api_version}"
                found.append(f"{version}, Kind={kind.name}: {error}\n")
        return "\n".join(found)

    def _error(self, expression: str, object_type: Type) -> str:
        fields: dict[str, Type] = {}
        variables = declared(
            params=self._params is not None,
            composed=fields,
            object_type=object_type,
            params_type=self._params or types.DYN,
        )
        del variables[REQUEST_RESOURCE]
        for variable in self._spec.get("variables") or ():
            fields[variable["name"]] = composed(compiled(variable["expression"], variables).gives)
        return compiled(expression, variables).error.removeprefix(PREFIX)


def _kinds(spec: Obj, kinds: Kinds) -> list[Kind]:
    """What the rules of a policy name without wildcards, by group, version and kind."""
    found: dict[tuple[str, str, str], Kind] = {}
    count = 0
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        for kind in _named(rule, kinds):
            found[kind.group, kind.resource.version, kind.name] = kind
            count += 1
            if count == MOST_TYPES:
                return [found[key] for key in sorted(found)]
        count = 0
    return [found[key] for key in sorted(found)]


def _named(rule: Obj, kinds: Kinds) -> Iterator[Kind]:
    groups, versions = rule.get("apiGroups") or (), rule.get("apiVersions") or ()
    if any("*" in text for text in (*groups, *versions)):
        return
    resources = sorted(name for name in rule.get("resources") or () if not set("*/") & set(name))
    for group in sorted(groups):
        for version in sorted(versions):
            for resource in resources:
                yield from (
                    kind
                    for kind in kinds
                    if kind.plural == resource
                    and kind.resource.version == version
                    and group in ("", kind.group)  # without a group, a REST mapper takes any
                )


def _type_of(kind: Kind, kinds: Kinds) -> Type | None:
    """The type of the objects of a kind."""
    if kind.schema is None:
        return None
    name = f"{kind.name}{time.time_ns() % 10**9}"
    found = _of(kind.schema, name, ())
    metadata = _of(kinds.catalogue.object_meta, f"{name}.metadata", ())
    if found is None or found.kind != "struct" or metadata is None:
        return None
    texts = {"apiVersion": types.STRING, "kind": types.STRING}
    return Type("struct", name=name, fields={**found.fields, **texts, "metadata": metadata})


def _of(node: Node, name: str, above: tuple[str, ...]) -> Type | None:
    """SchemaDeclType; what is in itself has no fields there."""
    raw = node.raw
    if raw.get("x-kubernetes-int-or-string") or node.name == INT_OR_STRING:
        return types.DYN
    if node.name and node.name in above:
        return Type("struct", name=name)
    above = (*above, node.name) if node.name else above
    if node.type == "array":
        items = node.items
        inner = _of(items, f"{name}.@idx", above) if items is not None else None
        return None if inner is None else list_of(inner)
    if node.type == "object":
        return _object(node, name, above)
    if node.type == "string":
        return STRINGS.get(raw.get("format") or "", types.STRING)
    return SCALARS.get(node.type)


def _object(node: Node, name: str, above: tuple[str, ...]) -> Type | None:
    if node.values is not None:
        inner = _of(node.values, f"{name}.@elem", above)
        return None if inner is None else map_of(types.STRING, inner)
    fields: dict[str, Type] = {}
    for field in node.field_names:
        escaped, schema = escape(field), node.field(field)
        found = _of(schema, f"{name}.{escaped}", above) if escaped and schema is not None else None
        if escaped and found is not None:
            fields[escaped] = found
    return Type("struct", name=name, fields=fields)
