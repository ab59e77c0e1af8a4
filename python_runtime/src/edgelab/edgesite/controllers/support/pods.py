"""Facts about pods, and pods from templates (pkg/controller/controller_utils.go)."""

from __future__ import annotations

import copy
import datetime as dt
from collections import Counter
from collections.abc import Sequence

from edgelab.daemon.clock import parse_rfc3339
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import condition, is_deleting, owner_reference

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def is_finished(pod: Obj) -> bool:
    """Whether its containers will not run again."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def is_active(pod: Obj) -> bool:
    """Whether it counts as a replica: neither finished nor being deleted."""
    return not is_finished(pod) and not is_deleting(pod)


def is_ready(pod: Obj) -> bool:
    """Whether it serves."""
    ready = condition(pod, "Ready")
    return ready is not None and ready.get("status") == "True"


def available_in(pod: Obj, min_ready_seconds: int, now: dt.datetime) -> float | None:
    """Seconds until the pod counts as available, 0 when it does; None while it is not ready."""
    ready = condition(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        return None
    since = ready.get("lastTransitionTime")
    if not min_ready_seconds or not since:
        return 0.0
    return max(0.0, min_ready_seconds - (now - parse_rfc3339(since)).total_seconds())


def from_template(owner: Obj, template: Obj, *, generate_name: str | None = None) -> Obj:
    """A pod as the template says, controlled by `owner` and named after it."""
    metadata = template.get("metadata") or {}
    copied = {key: copy.deepcopy(metadata[key]) for key in ("annotations", "finalizers") if metadata.get(key)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": generate_name or f"{owner['metadata']['name']}-",
            "namespace": owner["metadata"]["namespace"],
            "labels": dict(metadata.get("labels") or {}),
            **copied,
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": copy.deepcopy(template["spec"]),
    }


def deletion_order(pods: Sequence[Obj]) -> list[Obj]:
    """The pods to give up first come first (`ActivePodsWithRanks`): the least useful, then the youngest."""
    on_node = Counter(pod["spec"].get("nodeName", "") for pod in pods)

    def rank(pod: Obj) -> tuple[object, ...]:
        node, status = pod["spec"].get("nodeName", ""), pod.get("status") or {}
        ready = condition(pod, "Ready") or {}
        restarts = max((c.get("restartCount", 0) for c in status.get("containerStatuses") or ()), default=0)
        return (
            bool(node),
            {"Pending": 0, "Unknown": 1}.get(status.get("phase", "Pending"), 2),
            ready.get("status") == "True",
            _cost(pod),
            -on_node[node],
            _youth(ready.get("lastTransitionTime") if ready.get("status") == "True" else None),
            -restarts,
            _youth(pod["metadata"].get("creationTimestamp")),
            pod["metadata"]["name"],
        )

    return sorted(pods, key=rank)


def _cost(pod: Obj) -> int:
    try:
        return int((pod["metadata"].get("annotations") or {}).get(DELETION_COST, 0))
    except ValueError:
        return 0


def _youth(stamp: str | None) -> float:
    """Sorts the youngest first; an unknown time counts as the youngest."""
    return -parse_rfc3339(stamp).timestamp() if stamp else float("-inf")
