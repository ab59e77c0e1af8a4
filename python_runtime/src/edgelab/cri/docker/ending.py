"""Ends a command that nobody waits for any more: Docker lets it go on, where containerd kills it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

from edgelab.cri.docker import members
from edgelab.cri.docker.http import Engine
from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.daemon import backoff

log = logging.getLogger("edgelab.cri.docker")

START_SECONDS = 5.0
"""Until when a command that Docker was told to start runs, or will not."""


async def end_command(engine: Engine, container: str, path: str, deadline: float) -> None:
    """Kill the command of `/exec/ID`, if it runs. It may be about to start only. Done even when cancelled."""
    await _surely(_end(engine, container, path, deadline))


async def _end(engine: Engine, container: str, path: str, deadline: float) -> None:
    waits = backoff.delays(0.02, 0.5)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_SECONDS):
            for wait in waits:
                if await _ended(engine, container, path, deadline):
                    return
                await asyncio.sleep(wait)


async def _ended(engine: Engine, container: str, path: str, deadline: float) -> bool:
    try:
        found = await engine.call("GET", f"{path}/json", deadline=deadline)
    except (RuntimeUnreachable, CriError) as error:
        log.debug("what a client left in container %s: %s", container, error)
        return True
    if found["Running"] and found["Pid"]:
        members.kill(container, int(found["Pid"]))
        return True
    return not found["Running"] and found["ExitCode"] is not None


async def _surely(work: Coroutine[Any, Any, None]) -> None:
    """Do it also when cancelled meanwhile, which is raised after it."""
    task = asyncio.create_task(work, name="docker/end-command")
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()
