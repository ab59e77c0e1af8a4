"""Two connections joined: what one side sends, the other side gets, byte by byte.

A side that does not read holds up the other one: at most `HIGH` bytes wait in each direction. When one
side ends, what it sent is still delivered, then the other one is closed, too.
"""

from __future__ import annotations

import asyncio

from edgelab.edgesite.apiserver.relay.backend import HIGH

LINGER_SECONDS = 10.0  # for what is still to be delivered to a side that may not read any more


class Side(asyncio.Protocol):
    """One end of a pair. Lets go of everything when it is closed, for nobody looks for cycles often."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport: asyncio.Transport | None = transport
        self._other: Side | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None
        transport.set_write_buffer_limits(high=HIGH)

    def begin(self, other: Side) -> None:
        """From now on what comes goes there."""
        self._other = other
        transport = self._transport
        if transport is None or transport.is_closing():
            self.connection_lost(None)
        else:
            transport.set_protocol(self)
            transport.resume_reading()

    def write(self, data: bytes) -> None:
        """For this side's peer."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause(self, *, reading: bool) -> None:
        """Read, or do not."""
        if self._transport is not None and not self._transport.is_closing():
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def end(self) -> None:
        """Deliver what is on its way, then close."""
        if self._timer is None and self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.abort)
            self._transport.close()

    def cut(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # what the event loop calls

    def data_received(self, data: bytes) -> None:
        """On to the other side."""
        if self._other is not None:
            self._other.write(data)

    def pause_writing(self) -> None:
        """This side's peer does not read: the other one has to wait."""
        if self._other is not None:
            self._other.pause(reading=False)

    def resume_writing(self) -> None:
        """It reads again."""
        if self._other is not None:
            self._other.pause(reading=True)

    def eof_received(self) -> None:
        """The end of this side, and thereby of both."""
        if self._other is not None:
            self._other.end()

    def connection_lost(self, error: Exception | None) -> None:
        """The same, less politely."""
        if self._timer is not None:
            self._timer.cancel()
        other, self._other, self._transport, self._timer = self._other, None, None, None
        if other is not None:
            other.end()
        if not self.lost.done():
            self.lost.set_result(None)


async def join(left: Side, right: Side) -> None:
    """Until both are closed; when cancelled, both are cut."""
    left.begin(right)
    right.begin(left)
    try:
        await asyncio.gather(left.lost, right.lost)
    except asyncio.CancelledError:
        left.cut()
        right.cut()
        raise
