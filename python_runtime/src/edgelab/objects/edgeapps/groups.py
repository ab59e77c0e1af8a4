"""Which nodes a NodeGroup selects, and what becomes of each.

Facts: KubeEdge `nodegroupcontroller.go`. Other than there, a label of a group that is gone does not keep a
node from its next one, and the zone that somebody else gave a node is left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

from edgelab.objects.edgeapps.names import BELONGING_TO, ZONE
from edgelab.objects.labelselectors import from_labels
from edgelab.objects.metadata import condition, labels

Obj: TypeAlias = dict[str, Any]

READY = {"True": "Ready", "False": "NotReady"}


def selects(group: Obj, node: Obj) -> bool:
    """Whether the group names the node or selects it by its labels; without matchLabels, by none."""
    spec = group.get("spec") or {}
    if node["metadata"]["name"] in (spec.get("nodes") or ()):
        return True
    return from_labels(spec.get("matchLabels")).matches(labels(node))


def kept_by(group: Obj, node: Obj, groups: Mapping[str, Obj]) -> str | None:
    """The other one of `groups` (by name) that has the node; None when it is free or in `group` already.

    A group that is being deleted, or does not select the node any more, lets it go itself, first.
    """
    owner = labels(node).get(BELONGING_TO)
    return owner if owner and owner != group["metadata"]["name"] and owner in groups else None


def joined(group: Obj, node: Obj) -> dict[str, str | None]:
    """The changes (a merge patch) of the node's labels that make it one of the group's; empty when it is."""
    name, present = group["metadata"]["name"], labels(node)
    wanted: dict[str, str | None] = {BELONGING_TO: name}
    if (group.get("spec") or {}).get("topologyEnabled"):
        wanted[ZONE] = name
    elif present.get(ZONE) in (name, present.get(BELONGING_TO)):
        wanted[ZONE] = None
    return {key: value for key, value in wanted.items() if present.get(key) != value}


def left(group: str, node: Obj) -> dict[str, str | None]:
    """The changes of the labels of a node that is in the group no more."""
    changes: dict[str, str | None] = {BELONGING_TO: None}
    if labels(node).get(ZONE) == group:
        changes[ZONE] = None
    return changes


def is_pinned(pod: Obj, node: str, group: str) -> bool:
    """Whether the pod runs on the node because the node was one of the group's."""
    spec = pod.get("spec") or {}
    return spec.get("nodeName") == node and (spec.get("nodeSelector") or {}).get(BELONGING_TO) == group


def statuses(group: Obj, nodes: Collection[Obj], refused: Mapping[str, str]) -> list[Obj]:
    """`status.nodeStatuses`, by name: `nodes` are those selected, `refused` says why one could not join."""
    found = {node["metadata"]["name"]: _status(node, refused) for node in nodes}
    for name in (group.get("spec") or {}).get("nodes") or ():
        found.setdefault(
            name,
            {
                "nodeName": name,
                "readyStatus": "Unknown",
                "selectionStatus": "Failed",
                "selectionStatusReason": "node does not exist",
            },
        )
    return [found[name] for name in sorted(found)]


def _status(node: Obj, refused: Mapping[str, str]) -> Obj:
    name, ready = node["metadata"]["name"], condition(node, "Ready") or {}
    status = {
        "nodeName": name,
        "readyStatus": READY.get(ready.get("status", ""), "Unknown"),
        "selectionStatus": "Failed" if name in refused else "Succeeded",
    }
    return {**status, "selectionStatusReason": refused[name]} if name in refused else status
