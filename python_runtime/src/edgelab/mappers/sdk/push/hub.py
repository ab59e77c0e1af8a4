"""All targets of a mapper. Properties with the same target share its connection and its queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable

from edgelab.daemon.clock import Clock
from edgelab.daemon.extras import missing
from edgelab.daemon.tasks import Supervisor
from edgelab.mappers.sdk.link import Reported
from edgelab.mappers.sdk.model import Device, Property
from edgelab.mappers.sdk.push.names import mysql_fault
from edgelab.mappers.sdk.push.sample import Sample
from edgelab.mappers.sdk.push.sender import Sender
from edgelab.mappers.sdk.push.target import Item, Target
from edgelab.objects.pushmethods import Http, Influxdb2, Method, Mqtt, Mysql, Otel, Redis, TDEngine

log = logging.getLogger("edgelab.mappers.push")

LAST_WORDS = 3.0
"""Seconds that targets get at the end for what is in their queues."""


class _Shared:
    """A sender and how many properties use it."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.users = 0


class Outlet:
    """Where one device's readings go; nowhere once it is closed."""

    def __init__(self, hub: Hub, device: Device) -> None:
        self._hub = hub
        self._device = device
        self._ways: dict[str, list[tuple[Method, Sender]]] = {}
        for prop in device.properties.values():
            ways = [
                (method, hub.acquire(method)) for method in prop.push.methods if _fits(device, prop, method)
            ]
            self._ways[prop.name] = [(method, sender) for method, sender in ways if sender is not None]

    def put(self, name: str, reported: Reported) -> None:
        """Send a reading to the property's targets."""
        for method, sender in self._ways.get(name, ()):
            sample = Sample(
                self._device.namespace, self._device.name, name, reported.type, reported.value, reported.time
            )
            sender.put(Item(method, sample))

    def close(self) -> None:
        """Send nothing more; a target that nobody else uses ends when its queue is empty."""
        for ways in self._ways.values():
            for method, _ in ways:
                self._hub.release(method)
        self._ways.clear()


class Hub:
    """Owns the senders."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._shared: dict[Hashable, _Shared] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._tasks = Supervisor("mapper/push")
        self._missing: set[str] = set()

    def outlet(self, device: Device) -> Outlet:
        """Where a device's readings go. What cannot be sent is told once, here."""
        for prop in device.properties.values():
            for fault in prop.push.faults:
                log.error("%s: property %s: %s", device.id, prop.name, fault)
            for text in prop.push.unserved:
                log.warning("%s: property %s: %s", device.id, prop.name, text)
        return Outlet(self, device)

    def acquire(self, method: Method) -> Sender | None:
        """The sender of a method's target; None when a library is missing."""
        if (found := self._shared.get(method.target)) is None:
            try:
                place = target(method, self._clock)
            except ImportError as error:
                self._miss(method, error.name or str(error))
                return None
            sender = Sender(f"{method.name} {method.place}", place, self._clock)
            found = self._shared[method.target] = _Shared(sender)
            task = self._tasks.spawn(sender.run(), sender.name)
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        found.users += 1
        return found.sender

    def release(self, method: Method) -> None:
        """Undo one `acquire`."""
        found = self._shared[method.target]
        found.users -= 1
        if not found.users:
            del self._shared[method.target]
            found.sender.finish()

    async def close(self) -> None:
        """Give what is in the queues a little time, and stop."""
        for shared in self._shared.values():
            shared.sender.finish()
        if self._ending:
            await asyncio.wait(self._ending, timeout=LAST_WORDS)
        await self._tasks.close()

    def _miss(self, method: Method, package: str) -> None:
        """Say once that a library is not there."""
        if package not in self._missing:
            self._missing.add(package)
            log.error("%s", missing(package, f"pushMethod.{method.name}"))


def _fits(device: Device, prop: Property, method: Method) -> bool:
    """Whether the names of a device and its property suit the target; if not, it is told."""
    fault = mysql_fault(f"{device.id}/{prop.name}") if isinstance(method, Mysql) else ""
    if fault:
        log.error("%s: property %s: pushMethod.%s: %s", device.id, prop.name, method.name, fault)
    return not fault


def target(method: Method, clock: Clock) -> Target:  # noqa: PLR0911 - one for each kind
    """A target and its library, which is loaded now."""
    match method:
        case Http():
            from edgelab.mappers.sdk.push.http import HttpTarget  # noqa: PLC0415

            return HttpTarget(method)
        case Mqtt():
            from edgelab.mappers.sdk.push.mqtt import MqttTarget  # noqa: PLC0415

            return MqttTarget(method, clock)
        case Otel():
            from edgelab.mappers.sdk.push.otlp import OtelTarget  # noqa: PLC0415

            return OtelTarget(method)
        case Influxdb2():
            from edgelab.mappers.sdk.push.influx import InfluxTarget  # noqa: PLC0415

            return InfluxTarget(method)
        case Redis():
            from edgelab.mappers.sdk.push.redis import RedisTarget  # noqa: PLC0415

            return RedisTarget(method)
        case TDEngine():
            from edgelab.mappers.sdk.push.tdengine import TDEngineTarget  # noqa: PLC0415

            return TDEngineTarget(method)
        case Mysql():
            from edgelab.mappers.sdk.push.mysql import MysqlTarget  # noqa: PLC0415

            return MysqlTarget(method)
