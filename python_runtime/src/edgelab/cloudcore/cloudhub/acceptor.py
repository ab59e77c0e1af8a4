"""Connections on their way in: a bounded number of TLS handshakes at a time, first come first served.

When CloudCore starts again, all its nodes come back at once. A thousand handshakes side by side would each
last until nearly the last one is done, most of them longer than the node waits, and the work is lost. Here
`AT_ONCE` connections have a turn, and the others wait in the kernel's queue, where they cost nothing.
A turn ends when its holder says so, or after `TURN_SECONDS`: who is silent or slow goes on without one, so
that nobody can keep others out.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.tasks import Supervisor

log = logging.getLogger("edgelab.cloudcore.acceptor")

AT_ONCE = 64
TURN_SECONDS = 3.0
PAUSE_SECONDS = 0.5
"""Without a free descriptor or buffer, connections wait this long for sessions to end."""
CLOSED_BY_PEER = frozenset({7, 8})
"""TCP_CLOSE and TCP_CLOSE_WAIT of Linux's `tcp_states.h`."""
SHORT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Turn:
    """The right of one connection to be worked on. Ends once."""

    def __init__(self, turns: asyncio.Semaphore) -> None:
        self._turns: asyncio.Semaphore | None = turns

    def end(self) -> None:
        """Let the next one in."""
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.release()


class Acceptor:
    """Takes connections of a listening socket and has `receive(connection, turn)` work on each in a task of
    its own, which closes the connection and may last as long as it likes."""

    def __init__(
        self,
        name: str,
        sock: socket.socket,
        receive: Callable[[socket.socket, Turn], Awaitable[None]],
        *,
        at_once: int = AT_ONCE,
        clock: Clock = SYSTEM,
    ) -> None:
        self._sock = sock
        self._receive = receive
        self._turns = asyncio.Semaphore(at_once)
        self._owner = Supervisor(name)
        self._clock = clock

    async def run(self) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._turns.acquire()
            turn = Turn(self._turns)
            try:
                connection, _ = await loop.sock_accept(self._sock)
            except OSError as error:
                turn.end()
                await self._failed(error)
            except BaseException:
                turn.end()
                raise
            else:
                self._take(connection, turn)

    async def close(self) -> None:
        """End the tasks of all connections."""
        await self._owner.close()

    def _take(self, connection: socket.socket, turn: Turn) -> None:
        if _has_left(connection):
            connection.close()
            turn.end()
            return
        connection.setblocking(False)
        self._owner.spawn(self._work(connection, turn), "connection")

    async def _work(self, connection: socket.socket, turn: Turn) -> None:
        with _ending(turn):
            await self._receive(connection, turn)

    async def _failed(self, error: OSError) -> None:
        """One that was reset while it waited is no reason to pause, unlike a shortage."""
        if error.errno in SHORT_OF:
            log.warning("no connection can be accepted: %s; trying again", error.strerror)
            await self._clock.sleep(PAUSE_SECONDS)


@contextmanager
def _ending(turn: Turn) -> Iterator[None]:
    """End the turn when it has lasted long enough, and at the end."""
    timer = asyncio.get_running_loop().call_later(TURN_SECONDS, turn.end)
    try:
        yield
    finally:
        timer.cancel()
        turn.end()


def _has_left(connection: socket.socket) -> bool:
    """Whether the other side hung up while it waited: a handshake would be work for nobody."""
    with suppress(OSError):
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in CLOSED_BY_PEER
    return False
