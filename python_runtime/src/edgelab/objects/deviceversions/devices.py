"""Device in both layouts.

v1alpha2 chooses the node by a selector, keeps visitors apart from wanted values (which users write into
`status.twins`), gives cycles in nanoseconds and names protocols by the key of an object; v1beta1 has a node
name and one list of properties with visitor, wanted value and cycles in milliseconds. Mappers of v1alpha2
reported all that they read; since v1beta1 a property says so (`reportToCloud`).
What devices report is in `status.twins` of both (a DeviceStatus of the same name holds it since 1.23).
"""

from __future__ import annotations

from typing import Any

from edgelab.objects.deviceversions import protocols
from edgelab.objects.deviceversions.fields import LayoutError, Obj, filled, mapping, mappings, text, whole
from edgelab.objects.deviceversions.remainder import ITEM, Shape, note_of, with_note

NANOSECONDS = 1_000_000
"""In a millisecond."""
CYCLES = ("reportCycle", "collectCycle")
VISITORS = ("spec", "propertyVisitors")
PROTOCOL = "protocol"
"""Under which a visitor's protocol, whose key is its name, is compared as one thing."""

ALPHA = Shape(
    {VISITORS: "propertyName", ("status", "twins"): "propertyName"},
    frozenset({("spec", "protocol"), ("spec", "nodeSelector"), (*VISITORS, ITEM, PROTOCOL)}),
)
BETA = Shape({("spec", "properties"): "name", ("status", "twins"): "propertyName"})


def to_beta(obj: Obj) -> Obj:
    """A v1alpha2 device as v1beta1. Raises LayoutError."""
    new = BETA.restore(_beta(obj), note_of(obj))
    note = ALPHA.note(_gathered(_alpha(new)), _gathered(obj))
    return {**new, "metadata": with_note(obj["metadata"], note)}


def to_alpha(obj: Obj) -> Obj:
    """A v1beta1 device as v1alpha2. Raises LayoutError."""
    old = _spread(ALPHA.restore(_gathered(_alpha(obj)), note_of(obj)))
    note = BETA.note(_beta(old), obj)
    return {**old, "metadata": with_note(obj["metadata"], note)}


def _beta(obj: Obj) -> Obj:
    spec, status = mapping(obj, "spec", "device"), mapping(obj, "status", "device")
    new = filled(
        deviceModelRef=mapping(spec, "deviceModelRef", "spec"),
        nodeName=_node_of(spec),
        protocol=protocols.to_beta(mapping(spec, "protocol", "spec"), "spec.protocol"),
        properties=_properties(spec, status),
    )
    twins = [
        filled(propertyName=text(twin, "propertyName", path), reported=twin.get("reported"))
        for twin, path in mappings(status, "twins", "status")
        if twin.get("reported")
    ]
    return _whole(obj, "v1beta1", new, {**_without(status, "twins"), **filled(twins=twins)})


def _alpha(obj: Obj) -> Obj:
    spec, status = mapping(obj, "spec", "device"), mapping(obj, "status", "device")
    visitors: list[Obj] = []
    twins: dict[str, Obj] = {}
    for new, path in mappings(spec, "properties", "spec"):
        name = text(new, "name", path)
        if visitor := _visitor(new, name, path):
            visitors.append(visitor)
        if desired := mapping(new, "desired", path):
            twins[name] = {"propertyName": name, "desired": desired}
    for twin, path in mappings(status, "twins", "status"):
        name = text(twin, "propertyName", path)
        twins[name] = {**twins.get(name, {"propertyName": name}), **filled(reported=twin.get("reported"))}
    old = filled(
        deviceModelRef=mapping(spec, "deviceModelRef", "spec"),
        nodeSelector=_selector_for(text(spec, "nodeName", "spec")),
        protocol=protocols.to_alpha(mapping(spec, "protocol", "spec"), "spec.protocol"),
        propertyVisitors=visitors,
    )
    return _whole(obj, "v1alpha2", old, {**_without(status, "twins"), **filled(twins=list(twins.values()))})


def _properties(spec: Obj, status: Obj) -> list[Obj]:
    """Visitors and wanted values, joined by the property's name; those with a visitor come first."""
    found: dict[str, Obj] = {}
    for visitor, path in mappings(spec, "propertyVisitors", "spec"):
        name = text(visitor, "propertyName", path)
        if name in found:
            raise LayoutError(f"{path}.propertyName: {name!r} has a visitor already")
        cycles = {key: whole(visitor, key, path) for key in CYCLES}
        found[name] = filled(name=name, visitors=protocols.visitor_to_beta(visitor, path), reportToCloud=True)
        found[name] |= {key: value // NANOSECONDS for key, value in cycles.items() if value is not None}
    for twin, path in mappings(status, "twins", "status"):
        desired = mapping(twin, "desired", path)
        if "value" in desired:
            found.setdefault(name := text(twin, "propertyName", path), {"name": name})["desired"] = desired
    return list(found.values())


def _visitor(prop: Obj, name: str, path: str) -> Obj:
    visitors = mapping(prop, "visitors", path)
    cycles = {key: whole(prop, key, path) for key in CYCLES}
    times = {key: value * NANOSECONDS for key, value in cycles.items() if value is not None}
    if not visitors and not times:
        return {}
    return {"propertyName": name, **times, **protocols.visitor_to_alpha(visitors, f"{path}.visitors")}


def _gathered(old: Obj) -> Obj:
    """A v1alpha2 device whose visitors have what is about their protocol under one key."""
    spec = mapping(old, "spec", "device")
    visitors = [
        {key: visitor[key] for key in ("propertyName", *CYCLES) if key in visitor}
        | filled(protocol=_without(visitor, "propertyName", *CYCLES))
        for visitor, _ in mappings(spec, "propertyVisitors", "spec")
    ]
    return {**old, "spec": {**spec, **filled(propertyVisitors=visitors)}}


def _spread(gathered: Obj) -> Obj:
    spec = mapping(gathered, "spec", "device")
    visitors = [
        {**_without(visitor, PROTOCOL), **mapping(visitor, PROTOCOL, path)}
        for visitor, path in mappings(spec, "propertyVisitors", "spec")
    ]
    return {**gathered, "spec": {**spec, **filled(propertyVisitors=visitors)}}


def _node_of(spec: Obj) -> str:
    """The first value of the first expression, as KubeEdge reads a selector."""
    selector = mapping(spec, "nodeSelector", "spec")
    for term, path in mappings(selector, "nodeSelectorTerms", "spec.nodeSelector"):
        for expression, _ in mappings(term, "matchExpressions", path):
            values = expression.get("values")
            return values[0] if isinstance(values, list) and values and isinstance(values[0], str) else ""
    return ""


def _selector_for(node: str) -> Obj:
    if not node:
        return {}
    expression = {"key": "", "operator": "In", "values": [node]}
    return {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}


def _without(obj: Obj, *keys: str) -> Obj:
    return {name: value for name, value in obj.items() if name not in keys}


def _whole(old: Obj, version: str, spec: Obj, status: Obj) -> Obj:
    group = old["apiVersion"].partition("/")[0]
    new: dict[str, Any] = {"apiVersion": f"{group}/{version}", "kind": old["kind"]}
    return new | {"metadata": old["metadata"], "spec": spec} | ({"status": status} if status else {})
