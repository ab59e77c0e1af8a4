"""Requests and limits of containers and pods."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.invalid import (
    Cause,
    bad,
    duplicate,
    forbidden,
    not_found_value,
    required,
    unsupported,
)
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.objects import quantity

Obj = dict[str, Any]

KNOWN, SHORT = 1024, 64
"""So many amounts of so many characters are known to be right: nodes and pods have the same few of them."""
HUGE = "hugepages-"
COMPUTE = ("cpu", "memory")
COUNTED: tuple[str, ...] = (
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
)
COUNTED += ("persistentvolumeclaims", "services.nodeports", "services.loadbalancers")
QUOTA = {"cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage"}
QUOTA |= {"requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage", *COUNTED}
STANDARD = QUOTA | {"storage"}
OF_CONTAINERS = ("cpu", "memory", "ephemeral-storage")
NOT_INTEGER = "must be an integer"


def is_huge(name: str) -> bool:
    """Huge pages of some size."""
    return name.startswith(HUGE)


def is_quota_huge(name: str) -> bool:
    """Huge pages as a quota names them."""
    return name.startswith((HUGE, f"requests.{HUGE}"))


def is_native(name: str) -> bool:
    """Kubernetes' own resource."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """A resource of a device plugin."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not names.qualified(f"requests.{name}")


def overcommitted(name: str) -> bool:
    """Whether requests may be below limits."""
    return is_native(name) and not is_huge(name)


def amount(name: str, value: str, path: str) -> list[Cause]:
    """A quantity of a resource (ValidateResourceQuantityValue)."""
    if len(name) + len(value) <= SHORT and _is_amount(name, value):
        return []
    return _wrong_amount(name, value, path)


@lru_cache(maxsize=KNOWN)
def _is_amount(name: str, value: str) -> bool:
    return not _wrong_amount(name, value, "")


def _wrong_amount(name: str, value: str, path: str) -> list[Cause]:
    number = quantity.parse(value)
    causes = [bad(path, value, checks.NEGATIVE)] if number < 0 else []
    if (name in COUNTED or is_extended(name)) and number != number.to_integral_value():
        causes.append(bad(path, value, NOT_INTEGER))
    return causes


def resource_name(name: str, path: str) -> list[Cause]:
    """Any resource."""
    causes = checks.label_name(name, path)
    if not causes and "/" not in name and name not in STANDARD and not is_quota_huge(name):
        causes.append(bad(path, name, "must be a standard resource type or fully qualified"))
    return causes


