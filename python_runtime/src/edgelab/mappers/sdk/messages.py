"""Devices out of DMI's messages."""

from __future__ import annotations

import logging
from typing import Any

from edgelab.mappers.sdk.model import DEFAULT_CYCLE, Device, Method, Property, Scalar
from edgelab.mappers.sdk.values import KINDS
from edgelab.objects.pushmethods import NOTHING, parse
from edgelab.protocol.dmi.objects import push_method
from edgelab.protocol.dmi.values import unpack

log = logging.getLogger("edgelab.mappers.device")

DAY = 86_400.0


def build(device: Any, model: Any | None) -> Device:
    """A device from DMI's messages. Raises ValueError that names the field."""
    described = {item.name: item for item in model.spec.properties} if model is not None else {}
    properties = {}
    for index, item in enumerate(device.spec.properties):
        where = f"device.spec.properties[{index}]"
        if model is not None and item.name not in described:
            raise ValueError(f"{where}.name: model {model.name} has no property {item.name!r}")
        prop = properties[item.name] = _property(item, described.get(item.name), where)
        for name, cycle in (("collectCycle", prop.collect), ("reportCycle", prop.report)):
            if cycle > DAY:
                text = "%s: %s of %s is %d days: cycles are in ms, before KubeEdge 1.18 they were in ns"
                log.warning(text, device.name, name, item.name, cycle / DAY)
    status = device.status
    return Device(
        namespace=device.namespace or "default",
        name=device.name,
        model=device.spec.deviceModelReference,
        config=_config(device.spec.protocol.configData, "device.spec.protocol.configData"),
        properties=properties,
        methods=tuple(
            Method(item.name, item.description, tuple(item.propertyNames)) for item in device.spec.methods
        ),
        state_cycle=_seconds(status.reportCycle) if status.reportToCloud else 0.0,
    )


def _property(item: Any, described: Any | None, where: str) -> Property:
    kind = (described.type if described is not None else item.desired.metadata.get("type", "")).lower()
    return Property(
        name=item.name,
        type=kind if kind in KINDS else "string",
        writable=described is None or described.accessMode != "ReadOnly",
        description=described.description if described is not None else "",
        unit=described.unit if described is not None else "",
        minimum=described.minimum if described is not None else "",
        maximum=described.maximum if described is not None else "",
        desired=item.desired.value,
        visitor=_config(item.visitors.configData, f"{where}.visitors.configData"),
        collect=_seconds(item.collectCycle),
        report=item.reportCycle / 1000 if item.reportCycle > 0 else 0.0,
        to_cloud=item.reportToCloud,
        push=parse(push_method(item.pushMethod)) if item.HasField("pushMethod") else NOTHING,
    )


def _config(container: Any, where: str) -> dict[str, Scalar]:
    try:
        return unpack(container.data)
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from None


def _seconds(milliseconds: int) -> float:
    return milliseconds / 1000 if milliseconds > 0 else DEFAULT_CYCLE
