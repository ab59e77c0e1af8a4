"""The writing half of a connection whose other side may have ended: what it said before is not lost."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from types import TracebackType


class Outgoing:
    """Writes to the socket of a StreamWriter by a descriptor of its own.

    A transport whose write fails drops what it has not read yet, and its StreamReader what was not taken.
    Here a failed write says so to whoever writes, and the reader goes on to the end of what has come.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        """Raises OSError when the connection is closed."""
        self._socket = socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
        self._socket.setblocking(False)

    def __enter__(self) -> Outgoing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    async def send(self, data: bytes) -> None:
        """Returns when the kernel has taken all of it. Raises OSError."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    def finish(self) -> None:
        """There is no more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
