"""Limits that change while containers run (KEP-1287): through CRI in place, or by a restart where asked for.

What a container was started with stands in its annotations, so a change is seen after a restart of EdgeCore
too. A runtime that refuses leaves the container as it is; the pod says so in an event, once per description.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from edgelab.cri.errors import CriError
from edgelab.cri.runtime import Runtime
from edgelab.edgecore.edged import builder, cgroups, names, podspec
from edgelab.edgecore.edged.events import Recorder
from edgelab.edgecore.edged.state import Container, PodState

log = logging.getLogger(__name__)
Obj = dict[str, Any]


def needs_restart(container: Obj, before: str) -> bool:
    """Whether the container's resizePolicy wants a restart for what has changed since `before`."""
    policies = {p.get("resourceName"): p.get("restartPolicy") for p in container.get("resizePolicy") or []}
    old, new = json.loads(before), json.loads(names.resources_mark(container))
    changed = {name for name in names.RESIZABLE for kind in new if old[kind][name] != new[kind][name]}
    return any(policies.get(name) == "RestartContainer" for name in changed)


class Resizer:
    """The containers of one pod."""

    def __init__(self, runtime: Runtime, events: Recorder) -> None:
        self._runtime = runtime
        self._events = events
        self._settled: dict[str, str] = {}

    def restarts(self, pod: Obj, found: PodState) -> list[tuple[Container, Obj]]:
        """Running containers that have to start again for their new limits."""
        return [
            (container, spec)
            for container, spec in self._outdated(pod, found)
            if needs_restart(spec, container.resources)
        ]

    async def adjust(self, pod: Obj, found: PodState, node: builder.NodeSettings) -> None:
        """Bring the others up to date. Raises RuntimeUnreachable."""
        for container, spec in self._outdated(pod, found):
            if needs_restart(spec, container.resources):
                continue
            wanted = cgroups.resources(
                pod, spec, node_memory=node.memory, quota=node.cfs_quota, period=node.cfs_period
            )
            self._settled[container.id] = names.resources_mark(spec)
            try:
                await self._runtime.update_resources(container.id, wanted)
            except CriError as error:
                text = f"Error resizing container {container.name}: {error.message}"
                log.warning("pod %s: %s", names.key(pod), text)
                where = podspec.field_path(pod, container.name)
                self._events.warning(pod, "ResizeError", text, field=where)
            else:
                log.info("pod %s: container %s has new limits", names.key(pod), container.name)

    def _outdated(self, pod: Obj, found: PodState) -> list[tuple[Container, Obj]]:
        marks = {spec["name"]: (names.resources_mark(spec), spec) for spec in podspec.all_containers(pod)}
        return [
            (container, marks[container.name][1])
            for container in found.running()
            if container.resources
            and container.name in marks
            and self._settled.get(container.id, container.resources) != marks[container.name][0]
        ]
