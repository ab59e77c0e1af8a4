"""Twins: MQTT to DeviceStatus one at a time, many updates over 20 devices, and 1,000 devices on one node."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from benchmarks.cloudcore import BIG
from benchmarks.edgecore import NODE, Node, node
from benchmarks.measure import Result, goal
from benchmarks.publisher import Publisher, publisher
from benchmarks.wire import Connection

GROUP = "devices.kubeedge.io/v1beta1"
PATH = f"/apis/{GROUP}/namespaces/default"
PROPERTY = "temperature"
SINGLES = 500 if BIG else 200
PAUSE = 0.05
"""Seconds between two single updates."""
DEVICES = 20
RATE = int(os.environ.get("EDGELAB_BENCH_RATE", "2000"))
"""Updates a second, over all devices."""
LASTS = 30.0 if BIG else 10.0
TICK = 0.01
MANY = 1000
SETTLE_SECONDS = 10.0


class Watcher:
    """Follows all DeviceStatuses and knows when each value of each device was first seen."""

    def __init__(self) -> None:
        self.seen: dict[str, float] = {}
        self.last: dict[str, str] = {}
        self._changed = asyncio.Event()

    async def run(self, connection: Connection) -> None:
        """Read events until cancelled."""
        await connection.send("GET", f"{PATH}/devicestatuses?watch=true")
        rest = b""
        while chunk := await connection.chunk():
            now = time.perf_counter()
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._note(msgspec.json.decode(line)["object"], now)
            self._changed.set()
        raise RuntimeError("the API server has ended the watch")

    def _note(self, status: dict[str, Any], now: float) -> None:
        name = status["metadata"]["name"]
        for twin in (status.get("status") or {}).get("twins") or ():
            value = twin["reported"]["value"]
            self.seen.setdefault(f"{name}={value}", now)
            self.last[name] = value

    async def value(self, name: str, value: str) -> float:
        """When the device's value was seen; waits for it."""
        async with asyncio.timeout(120):
            while f"{name}={value}" not in self.seen:
                self._changed.clear()
                await self._changed.wait()
        return self.seen[f"{name}={value}"]


async def run() -> list[Result]:
    """One node, from its first device to its thousandth."""
    async with node() as edge:
        await edge.start()
        await _make(edge, 0, DEVICES)
        async with publisher(edge.broker, "bench") as mqtt, _watching(edge) as watcher:
            await _warm(mqtt, watcher)
            singles = await _singles(mqtt, watcher)
            flood = await _flood(edge, mqtt, watcher)
            memory = await _many(edge, mqtt, watcher)
        return [*singles, *flood, *memory]


