"""A WebSocket of whole messages on asyncio, by the protocol without I/O of the `websockets` library."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from edgelab.daemon.sockets import keep_alive
from edgelab.protocol.mesh import PATH

MOST_HELD, LEAST_HELD = 16, 4
"""Messages that wait to be taken: with the first reading stops, with the second it goes on."""
LARGEST = 1 << 20
CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 1.0
DEAD_MILLISECONDS = 30_000


class WebSocket(asyncio.Protocol):
    """Made by `connect`."""

    def __init__(self, url: str) -> None:
        self._protocol = ClientProtocol(parse_uri(url), max_size=LARGEST)
        self._held: deque[bytes | str] = deque()
        self._parts: list[bytes] = []
        self._is_text = False
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_lost = self._is_paused = False
        self._wire: asyncio.Transport | None = None

    async def opened(self) -> None:
        """Wait for the upgrade. Raises InvalidHandshake."""
        await self._opened

    async def send(self, data: bytes | str) -> None:
        """Send one message, waiting while the transport holds too much. Raises ConnectionError."""
        if self._is_lost or self._protocol.state is not State.OPEN:
            raise ConnectionResetError("CloudCore closed the tunnel")
        if isinstance(data, str):
            self._protocol.send_text(data.encode())
        else:
            self._protocol.send_binary(data)
        self._step()
        await self._writable.wait()

    async def receive(self) -> bytes | str:
        """The next message. Raises ConnectionError at the end."""
        while not self._held:
            if self._is_lost:
                raise ConnectionResetError("CloudCore closed the tunnel")
            self._news.clear()
            await self._news.wait()
        message = self._held.popleft()
        if self._is_paused and len(self._held) <= LEAST_HELD and self._wire is not None:
            self._is_paused = False
            self._wire.resume_reading()
        return message

    def close(self) -> None:
        """Say good-bye; what was sent still goes out, for a moment."""
        if self._wire is None or self._is_lost:
            return
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._step()
        asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._wire.abort)

    def abort(self) -> None:
        """Drop it."""
        if self._wire is not None:
            self._wire.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._wire = cast(asyncio.Transport, transport)
        self._writable.set()
        self._protocol.send_request(self._protocol.connect())
        self._step()

    def data_received(self, data: bytes) -> None:
        """Take the frames that are whole by now."""
        self._protocol.receive_data(data)
        self._step()

    def eof_received(self) -> None:
        """The other side writes no more."""
        self._protocol.receive_eof()
        self._step()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._is_lost = True
        self._protocol.receive_eof()
        if not self._opened.done():
            self._opened.set_exception(exc or ConnectionResetError("closed before the upgrade"))
        self._news.set()
        self._writable.set()

    def pause_writing(self) -> None:
        """The transport holds enough."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It takes more again."""
        self._writable.set()

    def _step(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
            elif self._protocol.handshake_exc is None:
                self._opened.set_result(None)
        if self._protocol.handshake_exc is not None and not self._opened.done():
            self._opened.set_exception(self._protocol.handshake_exc)
        assert self._wire is not None
        for data in self._protocol.data_to_send():
            if data:
                self._wire.write(data)
            else:  # the protocol's sign for the end of what is written
                self._wire.close()

    def _take(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return
        whole = b"".join(self._parts)
        self._parts.clear()
        self._held.append(whole.decode("utf-8", "replace") if self._is_text else whole)
        self._news.set()
        if len(self._held) >= MOST_HELD and not self._is_paused and self._wire is not None:
            self._is_paused = True
            self._wire.pause_reading()


async def connect(server: str, context: ssl.SSLContext) -> WebSocket:
    """Open one to `HOST:PORT`. Raises OSError (ConnectionError where it is refused) or TimeoutError."""
    host, _, port = server.rpartition(":")
    host = host.strip("[]")
    websocket = WebSocket(f"wss://{server}{PATH}")
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: websocket, host, int(port), ssl=context, server_hostname=host
            )
            _watch(transport.get_extra_info("socket"))
            await websocket.opened()
    except InvalidStatus as error:
        websocket.abort()
        raise ConnectionRefusedError(
            f"CloudCore answers {error.response.status_code} to the mesh's tunnel"
        ) from error
    except InvalidHandshake as error:
        websocket.abort()
        raise ConnectionRefusedError(f"{server} is no tunnel: {error}") from error
    except BaseException:
        websocket.abort()
        raise
    return websocket


def _watch(sock: socket.socket) -> None:
    """Let the kernel find out that the other side is gone, idle or not."""
    keep_alive(sock, 15, 5, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_MILLISECONDS)
