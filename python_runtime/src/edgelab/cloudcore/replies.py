"""Answers to nodes in the shapes that KubeEdge's edges expect (`common/types/types.go`, edgecontroller)."""

from __future__ import annotations

from typing import Any

from edgelab.daemon.errors import Unreachable
from edgelab.objects.status import ApiError
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message

SOURCE = "edgecontroller"
GROUP = "resource"


def answer(request: Message, content: Any, *, version: str = "") -> Message:
    """An answer of edgecontroller to a request."""
    return wire.new(
        source=SOURCE,
        group=GROUP,
        operation="response",
        resource=request.route.resource,
        content=content,
        parent_id=request.id,
        resource_version=version,
    )


def object_resp(obj: dict[str, Any] | None, error: Exception | None = None) -> dict[str, Any]:
    """An ObjectResp: the object without kind and apiVersion, as Go's typed client gives it, and the error."""
    if obj is not None:
        obj = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
    return {"Object": obj, "Err": None if error is None else error_status(error)}


def error_status(error: Exception) -> dict[str, Any]:
    """An error as Go marshals an API error: `{"ErrStatus": Status without kind and apiVersion}`."""
    if isinstance(error, Unreachable):
        error = ApiError(503, str(error))
    if not isinstance(error, ApiError):
        error = ApiError(500, str(error))
    status = error.status()
    return {"ErrStatus": {key: value for key, value in status.items() if key not in ("kind", "apiVersion")}}


def missing(error: Exception, singular: str, name: str, group: str = "") -> Exception:
    """NotFound as CloudCore's own lister words it, with the singular: `secret "x" not found`."""
    if not isinstance(error, ApiError) or error.code != 404:
        return error
    qualified = f"{singular}.{group}" if group else singular
    details = {"name": name, **({"group": group} if group else {}), "kind": singular}
    return ApiError(404, f'{qualified} "{name}" not found', details=details)
