"""Duties towards the node rather than towards one pod: pressure, images, leftovers, shutdown.

Built from the settings; runs beside the pod workers. What each part receives and sends stands with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Fatal
from edgelab.edgecore.edged import podgroups, shutdown
from edgelab.edgecore.edged.builder import NodeSettings
from edgelab.edgecore.edged.events import Recorder
from edgelab.edgecore.edged.imagegc import ImageGC
from edgelab.edgecore.edged.imagegc import Policy as ImagePolicy
from edgelab.edgecore.edged.leftovers import Leftovers
from edgelab.edgecore.edged.leftovers import Policy as ContainerPolicy
from edgelab.edgecore.edged.node import NodeView
from edgelab.edgecore.edged.population import Population
from edgelab.edgecore.edged.pressure.manager import Evictions, Hands
from edgelab.edgecore.edged.pressure.thresholds import Judge, Level, parse
from edgelab.edgecore.edged.pressure.usage import Usage, filesystem
from edgelab.edgecore.edged.shutdown import NodeShutdown
from edgelab.edgecore.edged.verdicts import Verdict
from edgelab.settings.durations import seconds
from edgelab.settings.edgecore import Edged as Settings

log = logging.getLogger(__name__)
Obj = dict[str, Any]

GROUPS_PERIOD = 60.0
"""Seconds between two settings of the limits of whole classes of pods (kubelet: 1 min)."""

LEFTOVERS_PERIOD = 60.0
"""Seconds between two looks for dead containers and logs of pods that are gone (kubelet: 1 min)."""


class Duties:
    """All of them. Raises Fatal for eviction thresholds that cannot be read."""

    def __init__(
        self,
        settings: Settings,
        pods: Population,
        *,
        runtime: Runtime,
        clock: Clock,
        node: NodeSettings,
        events: Recorder,
        view: NodeView,
        online: Callable[[], bool],
        changed: Callable[[], None],
    ) -> None:
        config = settings.tailoredKubeletConfig
        self._clock = clock
        self._pods = pods
        self._node = node
        self._allocatable, self._reserved_memory = view.allocatable(), view.reserved("memory")
        self._events = events
        self._config = config
        self._limited: dict[str, podgroups.Limits] = {}
        self._max_images = config.nodeStatusMaxImages
        self._usage = Usage(runtime, node)
        self._images_at: Path | None = None
        self.images = ImageGC(
            runtime,
            clock,
            ImagePolicy(
                high=config.imageGCHighThresholdPercent,
                low=config.imageGCLowThresholdPercent,
                minimum_age=seconds(config.imageMinimumGCAge),
                maximum_age=seconds(config.imageMaximumGCAge),
                sandbox=settings.podSandboxImage,
            ),
            level=self._image_level,
            warn=self.warn_node,
        )
        self.leftovers = Leftovers(
            runtime,
            clock,
            ContainerPolicy(
                settings.maxPerPodContainerCount, settings.maxContainerCount, seconds(settings.minimumGCAge)
            ),
            node.log_root,
            ended=pods.ended,
        )
        ending = shutdown.Hands(pods.active, pods.end, pods.halt, online, changed, self.tell_node)
        try:
            self.shutdown = NodeShutdown(config, ending, clock)
            judge = Judge(parse(config), seconds(config.evictionPressureTransitionPeriod))
        except ValueError as error:
            raise Fatal(f"modules.edged.tailoredKubeletConfig.{error}") from error
        hands = Hands(
            pods=pods.active,
            end=pods.end,
            reclaim={
                "nodefs.available": self._reclaim_node_disk,
                "nodefs.inodesFree": self._reclaim_node_disk,
                "imagefs.available": self._reclaim_image_disk,
                "imagefs.inodesFree": self._reclaim_image_disk,
            },
            warn_node=self.warn_node,
            warn_pod=events.warning,
            changed=changed,
        )
        self.evictions = Evictions(
            judge,
            self._usage,
            hands,
            clock,
            max_grace=config.evictionMaxPodGracePeriod,
            limits=config.localStorageCapacityIsolation,
        )

    async def run(self) -> None:
        """Do them for ever."""
        self._images_at = await self._usage.image_path()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.evictions.run(), name="edged/pressure")
            group.create_task(self.images.run(), name="edged/images")
            group.create_task(self.shutdown.run(), name="edged/shutdown")
            group.create_task(self._leftovers(), name="edged/leftovers")
            group.create_task(self._groups(), name="edged/cgroups")

    def refusal(self, pod: Obj) -> Verdict | None:
        """Why a pod that is new to this node may not run on it now."""
        return self.shutdown.refusal() or self.evictions.refusal(pod)

    def conditions(self) -> list[str]:
        """The pressure conditions that are True."""
        return self.evictions.conditions

    def images_shown(self) -> list[Obj]:
        """`status.images` of the Node; nodeStatusMaxImages is 0 at the edge unless somebody wants them."""
        return self.images.shown(self._max_images) if self._max_images else []

    def warn_node(self, reason: str, message: str) -> None:
        """Record a warning about the node."""
        self._events.warning(self._about(), reason, message)

    def tell_node(self, reason: str, message: str) -> None:
        """Record that something happened to the node."""
        self._events.normal(self._about(), reason, message)

    def _about(self) -> Obj:
        """The node in events, whose uid is its name, as the kubelet has it."""
        name = self._node.name
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}}

    async def _leftovers(self) -> NoReturn:
        while True:
            await self._clock.sleep(LEFTOVERS_PERIOD)
            try:
                await self.leftovers.collect()
                await self.leftovers.remove_logs(self._pods.known())
            except (RuntimeUnreachable, CriError, OSError) as error:
                log.debug("what is left behind was not looked at: %s", error)

    async def _groups(self) -> NoReturn:
        unmet = [name for name in self._config.enforceNodeAllocatable if name not in ("pods", "none")]
        if unmet:
            log.warning("enforceNodeAllocatable: %s is not enforced here; pods are", ", ".join(unmet))
        while True:
            await self.limit_groups()
            await self._clock.sleep(GROUPS_PERIOD)

    async def limit_groups(self) -> None:
        """Give the groups of all pods and of the classes their limits."""
        wanted = {
            "burstable": podgroups.of_burstable(self._pods.active()),
            "besteffort": podgroups.Limits(podgroups.LEAST_SHARES),
        }
        if "pods" in self._config.enforceNodeAllocatable:
            wanted["all"] = podgroups.of_all(self._allocatable, self._reserved_memory, self._node)
        for name, group in podgroups.class_groups(self._node).items():
            limits = wanted.get(name)
            if limits is None or (group.endswith(".slice") and self._limited.get(group) == limits):
                continue  # systemd remembers; files are written again, as the runtime may have made new ones
            await podgroups.apply(group, limits)
            self._limited[group] = limits

    def _image_level(self) -> Level | None:
        if self._images_at is None:
            return None
        try:
            return filesystem("imagefs", self._images_at)["imagefs.available"]
        except OSError:
            return None

    async def _reclaim_node_disk(self) -> None:
        await self.leftovers.collect(ended_pods=True)
        if not await self._usage.dedicated_images():
            await self.images.free()

    async def _reclaim_image_disk(self) -> None:
        await self.leftovers.collect(ended_pods=True)
        await self.images.free()
