"""What a pod takes of the compute resources that a quota limits.

Facts: pkg/quota/v1/evaluator/core/pods.go, component-helpers `resource.PodRequests` and `PodLimits`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgesite.apiserver.strategies.pod import qos
from edgelab.edgesite.apiserver.strategies.pod.resources import is_extended, is_huge
from edgelab.edgesite.quota import amounts
from edgelab.edgesite.quota.amounts import Amounts

Obj = dict[str, Any]

COMPUTE = ("cpu", "memory", "ephemeral-storage")
WANTED = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
"""If a quota limits one of these, every container has to say how much it needs."""


def lives(pod: Obj, now: dt.datetime) -> bool:
    """Whether it counts: it has not ended, and is not overdue after its deletion (`QuotaV1Pod`)."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return False
    metadata = pod["metadata"]
    deleted, grace = metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds")
    if not deleted or grace is None:
        return True
    return bool(now <= parse_rfc3339(deleted) + dt.timedelta(seconds=grace))


def usage(pod: Obj) -> Amounts:
    """By the names of a quota."""
    found: Amounts = {"pods": amounts.ONE}
    for name, amount in _total(pod, "requests").items():
        if name in COMPUTE or is_huge(name):
            found[name] = amount
        if name in COMPUTE or is_huge(name) or is_extended(name):
            found[f"requests.{name}"] = amount
    for name, amount in _total(pod, "limits").items():
        if name in COMPUTE:
            found[f"limits.{name}"] = amount
    return found


def _total(pod: Obj, field: str) -> Amounts:
    spec, granted = pod["spec"], _granted(pod, field)
    total: Amounts = {}
    for container in spec.get("containers") or ():
        amounts.add(total, _asked(container, field, granted))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = _asked(container, field, granted)
        if container.get("restartPolicy") == "Always":
            amounts.add(total, own)
            amounts.add(sidecars, own)
            amounts.most(peak, sidecars)
        else:
            amounts.add(own, sidecars)
            amounts.most(peak, own)
    amounts.most(total, peak)
    for name, value in ((spec.get("resources") or {}).get(field) or {}).items():
        if name in ("cpu", "memory") or is_huge(name):
            total[name] = amounts.parse(value)
    for name, amount in amounts.parse_all(spec.get("overhead")).items():
        if field == "requests" or (name in total and total[name].value):
            amounts.add(total, {name: amount})
    return total


def _asked(container: Obj, field: str, granted: dict[str, Amounts]) -> Amounts:
    found = amounts.parse_all((container.get("resources") or {}).get(field))
    amounts.most(found, granted.get(container.get("name") or "", {}))
    return found


def _granted(pod: Obj, field: str) -> dict[str, Amounts]:
    """What containers have got of their node, while it differs from what they ask for (in-place resize)."""
    status = pod.get("status") or {}
    found: dict[str, Amounts] = {}
    for entry in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
        if entry.get("resources") is None:
            continue
        got = amounts.parse_all(entry["resources"].get(field))
        if field == "requests":
            amounts.most(got, amounts.parse_all(entry.get("allocatedResources")))
        found[entry["name"]] = got
    return found


def unspecified(names: Iterable[str], pod: Obj) -> str:
    """Which containers do not say what a quota on these resources wants to know; empty when all do."""
    spec, missing = pod["spec"], []
    own = spec.get("resources") or {}
    if own.get("requests") or own.get("limits"):
        return ""
    for name in sorted(set(names).intersection(WANTED)):
        part, _, resource = name.rpartition(".")
        absent = {
            container.get("name") or ""
            for field in ("containers", "initContainers")
            for container in spec.get(field) or ()
            if resource not in ((container.get("resources") or {}).get(part or "requests") or {})
        }
        if absent:
            missing.append(f"{name} for: {','.join(sorted(absent))}")
    return f"must specify {'; '.join(missing)}" if missing else ""


def in_scope(scope: Obj, pod: Obj) -> bool:
    """Whether a scope of a quota takes a pod in (`podMatchesScopeFunc`)."""
    spec, name = pod["spec"], str(scope.get("scopeName"))
    if name in ("Terminating", "NotTerminating"):
        return ends(pod) == (name == "Terminating")
    if name in ("BestEffort", "NotBestEffort"):
        return bool(qos.of(spec) == "BestEffort") == (name == "BestEffort")
    if name == "CrossNamespacePodAffinity":
        terms = [t for group in (spec.get("affinity") or {}).values() for t in _terms(group)]
        return any(term.get("namespaces") or "namespaceSelector" in term for term in terms)
    return name == "PriorityClass" and chosen(scope, [spec.get("priorityClassName") or ""])


def ends(pod: Obj) -> bool:
    """Whether it has a deadline."""
    deadline = pod["spec"].get("activeDeadlineSeconds")
    return deadline is not None and deadline >= 0


def chosen(scope: Obj, names: list[str]) -> bool:
    """Whether a scope's operator holds for any of the names (an empty one stands for none)."""
    operator, values = str(scope.get("operator")), scope.get("values") or ()
    if operator in ("Exists", "DoesNotExist"):
        return any(names) == (operator == "Exists")
    return any((bool(name) and name in values) == (operator == "In") for name in names or [""])


def _terms(group: Obj) -> list[Obj]:
    preferred = group.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    required = group.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    terms = [item.get("podAffinityTerm") or {} for item in preferred]
    return terms + [item for item in required if isinstance(item, dict)]
