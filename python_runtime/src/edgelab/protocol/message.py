"""The hub message: one JSON document in one WebSocket text message.

Source of the format: KubeEdge `staging/src/github.com/kubeedge/beehive/pkg/core/model/message.go`
(our docs/reference/protocol.md). Content stays raw JSON, so that Kubernetes objects pass through
without being interpreted and numbers keep their exact text.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from edgelab.uids import new_uid

_texts = msgspec.json.Decoder(str)
NULL_CONTENT = msgspec.Raw(b"null")


class Header(msgspec.Struct, omit_defaults=True):
    """Identity and ordering of a message; `timestamp` is Unix milliseconds.

    The first two are written even when empty (a factory's value is never taken for a default).
    """

    msg_id: str = msgspec.field(default_factory=str)
    timestamp: int = msgspec.field(default_factory=int)
    parent_msg_id: str = ""
    resourceversion: str = ""
    sync: bool = False
    type: str = ""


class Route(msgspec.Struct, omit_defaults=True):
    """Who sends what to whom; `resource` follows `edgelab.protocol.resource`."""

    source: str = ""
    destination: str = ""
    group: str = ""
    operation: str = ""
    resource: str = ""


class Message(msgspec.Struct):
    """A hub message. `content` is raw JSON, `null` when there is none."""

    header: Header
    route: Route = msgspec.field(default_factory=Route)
    content: msgspec.Raw = NULL_CONTENT

    @property
    def id(self) -> str:
        """The message's own id (UUIDv4 text)."""
        return self.header.msg_id

    @property
    def parent_id(self) -> str:
        """The id of the request that this message answers; empty for requests and pushes."""
        return self.header.parent_msg_id

    def data(self) -> bytes:
        """Content as JSON bytes, reading through a JSON string that holds JSON text.

        Go's `GetContentData` gives receivers the text of a string, so a sender may put an object
        or its text there.
        """
        raw = bytes(self.content)
        return _texts.decode(raw).encode() if raw[:1] == b'"' else raw

    def value(self) -> Any:
        """Content as plain Python data: a string stays a string."""
        return msgspec.json.decode(self.content)

    def object(self) -> Any:
        """Content as plain Python data, a string that holds JSON text being parsed as well.

        Raises `msgspec.DecodeError` when the text is no JSON.
        """
        return msgspec.json.decode(self.data())


def now_ms() -> int:
    """Wall-clock time in Unix milliseconds, as `header.timestamp` wants it."""
    return time.time_ns() // 1_000_000


def raw(content: Any) -> msgspec.Raw:
    """`content` as raw JSON; a `msgspec.Raw` passes through."""
    return content if isinstance(content, msgspec.Raw) else msgspec.Raw(msgspec.json.encode(content))


def new(  # the arguments are the message's own fields
    *,
    source: str,
    group: str,
    operation: str,
    resource: str,
    content: Any = None,
    parent_id: str = "",
    resource_version: str = "",
) -> Message:
    """A message with a fresh id and the current time."""
    header = Header(new_uid(), now_ms(), parent_id, resource_version)
    return Message(header, Route(source, "", group, operation, resource), raw(content))


def reply(request: Message, content: Any, *, source: str = "", resource_version: str = "") -> Message:
    """The answer to `request`: parent, source, group and resource are taken from it (NewRespByMessage)."""
    route = request.route
    return new(
        source=source or route.source,
        group=route.group,
        operation="response",
        resource=route.resource,
        content=content,
        parent_id=request.id,
        resource_version=resource_version,
    )


def error(request: Message, text: str, *, source: str = "") -> Message:
    """An error answer to `request` with `text` as its content (NewErrorMessage)."""
    return new(
        source=source,
        group="",
        operation="error",
        resource=request.route.resource,
        content=text,
        parent_id=request.id,
    )


_decoder = msgspec.json.Decoder(Message)


def decode(frame: bytes | str) -> Message:
    """Read one WebSocket message. Raises `msgspec.DecodeError` for anything that is no hub message."""
    return _decoder.decode(frame)


def encode(message: Message) -> bytes:
    """Write one WebSocket message; Go's encoder ends it with a newline and so do we."""
    return msgspec.json.encode(message) + b"\n"
