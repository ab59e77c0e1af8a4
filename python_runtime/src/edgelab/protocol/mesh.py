"""What mesh agents and CloudCore say to each other on a WebSocket at `PATH` (docs/reference/edgemesh.md).

The first message of a connection is text, and says what the connection is for: `Hello` (one an agent, kept
open), `Connect` (an agent wants an endpoint) or `Accept` (the agent that has it answers an `Open`). After
`Opened`, or after an `Accept`, binary messages are the bytes, an empty one is their end in that direction; of
UDP each message is a datagram. No I/O. The protocol is ours: EdgeMesh has libp2p in this place.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

PATH = "/v1/edgelab/mesh"
LONGEST = 4096
"""Bytes of a text message."""


class Unreadable(Exception):
    """A text message that is none of these."""


class _Message(msgspec.Struct, tag_field="type", tag=str.lower):
    """What they have in common: the name of a message is its `type`."""


class Hello(_Message):
    """An agent is there: `Open` may be sent to it on this connection."""


class Connect(_Message):
    """Reach this endpoint; the answer is `Opened` or `Failed`."""

    node: str
    ip: str
    port: int
    protocol: str = "TCP"


class Open(_Message):
    """To the agent of the endpoint's node: dial it, and come back with `Accept`, or say `Refuse`."""

    id: str
    ip: str
    port: int
    protocol: str = "TCP"


class Accept(_Message):
    """This connection belongs to that `Open`; the endpoint is reached."""

    id: str


class Refuse(_Message):
    """It cannot be reached."""

    id: str
    reason: str = ""


class Opened(_Message):
    """Bytes may flow."""


class Failed(_Message):
    """They will not."""

    reason: str = ""


Message: TypeAlias = Hello | Connect | Open | Accept | Refuse | Opened | Failed
_DECODER: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def decode(data: bytes | str) -> Message:
    """Read a text message. Raises Unreadable, also for bytes."""
    if not isinstance(data, str) or len(data) > LONGEST:
        raise Unreadable("a text message was expected")
    try:
        return _DECODER.decode(data)
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from None


def encode(message: Message) -> str:
    """Write one."""
    return msgspec.json.encode(message).decode()
