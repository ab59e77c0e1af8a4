"""What goes first, what waits, and what happens to it when the connection ends."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from edgelab.edgecore.edgehub.outbox import Outbox
from edgelab.edgecore.interfaces import Offline
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message
from edgelab.protocol.session.edge import HEARTBEAT, EdgeSession
from edgelab.protocol.session.sending import BOUNDS, Bucket, Priority


class StillClock:
    """Time stands until the test moves it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def outbox_of(clock: StillClock, bucket: Bucket | None = None) -> Outbox:
    """An outbox whose first keepalive is out."""
    session = EdgeSession(bucket or Bucket(0, 1, 0), 0)
    assert session.next(0) is not None
    return Outbox(session, clock)


def message(source: str, operation: str = "update", group: str = "meta") -> Message:
    return wire.new(source=source, group=group, operation=operation, resource="x/y/z")


async def test_acknowledgements_go_before_leases_and_leases_before_twins() -> None:
    outbox = outbox_of(StillClock())
    for item in (
        message("bus", "upload", "user"),
        message("twin"),
        message("edged"),
        message("edgecontroller", "response"),
    ):
        await outbox.put(item)
    order = [(await outbox.get()).route.source for _ in range(4)]
    assert order == ["edgecontroller", "edged", "twin", "bus"]


async def test_the_rate_holds_back_all_but_control_messages() -> None:
    clock = StillClock()
    bucket = Bucket(10, 2, 0)
    outbox = outbox_of(clock, bucket)
    for _ in range(3):
        await outbox.put(message("edged"))
    await outbox.get()
    await outbox.get()
    assert bucket.delay(0) == pytest.approx(0.1)
    await outbox.put(message("edgecontroller", "response"))
    assert (await outbox.get()).route.operation == "response"
    clock.seconds += 0.1
    assert (await outbox.get()).route.source == "edged"
    clock.seconds = HEARTBEAT
    assert (await outbox.get()).route.operation == "keepalive"


async def test_who_brings_too_many_waits_and_hears_when_the_connection_ends() -> None:
    outbox = outbox_of(StillClock())
    for _ in range(BOUNDS[Priority.TWIN]):
        await outbox.put(message("twin"))
    late = [asyncio.create_task(outbox.put(message("twin"))) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in late)
    await outbox.get()
    await asyncio.sleep(0)
    assert sum(task.done() for task in late) == 1
    outbox.close()
    results = await asyncio.gather(*late, return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [Offline, Offline]
    with pytest.raises(Offline):
        await outbox.put(message("edged"))
