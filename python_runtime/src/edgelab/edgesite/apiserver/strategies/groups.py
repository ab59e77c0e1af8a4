"""Leases, certificates, storage, networking, policy and autoscaling."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause, bad
from edgelab.edgesite.apiserver.strategy import Strategy

Obj = dict[str, Any]


def lease_valid(obj: Obj) -> list[Cause]:
    """Durations of a Lease are positive."""
    seconds = (obj.get("spec") or {}).get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        return [bad("spec.leaseDurationSeconds", seconds, "must be greater than 0")]
    return []


def request_on_create(obj: Obj) -> None:
    """A certificate request starts without a decision."""
    obj["status"] = {}


def storage_class_default(obj: Obj) -> None:
    """Defaults of a StorageClass."""
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def policy_default(obj: Obj) -> None:
    """A NetworkPolicy without types restricts ingress, and egress when it has such rules."""
    spec = obj.setdefault("spec", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if "egress" in spec else ["Ingress"]
    for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
        for port in rule.get("ports") or ():
            port.setdefault("protocol", "TCP")


def autoscaler_default(obj: Obj) -> None:
    """Defaults of a HorizontalPodAutoscaler."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def slice_default(obj: Obj) -> None:
    """Ports of an EndpointSlice: TCP, without a name. Empty lists are written as null."""
    for name in ("endpoints", "ports"):
        obj[name] = obj.get(name) or None
    for port in obj.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def priority_default(obj: Obj) -> None:
    """Defaults of a PriorityClass."""
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


LEASE = Strategy(validate=lease_valid, creates_on_update=True, has_generation=False)
CERTIFICATE_REQUEST = Strategy(
    on_create=request_on_create,
    keeps_status_on_create=True,
    has_generation=False,
)
STORAGE_CLASS = Strategy(default=storage_class_default, has_generation=False)
NETWORK_POLICY = Strategy(default=policy_default)
AUTOSCALER = Strategy(default=autoscaler_default, has_generation=False)
ENDPOINT_SLICE = Strategy(default=slice_default)
PRIORITY_CLASS = Strategy(default=priority_default)
UNCOUNTED = Strategy(has_generation=False)
