"""One device as a reader wants it: its Device, DeviceStatus and DeviceModel in one, values in their types.

Shapes: KubeEdge API devices.kubeedge.io/v1beta1 (docs/reference/devices.md).
"""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

from edgelab.daemon.clock import rfc3339_milli
from edgelab.kube.interface import Obj
from edgelab.protocol.twin import normal_type, value_problem


def join(device: Obj, status: Obj | None, model: Obj | None, now: dt.datetime) -> Obj:
    """The device as `keadm device` tells of it, also where it has no DeviceStatus or DeviceModel.

    Before KubeEdge 1.23 what is reported was in the Device itself, so that is looked at as well.
    """
    spec = device.get("spec") or {}
    reported = {**(device.get("status") or {}), **((status or {}).get("status") or {})}
    return {
        "name": device["metadata"]["name"],
        "namespace": device["metadata"].get("namespace", "default"),
        "labels": device["metadata"].get("labels") or {},
        "model": model_name(device),
        "node": spec.get("nodeName") or "",
        "protocol": (spec.get("protocol") or {}).get("protocolName") or "",
        "state": reported.get("state") or "",
        "lastOnlineTime": reported.get("lastOnlineTime") or "",
        "properties": _properties(model, spec, reported.get("twins") or [], now),
    }


def model_name(device: Obj) -> str:
    """The name of its DeviceModel, which is in the same namespace; empty when it has none."""
    return str(((device.get("spec") or {}).get("deviceModelRef") or {}).get("name") or "")


def _properties(model: Obj | None, spec: Obj, twins: list[Obj], now: dt.datetime) -> dict[str, Obj]:
    """All that the model, the device or a report names, in this order."""
    kinds = by_name(((model or {}).get("spec") or {}).get("properties"))
    wanted = by_name(spec.get("properties"))
    reports = by_name(twins, "propertyName")
    return {
        name: _property(kinds.get(name, {}), wanted.get(name, {}), reports.get(name, {}), now)
        for name in dict.fromkeys((*kinds, *wanted, *reports))
    }


def by_name(items: list[Obj] | None, key: str = "name") -> dict[str, Obj]:
    """Entries of a list by their name."""
    return {str(item[key]): item for item in items or [] if item.get(key)}


def _property(kind: Obj, wanted: Obj, report: Obj, now: dt.datetime) -> Obj:
    name = kind.get("type") or ""
    return {
        "type": name,
        "accessMode": kind.get("accessMode") or "",
        "unit": kind.get("unit") or "",
        "reportToCloud": bool(wanted.get("reportToCloud")),
        "desired": _value(name, wanted.get("desired")),
        "reported": _stamped(name, report.get("reported"), now),
        "observedDesired": _stamped(name, report.get("observedDesired"), now),
    }


def _value(kind: str, half: Obj | None) -> Obj | None:
    return None if half is None else {"value": typed(kind, str(half.get("value", "")))}


def _stamped(kind: str, half: Obj | None, now: dt.datetime) -> Obj | None:
    """A half of a twin with its time; None while nothing was reported."""
    told = _value(kind, half)
    if told is None:
        return None
    moment = _moment(((half or {}).get("metadata") or {}).get("timestamp"))
    age = None if moment is None else round((now - moment).total_seconds(), 3)
    return {**told, "timestamp": None if moment is None else rfc3339_milli(moment), "age": age}


def _moment(text: Any) -> dt.datetime | None:
    """Milliseconds since 1970 as the cloud writes them, in decimal digits."""
    try:
        return dt.datetime.fromtimestamp(int(text) / 1000, dt.UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def typed(kind: str, text: str) -> Any:
    """The value in its model's type: a number, true or false; the text itself where it is none of that."""
    normal = normal_type(kind)
    if not text or value_problem(normal, text):
        return text
    if normal == "int":
        return int(text)
    if normal == "float":
        number = float(text)
        return number if math.isfinite(number) else text
    return text == "true" if normal == "boolean" else text
