"""The streams of one exec or attach on a SPDY connection, from the client's side."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from edgelab.edgesite.apiserver.relay.links import CHUNK, Link
from edgelab.edgesite.apiserver.relay.statuses import Failed
from edgelab.protocol import spdy

OUTPUTS = ("error", "stdout", "stderr")
CUT = "error reading from error stream: unexpected EOF"


class Session:
    """Streams by their type. What they send is given on as it comes, nothing is kept."""

    def __init__(self, link: Link, types: Iterable[str]) -> None:
        self._link = link
        self._numbers = {name: 2 * position + 1 for position, name in enumerate(types)}
        self._names = {number: name for name, number in self._numbers.items()}
        self._finished: set[str] = set()

    async def open(self) -> None:
        """Open all. Raises Failed."""
        writer = spdy.Writer()  # a quarter of a megabyte, which no frame that follows needs
        try:
            for name, number in self._numbers.items():
                await self._link.write(writer.open(number, {"streamtype": name}))
        except OSError as error:
            raise Failed(CUT) from error

    async def send(self, name: str, data: bytes) -> None:
        """Nothing happens for a stream that was not asked for, or is finished. Raises OSError."""
        if name in self._numbers and name not in self._finished:
            for start in range(0, len(data), CHUNK):
                await self._link.write(spdy.Writer.data(self._numbers[name], data[start : start + CHUNK]))

    async def finish(self, name: str) -> None:
        """There is no more to be sent. Raises OSError."""
        if name in self._numbers and name not in self._finished:
            self._finished.add(name)
            await self._link.write(spdy.Writer.data(self._numbers[name], b"", final=True))

    def abandon(self) -> None:
        """Nobody listens any more."""
        self._link.close()

    async def received(self) -> AsyncIterator[tuple[str, bytes]]:
        """Stream and data, until all that come from the other side are at their end. Raises Failed."""
        open_ones = {name for name in self._numbers if name in OUTPUTS}
        reader = spdy.Reader()
        async for chunk in self._link.chunks():
            for frame in self._frames(reader, chunk):
                if frame.kind == spdy.PING:
                    await self._pong(frame.number)
                    continue
                name = self._names.get(frame.number, "")
                if frame.kind == 0 and name in open_ones and frame.data:
                    yield name, frame.data
                if frame.kind == spdy.RST_STREAM or frame.final:
                    open_ones.discard(name)
                if not open_ones:
                    return
        raise Failed(CUT)

    @staticmethod
    def _frames(reader: spdy.Reader, chunk: bytes) -> Iterable[spdy.Frame]:
        try:
            yield from reader.feed(chunk)
        except spdy.ProtocolError as error:
            raise Failed(str(error)) from error

    async def _pong(self, number: int) -> None:
        try:
            await self._link.write(spdy.Writer.pong(number))
        except OSError as error:
            raise Failed(CUT) from error
