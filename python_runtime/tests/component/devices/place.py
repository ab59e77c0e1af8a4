"""Devices over the whole way: a real Mosquitto and edgecore, and a CloudCore with its API in memory."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.cloudcore.cloud import Cloud, running
from tests.component.edgecore.mqtt_client import MqttClient, mqtt_client
from tests.component.edgecore.test_with_cloudcore import edge_configuration
from tests.edgecore.processes import Process, edgecore, mosquitto

from edgelab.kube.interface import Obj
from edgelab.kube.resources import DEVICE_STATUSES, DEVICES

SECONDS = 60
DEVICE = "$hw/events/device/default"


class Place:
    """Everything a test talks to."""

    def __init__(self, cloud: Cloud, process: Process, client: MqttClient) -> None:
        self.cloud, self.process, self.client = cloud, process, client

    async def device(self, name: str, *, annotations: dict[str, str] | None = None, **desired: str) -> None:
        properties = [
            {"name": key, **({"desired": {"value": value}} if value else {})}
            for key, value in desired.items()
        ]
        metadata = {"name": name, "annotations": annotations or {}}
        spec = {"nodeName": "edge1", "properties": properties}
        await self.cloud.api.create(DEVICES, {"metadata": metadata, "spec": spec}, "default")
        await self.process.wait_for_line(f"device default/{name} joined this node")

    async def wish(self, name: str, **desired: str) -> None:
        properties = [{"name": key, "desired": {"value": value}} for key, value in desired.items()]
        await self.cloud.api.patch(DEVICES, name, {"spec": {"properties": properties}}, "default")

    def status(self, name: str) -> Obj:
        found = self.cloud.api.objects.get(DEVICE_STATUSES, {}).get(("default", name)) or {}
        status: Obj = found.get("status") or {}
        return status

    def values(self, name: str, half: str = "reported") -> dict[str, str]:
        return {twin["propertyName"]: twin[half]["value"] for twin in self.status(name).get("twins") or ()}

    async def told(self, topic: str, event: str = "") -> Any:
        return await self.client.expect(
            topic, lambda body: not event or body.get("event_id") == event, seconds=SECONDS
        )


@contextlib.asynccontextmanager
async def standing(tmp_path: Path) -> AsyncIterator[Place]:
    async with contextlib.AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(running(tmp_path / "cloud"))
        broker = await stack.enter_async_context(mosquitto(tmp_path))
        config = edge_configuration(tmp_path / "edge", cloud, await cloud.token(), broker)
        process = await stack.enter_async_context(edgecore(config))
        client = await stack.enter_async_context(mqtt_client(broker))
        await process.wait_for_line("connected to MQTT broker")
        await process.wait_for_line("connected to CloudCore")
        yield Place(cloud, process, client)
