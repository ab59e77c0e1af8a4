"""Streams of a SPDY/3.1 connection from the server's side, as kube-apiserver and old kubectls open them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

from edgelab.cri.joining import Wanted
from edgelab.edgecore.edged.streams.serving.commands import RESIZE, STDIN
from edgelab.edgecore.kubelet import Pipe, Refused, Request
from edgelab.protocol import spdy

CHUNK = 32 << 10
OPEN_SECONDS = 30.0
"""In which a client opens its streams (`remotecommand.DefaultStreamCreationTimeout`)."""
VERSION = "x-stream-protocol-version"


def handshake(request: Request, known: Sequence[str]) -> bytes:
    """The 101. Raises Refused for a client that knows none of our versions."""
    asked = [
        version.strip()
        for name, values in request.headers.items()
        if name.lower() == VERSION
        for value in values
        for version in value.split(",")
    ]
    chosen = next((version for version in asked if version in known), "")
    if not chosen:
        raise Refused(
            403,
            f"unable to upgrade: unable to negotiate protocol: client supports {asked}, server {[*known]}",
        )
    lines = ("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: SPDY/3.1")
    return "\r\n".join((*lines, f"X-Stream-Protocol-Version: {chosen}", "", "")).encode()


class SpdyLink:
    """Frames of one connection; pings are answered here."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._writer = spdy.Writer()

    async def frames(self) -> AsyncIterator[spdy.Frame]:
        """What the client sends, until it goes. Raises OSError, ProtocolError."""
        reader = spdy.Reader()
        while data := await self._pipe.reader.read(CHUNK):
            for frame in reader.feed(data):
                if frame.kind == spdy.PING:
                    await self._write(spdy.Writer.pong(frame.number))
                elif frame.kind == spdy.GOAWAY:
                    return
                else:
                    yield frame

    async def accept(self, number: int) -> None:
        """A stream of the client's is taken. Raises OSError."""
        await self._write(self._writer.reply(number, {}))

    async def send(self, number: int, data: bytes, *, final: bool = False) -> None:
        """Data of a stream. Raises OSError."""
        for start in range(0, len(data), CHUNK):
            await self._write(spdy.Writer.data(number, data[start : start + CHUNK]))
        if final:
            await self._write(spdy.Writer.data(number, b"", final=True))

    async def _write(self, data: bytes) -> None:
        self._pipe.writer.write(data)
        await self._pipe.writer.drain()


class Channels:
    """The streams of one exec or attach by their type; see `commands.Channels`."""

    def __init__(self, link: SpdyLink, frames: AsyncIterator[spdy.Frame], numbers: dict[str, int]) -> None:
        self._link = link
        self._frames = frames
        self._numbers = numbers
        self._early: list[tuple[str, bytes, bool]] = []

    @classmethod
    async def opened(cls, link: SpdyLink, wanted: Wanted) -> Channels:
        """Wait until the client has opened all. Raises ProtocolError when it does not, OSError."""
        missing = {"error", *_types(wanted)}
        channels = cls(link, link.frames(), {})
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                while missing:
                    frame = await anext(channels._frames, None)
                    if frame is None:
                        raise ConnectionResetError("the client has gone")
                    if frame.kind != spdy.SYN_STREAM:
                        channels._early += channels._read(frame)
                        continue
                    kind = dict(frame.headers).get("streamtype", "")
                    if kind not in missing:
                        raise spdy.ProtocolError(f"a stream of type {kind!r} was not asked for")
                    missing.discard(kind)
                    channels._numbers[kind] = frame.number
                    await link.accept(frame.number)
        except TimeoutError:
            raise spdy.ProtocolError("the client has not opened its streams") from None
        return channels

    async def incoming(self) -> AsyncIterator[tuple[str, bytes, bool]]:
        """Standard input and sizes."""
        for item in self._early:
            yield item
        async for frame in self._frames:
            for item in self._read(frame):
                yield item

    def _read(self, frame: spdy.Frame) -> Iterable[tuple[str, bytes, bool]]:
        name = next((name for name, number in self._numbers.items() if number == frame.number), "")
        if name in (STDIN, RESIZE) and frame.kind in (0, spdy.RST_STREAM):
            data = b"" if frame.kind else frame.data
            yield name, data, frame.final or frame.kind == spdy.RST_STREAM

    async def send(self, name: str, data: bytes) -> None:
        """Output."""
        if name in self._numbers:
            await self._link.send(self._numbers[name], data)

    async def end(self, status: bytes) -> None:
        """Outputs first: a client leaves when the status has come."""
        for name in ("stdout", "stderr"):
            if name in self._numbers:
                await self._link.send(self._numbers[name], b"", final=True)
        await self._link.send(self._numbers["error"], status, final=True)


def _types(wanted: Wanted) -> Iterable[str]:
    names = {"stdin": wanted.stdin, "stdout": wanted.stdout, "stderr": wanted.stderr, "resize": wanted.tty}
    return (name for name, is_wanted in names.items() if is_wanted)
