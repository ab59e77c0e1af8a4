"""Flow control of streams on one connection."""

from __future__ import annotations

import asyncio

import pytest

from edgelab.daemon.flow import Allowance, Ended, Inbox, Overrun


async def test_what_waits_is_given_together_and_a_writer_can_wait_for_that() -> None:
    inbox = Inbox(10)
    await inbox.emptied()
    inbox.put(b"one")
    inbox.put(b"two")
    assert inbox.size == 6
    writer = asyncio.create_task(inbox.emptied())
    await asyncio.sleep(0)
    assert not writer.done()
    assert await inbox.get() == b"onetwo"
    await writer
    assert inbox.size == 0


async def test_more_than_the_bound_is_not_kept() -> None:
    inbox = Inbox(4)
    inbox.put(b"1234")
    with pytest.raises(Overrun):
        inbox.put(b"5")
    assert await inbox.get() == b"1234"


async def test_after_a_good_end_what_is_here_can_be_taken_and_after_a_bad_one_not() -> None:
    good, bad = Inbox(9), Inbox(9)
    for inbox in (good, bad):
        inbox.put(b"rest")
    good.end()
    bad.end("cut")
    good.put(b"late")
    assert await good.get() == b"rest"
    for inbox, why in ((good, ""), (bad, "cut")):
        with pytest.raises(Ended) as ended:
            await inbox.get()
        assert str(ended.value) == why


async def test_a_reader_that_waits_gets_what_comes() -> None:
    inbox = Inbox(9)
    reader = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put(b"x")
    assert await reader == b"x"


async def test_a_sender_waits_for_room() -> None:
    room = Allowance(5)
    assert await room.take(3) == 3
    assert await room.take(3) == 2
    waiting = asyncio.create_task(room.take(3))
    await asyncio.sleep(0)
    assert not waiting.done()
    room.add(2)
    assert await waiting == 2
    waiting = asyncio.create_task(room.take(1))
    await asyncio.sleep(0)
    room.end("gone")
    with pytest.raises(Ended, match="gone"):
        await waiting


async def test_without_a_bound_nobody_waits() -> None:
    room = Allowance(None)
    assert await room.take(1 << 30) == 1 << 30
    room.add(1)
    assert await room.take(7) == 7
