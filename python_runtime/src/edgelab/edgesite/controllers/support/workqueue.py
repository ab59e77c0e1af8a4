"""A queue of keys: one worker at a time per key, many keys in parallel, a burst done once.

The shape of client-go's rate-limited workqueue and of kopf's queue per object: an event only says
"look at this object again"; what there is to do is read from the views when its turn comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import ClassVar, Protocol
from weakref import WeakSet

from edgelab.daemon import backoff
from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Unreachable
from edgelab.daemon.tasks import Supervisor
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import key_of
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.edgesite.controllers")

FIRST_DELAY, LONGEST_DELAY = 0.05, 60.0

Reconcile = Callable[[Key], Awaitable[float | None]]
"""Brings one object closer to what is wanted; returns the seconds after which to look again, if any."""


class Again(Exception):
    """What is to be done cannot be done yet; it is tried again with growing delays."""


class Synced(Protocol):
    """Something that has to be filled before the work starts."""

    async def wait_synced(self) -> None:
        """Wait for it."""
        ...


class WorkQueue:
    """A module: calls `reconcile` for every added key, and again (with growing delays) when it fails.

    The queue is bounded by the number of keys: one that waits already is not added again.
    `adds` and `retries` count for the metrics, which find every queue in `living`.
    """

    living: ClassVar[WeakSet[WorkQueue]] = WeakSet()

    def __init__(
        self, name: str, reconcile: Reconcile, clock: Clock, needs: Iterable[Synced] = (), workers: int = 4
    ) -> None:
        self.name = name
        self._reconcile = reconcile
        self._clock = clock
        self._needs = list(needs)
        self._workers = workers
        self._waiting: deque[Key] = deque()
        self._dirty: set[Key] = set()
        self._active: set[Key] = set()
        self._failures: dict[Key, Iterator[float]] = {}
        self._timers: dict[Key, tuple[float, asyncio.Task[None]]] = {}
        self._sleepers = Supervisor(f"{name}/timer")
        self._wake = asyncio.Semaphore(0)
        self.adds = self.retries = 0
        self.living.add(self)

    @property
    def depth(self) -> int:
        """Keys that wait for their turn."""
        return len(self._waiting)

    def add(self, key: Key) -> None:
        """Look at the object soon; once more after a pass that is under way."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        self.adds += 1
        if key not in self._active:
            self._waiting.append(key)
            self._wake.release()

    def add_object(self, obj: Obj) -> None:
        """Look at this object."""
        self.add(key_of(obj))

    def add_after(self, key: Key, seconds: float) -> None:
        """Look at the object later; of several times the earliest counts."""
        due = self._clock.monotonic() + seconds
        pending = self._timers.get(key)
        if pending is not None:
            if pending[0] <= due:
                return
            pending[1].cancel()
        task = self._sleepers.spawn(self._later(key, seconds), "/".join(key))
        self._timers[key] = (due, task)

    def cancel(self, key: Key) -> None:
        """Do not look at the object later after all; what waits for its turn gets it."""
        pending = self._timers.pop(key, None)
        if pending is not None:
            pending[1].cancel()

    async def run(self) -> None:
        """Work until cancelled."""
        for needed in self._needs:
            await needed.wait_synced()
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._workers):
                    group.create_task(self._work(), name=f"{self.name}/{number}")
        finally:
            await self._sleepers.close()

    async def _later(self, key: Key, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._timers.pop(key, None)
        self.add(key)

    async def _work(self) -> None:
        while True:
            await self._wake.acquire()
            key = self._waiting.popleft()
            self._dirty.discard(key)
            self._active.add(key)
            try:
                await self._attempt(key)
            finally:
                self._active.discard(key)
                if key in self._dirty:
                    self._waiting.append(key)
                    self._wake.release()

    async def _attempt(self, key: Key) -> None:
        try:
            again = await self._reconcile(key)
        except (ApiError, Unreachable) as error:
            # Changed or deleted in between: the next pass sees it.
            expected = isinstance(error, ApiError) and error.code in (404, 409)
            log.log(
                logging.DEBUG if expected else logging.WARNING, "%s %s: %s", self.name, "/".join(key), error
            )
            self._retry(key)
        except Again as reason:
            log.debug("%s %s: %s", self.name, "/".join(key), reason)
            self._retry(key)
        except Exception:  # a defect met by one object must not stop the work on all others
            log.exception("%s %s failed unexpectedly; this is a defect", self.name, "/".join(key))
            self._retry(key)
        else:
            self._failures.pop(key, None)
            if again is not None:
                self.add_after(key, max(0.0, again))

    def _retry(self, key: Key) -> None:
        self.retries += 1
        delays = self._failures.setdefault(key, backoff.delays(FIRST_DELAY, LONGEST_DELAY))
        self.add_after(key, next(delays))
