"""Namespaces, nodes, configuration, services, events and volumes (`pkg/registry/core`)."""

from __future__ import annotations

import base64
import re
from typing import Any

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.invalid import (
    Cause,
    bad,
    duplicate,
    forbidden,
    immutable,
    required,
    unsupported,
)
from edgelab.edgesite.apiserver.strategy import Strategy

Obj = dict[str, Any]

MAX_CONFIG_BYTES = 1 << 20
SERVICE_TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]
SECRET_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def namespace_on_create(obj: Obj) -> None:
    """A namespace is Active, held by its finalizer and labelled with its name."""
    obj["spec"] = {"finalizers": ["kubernetes"]}
    obj["status"] = {"phase": "Active"}


def namespace_default(obj: Obj) -> None:
    """The label that selectors rely on."""
    if name := obj["metadata"].get("name"):
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name


def namespace_on_update(new: Obj, old: Obj) -> None:
    """Only `finalize` changes the finalizers."""
    new["spec"] = old.get("spec") or {}


TOKEN_TYPE = "kubernetes.io/service-account-token"  # noqa: S105 - a type of Secret
TOKEN_OWNER = "kubernetes.io/service-account.name"  # noqa: S105 - an annotation


def secret_default(obj: Obj) -> None:
    """Type Opaque; stringData goes into data."""
    obj.setdefault("type", "Opaque")
    for key, text in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()


def _config_keys(data: Obj, path: str) -> list[Cause]:
    causes = []
    for key in data:
        if not re.fullmatch(r"[-._a-zA-Z0-9]+", key) or key in (".", "..") or len(key) > 253:
            text = (
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g."
                " 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
            )
            causes.append(bad(f"{path}[{key}]", key, text))
    return causes


def _too_long(obj: Obj, path: str) -> list[Cause]:
    size = sum(len(value) for field in ("data", "binaryData") for value in (obj.get(field) or {}).values())
    if size <= MAX_CONFIG_BYTES * (4 / 3 if obj["kind"] == "Secret" else 1):
        return []
    return [Cause(path, "FieldValueTooLong", f"Too long: may not be more than {MAX_CONFIG_BYTES} bytes")]


def config_map_valid(obj: Obj) -> list[Cause]:
    """Keys and size of a ConfigMap."""
    causes = _config_keys(obj.get("data") or {}, "data") + _config_keys(
        obj.get("binaryData") or {}, "binaryData"
    )
    both = set(obj.get("data") or ()) & set(obj.get("binaryData") or ())
    causes += [bad(f"data[{key}]", key, "duplicate of key present in binaryData") for key in sorted(both)]
    return causes + _too_long(obj, "")


def secret_valid(obj: Obj) -> list[Cause]:
    """Keys, size and what the type asks for."""
    data = obj.get("data") or {}
    causes = _config_keys(data, "data") + _too_long(obj, "data")
    if obj.get("type") == TOKEN_TYPE and not (obj["metadata"].get("annotations") or {}).get(TOKEN_OWNER):
        causes.append(required(f"metadata.annotations[{TOKEN_OWNER}]"))
    needed = SECRET_KEYS.get(obj.get("type", ""), ())
    return causes + [required(f"data[{key}]") for key in needed if key not in data]


def _frozen(new: Obj, old: Obj) -> list[Cause]:
    """An immutable ConfigMap or Secret stays as it is."""
    if not old.get("immutable"):
        return []
    causes = []
    if not new.get("immutable"):
        causes.append(forbidden("immutable", "field is immutable when `immutable` is set"))
    for field in ("data", "binaryData"):
        if (new.get(field) or {}) != (old.get(field) or {}):
            causes.append(forbidden(field, "field is immutable when `immutable` is set"))
    return causes


def secret_change(new: Obj, old: Obj) -> list[Cause]:
    """The type of a Secret cannot change."""
    causes = [] if new.get("type") == old.get("type") else [immutable("type", new.get("type"))]
    return causes + _frozen(new, old)


