"""The names of Go's types and fields that are not in the published schemas."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.schema import Node

KINDS = {dict: "map", list: "slice", str: "string", bool: "bool", int: "int64", float: "float64"}
SCALARS = {"string": "string", "boolean": "bool", "number": "float64"}
# structs with an embedded struct that has a name of its own: which fields lie in it
EMBEDDED = {
    "Probe": ("ProbeHandler", {"exec", "grpc", "httpGet", "tcpSocket"}),
}
OWN = {
    "Volume": ("VolumeSource", "name"),
    "EphemeralContainer": ("EphemeralContainerCommon", "targetContainerName"),
}
# the names of types that are maps
RESOURCES = ("limits", "requests", "capacity", "allocatable", "hard", "used", "overhead")
MAPS = dict.fromkeys(RESOURCES, "v1.ResourceList")
# (struct, field) -> the name of a type that is a string; "" for a field of any struct
STRINGS = {
    ("", "imagePullPolicy"): "v1.PullPolicy",
    ("", "restartPolicy"): "v1.RestartPolicy",
    ("", "dnsPolicy"): "v1.DNSPolicy",
    ("", "protocol"): "v1.Protocol",
    ("", "terminationMessagePolicy"): "v1.TerminationMessagePolicy",
    ("", "preemptionPolicy"): "v1.PreemptionPolicy",
    ("", "uid"): "types.UID",
    ("", "effect"): "v1.TaintEffect",
    ("Toleration", "operator"): "v1.TolerationOperator",
    ("LabelSelectorRequirement", "operator"): "v1.LabelSelectorOperator",
    ("NodeSelectorRequirement", "operator"): "v1.NodeSelectorOperator",
    ("ServiceSpec", "type"): "v1.ServiceType",
    ("ServiceSpec", "sessionAffinity"): "v1.ServiceAffinity",
    ("Secret", "type"): "v1.SecretType",
    ("DeploymentStrategy", "type"): "v1.DeploymentStrategyType",
    ("CronJobSpec", "concurrencyPolicy"): "v1.ConcurrencyPolicy",
    ("PodStatus", "phase"): "v1.PodPhase",
    ("NamespaceStatus", "phase"): "v1.NamespacePhase",
}


def name(node: Node, field: str = "") -> str:
    """A type as Go prints it: `v1.ObjectMeta`, `[]v1.Container`, `map[string]string`."""
    if node.name:
        *_, version, kind = node.name.split(".")
        return f"{version}.{kind}"
    if node.type == "array":
        return "[]" + (name(node.items) if node.items is not None else "interface {}")
    if node.values is not None:
        return MAPS.get(field) or "map[string]" + name(node.values)
    form = node.raw.get("format")
    if node.type == "integer":
        return "int32" if form == "int32" else "int64"
    if form == "byte":
        return "[]uint8"
    return SCALARS.get(node.type, "map" if node.type == "object" else "interface {}")


def string(owner: str, field: str) -> str:
    """The type of a field that is a string."""
    return (STRINGS.get((owner, field)) or STRINGS.get(("", field)) or "string") if field else "string"


def embedded(field: str, owner: str) -> str:
    """A field's name, with that of the embedded struct in which it lies."""
    within, fields = EMBEDDED.get(owner, ("", ()))
    if field in fields:
        return f"{within}.{field}"
    other, own = OWN.get(owner, ("", field))
    return field if field == own or not other else f"{other}.{field}"


def not_restored(value: Any, wanted: str) -> str:
    """What runtime.DefaultUnstructuredConverter says of a value that does not fit."""
    found = KINDS.get(type(value), "interface")
    if wanted.startswith("[]"):
        return f"cannot restore slice from {found}"
    if wanted.startswith("map") or wanted in MAPS.values():
        return f"cannot restore map from {found}"
    if wanted in ("int32", "int64", "float64", "bool", "string"):
        return f"unrecognized type: {wanted}"
    if wanted in STRINGS.values():
        return "unrecognized type: string"
    return f"cannot restore struct from: {found}"
