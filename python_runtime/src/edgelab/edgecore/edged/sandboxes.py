"""A pod's sandbox: made, or made again when the old one is gone (kubelet `createPodSandbox`)."""

from __future__ import annotations

import re
from typing import Any

from edgelab.cri.errors import CriError
from edgelab.edgecore.edged import builder, cleaning, podgroups
from edgelab.edgecore.edged.kit import Kit
from edgelab.edgecore.edged.problems import ContainerProblem
from edgelab.edgecore.edged.state import PodState

Obj = dict[str, Any]

IDENTITY = re.compile(r"[0-9a-f]{64}")
"""Ids of sandboxes and containers: they differ from one attempt to the next, the problem does not."""


async def renew(kit: Kit, pod: Obj, found: PodState, attempt: int) -> None:
    """Make a pod's sandbox; after the first time the pod is initialized from the beginning.

    Raises CriError, RuntimeUnreachable, and ContainerProblem for what no sandbox can be made of.
    """
    builder.log_directory(pod, kit.node).mkdir(parents=True, exist_ok=True, mode=0o755)
    if attempt:
        kit.events.normal(pod, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        await cleaning.forget_initialization(kit.runtime, pod, found)
    try:
        if name := pod["spec"].get("runtimeClassName"):
            raise CriError("NOT_FOUND", f'runtimeclass.node.k8s.io "{name}" not found')
        config = builder.sandbox_config(
            pod, attempt, kit.node, lambda reason, text: kit.events.warning(pod, reason, text)
        )
        await kit.runtime.run_sandbox(config)
        await podgroups.limit_pod(pod, kit.node)
    except (CriError, ContainerProblem) as error:
        text = IDENTITY.sub("...", f"Failed to create pod sandbox: {error.message}")
        kit.events.warning(pod, "FailedCreatePodSandBox", text)
        raise
