"""Read the sensor, report to the twin."""

from __future__ import annotations

import logging

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.notify import notify, ready
from edgelab.daemon.tasks import Module, run_modules
from edgelab.mappers.cpu_temperature.options import Options
from edgelab.mappers.cpu_temperature.sensor import Sensor, find
from edgelab.mappers.sdk import Broker, DeviceTwin, Offline, Reading
from edgelab.mappers.sdk.agenda import Agenda
from edgelab.mappers.sdk.mqtt import password

log = logging.getLogger("edgelab.mappers.cpu_temperature")

KIND_PROPERTY = "sensor"
"""Second property of the device: thermal, hwmon or simulated."""
STATUS_SECONDS = 10.0


class Sampler:
    """A module: reads in the collect cycle; reports each new reading, at most once a report cycle.

    A reading that cannot be sent is dropped: the next one is newer. The kind of sensor goes along with
    every report until the edge has accepted one, and again after each loss of the broker.
    """

    name = "sampler"

    def __init__(
        self, sensor: Sensor, broker: Broker, twin: DeviceTwin, options: Options, *, clock: Clock = SYSTEM
    ) -> None:
        self.reported = 0
        self.dropped = 0
        self._sensor = sensor
        self._broker = broker
        self._twin = twin
        self._options = options
        self._clock = clock
        self._due = 0.0
        self._announced_at: int | None = None
        """What the twin had accepted when the sensor's kind was sent last; None before that."""
        self._failing = ""
        self._told = (0.0, False)
        """When systemd was told the last time, and whether there was a connection then."""

    async def run(self) -> None:
        """Sample until cancelled, at fixed moments: a slow reading does not shift those after it."""
        agenda = Agenda({self.name: self._options.collect_cycle}, self._clock.monotonic())
        while True:
            agenda.take(self._clock.monotonic())
            self.sample()
            self._tell()
            await self._clock.sleep(agenda.wait(self._clock.monotonic()) or 0.0)

    def sample(self) -> None:
        """One reading, and a report when one is due."""
        try:
            value = self._sensor.read()
        except (OSError, ValueError) as error:
            self._complain(f"{self._sensor.source} does not answer: {error}")
            return
        self._failing = ""
        now = self._clock.monotonic()
        if now < self._due:
            return
        # Half a collect cycle of tolerance keeps equal cycles in step with one another.
        self._due = now + self._options.report_cycle - self._options.collect_cycle / 2
        self._report(value)

    def _report(self, value: float) -> None:
        readings = {self._options.property: Reading(f"{value:.3f}", "float")}
        announce = self._announced_at is None or self._twin.accepted == self._announced_at
        try:
            if announce:
                self._twin.state("online")
                readings[KIND_PROPERTY] = Reading(self._sensor.kind)
            self._twin.report(readings)
        except Offline:
            self._announced_at = None
            self.dropped += 1
            return
        self.reported += 1
        if announce:
            self._announced_at = self._twin.accepted

    def _complain(self, text: str) -> None:
        if text != self._failing:
            log.warning("%s", text)
        self._failing = text

    def _tell(self) -> None:
        now, connected = self._clock.monotonic(), self._broker.connected
        if now - self._told[0] < STATUS_SECONDS and connected == self._told[1]:
            return
        self._told = (now, connected)
        link = "connected" if connected else "no broker"
        trouble = self._failing or self._twin.refusal
        text = f"{self._sensor.kind} sensor, {link}, {self.reported} reports, {self.dropped} dropped"
        notify(STATUS=f"{text}; {trouble}" if trouble else text)


async def serve(options: Options, clock: Clock = SYSTEM) -> None:
    """Run the mapper until cancelled."""
    sensor = find(options.sensor)
    broker = Broker(
        options.broker,
        f"cpu-temperature-{options.device}",
        username=options.username,
        password=password(options.password_file),
        clock=clock,
    )
    twin = DeviceTwin(broker, options.namespace, options.device)
    sampler = Sampler(sensor, broker, twin, options, clock=clock)
    log.info("%s reports %s (%s) as %s", twin.id, options.property, sensor.source, options.broker)
    ready(f"{sensor.kind} sensor")
    modules: list[Module] = [broker, sampler]
    await run_modules(modules)
