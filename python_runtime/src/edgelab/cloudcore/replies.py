"""Answers to nodes in the shapes that KubeEdge's edges expect (`common/types/types.go`, edgecontroller)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from edgelab.cloudcore.interfaces import Courier
from edgelab.daemon.errors import Unreachable
from edgelab.kube.interface import Obj
from edgelab.objects.status import ApiError
from edgelab.protocol import message as wire
from edgelab.protocol.content.objects import ErrorBody, ObjectResponse
from edgelab.protocol.message import Message
from edgelab.protocol.resource import parse

SOURCE = "edgecontroller"
GROUP = "resource"
OK = "OK"


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


def object_resp(obj: Obj | None, error: Exception | None = None) -> ObjectResponse:
    """The object without kind and apiVersion, as Go's typed client gives it, and the error."""
    return ObjectResponse(
        wire.raw(None if obj is None else _untyped(obj)), None if error is None else error_status(error)
    )


def error_status(error: Exception) -> ErrorBody:
    """An error as Go marshals an API error: its Status without kind and apiVersion."""
    if isinstance(error, Unreachable):
        error = ApiError(503, str(error))
    if not isinstance(error, ApiError):
        error = ApiError(500, str(error))
    return ErrorBody(wire.raw(_untyped(error.status())))


OBJECT_RESP = frozenset(
    {
        ("node", "insert"),
        ("nodepatch", "patch"),
        ("podpatch", "patch"),
        ("pod", "insert"),
        ("lease", "insert"),
        ("lease", "update"),
        ("lease", "query"),
        ("certificatesigningrequest", "insert"),
    }
)
"""Requests that are answered with an ObjectResp."""
UNANSWERED = frozenset({"event"})


def refused(request: Message, error: ApiError) -> Message | None:
    """The answer to a request that is not carried out, in the shape that its sender reads; None for none."""
    address = parse(request.route.resource)
    if address.type in UNANSWERED:
        return None
    wrapped = (address.type, request.route.operation) in OBJECT_RESP
    return answer(request, object_resp(None, error) if wrapped else error_status(error))


def missing(error: Exception, singular: str, name: str, group: str = "") -> Exception:
    """NotFound as CloudCore's own lister words it, with the singular: `secret "x" not found`."""
    if not isinstance(error, ApiError) or error.code != 404:
        return error
    qualified = f"{singular}.{group}" if group else singular
    details = {"name": name, **({"group": group} if group else {}), "kind": singular}
    return ApiError(404, f'{qualified} "{name}" not found', details=details)


class Replier:
    """Sends a node the outcome of what it asked for."""

    def __init__(self, courier: Courier) -> None:
        self._courier = courier

    def ok(self, node: str, message: Message, *, version: str = "") -> None:
        """It is done, and there is nothing to show."""
        self._courier.send(node, answer(message, OK, version=version))

    def failed(self, node: str, message: Message, error: Exception) -> None:
        """The bare error, where a raw object is expected."""
        self._courier.send(node, answer(message, error_status(error)))

    def raw(self, node: str, message: Message, obj: Obj) -> None:
        """The object itself."""
        self._courier.send(node, answer(message, obj))

    async def wrapped(
        self, node: str, message: Message, call: Awaitable[Obj], *, versioned: bool = False
    ) -> None:
        """An ObjectResp of what `call` gives; `versioned` puts its version into the header too."""
        try:
            obj = await call
        except (ApiError, Unreachable) as error:
            self.refused(node, message, error)
            return
        version = obj["metadata"].get("resourceVersion", "") if versioned else ""
        self._courier.send(node, answer(message, object_resp(obj), version=version))

    def refused(self, node: str, message: Message, error: Exception) -> None:
        """An ObjectResp with an error and no object."""
        self._courier.send(node, answer(message, object_resp(None, error)))


def _untyped(obj: Obj) -> Obj:
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
