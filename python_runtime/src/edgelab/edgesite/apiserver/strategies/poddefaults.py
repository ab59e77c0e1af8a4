"""Defaults of pods and pod templates (Kubernetes `pkg/apis/core/v1/defaults.go`)."""

from __future__ import annotations

import re
from typing import Any

from edgelab.edgesite.apiserver.strategies.pod.resources import aggregate, is_huge, text_of

Obj = dict[str, Any]

MODES = ("secret", "configMap", "downwardAPI", "projected")
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
REMOTE: dict[str, Obj] = {
    "azureDisk": {"cachingMode": "ReadWrite", "fsType": "ext4", "kind": "Shared", "readOnly": False},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"keyring": "/etc/ceph/keyring", "pool": "rbd", "user": "admin"},
    "scaleIO": {"fsType": "xfs", "storageMode": "ThinProvisioned"},
}
_PART = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])"
IMAGE = re.compile(
    rf"(?:{_HOST}(?::[0-9]+)?/)?{_PART}(?:/{_PART})*(?::[\w][\w.-]{{0,127}})?(?:@[\w+.:-]+)?", re.ASCII
)
"""A reference to an image; what is none has no tag."""


def pod_spec(spec: Obj) -> None:
    """Fill in a PodSpec, in place."""
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    spec["dnsPolicy"] = spec.get("dnsPolicy") or "ClusterFirst"
    spec["restartPolicy"] = spec.get("restartPolicy") or "Always"
    spec["schedulerName"] = spec.get("schedulerName") or "default-scheduler"
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    for volume in spec.get("volumes") or ():
        _volume(volume)
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            _container(container)
            container.pop("restartPolicyRules", None)
            if container.get("restartPolicy") != "Always" or field == "containers":
                container.pop("restartPolicy", None)


def pod(obj: Obj) -> None:
    """Fill in a Pod, in place."""
    spec = obj.setdefault("spec", {})
    pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        resources = container.get("resources") or {}
        for name, amount in (resources.get("limits") or {}).items():
            resources.setdefault("requests", {}).setdefault(name, amount)
        for port in container.get("ports") or () if spec.get("hostNetwork") else ():
            port["hostPort"] = port.get("hostPort") or port.get("containerPort", 0)
    if (spec.get("resources") or {}).get("limits") or (spec.get("resources") or {}).get("requests"):
        _pod_level(spec)


def _pod_level(spec: Obj) -> None:
    """Requests of a pod follow from its containers, then from its limits."""
    found = spec["resources"]
    for name, amount in aggregate(spec, "limits").items():
        if is_huge(name) and name not in (found.get("requests") or {}):
            found.setdefault("limits", {}).setdefault(name, text_of(name, amount))
    limits = found.get("limits") or {}
    if not limits:
        return
    requests = {**(found.get("requests") or {})}
    for name, amount in aggregate(spec, "requests").items():
        if name in ("cpu", "memory"):
            requests.setdefault(name, text_of(name, amount))
    for name, limit in limits.items():
        if name in ("cpu", "memory") or is_huge(name):
            requests.setdefault(name, limit)
    if requests:
        found["requests"] = requests


def template(spec: Obj) -> None:
    """Fill in the pod template of a workload's spec, in place."""
    inner = spec.setdefault("template", {})
    inner.setdefault("metadata", {})
    pod_spec(inner.setdefault("spec", {}))


def _latest(image: str) -> bool:
    if not IMAGE.fullmatch(image):
        return False
    tag = image.rpartition("/")[2]
    return "@" not in tag and (":" not in tag or tag.endswith(":latest"))


def _container(container: Obj) -> None:
    pull = "Always" if _latest(container.get("image") or "") else "IfNotPresent"
    container["imagePullPolicy"] = container.get("imagePullPolicy") or pull
    container.setdefault("resources", {})
    for name, value in (
        ("terminationMessagePath", "/dev/termination-log"),
        ("terminationMessagePolicy", "File"),
    ):
        container[name] = container.get(name) or value
    for port in container.get("ports") or ():
        port["protocol"] = port.get("protocol") or "TCP"
    for name in PROBES:
        if name in container:
            _probe(container[name])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _http(hook)
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        if "fieldRef" in source:
            source["fieldRef"]["apiVersion"] = source["fieldRef"].get("apiVersion") or "v1"
        if "resourceFieldRef" in source:
            source["resourceFieldRef"].setdefault("divisor", "0")


def _probe(probe: Obj) -> None:
    for name, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1)):
        probe[name] = probe.get(name) or value
    probe["failureThreshold"] = probe.get("failureThreshold") or 3
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")
    _http(probe)


def _http(action: Obj) -> None:
    if "httpGet" in action:
        action["httpGet"]["path"] = action["httpGet"].get("path") or "/"
        action["httpGet"]["scheme"] = action["httpGet"].get("scheme") or "HTTP"


def remote(source: Obj) -> None:
    """Defaults of disks in a network, of a pod's volume or a PersistentVolume."""
    for kind in REMOTE.keys() & source.keys():
        for field, value in REMOTE[kind].items():
            source[kind][field] = source[kind].get(field) or value


def _volume(volume: Obj) -> None:
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    for name in MODES:
        if name in volume:
            volume[name].setdefault("defaultMode", 0o644)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    remote(volume)
    if "image" in volume:
        pull = "Always" if _latest(volume["image"].get("reference") or "") else "IfNotPresent"
        volume["image"]["pullPolicy"] = volume["image"].get("pullPolicy") or pull
    if "volumeClaimTemplate" in (volume.get("ephemeral") or {}):
        claim = volume["ephemeral"]["volumeClaimTemplate"]
        claim.setdefault("metadata", {})
        claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    items = [volume.get("downwardAPI") or {}]
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
        items.append(source.get("downwardAPI") or {})
    for part in items:
        for item in part.get("items") or ():
            if "fieldRef" in item:
                item["fieldRef"]["apiVersion"] = item["fieldRef"].get("apiVersion") or "v1"
            if "resourceFieldRef" in item:
                item["resourceFieldRef"].setdefault("divisor", "0")
