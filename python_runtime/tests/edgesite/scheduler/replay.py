"""Plays recorded situations to the scheduler: the same objects, the same order, one step after the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.edgesite.site import TestClock
from tests.kube.fake_api import FakeApi

from edgelab.daemon.tasks import run_modules
from edgelab.edgesite import scheduler
from edgelab.edgesite.controllers.support.kinds import BUILT_IN
from edgelab.kube.interface import Obj
from edgelab.kube.resources import EVENTS, NAMESPACES, PODS
from edgelab.objects.metadata import condition, is_deleting

VECTORS = Path(__file__).parent / "vectors"
KINDS = {resource.plural: resource for resource in (*BUILT_IN, NAMESPACES)}


def load(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


class Replay:
    def __init__(self) -> None:
        self.clock = TestClock()
        self.api = FakeApi(self.clock)
        self._uids: dict[str, str] = {}

    async def play(self, steps: list[list[Any]]) -> list[Obj]:
        """The state at each `settle`."""
        states = []
        for verb, *arguments in steps:
            if verb == "settle":
                await self.settle(arguments[0])
                states.append(self.state())
                continue
            await getattr(self, verb)(*arguments)
            await self.settle(0)
        return states

    async def create(self, plural: str, obj: Obj) -> None:
        if plural == "pods":
            obj = {**obj, "spec": {"schedulerName": scheduler.NAME, **obj["spec"]}}  # as the server does
        made = await self.api.create(KINDS[plural], obj, obj["metadata"].get("namespace"))
        if plural == "pods":
            self._uids[made["metadata"]["uid"]] = made["metadata"]["name"]

    async def patch(self, plural: str, namespace: str | None, name: str, sub: str | None, patch: Obj) -> None:
        await self.api.patch(KINDS[plural], name, patch, namespace, subresource=sub)

    async def remove(self, plural: str, namespace: str | None, name: str) -> None:
        await self.api.delete(KINDS[plural], name, namespace, options={"gracePeriodSeconds": 0})

    async def delete(self, plural: str, namespace: str | None, name: str) -> None:
        await self.api.delete(KINDS[plural], name, namespace)

    async def settle(self, seconds: float) -> None:
        await self._quiet()
        for _ in range(int(seconds)):
            self.clock.advance(1)
            await self._quiet()

    async def _quiet(self) -> None:
        still, before = 0, -1
        while still < 40:
            await asyncio.sleep(0)
            now = self.api.revision + len(self.api.calls)
            still = still + 1 if now == before else 0
            before = now

    def state(self) -> Obj:
        pods = {pod["metadata"]["name"]: _pod(pod) for pod in self.api.all(PODS)}
        return {"pods": pods, "events": self._events()}

    def _events(self) -> list[list[str]]:
        found = set()
        for event in self.api.all(EVENTS):
            text = event["message"]
            for uid, name in self._uids.items():
                text = text.replace(uid, f"<{name}>")
            related = event.get("related", {}).get("name", "")
            kind = event["type"], event["reason"], event["action"]
            found.add((event["involvedObject"]["name"], *kind, text, related))
        return [list(event) for event in sorted(found)]


def _pod(pod: Obj) -> Obj:
    scheduled, target = condition(pod, "PodScheduled"), condition(pod, "DisruptionTarget")
    found = {
        "node": pod["spec"].get("nodeName"),
        "nominated": pod["status"].get("nominatedNodeName"),
        "scheduled": scheduled and [scheduled.get(key) for key in ("status", "reason", "message")],
        "target": target and [target.get(key) for key in ("status", "reason", "message")],
        "deleting": is_deleting(pod) or None,
    }
    return {key: value for key, value in found.items() if value is not None}


@asynccontextmanager
async def replaying() -> AsyncIterator[Replay]:
    replay = Replay()
    for name in ("default", "kube-public"):
        await replay.api.create(NAMESPACES, {"metadata": {"name": name}, "spec": {}})
    modules = scheduler.build(replay.api, replay.clock)
    task = asyncio.create_task(run_modules(modules))
    await replay.settle(0)
    try:
        yield replay
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled() and (error := task.exception()):
        raise error
