"""Bytes between two connected sockets, both ways, each way until its end.

On the sockets themselves, without asyncio's transports: a chunk is read into one buffer that all relays share
and sent at once; only what the other side does not take is kept, and then nothing more is read. An end is
handed on as an end, a reset as a reset.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

CHUNK = 128 << 10
"""Bytes that are read at once: the most that a relay whose receiver is slow keeps for each direction."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close with a reset."""


class Relays:
    """All relays; `close` ends them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._view = memoryview(bytearray(CHUNK))
        self._all: set[Relay] = set()

    def __len__(self) -> int:
        return len(self._all)

    def join(self, one: socket.socket, other: socket.socket, ended: Callable[[], None]) -> None:
        """Relay between two sockets, which are closed at the end; then `ended` is called."""
        relay = Relay(self._loop, self._view, one, other, lambda: self._over(relay, ended))
        self._all.add(relay)
        relay.start()

    def close(self) -> None:
        """End all."""
        for relay in list(self._all):
            relay.abort()

    def _over(self, relay: Relay, ended: Callable[[], None]) -> None:
        self._all.discard(relay)
        ended()


class Relay:
    """One pair of sockets."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        view: memoryview,
        one: socket.socket,
        other: socket.socket,
        ended: Callable[[], None],
    ) -> None:
        self._sockets = (one, other)
        self._directions = (
            _Direction(loop, view, one, other, self),
            _Direction(loop, view, other, one, self),
        )
        self._ended: Callable[[], None] | None = ended

    def start(self) -> None:
        """Begin with both directions."""
        for sock in self._sockets:
            sock.setblocking(False)
        for direction in self._directions:
            direction.start()

    def one_is_over(self) -> None:
        """A direction came to its end."""
        if all(direction.is_over for direction in self._directions):
            self._close()

    def abort(self) -> None:
        """End at once, with a reset to both sides."""
        for sock in self._sockets:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._close()

    def _close(self) -> None:
        ended, self._ended = self._ended, None
        if ended is None:
            return
        for direction in self._directions:
            direction.stop()
        for sock in self._sockets:
            sock.close()
        ended()


class _Direction:
    """From one socket to the other."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        view: memoryview,
        source: socket.socket,
        target: socket.socket,
        relay: Relay,
    ) -> None:
        self.is_over = False
        self._loop = loop
        self._view = view
        self._source = source
        self._target = target
        self._relay = relay
        self._rest = b""

    def start(self) -> None:
        self._loop.add_reader(self._source, self._read)

    def stop(self) -> None:
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._target)

    def _read(self) -> None:
        try:
            count = self._source.recv_into(self._view)
            if not count:
                self._end()
                return
            sent = self._send(self._view[:count])
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._relay.abort()
            return
        if sent < count:
            self._rest = bytes(self._view[sent:count])
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._target, self._write)

    def _send(self, data: memoryview | bytes) -> int:
        try:
            return self._target.send(data)
        except (BlockingIOError, InterruptedError):
            return 0

    def _write(self) -> None:
        try:
            self._rest = self._rest[self._send(self._rest) :]
        except OSError:
            self._relay.abort()
            return
        if not self._rest:
            self._loop.remove_writer(self._target)
            self._loop.add_reader(self._source, self._read)

    def _end(self) -> None:
        self._loop.remove_reader(self._source)
        self.is_over = True
        with suppress(OSError):  # the other side may be gone already; its own direction finds out
            self._target.shutdown(socket.SHUT_WR)
        self._relay.one_is_over()
