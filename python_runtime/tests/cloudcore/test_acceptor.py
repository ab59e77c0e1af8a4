"""Connections on their way in: turns, in order, and nobody who holds up the others."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.cloudcore.cloud import eventually

from edgelab.cloudcore.cloudhub import acceptor
from edgelab.cloudcore.cloudhub.acceptor import Acceptor, Turn
from edgelab.cloudcore.cloudhub.tls import bind
from edgelab.daemon.clock import Clock


class Reception:
    """Notes who has come, in order, and keeps everybody until it is told to let go."""

    def __init__(self) -> None:
        self.came: list[bytes] = []
        self.turns: list[Turn] = []
        self.let_go = asyncio.Event()

    async def receive(self, connection: socket.socket, turn: Turn) -> None:
        self.turns.append(turn)
        with connection:
            self.came.append(await asyncio.get_running_loop().sock_recv(connection, 16))
            await self.let_go.wait()


@contextlib.asynccontextmanager
async def accepting(
    sock: socket.socket, reception: Reception, at_once: int, **changes: Clock
) -> AsyncIterator[None]:
    made = Acceptor("test", sock, reception.receive, at_once=at_once, **changes)
    task = asyncio.create_task(made.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        await made.close()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with bind("127.0.0.1", 0, "test") as sock:
        yield sock


def knock(listening: socket.socket, name: str) -> socket.socket:
    client = socket.create_connection(listening.getsockname(), timeout=10)
    client.sendall(name.encode())
    return client


async def test_turns_are_bounded_and_given_in_the_order_of_coming(listening: socket.socket) -> None:
    reception = Reception()
    clients = [knock(listening, f"{number}") for number in range(6)]
    async with accepting(listening, reception, 2):
        await eventually(lambda: len(reception.came) == 2)
        for count in range(3, 7):
            reception.turns[count - 3].end()
            await eventually(lambda count=count: len(reception.came) == count)
        reception.turns[0].end()  # a second end gives no second turn
        clients.append(knock(listening, "6"))
        reception.turns[4].end()
        await eventually(lambda: len(reception.came) == 7)
    assert reception.came == [f"{number}".encode() for number in range(7)]
    for client in clients:
        client.close()


async def test_who_is_done_makes_room(listening: socket.socket) -> None:
    reception = Reception()
    reception.let_go.set()
    clients = [knock(listening, f"{number}") for number in range(5)]
    async with accepting(listening, reception, 1):
        await eventually(lambda: len(reception.came) == 5)
    for client in clients:
        client.close()


async def test_who_is_silent_keeps_nobody_out(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "TURN_SECONDS", 0.01)
    reception = Reception()
    silent = [socket.create_connection(listening.getsockname(), timeout=10) for _ in range(3)]
    client = knock(listening, "speaks")
    async with accepting(listening, reception, 1):
        await eventually(lambda: reception.came == [b"speaks"])
        silent[0].sendall(b"late")
        await eventually(lambda: reception.came == [b"speaks", b"late"])
    for one in (*silent, client):
        one.close()


async def test_who_has_hung_up_while_it_waited_gets_no_turn(listening: socket.socket) -> None:
    knock(listening, "gone").close()
    client = knock(listening, "here")
    reception = Reception()
    async with accepting(listening, reception, 1):
        await eventually(lambda: bool(reception.came))
    assert reception.came == [b"here"]
    client.close()


class ShortClock(Clock):
    """Time that passes at once, and how often it was waited for."""

    waits = 0

    async def sleep(self, seconds: float) -> None:
        self.waits += 1
        await asyncio.sleep(0)


async def test_a_shortage_of_descriptors_is_waited_out(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    accept, clock, failures = loop.sock_accept, ShortClock(), [errno.EMFILE, errno.ECONNABORTED]

    async def fail_first(sock: socket.socket) -> tuple[socket.socket, object]:
        if failures:
            raise OSError(failures.pop(0), "as it happens")
        return await accept(sock)

    monkeypatch.setattr(loop, "sock_accept", fail_first)
    reception = Reception()
    client = knock(listening, "here")
    async with accepting(listening, reception, 1, clock=clock):
        await eventually(lambda: reception.came == [b"here"])
    assert clock.waits == 1
    client.close()
