"""What several kinds are warned of: node labels of old, odd addresses, parts of bytes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.strategies.checks import parse_cidr, parse_ip
from edgelab.objects import quantity

Obj = dict[str, Any]

NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": (
        'deprecated since v1.17; use "topology.kubernetes.io/region" instead'
    ),
    "failure-domain.beta.kubernetes.io/zone": (
        'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
    ),
    "beta.kubernetes.io/instance-type": (
        'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead'
    ),
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": (
        "deprecated since v1.22; use Taints and Tolerations instead"
    ),
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}


def term(found: Obj, path: str, *, values: bool = False) -> list[str]:
    """A term that selects nodes; `values` are checked where it only prefers them."""
    texts = []
    for position, expression in enumerate(found.get("matchExpressions") or ()):
        key, field = expression.get("key") or "", f"{path}.matchExpressions[{position}]"
        if key in NODE_LABELS:
            texts.append(f"{field}.key: {key} is {NODE_LABELS[key]}")
        for number, value in enumerate((expression.get("values") or ()) if values else ()):
            problems = names.label_value(value)
            texts += [f"{field}.values[{number}]: {value} is invalid, {text}" for text in problems]
    return texts


def fractional(amounts: Obj | None, resources: Iterable[str], path: str) -> list[str]:
    """Amounts that are no whole bytes."""
    return [
        f'{path}[{name}]: fractional byte value "{quantity.canonical(value)}" is invalid, must be an integer'
        for name in resources
        if (value := (amounts or {}).get(name)) is not None and quantity.parse(value) % 1 != 0
    ]


def claim_spec(spec: Obj, path: str) -> list[str]:
    """The spec of a claim, or of a template for one."""
    resources = spec.get("resources") or {}
    return [
        text
        for field in ("requests", "limits")
        for text in fractional(resources.get(field), ("storage",), f"{path}.resources.{field}")
    ]


def address(value: str, path: str) -> list[str]:
    """An IP address that is valid, but not in the form it should have."""
    found = parse_ip(value)
    if found is None:
        return []
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    if mapped is not None or (found.version == 4 and str(found) != value):
        better = mapped or found
        return [
            f'{path}: non-standard IP address "{value}" will be considered invalid in a future Kubernetes'
            f' release: use "{better}"'
        ]
    if str(found) != value:
        return [f'{path}: IPv6 address "{value}" should be in RFC 5952 canonical format ("{found}")']
    return []


def network(value: str, path: str) -> list[str]:
    """The same for a network."""
    found = parse_cidr(value)
    if found is None:
        return []
    written, net = found
    if written != net.network_address:
        return [
            f'{path}: CIDR value "{value}" is ambiguous in this context (should be "{net}" or'
            f' "{written}/{net.max_prefixlen}"?)'
        ]
    if net.version == 4 and str(net) != value:
        return [
            f'{path}: non-standard CIDR value "{value}" will be considered invalid in a future Kubernetes'
            f' release: use "{net}"'
        ]
    if str(net) != value:
        return [f'{path}: IPv6 CIDR value "{value}" should be in RFC 5952 canonical format ("{net}")']
    return []
