"""Status and conditions of Deployments, worded as kube-controller-manager words them. No I/O.

Facts: pkg/controller/deployment/progress.go, sync.go (`calculateStatus`).
"""

from __future__ import annotations

import datetime as dt

from edgelab.daemon.clock import parse_rfc3339, rfc3339
from edgelab.edgesite.controllers.deployment.rollout import Limits, count, size
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import condition

NO_DEADLINE = 2**31 - 1
AVAILABLE = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
UNAVAILABLE = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
DONE, LATE = "NewReplicaSetAvailable", "ProgressDeadlineExceeded"


def put(status: Obj, kind: str, verdict: tuple[str, str, str], now: dt.datetime) -> None:
    """Set a condition; its times move as the real controller's do: only when status or reason change."""
    conditions = status.setdefault("conditions", [])
    value, reason, message = verdict
    old = next((item for item in conditions if item["type"] == kind), None)
    if old is not None and (old["status"], old["reason"]) == (value, reason):
        return
    changed = old["lastTransitionTime"] if old is not None and old["status"] == value else rfc3339(now)
    conditions[:] = [item for item in conditions if item["type"] != kind]
    conditions.append(
        {
            "type": kind,
            "status": value,
            "lastUpdateTime": rfc3339(now),
            "lastTransitionTime": changed,
            "reason": reason,
            "message": message,
        }
    )


def status_of(
    deployment: Obj, new: Obj | None, replica_sets: list[Obj], limit: Limits, now: dt.datetime
) -> Obj:
    """Counts and the condition Available; the condition Progressing stays as it is."""
    old = deployment.get("status") or {}
    available, ready = count(replica_sets, "availableReplicas"), count(replica_sets, "readyReplicas")
    wanted = sum(size(rs) for rs in replica_sets)
    counts = {
        "replicas": count(replica_sets, "replicas"),
        "updatedReplicas": count([new], "replicas") if new else 0,
        "readyReplicas": ready,
        "availableReplicas": available,
        "unavailableReplicas": max(0, wanted - available),
    }
    status: Obj = {"observedGeneration": deployment["metadata"].get("generation", 1)}
    status |= {name: value for name, value in counts.items() if value}
    synced = [found for rs in replica_sets if (found := rs.get("status") or {}).get("observedGeneration")]
    if all("terminatingReplicas" in found for found in synced):
        status["terminatingReplicas"] = count(replica_sets, "terminatingReplicas")
    if "collisionCount" in old:
        status["collisionCount"] = old["collisionCount"]
    status["conditions"] = [dict(item) for item in old.get("conditions") or []]
    put(status, "Available", AVAILABLE if available >= limit.minimum_available else UNAVAILABLE, now)
    failures = [item for rs in replica_sets if (item := condition(rs, "ReplicaFailure"))]
    if failures:
        put(status, "ReplicaFailure", ("True", failures[0]["reason"], failures[0]["message"]), now)
    else:
        status["conditions"] = [item for item in status["conditions"] if item["type"] != "ReplicaFailure"]
    return status


def is_complete(deployment: Obj, status: Obj, desired: int) -> bool:
    """Whether only updated pods are left and all of them are available."""
    numbers = (
        status.get("updatedReplicas", 0),
        status.get("replicas", 0),
        status.get("availableReplicas", 0),
    )
    return numbers == (desired,) * 3 and status["observedGeneration"] >= deployment["metadata"].get(
        "generation", 1
    )


def has_progressed(deployment: Obj, status: Obj) -> bool:
    """Whether pods were updated, became ready or available, or old ones went away since the last pass."""
    old = deployment.get("status") or {}

    def outdated(counts: Obj) -> int:
        return int(counts.get("replicas", 0)) - int(counts.get("updatedReplicas", 0))

    names = ("updatedReplicas", "readyReplicas", "availableReplicas")
    grown = any(status.get(name, 0) > old.get(name, 0) for name in names)
    return grown or outdated(status) < outdated(old)


def has_deadline(deployment: Obj) -> bool:
    """Whether progress is watched at all."""
    return int(deployment["spec"].get("progressDeadlineSeconds", NO_DEADLINE)) != NO_DEADLINE


def judge(deployment: Obj, new: Obj | None, status: Obj, desired: int, now: dt.datetime) -> float | None:
    """Set the condition Progressing; gives the seconds until the deadline has to be looked at again."""
    if not has_deadline(deployment):
        status["conditions"] = [item for item in status["conditions"] if item["type"] != "Progressing"]
        return None
    deadline = int(deployment["spec"]["progressDeadlineSeconds"])
    current = next((item for item in status["conditions"] if item["type"] == "Progressing"), None)
    only_new = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    if current is not None and current["reason"] == DONE and only_new:
        return None
    what = (
        f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
    )
    if is_complete(deployment, status, desired):
        put(status, "Progressing", ("True", DONE, f"{what} has successfully progressed."), now)
        return None
    if has_progressed(deployment, status):
        _progressing(status, current, f"{what} is progressing.", now)
        return float(deadline) + 1
    return _overdue(status, current, what, deadline, now)


def _overdue(status: Obj, current: Obj | None, what: str, deadline: int, now: dt.datetime) -> float | None:
    """Seconds until the deadline; when it is past, the condition says so."""
    if current is None or current["status"] != "True" or current["reason"] == DONE:
        return None
    left = deadline - (now - parse_rfc3339(current["lastUpdateTime"])).total_seconds()
    if left > 0:
        return left + 1
    put(
        status,
        "Progressing",
        ("False", LATE, f"{what} has timed out progressing."),
        now,
    )
    return None


def _progressing(status: Obj, current: Obj | None, message: str, now: dt.datetime) -> None:
    """Each step of progress moves lastUpdateTime, from which the deadline counts."""
    others = [item for item in status["conditions"] if item["type"] != "Progressing"]
    status["conditions"] = others
    put(status, "Progressing", ("True", "ReplicaSetUpdated", message), now)
    if current is not None and current["status"] == "True":
        status["conditions"][-1]["lastTransitionTime"] = current["lastTransitionTime"]
