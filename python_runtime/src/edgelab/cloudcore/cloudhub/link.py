"""One connection of a node, whatever carries it: what CloudHub needs of a WebSocket or a QUIC stream."""

from __future__ import annotations

from typing import Protocol

from edgelab.cloudcore.cloudhub.peer import Peer

MESSAGE_LIMIT = 64 << 20
"""Bytes of one message of a node, at most."""
OVERSIZE, BAD_FRAME = "MessageTooLarge", "MalformedFrame"


class Gone(Exception):
    """The connection is closed, by the other side or by the network."""


class Broken(Gone):
    """We closed it, because the other side broke the rules: a word for an Event, a text for people."""

    def __init__(self, reason: str, text: str, code: int, why: str) -> None:
        """`code` and `why` are what the other side was told."""
        super().__init__(text)
        self.reason = reason
        self.code = code
        self.why = why


class Link(Protocol):
    """Whole messages in both directions, between two ends that TLS or a proof has named."""

    @property
    def peer(self) -> Peer:
        """The certificate that the node has proven to own."""
        ...

    def header(self, name: str) -> list[str]:
        """All values that the node gave for a header, its name in lower case."""
        ...

    async def receive(self) -> bytes:
        """The next message. Raises Gone."""
        ...

    def offer(self, frame: bytes) -> bool:
        """Send a message if there is room for it now; otherwise, and when it is gone, `send` has to wait."""
        ...

    async def send(self, frame: bytes) -> None:
        """Send a message, waiting for room. Raises Gone."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close, telling why (at most 100 characters of it). Never raises for a connection that is gone."""
        ...
