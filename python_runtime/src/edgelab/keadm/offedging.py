"""Keep the pods of DaemonSets and Deployments off edge nodes, and find those that are there.

kube-proxy and the agents of a pod network tolerate every taint, so that they come to edge nodes as well,
which are out of reach for the pod network: they fail there for ever, or change the node's own network.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from edgelab.daemon import backoff
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.keadm import polling
from edgelab.kube.interface import KubeApi, Obj, Resource
from edgelab.kube.resources import DAEMON_SETS, DEPLOYMENTS, NODES, PODS, REPLICA_SETS
from edgelab.objects.metadata import controller_of, is_deleting
from edgelab.objects.placement import (
    EDGE_LABEL,
    REQUIRED,
    Reach,
    affinity_of,
    off_edge,
    reach,
    tolerates_edge,
)
from edgelab.objects.status import ApiError

ATTEMPTS = 6
"""How often a change is tried again when somebody else changed the object in between."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which workloads are meant, as patterns of `namespace/name`; `allowed` ones may run on edge nodes."""

    daemon_sets: tuple[str, ...] = ("*/*",)
    deployments: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    def permits(self, key: str) -> bool:
        """Whether a workload may run on edge nodes."""
        return _fits(self.allowed, key)

    def has(self, resource: Resource, key: str) -> bool:
        """Whether a workload is meant."""
        patterns = self.daemon_sets if resource == DAEMON_SETS else self.deployments
        return _fits(patterns, key) and not self.permits(key)


@dataclass(frozen=True, slots=True)
class Workload:
    """A DaemonSet or Deployment, where it may run, and its pods that are on edge nodes."""

    resource: Resource
    object: Obj
    pods: tuple[str, ...] = ()
    changed: bool = False
    before: Obj = field(default_factory=dict)

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.object['metadata']['namespace']}/{self.object['metadata']['name']}"

    @property
    def reach(self) -> Reach:
        """Where its pods may run."""
        return reach(self.object)

    def summary(self) -> dict[str, Any]:
        """The entry of the JSON answer."""
        metadata = self.object["metadata"]
        return {
            "kind": self.resource.kind,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "edge": str(self.reach),
            "tolerates": tolerates_edge(self.object),
            "pods": list(self.pods),
            "changed": self.changed,
            "before": self.before,
            "after": affinity_of(self.object) if self.changed else {},
        }


@dataclass(frozen=True, slots=True)
class Survey:
    """The edge nodes, and every DaemonSet and Deployment."""

    nodes: tuple[str, ...]
    workloads: tuple[Workload, ...]


async def survey(api: KubeApi) -> Survey:
    """Look at the cluster. Raises ApiError."""
    edge = [node["metadata"]["name"] for node in (await api.list(NODES, label_selector=EDGE_LABEL)).items]
    owned = await _pods_on(api, set(edge))
    found = [
        Workload(resource, obj, tuple(sorted(owned.get(obj["metadata"]["uid"], []))))
        for resource in (DAEMON_SETS, DEPLOYMENTS)
        for obj in (await api.list(resource)).items
    ]
    return Survey(tuple(sorted(edge)), tuple(sorted(found, key=lambda one: (one.resource.kind, one.key))))


async def _pods_on(api: KubeApi, nodes: set[str]) -> dict[str, list[str]]:
    """Pods on these nodes, each with its node, by the uid of their DaemonSet or Deployment."""
    if not nodes:
        return {}
    above = {
        obj["metadata"]["uid"]: owner["uid"]
        for obj in (await api.list(REPLICA_SETS)).items
        if (owner := controller_of(obj)) is not None
    }
    owned: dict[str, list[str]] = {}
    for pod in (await api.list(PODS)).items:
        owner, node = controller_of(pod), node_of(pod)
        if owner is None or node not in nodes or _is_over(pod):
            continue
        state = " (its deletion waits for the node)" if is_deleting(pod) else ""
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']} on {node}{state}"
        owned.setdefault(above.get(owner["uid"], owner["uid"]), []).append(name)
    return owned


def node_of(pod: Obj) -> str:
    """The node of a pod, or the one it is meant for (pkg/controller/daemon/util, GetTargetNodeName)."""
    spec = pod.get("spec") or {}
    terms = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED) or {}
    meant = [
        item["values"][0]
        for term in terms.get("nodeSelectorTerms") or ()
        for item in term.get("matchFields") or ()
        if item.get("key") == "metadata.name" and item.get("values")
    ]
    return str(spec.get("nodeName") or (meant[0] if meant else ""))


def _is_over(pod: Obj) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _fits(patterns: tuple[str, ...], key: str) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


async def keep_off(
    api: KubeApi, choice: Choice, *, check: bool, clock: Clock = SYSTEM
) -> tuple[Survey, list[Workload]]:
    """Give the chosen workloads a node affinity; what was found, and those workloads as they are now."""
    seen = await survey(api)
    done = []
    for one in seen.workloads:
        if choice.has(one.resource, one.key):
            done.append(await _keep_one_off(api, one, check=check, clock=clock))
    return seen, done


async def _keep_one_off(api: KubeApi, one: Workload, *, check: bool, clock: Clock) -> Workload:
    """Change one workload unless there is no need; a workload made for edge nodes is left as it is."""
    waits = backoff.delays(0.2, 2.0)
    metadata = one.object["metadata"]
    for attempt in range(1, ATTEMPTS + 1):
        if one.reach is not Reach.open:
            return one
        wanted = off_edge(one.object)
        before = affinity_of(one.object)
        if check:
            return replace(one, object=wanted, changed=True, before=before)
        try:
            after = await api.patch(one.resource, metadata["name"], _patch(wanted), metadata["namespace"])
        except ApiError as error:
            if error.code != 409 or attempt == ATTEMPTS:
                raise
            await clock.sleep(next(waits))
            fresh = await api.get(one.resource, metadata["name"], metadata["namespace"])
            one = replace(one, object=fresh)
        else:
            return replace(one, object=after, changed=True, before=before)
    raise AssertionError("the last attempt returns or raises")


def _patch(wanted: Obj) -> Obj:
    """Conditional: the terms are replaced as a whole, and must not be older than the object."""
    return {
        "metadata": {"resourceVersion": wanted["metadata"]["resourceVersion"]},
        "spec": {"template": {"spec": {"affinity": {"nodeAffinity": affinity_of(wanted)}}}},
    }


async def wait_off(
    api: KubeApi, choice: Choice, *, seconds: float, clock: Clock = SYSTEM
) -> tuple[Survey, list[Workload]]:
    """Wait until the chosen workloads have no pod on an edge node; what was found, and who still has."""

    async def look() -> tuple[Survey, list[Workload]]:
        seen = await survey(api)
        return seen, [
            one
            for one in seen.workloads
            if one.pods and one.reach is not Reach.only and choice.has(one.resource, one.key)
        ]

    return await polling.until(lambda found: not found[1], look, seconds=seconds, clock=clock)
