"""The virtual mapper over plain MQTT: the real EdgeCore and a real Mosquitto; devices are in its file."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import yaml
from tests.component.edgecore.mqtt_client import MqttClient, mqtt_client
from tests.edgecore.cloud_peer import CloudPeer, Pki, cloud_peer, configuration, confirm_twins
from tests.edgecore.processes import edgecore, mosquitto, spawn

MODEL = {
    "metadata": {"namespace": "default", "name": "valve"},
    "spec": {
        "properties": [
            {"name": "flow", "type": "INT", "accessMode": "ReadOnly", "maximum": "9"},
            {"name": "open", "type": "BOOLEAN", "accessMode": "ReadWrite"},
        ]
    },
}
DEVICE = {
    "metadata": {"namespace": "default", "name": "valve-1"},
    "spec": {
        "deviceModelRef": {"name": "valve"},
        "stateReport": {"reportToCloud": True, "reportCycle": 500},
        "properties": [
            {"name": "flow", "collectCycle": 100, "reportToCloud": True},
            {"name": "open", "collectCycle": 100, "reportToCloud": True},
        ],
    },
}


@contextlib.asynccontextmanager
async def mapper(directory: Path, broker: int) -> AsyncIterator[None]:
    config = directory / "config.yaml"
    values: dict[str, Any] = {"common": {"http_port": 0}, "models": [MODEL], "devices": [DEVICE]}
    config.write_text(yaml.safe_dump({**values, "mqtt": {"address": f"tcp://127.0.0.1:{broker}"}}))
    process = await spawn(
        directory, "mapper", sys.executable, "-m", "edgelab.mappers.virtual", "--config", str(config)
    )
    try:
        yield
    finally:
        process.child.terminate()
        async with asyncio.timeout(30):
            assert await process.child.wait() == 0, process.output()
        assert "Traceback" not in process.output()


async def actual(cloud: CloudPeer, name: str, value: str, since: int = 0) -> None:
    def carries(message: Any) -> bool:
        if message.route.resource != "device/default/valve-1/twin/edge_updated":
            return False
        if any(message is old for old in cloud.received[:since]):
            return False
        twin = message.object()["twin"]
        return bool(twin.get(name, {}).get("actual", {}).get("value") == value)

    await cloud.wait_for(carries)


def want(client: MqttClient, value: str) -> None:
    body = {"event_id": "", "timestamp": 0, "twin": {"open": {"expected": {"value": value}}}}
    client.publish("$hw/events/device/default/valve-1/twin/update", body)


async def test_reports_and_wanted_values_by_topics(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path)
    async with mosquitto(tmp_path) as broker, cloud_peer(pki) as cloud:
        cloud.answers.append(confirm_twins)
        bus = {"enable": True, "mqttServerExternal": f"tcp://127.0.0.1:{broker}"}
        config = configuration(tmp_path, cloud.port, eventBus=bus)
        async with edgecore(config) as edge, mqtt_client(broker) as client:
            await edge.wait_for_line("connected to MQTT broker")
            await cloud.wait_for(lambda m: m.route.operation == "keepalive")
            added = {"added_devices": [{"id": "default/valve-1", "name": "valve-1"}], "removed_devices": None}
            await cloud.push("update", "membership", added, source="devicecontroller", group="twin")
            async with mapper(tmp_path, broker):
                await actual(cloud, "open", "false")
                want(client, "true")  # arrives as a delta
                await actual(cloud, "open", "true")
            since = len(cloud.received)
            async with mapper(tmp_path, broker):  # a new process, whose device begins closed: it asks
                await actual(cloud, "open", "true", since)
            state = "device/default/valve-1/state/update"
            await cloud.wait_for(lambda m: m.route.resource == state and "online" in str(m.value()))
