"""Stop containers as their pod wishes: preStop hook, stop signal, grace, SIGKILL."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from edgelab.cri.errors import CriError
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged import names, podspec, probes
from edgelab.edgecore.edged.state import Container

log = logging.getLogger(__name__)
Obj = dict[str, Any]

MINIMUM = 2
"""Seconds that a process gets after its stop signal, even if the preStop hook used up the grace period."""


@dataclass(frozen=True, slots=True)
class Hand:
    """What reaches into containers. `ip` is the pod's address, for hooks that speak HTTP."""

    runtime: Runtime
    clock: Clock
    ip: str = ""


async def end_containers(hand: Hand, pod: Obj, containers: list[Container], grace: int) -> None:
    """Stop containers side by side, sidecars after all others; `grace` in seconds.

    Raises RuntimeUnreachable and CriError, in an exception group.
    """
    specs = {spec["name"]: spec for spec in podspec.all_containers(pod)}
    sidecars = {spec["name"] for spec in podspec.init_containers(pod) if podspec.is_sidecar(spec)}
    began = hand.clock.monotonic()
    for group in (
        [c for c in containers if c.name not in sidecars],
        [c for c in containers if c.name in sidecars],
    ):
        left = max(MINIMUM, grace - int(hand.clock.monotonic() - began))
        async with asyncio.TaskGroup() as tasks:
            for container in group:
                tasks.create_task(
                    _end(hand, names.key(pod), specs.get(container.name, {}), container, left),
                    name=f"pod/{names.key(pod)}/end/{container.name}",
                )


async def _end(hand: Hand, pod: str, spec: Obj, container: Container, grace: int) -> None:
    action = (spec.get("lifecycle") or {}).get("preStop")
    began = hand.clock.monotonic()
    if action and not await hook(hand, spec, container, action, float(grace)):
        log.warning("pod %s: preStop hook of %s failed or took too long", pod, container.name)
    left = grace - int(hand.clock.monotonic() - began)
    await hand.runtime.stop_container(container.id, left if not action else max(MINIMUM, left))


async def hook(hand: Hand, spec: Obj, container: Container, action: Obj, limit: float) -> bool:
    """Run a lifecycle hook; `limit` in seconds. False when it failed or did not end in time."""
    if "sleep" in action:
        await hand.clock.sleep(min(limit, float(action["sleep"].get("seconds") or 0)))
        return True
    try:
        return await probes.check(hand.runtime, spec, container, action, ip=hand.ip, limit=limit)
    except CriError as error:
        log.info("hook of container %s: %s", container.name, error)
        return False
