"""How a device, and each of its properties, is reached: a name and free data since v1beta1, a key before."""

from __future__ import annotations

from edgelab.objects.deviceversions.fields import LayoutError, Obj, filled, mapping, text

BUILT_IN = ("modbus", "opcua", "bluetooth")
CUSTOM = "customizedProtocol"
COMMON = (
    *("com", "tcp", "commType", "reconnTimeout", "reconnRetryTimes"),
    *("collectTimeout", "collectRetryTimes", "collectType", "customizedValues"),
)
"""Fields of v1alpha2's `protocol.common`."""
VALUES = "customizedValues"


def to_beta(protocol: Obj, where: str) -> Obj:
    """`spec.protocol`: what all protocols have in common joins the data of the one."""
    name, data = _chosen(protocol, where)
    return filled(protocolName=name, configData={**data, **mapping(protocol, "common", where)})


def to_alpha(protocol: Obj, where: str) -> Obj:
    """`spec.protocol` as it was."""
    name, data = text(protocol, "protocolName", where), mapping(protocol, "configData", where)
    if name not in BUILT_IN:
        return {CUSTOM: filled(protocolName=name, configData=data)} if name or data else {}
    own = {key: value for key, value in data.items() if key not in COMMON}
    return {name: own, **filled(common={key: data[key] for key in COMMON if key in data})}


def visitor_to_beta(visitor: Obj, where: str) -> Obj:
    """`visitors` of a property, out of one of v1alpha2's `propertyVisitors`."""
    name, data = _chosen(visitor, where)
    return filled(protocolName=name, configData={**data, **filled(**{VALUES: visitor.get(VALUES)})})


def visitor_to_alpha(visitors: Obj, where: str) -> Obj:
    """The protocol's part of one of `propertyVisitors`."""
    name, data = text(visitors, "protocolName", where), mapping(visitors, "configData", where)
    own = {key: value for key, value in data.items() if key != VALUES}
    values = filled(**{VALUES: data.get(VALUES)})
    if name in BUILT_IN:
        return {name: own, **values}
    return {**({CUSTOM: filled(protocolName=name, configData=own)} if name or own else {}), **values}


def _chosen(obj: Obj, where: str) -> tuple[str, Obj]:
    found = [key for key in (*BUILT_IN, CUSTOM) if obj.get(key) is not None]
    if len(found) > 1:
        raise LayoutError(f"{where}: expected one protocol, found {' and '.join(found)}")
    if not found:
        return "", {}
    inner = mapping(obj, found[0], where)
    if found[0] != CUSTOM:
        return found[0], inner
    path = f"{where}.{CUSTOM}"
    return text(inner, "protocolName", path), mapping(inner, "configData", path)
