"""Custom objects as a whole: how they are decoded and what is wrong (`registry/customresource`)."""

from __future__ import annotations

import json
from typing import Any

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.conform import Conformer
from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.custom import embedded, lists, pruning, validating
from edgelab.edgesite.apiserver.custom.correlation import Correlation
from edgelab.edgesite.apiserver.custom.errors import Cause, blocks, invalid
from edgelab.edgesite.apiserver.custom.golang import quote
from edgelab.edgesite.apiserver.invalid import invalid as invalid_object
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.schema import Node
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

EMBEDDED, LIST_TYPE = "x-kubernetes-embedded-resource", "x-kubernetes-list-type"
MAX_INT32 = 2**31 - 1
NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to"
    " complete validation"
)
STANDARD_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes")
GO_NAMES = {bool: "bool", str: "string", list: "[]interface {}", dict: "map[string]interface {}"}
GO_NAMES |= {float: "float64", int: "int64", type(None): "<nil>"}


def conform(obj: Obj, node: Node | None, metadata: Node, conformer: Conformer) -> Obj:
    """The object with defaults and without unknown fields. Raises DecodeError for wrong metadata."""
    own = Conformer()
    found = own.root(obj["metadata"], metadata, "ObjectMeta")
    conformer.unknown += [f"metadata.{name}" for name in own.unknown]
    result: Obj = {name: pruning.clone(value) for name, value in obj.items() if name != "metadata"}
    result = {"apiVersion": result.pop("apiVersion"), "kind": result.pop("kind"), "metadata": found, **result}
    if node is None:
        return result
    pruning.complete(result, node)
    inner: list[str] = []
    if EMBEDDED in node.keywords:
        embedded.coerce(result, node, metadata, inner)
    unknown: list[str] = []
    pruning.prune(result, node, unknown, root=True)
    conformer.unknown += sorted(unknown) + inner
    return result


def check_kind(kind: Kind, obj: Obj) -> None:
    """The object says of which kind it is. Raises ApiError 400 or 422."""
    name = obj.get("kind")
    if not name:
        text = json.dumps(obj, ensure_ascii=False)
        raise ApiError(
            400,
            f"the object provided is unrecognized (must be of type {kind.name}): Object 'Kind' is missing in"
            f" '{text}' ({text})",
        )
    if name != kind.name:
        metadata = obj.get("metadata")
        of = str(metadata.get("name") or "") if isinstance(metadata, dict) else ""
        cause = invalid("kind", name, f"must be {kind.name}")
        raise invalid_object(name, kind.group, of, [cause])


def terminating(kind: Kind, body: Any) -> ApiError:
    """The answer to a create while the definition of the kind is being deleted."""
    text = "create not allowed while custom resource definition is terminating"
    name = ((body.get("metadata") or {}).get("name") or "") if isinstance(body, dict) else ""
    details = {"name": name, "group": kind.group, "kind": kind.plural}
    return ApiError(403, f'{kind.qualified} "{name}" is forbidden: {text}', details=details)


def problems(
    kind: Kind, obj: Obj, context: Context, old: Obj | None = None, subresource: str = ""
) -> list[Cause]:
    """What is wrong with an object besides its metadata; `old` is what an update changes."""
    node, custom = kind.schema, kind.custom
    assert custom is not None
    scale = custom.scale
    if node is None:
        return _scale(obj, scale, "spec") + _scale(obj, scale, "status")
    correlation = Correlation(obj, old, node) if old is not None else None
    if subresource == "status":
        causes = _status(obj, node, correlation) + _scale(obj, scale, "status")
    else:
        causes = validating.validate(obj, node, "", correlation)
        causes += _scale(obj, scale, "spec") + _scale(obj, scale, "status")
        causes += embedded.validate(obj, node) if EMBEDDED in node.keywords else []
    if LIST_TYPE in node.keywords and (old is None or not lists.validate(old, node)):
        causes += lists.validate(obj, node)
    if custom.rules is None:
        return causes
    if blocks(causes):
        return [*causes, invalid("", None, NOT_CHECKED)]
    broken, forgiven = custom.rules.check(obj, old, correlation)
    context.warnings += forgiven
    return causes + broken


def _status(obj: Obj, node: Node, correlation: Correlation | None) -> list[Cause]:
    field = node.field("status")
    if field is None or "status" not in obj:
        return []
    was = correlation.key("status") if correlation is not None else None
    return [
        Cause("status" if cause.field == "<nil>" else f"status.{cause.field}", cause.reason, cause.message)
        for cause in validating.validate(obj["status"], field, "", was)
    ]


def _scale(obj: Obj, scale: Obj | None, part: str) -> list[Cause]:
    """The fields of a scale subresource are whole numbers and not negative."""
    if scale is None:
        return []
    path = scale.get(f"{part}ReplicasPath") or ""
    value, problem = nested(obj, path, int)
    causes = []
    if problem:
        causes.append(invalid(path, 0, problem))
    elif value is not None and value < 0:
        causes.append(invalid(path, value, "should be a non-negative integer"))
    elif value is not None and value > MAX_INT32:
        causes.append(invalid(path, value, f"should be less than or equal to {MAX_INT32}"))
    selector = scale.get("labelSelectorPath")
    if part == "status" and selector:
        _, problem = nested(obj, selector, str)
        if problem:
            causes.append(invalid(selector, "", problem))
    return causes


def nested(obj: Any, path: str, wanted: type) -> tuple[Any, str]:
    """A value at a simple path, or why there is none of this type (`unstructured.NestedInt64`)."""
    parts = path.removeprefix(".").split(".")
    for position, part in enumerate(parts):
        if not isinstance(obj, dict):
            if obj is None:
                return None, ""
            return None, _accessor(parts[: position + 1], obj, "map[string]interface{}")
        if part not in obj:
            return None, ""
        obj = obj[part]
    if isinstance(obj, bool) or not isinstance(obj, wanted):
        return None, _accessor(parts, obj, GO_NAMES[wanted])
    return obj, ""


def _accessor(parts: list[str], value: Any, wanted: str) -> str:
    text = f"{value}" if isinstance(value, str | int | float) and not isinstance(value, bool) else _go(value)
    kind = GO_NAMES[type(value)]
    return f".{'.'.join(parts)} accessor error: {text} is of the type {kind}, expected {wanted}"


def _go(value: Any) -> str:
    """`%v` of a value."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{' '.join(map(_go, value))}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{name}:{_go(value[name])}' for name in sorted(value))}]"
    return str(value)


def warnings(obj: Obj, old: Obj | None) -> list[str]:
    """Finalizers should have the name of a domain."""
    before = ((old or {}).get("metadata") or {}).get("finalizers") or ()
    found = []
    for name in sorted(set(obj["metadata"].get("finalizers") or ()) - set(before)):
        head = f"metadata.finalizers: {quote(name)}: "
        found += [head + text for text in names.qualified(name)]
        if "/" in name or name in STANDARD_FINALIZERS:
            continue
        path = " including a path (/)" if "." in name else ""
        text = f"prefer a domain-qualified finalizer name{path} to avoid accidental conflicts"
        found.append(f"{head}{text} with other finalizer writers")
    return found
