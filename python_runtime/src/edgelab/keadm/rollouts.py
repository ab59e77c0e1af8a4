"""Whether DaemonSets, Deployments and API services have become what was applied, and why not.

The conditions are those of `kubectl rollout status` (kubectl/pkg/polymorphichelpers/rollout_status.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.keadm import polling
from edgelab.kube.interface import KubeApi, Obj, Resource
from edgelab.kube.resources import DAEMON_SETS, PODS
from edgelab.objects.metadata import condition
from edgelab.objects.selectors import format_labels
from edgelab.objects.status import ApiError

API_SERVICES = Resource("apiregistration.k8s.io", "v1", "apiservices", "APIService", namespaced=False)


class Wanted(NamedTuple):
    """One object that is waited for."""

    resource: Resource
    name: str
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one object is; `reason` is empty when it is ready."""

    wanted: Wanted
    reason: str

    @property
    def title(self) -> str:
        """Kind, namespace and name."""
        place = f"{self.wanted.namespace}/" if self.wanted.namespace else ""
        return f"{self.wanted.resource.kind} {place}{self.wanted.name}"


async def wait(
    api: KubeApi, wanted: Sequence[Wanted], *, seconds: float, clock: Clock = SYSTEM
) -> list[Progress]:
    """All of them once every one is ready, or as they are after that many seconds. Raises ApiError."""

    async def look() -> list[Progress]:
        return [Progress(one, await _reason(api, one)) for one in wanted]

    return await polling.until(
        lambda found: not any(one.reason for one in found), look, seconds=seconds, clock=clock
    )


async def _reason(api: KubeApi, wanted: Wanted) -> str:
    try:
        obj = await api.get(wanted.resource, wanted.name, wanted.namespace or None)
    except ApiError as error:
        if error.code == 404:
            return "it is not there"
        raise
    if wanted.resource == API_SERVICES:
        return _unavailable(obj)
    reason = _behind(obj) or (_daemon_set(obj) if wanted.resource == DAEMON_SETS else _deployment(obj))
    return reason and "; ".join([reason, *await _pods(api, obj)])


def _behind(obj: Obj) -> str:
    generation = obj["metadata"].get("generation", 0)
    seen = (obj.get("status") or {}).get("observedGeneration", 0)
    return "" if seen >= generation else "its controller has not seen the change yet"


def _daemon_set(obj: Obj) -> str:
    status = obj.get("status") or {}
    wanted = status.get("desiredNumberScheduled", 0)
    updated, available = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    if updated >= wanted and available >= wanted:
        return ""
    return f"of {wanted} pods {updated} are up to date and {available} available"


def _deployment(obj: Obj) -> str:
    status = obj.get("status") or {}
    wanted = obj["spec"].get("replicas", 1)
    total, updated = status.get("replicas", 0), status.get("updatedReplicas", 0)
    available = status.get("availableReplicas", 0)
    if updated >= wanted and total <= updated and available >= updated:
        return ""
    return f"of {wanted} pods {updated} are up to date and {available} available"


def _unavailable(obj: Obj) -> str:
    state = condition(obj, "Available")
    if state is None:
        return "nothing has been said about it yet"
    if state.get("status") == "True":
        return ""
    return ": ".join(filter(None, (state.get("reason"), state.get("message")))) or "no reason given"


async def _pods(api: KubeApi, obj: Obj) -> list[str]:
    """Why pods of a workload do not run."""
    selector = format_labels(obj["spec"].get("selector"))
    pods = await api.list(PODS, obj["metadata"]["namespace"], label_selector=selector)
    told = [(pod["metadata"]["name"], _trouble(pod.get("status") or {})) for pod in pods.items]
    return [f"pod {name}: {trouble}" for name, trouble in told if trouble]


def _trouble(status: Obj) -> str:
    """The first container that waits, or why the pod has no node."""
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in (None, "", "PodInitializing"):
            text = ": ".join(filter(None, (waiting["reason"], waiting.get("message"))))
            return f"container {container['name']} waits, {text}"
    scheduled = condition({"status": status}, "PodScheduled") or {}
    return "" if scheduled.get("status") != "False" else str(scheduled.get("message") or "it has no node")
