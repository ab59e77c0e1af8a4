"""Budgets, priority and runtime classes, leases."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import layouts, objectmeta
from edgelab.edgesite.apiserver.invalid import (
    Cause,
    bad,
    duplicate,
    forbidden,
    unsupported,
)
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.pod import affinity, resources
from edgelab.edgesite.apiserver.strategy import Part, Strategy

Obj = dict[str, Any]

EVICTION = ["AlwaysAllow", "IfHealthyBudget"]
SYSTEM_CLASSES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
HIGHEST = 1_000_000_000


def budget(obj: Obj) -> list[Cause]:
    """ValidatePodDisruptionBudget, which does not look at the metadata."""
    spec = obj.get("spec") or {}
    causes: list[Cause] = []
    if "minAvailable" in spec and "maxUnavailable" in spec:
        shown = layouts.shown("policy.PodDisruptionBudgetSpec", spec)
        causes.append(bad("spec", shown, "minAvailable and maxUnavailable cannot be both set"))
    for field in ("minAvailable", "maxUnavailable"):
        if field in spec:
            causes += checks.int_or_percent(spec[field], f"spec.{field}")
            causes += checks.at_most_all(spec[field], f"spec.{field}")
    causes += checks.label_selector(spec.get("selector"), "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in EVICTION:
        causes.append(unsupported("spec.unhealthyPodEvictionPolicy", policy, EVICTION))
    return causes


def budget_status(new: Obj, old: Obj) -> list[Cause]:
    """Numbers of pods."""
    status, causes = new.get("status") or {}, []
    for field in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"):
        causes += checks.nonnegative(status.get(field), f"status.{field}")
    return causes


def budget_default(obj: Obj) -> None:
    """`spec` is always written."""
    obj.setdefault("spec", {})


def budget_on_create(obj: Obj) -> None:
    """Nothing is counted yet."""
    fields = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    obj["status"] = dict.fromkeys(fields, 0)


def priority_default(obj: Obj) -> None:
    """Defaults of a PriorityClass."""
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")
    obj.setdefault("value", 0)


def priority_on_create(obj: Obj) -> None:
    """The generation is counted once."""
    obj["metadata"]["generation"] = 1


def priority(obj: Obj) -> list[Cause]:
    """ValidatePriorityClass."""
    name, value, causes = obj["metadata"].get("name") or "", obj.get("value") or 0, []
    if name.startswith("system-"):
        problem = _not_system(obj, name, value)
        if problem:
            text = "priority class names with 'system-' prefix are reserved for system use only. error: "
            causes.append(forbidden("metadata.name", text + problem))
    elif value > HIGHEST:
        text = f"maximum allowed value of a user defined priority is {HIGHEST}"
        causes.append(forbidden("value", text))
    policy = obj.get("preemptionPolicy")
    if policy is not None:
        causes += checks.choice(policy, "preemptionPolicy", ["PreemptLowerPriority", "Never"])
    return causes


def _not_system(obj: Obj, name: str, value: int) -> str:
    if name not in SYSTEM_CLASSES:
        return f"{name} is not a known system priority class"
    if value != SYSTEM_CLASSES[name]:
        return f"value of {name} PriorityClass must be {SYSTEM_CLASSES[name]}"
    return f"globalDefault of {name} PriorityClass must be false" if obj.get("globalDefault") else ""


def priority_changed(new: Obj, old: Obj) -> list[Cause]:
    """The value of a class stays."""
    causes = objectmeta.changed(new, old)
    if (new.get("value") or 0) != (old.get("value") or 0):
        causes.append(forbidden("value", "may not be changed in an update."))
    policy = new.get("preemptionPolicy")
    return causes + checks.unchanged(policy, old.get("preemptionPolicy"), "preemptionPolicy")


def runtime(obj: Obj) -> list[Cause]:
    """ValidateRuntimeClass."""
    causes = checks.dns_label(obj.get("handler") or "", "handler")
    fixed = (obj.get("overhead") or {}).get("podFixed")
    if fixed is not None:
        causes += resources.requirements({"limits": fixed}, "overhead", ())
    where = obj.get("scheduling")
    if where is None:
        return causes
    causes += checks.labels(where.get("nodeSelector"), "scheduling.nodeSelector")
    found = where.get("tolerations") or []
    causes += affinity.tolerations(found, "scheduling.tolerations.tolerations")
    seen: list[Obj] = []
    for position, item in enumerate(found):
        key = {field: value for field, value in item.items() if field != "tolerationSeconds"}
        if key in seen:
            shown = layouts.shown("core.Toleration", item)
            causes.append(duplicate(f"scheduling.tolerations[{position}]", shown))
        seen.append(key)
    return causes


def runtime_changed(new: Obj, old: Obj) -> list[Cause]:
    """The handler of a class stays."""
    causes = objectmeta.of_kind(new, "node.k8s.io", "RuntimeClass") + runtime(new)
    causes += objectmeta.changed(new, old, kube=False)
    return causes + checks.unchanged(new.get("handler"), old.get("handler"), "handler")


def lease_default(obj: Obj) -> None:
    """`spec` is always written. Coordinated leader election is off."""
    spec = obj.setdefault("spec", {})
    for field in ("strategy", "preferredHolder"):
        spec.pop(field, None)


def lease(obj: Obj) -> list[Cause]:
    """ValidateLeaseSpec."""
    spec, causes = obj.get("spec") or {}, []
    seconds, changes = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if seconds is not None and seconds <= 0:
        causes.append(bad("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    if changes is not None and changes < 0:
        causes.append(bad("spec.leaseTransitions", changes, checks.NEGATIVE))
    strategy = spec.get("strategy")
    if strategy is not None:
        field = "spec.strategy.strategy"
        if "/" in strategy:
            causes += checks.label_name(strategy, field)
        elif strategy != "OldestEmulationVersion":
            causes.append(unsupported(field, strategy, ["OldestEmulationVersion"]))
    if spec.get("preferredHolder") and not strategy:
        text = "may only be specified if `strategy` is defined"
        causes.append(forbidden("spec.preferredHolder", text))
    return causes


def lease_changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateLeaseUpdate."""
    return objectmeta.changed(new, old, kube=False) + lease(new)


BUDGET = Strategy(
    default=budget_default,
    unconditional=False,
    on_create=budget_on_create,
    validate=budget,
    validate_update=lambda new, old: budget(new),
    parts={"status": Part(validate=budget_status)},
    checks_metadata=False,
    keeps_status_on_create=True,
)
PRIORITY_CLASS = Strategy(
    default=priority_default,
    on_create=priority_on_create,
    validate=priority,
    validate_update=priority_changed,
    has_generation=False,
)
RUNTIME_CLASS = Strategy(
    unconditional=False,
    validate=runtime,
    validate_update=runtime_changed,
    creates_on_update=True,
    has_generation=False,
)
LEASE = Strategy(
    default=lease_default,
    validate=lease,
    validate_update=lease_changed,
    creates_on_update=True,
    has_generation=False,
    unconditional=False,
)
