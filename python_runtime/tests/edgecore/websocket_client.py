"""A client of exec, attach and portForward by WebSocket, on a connection that `Streams` gives."""

from __future__ import annotations

import asyncio
import base64
from collections import defaultdict
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol
from websockets.utils import accept_key, generate_key

from edgelab.edgecore.kubelet import Pipe, Request


class Client:
    """Channels by their numbers."""

    def __init__(self, pipe: Pipe, protocol: str) -> None:
        self.pipe = pipe
        self._text = "base64" in protocol
        self._websocket = Protocol(CLIENT, state=OPEN)

    @classmethod
    async def connected(cls, streams: Any, path: str, query: str, protocol: str) -> Client:
        key = generate_key()
        headers = {
            "Connection": ["Upgrade"],
            "Upgrade": ["websocket"],
            "Sec-Websocket-Version": ["13"],
            "Sec-Websocket-Key": [key],
            "Sec-Websocket-Protocol": [f"unknown, {protocol}"],
        }
        pipe = await streams.connect(Request("GET", path, query, headers))
        head = (await asyncio.wait_for(pipe.reader.readuntil(b"\r\n\r\n"), 20)).decode()
        assert head.startswith("HTTP/1.1 101 "), head
        assert f"Sec-WebSocket-Accept: {accept_key(key)}\r\n" in head
        assert f"Sec-WebSocket-Protocol: {protocol}\r\n" in head
        return cls(pipe, protocol)

    def send(self, channel: int, data: bytes) -> None:
        if self._text:
            self._websocket.send_text(b"%d" % channel + base64.b64encode(data))
        else:
            self._websocket.send_binary(bytes([channel]) + data)
        self.flush()

    def flush(self) -> None:
        for data in self._websocket.data_to_send():
            self.pipe.writer.write(data)

    async def received(self) -> dict[int, bytes]:
        """What came on each channel until the server closed; drops the connection."""
        found: dict[int, bytes] = defaultdict(bytes)
        while self._websocket.state is OPEN:
            data = await asyncio.wait_for(self.pipe.reader.read(65536), 20)
            assert data, "cut without a good-bye"
            self._websocket.receive_data(data)
            for event in self._websocket.events_received():
                assert isinstance(event, Frame)
                if event.opcode in (Opcode.TEXT, Opcode.BINARY):
                    if self._text:
                        found[int(event.data[:1])] += base64.b64decode(event.data[1:])
                    else:
                        found[event.data[0]] += event.data[1:]
        self.pipe.writer.transport.abort()
        return found
