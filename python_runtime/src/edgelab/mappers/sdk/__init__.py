"""What every mapper needs: its devices' life, a way to EdgeCore (DMI or MQTT), and a REST API.

A mapper is a `Driver` and a call of `main`; see docs/how-to/write-a-mapper.md. Whoever wants less takes
`Broker` and `DeviceTwin`, which speak KubeEdge's MQTT topics (`$hw/events/device/...`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgelab.daemon.withouttls import without_tls

with without_tls():
    import_module("asyncio")  # before all others: DMI needs no TLS

from edgelab.mappers.sdk.driver import BadValue, Driver
from edgelab.mappers.sdk.model import Device, Method, Property
from edgelab.mappers.sdk.values import Value

if TYPE_CHECKING:
    from edgelab.mappers.sdk.device import DeviceTwin, Reading
    from edgelab.mappers.sdk.mqtt import Broker, Offline

__all__ = [
    "BadValue",
    "Broker",
    "Device",
    "DeviceTwin",
    "Driver",
    "Method",
    "Offline",
    "Property",
    "Reading",
    "Value",
]
WITH_MQTT = {"Broker": "mqtt", "DeviceTwin": "device", "Offline": "mqtt", "Reading": "device"}
"""These come with paho (1.5 MiB) when they are asked for: a mapper on DMI has no use for it."""


def __getattr__(name: str) -> Any:
    if name not in WITH_MQTT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{WITH_MQTT[name]}"), name)
