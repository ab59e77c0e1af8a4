"""Quality of service (`pkg/apis/core/helper/qos`)."""

from __future__ import annotations

from typing import Any

from edgelab.objects import quantity

Obj = dict[str, Any]

COUNTED = ("cpu", "memory")


def of(spec: Obj) -> str:
    """Guaranteed, Burstable or BestEffort."""
    pod = spec.get("resources") or {}
    if pod.get("requests") or pod.get("limits"):
        holders = [pod]
    else:
        every = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
        holders = [container.get("resources") or {} for container in every]
    guaranteed, any_set = bool(holders), False
    for found in holders:
        limits, requests = (_counted(found.get(field) or {}) for field in ("limits", "requests"))
        any_set = any_set or bool(limits or requests)
        equal = all(quantity.parse(requests.get(k, "0")) == quantity.parse(v) for k, v in limits.items())
        guaranteed = guaranteed and limits.keys() == set(COUNTED) and equal
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _counted(amounts: Obj) -> Obj:
    return {name: value for name, value in amounts.items() if name in COUNTED and quantity.parse(value) > 0}
