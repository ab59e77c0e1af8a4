"""A request's path and query, as kube-apiserver reads them (`apiserver/pkg/endpoints/request`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from edgelab.objects.status import ApiError

RELAYED = ("attach", "exec", "log", "portforward", "proxy")
"""Subresources that another server answers for."""
VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class ResourcePath(NamedTuple):
    """`/api[s/<group>]/<version>[/namespaces/<namespace>]/<plural>[/<name>[/<subresource>]]`.

    `watched` is the old way to watch: `/watch` behind the version.
    """

    group: str
    version: str
    namespace: str
    plural: str
    name: str
    subresource: str
    rest: str = ""
    watched: bool = False


def parse_path(path: str) -> ResourcePath | None:
    """The resource that a path names, or None for any other path."""
    parts = path.strip("/").split("/")
    if "" in parts:
        return _with_gaps(parts)
    if not parts or parts[0] not in ("api", "apis"):
        return None
    start = 1 if parts[0] == "api" else 2
    if len(parts) <= start + 1:
        return None
    group = "" if parts[0] == "api" else parts[1]
    version, parts = parts[start], parts[start + 1 :]
    namespace, watched = "", parts[0] == "watch" and len(parts) > 1
    parts = parts[1:] if watched else parts
    if parts[0] == "namespaces" and len(parts) > 2 and parts[2] not in ("status", "finalize"):
        namespace, parts = parts[1], parts[2:]
    plural, name, subresource = (*parts[:3], "", "", "")[:3]
    return ResourcePath(group, version, namespace, plural, name, subresource, "/".join(parts[3:]), watched)


def _with_gaps(parts: list[str]) -> ResourcePath | None:
    """Nothing between two slashes is no name, but as a namespace it is all of them."""
    start = 3 if parts[0] == "api" else 4
    if (
        parts[0] not in ("api", "apis")
        or parts[start - 1 : start] != ["namespaces"]
        or parts.index("") != start
    ):
        return None
    return (
        parse_path("/".join(parts[: start - 1] + parts[start + 1 :]))
        if "" not in parts[start + 1 :]
        else None
    )


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean query parameter: everything but `0` and `false` says yes."""
    return name in query and query[name].lower() not in ("0", "false")


def number(query: Mapping[str, str], name: str, default: int = 0) -> int:
    """A numeric query parameter. Raises ApiError 400."""
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[+-]?[0-9]+", text, re.ASCII):
        raise ApiError(400, f'strconv.ParseInt: parsing "{text}": invalid syntax')
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise ApiError(400, f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


def verb_of(method: str, path: ResourcePath, query: Mapping[str, str]) -> str:
    """The RBAC verb of a request."""
    verb = VERBS.get(method, method.lower())
    if path.watched and verb == "get":
        return "watch"
    if path.name:
        return verb
    if verb == "get":
        return "watch" if flag(query, "watch") else "list"
    return "deletecollection" if verb == "delete" else verb
