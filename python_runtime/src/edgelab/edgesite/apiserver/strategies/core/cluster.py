"""Namespaces, Nodes, Endpoints, Events."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import layouts, names, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, duplicate, forbidden, required
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.core import events
from edgelab.edgesite.apiserver.strategies.pod import affinity, resources
from edgelab.edgesite.apiserver.strategy import Part, Strategy

Obj = dict[str, Any]

FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")

FACTS: tuple[str, ...] = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
)
FACTS += ("kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture")


def namespace_default(obj: Obj) -> None:
    """The label that selectors rely on; under a generated name it comes later, and is nobody's."""
    metadata = obj["metadata"]
    if metadata.get("name") and not metadata.get("generateName"):
        _label(metadata)


def _label(metadata: Obj) -> None:
    metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata["name"]


def namespace_on_create(obj: Obj) -> None:
    """A namespace is Active and held by its finalizer."""
    if obj["metadata"].get("name"):
        _label(obj["metadata"])
    finalizers = (obj.get("spec") or {}).get("finalizers") or []
    obj["spec"] = {"finalizers": finalizers + ["kubernetes"] * ("kubernetes" not in finalizers)}
    obj["status"] = {"phase": "Active"}


def namespace_on_update(new: Obj, old: Obj) -> None:
    """Only `finalize` changes the finalizers."""
    new["spec"] = old.get("spec") or {}


def namespace(obj: Obj) -> list[Cause]:
    """Finalizers of a namespace."""
    causes: list[Cause] = []
    for name in (obj.get("spec") or {}).get("finalizers") or ():
        causes += _finalizer(name, "spec.finalizers")
    return causes


def _finalizer(name: str, path: str) -> list[Cause]:
    causes = checks.label_name(name, path)
    if "/" not in name and name not in FINALIZERS:
        text = "name is neither a standard finalizer name nor is it fully qualified"
        causes.append(bad(path, name, text))
    return causes


def namespace_changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateNamespaceUpdate."""
    return objectmeta.of_kind(new, "", "Namespace") + namespace(new) + objectmeta.changed(new, old)


def namespace_status(new: Obj, old: Obj) -> list[Cause]:
    """The phase follows from the deletion."""
    causes, phase = objectmeta.changed(new, old), (new.get("status") or {}).get("phase") or ""
    deleting = bool(new["metadata"].get("deletionTimestamp"))
    wanted, state = ("Terminating", "not empty") if deleting else ("Active", "empty")
    if phase != wanted:
        text = f"may only be '{wanted}' if `deletionTimestamp` is {state}"
        causes.append(bad("status.Phase", phase, text))
    return causes


def namespace_finalized(new: Obj, old: Obj) -> list[Cause]:
    """ValidateNamespaceFinalizeUpdate."""
    causes = objectmeta.changed(new, old)
    for position, name in enumerate((new.get("spec") or {}).get("finalizers") or ()):
        causes += _finalizer(name, f"spec.finalizers[{position}]")
    return causes


def node_default(obj: Obj) -> None:
    """What can be given out is what there is; nothing is known of the machine yet."""
    spec, status = obj.setdefault("spec", {}), obj.setdefault("status", {})
    if spec.get("podCIDR") and spec["podCIDR"] not in (spec.get("podCIDRs") or [])[:1]:
        spec["podCIDRs"] = [spec["podCIDR"]]
    elif spec.get("podCIDRs") and not spec.get("podCIDR"):
        spec["podCIDR"] = spec["podCIDRs"][0]
    status.setdefault("daemonEndpoints", {}).setdefault("kubeletEndpoint", {}).setdefault("Port", 0)
    facts = status.setdefault("nodeInfo", {})
    for fact in FACTS:
        facts.setdefault(fact, "")
    if "allocatable" not in status and "capacity" in status:
        status["allocatable"] = dict(status["capacity"])


def node_on_create(obj: Obj) -> None:
    """The kubelet's configuration in an object is a thing of the past."""
    obj["spec"].pop("configSource", None)


def _taints(taints: list[Obj]) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[tuple[str, str]] = set()
    for position, taint in enumerate(taints):
        field, key = f"metadata.taints[{position}]", taint.get("key") or ""
        value, effect = taint.get("value") or "", taint.get("effect") or ""
        causes += checks.label_name(key, f"{field}.key")
        problems = names.label_value(value)
        causes += [bad(f"{field}.value", value, ";".join(problems))] if problems else []
        where = f"{field}.effect"
        causes += affinity.taint_effect(effect, where) if effect else [required(where)]
        if (key, effect) in seen:
            shown = layouts.shown("core.Taint", taint)
            text = "taints must be unique by key and effect pair"
            causes.append(duplicate(field, shown, text))
        seen.add((key, effect))
    return causes


def _amounts(node: Obj) -> list[Cause]:
    causes: list[Cause] = []
    for field in ("capacity", "allocatable"):
        for name, value in ((node.get("status") or {}).get(field) or {}).items():
            causes += resources.amount(name, value, f"status.{field}.{name}")
    return causes


