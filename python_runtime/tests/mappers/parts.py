"""A clock, a device and a way to EdgeCore that a test holds in its hands."""

from __future__ import annotations

import asyncio
import datetime as dt
import heapq
from collections.abc import Callable, Mapping
from typing import Any

from edgelab.mappers.sdk import Device, Driver, Property, Value
from edgelab.mappers.sdk.link import Offline, Refused, Reported
from edgelab.protocol.dmi.objects import device_message, model_message


class StepClock:
    """Time goes on when the test says so."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []

    def now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.time, dt.UTC)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        heapq.heappush(self._sleepers, (self.time + seconds, id(woken), woken))
        await woken.wait()

    async def advance(self, seconds: float) -> None:
        end = self.time + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.time, _, woken = heapq.heappop(self._sleepers)
            woken.set()
            await settle()
        self.time = end
        await settle()


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


class FakeDriver(Driver):
    """Answers from `values`; an exception among them is raised. `calls` has what happened."""

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self.values: dict[str, Any] = dict.fromkeys(device.properties, 0)
        self.calls: list[tuple[Any, ...]] = []
        self.broken: Exception | None = None
        self.health: Any = "online"

    async def open(self) -> None:
        self.calls.append(("open",))
        if self.broken:
            raise self.broken

    async def read(self, prop: Property) -> Value:
        self.calls.append(("read", prop.name))
        return self._answer(self.values[prop.name])

    async def write(self, prop: Property, value: Value) -> None:
        self.calls.append(("write", prop.name, value))
        self._answer(None)
        self.values[prop.name] = value

    async def state(self) -> str:
        return str(self._answer(self.health))

    async def close(self) -> None:
        self.calls.append(("close",))

    def _answer(self, value: Any) -> Any:
        for error in (self.broken, value):
            if isinstance(error, Exception):
                raise error
        return value

    def count(self, *call: Any) -> int:
        return self.calls.count(call)


class FakeLink:
    """Keeps what is reported; `fail` is raised instead while it is set."""

    def __init__(self) -> None:
        self.values: list[dict[str, str]] = []
        self.states: list[str] = []
        self.fail: Offline | Refused | None = None

    async def report(self, device: Device, values: Mapping[str, Reported]) -> None:
        if self.fail:
            raise self.fail
        self.values.append({name: value.value for name, value in values.items()})

    async def report_state(self, device: Device, state: str) -> None:
        if self.fail:
            raise self.fail
        self.states.append(state)


def messages(
    name: str = "d", model: str = "m", change: Callable[[dict[str, Any]], None] = lambda _: None
) -> tuple[Any, Any]:
    """A model and a device as EdgeCore sends them: `level` is read, `switch` can be written."""
    described = {
        "metadata": {"namespace": "default", "name": model},
        "spec": {
            "properties": [
                {"name": "level", "type": "FLOAT", "accessMode": "ReadOnly", "unit": "m"},
                {"name": "switch", "type": "INT", "accessMode": "ReadWrite", "minimum": "0", "maximum": "9"},
            ]
        },
    }
    spec: dict[str, Any] = {
        "deviceModelRef": {"name": model},
        "protocol": {"protocolName": "p", "configData": {"port": 7}},
        "stateReport": {"reportToCloud": True, "reportCycle": 10000},
        "properties": [
            {"name": "level", "collectCycle": 1000, "reportCycle": 3000, "reportToCloud": True},
            {"name": "switch", "collectCycle": 2000, "reportToCloud": True, "desired": {"value": "1"}},
        ],
        "methods": [{"name": "Set", "propertyNames": ["switch"]}],
    }
    change(spec)
    document = {"metadata": {"namespace": "default", "name": name}, "spec": spec}
    return model_message(described), device_message(document, described)
