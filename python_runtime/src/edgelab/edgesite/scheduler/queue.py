"""Pods that wait for a place: those to be tried, those to be tried after a while, and those that fit nowhere.

Facts: pkg/scheduler/backend/queue. The most important pod comes first, among equals the one that
waits longest. A pod that fitted nowhere is tried again when something happens that may help it, and
then not at once if others are to be tried. No I/O.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

from edgelab.daemon.clock import Clock
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import key_of

FIRST_BACKOFF, LONGEST_BACKOFF, WINDOW = 1.0, 10.0, 1.0
"""Seconds; times at which pods come back are rounded to the window, so that they come back by importance."""
FORGOTTEN = 300.0
"""A pod that fits nowhere is tried again after this time in any case."""


class Queued:
    """A pod in the queue, and what became of earlier attempts."""

    __slots__ = ("attempts", "errors", "key", "plugins", "pod", "refused", "since", "state")

    def __init__(self, pod: Obj, now: float) -> None:
        self.key: Key = key_of(pod)
        self.pod = pod
        self.since = now
        self.attempts = 0
        self.refused = 0
        self.errors = 0
        self.plugins: frozenset[str] = frozenset()
        """Those that refused it the last time."""
        self.state = ""

    @property
    def priority(self) -> int:
        """The pod's importance."""
        return int(self.pod["spec"].get("priority") or 0)


Entry = tuple[float, int, float, int, Queued]
"""When a pod comes back, and the order among those that come back together."""
ACTIVE, BACKOFF, WAITING, TAKEN = "active", "backoff", "waiting", "taken"


class Queue:
    """Every pod is in one state; `take` gives the next one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pods: dict[Key, Queued] = {}
        self._active: list[tuple[int, float, int, Queued]] = []
        self._backoff: list[Entry] = []
        """Those that were refused."""
        self._failed: list[Entry] = []
        """Those whose attempt failed."""
        self._number = count()
        self._wake = asyncio.Event()

    def __contains__(self, key: Key) -> bool:
        return key in self._pods

    def add(self, pod: Obj) -> None:
        """Try this pod."""
        item = Queued(pod, self._clock.monotonic())
        self._pods[item.key] = item
        self._activate(item)

    def update(self, pod: Obj) -> Queued | None:
        """Take in a version of a pod that is in the queue."""
        item = self._pods.get(key_of(pod))
        if item is not None:
            changed = item.priority != int(pod["spec"].get("priority") or 0)
            item.pod = pod
            if changed and item.state == ACTIVE:
                self._activate(item)
        return item

    def remove(self, key: Key) -> None:
        """The pod has a place, or is gone."""
        item = self._pods.pop(key, None)
        if item is not None:
            item.state = ""

    def refused(self, item: Queued, plugins: frozenset[str]) -> None:
        """The pod fits nowhere; let it wait for something to happen."""
        item.refused, item.errors = item.refused + 1, 0
        item.plugins, item.since, item.state = plugins, self._clock.monotonic(), WAITING

    def failed(self, item: Queued) -> None:
        """The attempt failed for another reason; again after a while."""
        item.errors += 1
        item.plugins, item.since = frozenset(), self._clock.monotonic()
        self._back_off(item)

    def failed_later(self, item: Queued) -> None:
        """What the last attempt began has failed: the pod that waits for it is tried again after a while."""
        if item.state == WAITING:
            self.failed(item)

    def waiting(self) -> list[Queued]:
        """The pods that fit nowhere."""
        return [item for item in self._pods.values() if item.state == WAITING]

    def retry(self, item: Queued) -> None:
        """Something happened that may help the pod."""
        if item.state != WAITING:
            return
        if self._expiry(item) <= self._now():
            self._activate(item)
        else:
            self._back_off(item)

    def flush(self) -> None:
        """Try pods again that have been waiting for long."""
        limit = self._clock.monotonic() - FORGOTTEN
        for item in self.waiting():
            if item.since < limit:
                self.retry(item)

    async def take(self) -> Queued:
        """The next pod; when no other is to be tried, one whose time has not come yet."""
        while True:
            item = self._next()
            if item is not None:
                item.attempts += 1
                item.state = TAKEN
                return item
            self._wake.clear()
            delay = self._delay()
            if delay is None:
                await self._wake.wait()
            else:
                await self._wait(delay)

    async def _wait(self, seconds: float) -> None:
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        wake = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait((sleep, wake), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sleep, wake):
                task.cancel()
            await asyncio.gather(sleep, wake, return_exceptions=True)

    def _next(self) -> Queued | None:
        now = self._now()
        for heap in (self._backoff, self._failed):
            while heap and heap[0][0] <= now:
                item = heapq.heappop(heap)[-1]
                if item.state == BACKOFF:
                    self._activate(item)
        while self._active:
            entry = heapq.heappop(self._active)
            if entry[-1].state == ACTIVE and -entry[0] == entry[-1].priority:
                return entry[-1]
        # A pod that was refused need not wait when there is nothing else to do; one that failed must.
        while self._backoff:
            item = heapq.heappop(self._backoff)[-1]
            if item.state == BACKOFF:
                return item
        return None

    def _delay(self) -> float | None:
        while self._failed and self._failed[0][-1].state != BACKOFF:
            heapq.heappop(self._failed)
        return self._failed[0][0] - self._now() if self._failed else None

    def _activate(self, item: Queued) -> None:
        item.state = ACTIVE
        heapq.heappush(self._active, (-item.priority, item.since, next(self._number), item))
        self._wake.set()

    def _back_off(self, item: Queued) -> None:
        item.state = BACKOFF
        entry = (self._expiry(item), -item.priority, item.since, next(self._number), item)
        heapq.heappush(self._failed if item.errors else self._backoff, entry)
        self._wake.set()

    def _expiry(self, item: Queued) -> float:
        tries = item.errors or item.refused
        if not tries:
            return 0.0
        delay = min(LONGEST_BACKOFF, FIRST_BACKOFF * float(1 << (min(tries, 16) - 1)))
        return (item.since + delay) // WINDOW * WINDOW

    def _now(self) -> float:
        return self._clock.monotonic()
