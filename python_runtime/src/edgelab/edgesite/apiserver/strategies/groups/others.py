"""Budgets, priority and runtime classes, leases, slices."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import layouts, names, objectmeta
from edgelab.edgesite.apiserver.invalid import (
    Cause,
    bad,
    duplicate,
    forbidden,
    required,
    too_many,
    unsupported,
)
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.pod import affinity, resources
from edgelab.edgesite.apiserver.strategy import Part, Strategy

Obj = dict[str, Any]

EVICTION = ["AlwaysAllow", "IfHealthyBudget"]
SYSTEM_CLASSES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
HIGHEST = 1_000_000_000
ADDRESS_TYPES = ["FQDN", "IPv4", "IPv6"]
MAX_ENDPOINTS, MAX_ADDRESSES, MAX_PORTS, MAX_TOPOLOGY, MAX_HINTS = 1000, 100, 20000, 16, 8


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


def slice_default(obj: Obj) -> None:
    """Ports of an EndpointSlice: TCP, without a name. Empty lists are written as null."""
    for name in ("endpoints", "ports"):
        obj[name] = obj.get(name) or None
    for port in obj.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")
    for endpoint in obj.get("endpoints") or ():
        endpoint.setdefault("conditions", {})
        endpoint.pop("deprecatedTopology", None)


def endpoint_slice(obj: Obj) -> list[Cause]:
    """ValidateEndpointSlice."""
    return _slice(obj) + _endpoints(obj)


def _slice(obj: Obj) -> list[Cause]:
    kind, ports = obj.get("addressType") or "", obj.get("ports") or []
    causes = checks.choice(kind, "addressType", ADDRESS_TYPES)
    if len(ports) > MAX_PORTS:
        return [*causes, too_many("ports", len(ports), MAX_PORTS)]
    seen: set[str] = set()
    for position, port in enumerate(ports):
        field, name = f"ports[{position}]", port.get("name") or ""
        causes += checks.dns_label(name, f"{field}.name") if name else []
        if name in seen:
            causes.append(duplicate(f"{field}.name", name))
        seen.add(name)
        protocol, where = port.get("protocol"), f"{field}.protocol"
        if protocol not in checks.PROTOCOLS:
            causes.append(unsupported(where, protocol, checks.PROTOCOLS))
        if port.get("appProtocol") is not None:
            causes += checks.label_name(port["appProtocol"], f"{field}.appProtocol")
    return causes


def _endpoints(obj: Obj) -> list[Cause]:
    found, kind = obj.get("endpoints") or [], obj.get("addressType") or ""
    if len(found) > MAX_ENDPOINTS:
        return [too_many("endpoints", len(found), MAX_ENDPOINTS)]
    causes: list[Cause] = []
    for position, item in enumerate(found):
        field, addresses = f"endpoints[{position}]", item.get("addresses") or []
        where = f"{field}.addresses"
        if not addresses:
            causes.append(required(where, "must contain at least 1 address"))
        elif len(addresses) > MAX_ADDRESSES:
            causes.append(too_many(where, len(addresses), MAX_ADDRESSES))
        for number, address in enumerate(addresses):
            causes += _address(address, kind, where, f"{where}[{number}]")
        causes += _rest(item, field)
    return causes


def _address(address: str, kind: str, where: str, field: str) -> list[Cause]:
    if kind == "FQDN":
        return _domain(address, field)
    if kind not in ("IPv4", "IPv6"):
        return []
    problems = (checks.ip if kind == "IPv4" else checks.canonical_ip)(address, field)
    parsed = checks.parse_ip(address)
    if problems or parsed is None:
        return problems
    causes = [] if f"IPv{parsed.version}" == kind else [bad(where, address, f"must be an {kind} address")]
    return causes + checks.endpoint_ip(address, field)


def _domain(name: str, path: str) -> list[Cause]:
    if not name:
        return [required(path)]
    name = name.removesuffix(".")
    problems = names.subdomain(name)
    if problems:
        return [bad(path, name, ",".join(problems))]
    if "." not in name:
        text = "should be a domain with at least two segments separated by dots"
        return [bad(path, name, text)]
    return [bad(path, part, ",".join(names.label(part))) for part in name.split(".") if names.label(part)]


def _rest(item: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if item.get("nodeName") is not None:
        causes += checks.dns_subdomain(item["nodeName"], f"{path}.nodeName")
    topology = item.get("deprecatedTopology") or {}
    if len(topology) > MAX_TOPOLOGY:
        causes.append(too_many(f"{path}.deprecatedTopology", len(topology), MAX_TOPOLOGY))
    causes += checks.labels(topology, f"{path}.deprecatedTopology")
    if item.get("hostname") is not None:
        causes += checks.dns_label(item["hostname"], f"{path}.hostname")
    for name, check in (("forZones", names.label_value), ("forNodes", names.subdomain)):
        hints, field = (item.get("hints") or {}).get(name) or [], f"{path}.hints.{name}"
        if len(hints) > MAX_HINTS:
            return [*causes, too_many(field, len(hints), MAX_HINTS)]
        seen: set[str] = set()
        for position, hint in enumerate(hints):
            value, where = hint.get("name") or "", f"{field}[{position}].name"
            causes += [duplicate(where, value)] if value in seen else []
            seen.add(value)
            causes += checks.texts(check, value, where)
    return causes


def slice_changed(new: Obj, old: Obj) -> list[Cause]:
    """Bad endpoints that were there before may stay; the kind of addresses does."""
    causes = objectmeta.of_kind(new, "discovery.k8s.io", "EndpointSlice") + _slice(new)
    if not checks.semantic(new.get("endpoints"), old.get("endpoints")):
        causes += _endpoints(new)
    return causes + checks.unchanged(new.get("addressType"), old.get("addressType"), "addressType")


BUDGET = Strategy(
    default=budget_default,
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
    validate=runtime, validate_update=runtime_changed, creates_on_update=True, has_generation=False
)
LEASE = Strategy(
    default=lease_default,
    validate=lease,
    validate_update=lease_changed,
    creates_on_update=True,
    has_generation=False,
    unconditional=False,
)
ENDPOINT_SLICE = Strategy(default=slice_default, validate=endpoint_slice, validate_update=slice_changed)
