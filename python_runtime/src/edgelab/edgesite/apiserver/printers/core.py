"""Pods, nodes, services and the rest of the core group."""

from __future__ import annotations

import datetime as dt
from typing import Any

from edgelab.edgesite.apiserver.printers.base import NONE, age, created, joined, pairs

Obj = dict[str, Any]

ROLE = "node-role.kubernetes.io/"
MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def pod_reason(pod: Obj) -> str:
    """The STATUS column of a pod."""
    status = pod.get("status") or {}
    reason = status.get("reason") or status.get("phase") or "Unknown"
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    initializing = _initializing(pod)
    reason = initializing or _running(status, reason)
    if pod["metadata"].get("deletionTimestamp"):
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return reason


def _initializing(pod: Obj) -> str:
    status, total = pod.get("status") or {}, len((pod.get("spec") or {}).get("initContainers") or ())
    for position, container in enumerate(status.get("initContainerStatuses") or ()):
        state = container.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if ended is not None and not ended.get("exitCode"):
            continue
        if ended is not None:
            return f"Init:{ended.get('reason') or _exit(ended)}"
        if waiting.get("reason") not in (None, "PodInitializing"):
            return f"Init:{waiting['reason']}"
        return f"Init:{position}/{total}"
    return ""


def _exit(ended: Obj) -> str:
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _running(status: Obj, reason: str) -> str:
    running = False
    for container in reversed(status.get("containerStatuses") or ()):
        state = container.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            reason = waiting["reason"]
        elif ended is not None:
            reason = ended.get("reason") or _exit(ended)
        elif container.get("ready") and "running" in state:
            running = True
    if reason == "Completed" and running:
        ready = any(
            c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ()
        )
        return "Running" if ready else "NotReady"
    return reason


def _restarts(status: Obj, now: dt.datetime) -> str:
    count, last = 0, ""
    for container in status.get("containerStatuses") or ():
        count += container.get("restartCount", 0)
        ended = ((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        last = max(last, ended)
    return f"{count} ({age(last, now)} ago)" if count and last else str(count)


def pod(obj: Obj, now: dt.datetime) -> list[Any]:
    """A pod's row."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    statuses = status.get("containerStatuses") or []
    ready = sum(bool(item.get("ready")) and "running" in (item.get("state") or {}) for item in statuses)
    gates = spec.get("readinessGates") or []
    conditions = {item.get("type"): item.get("status") for item in status.get("conditions") or ()}
    passed = sum(conditions.get(gate["conditionType"]) == "True" for gate in gates)
    addresses = status.get("podIPs") or []
    return [
        obj["metadata"]["name"],
        f"{ready}/{len(spec.get('containers') or ())}",
        pod_reason(obj),
        _restarts(status, now),
        created(obj, now),
        addresses[0].get("ip") if addresses else status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        f"{passed}/{len(gates)}" if gates else NONE,
    ]


def node(obj: Obj, now: dt.datetime) -> list[Any]:
    """A node's row."""
    status, labels = obj.get("status") or {}, obj["metadata"].get("labels") or {}
    ready = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), None)
    states = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if (obj.get("spec") or {}).get("unschedulable"):
        states.append("SchedulingDisabled")
    roles = [key.removeprefix(ROLE) for key in labels if key.startswith(ROLE) and key != ROLE]
    if "kubernetes.io/role" in labels:
        roles.append(labels["kubernetes.io/role"])
    info = status.get("nodeInfo") or {}
    addresses = {item.get("type"): item.get("address") for item in reversed(status.get("addresses") or ())}
    return [
        obj["metadata"]["name"],
        ",".join(states),
        joined(sorted(set(roles))),
        created(obj, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def service(obj: Obj, now: dt.datetime) -> list[Any]:
    """A service's row."""
    spec = obj.get("spec") or {}
    ports = []
    for port in spec.get("ports") or ():
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port['port']}{node_port}/{port.get('protocol', 'TCP')}")
    external = spec.get("externalIPs") or []
    if spec.get("type") == "ExternalName":
        external = [spec.get("externalName", "")]
    elif spec.get("type") == "LoadBalancer":
        ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        external = [item.get("ip") or item.get("hostname") for item in ingress] or ["<pending>"]
    return [
        obj["metadata"]["name"],
        spec.get("type", ""),
        spec.get("clusterIP") or NONE if spec.get("clusterIP") != "None" else "None",
        joined(external),
        joined(ports),
        created(obj, now),
        pairs(spec.get("selector")),
    ]


def event(obj: Obj, now: dt.datetime) -> list[Any]:
    """An event's row."""
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    series = obj.get("series") or {}
    last = (
        series.get("lastObservedTime")
        or obj.get("lastTimestamp")
        or obj.get("deprecatedLastTimestamp")
        or first
    )
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = (
        source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    )
    count = series.get("count") or obj.get("count") or obj.get("deprecatedCount") or 1
    return [
        age(last, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        f"{component}, {source['host']}" if source.get("host") else component,
        (obj.get("message") or obj.get("note") or "").strip(),
        age(first, now),
        count,
        obj["metadata"]["name"],
    ]


def endpoints(obj: Obj, now: dt.datetime) -> list[Any]:
    """A row of Endpoints."""
    found = []
    for subset in obj.get("subsets") or ():
        for address in subset.get("addresses") or ():
            ports = subset.get("ports") or []
            found += [f"{address['ip']}:{port['port']}" for port in ports] or [address["ip"]]
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return [obj["metadata"]["name"], joined(found[:3]) + more, created(obj, now)]


def claim(obj: Obj, now: dt.datetime) -> list[Any]:
    """A PersistentVolumeClaim's row."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    bound = status.get("capacity") or {}
    phase = "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase", "")
    return [
        obj["metadata"]["name"],
        phase,
        spec.get("volumeName", ""),
        bound.get("storage", ""),
        ",".join(MODES.get(mode, mode) for mode in status.get("accessModes") or ()),
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or "<unset>",
        created(obj, now),
        spec.get("volumeMode", "<unset>"),
    ]


def volume(obj: Obj, now: dt.datetime) -> list[Any]:
    """A PersistentVolume's row."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    reference = spec.get("claimRef") or {}
    return [
        obj["metadata"]["name"],
        (spec.get("capacity") or {}).get("storage", ""),
        ",".join(MODES.get(mode, mode) for mode in spec.get("accessModes") or ()),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase", ""),
        f"{reference['namespace']}/{reference['name']}" if reference else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or "<unset>",
        status.get("reason", ""),
        created(obj, now),
        spec.get("volumeMode", "<unset>"),
    ]


PRINTERS = {
    ("", "Pod"): pod,
    ("", "Node"): node,
    ("", "Service"): service,
    ("", "Namespace"): lambda o, now: [
        o["metadata"]["name"],
        (o.get("status") or {}).get("phase", ""),
        created(o, now),
    ],
    ("", "Endpoints"): endpoints,
    ("", "PersistentVolumeClaim"): claim,
    ("", "PersistentVolume"): volume,
    **dict.fromkeys(
        (("", "Event"), ("events.k8s.io", "Event")),
        event,
    ),
}
