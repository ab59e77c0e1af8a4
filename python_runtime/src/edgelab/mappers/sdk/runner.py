"""The life of one device: connect, write what is wanted, read in cycles, watch its health."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any, NoReturn, TypeVar

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock, happens
from edgelab.mappers.sdk.agenda import Agenda
from edgelab.mappers.sdk.driver import DEVICE_ERRORS, BadValue, Driver
from edgelab.mappers.sdk.link import Link, Reported
from edgelab.mappers.sdk.model import Device, Property
from edgelab.mappers.sdk.outbox import Outbox
from edgelab.mappers.sdk.values import Value, to_text

log = logging.getLogger("edgelab.mappers.device")

T = TypeVar("T")

DRIVER_DEADLINE = 10.0
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
FAILURES = 3
"""Failed calls in a row after which the device is connected anew."""
STATE = ""
"""Stands for the device's health among its properties, none of which is empty."""


class NotThere(LookupError):
    """There is no such device, property or method."""


class Runner:
    """Owns a driver. `latest` has the newest report of each property."""

    def __init__(
        self, driver: Driver, link: Link, clock: Clock, push: Callable[[str, Reported], None] | None = None
    ) -> None:
        self.device = driver.device
        self.latest: dict[str, Reported] = {}
        self.health = "unknown"
        self._driver = driver
        self._clock = clock
        self._outbox = Outbox(driver.device, link, clock)
        self._push = push
        """Takes the readings of properties with a `pushMethod`."""
        self._due: dict[str, float] = {}
        self._push_due: dict[str, float] = {}
        self._turn = asyncio.Lock()
        self._failures = 0
        self._ailing = True
        """Whether nothing good is known of the device since it failed last."""
        self._complaint = ""
        self._unwritten: set[str] = set()
        self._wanted = asyncio.Event()

    async def run(self, after: Collection[asyncio.Task[None]] = ()) -> None:
        """Work until cancelled; `after` are earlier runners of the device, which have to be done first."""
        if after:
            await asyncio.wait(after)
        self._want(self.device.properties)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._outbox.run(), name=f"{self.device.id}/outbox")
                group.create_task(self._live(), name=f"{self.device.id}/device")
        finally:
            try:
                async with asyncio.timeout(DRIVER_DEADLINE):
                    await self._driver.close()
            except DEVICE_ERRORS as error:
                log.info("%s: %s", self.device.id, error)

    def update(self, device: Device) -> None:
        """Take other desired values; everything else of the device is as it was."""
        changed = [
            name for name, prop in device.properties.items() if prop != self.device.properties.get(name)
        ]
        self.device = self._driver.device = device
        self._want(changed)

    async def read(self, name: str) -> Reported:
        """Read a property now. Raises NotThere and the driver's errors."""
        prop = self._property(name)
        return self._keep(prop, await self._call(self._driver.read, prop))

    async def write(self, name: str, text: str) -> None:
        """Write a property now. Raises NotThere, BadValue and the driver's errors."""
        prop = self._property(name)
        if not prop.writable:
            raise BadValue(f"{name}: the property is read-only")
        try:
            value = prop.parse(text)
        except ValueError as error:
            raise BadValue(f"{name}: {error}") from None
        await self._call(self._driver.write, prop, value)

    def _property(self, name: str) -> Property:
        found = self.device.properties.get(name)
        if found is None:
            raise NotThere(f"device {self.device.id} has no property {name!r}")
        return found

    def _want(self, names: Iterable[str]) -> None:
        wanted = {name for name in names if self._wants(name)}
        self._unwritten |= wanted
        if wanted:
            self._wanted.set()

    def _wants(self, name: str) -> bool:
        prop = self.device.properties[name]
        return prop.writable and bool(prop.desired)

    async def _live(self) -> NoReturn:
        waits = delays(FIRST_WAIT, LONGEST_WAIT)
        while True:
            try:
                await self._call(self._driver.open)
            except DEVICE_ERRORS as error:
                self._complain(f"cannot be reached: {_cause(error)}")
                self._ailing = True
                self._feel("offline")
                await self._clock.sleep(next(waits))
                continue
            self._failures = 0
            self._unwritten |= {name for name in self.device.properties if self._wants(name)}
            await self._cycle()
            log.warning("%s is connected anew after %d errors", self.device.id, FAILURES)
            await self._clock.sleep(next(waits))

    async def _cycle(self) -> None:
        """Write and read in cycles, until the device has failed several times in a row."""
        cycles = {name: prop.cycle for name, prop in self.device.properties.items()}
        if self.device.state_cycle:
            cycles[STATE] = self.device.state_cycle
        agenda = Agenda(cycles, self._clock.monotonic())
        while self._failures < FAILURES:
            await self._write_wanted()
            if await self._pause(agenda.wait(self._clock.monotonic())):
                continue
            name = agenda.take(self._clock.monotonic())
            await (self._ask_health() if name == STATE else self._collect(name))

    async def _pause(self, seconds: float | None) -> bool:
        """Wait for the next moment; True when something is wanted before."""
        self._wanted.clear()
        if seconds == 0:
            return False
        if seconds is None:
            return await self._wanted.wait()
        return await happens(self._wanted, seconds, self._clock)

    async def _write_wanted(self) -> None:
        for name in sorted(self._unwritten):
            self._unwritten.discard(name)
            prop = self.device.properties[name]
            try:
                value = _wanted(prop)
                await self._call(self._driver.write, prop, value)
            except BadValue as error:
                log.warning("%s: the desired value of %s is not written: %s", self.device.id, name, error)
                continue
            except DEVICE_ERRORS as error:
                self._fail(f"{name} cannot be written: {_cause(error)}")
                self._unwritten.add(name)
                return
            self._due.pop(name, None)  # the next reading shows the effect: it is reported at once

    async def _collect(self, name: str) -> None:
        prop = self.device.properties[name]
        try:
            reported = self._keep(prop, await self._call(self._driver.read, prop))
        except DEVICE_ERRORS as error:
            self._fail(f"{name} cannot be read: {_cause(error)}")
            return
        self._failures, self._complaint = 0, ""
        if self._ailing:
            self._ailing = False
            await self._ask_health()
        if self._push and prop.push.methods and self._is_due(self._push_due, prop, prop.report):
            self._push(name, reported)
        if prop.to_cloud and self._is_due(self._due, prop, prop.report_cycle):
            self._outbox.put(name, reported)

    def _is_due(self, due: dict[str, float], prop: Property, cycle: float) -> bool:
        """Whether `cycle` seconds are over since the last time; always, when readings are as rare."""
        now = self._clock.monotonic()
        if cycle > prop.cycle and now < due.get(prop.name, now):
            return False
        # Half a reading's cycle of tolerance keeps equal cycles in step with one another.
        due[prop.name] = now + max(0.0, cycle - prop.cycle / 2)
        return True

    async def _ask_health(self) -> None:
        try:
            state = await self._call(self._driver.state)
        except DEVICE_ERRORS as error:
            self._fail(f"its state cannot be read: {_cause(error)}")
            state = "unhealthy"
        self._feel(state, always=True)

    def _keep(self, prop: Property, value: Value) -> Reported:
        time = int(self._clock.now().timestamp() * 1000)
        reported = Reported(to_text(value), prop.type, prop.desired, time)
        self.latest[prop.name] = reported
        return reported

    def _feel(self, state: str, *, always: bool = False) -> None:
        if self.device.state_cycle and (always or state != self.health):
            self._outbox.put_state(state)
        self.health = state

    def _fail(self, text: str) -> None:
        self._failures += 1
        self._ailing = True
        self._complain(text)
        self._feel("unhealthy")

    def _complain(self, text: str) -> None:
        level = logging.DEBUG if text == self._complaint else logging.WARNING
        log.log(level, "%s %s", self.device.id, text)
        self._complaint = text

    async def _call(self, work: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """One call of the driver at a time. Raises DEVICE_ERRORS."""
        try:
            async with self._turn, asyncio.timeout(DRIVER_DEADLINE):
                return await work(*arguments)
        except DEVICE_ERRORS:
            raise
        except Exception as error:  # a defect of the driver is its device's trouble, not the mapper's
            log.debug("the driver of %s", self.device.id, exc_info=True)
            raise ValueError(f"defect of the driver, {error!r}") from error


def _wanted(prop: Property) -> Value:
    try:
        return prop.wanted()
    except ValueError as error:
        raise BadValue(str(error)) from None


def _cause(error: BaseException) -> str:
    return str(error) or type(error).__name__
