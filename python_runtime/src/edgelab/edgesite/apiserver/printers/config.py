"""Configuration, RBAC, leases, certificates, storage, networking."""

from __future__ import annotations

import datetime as dt
from typing import Any

from edgelab.edgesite.apiserver.printers.base import NONE, Printer, columns, created, duration, joined
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


AGED = Printer(columns("Name", "Age"), lambda o, now: [_name(o), created(o, now)])
CREATED = Printer(
    columns("Name", "Created At:date"), lambda o, now: [_name(o), o["metadata"].get("creationTimestamp", "")]
)
BINDING = Printer(columns("Name", "Role", "Age", "+Users", "+Groups", "+ServiceAccounts"), binding)
RBAC = "rbac.authorization.k8s.io"
PRINTERS = {
    ("", "ConfigMap"): Printer(
        columns("Name", "Data", "Age"),
        lambda o, now: [_name(o), len(o.get("data") or ()) + len(o.get("binaryData") or ()), created(o, now)],
    ),
    ("", "Secret"): Printer(
        columns("Name", "Type", "Data", "Age"),
        lambda o, now: [_name(o), o.get("type", ""), len(o.get("data") or ()), created(o, now)],
    ),
    ("", "ServiceAccount"): Printer(
        columns("Name", "Age"),
        lambda o, now: [_name(o), created(o, now)],
    ),
    ("", "LimitRange"): CREATED,
    (RBAC, "Role"): CREATED,
    (RBAC, "ClusterRole"): CREATED,
    (RBAC, "RoleBinding"): BINDING,
    (RBAC, "ClusterRoleBinding"): BINDING,
    ("coordination.k8s.io", "Lease"): Printer(
        columns("Name", "Holder", "Age"),
        lambda o, now: [_name(o), (o.get("spec") or {}).get("holderIdentity") or "", created(o, now)],
    ),
    ("certificates.k8s.io", "CertificateSigningRequest"): Printer(
        columns("Name", "Age", "SignerName", "Requestor", "RequestedDuration", "Condition"),
        certificate_request,
    ),
    ("storage.k8s.io", "StorageClass"): Printer(
        columns("Name", "Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion", "Age"),
        storage_class,
    ),
    ("storage.k8s.io", "VolumeAttachment"): Printer(
        columns("Name", "Attacher", "PV", "Node", "Attached:boolean", "Age"), volume_attachment
    ),
    ("storage.k8s.io", "VolumeAttributesClass"): Printer(
        columns("Name", "DriverName", "Age"),
        lambda o, now: [_name(o), o.get("driverName", ""), created(o, now)],
    ),
    ("storage.k8s.io", "CSINode"): Printer(
        columns("Name", "Drivers:integer", "Age"),
        lambda o, now: [_name(o), len((o.get("spec") or {}).get("drivers") or ()), created(o, now)],
    ),
    ("networking.k8s.io", "Ingress"): Printer(
        columns("Name", "Class", "Hosts", "Address", "Ports", "Age"), ingress
    ),
    ("networking.k8s.io", "IngressClass"): Printer(
        columns("Name", "Controller", "Parameters", "Age"),
        lambda o, now: [_name(o), (o.get("spec") or {}).get("controller", ""), NONE, created(o, now)],
    ),
    ("networking.k8s.io", "NetworkPolicy"): Printer(
        columns("Name", "Pod-Selector", "Age"),
        lambda o, now: [_name(o), format_labels((o.get("spec") or {}).get("podSelector")), created(o, now)],
    ),
    ("discovery.k8s.io", "EndpointSlice"): Printer(
        columns("Name", "AddressType", "Ports", "Endpoints", "Age"), endpoint_slice
    ),
    ("scheduling.k8s.io", "PriorityClass"): Printer(
        columns("Name", "Value:integer", "Global-Default:boolean", "Age", "PreemptionPolicy"),
        lambda o, now: [
            _name(o),
            o.get("value", 0),
            bool(o.get("globalDefault")),
            created(o, now),
            o.get("preemptionPolicy", ""),
        ],
    ),
    ("node.k8s.io", "RuntimeClass"): Printer(
        columns("Name", "Handler", "Age"), lambda o, now: [_name(o), o.get("handler", ""), created(o, now)]
    ),
    ("apps", "ControllerRevision"): Printer(
        columns("Name", "Controller", "Revision", "Age"),
        lambda o, now: [
            _name(o),
            joined(f"{r['kind']}/{r['name']}" for r in o["metadata"].get("ownerReferences") or ()),
            o.get("revision", 0),
            created(o, now),
        ],
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): CREATED,
}
