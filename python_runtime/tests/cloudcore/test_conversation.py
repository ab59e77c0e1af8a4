"""One connection at work, on a link that takes what it is told to."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest
from tests.kube.fake_api import FakeApi

from edgelab.cloudcore.cloudhub.conversation import Conversation
from edgelab.cloudcore.cloudhub.hub import CloudHub, Session
from edgelab.cloudcore.cloudhub.link import Gone
from edgelab.cloudcore.cloudhub.peer import Peer
from edgelab.cloudcore.cloudhub.tracker import SyncTracker
from edgelab.protocol import message as wire

NOW = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)


class Link:
    """Takes `room` messages at once; whoever waits for more waits until `opened`."""

    peer = Peer("system:node:edge1", 1, NOW, NOW)

    def __init__(self, room: int) -> None:
        self.room = room
        self.sent: list[bytes] = []
        self.opened = asyncio.Event()
        self.closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    def header(self, name: str) -> list[str]:
        return []

    async def receive(self) -> bytes:
        await asyncio.shield(self.closed)
        raise Gone("closed")

    def offer(self, frame: bytes) -> bool:
        if self.room <= 0:
            return False
        self.room -= 1
        self.sent.append(frame)
        return True

    async def send(self, frame: bytes) -> None:
        await self.opened.wait()
        self.sent.append(frame)

    async def close(self, code: int, reason: str) -> None:
        if not self.closed.done():
            self.closed.set_result((code, reason))


def message(number: int) -> wire.Message:
    return wire.new(source="test", group="resource", operation="update", resource=f"default/pod/{number}")


async def begun(link: Link, write_seconds: float) -> tuple[CloudHub, asyncio.Task[None]]:
    hub = CloudHub(SyncTracker(FakeApi()), node_limit=10)
    session = Session("edge1", 1, link.peer)
    conversation = Conversation(hub, link, session, keepalive_seconds=60, write_seconds=write_seconds)
    task = asyncio.create_task(conversation.run(resend=False))
    await asyncio.sleep(0)
    return hub, task


async def test_a_node_that_takes_no_more_has_its_time_and_then_loses_its_session() -> None:
    link = Link(room=1)
    hub, task = await begun(link, write_seconds=0.2)
    for number in range(3):
        hub.send("edge1", message(number))
    async with asyncio.timeout(30):
        _, reason = await asyncio.shield(link.closed)
        await task
    assert reason == "did not take a message for 0.2 s"
    assert len(link.sent) == 1
    assert not hub.connected("edge1")


async def test_who_takes_messages_again_gets_them_in_order() -> None:
    link = Link(room=1)
    hub, task = await begun(link, write_seconds=60)
    for number in range(3):
        hub.send("edge1", message(number))
    await asyncio.sleep(0.05)
    assert len(link.sent) == 1
    link.opened.set()
    async with asyncio.timeout(30):
        while len(link.sent) < 3:
            await asyncio.sleep(0.01)
    assert [wire.decode(frame).route.resource[-1] for frame in link.sent] == ["0", "1", "2"]
    hub.disconnect("edge1", "over")
    async with asyncio.timeout(30):
        await task


@pytest.mark.parametrize("room", [0, 5])
async def test_what_the_hub_ends_is_closed_with_its_reason(room: int) -> None:
    link = Link(room)
    hub, task = await begun(link, write_seconds=60)
    hub.send("edge1", message(0))
    await asyncio.sleep(0)
    hub.disconnect("edge1", "its Node was deleted")
    async with asyncio.timeout(30):
        assert (await asyncio.shield(link.closed))[1] == "its Node was deleted"
        await task
