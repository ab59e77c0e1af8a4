"""Messages to nodes: publishing over MQTT there, and calls of services there with their replies.

Receives: what rules lead to a node; replies, by the id of the message that they answer. Sends: through
CloudHub, behind everything else that waits for the node. Stores: one future for each call under way.
When the node is away, goes away, or does not answer in time: Undeliverable, at once or at the deadline.
Shapes: KubeEdge `cloud/pkg/router/provider/{eventbus,servicebus}` (docs/reference/protocol.md).
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from edgelab.cloudcore.cloudhub.bulk import Full, Parcel
from edgelab.cloudcore.router.errors import Undeliverable, away
from edgelab.protocol import message as wire
from edgelab.protocol.content.users import BASE64, EDGE_SERVER, ServiceResponse
from edgelab.protocol.message import Message

GROUP = "user"
EVENTBUS_SOURCE, SERVICEBUS_SOURCE = "router_eventbus", "router_servicebus"
NOT_CALLED = "error to call service"
"""What an edge answers, with 404, for a service that does not listen."""
MARGIN = 0.5
"""Seconds that a reply needs to come back in time."""


class Hub(Protocol):
    """CloudHub, as the router sees it."""

    def connected(self, node: str) -> bool:
        """Whether the node has a session."""
        ...

    def extended(self, node: str) -> bool:
        """Whether an EdgeCore of ours is there."""
        ...

    def post(self, node: str, message: Message, size: int) -> Parcel | None:
        """Send what a user wrote; None when the node is not connected. Raises Full."""
        ...

    def send(self, node: str, message: Message) -> None:
        """Send once, without acknowledgement; lost when the node is not connected."""
        ...


class Call(NamedTuple):
    """A request for a service: `resource` is `port:/path`, `header` has Go's spelling."""

    method: str
    resource: str
    header: Mapping[str, Sequence[str]]
    body: bytes


class Answer(NamedTuple):
    """What a service answered."""

    status: int
    header: Mapping[str, Sequence[str]]
    body: bytes


class Deliveries:
    """All that is under way to nodes. Deadlines are seconds of the loop's clock."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiting: dict[str, tuple[str, asyncio.Future[Message]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    async def publish(self, node: str, topic: str, body: bytes, deadline: float) -> None:
        """Have a node publish on MQTT; returns once it is written to the connection.

        Raises Undeliverable.
        """
        message = wire.new(
            source=EVENTBUS_SOURCE, group=GROUP, operation="publish", resource=topic, content=None
        )
        try:
            message.content = wire.raw(body.decode())
        except UnicodeDecodeError:
            self._as_base64(node, message, body)
        await self._post(node, message, len(body), deadline)

    async def call(self, node: str, call: Call, deadline: float) -> Answer:
        """Have a node call a service; gives what it answered. Raises Undeliverable."""
        content: dict[str, Any] = {
            "header": call.header,
            "body": call.body,
            "method": call.method,
            "url": "",
        }
        if self._hub.extended(node):
            left = deadline - asyncio.get_running_loop().time() - MARGIN
            content["timeout"] = max(0.1, round(left, 3))
        message = wire.new(
            source=SERVICEBUS_SOURCE,
            group=GROUP,
            operation=call.method,
            resource=call.resource if "timeout" in content else _one_colon(call.resource),
            content=content,
        )
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        identity = message.id
        self._waiting[identity] = (node, reply)
        try:
            await self._post(node, message, len(call.body) * 4 // 3, deadline)
            del message, content  # several MiB that nobody needs while the service thinks
            async with asyncio.timeout_at(deadline):
                return _answer(await reply)
        except TimeoutError:
            raise Undeliverable(504, f"node {node} did not answer in time") from None
        finally:
            del self._waiting[identity]
            reply.cancel()

    def replied(self, node: str, message: Message) -> bool:
        """Give a reply to whoever waits for it; False when nobody does."""
        waiting = self._waiting.get(message.parent_id)
        if waiting is None or waiting[0] != node or waiting[1].done():
            return False
        waiting[1].set_result(message)
        return True

    def gone(self, node: str) -> None:
        """A session of the node has ended: its replies will not come."""
        for waited, reply in self._waiting.values():
            if waited == node and not reply.done():
                reply.set_exception(Undeliverable(502, f"the connection of node {node} ended meanwhile"))

    def _as_base64(self, node: str, message: Message, body: bytes) -> None:
        if not self._hub.connected(node):
            raise away(node)
        if not self._hub.extended(node):
            text = f"the body is no UTF-8, and the EdgeCore of node {node} would change it on its way to MQTT"
            raise Undeliverable(415, text)
        message.header.type = BASE64
        message.content = wire.raw(base64.b64encode(body).decode())

    async def _post(self, node: str, message: Message, size: int, deadline: float) -> None:
        try:
            parcel = self._hub.post(node, message, size)
        except Full:
            text = f"too much waits for node {node} already"
            raise Undeliverable(503, text, retry_after=1) from None
        if parcel is None:
            raise away(node)
        try:
            async with asyncio.timeout_at(deadline):
                written = await parcel.sent
        except TimeoutError:
            raise Undeliverable(504, f"node {node} did not take the message in time") from None
        if not written:
            raise away(node)


def _one_colon(resource: str) -> str:
    """`port:/path` as KubeEdge's EdgeCore reads it, which refuses a second colon, such as one in a query."""
    port, _, path = resource.partition(":")
    return f"{port}:{path.replace(':', '%3A')}"


def _answer(message: Message) -> Answer:
    """Raises Undeliverable for a reply that is none, or that says the service could not be reached."""
    try:
        found = msgspec.json.decode(message.data(), type=ServiceResponse)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Undeliverable(502, "invalid response: the node's reply cannot be read") from None
    header, body = found.header or {}, found.body or b""
    if not 200 <= found.status_code <= 599:
        raise Undeliverable(502, f"invalid response: status {found.status_code} of the service")
    if EDGE_SERVER in header.get("Server", ()):
        status = (
            502 if found.status_code == 404 and body.startswith(NOT_CALLED.encode()) else found.status_code
        )
        raise Undeliverable(status, body.decode("utf-8", "replace"))
    return Answer(found.status_code, header, body)
