"""MQTT: the internal broker against Mosquitto, and what EdgeCore does and weighs with it."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import Result, goal
from benchmarks.mqtt import internal_broker, load, received
from benchmarks.processes import Usage
from tests.edgecore.cloud_peer import CloudPeer, Pki, cloud_peer, configuration, confirm_twins
from tests.edgecore.eventbus.raw_client import raw_client
from tests.edgecore.processes import edgecore, free_port, listens, mosquitto

from edgelab.edgecore.eventbus.broker.packets import Message

COUNT = 20_000
DEVICES, UPDATES = 20, 200
WINDOW = 64
"""Twin updates that wait for their result."""

SETTLE_SECONDS = 3.0


async def run() -> list[Result]:
    """Rates through the brokers alone, then through EdgeCore in mode 0, then memory by mode."""
    with tempfile.TemporaryDirectory() as folder:
        results = [*await _brokers(Path(folder))]
    with tempfile.TemporaryDirectory() as folder:
        async with _node(Path(folder), 0) as (port, usage):
            await asyncio.sleep(SETTLE_SECONDS)
            idle = usage.resident()
            before = usage.cpu_seconds()
            rate = await _twins(port)
            cpu = (usage.cpu_seconds() - before) / (DEVICES * UPDATES) * 1e6
            results += [
                goal("twin updates with their result, at least", 2000, "1/s"),
                Result(f"EdgeCore in mode 0, {DEVICES} devices", rate, "1/s"),
                goal("CPU of a twin update, at most", 500, "µs"),
                Result("EdgeCore in mode 0, CPU of a twin update", cpu, "µs"),
            ]
            busy = usage.resident()
    with tempfile.TemporaryDirectory() as folder:
        async with mosquitto(Path(folder)) as broker, _node(Path(folder), 2, broker) as (_, usage):
            await asyncio.sleep(SETTLE_SECONDS)
            results += [
                Result("EdgeCore in mode 2, resident, idle", usage.resident(), "MiB", is_reference=True),
                Result("in mode 0, idle", idle, "MiB"),
                Result("in mode 0, after the load", busy, "MiB"),
            ]
    return results


async def _brokers(folder: Path) -> list[Result]:
    results = []
    async with mosquitto(folder) as other:
        port = free_port()
        async with internal_broker(port) as pid:
            await listens(port)
            usage = Usage(pid)
            for qos in (0, 1):
                before = usage.cpu_seconds()
                theirs, ours = await load(other, COUNT, qos), await load(port, COUNT, qos)
                cpu = (usage.cpu_seconds() - before) / COUNT * 1e6
                results += [
                    Result(f"Mosquitto, QoS {qos}", theirs, "1/s", is_reference=True),
                    Result(f"internal broker, QoS {qos}", ours, "1/s"),
                    goal("CPU of a message, at most", 500, "µs"),
                    Result(f"internal broker, CPU of a message, QoS {qos}", cpu, "µs"),
                ]
    return results


@asynccontextmanager
async def _node(folder: Path, mode: int, external: int = 1883) -> AsyncIterator[tuple[int, Usage]]:
    pki = Pki.create(folder)
    port = free_port()
    async with cloud_peer(pki) as cloud:
        cloud.answers.append(confirm_twins)
        bus: dict[str, Any] = {"enable": True, "mqttMode": mode}
        bus["mqttServerInternal"] = f"tcp://127.0.0.1:{port}"
        bus["mqttServerExternal"] = f"tcp://127.0.0.1:{external}"
        async with edgecore(configuration(folder, cloud.port, eventBus=bus)) as process:
            await cloud.wait_for(lambda m: m.route.operation == "keepalive")
            await _add_devices(cloud)
            await process.wait_for_line("connected to MQTT" if mode else "the internal MQTT broker listens")
            yield port, Usage(process.pid)


async def _add_devices(cloud: CloudPeer) -> None:
    added = [{"id": f"default/d{number}", "name": f"d{number}"} for number in range(DEVICES)]
    content = {"added_devices": added, "removed_devices": None}
    await cloud.push("update", "membership", content, source="devicecontroller", group="twin")


async def _twins(port: int) -> float:
    """Twin updates a second, each answered on `twin/update/result`."""
    async with raw_client(port, "reader") as reader, raw_client(port, "writer") as writer:
        await reader.subscribe("$hw/events/device/+/+/twin/update/result")
        window = asyncio.Semaphore(WINDOW)
        count = DEVICES * UPDATES
        began = time.perf_counter()
        reading = asyncio.create_task(received(reader, count, window, _is_result))
        for number in range(count):
            await window.acquire()
            twin = {"temperature": {"actual": {"value": str(number)}}}
            payload = json.dumps({"event_id": "", "timestamp": 0, "twin": twin}).encode()
            writer.publish(f"$hw/events/device/default/d{number % DEVICES}/twin/update", payload)
        await reading
        return count / (time.perf_counter() - began)


def _is_result(message: Message) -> None:
    answer = json.loads(message.payload)
    assert "code" not in answer, answer
