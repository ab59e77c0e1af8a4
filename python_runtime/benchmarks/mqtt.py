"""Load for an MQTT broker, and the internal broker alone in a process: `python -m benchmarks.mqtt PORT`."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.edgecore.eventbus.raw_client import RawClient, raw_client

from edgelab.daemon.clock import SYSTEM
from edgelab.edgecore.eventbus.broker import packets
from edgelab.edgecore.eventbus.broker.access import Access
from edgelab.edgecore.eventbus.broker.broker import Broker, Limits
from edgelab.edgecore.eventbus.broker.packets import Message
from edgelab.edgecore.eventbus.drops import Drops
from edgelab.edgecore.eventbus.inbox import Inbox

PAYLOAD = b'{"event_id":"1","timestamp":0,"twin":{"temperature":{"actual":{"value":"21"}}}}'
WINDOW = 100
"""Messages under way: a publisher that never waits measures queues, not work."""


async def load(port: int, count: int, qos: int) -> float:
    """Messages a second from one client through the broker to another."""
    async with raw_client(port, "reader") as reader, raw_client(port, "writer") as writer:
        await reader.subscribe("load/#", qos=qos)
        window = asyncio.Semaphore(WINDOW)
        began = time.perf_counter()
        reading = asyncio.create_task(received(reader, count, window if qos == 0 else None))
        confirming = asyncio.create_task(_confirmed(writer, window))
        for number in range(count):
            await window.acquire()
            message = Message(f"load/{number % 20}", PAYLOAD)
            writer.send(packets.packet(message, qos, number % 65000 + 1))
        await reading
        confirming.cancel()
        await asyncio.gather(confirming, return_exceptions=True)
        return count / (time.perf_counter() - began)


async def received(
    client: RawClient,
    count: int,
    window: asyncio.Semaphore | None = None,
    look: Callable[[Message], None] = lambda _: None,
) -> None:
    """Take and acknowledge `count` messages; each lets another one into the window."""
    while count > 0:
        client.splitter.feed(await client.reader.read(1 << 16))
        answers = bytearray()
        while packet := client.splitter.take():
            message, number = packets.publish(*packet)
            look(message)
            count -= 1
            if message.qos:
                answers += packets.acknowledgement(packets.PUBACK, number)
            if window:
                window.release()
        client.send(bytes(answers))


async def _confirmed(client: RawClient, window: asyncio.Semaphore) -> None:
    while data := await client.reader.read(1 << 16):
        client.splitter.feed(data)
        while client.splitter.take():
            window.release()


@asynccontextmanager
async def internal_broker(port: int) -> AsyncIterator[int]:
    """The broker in a process of its own; gives its process id."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.mqtt", str(port))
    try:
        yield child.pid
    finally:
        child.terminate()
        await child.wait()


async def serve(port: int) -> None:
    """Be that process."""
    drops = Drops(SYSTEM)
    broker = Broker(Access("", ""), Limits(), Inbox(), SYSTEM, drops)
    async with broker.serve("127.0.0.1", port, None):
        await broker.sweep()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
