"""Stop containers as their pod wishes: preStop hook, their turn, stop signal, grace, SIGKILL.

Follows the kubelet's `killContainer` and `termination_order.go`: the preStop hooks of all run side by side,
then sidecars wait for whatever was started after them, the last one first. All of it in one grace period.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from edgelab.edgecore.edged import hooks, names, podspec
from edgelab.edgecore.edged.actions import Target
from edgelab.edgecore.edged.hooks import Hand
from edgelab.edgecore.edged.state import Container

log = logging.getLogger(__name__)
Obj = dict[str, Any]

MINIMUM = 2
"""Seconds that a process gets after its stop signal at least, whatever the pod's grace period leaves."""


class Turns:
    """Who waits for whom: a sidecar for the containers that were started after it."""

    def __init__(self, pod: Obj, running: list[str]) -> None:
        self._ended = {name: asyncio.Event() for name in running}
        sidecars = [spec["name"] for spec in podspec.sidecars(pod)]
        initial = {spec["name"] for spec in podspec.init_containers(pod)}
        later = [name for name in running if name not in initial]
        self._before: dict[str, list[str]] = {}
        for name in reversed([name for name in sidecars if name in self._ended]):
            self._before[name] = list(later)
            later.append(name)

    async def come(self, name: str, limit: float) -> None:
        """Wait for a container's turn, for `limit` seconds at most."""
        try:
            async with asyncio.timeout(limit):
                for other in self._before.get(name, ()):
                    await self._ended[other].wait()
        except TimeoutError:
            log.debug("container %s is stopped before those that should go first", name)

    def over(self, name: str) -> None:
        """A container has ended."""
        self._ended[name].set()


async def end_containers(
    hand: Hand, pod: Obj, containers: list[Container], grace: int, *, why: str = ""
) -> None:
    """Stop containers within `grace` seconds, in their order; `why` is told in an event.

    Raises RuntimeUnreachable and CriError, in an exception group.
    """
    specs = {spec["name"]: spec for spec in podspec.every_container(pod)}
    turns = Turns(pod, [container.name for container in containers])
    async with asyncio.TaskGroup() as tasks:
        for container in containers:
            name = container.name
            hand.events.normal(
                pod, "Killing", why or f"Stopping container {name}", field=podspec.field_path(pod, name)
            )
            target = Target(specs.get(name, {"name": name}), container, hand.ip)
            tasks.create_task(_end(hand, pod, target, grace, turns), name=f"pod/{names.key(pod)}/end/{name}")


async def _end(hand: Hand, pod: Obj, target: Target, grace: int, turns: Turns) -> None:
    name, clock = target.container.name, hand.clock
    deadline = clock.monotonic() + grace
    action = (target.spec.get("lifecycle") or {}).get("preStop")
    if action and grace > 0:
        problem = await hooks.run(hand, pod, target, action, float(grace))
        if problem:
            log.warning("pod %s: preStop hook of %s: %s", names.key(pod), name, problem)
            hand.events.warning(
                pod, "FailedPreStopHook", "PreStopHook failed", field=podspec.field_path(pod, name)
            )
    await turns.come(name, max(0.0, deadline - clock.monotonic()))
    left = round(deadline - clock.monotonic())
    try:
        await hand.runtime.stop_container(target.container.id, max(MINIMUM, left))
    finally:
        turns.over(name)
