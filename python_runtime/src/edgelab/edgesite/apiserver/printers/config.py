"""Configuration, RBAC, leases, certificates, storage, networking."""

from __future__ import annotations

import datetime as dt
from typing import Any

from edgelab.edgesite.apiserver.printers.base import NONE, created, duration, joined
from edgelab.objects.selectors import format_labels

Obj = dict[str, Any]


def _name(obj: Obj) -> str:
    return str(obj["metadata"]["name"])


def binding(obj: Obj, now: dt.datetime) -> list[Any]:
    """A row of a RoleBinding or ClusterRoleBinding."""
    found: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        name = subject.get("name", "")
        if subject.get("kind") == "ServiceAccount":
            name = f"{subject.get('namespace', '')}/{name}"
        found.setdefault(subject.get("kind", ""), []).append(name)
    reference = obj.get("roleRef") or {}
    role = f"{reference.get('kind', '')}/{reference.get('name', '')}"
    subjects = [", ".join(found[kind]) for kind in ("User", "Group", "ServiceAccount")]
    return [_name(obj), role, created(obj, now), *subjects]


def certificate_request(obj: Obj, now: dt.datetime) -> list[Any]:
    """A CertificateSigningRequest's row."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    types = {item.get("type") for item in status.get("conditions") or ()}
    state = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    if "Failed" in types:
        state += ",Failed"
    if status.get("certificate"):
        state += ",Issued"
    seconds = spec.get("expirationSeconds")
    wanted = duration(dt.timedelta(seconds=seconds)) if seconds else NONE
    return [
        _name(obj),
        created(obj, now),
        spec.get("signerName", ""),
        spec.get("username", ""),
        wanted,
        state,
    ]


def storage_class(obj: Obj, now: dt.datetime) -> list[Any]:
    """A StorageClass's row."""
    annotations = obj["metadata"].get("annotations") or {}
    default = annotations.get("storageclass.kubernetes.io/is-default-class") == "true"
    name = f"{_name(obj)} (default)" if default else _name(obj)
    expand = bool(obj.get("allowVolumeExpansion"))
    modes = [obj.get("reclaimPolicy", ""), obj.get("volumeBindingMode", "")]
    return [name, obj.get("provisioner", ""), *modes, expand, created(obj, now)]


def ingress(obj: Obj, now: dt.datetime) -> list[Any]:
    """An Ingress's row."""
    spec = obj.get("spec") or {}
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    addresses = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    ports = "80, 443" if spec.get("tls") else "80"
    where = ",".join(item.get("ip") or item.get("hostname") or "" for item in addresses)
    return [
        _name(obj),
        spec.get("ingressClassName") or NONE,
        joined(hosts) if hosts else "*",
        where,
        ports,
        created(obj, now),
    ]


def ingress_class(obj: Obj, now: dt.datetime) -> list[Any]:
    """An IngressClass's row."""
    spec = obj.get("spec") or {}
    found, shown = spec.get("parameters"), NONE
    if found is not None:
        group = f".{found['apiGroup']}" if found.get("apiGroup") is not None else ""
        shown = f"{found.get('kind', '')}{group}/{found.get('name', '')}"
    return [_name(obj), spec.get("controller", ""), shown, created(obj, now)]


def ip_address(obj: Obj, now: dt.datetime) -> list[Any]:
    """An IPAddress's row; its age has no column."""
    parent, shown = (obj.get("spec") or {}).get("parentRef"), NONE
    if parent is not None:
        group = f".{parent['group']}" if parent.get("group") else ""
        where = [f"{parent.get('resource', '')}{group}".lower(), parent.get("namespace"), parent.get("name")]
        shown = "/".join(filter(None, where))
    return [_name(obj), shown, created(obj, now)]


def endpoint_slice(obj: Obj, now: dt.datetime) -> list[Any]:
    """An EndpointSlice's row."""
    ports = [port.get("port") for port in obj.get("ports") or ()]
    addresses = [address for item in obj.get("endpoints") or () for address in item.get("addresses") or ()]
    more = f" + {len(addresses) - 3} more..." if len(addresses) > 3 else ""
    shown = ",".join(addresses[:3]) + more if addresses else "<unset>"
    return [
        _name(obj),
        obj.get("addressType", ""),
        joined(ports) if ports else "<unset>",
        shown,
        created(obj, now),
    ]


def volume_attachment(obj: Obj, now: dt.datetime) -> list[Any]:
    """A VolumeAttachment's row."""
    spec = obj.get("spec") or {}
    volume = (spec.get("source") or {}).get("persistentVolumeName", "")
    attached = bool((obj.get("status") or {}).get("attached"))
    return [
        _name(obj),
        spec.get("attacher", ""),
        volume,
        spec.get("nodeName", ""),
        attached,
        created(obj, now),
    ]


RBAC = "rbac.authorization.k8s.io"
PRINTERS = {
    ("", "ConfigMap"): lambda o, now: [
        _name(o),
        len(o.get("data") or ()) + len(o.get("binaryData") or ()),
        created(o, now),
    ],
    ("", "Secret"): lambda o, now: [_name(o), o.get("type", ""), len(o.get("data") or ()), created(o, now)],
    ("", "ServiceAccount"): lambda o, now: [_name(o), created(o, now)],
    (RBAC, "RoleBinding"): binding,
    (RBAC, "ClusterRoleBinding"): binding,
    ("coordination.k8s.io", "Lease"): lambda o, now: [
        _name(o),
        (o.get("spec") or {}).get("holderIdentity") or "",
        created(o, now),
    ],
    ("certificates.k8s.io", "CertificateSigningRequest"): certificate_request,
    ("storage.k8s.io", "StorageClass"): storage_class,
    ("storage.k8s.io", "VolumeAttachment"): volume_attachment,
    ("storage.k8s.io", "VolumeAttributesClass"): lambda o, now: [
        _name(o),
        o.get("driverName", ""),
        created(o, now),
    ],
    ("storage.k8s.io", "CSINode"): lambda o, now: [
        _name(o),
        len((o.get("spec") or {}).get("drivers") or ()),
        created(o, now),
    ],
    ("networking.k8s.io", "Ingress"): ingress,
    ("networking.k8s.io", "IPAddress"): ip_address,
    ("networking.k8s.io", "ServiceCIDR"): lambda o, now: [
        _name(o),
        ",".join((o.get("spec") or {}).get("cidrs") or ()),
        created(o, now),
    ],
    ("networking.k8s.io", "IngressClass"): ingress_class,
    ("networking.k8s.io", "NetworkPolicy"): lambda o, now: [
        _name(o),
        format_labels((o.get("spec") or {}).get("podSelector")),
        created(o, now),
    ],
    ("discovery.k8s.io", "EndpointSlice"): endpoint_slice,
    ("scheduling.k8s.io", "PriorityClass"): lambda o, now: [
        _name(o),
        o.get("value", 0),
        bool(o.get("globalDefault")),
        created(o, now),
        o.get("preemptionPolicy", ""),
    ],
    ("node.k8s.io", "RuntimeClass"): lambda o, now: [_name(o), o.get("handler", ""), created(o, now)],
    ("apps", "ControllerRevision"): lambda o, now: [
        _name(o),
        joined(f"{r['kind']}/{r['name']}" for r in o["metadata"].get("ownerReferences") or ()),
        o.get("revision", 0),
        created(o, now),
    ],
}
