"""One HTTP/2 connection on which unary gRPC calls are made, many at a time."""

from __future__ import annotations

import asyncio
from typing import cast

from edgelab.cri.grpc import frames, hpack
from edgelab.cri.grpc.frames import Code, Frame, FrameError, Kind, Setting
from edgelab.cri.grpc.stream import Stream

WINDOW = 4 << 20
"""Octets that the peer may have under way to us, on the connection and on each stream."""
BACKLOG = 256 << 10
"""Octets of a header block that may arrive in pieces."""


class ConnectionLost(Exception):
    """The connection is gone, or was none of HTTP/2; `str()` says why."""


class Connection(asyncio.Protocol):
    """The protocol of the transport. `is_usable`: whether new calls may be made on it."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._decoder = hpack.Decoder()
        self._streams: dict[int, Stream] = {}
        self._next = 1
        self._window = frames.DEFAULT_WINDOW
        self._stream_window = frames.DEFAULT_WINDOW
        self._most_streams = 1 << 31
        self._consumed = 0
        self._headers: tuple[int, int, bytearray] | None = None
        self._room = asyncio.Event()
        self._lost = ""
        self.is_usable = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet: no server push, and windows that no answer of a runtime fills."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by their class
        self.is_usable = True
        greeting = frames.settings({Setting.ENABLE_PUSH: 0, Setting.INITIAL_WINDOW_SIZE: WINDOW})
        self._transport.write(
            frames.PREFACE + greeting + frames.window_update(0, WINDOW - frames.DEFAULT_WINDOW)
        )

    def data_received(self, data: bytes) -> None:
        """Take the frames that are whole by now."""
        self._buffer += data
        try:
            for frame in frames.unpack(self._buffer):
                self._take(frame)
        except (FrameError, hpack.HpackError) as error:
            self._end(str(error))

    def connection_lost(self, error: Exception | None) -> None:
        """The transport is closed."""
        self._end(str(error) if error else "closed by the other side")

    def pause_writing(self) -> None:
        """Calls are few and small: what waits to be written is theirs, and they wait for answers."""

    def resume_writing(self) -> None:
        """See `pause_writing`."""

    # calls

    async def call(self, head: bytes, message: bytes, most: int) -> Stream:
        """Send a request (a header block and a message) and await the end of the answer.

        `most`: octets that an answer may have. Raises ConnectionLost; giving up resets the stream.
        """
        while self.is_usable and len(self._streams) >= self._most_streams:
            await self._changed()
        if not self.is_usable:
            raise ConnectionLost(self._lost or "it is being closed")
        number, self._next = self._next, self._next + 2
        stream = self._streams[number] = Stream(self._stream_window, most)
        try:
            opening = frames.pack(Kind.HEADERS, frames.END_HEADERS, number, head)
            await self._send(number, stream, opening, message)
            return await stream.ended
        finally:
            if self._streams.pop(number, None) is not None and not self._lost:
                self._transport.write(frames.reset(number, Code.CANCEL))
            self._leave_if_done()
            self._wake()

    def close(self) -> None:
        """Drop the connection, and whoever waits on it."""
        self._end("closed")

    async def _send(self, number: int, stream: Stream, opening: bytes, message: bytes) -> None:
        """Write the request, as fast as both windows of the peer allow."""
        pieces, at = [opening], 0
        while True:
            size = min(len(message) - at, frames.MAX_FRAME, self._window, stream.window)
            if size > 0 or not message:
                is_last = at + size == len(message)
                flags = frames.END_STREAM if is_last else 0
                pieces.append(frames.pack(Kind.DATA, flags, number, message[at : at + size]))
                self._window -= size
                stream.window -= size
                at += size
                if is_last:
                    self._transport.write(b"".join(pieces))
                    return
                continue
            self._transport.write(b"".join(pieces))
            pieces = []
            await self._changed()
            if stream.ended.done():  # refused or lost before it was sent
                return

    # frames

    def _take(self, frame: Frame) -> None:
        if self._headers is not None and frame.kind != Kind.CONTINUATION:
            raise FrameError("a header block is interrupted")
        match frame.kind:
            case Kind.DATA:
                self._data(frame)
            case Kind.HEADERS:
                self._header_block(frame, bytearray(frames.content(frame)))
            case Kind.CONTINUATION:
                self._continuation(frame)
            case Kind.RST_STREAM:
                self._forget(frame.stream, frames.number_of(frame.payload))
            case Kind.SETTINGS if not frame.flags & frames.ACK:
                self._settings(frame)
            case Kind.PING if not frame.flags & frames.ACK:
                self._transport.write(frames.pack(Kind.PING, frames.ACK, 0, frame.payload))
            case Kind.GOAWAY:
                self._going(frames.number_of(frame.payload))
            case Kind.WINDOW_UPDATE:
                self._granted(frame)
            case Kind.PUSH_PROMISE:
                raise FrameError("the other side pushes, which it was told not to")

    def _data(self, frame: Frame) -> None:
        self._consumed += len(frame.payload)
        if self._consumed >= WINDOW // 2:
            self._transport.write(frames.window_update(0, self._consumed))
            self._consumed = 0
        stream = self._streams.get(frame.stream)
        if stream is None:
            return  # given up meanwhile
        stream.add(frames.content(frame))
        if frame.flags & frames.END_STREAM:
            self._finish(frame.stream, stream)
        elif (grant := stream.consumed(len(frame.payload), WINDOW // 2)) > 0:
            self._transport.write(frames.window_update(frame.stream, grant))

    def _header_block(self, frame: Frame, block: bytearray) -> None:
        self._headers = (frame.stream, frame.flags & frames.END_STREAM, block)
        if frame.flags & frames.END_HEADERS:
            self._headers_done()

    def _continuation(self, frame: Frame) -> None:
        if self._headers is None or self._headers[0] != frame.stream:
            raise FrameError("a continuation of nothing")
        self._headers[2].extend(frame.payload)
        if len(self._headers[2]) > BACKLOG:
            raise FrameError("a header block without an end")
        if frame.flags & frames.END_HEADERS:
            self._headers_done()

    def _headers_done(self) -> None:
        assert self._headers is not None
        number, is_last, block = self._headers
        self._headers = None
        headers = self._decoder.decode(bytes(block))  # of every block: the table is the connection's
        stream = self._streams.get(number)
        if stream is not None:
            stream.headers.update(headers)
            if is_last:
                self._finish(number, stream)

    def _finish(self, number: int, stream: Stream) -> None:
        del self._streams[number]
        stream.finish()

    def _forget(self, number: int, code: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.reset(code)
        self._wake()

    def _settings(self, frame: Frame) -> None:
        for name, value in frames.settings_of(frame.payload):
            if name == Setting.INITIAL_WINDOW_SIZE:
                for stream in self._streams.values():
                    stream.window += value - self._stream_window
                self._stream_window = value
            elif name == Setting.MAX_CONCURRENT_STREAMS:
                self._most_streams = value
        self._transport.write(frames.pack(Kind.SETTINGS, frames.ACK, 0))
        self._wake()

    def _granted(self, frame: Frame) -> None:
        octets = frames.number_of(frame.payload)
        if not frame.stream:
            self._window += octets
        elif (stream := self._streams.get(frame.stream)) is not None:
            stream.window += octets
        self._wake()

    def _going(self, last: int) -> None:
        """The other side takes no new streams; those after `last` were never looked at."""
        self.is_usable = False
        for number in [number for number in self._streams if number > last]:
            self._streams.pop(number).fail(ConnectionLost("the other side is about to close it"))
        self._wake()
        self._leave_if_done()

    def _leave_if_done(self) -> None:
        if not self.is_usable and not self._streams:
            self._transport.close()

    def _end(self, why: str) -> None:
        self._lost, self.is_usable = self._lost or why, False
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.fail(ConnectionLost(self._lost))
        self._wake()
        self._transport.close()

    def _wake(self) -> None:
        self._room.set()

    async def _changed(self) -> None:
        """Wait for another window, another limit, or the end."""
        self._room.clear()
        await self._room.wait()
