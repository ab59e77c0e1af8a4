"""RBAC, leases, certificates, storage, networking, policy and autoscaling."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause, bad, immutable, required
from edgelab.edgesite.apiserver.strategy import Strategy

Obj = dict[str, Any]

RBAC = "rbac.authorization.k8s.io"


def binding_default(obj: Obj) -> None:
    """API groups of subjects and role (`pkg/apis/rbac/v1/defaults.go`)."""
    obj.setdefault("roleRef", {}).setdefault("apiGroup", RBAC)
    for subject in obj.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = RBAC


def binding_valid(obj: Obj) -> list[Cause]:
    """What is wrong with a binding."""
    causes = [required("roleRef.name")] if not obj["roleRef"].get("name") else []
    for position, subject in enumerate(obj.get("subjects") or ()):
        if not subject.get("name"):
            causes.append(required(f"subjects[{position}].name"))
        if subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
            causes.append(required(f"subjects[{position}].namespace"))
    return causes


def binding_change(new: Obj, old: Obj) -> list[Cause]:
    """A binding keeps its role."""
    if new.get("roleRef") == old.get("roleRef"):
        return []
    return [bad("roleRef", new.get("roleRef"), "cannot change roleRef")]


def role_default(obj: Obj) -> None:
    """`rules` is always written."""
    obj.setdefault("rules", [])


def role_valid(obj: Obj) -> list[Cause]:
    """Every rule names verbs."""
    rules = obj.get("rules") or []
    return [
        required(f"rules[{position}].verbs", "verbs must contain at least one value")
        for position, rule in enumerate(rules)
        if not rule.get("verbs")
    ]


def lease_valid(obj: Obj) -> list[Cause]:
    """Durations of a Lease are positive."""
    seconds = (obj.get("spec") or {}).get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        return [bad("spec.leaseDurationSeconds", seconds, "must be greater than 0")]
    return []


def request_on_create(obj: Obj) -> None:
    """A certificate request starts without a decision."""
    obj["status"] = {}


def request_change(new: Obj, old: Obj) -> list[Cause]:
    """What was requested stays."""
    return [] if new.get("spec") == old.get("spec") else [immutable("spec", "")]


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
    """Ports of an EndpointSlice: TCP, without a name."""
    for port in obj.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def priority_default(obj: Obj) -> None:
    """Defaults of a PriorityClass."""
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


BINDING = Strategy(
    default=binding_default, validate=binding_valid, validate_update=binding_change, has_generation=False
)
ROLE = Strategy(default=role_default, validate=role_valid, has_generation=False)
LEASE = Strategy(validate=lease_valid, creates_on_update=True, has_generation=False)
CERTIFICATE_REQUEST = Strategy(
    on_create=request_on_create,
    validate_update=request_change,
    keeps_status_on_create=True,
    has_generation=False,
)
STORAGE_CLASS = Strategy(default=storage_class_default, has_generation=False)
NETWORK_POLICY = Strategy(default=policy_default)
AUTOSCALER = Strategy(default=autoscaler_default, has_generation=False)
ENDPOINT_SLICE = Strategy(default=slice_default)
PRIORITY_CLASS = Strategy(default=priority_default)
UNCOUNTED = Strategy(has_generation=False)
