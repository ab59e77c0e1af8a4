"""The link with an external broker, against one that a test scripts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.edgecore.eventbus.raw_client import RawClient
from tests.edgecore.eventbus.test_bus import QuickClock

from edgelab.edgecore.eventbus.broker import packets
from edgelab.edgecore.eventbus.drops import Drops
from edgelab.edgecore.eventbus.external import External, external
from edgelab.edgecore.eventbus.inbox import MOST, Inbox
from edgelab.edgecore.eventbus.mqtt import UNDER_WAY
from edgelab.settings import edgecore as settings

SECONDS = 30


class Script:
    """A broker whose every answer is the test's; connections come one after the other."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[RawClient] = asyncio.Queue()
        self.inbox = Inbox()

    async def accept(self, connack: bytes = b"\x20\x02\0\0") -> RawClient:
        """The next connection, after CONNECT was answered."""
        async with asyncio.timeout(SECONDS):
            peer = await self.connections.get()
            packet = await peer.receive()
            assert packet is not None
            assert packet[0] == 0x10
            peer.send(connack)
            return peer

    async def subscribed(self, peer: RawClient, *codes: int) -> list[str]:
        """What is subscribed to; answered with the codes, or else granted."""
        packet = await peer.receive()
        assert packet is not None
        number, wanted = packets.subscribe(packet[1])
        peer.send(packets.suback(number, codes or [qos for _, qos in wanted]))
        return [pattern for pattern, _ in wanted]


@contextlib.asynccontextmanager
async def link(**values: str) -> AsyncIterator[tuple[External, Script]]:
    script = Script()
    writers = []

    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await script.connections.put(RawClient(reader, writer))

    server = await asyncio.start_server(come, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = settings.EventBus(mqttServerExternal=f"tcp://127.0.0.1:{port}", **values)
    clock = QuickClock()
    made = external(config, settings.Mqtt(maximumPacketSize=1024), script.inbox, clock, Drops(clock))
    running = asyncio.create_task(made.run())
    try:
        yield made, script
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        server.close()
        for writer in writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def published(peer: RawClient) -> tuple[bytes, int]:
    packet = await peer.receive()
    assert packet is not None
    message, number = packets.publish(*packet)
    assert (message.qos, message.retain) == (1, False)
    return message.payload, number


async def test_it_subscribes_again_after_every_connect_and_names_what_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with link() as (made, script):
        made.subscribe("a/#")
        peer = await script.accept()
        assert await script.subscribed(peer) == ["a/#"]
        made.subscribe("b")
        assert await script.subscribed(peer, 0x80) == ["b"]
        async with asyncio.timeout(SECONDS):
            while "refuses the subscription to b" not in caplog.text:
                await asyncio.sleep(0.01)
        made.unsubscribe("a/#")
        assert (await peer.receive() or (0, b""))[0] == 0xA2
        peer.writer.close()
        assert await script.subscribed(await script.accept()) == ["b"]


async def test_what_was_not_acknowledged_is_published_again_and_what_came_meanwhile_after_it() -> None:
    async with link() as (made, script):
        peer = await script.accept()
        made.subscribe("ready")
        await script.subscribed(peer)
        for number in range(UNDER_WAY + 20):
            made.publish("x", b"%d" % number)
        seen = [await published(peer) for _ in range(UNDER_WAY)]
        assert [payload for payload, _ in seen] == [b"%d" % number for number in range(UNDER_WAY)]
        for _, number in seen[:10]:
            peer.send(packets.acknowledgement(packets.PUBACK, number))
        made.unsubscribe("nothing")  # once this has arrived, so have the acknowledgements
        assert (await peer.receive() or (0, b""))[0] == 0xA2
        peer.writer.close()
        peer = await script.accept()
        await script.subscribed(peer)
        again = []
        for _ in range(UNDER_WAY + 10):
            payload, number = await published(peer)
            again.append(payload)
            peer.send(packets.acknowledgement(packets.PUBACK, number))
        assert again[-1] == b"%d" % (UNDER_WAY + 19)
        assert again[-(UNDER_WAY + 9) :] == [b"%d" % number for number in range(11, UNDER_WAY + 20)]


async def test_a_refused_login_is_named_without_the_password(caplog: pytest.LogCaptureFixture) -> None:
    async with link(mqttUsername="edge", mqttPassword="s3cret") as (_, script):
        peer = await script.accept(b"\x20\x02\0\5")
        assert await peer.ended()
        await script.accept()
    assert "login refused: not authorized" in caplog.text
    assert "s3cret" not in caplog.text


async def test_hostile_messages_are_counted_and_the_next_one_is_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with link() as (made, script):
        made.subscribe("#")
        peer = await script.accept()
        await script.subscribed(peer)
        peer.send(b"\x30\x05\0\2\xff\xfexx"[:7])  # a topic that is no UTF-8
        peer.publish("large", bytes(1025))
        peer.publish("fine", b"1")
        async with asyncio.timeout(SECONDS):
            assert await script.inbox.get() == ("fine", b"1")
    assert "a message is refused: a topic is UTF-8" in caplog.text
    assert "'large' is refused, larger than 1024 bytes" in caplog.text


async def test_nothing_more_is_read_while_there_is_too_much_to_do_and_nothing_is_lost() -> None:
    async with link() as (made, script):
        made.subscribe("#")
        peer = await script.accept()
        await script.subscribed(peer)
        count = 3 * MOST
        for number in range(count):
            peer.publish("x", b"%d" % number)
        async with asyncio.timeout(SECONDS):
            while not script.inbox.full:
                await asyncio.sleep(0.01)
            seen = [await script.inbox.get() for _ in range(count)]
        assert [payload for _, payload in seen] == [b"%d" % number for number in range(count)]


async def test_who_publishes_can_wait_for_room_while_the_broker_is_there_and_behind() -> None:
    async with link() as (made, script):
        await made.room()  # there is no broker yet: nothing to wait for
        made.subscribe("a/#")
        peer = await script.accept()
        await script.subscribed(peer)
        numbers = []
        for number in range(UNDER_WAY):
            made.publish("t", b"%d" % number)
            numbers.append((await published(peer))[1])
        waiting = asyncio.create_task(made.room())
        made.publish("t", b"one more")
        await asyncio.sleep(0)
        assert not waiting.done()
        for number in numbers:
            peer.send(packets.acknowledgement(packets.PUBACK, number))
        async with asyncio.timeout(SECONDS):
            await waiting
        assert (await published(peer))[0] == b"one more"
        for _ in range(UNDER_WAY):
            made.publish("t", b"x")
        waiting = asyncio.create_task(made.room())
        await asyncio.sleep(0)
        peer.writer.close()
        async with asyncio.timeout(SECONDS):
            await waiting
