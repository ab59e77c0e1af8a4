"""Device in both layouts.

v1alpha2 chooses the node by a selector, keeps visitors apart from wanted values (which users write into
`status.twins`), gives cycles in nanoseconds and names protocols by the key of an object; v1beta1 has a node
name and one list of properties with visitor, wanted value and cycles in milliseconds.
What devices report is in `status.twins` of both (a DeviceStatus of the same name holds it since 1.23).
"""

from __future__ import annotations

from typing import Any

from edgelab.objects.deviceversions import protocols
from edgelab.objects.deviceversions.fields import (
    Obj,
    filled,
    mapping,
    mappings,
    part,
    rest_of,
    text,
    whole,
    with_rest,
)

NANOSECONDS = 1_000_000
"""In a millisecond."""
CYCLES = ("reportCycle", "collectCycle")
BETA_ONLY = ("methods", "stateReport")
BETA_ONLY_OF_PROPERTIES = ("reportToCloud", "pushMethod")


def to_beta(obj: Obj) -> Obj:
    """A v1alpha2 device as v1beta1. Raises LayoutError."""
    spec, status, rest = mapping(obj, "spec", "device"), mapping(obj, "status", "device"), rest_of(obj)
    properties = _properties(spec, status, rest)
    node, selector = _node_of(spec)
    new = filled(
        deviceModelRef=mapping(spec, "deviceModelRef", "spec"),
        nodeName=node,
        protocol=protocols.to_beta(mapping(spec, "protocol", "spec"), "spec.protocol"),
        properties=properties,
    )
    new |= {key: rest[key] for key in BETA_ONLY if rest.get(key)}
    metadata = with_rest(obj["metadata"], {"data": spec.get("data"), "nodeSelector": selector})
    twins = [
        filled(propertyName=text(twin, "propertyName", path), reported=twin.get("reported"))
        for twin, path in mappings(status, "twins", "status")
        if twin.get("reported")
    ]
    return _whole(obj, "v1beta1", metadata, new, {**_without(status, "twins"), **filled(twins=twins)})


def to_alpha(obj: Obj) -> Obj:
    """A v1beta1 device as v1alpha2. Raises LayoutError."""
    spec, status, rest = mapping(obj, "spec", "device"), mapping(obj, "status", "device"), rest_of(obj)
    visitors: list[Obj] = []
    twins: dict[str, Obj] = {}
    extras: Obj = {}
    bare: list[str] = []
    for new, path in mappings(spec, "properties", "spec"):
        name = text(new, "name", path)
        visitor = _visitor(new, name, path)
        if visitor:
            visitors.append(visitor)
        if new.get("desired"):
            twins[name] = {"propertyName": name, "desired": new["desired"]}
        elif not visitor:
            bare.append(name)
        extras[name] = filled(**{key: new.get(key) for key in BETA_ONLY_OF_PROPERTIES})
    for twin, path in mappings(status, "twins", "status"):
        name = text(twin, "propertyName", path)
        twins[name] = {**twins.get(name, {"propertyName": name}), **filled(reported=twin.get("reported"))}
    old = filled(
        deviceModelRef=mapping(spec, "deviceModelRef", "spec"),
        nodeSelector=_selector_for(text(spec, "nodeName", "spec"), part(rest, "nodeSelector")),
        protocol=protocols.to_alpha(mapping(spec, "protocol", "spec"), "spec.protocol"),
        propertyVisitors=visitors,
        data=part(rest, "data"),
    )
    kept: Obj = {key: spec.get(key) for key in BETA_ONLY}
    kept |= {"properties": {name: extra for name, extra in extras.items() if extra}, "bare": bare}
    metadata = with_rest(obj["metadata"], kept)
    state = {**_without(status, "twins"), **filled(twins=list(twins.values()))}
    return _whole(obj, "v1alpha2", metadata, old, state)


def _properties(spec: Obj, status: Obj, rest: Obj) -> list[Obj]:
    """Visitors and wanted values, joined by the property's name; those with a visitor come first."""
    found: dict[str, Obj] = {}
    for visitor, path in mappings(spec, "propertyVisitors", "spec"):
        name = text(visitor, "propertyName", path)
        cycles = {key: whole(visitor, key, path) for key in CYCLES}
        found[name] = {"name": name, "visitors": protocols.visitor_to_beta(visitor, path)}
        found[name] |= {key: value // NANOSECONDS for key, value in cycles.items() if value is not None}
    for twin, path in mappings(status, "twins", "status"):
        desired = mapping(twin, "desired", path)
        if "value" in desired:
            found.setdefault(name := text(twin, "propertyName", path), {"name": name})["desired"] = desired
    for name in rest.get("bare") or ():
        found.setdefault(name, {"name": name})
    for name, extra in part(rest, "properties").items():
        if name in found:
            found[name] |= extra
    return [{key: value for key, value in prop.items() if value != {}} for prop in found.values()]


def _visitor(prop: Obj, name: str, path: str) -> Obj:
    visitors = mapping(prop, "visitors", path)
    cycles = {key: whole(prop, key, path) for key in CYCLES}
    if not visitors and not any(cycles.values()):
        return {}
    times = {key: value * NANOSECONDS for key, value in cycles.items() if value is not None}
    return {"propertyName": name, **times, **protocols.visitor_to_alpha(visitors, f"{path}.visitors")}


def _node_of(spec: Obj) -> tuple[str, Obj]:
    """The node (the first value of the first expression, as KubeEdge reads it), and a selector that says
    more than that."""
    selector = mapping(spec, "nodeSelector", "spec")
    for term, path in mappings(selector, "nodeSelectorTerms", "spec.nodeSelector"):
        for expression, _ in mappings(term, "matchExpressions", path):
            values = expression.get("values") or [""]
            node = values[0] if isinstance(values[0], str) else ""
            return node, {} if selector == _simple(node) else selector
    return "", selector


def _selector_for(node: str, kept: Obj) -> Obj:
    if kept and _node_of({"nodeSelector": kept})[0] == node:
        return kept
    return _simple(node) if node else {}


def _simple(node: str) -> Obj:
    expression = {"key": "", "operator": "In", "values": [node]}
    return {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}


def _without(obj: Obj, key: str) -> Obj:
    return {name: value for name, value in obj.items() if name != key}


def _whole(old: Obj, version: str, metadata: Obj, spec: Obj, status: Obj) -> Obj:
    group = old["apiVersion"].partition("/")[0]
    new: dict[str, Any] = {"apiVersion": f"{group}/{version}", "kind": old["kind"], "metadata": metadata}
    return new | {"spec": spec} | ({"status": status} if status else {})
