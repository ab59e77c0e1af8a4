"""Bring one container up: image, configuration, creation, start, postStart hook."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.errors import CriError
from edgelab.edgecore.edged import builder, cleaning, hooks, names, podspec
from edgelab.edgecore.edged.actions import Target
from edgelab.edgecore.edged.ending import MINIMUM
from edgelab.edgecore.edged.fields import PodFacts
from edgelab.edgecore.edged.hooks import Hand
from edgelab.edgecore.edged.problems import ContainerProblem, config_error
from edgelab.edgecore.edged.state import PodState, just_started

if TYPE_CHECKING:
    from edgelab.edgecore.edged.kit import Kit

log = logging.getLogger(__name__)
Obj = dict[str, Any]


async def start_container(
    kit: Kit,
    pod: Obj,
    container: Obj,
    found: PodState,
    sandbox: pb.PodSandboxConfig,
    *,
    paths: dict[str, Path],
    facts: PodFacts,
) -> None:
    """Start it. Raises ContainerProblem with the kubelet's reason, RuntimeUnreachable."""
    name = container["name"]
    where = podspec.field_path(pod, name)
    before = found.container(name)
    logs = Path(sandbox.log_directory) / name
    restarts = before.restarts + 1 if before else cleaning.earlier_starts(logs)
    if found.sandbox is None:
        raise ContainerProblem("CreateContainerError", "the pod has no sandbox")
    image = await kit.images.ensure(pod, container, sandbox)
    logs.mkdir(parents=True, exist_ok=True)
    try:
        config = await builder.container_config(
            pod,
            container,
            restarts=restarts,
            image=image,
            paths=paths,
            facts=facts,
            node=kit.node,
            meta=kit.meta,
            target=_target(container, found),
            warn=lambda reason, text: kit.events.warning(pod, reason, text, field=where),
        )
        identity = await kit.runtime.create_container(found.sandbox.id, config, sandbox)
    except (CriError, OSError) as error:
        raise ContainerProblem("CreateContainerError", str(error)) from None
    kit.events.normal(pod, "Created", f"Created container: {name}", field=where)
    try:
        await kit.runtime.start_container(identity)
    except CriError as error:
        raise ContainerProblem("RunContainerError", error.message) from None
    log.info("pod %s: container %s started", names.key(pod), name)
    kit.events.normal(pod, "Started", f"Started container {name}", field=where)
    await _post_start(kit, pod, container, identity, facts)


def _target(container: Obj, found: PodState) -> str:
    """The container whose processes a debug container asks to see. Raises ContainerProblem."""
    name = container.get("targetContainerName")
    if not name:
        return ""
    target = found.container(name)
    if target is None:
        raise config_error(f"unable to find target container {name}")
    return target.id


async def _post_start(kit: Kit, pod: Obj, container: Obj, identity: str, facts: PodFacts) -> None:
    action = (container.get("lifecycle") or {}).get("postStart")
    if not action:
        return
    name = container["name"]
    ip = next(iter(facts.pod_ips), "")
    target = Target(container, just_started(identity, name), ip)
    hand = Hand(kit.runtime, kit.clock, kit.events, ip)
    problem = await hooks.run(hand, pod, target, action, hooks.LONGEST)
    if problem:
        where = podspec.field_path(pod, name)
        kit.events.warning(pod, "FailedPostStartHook", "PostStartHook failed", field=where)
        kit.events.normal(pod, "Killing", "FailedPostStartHook", field=where)
        await kit.runtime.stop_container(identity, max(MINIMUM, podspec.grace_seconds(pod)))
        raise ContainerProblem("PostStartHookError", problem)
