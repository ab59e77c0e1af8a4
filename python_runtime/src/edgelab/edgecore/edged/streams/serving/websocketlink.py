"""Channels of a WebSocket from the server's side (`k8s.io/apimachinery/pkg/util/httpstream/wsstream`).

A message begins with the number of its channel. v5 has a message that closes one; with v4 standard input
ends with the connection only. In the `base64` variant the number is a digit and the rest is text.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import AsyncIterator, Sequence

from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from edgelab.cri.joining import Wanted
from edgelab.edgecore.edged.streams.serving.commands import RESIZE, STDIN
from edgelab.edgecore.kubelet import Pipe, Refused, Request

log = logging.getLogger(__name__)
log.setLevel(logging.WARNING)  # the library tells of every frame

CHUNK = 32 << 10
LARGEST = 1 << 20
TEXT_MARK = "base64"
COMMANDS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io")
PORTS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io")
NUMBERS = {STDIN: 0, "stdout": 1, "stderr": 2, "error": 3, RESIZE: 4}
CLOSE = 255
PROTOCOL, KEY = "sec-websocket-protocol", "sec-websocket-key"


def chosen(request: Request, known: Sequence[str]) -> str:
    """The first of the client's protocols that we know. Raises Refused."""
    asked = [part.strip() for value in _values(request, PROTOCOL) for part in value.split(",")]
    found = next((protocol for protocol in asked if protocol in known), "")
    if not found:
        raise Refused(403, f"unable to negotiate protocol: client supports {asked}, server {[*known]}")
    return found


def handshake(request: Request, protocol: str) -> bytes:
    """The 101. Raises Refused for a request that is no WebSocket's."""
    keys = _values(request, KEY)
    if len(keys) != 1 or request.method != "GET":
        raise Refused(400, "unable to upgrade: this is no handshake of a WebSocket")
    lines = ("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket")
    accepted = (f"Sec-WebSocket-Accept: {accept_key(keys[0])}", f"Sec-WebSocket-Protocol: {protocol}")
    return "\r\n".join((*lines, *accepted, "", "")).encode()


def _values(request: Request, wanted: str) -> Sequence[str]:
    return [value for name, values in request.headers.items() if name.lower() == wanted for value in values]


class WebSocketLink:
    """Messages of one connection with their channels; pings are answered here."""

    def __init__(self, pipe: Pipe, protocol: str) -> None:
        self._pipe = pipe
        self._text = TEXT_MARK in protocol
        self._websocket = ServerProtocol(state=State.OPEN, max_size=LARGEST, logger=log)
        self._parts: list[bytes] = []

    async def messages(self) -> AsyncIterator[tuple[int, bytes]]:
        """Channel and data, until the client goes. Raises OSError."""
        while data := await self._pipe.reader.read(CHUNK):
            self._websocket.receive_data(data)
            messages = [message for message in map(self._whole, self._websocket.events_received()) if message]
            await self._flush()
            for message in messages:
                yield message
            if self._websocket.state is not State.OPEN:
                return

    async def send(self, channel: int, data: bytes) -> None:
        """Raises OSError."""
        for start in range(0, max(1, len(data)), CHUNK):
            part = data[start : start + CHUNK]
            if self._websocket.state is not State.OPEN:
                raise ConnectionResetError("the client has closed the WebSocket")
            if self._text:
                self._websocket.send_text(b"%d" % channel + base64.b64encode(part))
            else:
                self._websocket.send_binary(bytes([channel]) + part)
            await self._flush()

    async def close(self) -> None:
        """Say good-bye. Raises OSError."""
        if self._websocket.state is State.OPEN:
            self._websocket.send_close(1000)
            await self._flush()

    def _whole(self, event: object) -> tuple[int, bytes] | None:
        if not isinstance(event, Frame) or event.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return None
        self._parts.append(bytes(event.data))
        if not event.fin:
            return None
        data = b"".join(self._parts)
        self._parts.clear()
        if not data:
            return None
        if not self._text:
            return data[0], data[1:]
        try:
            return int(data[:1]), base64.b64decode(data[1:], validate=True)
        except (ValueError, binascii.Error):
            log.warning("a message of a client is passed over: it is not in base64")
            return None

    async def _flush(self) -> None:
        for data in self._websocket.data_to_send():
            if data:
                self._pipe.writer.write(data)
        await self._pipe.writer.drain()


class Channels:
    """Those of one exec or attach; see `commands.Channels`."""

    def __init__(self, link: WebSocketLink, wanted: Wanted) -> None:
        self._link = link
        self._wanted = wanted

    async def incoming(self) -> AsyncIterator[tuple[str, bytes, bool]]:
        """Standard input and sizes."""
        # The client waits for a first message, which may be empty.
        first = "stdout" if self._wanted.stdout else "stderr" if self._wanted.stderr else "error"
        await self._link.send(NUMBERS[first], b"")
        async for channel, data in self._link.messages():
            if channel == NUMBERS[STDIN] and self._wanted.stdin:
                yield STDIN, data, False
            elif channel == NUMBERS[RESIZE] and self._wanted.tty:
                yield RESIZE, data, False
            elif channel == CLOSE and data[:1] == bytes([NUMBERS[STDIN]]) and self._wanted.stdin:
                yield STDIN, b"", True

    async def send(self, name: str, data: bytes) -> None:
        """Output."""
        if getattr(self._wanted, name):
            await self._link.send(NUMBERS[name], data)

    async def end(self, status: bytes) -> None:
        """How it ended, and the connection with it."""
        await self._link.send(NUMBERS["error"], status)
        await self._link.close()
