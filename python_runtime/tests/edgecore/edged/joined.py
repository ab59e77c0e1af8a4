"""A runtime without a streaming server, in memory: processes that tests play, and ports of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from edgelab.cri.errors import CriError
from edgelab.cri.joining import Process, Wanted

Play = Callable[["Played"], Awaitable[int]]


class Played:
    """`play` reads `stdin`, calls `out`, and gives the exit code; `held` outputs wait for the client."""

    def __init__(self, held: int = 4) -> None:
        self.stdin: asyncio.Queue[bytes | None] = asyncio.Queue(4)
        self.sizes: list[tuple[int, int]] = []
        self.sent = 0
        self._outputs: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue(held)
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def out(self, data: bytes, name: str = "stdout") -> None:
        await self._outputs.put((name, data))
        self.sent += len(data)

    async def play(self, play: Play) -> None:
        code = await play(self)
        self._code.set_result(code)
        await self._outputs.put(None)

    async def outputs(self) -> AsyncIterator[tuple[str, bytes]]:
        while (item := await self._outputs.get()) is not None:
            yield item

    async def send(self, data: bytes) -> None:
        await self.stdin.put(data)

    async def finish(self) -> None:
        await self.stdin.put(None)

    async def resize(self, width: int, height: int) -> None:
        self.sizes.append((width, height))

    async def exit_code(self) -> int:
        return await self._code


class FakeJoining:
    """`running` are the processes that are joined now."""

    def __init__(self, play: Play | None = None) -> None:
        self.play = play
        self.asked: list[tuple[str, tuple[str, ...], Wanted]] = []
        self.running: list[Played] = []

    @asynccontextmanager
    async def exec(self, container: str, command: Sequence[str], wanted: Wanted) -> AsyncIterator[Process]:
        self.asked.append((container, tuple(command), wanted))
        if self.play is None:
            raise CriError("FAILED_PRECONDITION", "container c1 is paused")
        process = Played()
        self.running.append(process)
        task = asyncio.create_task(process.play(self.play))
        try:
            yield process
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.running.remove(process)

    @asynccontextmanager
    async def attach(self, container: str, wanted: Wanted) -> AsyncIterator[Process]:
        async with self.exec(container, (), wanted) as process:
            yield process

    async def dial(self, sandbox: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if port == 1:
            raise ConnectionRefusedError(111, "Connection refused")
        return await asyncio.open_connection("127.0.0.1", port)