def node(obj: Obj) -> list[Cause]:
    """ValidateNode."""
    spec = obj.get("spec") or {}
    causes = _taints(spec.get("taints") or []) + _amounts(obj)
    networks = spec.get("podCIDRs") or []
    for position, network in enumerate(networks):
        causes += checks.cidr(network, f"spec.podCIDRs[{position}]")
    versions = {found[0].version for found in map(checks.parse_cidr, networks) if found is not None}
    if len(networks) > 1 and (len(versions) < 2 or len(networks) > 2):
        text = "may specify no more than one CIDR for each IP family"
        causes.append(bad("spec.podCIDRs", networks, text))
    return causes


def _node_update(new: Obj, old: Obj) -> list[Cause]:
    mine, theirs = new.get("spec") or {}, old.get("spec") or {}
    causes = objectmeta.changed(new, old) + _amounts(new)
    seen: list[Obj] = []
    for position, address in enumerate((new.get("status") or {}).get("addresses") or ()):
        if address in seen:
            shown = layouts.shown("core.NodeAddress", address)
            causes.append(duplicate(f"status.addresses[{position}]", shown))
        seen.append(address)
    was, now = theirs.get("podCIDRs") or [], mine.get("podCIDRs") or []
    text = 'node updates may not change podCIDR except from "" to valid'
    if was and len(was) != len(now):
        causes.append(forbidden("spec.podCIDRs", text))
    elif was:
        changes = sum(before != after for before, after in zip(was, now, strict=True))
        causes += [forbidden("spec.podCIDRs", text)] * changes
    if theirs.get("providerID") and theirs["providerID"] != mine.get("providerID"):
        text = 'node updates may not change providerID except from "" to valid'
        causes.append(forbidden("spec.providerID", text))
    causes += _taints(mine.get("taints") or [])
    if (mine.get("externalID") or "") != (theirs.get("externalID") or ""):
        causes.append(forbidden("spec.externalID", "may not be updated"))
    return causes


def node_changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateNode, then ValidateNodeUpdate."""
    return objectmeta.of_kind(new, "", "Node") + node(new) + _node_update(new, old)


def endpoints_default(obj: Obj) -> None:
    """Ports of Endpoints are TCP."""
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            port["protocol"] = port.get("protocol") or "TCP"


def endpoints(obj: Obj) -> list[Cause]:
    """Addresses and ports."""
    causes: list[Cause] = []
    for position, subset in enumerate(obj.get("subsets") or ()):
        field, ports = f"subsets[{position}]", subset.get("ports") or []
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            causes.append(required(field, "must specify `addresses` or `notReadyAddresses`"))
        for name in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(name) or ()):
                causes += _address(address, f"{field}.{name}[{number}]")
        for number, port in enumerate(ports):
            causes += _port(port, f"{field}.ports[{number}]", named=len(ports) > 1)
    return causes


def _address(address: Obj, path: str) -> list[Cause]:
    value = address.get("ip") or ""
    causes = checks.ip(value, f"{path}.ip")
    if address.get("hostname"):
        causes += checks.dns_label(address["hostname"], f"{path}.hostname")
    if address.get("nodeName") is not None:
        causes += checks.dns_subdomain(address["nodeName"], f"{path}.nodeName")
    return causes + checks.endpoint_ip(value, f"{path}.ip")


def _port(port: Obj, path: str, *, named: bool) -> list[Cause]:
    name = port.get("name") or ""
    causes = [required(f"{path}.name")] if named and not name else []
    causes += checks.dns_label(name, f"{path}.name") if name else []
    causes += checks.port_number(port.get("port") or 0, f"{path}.port")
    causes += checks.choice(port.get("protocol") or "", f"{path}.protocol", checks.PROTOCOLS)
    if port.get("appProtocol") is not None:
        causes += checks.label_name(port["appProtocol"], f"{path}.appProtocol")
    return causes


def endpoints_changed(new: Obj, old: Obj) -> list[Cause]:
    """Bad addresses that were there before may stay."""
    causes = objectmeta.changed(new, old) + objectmeta.of_kind(new, "", "Endpoints")
    same = checks.semantic(new.get("subsets"), old.get("subsets"))
    return causes if same else causes + endpoints(new)


NAMESPACE = Strategy(
    default=namespace_default,
    on_create=namespace_on_create,
    on_update=namespace_on_update,
    validate=namespace,
    validate_update=namespace_changed,
    parts={"status": Part(validate=namespace_status), "finalize": Part(validate=namespace_finalized)},
    keeps_status_on_create=True,
    returns_deleted=True,
    has_generation=False,
)
NODE = Strategy(
    default=node_default,
    on_create=node_on_create,
    on_update=lambda new, old: node_on_create(new),
    validate=node,
    validate_update=node_changed,
    parts={"status": Part(validate=_node_update)},
    keeps_status_on_create=True,
    has_generation=False,
)
ENDPOINTS = Strategy(
    default=endpoints_default,
    validate=endpoints,
    validate_update=endpoints_changed,
    creates_on_update=True,
    has_generation=False,
)
EVENT = Strategy(
    default=events.default,
    validate=events.validate,
    validate_update=events.changed,
    checks_metadata=False,
    creates_on_update=True,
    has_generation=False,
)
