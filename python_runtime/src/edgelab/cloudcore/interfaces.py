"""What CloudCore's modules ask of one another.

app.py builds the modules and hands each the few things it calls; these protocols are those things.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from edgelab.protocol.message import Message
from edgelab.protocol.session.delivery import Delivery

Handler: TypeAlias = Callable[[str, Message], Awaitable[None]]
"""`await handler(node, message)`: treats one message of a node; replies through Courier."""


class Courier(Protocol):
    """CloudHub as the controllers see it. The calls return at once."""

    def send(self, node: str, message: Message) -> None:
        """Send once, without acknowledgement; lost when the node is not connected."""
        ...

    def push(self, node: str, delivery: Delivery) -> None:
        """Bring an object to the node, now or when it is back, unless it has that version."""
        ...

    def connected(self, node: str) -> bool:
        """Whether the node has a session."""
        ...

    def known(self, node: str) -> bool:
        """Whether the node has had a session since this process started."""
        ...

    def holders(self, uid: str) -> list[str]:
        """The nodes that have the object, in whatever version."""
        ...

    def disconnect(self, node: str, reason: str) -> None:
        """End the node's session."""
        ...
