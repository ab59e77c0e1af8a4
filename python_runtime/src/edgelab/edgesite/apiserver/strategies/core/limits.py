"""LimitRanges and ResourceQuotas."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from edgelab.edgesite.apiserver import layouts, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, duplicate, forbidden, immutable, required
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.pod import resources
from edgelab.edgesite.apiserver.strategy import Part, Strategy
from edgelab.objects import quantity

Obj = dict[str, Any]

TYPES = ("Pod", "Container", "PersistentVolumeClaim")
POD_SCOPES = ("Terminating", "NotTerminating", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity")
SCOPES = (*POD_SCOPES, "BestEffort", "VolumeAttributesClass")
POD_OBJECTS = {"pods", "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory"}
POD_OBJECTS |= {"requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage"}
EXISTS_ONLY = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")


def range_default(obj: Obj) -> None:
    """Limits of containers follow from what is the most (`SetDefaults_LimitRangeItem`); one without a name
    gets one (`limitrange/strategy.go`).
    """
    metadata = obj["metadata"]
    metadata["name"] = metadata.get("name") or str(uuid.uuid4())
    spec = obj.setdefault("spec", {})
    spec["limits"] = spec.get("limits") or None
    for item in spec["limits"] or ():
        if item.get("type") != "Container":
            continue
        limits, requests = item.setdefault("default", {}), item.setdefault("defaultRequest", {})
        for name, value in (item.get("max") or {}).items():
            limits.setdefault(name, value)
        for source in (limits, item.get("min") or {}):
            for name, value in source.items():
                requests.setdefault(name, value)
        for field in ("default", "defaultRequest"):
            if not item[field]:
                del item[field]


def limit_range(obj: Obj) -> list[Cause]:
    """ValidateLimitRange."""
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
        field, kind = f"spec.limits[{position}]", item.get("type") or ""
        causes += _type(kind, f"{field}.type")
        if kind in seen:
            causes.append(duplicate(f"{field}.type", kind))
        seen.add(kind)
        check = resources.container_resource if kind in ("Pod", "Container") else resources.resource_name
        names: dict[str, None] = {}
        for part in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
            if kind == "Pod" and part in ("default", "defaultRequest"):
                if item.get(part):
                    causes.append(forbidden(f"{field}.{part}", "may not be specified when `type` is 'Pod'"))
                continue
            if part == "maxLimitRequestRatio" and kind == "PersistentVolumeClaim":
                causes += _storage(item, field)
            for name in item.get(part) or {}:
                causes += check(name, f"{field}.{part}[{name}]")
                names[name] = None
        causes += _ordered(item, names, field)
    return causes


def _type(kind: str, path: str) -> list[Cause]:
    causes = checks.label_name(kind, path)
    if not causes and "/" not in kind and kind not in TYPES:
        causes.append(bad(path, kind, "must be a standard limit type or fully qualified"))
    return causes


def _storage(item: Obj, path: str) -> list[Cause]:
    if "storage" in (item.get("min") or {}) or "storage" in (item.get("max") or {}):
        return []
    text = "either minimum or maximum storage value is required, but neither was provided"
    return [required(f"{path}.limits", text)]


def _ordered(item: Obj, names: Iterable[str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for name in names:
        low, high = (_of(item, part, name) for part in ("min", "max"))
        limit, request = (_of(item, part, name) for part in ("default", "defaultRequest"))
        ratio = _of(item, "maxLimitRequestRatio", name)
        for part, shown, small, large, text in (
            ("min", low, low, high, "min value {} is greater than max value {}"),
            (
                "defaultRequest",
                request,
                low,
                request,
                "min value {} is greater than default request value {}",
            ),
            (
                "defaultRequest",
                request,
                request,
                high,
                "default request value {} is greater than max value {}",
            ),
            (
                "defaultRequest",
                request,
                request,
                limit,
                "default request value {} is greater than default limit value {}",
            ),
            ("default", low, low, limit, "min value {} is greater than default value {}"),
            ("default", high, limit, high, "default value {} is greater than max value {}"),
        ):
            if small and large and quantity.parse(small) > quantity.parse(large):
                causes.append(bad(f"{path}.{part}[{name}]", shown, text.format(small, large)))
        causes += _ratio(ratio, low, high, f"{path}.maxLimitRequestRatio[{name}]")
        fixed = not resources.overcommitted(name) and limit and request
        if fixed and quantity.parse(limit) != quantity.parse(request):
            text = f"default value {limit} must equal to defaultRequest value {request} in {name}"
            causes.append(bad(f"{path}.defaultRequest[{name}]", request, text))
    return causes


def _of(item: Obj, part: str, name: str) -> str:
    return str((item.get(part) or {}).get(name, ""))


def _ratio(ratio: str, low: str, high: str, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if ratio and quantity.parse(ratio) < 1:
        causes.append(bad(path, ratio, f"ratio {ratio} is less than 1"))
    if ratio and low and high and quantity.parse(low):
        most: Decimal = quantity.parse(high) / quantity.parse(low)
        if quantity.parse(ratio) > most:
            causes.append(bad(path, ratio, f"ratio {ratio} is greater than max/min = {most:.6f}"))
    return causes


def range_changed(new: Obj, old: Obj) -> list[Cause]:
    """An update is validated as a new one."""
    return objectmeta.of_kind(new, "", "LimitRange") + limit_range(new)


def quota(obj: Obj) -> list[Cause]:
    """ValidateResourceQuota."""
    return _quota_spec(obj.get("spec") or {})


def _amounts(found: Obj | None, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for name, value in (found or {}).items():
        field = f"{path}[{name}]"
        causes += resources.quota_resource(name, field) + resources.amount(name, value, field)
    return causes


def _quota_spec(spec: Obj) -> list[Cause]:
    causes = _amounts(spec.get("hard"), "spec.hard")
    scopes, hard = spec.get("scopes") or [], sorted(spec.get("hard") or ())
    for scope in scopes:
        if scope not in SCOPES:
            causes.append(bad("spec.scopes", scopes, "unsupported scope"))
        wrong = [name for name in hard if not _fits(scope, name)]
        causes += [bad("spec.scopes", scopes, "unsupported scope applied to resource") for _ in wrong]
    causes += [bad("spec.scopes", scopes, "conflicting scopes")] * _conflicts(scopes)
    return causes + (_selector(spec, hard) if spec.get("scopeSelector") is not None else [])


def _fits(scope: str, name: str) -> bool:
    if name not in resources.QUOTA and not resources.is_quota_huge(name):
        return True
    if scope == "BestEffort":
        return name == "pods"
    if scope in POD_SCOPES:
        return name in POD_OBJECTS
    of_claims = name in ("persistentvolumeclaims", "requests.storage")
    return scope != "VolumeAttributesClass" or of_claims


def _conflicts(scopes: Iterable[str]) -> int:
    pairs = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
    return sum(pair <= set(scopes) for pair in pairs)


def _selector(spec: Obj, hard: list[str]) -> list[Cause]:
    field, found = "spec.scopeSelector.matchExpressions", spec["scopeSelector"].get("matchExpressions") or []
    causes: list[Cause] = []
    for item in found:
        scope, operator, values = item.get("scopeName") or "", item.get("operator") or "", item.get("values")
        if scope not in SCOPES:
            causes.append(bad(f"{field}.scopeName", scope, "unsupported scope"))
        shown = layouts.shown("core.ScopeSelector", spec["scopeSelector"])
        wrong = [name for name in hard if not _fits(scope, name)]
        causes += [bad(field, shown, "unsupported scope applied to resource") for _ in wrong]
        if scope in EXISTS_ONLY and operator != "Exists":
            text = (
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating,"
                " ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort,"
                " ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            causes.append(bad(f"{field}.operator", operator, text))
        causes += _operator(operator, values, field)
    names = [item.get("scopeName") or "" for item in found]
    shown = spec.get("scopes")
    return causes + [bad("spec.scopes", shown, "conflicting scopes")] * _conflicts(names)


def _operator(operator: str, values: list[str] | None, path: str) -> list[Cause]:
    if operator in ("In", "NotIn"):
        text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
        return [] if values else [required(f"{path}.values", text)]
    if operator in ("Exists", "DoesNotExist"):
        text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
        return [bad(f"{path}.values", values, text)] if values else []
    return [bad(f"{path}.operator", operator, "not a valid selector operator")]


def quota_changed(new: Obj, old: Obj) -> list[Cause]:
    """The scopes of a quota stay."""
    mine, theirs = new.get("spec") or {}, old.get("spec") or {}
    causes = objectmeta.changed(new, old) + _quota_spec(mine)
    if set(mine.get("scopes") or ()) != set(theirs.get("scopes") or ()):
        causes.append(immutable("spec.scopes", mine.get("scopes")))
    return causes


def quota_default(obj: Obj) -> None:
    """`spec` is always written."""
    obj.setdefault("spec", {})


def quota_status(new: Obj, old: Obj) -> list[Cause]:
    """What is said to be used."""
    status, causes = new.get("status") or {}, objectmeta.changed(new, old)
    for field in ("hard", "used"):
        causes += _amounts(status.get(field), f"status.{field}")
    return causes


LIMIT_RANGE = Strategy(
    default=range_default,
    validate=limit_range,
    validate_update=range_changed,
    creates_on_update=True,
    has_generation=False,
)
QUOTA = Strategy(
    default=quota_default,
    validate=quota,
    validate_update=quota_changed,
    parts={"status": Part(validate=quota_status)},
    has_generation=False,
    returns_deleted=True,
)
