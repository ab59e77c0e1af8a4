"""How far an EdgeApplication's objects are (KubeEdge `edgeapplication/statusmanager`).

Other than there `identifier.version` is the version (there, at first, the kind), `resource` is filled in,
and a Deployment is available when the last change of it is, not while its old pods still serve.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

Obj: TypeAlias = dict[str, Any]

PROCESSING, AVAILABLE = "Processing", "Available"


def identifier(ordinal: int, obj: Obj, plural: str) -> Obj:
    """What names the object in a status; also an entry of the annotation `last-contained-resources`."""
    group, _, version = obj["apiVersion"].rpartition("/")
    return {
        "ordinal": ordinal,
        "group": group,
        "version": version,
        "kind": obj["kind"],
        "resource": plural,
        "namespace": obj["metadata"].get("namespace", ""),
        "name": obj["metadata"]["name"],
    }


def is_available(live: Obj | None) -> bool:
    """Whether the object is there; of a Deployment whether all its pods are, and are new."""
    if live is None:
        return False
    if (live.get("apiVersion"), live.get("kind")) != ("apps/v1", "Deployment"):
        return True
    status = live.get("status") or {}
    wanted = (live.get("spec") or {}).get("replicas", 1)
    current = bool(status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0))
    counts = [status.get(field, 0) for field in ("replicas", "updatedReplicas", "readyReplicas")]
    return current and counts == [wanted] * len(counts)


def workload_status(found: Iterable[tuple[Obj, bool]], manifests: int) -> list[Obj]:
    """`status.workloadStatus` of identifiers, each with whether it is available.

    A manifest of which nothing was made has an entry of its place alone.
    """
    states: list[tuple[Obj, bool]] = list(found)
    missing = set(range(manifests)) - {name["ordinal"] for name, _ in states}
    states += [({"ordinal": number}, False) for number in missing]
    states.sort(key=lambda state: (state[0]["ordinal"], state[0].get("name", "")))
    return [{"identifier": name, "conditions": AVAILABLE if ok else PROCESSING} for name, ok in states]
