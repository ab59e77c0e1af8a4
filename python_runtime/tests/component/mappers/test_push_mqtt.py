"""Samples to a real Mosquitto, over one connection that comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.component.mappers.conftest import Mosquitto
from tests.component.mappers.pushing import pushing, until

from edgelab.mappers.sdk import Broker


def mqtt(broker: Mosquitto, topic: str = "factory/temp", **more: Any) -> dict[str, Any]:
    return {"mqtt": {"address": broker.address, "topic": topic, **more}}


@pytest.fixture
def talkative(mosquitto: Mosquitto, tmp_path: Path) -> Path:
    """The broker's log, in which it tells of each client."""
    log = tmp_path / "log"
    mosquitto.stop()
    with mosquitto.config.open("a") as file:
        file.write(f"log_dest file {log}\nlog_type all\nconnection_messages true\n")
    mosquitto.start()
    return log


def received(log: Path) -> list[str]:
    """What the broker tells of samples that it got."""
    mark = "Received PUBLISH from edgelab-push-"
    return [line for line in log.read_text().splitlines() if mark in line]


@contextlib.asynccontextmanager
async def listening(broker: Mosquitto, topic: str = "factory/#") -> AsyncIterator[list[tuple[str, str]]]:
    heard: list[tuple[str, str]] = []
    client = Broker(broker.address, "listener")
    client.subscribe(topic, lambda where, payload: heard.append((where, payload.decode())))
    task = asyncio.create_task(client.run())
    await client.wait_connected()
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_lines_arrive_as_kubeedge_writes_them_over_one_connection(
    mosquitto: Mosquitto, talkative: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(mosquitto) as heard:
        pushes = mqtt(mosquitto, qos=0), mqtt(mosquitto, "factory/other", qos=2, retained=True)
        async with pushing(*pushes) as push:
            push.put("26.5", "27")
            push.put("ü", prop="other")
            await push.done()
            await until(lambda: len(heard) == 3)
    assert sorted(text.partition("  ")[2] for _, text in heard) == [
        "factory/other: ü",
        "factory/temp: 26.5",
        "factory/temp: 27",
    ]
    assert {topic for topic, _ in heard} == {"factory/temp", "factory/other"}
    assert all(len(text.partition("  ")[0]) == len("time is 2026-01-01 00:00:00") for _, text in heard)
    clients = [line for line in talkative.read_text().splitlines() if " as edgelab-push-" in line]
    assert len(clients) == 1
    async with listening(mosquitto) as kept:
        await until(lambda: len(kept) == 1)
    assert kept[0][0] == "factory/other"


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_broker_that_was_away_gets_what_waited_once(
    mosquitto: Mosquitto, talkative: Path, qos: int
) -> None:
    async with pushing(mqtt(mosquitto, qos=qos)) as push:
        push.put("0")
        await push.done()
        await asyncio.to_thread(mosquitto.stop)
        push.put(*map(str, range(1, 60)))
        await asyncio.sleep(0.3)
        assert push.senders[0].waiting == 59
        await asyncio.to_thread(mosquitto.start)
        await push.done()
        await until(lambda: len(received(talkative)) >= 60)  # with QoS 0 nobody says that it arrived
    assert len(received(talkative)) == 60
    assert all(f"(d0, q{qos}, r0, " in line for line in received(talkative))


async def test_samples_on_their_way_through_a_broker_that_is_killed_arrive(
    mosquitto: Mosquitto, talkative: Path
) -> None:
    async with pushing(mqtt(mosquitto, qos=1)) as push:
        for number in range(300):
            push.put(str(number))
            await asyncio.sleep(0.001)
            if number == 150:
                mosquitto.kill()
        assert push.senders[0].waiting >= 149
        await asyncio.to_thread(mosquitto.start)
        await push.done()
        assert not push.senders[0].dropped.total
    after = talkative.read_text().rpartition(" starting\n")[2]
    assert after.count("Received PUBLISH from edgelab-push-") >= 149


async def test_a_login_in_the_address_is_used_and_not_shown(
    mosquitto: Mosquitto, talkative: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "edgelab")
    push = {"mqtt": {"address": mosquitto.address.replace("//", "//bob:s3cret%21@"), "topic": "factory/x"}}
    async with listening(mosquitto) as heard, pushing(push) as device:
        device.put("1")
        await until(lambda: bool(heard))
    assert "u'bob'" in talkative.read_text()
    assert "s3cret" not in caplog.text
    assert "bob" not in caplog.text
