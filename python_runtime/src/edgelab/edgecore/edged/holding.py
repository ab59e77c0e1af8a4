"""Pods that wait for a word before they start: KubeEdge's hold of upgrades.

A pod with the annotation `edge.kubeedge.io/hold-upgrade: "true"` that comes new and Pending is not started
but says so in a condition, until somebody at the node releases it (`POST .../unhold-upgrade` of MetaServer),
the annotation goes, or EdgeCore starts again. So a new version waits for the plant's own moment.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from edgelab.daemon.clock import rfc3339
from edgelab.edgecore.edged import podspec

Obj = dict[str, Any]

ANNOTATION = "edge.kubeedge.io/hold-upgrade"
CONDITION = "HeldUpgrade"


def is_asked_for(pod: Obj) -> bool:
    """Whether the pod wants to wait, and nothing of it has run yet."""
    noted = (pod["metadata"].get("annotations") or {}).get(ANNOTATION) == "true"
    phase = (pod.get("status") or {}).get("phase") or "Pending"
    return noted and phase == "Pending" and not podspec.terminating(pod)


def held_status(pod: Obj, before: Obj, now: dt.datetime) -> Obj:
    """The status of a pod that waits."""
    return {
        "phase": "Pending",
        "conditions": [
            condition("True", before, now),
            *(c for c in before.get("conditions") or [] if c.get("type") == "PodScheduled"),
        ],
        "qosClass": podspec.qos_class(pod),
    }


def condition(status: str, before: Obj, now: dt.datetime) -> Obj:
    """The condition; its time stays while it does not change."""
    old: Obj = next((c for c in before.get("conditions") or [] if c.get("type") == CONDITION), {})
    since = old.get("lastTransitionTime") if old.get("status") == status else None
    return {
        "type": CONDITION,
        "status": status,
        "lastProbeTime": None,
        "lastTransitionTime": since or rfc3339(now),
    }


def was_held(pod: Obj, before: Obj) -> bool:
    """Whether the API may still call the pod held."""
    known = [*(before.get("conditions") or []), *((pod.get("status") or {}).get("conditions") or [])]
    return any(c.get("type") == CONDITION for c in known)
