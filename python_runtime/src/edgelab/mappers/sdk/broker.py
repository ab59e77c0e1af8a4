"""Plain MQTT: devices of the configuration file, reports and desired values over EdgeCore's topics."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from edgelab.mappers.sdk.device import DeviceTwin, Reading
from edgelab.mappers.sdk.fleet import Fleet
from edgelab.mappers.sdk.link import Offline, Reported
from edgelab.mappers.sdk.model import Device
from edgelab.mappers.sdk.mqtt import Broker
from edgelab.mappers.sdk.mqtt import Offline as NoBroker


class MqttLink:
    """A module, and the fleet's way to EdgeCore, for an EdgeCore without DMI or one on another machine.

    What is wanted arrives as the twins' deltas, and is asked for after each connection.
    """

    name = "mqtt"

    def __init__(self, broker: Broker, fleet: Fleet, models: Sequence[Any], devices: Sequence[Any]) -> None:
        self._broker = broker
        self._fleet = fleet
        self._models, self._devices = models, devices
        self._twins: dict[str, DeviceTwin] = {}
        broker.on_connected(self._ask)
        for device in devices:
            name = f"{device.namespace or 'default'}/{device.name}"
            self._twins[name] = DeviceTwin(
                broker, device.namespace or "default", device.name, wanted=partial(fleet.desire, name)
            )

    async def run(self) -> None:
        """Stay connected."""
        self._fleet.replace(self._models, self._devices)
        await self._broker.run()

    async def report(self, device: Device, values: Mapping[str, Reported]) -> None:
        """Send values; EdgeCore's answer, if it refuses, is told in the log."""
        readings = {name: Reading(value.value, value.type, value.time) for name, value in values.items()}
        try:
            self._twins[device.id].report(readings)
        except NoBroker as error:
            raise Offline(str(error)) from None

    async def report_state(self, device: Device, state: str) -> None:
        """Send the state."""
        try:
            self._twins[device.id].state(state)
        except NoBroker as error:
            raise Offline(str(error)) from None

    def _ask(self) -> None:
        with contextlib.suppress(NoBroker):  # the next connection asks again
            for twin in self._twins.values():
                twin.ask()
