"""A socket's bytes, or datagrams, as binary messages of a connection, and back."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Protocol

CHUNK = 64 << 10
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close with a reset."""


class Messages(Protocol):
    """A connection of whole messages."""

    async def receive(self) -> bytes | str:
        """The next one. Raises ConnectionError at the end."""
        ...

    async def send(self, data: bytes | str) -> None:
        """Send one, waiting while the other side takes none. Raises ConnectionError."""
        ...


async def carry(sock: socket.socket, connection: Messages, *, datagrams: bool = False) -> None:
    """Bring everything across until both directions have ended, or one breaks; the caller closes both.

    An empty message is the end of a stream's direction. Datagrams have no end: that of one side ends both.
    When a stream breaks, the socket is set to be closed with a reset: half an answer must not look whole.
    """
    try:
        sock.setblocking(False)
        await _both(sock, connection, datagrams=datagrams)
    except BaseException as error:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if not isinstance(error, OSError):
            raise


def pair(*, datagrams: bool = False) -> tuple[socket.socket, socket.socket]:
    """Two sockets that are connected. Streams are TCP on loopback, which knows resets. Raises OSError."""
    if datagrams:
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        one = socket.create_connection(listener.getsockname())
        other, peer = listener.accept()
        if peer != one.getsockname():
            one.close()
            other.close()
            raise ConnectionAbortedError("another program took the connection")
    for sock in (one, other):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


async def _both(sock: socket.socket, connection: Messages, *, datagrams: bool) -> None:
    there = asyncio.create_task(_there(sock, connection, datagrams=datagrams), name="pump/there")
    back = asyncio.create_task(_back(sock, connection, datagrams=datagrams), name="pump/back")
    when = asyncio.FIRST_COMPLETED if datagrams else asyncio.FIRST_EXCEPTION
    try:
        done, _ = await asyncio.wait({there, back}, return_when=when)
        for task in done:
            task.result()
    finally:
        there.cancel()
        back.cancel()
        await asyncio.wait({there, back})


async def _there(sock: socket.socket, connection: Messages, *, datagrams: bool) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(sock, CHUNK):
        await connection.send(data)
    if not datagrams:
        await connection.send(b"")


async def _back(sock: socket.socket, connection: Messages, *, datagrams: bool) -> None:
    loop = asyncio.get_running_loop()
    while True:
        data = await connection.receive()
        if isinstance(data, str):
            raise ConnectionAbortedError("text came among bytes")
        if not data:
            if not datagrams:
                sock.shutdown(socket.SHUT_WR)
            return
        await loop.sock_sendall(sock, data)
