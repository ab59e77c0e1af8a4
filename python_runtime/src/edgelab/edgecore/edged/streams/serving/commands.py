"""A client's streams and a process in a container, joined until one of them ends (`remotecommand`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Protocol

import msgspec

from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.joining import Process

log = logging.getLogger(__name__)

Obj = dict[str, Any]
Start = Callable[[], AbstractAsyncContextManager[Process]]
STDIN, RESIZE = "stdin", "resize"
SUCCESS: Obj = {"metadata": {}, "status": "Success"}


class Channels(Protocol):
    """The client's side."""

    def incoming(self) -> AsyncIterator[tuple[str, bytes, bool]]:
        """STDIN or RESIZE, data, and whether the stream ends with it; until the client goes."""
        ...

    async def send(self, name: str, data: bytes) -> None:
        """Output of a stream; returns when there is room for more. Raises OSError."""
        ...

    async def end(self, status: bytes) -> None:
        """No more output; a `metav1.Status` says how it ended. Raises OSError."""
        ...


class _Size(msgspec.Struct):
    Width: int = 0
    Height: int = 0


async def run(channels: Channels, start: Start) -> None:
    """Start the process, join it, tell how it ended. Raises OSError when the client is gone."""
    try:
        status = await _run(channels, start)
    except (RuntimeUnreachable, CriError) as error:
        status = failure(str(error))
    await channels.end(msgspec.json.encode(status))


async def _run(channels: Channels, start: Start) -> Obj:
    async with start() as process:
        outward = asyncio.create_task(_outward(channels, process))
        inward = asyncio.create_task(_inward(channels, process))
        try:
            await asyncio.wait((outward, inward), return_when=asyncio.FIRST_COMPLETED)
            if not outward.done():
                inward.result()
                raise ConnectionResetError("the client has gone")
            return ended(outward.result())
        finally:
            outward.cancel()
            inward.cancel()
            await asyncio.gather(outward, inward, return_exceptions=True)


async def _outward(channels: Channels, process: Process) -> int:
    async for name, data in process.outputs():
        await channels.send(name, data)
    return await process.exit_code()


async def _inward(channels: Channels, process: Process) -> None:
    """A process that does not read holds its client up; one that has ended takes nothing."""
    finished = False
    async for name, data, final in channels.incoming():
        if name == RESIZE:
            await _resize(process, data)
        elif not finished:
            with suppress(OSError):  # its outputs tell why
                if data:
                    await process.send(data)
                if final:
                    finished = True
                    await process.finish()


async def _resize(process: Process, data: bytes) -> None:
    try:
        size = msgspec.json.decode(data, type=_Size)
    except msgspec.DecodeError:
        return
    if not (0 < size.Width < 1 << 16 and 0 < size.Height < 1 << 16):
        return
    try:
        await process.resize(size.Width, size.Height)
    except (RuntimeUnreachable, CriError) as error:
        log.debug("the size of a terminal: %s", error)


def ended(code: int) -> Obj:
    """As `remotecommand.ServeExec` tells an exit code."""
    if code == 0:
        return SUCCESS
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failure(text: str) -> Obj:
    """As `apierrors.NewInternalError`."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {text}",
        "reason": "InternalError",
        "details": {"causes": [{"message": text}]},
        "code": 500,
    }
