"""What `keadm node` does with Node objects."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, replace
from typing import Any

from edgelab.daemon.clock import SYSTEM, Clock, parse_rfc3339
from edgelab.keadm.report import Failure
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import LEASE_NAMESPACE, LEASES, NODES
from edgelab.objects.status import ApiError

POLL = 0.5
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
LABEL = re.compile(r"(?P<key>[A-Za-z0-9][A-Za-z0-9._/-]*)(?:=(?P<value>[A-Za-z0-9._-]*)|(?P<gone>-))")
TAINT = re.compile(
    r"(?P<key>[A-Za-z0-9][A-Za-z0-9._/-]*?)(?:=(?P<value>[A-Za-z0-9._-]*))?(?::(?P<effect>[A-Za-z]+))?(?P<gone>-)?"
)
NEVER_SEEN = (
    "the API server knows no such node: either EdgeCore never reached CloudCore "
    "(look at `journalctl -u edgecore` on the node), or it does not register itself and nobody created it"
)


@dataclass(frozen=True, slots=True)
class Node:
    """A node as found or as left: `object` is None when there is none; `reason` says why it is not ready.

    `silent` says why its condition Ready cannot be trusted; it is empty unless the lease was looked at.
    """

    name: str
    object: Obj | None
    changed: bool = False
    silent: str = ""

    @property
    def ready(self) -> bool:
        """Whether the condition Ready is True, and no old one."""
        return not self.silent and _ready_condition(self.object).get("status") == "True"

    @property
    def reason(self) -> str:
        """Why the node is not Ready; empty when it is."""
        if self.ready:
            return ""
        if self.object is None:
            return NEVER_SEEN
        if self.silent:
            return self.silent
        condition = _ready_condition(self.object)
        if not condition:
            return "the node has never reported its status: EdgeCore has not connected to CloudCore"
        return (
            ": ".join(filter(None, (condition.get("reason"), condition.get("message")))) or "no reason given"
        )


def _ready_condition(node: Obj | None) -> Obj:
    conditions = ((node or {}).get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == "Ready"), {})


async def find(api: KubeApi, name: str) -> Node:
    """The node, which need not exist."""
    try:
        return Node(name, await api.get(NODES, name))
    except ApiError as error:
        if error.code == 404:
            return Node(name, None)
        raise


async def wait_ready(
    api: KubeApi, name: str, *, seconds: float, lease_age: float = 0, clock: Clock = SYSTEM
) -> Node:
    """The node once it is Ready, or as it is after that many seconds.

    A condition may say True for 50 s after EdgeCore died. With `lease_age` its lease must have been renewed
    within so many seconds besides, or be renewed while we wait, which no difference of clocks can hide.
    """
    deadline = clock.monotonic() + seconds
    first: str | None = None
    while True:
        node = await find(api, name)
        if lease_age and node.ready:
            renewed = await _renewed(api, name)
            first = renewed if first is None else first
            if renewed == first:
                node = replace(node, silent=_silence(renewed, lease_age, clock.now()))
        if node.ready or clock.monotonic() >= deadline:
            return node
        await clock.sleep(POLL)


async def heard_of(api: KubeApi, name: str, clock: Clock = SYSTEM) -> float | None:
    """Seconds since the node renewed its lease; None when it never did. Raises ApiError."""
    renewed = await _renewed(api, name)
    return (clock.now() - parse_rfc3339(renewed)).total_seconds() if renewed else None


async def _renewed(api: KubeApi, name: str) -> str:
    """When the node renewed its lease, as it wrote it; empty when it never did."""
    try:
        lease = await api.get(LEASES, name, LEASE_NAMESPACE)
    except ApiError as error:
        if error.code == 404:
            return ""
        raise
    return (lease.get("spec") or {}).get("renewTime") or ""


def _silence(renewed: str, lease_age: float, now: dt.datetime) -> str:
    if not renewed:
        return f"it has never renewed its lease ({LEASE_NAMESPACE}): EdgeCore does not run"
    age = (now - parse_rfc3339(renewed)).total_seconds()
    if age <= lease_age:
        return ""
    return (
        f"its condition says Ready, but its lease was renewed {age:.0f} s ago and not within"
        f" {lease_age:.0f} s: EdgeCore has stopped or lost the cloud"
    )


async def cordon(api: KubeApi, name: str, *, cordoned: bool, check: bool) -> Node:
    """Keep new pods away from a node, or let them come again. Raises Failure when there is no such node."""
    node = await find(api, name)
    if node.object is None:
        raise Failure(f"node {name}: {NEVER_SEEN}")
    if bool((node.object.get("spec") or {}).get("unschedulable")) == cordoned:
        return node
    patch = {"spec": {"unschedulable": True if cordoned else None}}
    return Node(name, node.object if check else await api.patch(NODES, name, patch), changed=True)


async def register(api: KubeApi, name: str, labels: list[str], taints: list[str], *, check: bool) -> Node:
    """Create the Node when it is missing, then see to labels and taints. Raises Failure, ApiError."""
    node = await find(api, name)
    if node.object is not None:
        return await update(api, name, labels, taints, check=check)
    wanted, _ = parse_labels(labels)
    obj = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "node-role.kubernetes.io/edge": "",
                "node-role.kubernetes.io/agent": "",
                **wanted,
            },
        },
        "spec": {"taints": merge_taints([], taints)} if taints else {},
    }
    return Node(name, obj if check else await api.create(NODES, obj), changed=True)


async def update(api: KubeApi, name: str, labels: list[str], taints: list[str], *, check: bool) -> Node:
    """Set and remove labels and taints; others stay. Raises Failure when there is no such node."""
    node = await find(api, name)
    if node.object is None:
        raise Failure(f"node {name}: {NEVER_SEEN}")
    patch = _patch(node.object, labels, taints)
    if not patch:
        return node
    return Node(name, node.object if check else await api.patch(NODES, name, patch), changed=True)


def _patch(node: Obj, labels: list[str], taints: list[str]) -> Obj:
    wanted, gone = parse_labels(labels)
    current = node["metadata"].get("labels") or {}
    changes: dict[str, Any] = {key: value for key, value in wanted.items() if current.get(key) != value}
    changes.update({key: None for key in gone if key in current})
    patch: Obj = {"metadata": {"labels": changes}} if changes else {}
    before = (node.get("spec") or {}).get("taints") or []
    after = merge_taints(before, taints)
    if after != before:
        patch["spec"] = {"taints": after or None}
    return patch


async def delete(api: KubeApi, name: str, *, check: bool) -> Node:
    """Delete the Node object if it is there."""
    node = await find(api, name)
    if node.object is None:
        return node
    if not check:
        await api.delete(NODES, name)
    return Node(name, None, changed=True)


def parse_labels(texts: list[str]) -> tuple[dict[str, str], list[str]]:
    """Labels to set, and keys to remove (`key-`). Raises Failure."""
    wanted: dict[str, str] = {}
    gone: list[str] = []
    for text in texts:
        match = LABEL.fullmatch(text)
        if match is None:
            raise Failure(f"label {text!r}: expected key=value, or key- to remove it")
        if match["gone"]:
            gone.append(match["key"])
        else:
            wanted[match["key"]] = match["value"]
    return wanted, gone


def merge_taints(current: list[Obj], texts: list[str]) -> list[Obj]:
    """`current` with taints set or removed; a taint is identified by key and effect. Raises Failure."""
    taints = list(current)
    for text in texts:
        key, value, effect, gone = _parse_taint(text)
        matching = [t for t in taints if t["key"] == key and effect in ("", t["effect"])]
        new = {"key": key, **({"value": value} if value else {}), "effect": effect}
        if gone:
            taints = [t for t in taints if t not in matching]
        elif not matching:
            taints.append(new)
        elif matching[0].get("value", "") != value:
            taints[taints.index(matching[0])] = new
    return taints


def _parse_taint(text: str) -> tuple[str, str, str, bool]:
    match = TAINT.fullmatch(text)
    gone = bool(match and match["gone"])
    if match is None or (match["effect"] or (EFFECTS[0] if gone else "")) not in EFFECTS:
        raise Failure(
            f"taint {text!r}: expected key[=value]:Effect with {', '.join(EFFECTS)}, or key[:Effect]-"
        )
    return match["key"], match["value"] or "", match["effect"] or "", gone
