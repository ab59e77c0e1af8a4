"""What CloudCores send each other about messages for a node that one of them has.

`POST /.edgelab/errand` at the other one's router; no node is called so, so no rule's path begins with it.
Header `Edgelab-Errand` is a sealed `Ticket` (identity/seals.py) over the body. A body, there and back, is an
envelope in JSON behind its length (4 bytes, big endian), then the message's own bytes. The answer is sealed
too: status 200 and a ticket of the same number. What has no seal was not said by a CloudCore of this cluster.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeVar

import msgspec

from edgelab.cloudcore.router.intake import LARGEST
from edgelab.identity.seals import Seal, SealError

PATH, HEADER = "/.edgelab/errand", "Edgelab-Errand"
PURPOSE = "router errands"
LARGEST_ENVELOPE = 1 << 20
LARGEST_BODY = LARGEST + LARGEST_ENVELOPE + 4
"""Bytes of a message with its envelope."""
LENGTH = 4

T = TypeVar("T")


class BadErrand(ValueError):
    """What came is none; `str()` says why."""


class Ticket(msgspec.Struct, frozen=True):
    """Who asks whom, when (Unix time, seconds), by which number, and SHA-256 of the body in hex."""

    sender: str
    to: str
    at: float
    number: str
    digest: str


class Request(msgspec.Struct, frozen=True):
    """A service's request, without its body: `resource` is `port:/path`."""

    method: str
    resource: str
    header: dict[str, list[str]]


class Errand(msgspec.Struct, frozen=True):
    """Deliver to `node` within `seconds`: publish on `topic`, or call a service with `request`.

    `keep`: when the node is away, keep the message until it connects. `rule`: namespace and name.
    """

    node: str
    seconds: float
    rule: tuple[str, str] = ("", "")
    topic: str = ""
    keep: bool = False
    request: Request | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What became of it: an `error` with its HTTP status, the answer of a service, or neither for what was
    published or `kept`."""

    status: int = 200
    header: dict[str, list[str]] = {}
    kept: bool = False
    error: str = ""
    retry_after: int | None = None


class Sealed:
    """Makes and reads tickets for one CloudCore. `now`: Unix time."""

    def __init__(self, key_der: bytes, me: str, now: Callable[[], float]) -> None:
        self.me = me
        self._seal = Seal(key_der, PURPOSE)
        self._now = now

    def ticket(self, to: str, number: str, body: bytes) -> str:
        """The value of `HEADER`."""
        digest = hashlib.sha256(body).hexdigest()
        return self._seal.put(msgspec.json.encode(Ticket(self.me, to, self._now(), number, digest)))

    def read(self, text: str) -> Ticket:
        """Whatever a CloudCore of this cluster sealed. Raises BadErrand."""
        try:
            return msgspec.json.decode(self._seal.take(text), type=Ticket)
        except (SealError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadErrand(str(error)) from None


def is_of(ticket: Ticket, body: bytes) -> bool:
    """Whether the ticket belongs to this body."""
    return ticket.digest == hashlib.sha256(body).hexdigest()


def pack(envelope: msgspec.Struct, body: bytes) -> bytes:
    """Both as one body."""
    head = msgspec.json.encode(envelope)
    return b"".join((len(head).to_bytes(LENGTH, "big"), head, body))


def unpack(data: bytes, kind: type[T]) -> tuple[T, bytes]:
    """What `pack` made. Raises BadErrand."""
    end = LENGTH + int.from_bytes(data[:LENGTH], "big")
    if not LENGTH < end <= len(data):
        raise BadErrand("the envelope is not whole")
    try:
        return msgspec.json.decode(memoryview(data)[LENGTH:end], type=kind), data[end:]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadErrand(f"the envelope cannot be read: {error}") from None
