"""When systemd is told that EdgeCore runs. Excludes what modules do before they have begun."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelab.edgecore.app import Readiness


class Part:
    """A module that has begun as soon as it exists."""

    name = "part"

    async def run(self) -> None:
        """Not run here."""


class SlowPart(Part):
    """A module that has begun when the test says so."""

    name = "slow"

    def __init__(self) -> None:
        self.begun = asyncio.Event()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket at which systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


async def test_ready_is_told_when_the_last_module_has_begun(systemd: socket.socket) -> None:
    slow = SlowPart()
    async with asyncio.timeout(60):
        telling = asyncio.create_task(Readiness([Part(), slow]).run())
        for _ in range(5):
            await asyncio.sleep(0)
        with pytest.raises(BlockingIOError):
            systemd.recv(4096)
        slow.begun.set()
        told = await asyncio.get_running_loop().sock_recv(systemd, 4096)
        assert told == b"READY=1\nSTATUS=running part, slow"
        assert not telling.done()
        telling.cancel()
