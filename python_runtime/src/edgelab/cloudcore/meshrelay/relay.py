"""Joins connections of mesh agents: who wants an endpoint, and the agent of the node that has it.

Receives: connections that are authenticated already, each by `serve` for as long as it lasts. Sends: `Open`
to agents. Stores nothing. Dials an endpoint itself where its node has no agent and `may_dial` allows it. A
node whose agent is gone: `Failed` at once. Bounded: `MOST_STREAMS` for each node that asks.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from edgelab.daemon.pumping import Messages, carry
from edgelab.protocol.mesh import (
    Accept,
    Connect,
    Failed,
    Hello,
    Open,
    Opened,
    Refuse,
    Unreadable,
    decode,
    encode,
)

log = logging.getLogger("edgelab.cloudcore.meshrelay")

FIRST_SECONDS = 10.0
"""For the first message of a connection."""
OPEN_SECONDS = 10.0
"""For an agent's answer to `Open`, and for a dial of our own."""
MOST_STREAMS = 256

MayDial = Callable[[str, str, int, str], bool]
"""Node, address, port and protocol of an endpoint."""


class MeshConnection(Messages, Protocol):
    """A WebSocket whose client proved that it is `node` by its certificate."""

    @property
    def node(self) -> str:
        """The node's name."""
        ...

    async def close(self) -> None:
        """End it; may be called more than once."""
        ...


@dataclass(slots=True)
class _Waiting:
    """An `Open` without an answer."""

    node: str
    answer: asyncio.Future[MeshConnection]
    is_over: asyncio.Event = field(default_factory=asyncio.Event)


class MeshRelay:
    """`serve` is to be called in a task of its own for each connection at `protocol.mesh.PATH`."""

    name = "meshrelay"

    def __init__(self, may_dial: MayDial) -> None:
        self._may_dial = may_dial
        self._agents: dict[str, MeshConnection] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._streams: Counter[str] = Counter()

    @property
    def agents(self) -> list[str]:
        """Nodes whose agent is connected."""
        return sorted(self._agents)

    async def serve(self, connection: MeshConnection) -> None:
        """Do what a connection is for, until it is over; closes it."""
        try:
            async with asyncio.timeout(FIRST_SECONDS):
                first = decode(await connection.receive())
            match first:
                case Hello():
                    await self._agent(connection)
                case Connect():
                    await self._connect(connection, first)
                case Accept(id=name):
                    await self._accepted(connection, name)
                case _:
                    raise Unreadable(f"a connection does not begin with {type(first).__name__}")
        except Unreadable as error:
            log.warning("mesh agent of %s: %s", connection.node, error)
        except (ConnectionError, TimeoutError) as error:
            log.debug("mesh agent of %s: %s", connection.node, error)
        finally:
            await connection.close()

    async def _agent(self, connection: MeshConnection) -> None:
        node = connection.node
        before, self._agents[node] = self._agents.get(node), connection
        log.info("the mesh agent of %s is connected", node)
        try:
            if before is not None:
                await before.close()
            while True:
                message = decode(await connection.receive())
                if isinstance(message, Refuse):
                    self._refused(node, message)
        finally:
            if self._agents.get(node) is connection:
                del self._agents[node]
                log.info("the mesh agent of %s is gone", node)

    def _refused(self, node: str, message: Refuse) -> None:
        waiting = self._waiting.get(message.id)
        if waiting is not None and waiting.node == node and not waiting.answer.done():
            waiting.answer.set_exception(ConnectionRefusedError(message.reason or "refused"))

    async def _connect(self, connection: MeshConnection, wanted: Connect) -> None:
        if self._streams[connection.node] >= MOST_STREAMS:
            await connection.send(encode(Failed(f"more than {MOST_STREAMS} connections of one node")))
            return
        self._streams[connection.node] += 1
        try:
            await self._join(connection, wanted)
        except (OSError, TimeoutError) as error:
            with suppress(OSError):
                await connection.send(encode(Failed(str(error) or "no answer in time")))
        finally:
            self._streams[connection.node] -= 1
            self._streams += Counter()

    async def _join(self, connection: MeshConnection, wanted: Connect) -> None:
        agent = self._agents.get(wanted.node)
        if agent is not None:
            await self._by_agent(connection, wanted, agent)
        elif self._may_dial(wanted.node, wanted.ip, wanted.port, wanted.protocol):
            await self._directly(connection, wanted)
        else:
            raise ConnectionRefusedError(f"node {wanted.node} has no mesh agent that is connected")

    async def _by_agent(self, connection: MeshConnection, wanted: Connect, agent: MeshConnection) -> None:
        name = secrets.token_hex(16)
        waiting = _Waiting(wanted.node, asyncio.get_running_loop().create_future())
        self._waiting[name] = waiting
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await agent.send(encode(Open(name, wanted.ip, wanted.port, wanted.protocol)))
                other = await waiting.answer
            await connection.send(encode(Opened()))
            await _relay(connection, other)
        finally:
            del self._waiting[name]
            waiting.answer.cancel()
            waiting.is_over.set()

    async def _accepted(self, connection: MeshConnection, name: str) -> None:
        waiting = self._waiting.get(name)
        if waiting is None or waiting.node != connection.node or waiting.answer.done():
            raise Unreadable("it accepts what nobody asked of it, or asks no more")
        waiting.answer.set_result(connection)
        await waiting.is_over.wait()

    async def _directly(self, connection: MeshConnection, wanted: Connect) -> None:
        is_udp = wanted.protocol == "UDP"
        kind = socket.SOCK_DGRAM if is_udp else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
            async with asyncio.timeout(OPEN_SECONDS):
                await asyncio.get_running_loop().sock_connect(sock, (wanted.ip, wanted.port))
            await connection.send(encode(Opened()))
            await carry(sock, connection, datagrams=is_udp)


async def _relay(one: MeshConnection, other: MeshConnection) -> None:
    """Messages both ways until one side is gone, or both have sent their end."""
    ways = {
        asyncio.create_task(_one_way(one, other), name="meshrelay/there"),
        asyncio.create_task(_one_way(other, one), name="meshrelay/back"),
    }
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in ways:
            task.cancel()
        await asyncio.wait(ways)
        for connection in (one, other):
            await connection.close()


async def _one_way(source: MeshConnection, target: MeshConnection) -> None:
    while data := await source.receive():
        if isinstance(data, str):
            raise ConnectionAbortedError("text came among bytes")
        await target.send(data)
    await target.send(b"")
