"""Starting the real edgecore and a real Mosquitto for a test, and ending them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

_numbers = itertools.count(1)


class Process:
    """A child with its output in a file."""

    def __init__(self, child: asyncio.subprocess.Process, log: Path) -> None:
        self.child = child
        self.log = log

    @property
    def pid(self) -> int:
        return self.child.pid

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    async def wait_for_line(self, text: str, seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while text not in self.output():
                assert self.child.returncode is None, self.output()
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        self.child.kill()
        await self.child.wait()


async def spawn(directory: Path, name: str, *arguments: str) -> Process:
    path = directory / f"{name}-{next(_numbers)}.log"  # of its own: a restarted process is not its past
    environment = {**os.environ, "CHECK_EDGECORE_ENVIRONMENT": "false"}
    environment.pop("NOTIFY_SOCKET", None)
    with path.open("ab") as log:
        child = await asyncio.create_subprocess_exec(
            *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
    return Process(child, path)


async def ended(writer: asyncio.StreamWriter) -> None:
    """Close a connection, and wait until it is."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def edgecore(config: Path) -> AsyncIterator[Process]:
    process = await spawn(
        config.parent, "edgecore", sys.executable, "-P", "-m", "edgelab.edgecore", "--config", str(config)
    )
    try:
        yield process
    finally:
        if process.child.returncode is None:
            process.child.terminate()
            try:
                async with asyncio.timeout(20):
                    await process.child.wait()
            except TimeoutError:
                await process.kill()
                raise AssertionError(f"edgecore did not end on SIGTERM\n{process.output()}") from None
            assert process.child.returncode == 0, f"{process.child.returncode}: {process.output()}"


@contextlib.asynccontextmanager
async def mosquitto(directory: Path, *extra: str, port: int = 0) -> AsyncIterator[int]:
    """A broker on a free port of loopback; `extra` are lines of its configuration.

    It drops nothing of a flood, as it would with its 1,000 messages: the tests are about who reads them.
    """
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    port = port or free_port()
    lines = extra or ("allow_anonymous true",)
    path = directory / "mosquitto.conf"
    path.write_text(
        "\n".join((f"listener {port} 127.0.0.1", "user root", "max_queued_messages 0", *lines)) + "\n"
    )
    process = await spawn(directory, "mosquitto", program, "-c", str(path))
    try:
        await listens(port)
        yield port
    finally:
        if process.child.returncode is None:
            process.child.terminate()
            await process.child.wait()


async def listens(port: int) -> None:
    """Return once something answers on the port."""
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                await ended(writer)
                return


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
