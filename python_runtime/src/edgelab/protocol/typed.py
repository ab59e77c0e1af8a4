"""Messages with typed contents: read by their kind, written from their models.

The daemons forward most contents raw; this is for whoever builds, checks or replays messages.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from edgelab.protocol.content.catalogue import Kind, kind_of
from edgelab.protocol.content.codecs import Content
from edgelab.protocol.message import Header, Message, Route


class TypedMessage(NamedTuple):
    """A message whose content is read."""

    kind: Kind
    header: Header
    route: Route
    content: Content

    def message(self) -> Message:
        """The message as it goes over the wire."""
        return Message(self.header, self.route, self.content.raw())


def read(message: Message, direction: str) -> TypedMessage:
    """Read the content of a message that went `edge->cloud` or `cloud->edge`.

    Raises `msgspec.ValidationError` with the kind and the field when the content does not fit.
    """
    kind = kind_of(message, direction)
    try:
        content = kind.codec.read(message.content)
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(f"{kind.name} for {message.route.resource!r}: {error}") from error
    return TypedMessage(kind, message.header, message.route, content)
