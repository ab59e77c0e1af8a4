"""Flow control: the objects that every cluster has, and which FlowSchemas refer to nothing.

EdgeSite does not put requests into queues by them; the objects are kept as kube-apiserver keeps them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.edgesite.apiserver import codec, flowobjects
from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.registry import Registry
from edgelab.edgesite.store import Ended, Entry, Overrun
from edgelab.objects import metadata as meta
from edgelab.objects.status import ApiError

log = logging.getLogger("edgesite.flowcontrol")

Obj = dict[str, Any]

GROUP = "flowcontrol.apiserver.k8s.io"
SCHEMAS, LEVELS = f"{GROUP}/flowschemas", f"{GROUP}/prioritylevelconfigurations"
MANAGER = "api-priority-and-fairness-config-consumer-v1"
LOOK_AGAIN = 60.0
"""Seconds after which what somebody has deleted is made again."""


class FlowControl:
    """A module: keeps the objects and the condition Dangling."""

    name = "flowcontrol"

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._store = registry.store
        self._clock = clock
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ensure_forever(), name="flowcontrol/ensure")
            for bucket in (SCHEMAS, LEVELS):
                group.create_task(self._follow(bucket), name=f"flowcontrol/{bucket}")
            while True:
                await self._changed.wait()
                self._changed.clear()
                for entry in list(self._store.heads(SCHEMAS)):
                    await self._settle(entry)

    async def _follow(self, bucket: str) -> None:
        while True:
            with self._store.watch_now(bucket) as watch:
                self._changed.set()
                try:
                    while True:
                        await watch.events()
                        self._changed.set()
                except Ended:
                    return  # the server stops
                except Overrun:
                    log.info("too many changes at once; looking at all of them again")

    async def _ensure_forever(self) -> None:
        while True:
            for wanted in (flowobjects.levels(), flowobjects.schemas()):
                async with asyncio.TaskGroup() as group:
                    for obj in wanted:
                        group.create_task(self._ensure(obj), name=f"flowcontrol/{obj['metadata']['name']}")
            await self._clock.sleep(LOOK_AGAIN)

    def _kind(self, name: str) -> Kind:
        found = self._registry.kinds.by_kind(flowobjects.VERSION, name)
        assert found is not None
        return found

    async def _ensure(self, wanted: Obj) -> None:
        """Create what is missing; what may be updated automatically gets its spec back."""
        kind, name = self._kind(wanted["kind"]), wanted["metadata"]["name"]
        context = Context(field_manager="api-priority-and-fairness-config-producer-v1")
        entry = self._store.head(self._registry.key(kind, "", name))
        try:
            if entry is None:
                await self._registry.create(kind, "", wanted, context)
                return
            old = codec.decode(entry.data)
            automatic = (old["metadata"].get("annotations") or {}).get(flowobjects.AUTO_UPDATE) == "true"
            if automatic and old["spec"] != wanted["spec"]:
                await self._registry.update(kind, "", name, {**old, "spec": wanted["spec"]}, context)
        except ApiError as error:
            log.warning("cannot write %s %s: %s", wanted["kind"], name, error)

    async def _settle(self, entry: Entry) -> None:
        found = codec.decode(entry.data)
        level = found["spec"]["priorityLevelConfiguration"].get("name") or ""
        kind = self._kind("PriorityLevelConfiguration")
        is_there = self._store.head(self._registry.key(kind, "", level)) is not None
        end = "it exists" if is_there else "there is no such object"
        joint = "and" if is_there else "but"
        wanted = {
            "type": "Dangling",
            "status": "False" if is_there else "True",
            "reason": "Found" if is_there else "NotFound",
            "message": "This FlowSchema references the PriorityLevelConfiguration object named"
            f' "{level}" {joint} {end}',
        }
        present = meta.condition(found, "Dangling") or {}
        if all(present.get(field) == value for field, value in wanted.items()):
            return
        wanted["lastTransitionTime"] = rfc3339(self._clock.now())

        def change(old: Obj) -> Obj:
            status = old.get("status") or {}
            others = [item for item in status.get("conditions") or () if item.get("type") != "Dangling"]
            return {**old, "status": {**status, "conditions": [*others, wanted]}}

        try:
            context = Context(field_manager=MANAGER)
            schema = self._kind("FlowSchema")
            await self._registry.change(schema, "", entry.key.name, change, context, subresource="status")
        except ApiError as error:
            log.debug("FlowSchema %s: %s", entry.key.name, error)
