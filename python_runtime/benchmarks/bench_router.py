"""Router: REST to MQTT, MQTT to REST, and what messages of 4 MiB do to a node's twins."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.bench_twins import Watcher
from benchmarks.cloudcore import BIG
from benchmarks.measure import Result, goal
from benchmarks.mqtt import received
from benchmarks.processes import Usage
from benchmarks.publisher import Publisher, publisher
from benchmarks.rest import Poster, sink
from benchmarks.wire import Connection, from_kubeconfig
from tests.component.router.lab import Lab, lab
from tests.edgecore.eventbus.raw_client import raw_client

from edgelab.edgecore.eventbus.broker.packets import Message
from edgelab.kube.resources import DEVICES, RULE_ENDPOINTS

BODY = b'{"sensor":"thermo","value":21.5}'
SINGLES = 1000 if BIG else 400
COUNT = 10_000 if BIG else 4000
CONNECTIONS = {1: 400, 8: 1500, 32: 1500}
"""And the messages a second that are to be reached."""
PAUSE = 0.01
RATE, LASTS = 2000, 10.0 if BIG else 5.0
WANTED = 1500
TOPICS = 8
LARGE = 4 << 20
TWINS = 200 if BIG else 100


async def run() -> list[Result]:
    """All of it with one node."""
    with tempfile.TemporaryDirectory() as folder:
        async with lab(Path(folder)) as place:
            await place.rule("down", {"path": "/down"}, {"topic": "down"}, ("rest", "eventbus"))
            await _ready(place, "/edge1/default/down")
            return [*await _down(place), *await _up(place), *await _large(place)]


async def _ready(place: Lab, path: str) -> None:
    while (await place.post(path, b"0"))[0] == 404:
        await asyncio.sleep(0.05)


async def _down(place: Lab) -> list[Result]:
    """REST to MQTT: one at a time with the time of its arrival, then from several connections."""
    arrived: asyncio.Queue[float] = asyncio.Queue()
    results = []
    async with _reading(place, "down", lambda _: arrived.put_nowait(time.perf_counter())):
        poster, times = await Poster.open(place.port), []
        for _ in range(SINGLES):
            began = time.perf_counter()
            await poster.post("/edge1/default/down", BODY)
            times.append(await arrived.get() - began)
            await asyncio.sleep(PAUSE)
        poster.close()
        times.sort()
        results += [
            goal("REST to MQTT, p50, at most", 2.5, "ms"),
            Result(f"REST to MQTT, p50 of {SINGLES}", times[SINGLES // 2] * 1000, "ms"),
            goal("p99, at most", 6, "ms"),
            Result("REST to MQTT, p99", times[int(SINGLES * 0.99)] * 1000, "ms"),
        ]
        for number, wanted in CONNECTIONS.items():
            rate = await _throughput(place, number)
            for _ in range(COUNT):
                await arrived.get()
            results += [
                goal(f"REST to MQTT over {number} connections, at least", wanted, "1/s"),
                Result(f"REST to MQTT over {number} connections, all arrived", rate, "1/s"),
            ]
    return results


async def _throughput(place: Lab, connections: int) -> float:
    posters = [await Poster.open(place.port) for _ in range(connections)]
    numbers = iter(range(COUNT))

    async def work(poster: Poster) -> None:
        for _ in numbers:
            await poster.post("/edge1/default/down", BODY)

    began = time.perf_counter()
    await asyncio.gather(*map(work, posters))
    rate = COUNT / (time.perf_counter() - began)
    for poster in posters:
        poster.close()
    return rate


async def _up(place: Lab) -> list[Result]:
    """MQTT to REST: one at a time, then `RATE` a second over one topic and over several."""
    arrived: list[tuple[bytes, float]] = []
    more = asyncio.Event()

    def look(body: bytes) -> None:
        arrived.append((body, time.perf_counter()))
        more.set()

    async def until(count: int) -> None:
        async with asyncio.timeout(120):
            while len(arrived) < count:
                more.clear()
                await more.wait()

    async with sink(look) as port, publisher(place.broker, "bench") as mqtt:
        for number in range(TOPICS):
            source = {"topic": f"up{number}", "node_name": "edge1"}
            to = {"resource": f"http://127.0.0.1:{port}/"}
            await place.rule(f"up{number}", source, to, ("eventbus", "rest"))
        for number in range(TOPICS):
            before = len(arrived)
            while len(arrived) == before:
                mqtt.publish(f"default/up{number}", b"warm")
                await asyncio.sleep(0.1)
        times = []
        for _ in range(SINGLES):
            arrived.clear()
            began = time.perf_counter()
            mqtt.publish("default/up0", BODY)
            await until(1)
            times.append(arrived[0][1] - began)
            await asyncio.sleep(PAUSE)
        times.sort()
        results = [
            goal("MQTT to REST, p50, at most", 2, "ms"),
            Result(f"MQTT to REST, p50 of {SINGLES}", times[SINGLES // 2] * 1000, "ms"),
            Result("MQTT to REST, p99", times[int(SINGLES * 0.99)] * 1000, "ms"),
        ]
        usage = Usage(place.edge.pid)
        for topics in (1, TOPICS):
            arrived.clear()
            began, count = time.perf_counter(), 0
            while (passed := time.perf_counter() - began) < LASTS:
                while count < passed * RATE:
                    mqtt.publish(f"default/up{count % topics}", b"%d" % count)
                    count += 1
                await mqtt.drain()
                await asyncio.sleep(0.01)
            await until(count)
            rate = count / (time.perf_counter() - began)
            lost = count - len({body for body, _ in arrived})
            results += [
                goal(f"MQTT to REST over {topics} topics, at least", WANTED, "1/s"),
                Result(f"MQTT to REST, {RATE} offered for {LASTS:.0f} s, all arrived", rate, "1/s"),
                Result("lost", lost, ""),
            ]
        return [*results, Result("EdgeCore at its peak", usage.peak(), "MiB")]


async def _large(place: Lab) -> list[Result]:
    """The time of a twin update while services get and give 4 MiB, one call after another."""
    body = b"a" * LARGE
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE
    connection = await Connection.open(from_kubeconfig("site", place.place.kubeconfig))
    metadata, spec = {"name": "d0"}, {"nodeName": "edge1", "properties": [{"name": "temperature"}]}
    await place.api.create(DEVICES, {"metadata": metadata, "spec": spec}, "default")
    async with sink(lambda _: None, head + body) as port, publisher(place.broker, "twins") as mqtt:
        kind = {"ruleEndpointType": "servicebus", "properties": {"service_port": str(port)}}
        await place.api.create(RULE_ENDPOINTS, {"metadata": {"name": "large"}, "spec": kind}, "default")
        await place.rule("large", {"path": "/large"}, {"path": "/"}, ("rest", "large"))
        watcher = Watcher()
        watching = asyncio.create_task(watcher.run(connection))
        await place.edge.wait_for_line("device default/d0 joined this node")
        alone = await _twin_times(mqtt, watcher, "alone")
        calls: list[float] = []
        calling = asyncio.create_task(_call(place, body, calls))
        beside = await _twin_times(mqtt, watcher, "beside")
        for task in (calling, watching):
            task.cancel()
            await asyncio.wait([task])
    at = int(TWINS * 0.99)
    return [
        Result("MQTT to DeviceStatus, p99, alone", alone[at] * 1000, "ms", is_reference=True),
        goal("more beside messages of 4 MiB, at most", 100, "ms"),
        Result(f"more beside {len(calls)} calls with 4 MiB each way", (beside[at] - alone[at]) * 1000, "ms"),
    ]


async def _twin_times(mqtt: Publisher, watcher: Watcher, name: str) -> list[float]:
    topic = "$hw/events/device/default/d0/twin/update"
    times = []
    for number in range(TWINS):
        value = f"{name}-{number}"
        text = f'{{"event_id":"","timestamp":0,"twin":{{"temperature":{{"actual":{{"value":"{value}"}}}}}}}}'
        began = time.perf_counter()
        mqtt.publish(topic, text.encode())
        times.append(await watcher.value("d0", value) - began)
        await asyncio.sleep(0.05)
    return sorted(times)


async def _call(place: Lab, body: bytes, times: list[float]) -> None:
    poster = await Poster.open(place.port)
    try:
        while True:
            began = time.perf_counter()
            await poster.post("/edge1/default/large", body)
            times.append(time.perf_counter() - began)
    finally:
        poster.close()


@asynccontextmanager
async def _reading(place: Lab, topic: str, look: Callable[[Message], None]) -> AsyncIterator[None]:
    """A subscriber of bare packets."""
    async with raw_client(place.broker, "bench-reader") as client:
        await client.subscribe(topic, qos=1)
        reading = asyncio.create_task(received(client, 1 << 40, None, look))
        try:
            yield
        finally:
            reading.cancel()
            await asyncio.wait([reading])
