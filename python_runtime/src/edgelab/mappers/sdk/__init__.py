"""What every mapper needs: its devices' life, a way to EdgeCore (DMI or MQTT), and a REST API.

A mapper is a `Driver` and a call of `main`; see docs/how-to/write-a-mapper.md. Whoever wants less takes
`Broker` and `DeviceTwin`, which speak KubeEdge's MQTT topics (`$hw/events/device/...`).
"""

from edgelab.mappers.sdk.device import DeviceTwin, Reading
from edgelab.mappers.sdk.driver import BadValue, Driver
from edgelab.mappers.sdk.model import Device, Method, Property
from edgelab.mappers.sdk.mqtt import Broker, Offline
from edgelab.mappers.sdk.values import Value

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
