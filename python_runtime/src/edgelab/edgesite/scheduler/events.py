"""Events as kube-scheduler writes them: of the newer form, with an action and a series.

Facts: client-go `tools/events/event_broadcaster.go`. The second of several equal events starts a
series; how long it has become is written when it has ended, and every half hour. Events are a
courtesy: one that cannot be written, or that is one too many, is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass
from typing import Any, NamedTuple

from edgelab.daemon.clock import Clock, rfc3339_micro
from edgelab.daemon.errors import Unreachable
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import EVENTS
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.edgesite.events")

FINISHED, REFRESHED = 360.0, 1800.0
"""Seconds without a repetition after which a series has ended; and between two writes of its length."""
REMEMBERED, QUEUED, WRITERS = 1024, 1000, 16
LONGEST_NOTE = 1024
Same = tuple[Any, ...]


class Occasion(NamedTuple):
    """What kind of event it is."""

    type: str
    reason: str
    action: str


SCHEDULED = Occasion("Normal", "Scheduled", "Binding")
FAILED = Occasion("Warning", "FailedScheduling", "Scheduling")
PREEMPTED = Occasion("Normal", "Preempted", "Preempting")


@dataclass(slots=True)
class _Known:
    name: str
    namespace: str
    seen: float
    last: str
    count: int = 1
    written: int = 1


class EventRecorder:
    """A module; `record` never waits."""

    def __init__(self, api: KubeApi, clock: Clock, controller: str) -> None:
        self.name = f"{controller}/events"
        self._api = api
        self._clock = clock
        self._controller = controller
        self._instance = f"{controller}-{socket.gethostname()}"
        self._known: dict[Same, _Known] = {}
        self._queue: asyncio.Queue[tuple[Same, Obj]] = asyncio.Queue(QUEUED)

    def record(self, occasion: Occasion, pod: Obj, note: str, related: Obj | None = None) -> None:
        """Something happened to a pod."""
        kind, reason, action = occasion
        regarding, other = _reference(pod), _reference(related) if related is not None else None
        same = (kind, action, reason, *regarding.values(), *(other or {}).values())
        now = self._clock.now()
        event = {
            "metadata": {
                "name": f"{pod['metadata']['name']}.{int(now.timestamp() * 1e9) + len(self._known):x}",
                "namespace": pod["metadata"]["namespace"],
            },
            "eventTime": rfc3339_micro(now),
            "reportingComponent": self._controller,
            "reportingInstance": self._instance,
            "action": action,
            "reason": reason,
            "involvedObject": regarding,
            "message": note if len(note) <= LONGEST_NOTE else f"{note[: LONGEST_NOTE - 4]} ...",
            "type": kind,
        }
        if other is not None:
            event["related"] = other
        try:
            self._queue.put_nowait((same, event))
        except asyncio.QueueFull:
            log.debug("event %s of %s is dropped: too many", reason, pod["metadata"]["name"])

    async def run(self) -> None:
        """Write events."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tend(), name=f"{self.name}/series")
            for number in range(WRITERS):
                group.create_task(self._write(), name=f"{self.name}/{number}")

    async def _write(self) -> None:
        while True:
            same, event = await self._queue.get()
            known = self._known.get(same)
            if known is None:
                self._remember(same, event)
                await self._create(event)
                continue
            known.count += 1
            known.seen, known.last = self._clock.monotonic(), event["eventTime"]
            if known.count == 2:
                await self._prolong(known)

    def _remember(self, same: Same, event: Obj) -> None:
        metadata = event["metadata"]
        self._known[same] = _Known(
            metadata["name"], metadata["namespace"], self._clock.monotonic(), event["eventTime"]
        )
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]

    async def _tend(self) -> None:
        refreshed = self._clock.monotonic()
        while True:
            await self._clock.sleep(FINISHED)
            now = self._clock.monotonic()
            due = now - refreshed >= REFRESHED
            refreshed = now if due else refreshed
            for same, known in list(self._known.items()):
                is_over = known.seen < now - FINISHED
                if known.count != known.written and (is_over or due):
                    await self._prolong(known)
                if is_over:
                    self._known.pop(same, None)

    async def _create(self, event: Obj) -> None:
        try:
            await self._api.create(EVENTS, event, event["metadata"]["namespace"])
        except (ApiError, Unreachable) as error:
            log.debug("event %s of %s: %s", event["reason"], event["metadata"]["name"], error)

    async def _prolong(self, known: _Known) -> None:
        known.written = known.count
        series = {"count": known.count, "lastObservedTime": known.last}
        try:
            await self._api.patch(EVENTS, known.name, {"series": series}, known.namespace)
        except (ApiError, Unreachable) as error:
            log.debug("event %s: %s", known.name, error)


def _reference(obj: Obj) -> dict[str, str]:
    metadata = obj["metadata"]
    return {
        "kind": "Pod",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": "v1",
        "resourceVersion": metadata["resourceVersion"],
    }
