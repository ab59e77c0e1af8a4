"""The mapper and its SDK against a real Mosquitto. The edge's answers are played by the test."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.component.mappers.conftest import Mosquitto, free_port

from edgelab.mappers.sdk import Broker, DeviceTwin, Offline, Reading

UPDATE = "$hw/events/device/default/edge1-cpu/twin/update"


@asynccontextmanager
async def running(broker: Broker) -> AsyncIterator[Broker]:
    task = asyncio.create_task(broker.run(), name="broker")
    try:
        yield broker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Edge:
    """Listens to what the mapper reports and answers like DeviceTwin."""

    def __init__(self, address: str, *, refuse: bool = False) -> None:
        self.broker = Broker(address, "edge")
        self.refuse = refuse
        self.updates: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.states: list[str] = []
        self.kinds: list[str] = []
        self.moments: list[int] = []
        """When the temperatures were read that have come, each once, in the order of their coming."""
        self.broker.subscribe(UPDATE, self._on_update)
        state = UPDATE.replace("twin/", "state/")
        self.broker.subscribe(state, lambda _, data: self.states.append(json.loads(data)["state"]))

    def _on_update(self, topic: str, payload: bytes) -> None:
        update = json.loads(payload)
        self.updates.put_nowait(update)
        twin = update["twin"]
        self.kinds += [twin["sensor"]["actual"]["value"]] if "sensor" in twin else []
        moment = twin.get("temperature", {}).get("actual", {}).get("metadata", {}).get("timestamp", 0)
        self.moments += [moment] if moment not in self.moments else []
        answer = {"event_id": update["event_id"], "timestamp": 1}
        answer |= {"code": 404, "reason": "no such device"} if self.refuse else {"twin": update["twin"]}
        self.broker.publish(f"{topic}/result", json.dumps(answer).encode())

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.updates.get(), 30)

    async def until(self, true: Callable[[], Any]) -> None:
        async with asyncio.timeout(60):
            while not true():
                await asyncio.sleep(0.05)


@asynccontextmanager
async def mapper(address: str, *options: str) -> AsyncIterator[subprocess.Popen[str]]:
    words = ["--device", "edge1-cpu", "--broker", address, "--sensor", "simulated", *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgelab.mappers.cpu_temperature", *words], stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.communicate, timeout=10)


async def test_readings_arrive_each_cycle_distinct_and_say_that_they_are_simulated(
    mosquitto: Mosquitto,
) -> None:
    edge = Edge(mosquitto.address)
    cycles = ("--collect-cycle", "0.1", "--report-cycle", "0.1")
    async with running(edge.broker):
        await edge.broker.wait_connected()
        async with mapper(mosquitto.address, *cycles) as process:
            updates = [await edge.next() for _ in range(12)]
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 5) == 0
    values = [update["twin"]["temperature"]["actual"]["value"] for update in updates]
    assert len(set(values)) == 12
    assert all(30 < float(value) < 70 for value in values)
    assert updates[0]["twin"]["temperature"]["metadata"] == {"type": "float"}
    sensor = updates[0]["twin"]["sensor"]
    assert (sensor["actual"]["value"], sensor["metadata"]) == ("simulated", {"type": "string"})
    assert "sensor" not in updates[-1]["twin"]
    assert edge.states[0] == "online"


async def test_the_kind_of_sensor_is_repeated_until_the_edge_knows_the_device(mosquitto: Mosquitto) -> None:
    edge = Edge(mosquitto.address, refuse=True)
    async with running(edge.broker):
        await edge.broker.wait_connected()
        async with mapper(mosquitto.address, "--collect-cycle", "0.1", "--report-cycle", "0.1"):
            assert all(["sensor" in (await edge.next())["twin"] for _ in range(5)])
            edge.refuse = False
            for _ in range(40):
                if "sensor" not in (await edge.next())["twin"]:
                    break
            else:
                pytest.fail("the kind of sensor is repeated for ever")


def gaps(moments: list[int]) -> list[int]:
    """Milliseconds between readings, which must have come in their order."""
    assert moments == sorted(moments)
    return [after - before for before, after in itertools.pairwise(moments)]


async def test_no_reading_is_lost_with_a_broker_that_restarts(mosquitto: Mosquitto) -> None:
    edge = Edge(mosquitto.address)
    async with running(edge.broker):
        await edge.broker.wait_connected()
        async with mapper(mosquitto.address, "--collect-cycle", "0.1", "--report-cycle", "0.1"):
            await edge.next()
            await asyncio.to_thread(mosquitto.stop)
            edge.kinds.clear()
            await asyncio.sleep(1.5)
            await asyncio.to_thread(mosquitto.start)
            started = time.time() * 1000
            await edge.until(lambda: edge.moments[-1] > started and edge.kinds)
    assert len(edge.moments) > 15
    assert max(gaps(edge.moments)) < 1000


async def test_no_reading_is_lost_with_an_edge_that_is_away(mosquitto: Mosquitto) -> None:
    """The broker takes everything, nobody answers; then somebody does."""
    edge = Edge(mosquitto.address)
    async with mapper(mosquitto.address, "--collect-cycle", "0.1", "--report-cycle", "0.1"):
        await asyncio.sleep(3)
        came = time.time() * 1000
        async with running(edge.broker):
            await edge.until(lambda: edge.moments and edge.moments[-1] > came)
    assert len([moment for moment in edge.moments if moment < came]) >= 10
    assert max(gaps(edge.moments)) < 1000


async def test_reports_are_not_faster_than_the_report_cycle(mosquitto: Mosquitto) -> None:
    edge = Edge(mosquitto.address)
    async with running(edge.broker):
        await edge.broker.wait_connected()
        async with mapper(mosquitto.address, "--collect-cycle", "0.05", "--report-cycle", "0.5"):
            await edge.next()
            await asyncio.sleep(1.2)
    assert 1 <= edge.updates.qsize() <= 4


async def test_results_deltas_and_nonsense_are_told_apart(mosquitto: Mosquitto) -> None:
    wanted: list[dict[str, str]] = []
    broker, edge = Broker(mosquitto.address, "mapper"), Broker(mosquitto.address, "edge")
    twin = DeviceTwin(broker, "default", "edge1-cpu", wanted=wanted.append)
    with pytest.raises(Offline):
        twin.report({"x": Reading("1")})
    async with running(broker), running(edge):
        await asyncio.gather(broker.wait_connected(), edge.wait_connected())
        for payload in (b"\xff", b"[]", b'{"code":400,"reason":"bad value"}'):
            edge.publish(f"{UPDATE}/result", payload)
        edge.publish(f"{UPDATE}/delta", b'{"delta":{"switch":"1"}}')
        async with asyncio.timeout(30):
            while not wanted:
                await asyncio.sleep(0.01)
    assert wanted == [{"switch": "1"}]
    assert (twin.refused, twin.refusal) == (1, "400 bad value")


async def test_a_device_in_a_namespace_called_like_a_topic_word_is_no_trouble(mosquitto: Mosquitto) -> None:
    broker = Broker(mosquitto.address, "m")
    twin = DeviceTwin(broker, "events", "device")
    seen: asyncio.Queue[str] = asyncio.Queue()
    other = Broker(mosquitto.address, "o")
    other.subscribe("$hw/events/device/+/+/twin/update", lambda topic, _: seen.put_nowait(topic))
    async with running(broker), running(other):
        await asyncio.gather(broker.wait_connected(), other.wait_connected())
        twin.report({"x": Reading("1")})
        assert await asyncio.wait_for(seen.get(), 30) == "$hw/events/device/events/device/twin/update"


def test_wrong_options_end_in_one_line(mosquitto: Mosquitto) -> None:
    for words, told in (
        (["--device", "d", "--broker", "http://x"], "expected tcp://host:port"),
        (["--device", "d", "--sensor", "magic"], "sensor 'magic'"),
        ([], "missing required field `device`"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "edgelab.mappers.cpu_temperature", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
        assert done.returncode == 1
        assert told in done.stderr
        assert "Traceback" not in done.stderr


def test_describe_tells_the_sensor_without_a_broker() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgelab.mappers.cpu_temperature", "--describe"],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
        env={**os.environ},
    )
    assert json.loads(done.stdout)["kind"] in {"thermal", "hwmon", "simulated"}


async def test_no_broker_is_no_reason_to_die() -> None:
    async with mapper(f"tcp://127.0.0.1:{free_port()}", "--collect-cycle", "0.1") as process:
        await asyncio.sleep(0.8)
        assert process.poll() is None
