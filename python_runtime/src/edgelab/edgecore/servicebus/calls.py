"""What the cloud's router wants of services on this node: calls, one task each, and their replies.

Resource `port:/path`, content as `ServiceRequest` (docs/reference/protocol.md). The original answers its own
errors without an operation, which its CloudCore cannot route; here they have the operation of every reply.
"""

from __future__ import annotations

import logging

import msgspec

from edgelab.daemon.tasks import Supervisor
from edgelab.edgecore.interfaces import Hub, Offline
from edgelab.edgecore.servicebus.caller import Answer, CallError, Request, call
from edgelab.protocol import message as wire
from edgelab.protocol.content.users import EDGE_SERVER, ServiceRequest
from edgelab.protocol.message import Message

log = logging.getLogger(__name__)

TIMEOUT = 10.0
"""Seconds for a call of a cloud that names none; the original's."""
LONGEST = 3600.0
CALLS = 64
LARGEST = 64 << 20
"""Calls under way, and bytes of their requests; one more is answered with 503."""


class Calls:
    """Carries out and replies."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._owner = Supervisor("servicebus/calls")
        self._count = 0
        self._size = 0

    async def begin(self, message: Message) -> None:
        """Start a call; the reply follows."""
        size = len(message.content)
        if self._count >= CALLS or (self._count and self._size + size > LARGEST):
            await self._reply(message, _failure(503, "too many calls of services are under way on this node"))
            return
        self._count += 1
        self._size += size
        self._owner.spawn(self._run(message, size), message.route.resource[:100])

    async def close(self) -> None:
        """Give up all calls."""
        await self._owner.close()

    async def _run(self, message: Message, size: int) -> None:
        try:
            await self._reply(message, await _answer(message))
        finally:
            self._count -= 1
            self._size -= size

    async def _reply(self, message: Message, answer: Answer) -> None:
        content = {
            "header": answer.header,
            "status_code": answer.status,
            "body": answer.body,
        }
        reply = wire.new(
            source="servicebus",
            group="user",
            operation="upload",
            resource="",
            content=content,
            parent_id=message.id,
        )
        try:
            await self._hub.send(reply)
        except Offline:
            log.warning("the answer of %s is lost, there is no connection", message.route.resource)


async def _answer(message: Message) -> Answer:
    try:
        port, path = _target(message.route.resource)
        request = msgspec.json.decode(message.data(), type=ServiceRequest)
        method = request.method or message.route.operation
        seconds = min(request.timeout or TIMEOUT, LONGEST)
        return await call(Request(method, port, path, request.header or {}, request.body or b""), seconds)
    except CallError as error:
        return _failure(error.status, str(error))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _failure(400, f"the request cannot be read: {error}")


def _target(resource: str) -> tuple[int, str]:
    """Port and path. Raises CallError."""
    port, colon, path = resource.partition(":")
    if not colon or not port.isascii() or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise CallError(400, f"{resource[:200]!r} is not PORT:/PATH")
    return int(port), path if path.startswith("/") else f"/{path}"


def _failure(status: int, text: str) -> Answer:
    return Answer(status, {"Server": [EDGE_SERVER]}, text.encode())
