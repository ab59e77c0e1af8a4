"""The virtual mapper's process with pushMethods: from its own file over MQTT, and from the cloud by DMI."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.component.mappers.conftest import Mosquitto, free_port
from tests.component.mappers.pushing import PASSWORD, Recorder, RedisServer, until
from tests.component.mappers.test_dmi import MODEL as WAVE
from tests.component.mappers.test_dmi import Lab, connected, device, mode_is
from tests.edgecore.cloud_peer import Pki, cloud_peer, configuration, confirm_twins
from tests.edgecore.processes import Process, edgecore, spawn

from edgelab.mappers.sdk import Broker

UPDATE = "$hw/events/device/default/valve-1/twin/update"
MODEL = {
    "metadata": {"namespace": "default", "name": "valve"},
    "spec": {
        "properties": [
            {"name": name, "type": "INT", "accessMode": "ReadOnly", "maximum": "9"}
            for name in ("dead", "wrong", "both", "odd")
        ]
    },
}


def prop(name: str, push: dict[str, Any], **cycles: int) -> dict[str, Any]:
    return {"name": name, "collectCycle": 100, "reportToCloud": True, "pushMethod": push, **cycles}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    found = Recorder()
    yield found
    found.close()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@contextlib.asynccontextmanager
async def mapper(directory: Path, mosquitto: Mosquitto, properties: list[Any]) -> AsyncIterator[Process]:
    device = {
        "metadata": {"namespace": "default", "name": "valve-1"},
        "spec": {"deviceModelRef": {"name": "valve"}, "properties": properties},
    }
    config = directory / "config.yaml"
    values = {"common": {"http_port": 0}, "models": [MODEL], "devices": [device]}
    config.write_text(yaml.safe_dump({**values, "mqtt": {"address": mosquitto.address}}))
    command = (sys.executable, "-m", "edgelab.mappers.virtual", "--config", str(config))
    process = await spawn(directory, "mapper", *command)
    try:
        yield process
    finally:
        process.child.terminate()
        async with asyncio.timeout(30):
            assert await process.child.wait() == 0, process.output()
        assert "Traceback" not in process.output()


async def test_dead_and_wrong_targets_disturb_neither_twins_nor_other_targets(
    tmp_path: Path,
    mosquitto: Mosquitto,
    recorder: Recorder,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PASSWORD", PASSWORD)
    http = {"hostName": "http://127.0.0.1", "port": recorder.port, "requestPath": "/in"}
    redis = {"redisClientConfig": {"addr": redis_server.address}}
    properties = [
        prop("dead", {"http": http | {"port": free_port(), "hostName": "http://bob:s3cret@127.0.0.1"}}),
        prop("wrong", {"http": http | {"port": 0}}),
        prop("both", {"http": http, "dbMethod": {"redis": redis}}, reportCycle=200),
        prop("odd", {"anomalyDetection": {"threshold": 3}, "dbMethod": {"redis": redis}}),
    ]
    reported: set[str] = set()
    listener = Broker(mosquitto.address, "listener")
    listener.subscribe(UPDATE, lambda _, payload: reported.update(json.loads(payload)["twin"]))
    task = asyncio.create_task(listener.run())
    await listener.wait_connected()
    async with mapper(tmp_path, mosquitto, properties) as process:
        await until(lambda: len(recorder.requests) > 10 and len(reported) == 4)
        reported.clear()
        await until(lambda: len(reported) == 4)
        await process.wait_for_line("samples wait")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert {body.partition(b"=")[0] for body in recorder.bodies()} == {b"both"}
    with redis_server.client() as client:
        members = [json.loads(member) for member in client.zrange("valve-1", 0, -1)]
    assert {member["PropertyName"] for member in members} == {"both", "odd"}
    told = process.output()
    assert told.count("pushMethod.http.port: 0 is no port from 1 to 65535") == 1
    assert told.count("pushMethod.anomalyDetection: is not supported") == 1
    assert "s3cret" not in told
    assert "bob" not in told
    assert PASSWORD not in told


def pushed_device(path: str, recorder: Recorder, mode: str) -> dict[str, Any]:
    found = device("d1", mode)
    http = {"hostName": "http://127.0.0.1", "port": recorder.port, "requestPath": path}
    found["spec"]["properties"][0]["pushMethod"] = {"http": http}
    return found


async def test_a_push_method_comes_from_the_cloud_and_changes_there(
    tmp_path: Path, recorder: Recorder
) -> None:
    async with cloud_peer(Pki.create(tmp_path)) as cloud:
        cloud.answers.append(confirm_twins)
        lab = Lab(tmp_path, cloud, configuration(tmp_path, cloud.port))
        async with edgecore(lab.edge), lab.mapper():
            await connected(lab)
            await lab.push("insert", "devicemodel", WAVE, "1")
            await lab.push("insert", "device", pushed_device("/one", recorder, "slow"), "2")
            await lab.reported("d1", mode_is("slow"))
            await until(lambda: len(recorder.requests) >= 3)
            await lab.push("update", "device", pushed_device("/two", recorder, "fast"), "3")
            await lab.reported("d1", mode_is("fast"))
            await until(lambda: recorder.requests[-1].path == "/two")
            await asyncio.sleep(0.5)
            paths = [request.path for request in recorder.requests]
            assert paths == sorted(paths)
            await lab.push("delete", "device", pushed_device("/two", recorder, "fast"), "4")
            await asyncio.sleep(1)
            count = len(recorder.requests)
            await asyncio.sleep(0.5)
            assert len(recorder.requests) == count
    assert all(body.startswith(b"level=2") or body.startswith(b"level=3") for body in recorder.bodies())
