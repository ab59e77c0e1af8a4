"""What the WebSocket does with the frames of its peer, on a transport that only notes what it is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from edgelab.edgecore.edgehub.websocket import LEAST_HELD, MOST_HELD, WebSocket


class Transport:
    def __init__(self) -> None:
        self.written = b""
        self.calls: list[str] = []

    def write(self, data: bytes) -> None:
        self.written += data

    def __getattr__(self, name: str) -> Any:
        return lambda: self.calls.append(name)


def opened() -> tuple[WebSocket, Transport]:
    websocket, transport = WebSocket("wss://cloud:1/p/n/events", {"Node_id": "n"}), Transport()
    websocket.connection_made(transport)  # type: ignore[arg-type]
    reader = StreamReader()
    reader.feed_data(transport.written)
    parsing = Request.parse(reader.read_line)
    try:
        next(parsing)
    except StopIteration as done:
        request: Request = done.value
    assert request.headers["Node_id"] == "n"
    assert "User-Agent" not in request.headers
    assert "Sec-WebSocket-Extensions" not in request.headers
    websocket.data_received(ServerProtocol().accept(request).serialize())
    return websocket, transport


def frame(data: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin=fin).serialize(mask=False)


async def test_fragments_are_joined_and_a_ping_between_them_is_answered() -> None:
    websocket, transport = opened()
    await websocket.opened()
    before = len(transport.written)
    websocket.data_received(
        frame(b"a", fin=False) + frame(b"?", Opcode.PING) + frame(b"", Opcode.CONT, fin=False)
    )
    assert len(transport.written) > before
    websocket.data_received(frame(b"b", Opcode.CONT) + frame(b"c", Opcode.BINARY))
    assert [await websocket.receive(), await websocket.receive()] == [b"ab", b"c"]


async def test_reading_stops_while_too_much_waits() -> None:
    websocket, transport = opened()
    for number in range(MOST_HELD + 2):
        websocket.data_received(frame(b"%d" % number))
    assert transport.calls == ["pause_reading"]
    taken = [await websocket.receive() for _ in range(MOST_HELD + 2 - LEAST_HELD)]
    assert taken == [b"%d" % number for number in range(MOST_HELD + 2 - LEAST_HELD)]
    assert transport.calls == ["pause_reading", "resume_reading"]


async def test_what_arrived_before_the_end_is_given_first_and_then_the_end() -> None:
    websocket, _ = opened()
    websocket.data_received(frame(b"last"))
    websocket.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
    assert await websocket.receive() == b"last"
    with pytest.raises(ConnectionClosed) as caught:
        await websocket.receive()
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    with pytest.raises(ConnectionClosed):
        await websocket.send(b"too late")


async def test_who_sends_waits_for_a_full_transport() -> None:
    websocket, _ = opened()
    websocket.pause_writing()
    sending = asyncio.create_task(websocket.send(b"x"))
    await asyncio.sleep(0)
    assert not sending.done()
    websocket.resume_writing()
    await sending


async def test_a_good_bye_of_the_peer_is_answered_and_its_reason_kept() -> None:
    websocket, transport = opened()
    before = len(transport.written)
    websocket.data_received(frame(b"\x03\xe9down", Opcode.CLOSE))
    assert len(transport.written) > before
    websocket.eof_received()
    websocket.connection_lost(None)
    assert "close" in transport.calls
    with pytest.raises(ConnectionClosed, match=r"1001 .*down"):
        await websocket.receive()


async def test_a_connection_that_ends_during_the_good_bye_is_not_dropped_besides() -> None:
    websocket, transport = opened()
    closing = asyncio.create_task(websocket.close())
    await asyncio.sleep(0)
    websocket.connection_lost(None)  # as after the timer of the good-bye, which is as long as `close` waits
    await closing
    assert transport.calls == ["close"]
