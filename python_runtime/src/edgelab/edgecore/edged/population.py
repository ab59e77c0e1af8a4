"""The pods of this node: which of them are meant, and how those see them who judge over them.

Those are eviction, shutdown, housekeeping. Who works for a pod, and when, is `module`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from edgelab.edgecore.edged import names, podspec
from edgelab.edgecore.edged.reports import Reports
from edgelab.edgecore.edged.staticpods import is_static
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
        found = [worker for worker in self.workers.values() if _place(worker.pod) == (namespace, name)]
        return min(found, key=lambda worker: worker.ending).pod if found else None

    def meant(self, namespace: str, name: str, uid: str) -> list[PodWorker]:
        """Those of a pod that is gone from the API; without a uid all of that name that came from there."""
        return [
            worker
            for worker in self.workers.values()
            if worker.uid == uid
            or (not uid and not is_static(worker.pod) and _place(worker.pod) == (namespace, name))
        ]

    def users(self, kind: str, namespace: str, name: str) -> list[PodWorker]:
        """Those of the pods that use a `configmap` or `secret`."""
        return [
            worker
            for worker in self.workers.values()
            if _place(worker.pod)[0] == namespace and (kind, name) in podspec.references(worker.pod)
        ]

    def release(self, namespace: str, name: str) -> int:
        """Start the held pod of that name, or with no name all of them; gives how many there were."""
        held = [
            worker
            for worker in self.workers.values()
            if worker.held and (not name or names.key(worker.pod) == f"{namespace}/{name}")
        ]
        for worker in held:
            worker.release()
        return len(held)

    def displace(self, pod: Obj) -> list[PodWorker]:
        """End other uids under the same name: older pods, deleted while nobody told this node."""
        older = [
            worker
            for worker in self.workers.values()
            if _place(worker.pod) == _place(pod) and worker.uid != names.uid(pod)
        ]
        for worker in older:
            if not worker.removed:
                worker.remove()
        return older

    def admitted(self) -> list[Obj]:
        """The pods beside which another one has to find room."""
        return [
            worker.pod
            for worker in self.workers.values()
            if worker.admitted and self._reports.last(worker.pod).get("phase") not in ENDED
        ]

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


def _place(pod: Obj) -> tuple[str | None, str]:
    """Namespace and name."""
    return pod["metadata"].get("namespace"), pod["metadata"]["name"]
