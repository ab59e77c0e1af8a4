"""Pods that stay on a node that is away (KubeEdge `admit_offlinemigration.go`).

A pod with the label tolerates an unreachable node for ever. A toleration that ends after some seconds (the
API server adds one to every pod) would come first and win; it is replaced.
"""

from __future__ import annotations

from edgelab.cloudcore.webhooks.reviews import Request
from edgelab.kube.interface import Obj

LABEL, AUTONOMY = "app-offline.kubeedge.io", "autonomy"
UNREACHABLE = "node.kubernetes.io/unreachable"
TOLERATION = {"key": UNREACHABLE, "operator": "Exists"}


def stay(request: Request) -> list[Obj]:
    """The patch of a pod's tolerations; none for other pods and for those that have it."""
    pod = request.object or {}
    if ((pod.get("metadata") or {}).get("labels") or {}).get(LABEL) != AUTONOMY:
        return []
    present = (pod.get("spec") or {}).get("tolerations") or []
    if TOLERATION in present:
        return []
    others = [toleration for toleration in present if toleration.get("key") != UNREACHABLE]
    return [{"op": "add", "path": "/spec/tolerations", "value": [*others, TOLERATION]}]
