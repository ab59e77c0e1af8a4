"""Bring one container up: image, configuration, creation, start, postStart hook."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.errors import CriError
from edgelab.edgecore.edged import builder, names, probes
from edgelab.edgecore.edged.ending import Hand, hook
from edgelab.edgecore.edged.fields import PodFacts
from edgelab.edgecore.edged.problems import ContainerProblem
from edgelab.edgecore.edged.state import PodState, just_started

if TYPE_CHECKING:
    from edgelab.edgecore.edged.worker import Kit

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
    before = found.container(name)
    restarts = before.restarts + 1 if before else 0
    if found.sandbox is None:
        raise ContainerProblem("CreateContainerError", "the pod has no sandbox")
    image = await kit.images.ensure(pod, container, sandbox)
    (Path(sandbox.log_directory) / name).mkdir(parents=True, exist_ok=True)
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
        )
        identity = await kit.runtime.create_container(found.sandbox.id, config, sandbox)
    except (CriError, OSError) as error:
        raise ContainerProblem("CreateContainerError", str(error)) from None
    try:
        await kit.runtime.start_container(identity)
    except CriError as error:
        raise ContainerProblem("RunContainerError", error.message) from None
    log.info("pod %s: container %s started", names.key(pod), name)
    await _post_start(kit, pod, container, identity, facts)


async def _post_start(kit: Kit, pod: Obj, container: Obj, identity: str, facts: PodFacts) -> None:
    action = (container.get("lifecycle") or {}).get("postStart")
    if not action:
        return
    started = just_started(identity, container["name"])
    ip = next(iter(facts.pod_ips), "")
    good = await hook(Hand(kit.runtime, kit.clock, ip), container, started, action, probes.HOOK_LIMIT)
    if not good:
        await kit.runtime.stop_container(identity, 2)
        raise ContainerProblem("PostStartHookError", f"postStart hook of {container['name']} failed")
