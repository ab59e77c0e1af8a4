"""The file of kept messages, before it has been read and after."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgelab.cloudcore.router.errors import Undeliverable
from edgelab.cloudcore.router.spool import Spool

RULE = ("default", "down")


async def test_nothing_is_kept_before_what_was_kept_is_counted(tmp_path: Path) -> None:
    """Requests may come sooner than a large file is read."""
    before = Spool(tmp_path, 1000)
    await before.open()
    await before.keep("edge1", RULE, "t", b"a" * 900)
    await before.close()
    spool = Spool(tmp_path, 1000)
    early = asyncio.create_task(spool.keep("edge1", RULE, "t", b"b" * 101))
    asked = asyncio.create_task(spool.counted())
    await asyncio.sleep(0.05)
    assert not early.done()
    assert not asked.done()
    await spool.open()
    await asked
    assert spool.holds("edge1", RULE)
    with pytest.raises(Undeliverable, match="spool is full"):
        await early
    await spool.close()
