"""What a request is about: its verb and its object, read from method and URL (apiserver `RequestInfo`)."""

from __future__ import annotations

from typing import Any, NamedTuple

from edgelab.edgecore.metamanager.metaserver.http import Request
from edgelab.objects import selectors
from edgelab.objects.status import ApiError
from edgelab.protocol.content.applications import Key

SUBRESOURCES_OF_NAMESPACES = frozenset({"status", "finalize"})


class Target(NamedTuple):
    """A verb and what it is for."""

    verb: str
    key: Key
    subresource: str = ""


def read(request: Request) -> Target | None:
    """The target; None for a path that is no address of objects. Raises ApiError (400, 405)."""
    parts = [part for part in request.path.split("/") if part]
    if {".", ".."}.intersection(parts):
        raise ApiError(400, f"the path {request.path} leads elsewhere: '.' and '..' are no names")
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in SUBRESOURCES_OF_NAMESPACES:
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        return None
    resource, name, subresource = (*rest, "", "")[:3]
    key = Key(group, version, resource, namespace, name)
    verb = _verb(request, key)
    if verb in ("list", "watch") and not name:
        key = key._replace(name=_only_name(request.query.get("fieldSelector", "")))
    return Target(verb, key, subresource)


def _verb(request: Request, key: Key) -> str:
    watching = request.query.get("watch", "") in ("1", "true", "True")
    match request.method:
        case "GET" | "HEAD":
            if key.name and not watching:
                return "get"
            return "watch" if watching else "list"
        case "POST":
            return "create"
        case "PUT" if key.name:
            return "update"
        case "PATCH" if key.name:
            return "patch"
        case "DELETE" if key.name:
            return "delete"
        case "DELETE":
            raise ApiError(
                405, "MetaServer does not delete whole collections: delete each object by its name"
            )
    raise ApiError(405, f"MetaServer does not serve {request.method} {request.path}")


def _only_name(text: str) -> str:
    try:
        return selectors.parse_fields(text).exact("metadata.name") or ""
    except selectors.SelectorError as error:
        raise ApiError(400, str(error)) from None


def list_options(request: Request) -> dict[str, Any]:
    """The ListOptions of a request in the order of Go's fields. Raises ApiError (400)."""
    query = request.query
    options: dict[str, Any] = {}
    for name in ("labelSelector", "fieldSelector"):
        if query.get(name):
            options[name] = query[name]
    for name in ("resourceVersion", "resourceVersionMatch"):
        if query.get(name):
            options[name] = query[name]
    if query.get("limit"):
        options["limit"] = number(query, "limit")
    if query.get("continue"):
        options["continue"] = query["continue"]
    return options


def number(query: dict[str, str], name: str) -> int:
    """A query parameter that is a number; 0 when it is not there. Raises ApiError (400)."""
    text = query.get(name, "") or "0"
    if not text.isdecimal():
        raise ApiError(400, f"{name}={text} is no number")
    return int(text)


def flag(query: dict[str, str], name: str) -> bool:
    """Whether a query parameter is set to true."""
    return query.get(name, "") in ("1", "true", "True")
