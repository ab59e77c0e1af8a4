"""The paths of OpenAPI v3: which operations a kind has, what they take and what they answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgelab.edgesite.apiserver.discovery import SUBRESOURCES
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.schema import META, REFERENCE

Obj = dict[str, Any]

PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
MEDIA = ("application/json", "application/yaml")
TEXT = {"type": "string", "uniqueItems": True}
FLAG = {"type": "boolean", "uniqueItems": True}
NUMBER = {"type": "integer", "uniqueItems": True}
WRITE: tuple[tuple[str, Obj], ...] = (("dryRun", TEXT), ("fieldManager", TEXT), ("fieldValidation", TEXT))
LIST: tuple[tuple[str, Obj], ...] = (
    ("allowWatchBookmarks", FLAG),
    ("continue", TEXT),
    ("fieldSelector", TEXT),
    ("labelSelector", TEXT),
    ("limit", NUMBER),
    ("resourceVersion", TEXT),
    ("resourceVersionMatch", TEXT),
    ("sendInitialEvents", FLAG),
    ("timeoutSeconds", NUMBER),
    ("watch", FLAG),
)
DELETE: tuple[tuple[str, Obj], ...] = (
    ("dryRun", TEXT),
    ("gracePeriodSeconds", NUMBER),
    ("orphanDependents", FLAG),
    ("propagationPolicy", TEXT),
)
PARAMETERS = {
    "list": LIST,
    "deletecollection": (
        *DELETE,
        *(item for item in LIST if item[0] not in ("allowWatchBookmarks", "watch")),
    ),
    "delete": DELETE,
    "post": WRITE,
    "put": WRITE,
    "patch": (*WRITE, ("force", FLAG)),
}
# the verb of a subresource -> the method and the action
METHODS = {
    "create": ("post", "post"),
    "get": ("get", "get"),
    "patch": ("patch", "patch"),
    "update": ("put", "put"),
}
STREAMS = ("attach", "exec", "log", "portforward", "proxy")


def schema_name(kind: Kind) -> str:
    """The name of a kind's schema in the document."""
    if kind.custom is None and kind.schema is not None:
        return kind.schema.name
    return f"{'.'.join(reversed(kind.group.split('.')))}.{kind.resource.version}.{kind.name}"


def gvk(kind: Kind) -> Obj:
    """The extension that says which kind an operation or a schema is of."""
    return {"group": kind.group, "version": kind.resource.version, "kind": kind.name}


def paths(kind: Kind) -> Obj:
    """The paths of a kind."""
    root = f"/apis/{kind.group}/{kind.resource.version}" if kind.group else f"/api/{kind.resource.version}"
    base = f"{root}/namespaces/{{namespace}}" if kind.resource.namespaced else root
    collection = f"{base}/{kind.plural}"
    outer = [_path_parameter("namespace")] if kind.resource.namespaced else []
    if kind.verbs == ("create",):
        return {collection: _item(outer, post=_operation(kind, "post", "Namespaced"))}
    scope = "Namespaced" if kind.resource.namespaced else ""
    inner = [_path_parameter("name"), *outer]
    if "create" not in kind.verbs:
        read = {
            collection: _item(outer, get=_operation(kind, "list", scope)),
            f"{collection}/{{name}}": _item(inner, get=_operation(kind, "get", scope)),
        }
        return {**read, **_everywhere(kind, root)}
    found = {
        collection: _item(
            outer,
            get=_operation(kind, "list", scope),
            post=_operation(kind, "post", scope),
            delete=_operation(kind, "deletecollection", scope),
        )
    }
    found |= _everywhere(kind, root)
    verbs = {verb: _operation(kind, verb, scope) for verb in ("get", "put", "patch", "delete")}
    found[f"{collection}/{{name}}"] = _item(inner, **verbs)
    for name in (sub for sub in kind.subresources if sub not in STREAMS):
        found[f"{collection}/{{name}}/{name}"] = _item(inner, **dict(_subresource(kind, name, scope)))
    return found


def _everywhere(kind: Kind, root: str) -> Obj:
    """The list of all namespaces."""
    if not kind.resource.namespaced:
        return {}
    return {f"{root}/{kind.plural}": _item([], get=_operation(kind, "list", "", "ForAllNamespaces"))}


def _item(parameters: list[Obj], **verbs: Obj) -> Obj:
    return {**verbs, **({"parameters": parameters} if parameters else {})}


def _path_parameter(name: str) -> Obj:
    return {"name": name, "in": "path", "required": True, "schema": TEXT}


def _subresource(kind: Kind, name: str, scope: str) -> Iterator[tuple[str, Obj]]:
    group, version, other, verbs = SUBRESOURCES[name]
    owner = {"group": group, "version": version, "kind": other} if other else gvk(kind)
    package = {"": "core", "autoscaling": "autoscaling", "policy": "policy"}.get(
        group, group.partition(".")[0]
    )
    schema = f"io.k8s.api.{package}.{version}.{other}" if other else schema_name(kind)
    for method, action in (METHODS[verb] for verb in verbs if verb in METHODS):
        operation = _operation(kind, action, scope, name.title(), schema=schema)
        yield method, {**operation, "x-kubernetes-group-version-kind": owner}


def _operation(kind: Kind, verb: str, scope: str = "", suffix: str = "", *, schema: str = "") -> Obj:
    schema = schema or schema_name(kind)
    verb_name = {"get": "read", "put": "replace", "post": "create", "deletecollection": "deleteCollection"}
    group = "".join(part.title() for part in (kind.group.partition(".")[0] or "core").split("-"))
    version = kind.resource.version.title()
    operation: Obj = {
        "operationId": f"{verb_name.get(verb, verb)}{group}{version}{scope}{kind.name}{suffix}",
        "x-kubernetes-action": verb,
        "x-kubernetes-group-version-kind": gvk(kind),
    }
    answer = META + "Status" if verb in ("delete", "deletecollection") else schema
    if verb == "list":
        answer = schema.removesuffix(kind.name) + kind.list_kind
    if verb in PARAMETERS:
        operation["parameters"] = [
            {"name": name, "in": "query", "schema": form} for name, form in PARAMETERS[verb]
        ]
    if verb in ("post", "put"):
        operation["requestBody"] = {"content": {"*/*": {"schema": _reference(schema)}}, "required": True}
    elif verb == "patch":
        accepted = PATCH_TYPES if kind.custom is None else PATCH_TYPES[:3]
        body = _reference(META + "Patch")
        operation["requestBody"] = {
            "content": {media: {"schema": body} for media in accepted},
            "required": True,
        }
    elif verb in ("delete", "deletecollection"):
        operation["requestBody"] = {"content": {"*/*": {"schema": _reference(META + "DeleteOptions")}}}
    content = {media: {"schema": _reference(answer)} for media in MEDIA}
    code = "201" if verb == "post" else "200"
    return {**operation, "responses": {code: {"description": "OK", "content": content}}}


def _reference(name: str) -> Obj:
    return {"$ref": REFERENCE + name}
