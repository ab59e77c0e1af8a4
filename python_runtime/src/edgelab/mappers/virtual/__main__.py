"""The program `edgelab-virtual-mapper`. The device's property `sensor` says that it is simulated."""

from __future__ import annotations

import sys
import time

from edgelab.mappers.sdk import Device, Driver, Property, Value
from edgelab.mappers.sdk.app import main
from edgelab.mappers.virtual.waves import wave


class VirtualDevice(Driver):
    """A visitor's `configData` names waveform, period (seconds), minimum and maximum of a number."""

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self._start = time.monotonic()
        self._written: dict[str, Value] = {}

    async def read(self, prop: Property) -> Value:
        """The waveform now, at most a number that was written; of other types what was written."""
        if prop.name == "sensor":
            return "simulated"
        if prop.type not in ("int", "float", "double"):
            return self._written.get(prop.name, False if prop.type == "boolean" else "")
        given = prop.visitor.get
        low = float(given("minimum", prop.minimum or 0))
        high = float(self._written.get(prop.name, given("maximum", prop.maximum or 100)))
        seconds = time.monotonic() - self._start
        level = wave(str(given("waveform", "random")), seconds, float(given("period", 60)))
        value = low + (high - low) * level
        return round(value) if prop.type == "int" else round(value, 3)

    async def write(self, prop: Property, value: Value) -> None:
        """Keep it."""
        self._written[prop.name] = value


def run() -> int:
    """Run the mapper; the exit status."""
    return main("edgelab-virtual-mapper", VirtualDevice, protocol="virtual")


if __name__ == "__main__":
    sys.exit(run())
