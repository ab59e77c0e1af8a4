"""The pods of this node as those see them who judge over them: eviction, shutdown, housekeeping."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from edgelab.edgecore.edged import podspec
from edgelab.edgecore.edged.reports import Reports
from edgelab.edgecore.edged.verdicts import Verdict
from edgelab.edgecore.edged.worker import PodWorker

Obj = dict[str, Any]

ENDED = ("Succeeded", "Failed")
SPARE = 10.0
"""Seconds beyond its grace for which a pod's end is awaited."""


class Population:
    """The pod workers by uid."""

    def __init__(self, reports: Reports) -> None:
        self.workers: dict[str, PodWorker] = {}
        self._reports = reports

    def active(self) -> list[Obj]:
        """Pods that have not ended and are not about to."""
        workers = list(self.workers.values())
        return [worker.pod for worker in workers if not worker.ending and not self.ended(worker.uid)]

    def find(self, namespace: str, name: str) -> Obj | None:
        """The pod of that name; of several the one that is not about to end."""
        found = [
            worker
            for worker in self.workers.values()
            if (worker.pod["metadata"].get("namespace"), worker.pod["metadata"]["name"]) == (namespace, name)
        ]
        return min(found, key=lambda worker: worker.ending).pod if found else None

    def known(self) -> set[str]:
        """The uids of all pods."""
        return set(self.workers)

    def ended(self, uid: str) -> bool:
        """Whether a pod has ended for good, or is none of this node."""
        worker = self.workers.get(uid)
        return worker is None or self._reports.last(worker.pod).get("phase") in ENDED

    async def end(self, uid: str, verdict: Verdict) -> None:
        """End a pod for good as Failed; returns when its containers have ended, or did not in time."""
        if (worker := self.workers.get(uid)) is not None:
            worker.fail(verdict)
            grace = podspec.grace_seconds(worker.pod) if verdict.grace is None else verdict.grace
            await self._stopped(worker, grace)

    async def halt(self, uid: str, grace: int) -> None:
        """Stop a pod until the next start of EdgeCore; its status stays as it is."""
        if (worker := self.workers.get(uid)) is not None:
            worker.halt(grace)
            await self._stopped(worker, grace)

    async def _stopped(self, worker: PodWorker, grace: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace + SPARE):
                await worker.stopped.wait()
