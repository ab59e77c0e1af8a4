"""The ResourceQuota plugin: what a namespace may hold, counted from what it holds."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.podadmission import of_namespace, refused
from edgelab.edgesite.apiserver.strategies.pod import qos
from edgelab.edgesite.apiserver.strategies.pod.resources import aggregate, is_extended, is_huge, text_of
from edgelab.edgesite.store import Store
from edgelab.objects import quantity

Obj = dict[str, Any]
Amounts = dict[str, Decimal]

COUNTED = {
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
}
NEEDED = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
WITH_PORTS = ("NodePort", "LoadBalancer")


def check(store: Store, kind: Kind, obj: Obj, old: Obj | None) -> None:
    """Raises ApiError 403 for an object that its namespace has no room for."""
    mine = usage(kind, obj)
    before = usage(kind, old) if old is not None else {}
    for found in of_namespace(store, "resourcequotas", obj["metadata"].get("namespace") or ""):
        spec = found.get("spec") or {}
        if not _covers(spec, kind, obj):
            continue
        _specified(found, kind, obj, mine)
        hard = {name: quantity.parse(value) for name, value in (spec.get("hard") or {}).items()}
        asked = {name: value - before.get(name, 0) for name, value in mine.items() if name in hard}
        asked = {name: value for name, value in asked.items() if value > 0}
        if not asked:
            continue
        used = _used(store, kind, spec, obj)
        over = sorted(name for name in asked if used.get(name, Decimal()) + asked[name] > hard[name])
        if over:
            name = found["metadata"]["name"]
            parts = (("requested", asked), ("used", used), ("limited", hard))
            said = ", ".join(f"{word}: {_list(over, amounts)}" for word, amounts in parts)
            raise refused(kind.plural, kind.group, obj, f"exceeded quota: {name}, {said}")


def _list(names: Iterable[str], amounts: Amounts) -> str:
    return ",".join(f"{name}={text_of(_unit(name), amounts.get(name, Decimal()))}" for name in names)


def _unit(name: str) -> str:
    return name.removeprefix("requests.").removeprefix("limits.")


def _used(store: Store, kind: Kind, spec: Obj, obj: Obj) -> Amounts:
    total: Amounts = {}
    metadata = obj["metadata"]
    for found in of_namespace(store, kind.bucket, metadata["namespace"]):
        if _covers(spec, kind, found):
            for name, value in usage(kind, found).items():
                total[name] = total.get(name, Decimal()) + value
    return total


def _specified(found: Obj, kind: Kind, obj: Obj, mine: Amounts) -> None:
    """A quota of compute resources wants each container to say what it needs."""
    if kind.group or kind.name != "Pod":
        return
    spec, missing = obj["spec"], []
    for name in sorted((found.get("spec") or {}).get("hard") or ()):
        if name not in NEEDED:
            continue
        part, _, resource = name.rpartition(".")
        part = part or "requests"
        absent = [
            container.get("name") or ""
            for field in ("containers", "initContainers")
            for container in spec.get(field) or ()
            if resource not in ((container.get("resources") or {}).get(part) or {})
        ]
        if absent:
            missing.append(f"{name} for: {','.join(sorted(absent))}")
    if missing:
        text = f"failed quota: {found['metadata']['name']}: must specify {'; '.join(missing)}"
        raise refused(kind.plural, kind.group, obj, text)


def usage(kind: Kind, obj: Obj) -> Amounts:
    """What an object takes of each resource that a quota can limit."""
    one = Decimal(1)
    found: Amounts = {f"count/{kind.qualified}": one}
    if kind.group:
        return found
    if kind.plural in COUNTED:
        found[kind.plural] = one
    if kind.name == "Pod":
        return found | _pod(obj) if not _ended(obj) else {f"count/{kind.qualified}": one}
    spec = obj.get("spec") or {}
    if kind.name == "Service" and spec.get("type") in WITH_PORTS:
        wanted = spec["type"] == "NodePort" or spec.get("allocateLoadBalancerNodePorts", True)
        found["services.nodeports"] = Decimal(len(spec.get("ports") or ()) if wanted else 0)
        found["services.loadbalancers"] = one if spec["type"] == "LoadBalancer" else Decimal()
    if kind.name == "PersistentVolumeClaim":
        size = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "0")
        found["requests.storage"] = quantity.parse(size)
        if spec.get("storageClassName"):
            prefix = f"{spec['storageClassName']}.storageclass.storage.k8s.io/"
            found[f"{prefix}requests.storage"] = quantity.parse(size)
            found[f"{prefix}persistentvolumeclaims"] = one
    return found


def _pod(pod: Obj) -> Amounts:
    found: Amounts = {}
    for name, value in aggregate(pod["spec"], "requests").items():
        found[f"requests.{name}"] = value
        if not is_extended(name) or is_huge(name):
            found[name] = value
    for name, value in aggregate(pod["spec"], "limits").items():
        found[f"limits.{name}"] = value
    return found


def _ended(pod: Obj) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _covers(spec: Obj, kind: Kind, obj: Obj) -> bool:
    scopes = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    scopes += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    if not scopes:
        return True
    return kind.group == "" and kind.name == "Pod" and all(_in_scope(scope, obj) for scope in scopes)


def _in_scope(scope: Obj, pod: Obj) -> bool:
    spec, name = pod["spec"], str(scope.get("scopeName"))
    if name in ("Terminating", "NotTerminating"):
        return (spec.get("activeDeadlineSeconds") is not None) == (name == "Terminating")
    if name in ("BestEffort", "NotBestEffort"):
        return bool(qos.of(spec) == "BestEffort") == (name == "BestEffort")
    if name == "CrossNamespacePodAffinity":
        terms = [t for group in (spec.get("affinity") or {}).values() for t in _terms(group)]
        return any(term.get("namespaces") or "namespaceSelector" in term for term in terms)
    value, values = str(spec.get("priorityClassName") or ""), scope.get("values") or ()
    operator = str(scope.get("operator"))
    if operator in ("Exists", "DoesNotExist"):
        return bool(value) == (operator == "Exists")
    return bool(value in values) == (operator == "In")


def _terms(group: Obj) -> list[Obj]:
    preferred = group.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    required = group.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    terms = [item.get("podAffinityTerm") or {} for item in preferred]
    return terms + [item for item in required if isinstance(item, dict)]
