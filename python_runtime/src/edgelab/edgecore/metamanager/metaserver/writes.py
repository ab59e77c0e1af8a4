"""Writes: handed to the cloud as they are, and refused when it is not there."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from edgelab.edgecore.interfaces import Obj
from edgelab.edgecore.metamanager.metaserver import media
from edgelab.edgecore.metamanager.metaserver.http import Request
from edgelab.edgecore.metamanager.metaserver.targets import Target, flag, number
from edgelab.objects.status import ApiError
from edgelab.protocol.content.applications import Key, PatchOption

META = "meta.k8s.io/v1"
PATCHES = frozenset(
    {
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    }
)


def create(request: Request, target: Target) -> tuple[Any, bytes]:
    """Options and body of a create. Raises ApiError."""
    return _options(request, "CreateOptions"), _encoded(_body(request, target))


def update(request: Request, target: Target) -> tuple[Any, bytes]:
    """Options and body of an update. Raises ApiError."""
    body = _body(request, target)
    named = (body.get("metadata") or {}).get("name")
    if named != target.key.name:
        raise ApiError(400, f"the object is named {named!r}, the URL says {target.key.name!r}")
    return _options(request, "UpdateOptions"), _encoded(body)


def patch(request: Request, target: Target) -> tuple[Any, None]:
    """The options of a patch, which hold it. Raises ApiError (415)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind not in PATCHES:
        raise ApiError(415, f"the patch is {kind!r}; accepted are {', '.join(sorted(PATCHES))}")
    options = _options(request, "PatchOptions")
    data = base64.b64encode(request.body).decode()
    return PatchOption(target.key.name, kind, data, options, [target.subresource]), None


def delete(request: Request) -> tuple[Any, None]:
    """The options of a delete, from its body or its URL. Raises ApiError."""
    options: Obj = media.body_of(request) if request.body.strip() else {}
    options = {key: value for key, value in options.items() if key not in ("kind", "apiVersion")}
    if "gracePeriodSeconds" in request.query:
        options["gracePeriodSeconds"] = number(request.query, "gracePeriodSeconds")
    if policy := request.query.get("propagationPolicy"):
        options["propagationPolicy"] = policy
    if dry := request.all("dryRun"):
        options["dryRun"] = dry
    return {"kind": "DeleteOptions", "apiVersion": META, **options}, None


def deleted(key: Key) -> bytes:
    """The answer to a delete, which the cloud gives none for."""
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": key.name, "kind": key.resource},
        "code": 200,
    }
    return msgspec.json.encode(status)


def _body(request: Request, target: Target) -> Obj:
    body = media.body_of(request)
    if not body.get("kind") or not body.get("apiVersion"):
        raise ApiError(400, "the object has no kind and apiVersion")
    metadata = body.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise ApiError(400, "metadata is no object")
    wanted = target.key.namespace
    if wanted and metadata.setdefault("namespace", wanted) != wanted:
        raise ApiError(
            400, f"the namespace of the object ({metadata['namespace']}) is not that of the URL ({wanted})"
        )
    return {key: value for key, value in body.items() if value != {} or key != "metadata"}


def _encoded(body: Obj) -> bytes:
    """As Go writes a map: the ID of a request is made of this."""
    return msgspec.json.encode(body, order="sorted")


def _options(request: Request, kind: str) -> dict[str, Any]:
    options: dict[str, Any] = {"kind": kind, "apiVersion": META}
    if dry := request.all("dryRun"):
        options["dryRun"] = dry
    if kind == "PatchOptions" and "force" in request.query:
        options["force"] = flag(request.query, "force")
    for name in ("fieldManager", "fieldValidation"):
        if request.query.get(name):
            options[name] = request.query[name]
    return options
