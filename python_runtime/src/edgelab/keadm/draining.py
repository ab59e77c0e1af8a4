"""Empty a node, as `kubectl drain` does: cordon it, evict what may go, wait until it is gone.

Pods of DaemonSets and mirror pods (static pods of the node itself) stay; they would come back at once.
A pod that nobody makes anew, or whose emptyDir is lost with it, is evicted only when asked for.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from edgelab.daemon import backoff
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.keadm import nodes
from edgelab.keadm.report import Failure
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import PODS
from edgelab.objects.status import ApiError

MIRROR = "kubernetes.io/config.mirror"
AT_ONCE = 10
"""Evictions on their way at the same time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait in all, in seconds, and what may be lost."""

    seconds: float
    force: bool = False
    emptydir: bool = False


async def drain(
    api: KubeApi, name: str, limits: Limits, *, check: bool, clock: Clock = SYSTEM
) -> tuple[nodes.Node, list[str]]:
    """Cordon and empty a node; the pods that were evicted. Raises Failure naming pods that stay."""
    leaving = [pod for pod in await pods_of(api, name) if not stays(pod)]
    if held := sorted(filter(None, (why_held(pod, limits) for pod in leaving))):
        raise Failure(f"node {name} is not drained: {'; '.join(held)}", pods=[_key(pod) for pod in leaving])
    node = await nodes.cordon(api, name, cordoned=True, check=check)
    evicted = sorted(_key(pod) for pod in leaving)
    if check or not leaving:
        return replace(node, changed=node.changed or bool(leaving)), evicted
    deadline = clock.monotonic() + limits.seconds
    limit = asyncio.Semaphore(AT_ONCE)
    results = await asyncio.gather(*(_evict(api, pod, deadline, limit, clock) for pod in leaving))
    if staying := sorted(filter(None, results)):
        raise Failure(
            f"node {name} is cordoned, but after {limits.seconds:.0f} s there stay: {'; '.join(staying)}",
            changed=True,
            pods=staying,
        )
    return replace(node, changed=True), evicted


async def pods_of(api: KubeApi, node: str) -> list[Obj]:
    """The pods that are bound to a node."""
    return (await api.list(PODS, field_selector=f"spec.nodeName={node}")).items


def stays(pod: Obj) -> bool:
    """Whether eviction makes no sense: DaemonSets make it anew at once, mirror pods are the node's own."""
    return _controller(pod) == "DaemonSet" or MIRROR in (pod["metadata"].get("annotations") or {})


def why_held(pod: Obj, limits: Limits) -> str:
    """Why a pod must not be evicted without being asked for; empty when it may."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return ""
    if not _controller(pod) and not limits.force:
        return f"pod {_key(pod)} has no controller that makes it anew (--force)"
    volumes = (pod.get("spec") or {}).get("volumes") or []
    if any("emptyDir" in volume for volume in volumes) and not limits.emptydir:
        return f"pod {_key(pod)} has data in an emptyDir (--delete-emptydir-data)"
    return ""


async def _evict(api: KubeApi, pod: Obj, deadline: float, limit: asyncio.Semaphore, clock: Clock) -> str:
    """Ask for the eviction until it is granted, then wait until the pod is gone; else why it stays."""
    metadata = pod["metadata"]
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
    }
    waits = backoff.delays(1.0, 10.0)
    async with limit:
        while True:
            try:
                await api.create(PODS, body, metadata["namespace"], subresource="eviction")
                break
            except ApiError as error:
                if error.code == 404:
                    return ""
                if error.code != 429:
                    raise
                if clock.monotonic() >= deadline:
                    return f"{_key(pod)} ({error.message})"
            await clock.sleep(min(next(waits), max(0.1, deadline - clock.monotonic())))
    return await _wait_until_gone(api, pod, deadline, clock)


async def _wait_until_gone(api: KubeApi, pod: Obj, deadline: float, clock: Clock) -> str:
    metadata = pod["metadata"]
    while True:
        try:
            found = await api.get(PODS, metadata["name"], metadata["namespace"])
        except ApiError as error:
            if error.code == 404:
                return ""
            raise
        if found["metadata"].get("uid") != metadata.get("uid"):
            return ""  # a StatefulSet has made the next one, elsewhere
        if clock.monotonic() >= deadline:
            return f"{_key(pod)} (it does not end; is the node reachable?)"
        await clock.sleep(nodes.POLL)


def _controller(pod: Obj) -> str:
    owners = pod["metadata"].get("ownerReferences") or []
    return next((owner["kind"] for owner in owners if owner.get("controller")), "")


def _key(pod: Obj) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
