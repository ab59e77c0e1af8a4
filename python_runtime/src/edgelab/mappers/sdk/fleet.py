"""All devices of a mapper, and the models that describe them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from edgelab.daemon.clock import Clock
from edgelab.daemon.tasks import Supervisor
from edgelab.mappers.sdk.driver import Driver
from edgelab.mappers.sdk.link import Link
from edgelab.mappers.sdk.messages import build
from edgelab.mappers.sdk.model import Device
from edgelab.mappers.sdk.runner import NotThere, Runner
from edgelab.objects.pushmethods import NOTHING

if TYPE_CHECKING:
    from edgelab.mappers.sdk.push.hub import Hub, Outlet

log = logging.getLogger("edgelab.mappers.fleet")


class Fleet:
    """Runs one driver for each device; a device that comes again is updated, never doubled.

    A device whose model is not here yet waits for it.
    """

    def __init__(self, drive: Callable[[Device], Driver], clock: Clock) -> None:
        self._drive = drive
        self._clock = clock
        self._link: Link | None = None
        self._devices: dict[str, Any] = {}
        self.models: dict[str, Any] = {}
        self._runners: dict[str, tuple[Runner, asyncio.Task[None]]] = {}
        self._ending: dict[str, set[asyncio.Task[None]]] = {}
        """Runners of devices that were let go: the next one waits until they have closed."""
        self._tasks = Supervisor("mapper/devices")
        self._hub: Hub | None = None
        """Where samples are pushed to, once a device has a `pushMethod`."""
        self._outlets: dict[str, Outlet] = {}

    def attach(self, link: Link) -> None:
        """Name the way to EdgeCore."""
        self._link = link

    def runner(self, device_id: str) -> Runner:
        """The runner of a device. Raises NotThere."""
        if device_id not in self._runners:
            raise NotThere(f"there is no device {device_id}")
        return self._runners[device_id][0]

    def replace(self, models: Iterable[Any], devices: Iterable[Any]) -> None:
        """Have exactly these; one that cannot be used is told and left out."""
        self.models = {_id(model): model for model in models}
        wanted = {_id(device): device for device in devices}
        for device_id in [name for name in self._devices if name not in wanted]:
            self.remove(device_id)
        for device in wanted.values():
            try:
                self.put(device)
            except ValueError as error:
                log.warning("device %s cannot be used: %s", _id(device), error)

    def put(self, device: Any) -> None:
        """Add or update a device. Raises ValueError that names the field."""
        device_id = _id(device)
        reference = device.spec.deviceModelReference
        model = self.models.get(f"{device.namespace or 'default'}/{reference}") if reference else None
        built = None if reference and model is None else build(device, model)
        self._devices[device_id] = device
        if built is None:
            log.info("device %s waits for its model %s", device_id, reference)
            return
        known = self._runners.get(device_id)
        if known and known[0].device == built:
            return
        if known and known[0].device.without_desired() == built.without_desired():
            known[0].update(built)
            return
        assert self._link is not None
        driver = self._drive(built)
        outlet = self._outlet(built)  # before the old one goes, so that what they share stays
        runner = Runner(driver, self._link, self._clock, outlet.put if outlet else None)
        if known:
            self._end(device_id)
        if outlet:
            self._outlets[device_id] = outlet
        task = self._tasks.spawn(runner.run(frozenset(self._ending.get(device_id, ()))), device_id)
        self._runners[device_id] = runner, task
        log.info("device %s %s", device_id, "starts anew" if known else "starts")

    def put_model(self, model: Any) -> None:
        """Add or update a model, and the devices that use it. Raises ValueError."""
        self.models[_id(model)] = model
        for device in list(self._devices.values()):
            if f"{device.namespace or 'default'}/{device.spec.deviceModelReference}" == _id(model):
                self.put(device)

    def remove(self, device_id: str) -> None:
        """Let a device go, if it is here."""
        self._devices.pop(device_id, None)
        if device_id in self._runners:
            self._end(device_id)
            log.info("device %s is gone", device_id)

    def desire(self, device_id: str, desired: Mapping[str, str]) -> None:
        """Other values are wanted of a device."""
        if device_id in self._runners:
            runner = self._runners[device_id][0]
            runner.update(runner.device.wanting(desired))

    def _end(self, device_id: str) -> None:
        _, task = self._runners.pop(device_id)
        task.cancel()
        if outlet := self._outlets.pop(device_id, None):
            outlet.close()
        self._ending.setdefault(device_id, set()).add(task)
        task.add_done_callback(lambda done: self._ended(device_id, done))

    def _ended(self, device_id: str, task: asyncio.Task[None]) -> None:
        self._ending[device_id].discard(task)
        if not self._ending[device_id]:
            del self._ending[device_id]

    async def close(self) -> None:
        """Stop, and let every device go."""
        await self._tasks.close()
        if self._hub:
            await self._hub.close()

    def _outlet(self, device: Device) -> Outlet | None:
        if all(prop.push == NOTHING for prop in device.properties.values()):
            return None
        if self._hub is None:
            from edgelab.mappers.sdk.push.hub import Hub  # noqa: PLC0415 - few mappers push

            self._hub = Hub(self._clock)
        return self._hub.outlet(device)


def _id(message: Any) -> str:
    return f"{message.namespace or 'default'}/{message.name}"
