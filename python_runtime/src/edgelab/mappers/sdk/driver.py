"""What the author of a mapper writes: how one device is reached, read and written."""

from __future__ import annotations

from edgelab.mappers.sdk.model import Device, Property
from edgelab.mappers.sdk.values import Value

DEVICE_ERRORS = (OSError, ValueError, LookupError)
"""What a driver raises when its device does not answer, or answers nonsense (TimeoutError is an OSError)."""


class BadValue(ValueError):
    """The device must not have this value: it is told once, and the device counts as well."""


class Driver:
    """One device. The methods are called one at a time, and may take ten seconds each.

    `device` has the connection's parameters in `config`, and each property's address in `visitor`.
    Errors (OSError, ValueError, LookupError) mean that the device does not answer now.
    """

    def __init__(self, device: Device) -> None:
        self.device = device

    async def open(self) -> None:
        """Find and connect the device; called again after repeated errors."""

    async def read(self, prop: Property) -> Value:
        """One reading."""
        raise NotImplementedError

    async def write(self, prop: Property, value: Value) -> None:
        """Carry a wanted value, already of the property's type, to the device."""
        raise ValueError(f"{prop.name} cannot be written")

    async def state(self) -> str:
        """The device's health in KubeEdge's words: online, ok, offline, unhealthy or unknown."""
        return "online"

    async def close(self) -> None:
        """Let the device go."""
