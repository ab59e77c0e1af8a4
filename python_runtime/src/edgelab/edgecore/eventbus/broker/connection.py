"""One client's connection to the internal broker: bytes to packets, packets to what they ask for.

A publisher is not read any further while those who get its messages, or EdgeCore itself, have enough
to do. A client that takes nothing for a while holds up nobody: it is left to its queue until that is
empty again.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from edgelab.edgecore.eventbus.broker import packets
from edgelab.edgecore.eventbus.broker.packets import Connect, Malformed, Message, Splitter
from edgelab.edgecore.eventbus.broker.session import Session

PATIENCE = 0.5
"""Seconds for which a client may hold up those who publish to it."""

LOGIN_PACKET = 16 * 1024
"""Bytes of a CONNECT, its will included: strangers cannot make us keep more."""

UNSENT = 64 * 1024
"""Bytes that may wait in a client's socket before it counts as not taking more."""


class Host(Protocol):
    """The broker as a connection sees it."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for another connection."""
        ...

    def log_in(self, connection: Connection, connect: Connect) -> None:
        """Accept or refuse; sets `connection.session`."""
        ...

    def published(self, connection: Connection, message: Message) -> None:
        """A client published something."""
        ...

    def subscribe(self, connection: Connection, wanted: list[tuple[str, int]]) -> list[int]:
        """Subscribe; returns the codes of SUBACK."""
        ...

    def subscribed(self, connection: Connection, wanted: list[tuple[str, int]]) -> None:
        """SUBACK has been sent: send what is retained."""
        ...

    def unsubscribe(self, connection: Connection, patterns: list[str]) -> None:
        """Unsubscribe."""
        ...

    def gone(self, connection: Connection, why: str) -> None:
        """The connection has ended."""
        ...


class Connection(asyncio.Protocol):
    """The protocol of one socket."""

    def __init__(self, host: Host, largest_packet: int) -> None:
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._largest_packet = largest_packet
        self._splitter = Splitter(min(LOGIN_PACKET, largest_packet))
        self._transport: asyncio.Transport | None = None
        self.peer = "?"
        self._out: list[bytes] = []
        self._holders: set[object] = set()
        self._held: set[Connection] = set()
        self._patience: asyncio.TimerHandle | None = None
        self._why = "the client closed the connection"
        self.faulty = False
        """Whether the client broke the protocol."""
        self.session: Session | None = None
        self.will: Message | None = None
        self.keepalive = 0
        self.heard = host.now()
        self.writable = True
        self.slow = False

    # The socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        address = transport.get_extra_info("peername")
        self.peer = str(address[0]) if address else "?"
        transport.set_write_buffer_limits(high=UNSENT)
        if not self._host.admit(self):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        self.heard = self._host.now()
        self._splitter.feed(data)
        self._work()

    def pause_writing(self) -> None:
        """The client does not take what it is sent."""
        self.writable = False

    def resume_writing(self) -> None:
        """It does again."""
        self.writable = True
        if self.session is not None:
            self.session.go_on()
            self._relax()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._transport = None
        self._let_go()
        for holder in self._holders:
            if isinstance(holder, Connection):
                holder._held.discard(self)
        self._host.gone(self, str(exc) if exc else self._why)

    def send(self, data: bytes) -> None:
        """Send with whatever else is sent in this turn of the event loop."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def close(self, why: str) -> None:
        """End the connection once what was sent is out."""
        self._why = why
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self, why: str) -> None:
        """End the connection now."""
        self._why = why
        if self._transport is not None:
            self._transport.abort()

    @property
    def held(self) -> bool:
        """Whether we do not listen to this client now."""
        return bool(self._holders)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(out))

    # Publishers wait for receivers

    def hold(self, holder: object) -> None:
        """Read nothing more from this client until `release`."""
        if not self._holders and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        self._holders.add(holder)

    def release(self, holder: object) -> None:
        """Go on reading, unless somebody else still needs a pause."""
        if holder not in self._holders:
            return
        self._holders.discard(holder)
        if not self._holders and self._transport is not None and not self._transport.is_closing():
            self.heard = self._host.now()  # it was we who did not listen
            self._transport.resume_reading()
            self._loop.call_soon(self._work)

    def brake(self, publisher: Connection) -> None:
        """Let a publisher wait for this client."""
        if self.slow or publisher is self:
            return
        self._held.add(publisher)
        publisher.hold(self)
        if self._patience is None:
            self._patience = self._loop.call_later(PATIENCE, self._lose_patience)

    def _lose_patience(self) -> None:
        self.slow = True
        self._let_go()

    def _relax(self) -> None:
        if self.session is not None and self.session.idle:
            self.slow = False
        if self._held and self.session is not None and not self.session.crowded:
            self._let_go()

    def _let_go(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        held, self._held = self._held, set()
        for publisher in held:
            publisher.release(self)

    # Packets

    def _work(self) -> None:
        try:
            while not self._holders and self._transport is not None and not self._transport.is_closing():
                packet = self._splitter.take()
                if packet is None:
                    return
                self._handle(*packet)
        except Malformed as error:
            self.faulty = True
            if isinstance(error, packets.WrongVersion):
                self.send(packets.connack(packets.BAD_VERSION))
            self.close(str(error))

    def _handle(self, first: int, body: bytes) -> None:
        kind, session = first >> 4, self.session
        if kind != packets.PUBLISH and first & 0x0F != packets.FLAGS.get(kind, 0):
            raise Malformed(f"flags {first & 0x0F} in a packet of type {kind}")
        if session is None:
            if kind != packets.CONNECT:
                raise Malformed("the first packet is no CONNECT")
            self._host.log_in(self, packets.connect(body))
            self._splitter.maximum = self._largest_packet
            return
        match kind:
            case packets.PUBLISH:
                self._take(session, *packets.publish(first, body))
            case packets.PUBACK | packets.PUBREC | packets.PUBCOMP:
                session.acknowledged(kind, packets.identifier(body))
                self._relax()
            case packets.PUBREL:
                session.released(packets.identifier(body))
            case packets.SUBSCRIBE:
                number, wanted = packets.subscribe(body)
                self.send(packets.suback(number, self._host.subscribe(self, wanted)))
                self._host.subscribed(self, wanted)
            case packets.UNSUBSCRIBE:
                number, patterns = packets.unsubscribe(body)
                self._host.unsubscribe(self, patterns)
                self.send(packets.acknowledgement(packets.UNSUBACK, number))
            case packets.PINGREQ:
                self.send(packets.PONG)
            case packets.DISCONNECT:
                self.will = None
                self.close("the client disconnected")
            case _:
                raise Malformed(f"a client sends no packet of type {kind}")

    def _take(self, session: Session, message: Message, number: int) -> None:
        if session.is_new(message, number):
            self._host.published(self, message)
        session.confirm(message, number)