def service_default(obj: Obj) -> None:
    """Defaults of a Service; addresses and node ports are given out elsewhere."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("type", "ClusterIP")
    if spec["sessionAffinity"] == "ClientIP":
        spec.setdefault("sessionAffinityConfig", {"clientIP": {"timeoutSeconds": 10800}})
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if "port" in port:
            port.setdefault("targetPort", port["port"])
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def service_on_create(obj: Obj) -> None:
    """No load balancer yet."""
    obj["status"] = {"loadBalancer": {}}


def service_on_update(new: Obj, old: Obj) -> None:
    """Addresses given out stay when the client leaves them out."""
    mine, theirs = new.setdefault("spec", {}), old.get("spec") or {}
    if mine.get("type") != "ExternalName" and theirs.get("clusterIP") and not mine.get("clusterIP"):
        mine["clusterIP"] = theirs["clusterIP"]
        mine["clusterIPs"] = theirs.get("clusterIPs") or [theirs["clusterIP"]]
    if mine.get("type") in ("NodePort", "LoadBalancer"):
        known = {
            (port.get("name"), port.get("port")): port.get("nodePort") for port in theirs.get("ports") or ()
        }
        for port in mine.get("ports") or ():
            node_port = known.get((port.get("name"), port.get("port")))
            if node_port and not port.get("nodePort"):
                port["nodePort"] = node_port


def service_valid(obj: Obj) -> list[Cause]:
    """What is wrong with a Service."""
    spec = obj.get("spec") or {}
    ports, causes = spec.get("ports") or [], []
    if spec.get("type") not in SERVICE_TYPES:
        causes.append(unsupported("spec.type", spec.get("type"), SERVICE_TYPES))
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        causes.append(required("spec.ports"))
    if spec.get("type") == "ExternalName" and not spec.get("externalName"):
        causes.append(required("spec.externalName"))
    seen: set[str] = set()
    for position, port in enumerate(ports):
        field, name = f"spec.ports[{position}]", port.get("name") or ""
        if not name and len(ports) > 1:
            causes.append(required(f"{field}.name"))
        elif name in seen and name:
            causes.append(duplicate(f"{field}.name", name))
        seen.add(name)
        if not 1 <= port.get("port", 0) <= 65535:
            causes.append(bad(f"{field}.port", port.get("port", 0), "must be between 1 and 65535, inclusive"))
    return causes


def service_change(new: Obj, old: Obj) -> list[Cause]:
    """A Service keeps its address."""
    mine, theirs = (new.get("spec") or {}).get("clusterIP"), (old.get("spec") or {}).get("clusterIP")
    external = "ExternalName" in ((new.get("spec") or {}).get("type"), (old.get("spec") or {}).get("type"))
    if theirs and mine != theirs and not external:
        return [
            Cause(
                "spec.clusterIPs[0]",
                "FieldValueInvalid",
                f'Invalid value: ["{mine}"]: may not change once set',
            )
        ]
    return []


def node_valid(obj: Obj) -> list[Cause]:
    """Taints of a Node."""
    causes: list[Cause] = []
    seen: set[tuple[str, str]] = set()
    effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"]
    for position, taint in enumerate((obj.get("spec") or {}).get("taints") or ()):
        field, key = f"spec.taints[{position}]", taint.get("key") or ""
        causes += [bad(f"{field}.key", key, text) for text in names.qualified(key)]
        if taint.get("effect") not in effects:
            causes.append(unsupported(f"{field}.effect", taint.get("effect"), effects))
        if (key, taint.get("effect") or "") in seen:
            causes.append(duplicate(field, taint))
        seen.add((key, taint.get("effect") or ""))
    return causes


def event_default(obj: Obj) -> None:
    """Fields of an Event that Go always writes."""
    if obj["apiVersion"] != "v1":
        return
    obj.setdefault("source", {})
    for field in ("firstTimestamp", "lastTimestamp", "eventTime"):
        obj.setdefault(field, None)
    obj.setdefault("reportingComponent", "")
    obj.setdefault("reportingInstance", "")


def event_valid(obj: Obj) -> list[Cause]:
    """An Event lies in the namespace of the object it is about."""
    field = "involvedObject" if "involvedObject" in obj else "regarding"
    about = (obj.get(field) or {}).get("namespace") or ""
    own = obj["metadata"].get("namespace") or ""
    if about != own and not (about == "" and own == "default"):
        return [bad(f"{field}.namespace", about, "does not match event.namespace")]
    return []


def volume_default(obj: Obj) -> None:
    """Defaults of a PersistentVolume."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")
    if "hostPath" in spec:
        spec["hostPath"].setdefault("type", "")


def claim_default(obj: Obj) -> None:
    """Defaults of a PersistentVolumeClaim."""
    obj.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")


def pending(obj: Obj) -> None:
    """Volumes and claims start Pending."""
    obj["status"] = {"phase": "Pending"}


def endpoints_default(obj: Obj) -> None:
    """Ports of Endpoints are TCP."""
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            port.setdefault("protocol", "TCP")


NAMESPACE = Strategy(
    default=namespace_default,
    on_create=namespace_on_create,
    on_update=namespace_on_update,
    keeps_status_on_create=True,
    returns_deleted=True,
    has_generation=False,
)
CONFIG_MAP = Strategy(validate=config_map_valid, validate_update=_frozen, has_generation=False)
SECRET = Strategy(
    default=secret_default, validate=secret_valid, validate_update=secret_change, has_generation=False
)
SERVICE = Strategy(
    default=service_default,
    on_create=service_on_create,
    on_update=service_on_update,
    validate=service_valid,
    validate_update=service_change,
    keeps_status_on_create=True,
    returns_deleted=True,
    has_generation=False,
)
NODE = Strategy(validate=node_valid, keeps_status_on_create=True, has_generation=False)
EVENT = Strategy(default=event_default, validate=event_valid, creates_on_update=True, has_generation=False)
SERVICE_ACCOUNT = Strategy(returns_deleted=True, has_generation=False)
VOLUME = Strategy(
    default=volume_default,
    on_create=pending,
    keeps_status_on_create=True,
    returns_deleted=True,
    has_generation=False,
)
CLAIM = Strategy(
    default=claim_default,
    on_create=pending,
    keeps_status_on_create=True,
    returns_deleted=True,
    has_generation=False,
)
ENDPOINTS = Strategy(default=endpoints_default, creates_on_update=True, has_generation=False)
