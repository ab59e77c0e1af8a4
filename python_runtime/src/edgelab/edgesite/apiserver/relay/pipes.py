"""Two connections joined: what one side sends, the other side gets, byte by byte.

A side that does not read holds up the other one: at most `HIGH` bytes wait in each direction. When one
side ends, what it sent is still delivered, then the other one is closed, too.
"""

from __future__ import annotations

import asyncio

from edgelab.edgesite.apiserver.relay.backend import HIGH

LINGER_SECONDS = 10.0  # for what is still to be delivered to a side that may not read any more


class Side(asyncio.Protocol):
    """One end of a pair; `other` is set before the first byte comes."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.other: Side | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None
        transport.set_write_buffer_limits(high=HIGH)

    def data_received(self, data: bytes) -> None:
        """On to the other side."""
        assert self.other is not None
        if not self.other.transport.is_closing():
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        """This side does not read: the other one has to wait."""
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def eof_received(self) -> None:
        """The end of this side, and thereby of both."""
        self._end_other()

    def connection_lost(self, error: Exception | None) -> None:
        """The same, less politely."""
        if self._timer is not None:
            self._timer.cancel()
        if not self.lost.done():
            self.lost.set_result(None)
        self._end_other()

    def end(self) -> None:
        """Deliver what is on its way, then close."""
        if self._timer is None and not self.lost.done():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(LINGER_SECONDS, self.transport.abort)
            self.transport.close()

    def _end_other(self) -> None:
        if self.other is not None:
            self.other.end()


async def join(left: Side, right: Side) -> None:
    """Until both are closed; when cancelled, both are cut."""
    left.other, right.other = right, left
    for side in (left, right):
        if side.transport.is_closing():
            side.connection_lost(None)
        else:
            side.transport.set_protocol(side)
            side.transport.resume_reading()
    try:
        await asyncio.gather(left.lost, right.lost)
    except asyncio.CancelledError:
        left.transport.abort()
        right.transport.abort()
        raise
