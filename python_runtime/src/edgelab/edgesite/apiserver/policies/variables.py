"""The variables of expressions in admission, and their types (`admission/plugin/cel/compile.go`)."""

from __future__ import annotations

import functools

from edgelab.edgesite.apiserver.cel.types import DYN, OPAQUE, Type, read

VARIABLES = "kubernetes.variables"
_STRUCTS = {
    "GroupVersionKind": "group: string, version: string, kind: string",
    "GroupVersionResource": "group: string, version: string, resource: string",
    "UserInfo": "username: string, uid: string, groups: list(string), extra: map(string, list(string))",
    "AdmissionRequest": "kind: GroupVersionKind, resource: GroupVersionResource, subResource: string,"
    " requestKind: GroupVersionKind, requestResource: GroupVersionResource, requestSubResource: string,"
    " name: string, namespace: string, operation: string, userInfo: UserInfo, dryRun: bool, options: dyn",
    "NamespaceSpec": "finalizers: list(string)",
    "NamespaceCondition": "status: string, type: string, lastTransitionTime: timestamp, message: string,"
    " reason: string",
    "NamespaceStatus": "conditions: list(NamespaceCondition), phase: string",
    "NamespaceMetadata": "name: string, generateName: string, namespace: string,"
    " labels: map(string, string), annotations: map(string, string), UID: string,"
    " creationTimestamp: timestamp, deletionGracePeriodSeconds: int, deletionTimestamp: timestamp,"
    " generation: int, resourceVersion: string, finalizers: list(string)",
    "Namespace": "metadata: NamespaceMetadata, spec: NamespaceSpec, status: NamespaceStatus",
}


@functools.cache
def struct(name: str) -> Type:
    """One of the types that expressions in admission know by name."""
    fields: dict[str, Type] = {}
    for text in _fields(_STRUCTS[name]):
        field, _, kind = text.partition(": ")
        fields[field] = _named(kind)
    return Type("struct", name=f"kubernetes.{name}", fields=fields)


def _fields(text: str) -> list[str]:
    """Split at the commas outside of parentheses."""
    parts = [""]
    for piece in text.split(", "):
        inside = parts[-1].count("(") > parts[-1].count(")")
        parts[-1:] = [f"{parts[-1]}, {piece}"] if inside else [parts[-1], piece]
    return parts[1:]


def _named(kind: str) -> Type:
    inner = kind.removeprefix("list(").removesuffix(")")
    if inner in _STRUCTS:
        found = struct(inner)
        return Type("list", (found,)) if inner != kind else found
    return read(kind)


def declared(
    *,
    params: bool,
    authorizer: bool = True,
    composed: dict[str, Type] | None = None,
    object_type: Type = DYN,
    params_type: Type = DYN,
) -> dict[str, Type]:
    """What an expression may name; `composed` are the variables of the policy."""
    found = {
        "object": object_type,
        "oldObject": object_type,
        "request": struct("AdmissionRequest"),
        "namespaceObject": struct("Namespace"),
    }
    if params:
        found["params"] = params_type
    if authorizer:
        found["authorizer"] = OPAQUE["Authorizer"]
        found["authorizer.requestResource"] = OPAQUE["ResourceCheck"]
    if composed is not None:
        found["variables"] = Type("struct", name=VARIABLES, fields=composed)
    return found
