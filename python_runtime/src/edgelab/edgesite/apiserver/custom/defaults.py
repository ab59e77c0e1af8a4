"""Defaults in schemas must be valid themselves (`apiserver/schema/defaulting/validation.go`)."""

from __future__ import annotations

import copy
from typing import Any

from edgelab.edgesite.apiserver.custom import embedded, internal, pruning, validating
from edgelab.edgesite.apiserver.custom.errors import Cause, child, invalid, key
from edgelab.edgesite.apiserver.schema import Node
from edgelab.objects.patch.json import same

Obj = dict[str, Any]


def validate(schema: Obj, path: str) -> list[Cause]:
    """What is wrong with the defaults of a structural schema."""
    return _validate({**schema, "x-kubernetes-embedded-resource": True}, path, inside_meta=False)


def _validate(schema: Obj, path: str, *, inside_meta: bool) -> list[Cause]:
    is_embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    inside_meta = inside_meta and not is_embedded
    causes: list[Cause] = []
    if schema.get("default") is not None:
        causes += _default(schema, child(path, "default"), inside_meta=inside_meta)
    if isinstance(schema.get("items"), dict):
        causes += _validate(schema["items"], child(path, "items"), inside_meta=inside_meta)
    for name in sorted(schema.get("properties") or ()):
        inside = inside_meta or (is_embedded and name in pruning.META)
        where = key(child(path, "properties"), name)
        causes += _validate(schema["properties"][name], where, inside_meta=inside)
    return causes


def _default(schema: Obj, path: str, *, inside_meta: bool) -> list[Cause]:
    node, value = Node(schema), schema["default"]
    causes: list[Cause] = []
    if not inside_meta:
        pruned = copy.deepcopy(value)
        pruning.prune(pruned, node, [], root=node.embedded)
        if not same(pruned, value):
            causes.append(invalid(path, value, "must not have unknown fields"))
        causes_meta = embedded.validate(value, node, path)
        if causes_meta:
            return causes + causes_meta
    found = validating.validate(value, node)
    if not found and not inside_meta:
        found = _broken_rules(schema, value)
    return causes + [_below(cause, path) for cause in found]


def _broken_rules(schema: Obj, value: Any) -> list[Cause]:
    """Defaults must keep the rules that apply to them, as if they had not changed and as if they were new."""
    if not any(inner.get("x-kubernetes-validations") for inner in internal.inner_schemas(schema)):
        return []
    from edgelab.edgesite.apiserver.custom import rules  # noqa: PLC0415

    found = rules.for_schema(schema, root=False)
    if found is None:
        return []
    causes, _ = found.check(value, value, None)
    return causes or found.check(value, None, None)[0]


def _below(cause: Cause, path: str) -> Cause:
    where = path if cause.field == "<nil>" else f"{path}.{cause.field}"
    return Cause(where, cause.reason, cause.message)
