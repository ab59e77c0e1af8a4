"""Applications as requests to the API server, and its answers as nodes expect them. No I/O.

Facts: KubeEdge `cloud/pkg/dynamiccontroller/application` (docs/reference/metaserver.md).
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from edgelab.kube.interface import Obj
from edgelab.objects.status import ApiError
from edgelab.protocol.content.applications import Application, Key, PatchOption, content_of, parse_key

LIST_OPTIONS = (
    "labelSelector",
    "fieldSelector",
    "resourceVersion",
    "resourceVersionMatch",
    "limit",
    "continue",
)
WRITE_OPTIONS = ("dryRun", "fieldManager", "fieldValidation", "force")


class HttpRequest(NamedTuple):
    """One request to the API server."""

    method: str
    path: str
    params: dict[str, str]
    body: bytes | None = None
    content_type: str = "application/json"


def address(key: Key, *, name: str = "", subresource: str = "") -> str:
    """The URL path of a collection, an object or its subresource. Raises ApiError (400)."""
    parts = ["apis", key.group, key.version] if key.group else ["api", key.version]
    if key.namespace:
        parts += ["namespaces", key.namespace]
    parts.append(key.resource)
    parts += [part for part in (name, subresource) if part]
    if {".", ".."}.intersection(parts):
        raise ApiError(400, f"{key} leads elsewhere: '.' and '..' are no names")
    return "/" + "/".join(quote(part, safe="") for part in parts)


def key_of(application: Application) -> Key:
    """What the application is about. Raises ApiError (400)."""
    try:
        return parse_key(application.key)
    except ValueError as error:
        raise ApiError(400, str(error)) from None


def body_of(application: Application) -> Obj:
    """What the request carries; empty where that is nothing, or no object. Raises ApiError (400)."""
    try:
        body = content_of(application.req_body)
        found = msgspec.json.decode(body) if body else {}
    except ValueError as error:
        raise ApiError(400, f"the request's body cannot be read: {error}") from None
    return found if isinstance(found, dict) else {}


def build(application: Application) -> HttpRequest:
    """The request that carries out an application (other than a watch). Raises ApiError (400, 405)."""
    key = key_of(application)
    try:
        options, body = application.options(), content_of(application.req_body)
    except ValueError as error:
        raise ApiError(400, f"{application.verb} {application.key}: {error}") from None
    sub = application.subresource
    match application.verb:
        case "list":
            return HttpRequest("GET", address(key), parameters(options, LIST_OPTIONS))
        case "get":
            params = parameters(options, ("resourceVersion",))
            return HttpRequest("GET", address(key, name=_named(key), subresource=sub), params)
        case "create":
            where = address(key, name=_named(key) if sub else "", subresource=sub)
            return HttpRequest("POST", where, parameters(options, WRITE_OPTIONS), body)
        case "update" | "updatestatus":
            sub = sub or ("status" if application.verb == "updatestatus" else "")
            where = address(key, name=_named(key), subresource=sub)
            return HttpRequest("PUT", where, parameters(options, WRITE_OPTIONS), body)
        case "delete":
            where = address(key, name=_named(key), subresource=sub)
            return HttpRequest("DELETE", where, {}, msgspec.json.encode(options) if options else None)
        case "patch":
            return _patch(key, application, options)
    raise ApiError(405, f"{application.verb!r} of {application.key} is not carried out for edge nodes")


def _patch(key: Key, application: Application, options: dict[str, Any]) -> HttpRequest:
    try:
        patch = msgspec.convert(options, PatchOption)
        data = content_of(patch.data)
    except (msgspec.ValidationError, ValueError) as error:
        raise ApiError(400, f"Option of the patch of {application.key}: {error}") from None
    sub = application.subresource or next(iter(patch.subresources or ()), "")
    where = address(key, name=_named(key), subresource=sub)
    return HttpRequest("PATCH", where, parameters(patch.options or {}, WRITE_OPTIONS), data, patch.patch_type)


def parameters(options: dict[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    """Those of the options that the API server takes in the URL."""
    found = {name: options[name] for name in names if options.get(name) not in (None, "", [], False)}
    return {name: _text(value) for name, value in found.items()}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(str(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _named(key: Key) -> str:
    if not key.name:
        raise ApiError(405, f"{key} names no object, and whole collections are only listed for edge nodes")
    return key.name


def with_kinds(body: Obj) -> Obj:
    """A list whose items say what they are, as Go's dynamic client gives it."""
    kind, version = str(body.get("kind") or ""), str(body.get("apiVersion") or "")
    for item in body.get("items") or []:
        item.setdefault("kind", kind.removesuffix("List"))
        item.setdefault("apiVersion", version)
    if body.get("items") is None:
        body["items"] = []
    return body