def container_resource(name: str, path: str) -> list[Cause]:
    """What a container may ask for."""
    causes = resource_name(name, path)
    if "/" not in name:
        if name not in OF_CONTAINERS and not is_huge(name):
            causes.append(bad(path, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        causes.append(bad(path, name, "doesn't follow extended resource name standard"))
    return causes


def pod_resource(name: str, path: str) -> list[Cause]:
    """What a whole pod may ask for."""
    causes = resource_name(name, path)
    if not causes and name not in COMPUTE and not is_huge(name):
        causes.append(unsupported(path, name, ["cpu", HUGE, "memory"]))
    return causes


def quota_resource(name: str, path: str) -> list[Cause]:
    """What a quota may limit."""
    causes = resource_name(name, path)
    if "/" not in name and name not in QUOTA and not is_quota_huge(name):
        causes.append(bad(path, name, "must be a standard resource for quota"))
    return causes


def _divisible(name: str, value: str) -> bool:
    try:
        page = quantity.parse(name.removeprefix(HUGE))
    except ValueError:
        return False
    number = quantity.parse(value)
    return page > 0 and number % page == 0


def _huge(name: str, value: str, path: str) -> list[Cause]:
    if not is_huge(name) or _divisible(name, value):
        return []
    return [bad(path, value, f"{value} is not positive integer multiple of {name}")]


def requirements(
    found: Obj,
    path: str,
    claims: Iterable[str],
    check: Callable[[str, str], list[Cause]] = container_resource,
) -> list[Cause]:
    """ResourceRequirements."""
    limits, requests = found.get("limits") or {}, found.get("requests") or {}
    if not limits and not requests and not found.get("claims"):
        return []
    causes: list[Cause] = []
    for name, value in limits.items():
        field = f"{path}.limits[{name}]"
        causes += check(name, field) + amount(name, value, field) + _huge(name, value, field)
    for name, value in requests.items():
        field = f"{path}.requests[{name}]"
        causes += check(name, field) + amount(name, value, field)
        causes += _against_limit(name, value, limits.get(name), path) + _huge(name, value, field)
    every = {*limits, *requests}
    if any(map(is_huge, every)) and not every & {"cpu", "memory"}:
        causes.append(forbidden(path, "HugePages require cpu or memory"))
    return causes + _claims(found.get("claims") or [], set(claims), f"{path}.claims")


def _against_limit(name: str, value: str, limit: str | None, path: str) -> list[Cause]:
    if limit is None:
        text = "Limit must be set for non overcommitable resources"
        return [] if overcommitted(name) else [required(f"{path}.limits", text)]
    mine, theirs = quantity.parse(value), quantity.parse(limit)
    if mine != theirs and not overcommitted(name):
        return [bad(f"{path}.requests", value, f"must be equal to {name} limit of {limit}")]
    if mine > theirs:
        return [bad(f"{path}.requests", value, f"must be less than or equal to {name} limit of {limit}")]
    return []


def _claims(claims: list[Obj], known: set[str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, claim in enumerate(claims):
        field, name, request = f"{path}[{position}]", claim.get("name") or "", claim.get("request") or ""
        if not name:
            causes.append(required(field))
            continue
        key = f"{name}/{request}" if request else name
        if name in seen:
            causes.append(duplicate(field, name))
        else:
            if request:
                causes += checks.dns_label(request, f"{field}.request")
            if key in seen:
                causes.append(duplicate(field, key))
            elif not request:
                causes += [duplicate(field, name) for item in seen if item.startswith(f"{name}/")]
            seen.add(key)
        if name not in known:
            text = "must be one of the names in pod.spec.resourceClaims"
            text += f": {', '.join(sorted(known))}" if known else " which is empty"
            causes.append(not_found_value(field, name, text))
    return causes


def aggregate(spec: Obj, field: str) -> dict[str, Decimal]:
    """What all containers together ask for: the larger of the init phase and the run phase."""
    total: dict[str, Decimal] = {}
    for container in spec.get("containers") or ():
        _add(total, _amounts(container, field))
    sidecars: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        own = _amounts(container, field)
        if container.get("restartPolicy") == "Always":
            _add(total, own)
            _add(sidecars, own)
            own = dict(sidecars)
        else:
            _add(own, sidecars)
        for name, value in own.items():
            peak[name] = max(peak.get(name, value), value)
    return {name: max(total.get(name, Decimal(0)), peak.get(name, Decimal(0))) for name in {**total, **peak}}


def _amounts(container: Obj, field: str) -> dict[str, Decimal]:
    found = (container.get("resources") or {}).get(field) or {}
    return {name: quantity.parse(value) for name, value in found.items()}


def _add(total: dict[str, Decimal], more: dict[str, Decimal]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, Decimal(0)) + value


def pod_level(spec: Obj, claims: Iterable[str], path: str) -> list[Cause]:
    """`spec.resources`."""
    found = spec.get("resources")
    if found is None:
        return []
    field = f"{path}.resources"
    if (spec.get("os") or {}).get("name") == "windows":
        return [forbidden(field, "may not be set for a windows pod")]
    causes: list[Cause] = []
    if "claims" in found:
        causes.append(forbidden(f"{field}.claims", "claims may not be set for Resources at pod-level"))
    return causes + requirements(found, field, claims, pod_resource) + _consistent(spec, found, field)


def _consistent(spec: Obj, found: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for name, value in aggregate(spec, "requests").items():
        own = (found.get("requests") or {}).get(name)
        if own is not None and value > quantity.parse(own):
            text = f"must be greater than or equal to aggregate container requests of {text_of(name, value)}"
            causes.append(bad(f"{path}.requests[{name}]", own, text))
    limits = found.get("limits") or {}
    for name, value in aggregate(spec, "limits").items():
        if is_huge(name) and name in limits and value > quantity.parse(limits[name]):
            text = f"must be greater than or equal to aggregate container limits of {text_of(name, value)}"
            causes.append(bad(f"{path}.limits[{name}]", limits[name], text))
    for position, container in enumerate(spec.get("containers") or ()):
        for name, limit in ((container.get("resources") or {}).get("limits") or {}).items():
            if name in limits and quantity.parse(limit) > quantity.parse(limits[name]):
                text = f"must be less than or equal to pod limits of {limits[name]}"
                causes.append(bad(f"{path}.containers[{position}][{name}].limits", limit, text))
    return causes


def text_of(name: str, value: Decimal) -> str:
    """A computed amount as a quantity: in powers of two for bytes, where that is exact."""
    whole = value == value.to_integral_value()
    if name not in ("cpu",) and whole and value % 1024 == 0:
        return quantity.canonical(f"{int(value) // 1024}Ki")
    return quantity.canonical(quantity.text_of(value))
