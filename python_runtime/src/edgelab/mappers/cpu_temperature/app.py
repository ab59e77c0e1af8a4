"""Read the sensor, report to the twin."""

from __future__ import annotations

import logging
from contextlib import suppress

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.notify import notify, ready
from edgelab.daemon.tasks import Module, run_modules
from edgelab.mappers.cpu_temperature.options import Options
from edgelab.mappers.cpu_temperature.sensor import Sensor, find
from edgelab.mappers.sdk import Broker, DeviceTwin, Offline, Reading
from edgelab.mappers.sdk.agenda import Agenda
from edgelab.mappers.sdk.history import History
from edgelab.mappers.sdk.mqtt import password

log = logging.getLogger("edgelab.mappers.cpu_temperature")

KIND_PROPERTY = "sensor"
"""Second property of the device: thermal, hwmon or simulated."""
STATUS_SECONDS = 10.0


class Sampler:
    """A module: reads in the collect cycle; reports each new reading, at most once a report cycle.

    A reading that cannot be sent waits in the history. The kind of sensor goes along with the first report,
    and again after each loss of the broker.
    """

    name = "sampler"

    def __init__(
        self,
        sensor: Sensor,
        broker: Broker,
        twin: DeviceTwin,
        history: History,
        options: Options,
        *,
        clock: Clock = SYSTEM,
    ) -> None:
        self._sensor = sensor
        self._broker = broker
        self._twin = twin
        self._history = history
        self._options = options
        self._clock = clock
        self._due = 0.0
        self._is_announced = False
        """Whether the kind of sensor is on its way, or there, on this connection."""
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
        now = round(self._clock.now().timestamp() * 1000)
        readings = {self._options.property: Reading(f"{value:.3f}", "float", now)}
        self._is_announced &= self._broker.connected
        if not self._is_announced:
            readings[KIND_PROPERTY] = Reading(self._sensor.kind, time=now)
            with suppress(Offline):
                self._twin.state("online")
                self._is_announced = True
        self._history.put(readings)

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
        counts = (
            f"{self._twin.accepted} accepted, {self._history.waiting} wait, {self._history.dropped} dropped"
        )
        text = f"{self._sensor.kind} sensor, {link}, reports: {counts}"
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
    history = History(broker, twin, clock=clock)
    sampler = Sampler(sensor, broker, twin, history, options, clock=clock)
    log.info("%s reports %s (%s) as %s", twin.id, options.property, sensor.source, options.broker)
    ready(f"{sensor.kind} sensor")
    modules: list[Module] = [broker, history, sampler]
    await run_modules(modules)
