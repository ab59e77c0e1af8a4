"""What the page shows of an object: small rows, and nothing else of it.

Specs and annotations may hold secrets (an environment variable, a device's password); what is not named here
never reaches a browser. Times are milliseconds since 1970, 0 where there is none; the browser makes ages of
them.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from edgelab.daemon.clock import parse_rfc3339
from edgelab.kube.interface import Obj

Row: TypeAlias = dict[str, Any]

LONGEST = 256
"""Characters of a text; a longer one ends in an ellipsis."""
MOST = 100
"""Images of a pod, properties of a device."""
ROLE = "node-role.kubernetes.io/"


def node_row(node: Obj, lease: Obj | None) -> Row:
    """A node, and when it gave its last sign of life."""
    metadata, status = node["metadata"], node.get("status") or {}
    info = status.get("nodeInfo") or {}
    ready: Obj = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), {})
    numbers = (a for a in status.get("addresses") or () if a.get("type") != "Hostname")
    return {
        "name": metadata["name"],
        "ready": {"True": True, "False": False}.get(ready.get("status", "")),
        "reason": _text(ready.get("message") or ready.get("reason") or "no status was reported yet"),
        "schedulable": not (node.get("spec") or {}).get("unschedulable", False),
        "roles": sorted(key[len(ROLE) :] for key in metadata.get("labels") or () if key.startswith(ROLE)),
        "version": _text(info.get("kubeletVersion")),
        "runtime": _text(info.get("containerRuntimeVersion")),
        "system": _text(" ".join(filter(None, (info.get("osImage"), info.get("architecture"))))),
        "addresses": list(dict.fromkeys(_text(a.get("address")) for a in numbers))[:MOST],
        "lease": milliseconds(((lease or {}).get("spec") or {}).get("renewTime")),
        "created": milliseconds(metadata.get("creationTimestamp")),
    }


def pod_row(pod: Obj) -> Row:
    """A pod with the word for its state that kubectl prints."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    states = status.get("containerStatuses") or []
    return {
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "node": spec.get("nodeName") or "",
        "phase": status.get("phase") or "Unknown",
        "state": _state(metadata, status, [*(status.get("initContainerStatuses") or []), *states]),
        "ready": [sum(bool(s.get("ready")) for s in states), len(spec.get("containers") or ())],
        "restarts": sum(s.get("restartCount") or 0 for s in states),
        "containers": [str(c.get("name") or "") for c in spec.get("containers") or ()][:MOST],
        "images": [_text(c.get("image")) for c in spec.get("containers") or ()][:MOST],
        "created": milliseconds(metadata.get("creationTimestamp")),
    }


def _state(metadata: Obj, status: Obj, containers: list[Obj]) -> str:
    """What a container waits for or ended with says more than the phase (kubectl: printPod)."""
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    if status.get("reason"):
        return _text(status["reason"])
    for container in containers:
        now = container.get("state") or {}
        waiting, ended = now.get("waiting") or {}, now.get("terminated") or {}
        if waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return _text(waiting["reason"])
        if ended.get("exitCode"):
            return _text(ended.get("reason") or "Error")
    return _text(status.get("phase") or "Unknown")


def device_row(device: Obj, status: Obj | None, model: Obj | None) -> Row:
    """A device with its twins: what is desired, what was reported, and when."""
    metadata, spec = device["metadata"], device.get("spec") or {}
    now = (status or {}).get("status") or {}
    return {
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "node": spec.get("nodeName") or "",
        "model": (spec.get("deviceModelRef") or {}).get("name") or "",
        "protocol": _text((spec.get("protocol") or {}).get("protocolName")),
        "state": _text(now.get("state")),
        "online": milliseconds(now.get("lastOnlineTime")),
        "created": milliseconds(metadata.get("creationTimestamp")),
        "twins": _twins(spec.get("properties") or [], now.get("twins") or [], _described(model)),
    }


def _described(model: Obj | None) -> dict[str, Obj]:
    return {p.get("name", ""): p for p in ((model or {}).get("spec") or {}).get("properties") or ()}


def _twins(wanted: list[Obj], reported: list[Obj], described: dict[str, Obj]) -> list[Row]:
    desired = {p.get("name", ""): p.get("desired") or {} for p in wanted}
    found = {t.get("propertyName", ""): t for t in reported}
    names = list(dict.fromkeys([*desired, *found, *described]))[:MOST]
    return [_twin(name, *(known.get(name, {}) for known in (desired, found, described))) for name in names]


def _twin(name: str, desired: Obj, twin: Obj, about: Obj) -> Row:
    now = twin.get("reported") or {}
    wish = desired or twin.get("observedDesired") or {}
    return {
        "name": _text(name),
        "desired": _text(wish.get("value")),
        "reported": _text(now.get("value")),
        "at": _stamp((now.get("metadata") or {}).get("timestamp")),
        "unit": _text(about.get("unit")),
        "type": _text(about.get("type")),
        "access": _text(about.get("accessMode")),
    }


def _text(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _stamp(value: object) -> int:
    """Twins carry milliseconds as text (docs/reference/devices.md)."""
    text = str(value or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 17 else 0


def milliseconds(text: object) -> int:
    """A time of the API as a number; 0 for none."""
    try:
        return int(parse_rfc3339(str(text)).timestamp() * 1000) if text else 0
    except ValueError:
        return 0
