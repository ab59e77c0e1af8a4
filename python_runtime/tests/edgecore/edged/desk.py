"""A pod worker over a runtime and a cloud in memory, with time that passes only when nothing happens."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.component.edged.meta import FakeMeta
from tests.edgecore.edged.fake_runtime import FakeRuntime
from tests.edgesite.driven import Driver, run

from edgelab.edgecore.edged.builder import NodeSettings
from edgelab.edgecore.edged.events import Recorder
from edgelab.edgecore.edged.images import Images
from edgelab.edgecore.edged.kit import Kit
from edgelab.edgecore.edged.probes import Prober
from edgelab.edgecore.edged.reports import Reports
from edgelab.edgecore.edged.restarts import Backoff
from edgelab.edgecore.edged.volumes import Volumes
from edgelab.edgecore.edged.worker import PodWorker

Obj = dict[str, Any]


def driven(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on the loop whose time leaps."""

    @functools.wraps(test)
    def wrapper(*args: Any, **more: Any) -> None:
        run(test(*args, **more))

    return wrapper


class Desk:
    """One worker with all that it needs."""

    def __init__(self, root: Path, described: Obj) -> None:
        self.clock = Driver()
        self.runtime = FakeRuntime(self.clock)
        self.meta = FakeMeta()
        self.pod = described
        events = Recorder(self.meta, self.clock, "edge1", enabled=True)
        self.kit = Kit(
            runtime=self.runtime,
            meta=self.meta,
            clock=self.clock,
            node=NodeSettings(
                name="edge1", root=root / "kubelet", log_root=root / "logs", cgroups_per_qos=False
            ),
            volumes=Volumes(root / "kubelet", self.meta),
            images=Images(self.runtime, self.meta, self.clock, parallel=1),
            prober=Prober(self.runtime, self.clock, events, lambda _: self.worker.notice()),
            reports=Reports(self.meta, self.clock),
            events=events,
            crashes=Backoff(self.clock),
            host_ip="192.168.1.20",
            allocatable={"cpu": "2", "memory": "1Gi"},
            resync=10.0,
        )
        self.worker = PodWorker(self.kit, described)
        self.runtime.changed = self.worker.notice
        self.ended = False

    async def work(self) -> None:
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(self.kit.reports.run(), name="reports"),
                group.create_task(self.kit.events.run(), name="events"),
            ]
            await self.worker.run()
            self.ended = True
            for helper in helpers:
                helper.cancel()

    async def passes(self, seconds: float) -> None:
        """Let time pass."""
        await self.clock.sleep(seconds)

    async def until(self, condition: Callable[[], Any], limit: float = 60.0) -> float:
        """Let time pass until something is so; gives the seconds that it took."""
        began = self.clock.monotonic()
        while not condition():
            assert self.clock.monotonic() - began < limit, f"not so within {limit} s: {self.status}"
            await self.clock.sleep(0.05)
        return self.clock.monotonic() - began

    def change(self, **spec: Any) -> None:
        """A newer description arrives."""
        fresh = copy.deepcopy(self.pod)
        fresh["spec"].update(spec)
        self.pod = fresh
        self.worker.update(fresh)

    def delete(self, grace: int | None = None) -> None:
        """The pod's deletion was asked for."""
        fresh = copy.deepcopy(self.pod)
        grace = fresh["spec"].get("terminationGracePeriodSeconds", 30) if grace is None else grace
        fresh["metadata"] |= {
            "deletionTimestamp": "2026-11-21T10:00:00Z",
            "deletionGracePeriodSeconds": grace,
        }
        self.pod = fresh
        self.worker.update(fresh)

    @property
    def status(self) -> Obj:
        return self.kit.reports.last(self.pod)

    @property
    def phase(self) -> Any:
        return self.status.get("phase")

    def entry(self, name: str = "main", kind: str = "containerStatuses") -> Obj:
        """A container's entry in the status."""
        return next((e for e in self.status.get(kind) or [] if e["name"] == name), {})

    def condition(self, kind: str) -> Obj:
        return next((c for c in self.status.get("conditions") or [] if c["type"] == kind), {})

    def events(self, reason: str) -> list[str]:
        """Messages of the events of a reason."""
        return [event["message"] for event in self.meta.events if event["reason"] == reason]


@contextlib.asynccontextmanager
async def working(root: Path, described: Obj) -> AsyncIterator[Desk]:
    """A desk whose worker runs until the end of the block."""
    desk = Desk(root, described)
    task = asyncio.create_task(desk.work(), name="desk")
    try:
        yield desk
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await desk.kit.prober.close()
