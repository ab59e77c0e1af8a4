"""Notices what happens in the runtime by listing it each second (kubelet `pleg/generic.go`).

Two small calls a second cost about 0.3 % of one core; a runtime that restarts is found again by itself.
Receives nothing; tells the pod manager which pods changed. While the runtime is away it says so once.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from typing import NoReturn

from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged import names

log = logging.getLogger(__name__)

PERIOD = 1.0
"""Seconds between two listings."""

Snapshot = dict[str, frozenset[tuple[str, int]]]


class Pleg:
    """The listing loop. `changed(uid)` is called for each pod whose sandboxes or containers changed."""

    def __init__(self, runtime: Runtime, clock: Clock, changed: Callable[[str], None]) -> None:
        self._runtime = runtime
        self._clock = clock
        self._changed = changed
        self._last: Snapshot = {}
        self.problem = "container runtime was not asked yet"
        self.listed_at: float | None = None

    @property
    def uids(self) -> set[str]:
        """Pods that the runtime has something of."""
        return set(self._last)

    async def run(self) -> NoReturn:
        """List for ever."""
        while True:
            await self.relist()
            await self._clock.sleep(PERIOD)

    async def relist(self) -> None:
        """List once, and tell of every difference."""
        try:
            fresh = await self._snapshot()
        except (RuntimeUnreachable, CriError) as error:
            if str(error) != self.problem:
                log.error("%s", error)
            self.problem = str(error)
            return
        if self.problem and self.listed_at is not None:
            log.info("the container runtime answers again")
        self.problem, self.listed_at = "", self._clock.monotonic()
        before, self._last = self._last, fresh
        for uid in before.keys() | fresh.keys():
            if before.get(uid) != fresh.get(uid):
                self._changed(uid)

    async def _snapshot(self) -> Snapshot:
        found: dict[str, set[tuple[str, int]]] = defaultdict(set)
        for sandbox in await self._runtime.list_sandboxes():
            if uid := sandbox.labels.get(names.POD_UID):
                found[uid].add((sandbox.id, sandbox.state))
        for container in await self._runtime.list_containers():
            if uid := container.labels.get(names.POD_UID):
                found[uid].add((container.id, container.state))
        return {uid: frozenset(items) for uid, items in found.items()}