async def _singles(mqtt: Publisher, watcher: Watcher) -> list[Result]:
    times = []
    for number in range(SINGLES):
        began = time.perf_counter()
        _send(mqtt, "d0", f"single-{number}")
        times.append(await watcher.value("d0", f"single-{number}") - began)
        await asyncio.sleep(PAUSE)
    times.sort()
    return [
        goal("p50 of a single update, at most", 8, "ms"),
        Result(f"MQTT to DeviceStatus, p50 of {SINGLES}", times[SINGLES // 2] * 1000, "ms"),
        goal("p99, at most", 25, "ms"),
        Result("MQTT to DeviceStatus, p99", times[int(SINGLES * 0.99)] * 1000, "ms"),
    ]


async def _flood(edge: Node, mqtt: Publisher, watcher: Watcher) -> list[Result]:
    """`RATE` updates a second; the lag is how old a value is when the API shows it."""
    usage, sent = edge.usage(), {}
    busy = usage.cpu_seconds()
    began, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < LASTS:
        while count < passed * RATE:
            name, value = f"d{count % DEVICES}", f"flood-{count}"
            sent[f"{name}={value}"] = time.perf_counter()
            _send(mqtt, name, value)
            count += 1
        await mqtt.drain()
        await asyncio.sleep(TICK)
    ended = time.perf_counter()
    last = [await watcher.value(f"d{n % DEVICES}", f"flood-{n}") for n in range(count - DEVICES, count)]
    counted, busy = _counted(edge), usage.cpu_seconds() - busy
    lags = sorted((sent[key], when - sent[key]) for key, when in watcher.seen.items() if key in sent)
    half = len(lags) // 2
    return [
        goal("updates a second, at least", 2000, "1/s"),
        Result(f"updates sent for {LASTS:.0f} s over {DEVICES} devices", count / (ended - began), "1/s"),
        Result("updates that EdgeCore counted", 100.0 * counted / count, "%"),
        Result("CPU time of EdgeCore for an update", busy / max(1, counted) * 1e6, "µs"),
        Result("lag of the first half, median", _median(lags[:half]) * 1000, "ms"),
        Result("lag of the second half, median", _median(lags[half:]) * 1000, "ms"),
        Result("the last value of every device after", (max(last) - ended) * 1000, "ms"),
        Result("values that the API has shown", len(lags), ""),
        Result("CPU of EdgeCore meanwhile", usage.share(), "%"),
        goal("peak of EdgeCore, at most", 70, "MiB"),
        Result("peak of EdgeCore", usage.peak(), "MiB"),
    ]


async def _many(edge: Node, mqtt: Publisher, watcher: Watcher) -> list[Result]:
    await asyncio.sleep(SETTLE_SECONDS)
    before = edge.usage().resident()
    await _make(edge, DEVICES, MANY)
    for number in range(DEVICES, MANY):
        name = f"d{number}"
        _send(mqtt, name, "20.5")
        await mqtt.drain()
    while missing := [n for n in range(DEVICES, MANY) if f"d{n}" not in watcher.last]:
        for number in missing:  # sent before its device was there
            _send(mqtt, f"d{number}", "20.5")
        await asyncio.sleep(1)
    await asyncio.sleep(SETTLE_SECONDS)
    return [
        goal(f"more for {MANY} devices, at most", 20, "MiB"),
        Result(f"EdgeCore with {MANY} devices, more than with {DEVICES}", _grown(edge, before), "MiB"),
    ]


def _grown(edge: Node, before: float) -> float:
    return edge.usage().resident() - before


def _median(lags: list[tuple[float, float]]) -> float:
    ordered = sorted(lag for _, lag in lags)
    return ordered[len(ordered) // 2] if ordered else float("nan")


def _counted(edge: Node) -> int:
    """How many updates of the flood EdgeCore's versions say there were."""
    sql = "SELECT actual_version FROM device_twin WHERE actual LIKE 'flood-%'"
    with sqlite3.connect(f"file:{edge.database}?mode=ro", uri=True) as connection:
        versions = [msgspec.json.decode(row[0]) for row in connection.execute(sql)]
    return sum(int(version["edge"]) for version in versions) - SINGLES - 1


def _send(mqtt: Publisher, name: str, value: str) -> None:
    twin = {PROPERTY: {"actual": {"value": value}, "metadata": {"type": "string"}}}
    body = msgspec.json.encode({"event_id": "", "timestamp": 0, "twin": twin})
    mqtt.publish(f"$hw/events/device/default/{name}/twin/update", body)


async def _warm(mqtt: Publisher, watcher: Watcher) -> None:
    """Until the node knows its devices and the whole way is open."""
    while "d0" not in watcher.last:
        _send(mqtt, "d0", "warm")
        await asyncio.sleep(0.2)
    await asyncio.sleep(2)


@asynccontextmanager
async def _watching(edge: Node) -> AsyncIterator[Watcher]:
    connection, watcher = await Connection.open(edge.cloud.site.target), Watcher()
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(watcher.run(connection), name="bench/watch")
            yield watcher
            task.cancel()
    finally:
        connection.close()


async def _make(edge: Node, first: int, end: int) -> None:
    if not first:
        properties = [{"name": PROPERTY, "type": "STRING", "accessMode": "ReadOnly"}]
        await edge.api.call(
            "POST", f"{PATH}/devicemodels", _object("DeviceModel", "thermo", {"properties": properties})
        )
    for number in range(first, end):
        reported = [{"name": PROPERTY, "reportToCloud": True}]
        spec = {"deviceModelRef": {"name": "thermo"}, "nodeName": NODE, "properties": reported}
        await edge.api.call("POST", f"{PATH}/devices", _object("Device", f"d{number}", spec))

        def is_there(name: str = f"d{number}") -> bool:
            return bool(edge.stored(f"default/device/{name}"))

        if number == end - 1:
            await edge.until(is_there)


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": GROUP, "kind": kind, "metadata": {"name": name}, "spec": spec}
