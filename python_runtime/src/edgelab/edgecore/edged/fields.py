"""What the downward API hands to a pod: its own fields and resources (kubelet `fieldpath`, `resource`)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import ROUND_CEILING
from typing import Any

from edgelab.edgecore.edged import podspec
from edgelab.objects import quantity

Obj = dict[str, Any]
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What is known of a pod beyond its object; quantities of the node as text."""

    pod_ips: list[str] = field(default_factory=list)
    host_ips: list[str] = field(default_factory=list)
    node_name: str = ""
    allocatable: dict[str, str] = field(default_factory=dict)


def pod_field(pod: Obj, path: str, facts: PodFacts) -> str:
    """The value of a `fieldRef`. Raises ValueError for a path that the kubelet does not know either."""
    metadata, spec = pod["metadata"], pod["spec"]
    if found := _SUBSCRIPT.fullmatch(path):
        return str((metadata.get(found[1]) or {}).get(found[2], ""))
    values = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata.get("namespace", ""),
        "metadata.uid": metadata.get("uid", ""),
        "metadata.labels": _map_text(metadata.get("labels")),
        "metadata.annotations": _map_text(metadata.get("annotations")),
        "spec.nodeName": spec.get("nodeName") or facts.node_name,
        "spec.serviceAccountName": spec.get("serviceAccountName") or "default",
        "status.hostIP": (facts.host_ips or [""])[0],
        "status.hostIPs": ",".join(facts.host_ips),
        "status.podIP": (facts.pod_ips or [""])[0],
        "status.podIPs": ",".join(facts.pod_ips),
    }
    if path not in values:
        raise ValueError(f"unsupported fieldPath: {path}")
    return str(values[path])


def resource_field(pod: Obj, container: Obj, reference: Obj, facts: PodFacts) -> str:
    """The value of a `resourceFieldRef`; a missing limit counts as what the node can give."""
    name = reference.get("containerName")
    if name:
        container = next((c for c in podspec.all_containers(pod) if c["name"] == name), container)
    kind, _, resource = str(reference.get("resource", "")).partition(".")
    if kind not in ("limits", "requests") or not resource:
        raise ValueError(f"unsupported container resource: {reference.get('resource')}")
    text = podspec.amount(container, kind, resource)
    if text is None:
        text = facts.allocatable.get(resource, "0") if kind == "limits" else "0"
    divisor = quantity.parse(reference.get("divisor") or "1") or quantity.parse("1")
    return str(int((quantity.parse(text) / divisor).to_integral_value(ROUND_CEILING)))


def _map_text(values: dict[str, str] | None) -> str:
    """`key="escaped value"` lines, sorted, as fieldpath.FormatMap writes them."""
    return "\n".join(f'{key}="{_escape(value)}"' for key, value in sorted((values or {}).items()))


def _escape(value: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        value = value.replace(plain, escaped)
    return value
