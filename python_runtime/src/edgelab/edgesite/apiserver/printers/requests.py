"""Who may ask for how much: flow control; and devices that pods ask for."""

from __future__ import annotations

import datetime as dt
from typing import Any

from edgelab.edgesite.apiserver.printers.base import NONE, created

Obj = dict[str, Any]

FLOWS, DEVICES = "flowcontrol.apiserver.k8s.io", "resource.k8s.io"


def flow_schema(obj: Obj, now: dt.datetime) -> list[Any]:
    """A FlowSchema's row."""
    spec = obj.get("spec") or {}
    conditions = (obj.get("status") or {}).get("conditions") or ()
    dangling = next((item.get("status") for item in conditions if item.get("type") == "Dangling"), "?")
    return [
        obj["metadata"]["name"],
        (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        spec.get("matchingPrecedence", 0),
        (spec.get("distinguisherMethod") or {}).get("type", NONE),
        created(obj, now),
        dangling,
    ]


def by_precedence(obj: Obj) -> tuple[int, str]:
    """FlowSchemas are listed as they are asked."""
    return int((obj.get("spec") or {}).get("matchingPrecedence") or 0), obj["metadata"]["name"]


def priority_level(obj: Obj, now: dt.datetime) -> list[Any]:
    """A PriorityLevelConfiguration's row."""
    spec = obj.get("spec") or {}
    limited = spec.get("limited") or {}
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    return [
        obj["metadata"]["name"],
        spec.get("type", ""),
        limited.get("nominalConcurrencyShares", NONE),
        *(queuing.get(field, NONE) for field in ("queues", "handSize", "queueLengthLimit")),
        created(obj, now),
    ]


def device_claim(obj: Obj, now: dt.datetime) -> list[Any]:
    """A ResourceClaim's row."""
    status, deleted = obj.get("status") or {}, bool(obj["metadata"].get("deletionTimestamp"))
    states = ["deleted"] if deleted else []
    if status.get("allocation") is not None:
        states += ["allocated", "reserved"] if status.get("reservedFor") else ["allocated"]
    elif not deleted:
        states.append("pending")
    return [obj["metadata"]["name"], ",".join(states), created(obj, now)]


def device_slice(obj: Obj, now: dt.datetime) -> list[Any]:
    """A ResourceSlice's row."""
    spec = obj.get("spec") or {}
    where = [spec.get("nodeName") or "", spec.get("driver", ""), (spec.get("pool") or {}).get("name", "")]
    return [obj["metadata"]["name"], *where, created(obj, now)]


def aged(obj: Obj, now: dt.datetime) -> list[Any]:
    """A row of name and age."""
    return [obj["metadata"]["name"], created(obj, now)]


PRINTERS = {
    (DEVICES, "DeviceClass"): aged,
    (DEVICES, "ResourceClaim"): device_claim,
    (DEVICES, "ResourceClaimTemplate"): aged,
    (DEVICES, "ResourceSlice"): device_slice,
    (FLOWS, "FlowSchema"): flow_schema,
    (FLOWS, "PriorityLevelConfiguration"): priority_level,
}
ORDERS = {(FLOWS, "FlowSchema"): by_precedence}
