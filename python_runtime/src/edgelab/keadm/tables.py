"""Objects as kubectl prints them: a table with a line each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from edgelab.daemon.clock import parse_rfc3339

Obj = dict[str, Any]
Column = Callable[[Obj], str]


def age(obj: Obj, now: dt.datetime) -> str:
    """How old it is, as kubectl writes it: 45s, 12m, 5h, 3d."""
    text = obj["metadata"].get("creationTimestamp")
    if not text:
        return "<unknown>"
    seconds = max(0, int((now - parse_rfc3339(text)).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def pod_state(pod: Obj) -> str:
    """The word in kubectl's STATUS column (kubectl `printers/internalversion`, printPod)."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for one in status.get("containerStatuses") or []:
        state = one.get("state") or {}
        for kind in ("waiting", "terminated"):
            if (state.get(kind) or {}).get("reason"):
                return str(state[kind]["reason"])
    return str(status.get("reason") or status.get("phase") or "Unknown")


def _ready(pod: Obj) -> str:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    wanted = len((pod.get("spec") or {}).get("containers") or [])
    return f"{sum(bool(one.get('ready')) for one in statuses)}/{wanted}"


def _restarts(pod: Obj) -> str:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return str(sum(int(one.get("restartCount") or 0) for one in statuses))


def _node_state(node: Obj) -> str:
    conditions = (node.get("status") or {}).get("conditions") or []
    ready: Obj = next((one for one in conditions if one.get("type") == "Ready"), {})
    word = {"True": "Ready", "False": "NotReady"}.get(str(ready.get("status")), "Unknown")
    return f"{word},SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else word


def _address(node: Obj) -> str:
    addresses = (node.get("status") or {}).get("addresses") or []
    return next((str(one["address"]) for one in addresses if one.get("type") == "InternalIP"), "<none>")


def _ports(service: Obj) -> str:
    ports = (service.get("spec") or {}).get("ports") or []
    return ",".join(f"{one.get('port')}/{one.get('protocol', 'TCP')}" for one in ports) or "<none>"


def _backends(endpoints: Obj) -> str:
    found = [
        f"{address.get('ip')}:{port.get('port')}"
        for subset in endpoints.get("subsets") or []
        for address in subset.get("addresses") or []
        for port in subset.get("ports") or [{}]
    ]
    return ",".join(found) or "<none>"


def _of(part: str, key: str, missing: str = "<none>") -> Column:
    return lambda obj: str((obj.get(part) or {}).get(key) or missing)


def _count(*keys: str) -> Column:
    return lambda obj: str(sum(len(obj.get(key) or {}) for key in keys))


COLUMNS: dict[str, dict[str, Column]] = {
    "pod": {"READY": _ready, "STATUS": pod_state, "RESTARTS": _restarts},
    "node": {"STATUS": _node_state, "VERSION": lambda n: str(_info(n).get("kubeletVersion") or "<unknown>")},
    "service": {"TYPE": _of("spec", "type"), "CLUSTER-IP": _of("spec", "clusterIP"), "PORT(S)": _ports},
    "secret": {"TYPE": lambda secret: str(secret.get("type") or "Opaque"), "DATA": _count("data")},
    "configmap": {"DATA": _count("data", "binaryData")},
    "endpoints": {"ENDPOINTS": _backends},
    "lease": {"HOLDER": _of("spec", "holderIdentity")},
    "device": {"MODEL": lambda device: str(_reference(device).get("name") or "<none>")},
}
WIDE: dict[str, dict[str, Column]] = {
    "pod": {"IP": _of("status", "podIP"), "NODE": _of("spec", "nodeName")},
    "node": {
        "INTERNAL-IP": _address,
        "CONTAINER-RUNTIME": lambda n: str(_info(n).get("containerRuntimeVersion")),
    },
}


def _info(node: Obj) -> Obj:
    return (node.get("status") or {}).get("nodeInfo") or {}


def _reference(device: Obj) -> Obj:
    return (device.get("spec") or {}).get("deviceModelRef") or {}


def table(kind: str, objects: list[Obj], now: dt.datetime, *, wide: bool, namespaces: bool) -> str:
    """All of one kind."""
    columns: dict[str, Column] = {"NAMESPACE": _of("metadata", "namespace")} if namespaces else {}
    columns |= {"NAME": _of("metadata", "name"), **COLUMNS.get(kind, {})}
    columns |= {"AGE": lambda obj: age(obj, now)}
    columns |= WIDE.get(kind, {}) if wide else {}
    return aligned([list(columns), *([column(obj) for column in columns.values()] for obj in objects)])


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Cells in columns, three blanks between them."""
    widths = [max(len(line[number]) for line in lines) for number in range(len(lines[0]))]
    padded = (
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    return "\n".join(padded)
