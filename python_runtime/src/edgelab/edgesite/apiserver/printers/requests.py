"""Who may ask for how much: flow control; and devices that pods ask for."""

from __future__ import annotations

import datetime as dt
from typing import Any

from edgelab.edgesite.apiserver.printers.base import NONE, created

Obj = dict[str, Any]

FLOWS = "flowcontrol.apiserver.k8s.io"


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


PRINTERS = {
    (FLOWS, "FlowSchema"): flow_schema,
    (FLOWS, "PriorityLevelConfiguration"): priority_level,
}
ORDERS = {(FLOWS, "FlowSchema"): by_precedence}
