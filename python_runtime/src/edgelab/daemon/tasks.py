"""Long-lived tasks: named, owned by a group, and guarded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, Protocol

CANCEL_AGAIN = 1.0
"""Seconds after which a task that goes on is cancelled again."""


class Module(Protocol):
    """A part of a daemon: a name, and a `run` that lasts as long as the process."""

    name: str

    async def run(self) -> None:
        """Work until cancelled."""
        ...


async def guard(name: str, work: Awaitable[None]) -> None:
    """Await a task that must not end: its return is a defect and is reported as one."""
    await work
    raise RuntimeError(f"task {name!r} ended, although it should last as long as the process")


async def run_modules(modules: list[Module]) -> None:
    """Run every module until one fails or the caller cancels; all others are cancelled with it."""
    async with asyncio.TaskGroup() as group:
        for module in modules:
            group.create_task(guard(module.name, module.run()), name=module.name)


class Supervisor:
    """An owner for tasks that come and go (sessions, pod workers).

    A task's failure goes to `on_error` (default: the loop's exception handler), never silently away.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start and own a task."""
        task = asyncio.create_task(work, name=f"{self.name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            task.get_loop().call_exception_handler(
                {"message": f"task {task.get_name()} failed", "exception": error, "task": task}
            )

    async def close(self) -> None:
        """Cancel all tasks and wait for them.

        A task may lose one cancellation: before Python 3.13 a TaskGroup that ends for an error forgets one
        that arrives meanwhile. Such a task is cancelled again.
        """
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CANCEL_AGAIN)
