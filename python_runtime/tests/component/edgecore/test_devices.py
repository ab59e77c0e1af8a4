"""Devices through the real edgecore: a real Mosquitto on one side, a scripted cloud on the other."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.component.edgecore.mqtt_client import MqttClient, mqtt_client
from tests.edgecore.cloud_peer import CloudPeer, Pki, cloud_peer, configuration, confirm_twins
from tests.edgecore.processes import Process, edgecore, free_port, mosquitto

from edgelab.protocol import message as wire

VECTORS = Path(__file__).parents[2] / "edgecore" / "vectors"
DEVICE = "$hw/events/device/default/thermo"


class Node:
    """Everything a test talks to."""

    def __init__(self, pki: Pki, cloud: CloudPeer, broker: int, process: Process, client: MqttClient) -> None:
        self.pki = pki
        self.cloud = cloud
        self.broker = broker
        self.process = process
        self.client = client

    async def add_device(self, name: str = "thermo") -> None:
        added = [{"id": f"default/{name}", "name": name}]
        content = {"event_id": "m", "timestamp": 1, "added_devices": added, "removed_devices": None}
        await self.cloud.push("update", "membership", content, source="devicecontroller", group="twin")
        await self.client.expect("$hw/events/node/edge1/membership/updated")

    async def reported(self, device: str, **values: str) -> None:
        """Wait for a report in which the properties have these values."""

        def carries(message: Any) -> bool:
            if message.route.resource != f"device/default/{device}/twin/edge_updated":
                return False
            twin = message.object()["twin"]
            return all(
                twin.get(name, {}).get("actual", {}).get("value") == value for name, value in values.items()
            )

        await self.cloud.wait_for(carries)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    pki = Pki.create(tmp_path)
    async with mosquitto(tmp_path) as broker, cloud_peer(pki) as cloud:
        cloud.answers.append(confirm_twins)
        config = configuration(tmp_path, cloud.port, eventBus=event_bus(broker))
        async with edgecore(config) as process, mqtt_client(broker) as client:
            await process.wait_for_line("connected to MQTT broker")
            await cloud.wait_for(lambda m: m.route.operation == "keepalive")
            yield Node(pki, cloud, broker, process, client)


def event_bus(port: int, **values: Any) -> dict[str, Any]:
    return {"enable": True, "mqttServerExternal": f"tcp://127.0.0.1:{port}", **values}


def normal(value: Any) -> Any:
    """A payload without what differs from run to run: times, and ids made up by the sender."""
    if isinstance(value, dict):
        kept = {
            key: normal(item) for key, item in value.items() if key not in ("timestamp", "lastOnlineTime")
        }
        if len(str(kept.get("event_id", ""))) == 36:
            kept["event_id"] = "<uuid>"
        return kept
    return [normal(item) for item in value] if isinstance(value, list) else value


def without_wishes(content: Any) -> Any:
    """A Device without `desired`, which the original's twins do not hear of; ours do (test_wishes.py)."""
    if not isinstance(content, dict) or content.get("kind") != "Device":
        return content
    kept = [
        {key: value for key, value in prop.items() if key != "desired"}
        for prop in content["spec"]["properties"]
    ]
    return {**content, "spec": {**content["spec"], "properties": kept}}


async def test_a_recorded_life_of_a_device_is_answered_as_the_original_answered(node: Node) -> None:
    requests = ("twin/update", "twin/get", "state/update", "membership/get")
    pushed: dict[str, str] = {}
    seen: set[str] = set()
    for line in (VECTORS / "device-life.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "mqtt" in record:
            payload = json.loads(record["payload"])
            if record["mqtt"].endswith(requests):
                node.client.publish(record["mqtt"], payload)
            else:
                got = await node.client.expect(record["mqtt"])
                assert normal(got) == normal(payload), record["mqtt"]
            continue
        route, content = record["msg"]["route"], record["msg"]["content"]
        header = record["msg"]["header"]
        if record["dir"] == "cloud->edge":
            if route["operation"] != "response":  # confirmations are given by the peer itself
                version = header.get("resourceversion", "")
                message = await node.cloud.push(
                    route["operation"],
                    route["resource"],
                    without_wishes(content),
                    source=route["source"],
                    group=route["group"],
                    resource_version=version,
                )
                pushed[header["msg_id"]] = message.id
        elif route["operation"] == "response":
            acknowledgement = await node.cloud.wait_for(
                lambda m, parent=pushed[header["parent_msg_id"]]: m.parent_id == parent
            )
            assert acknowledgement.value() == "OK"
        else:
            message = await node.cloud.wait_for(
                lambda m, where=route["resource"]: m.route.resource == where and m.id not in seen
            )
            seen.add(message.id)
            assert message.route.source == route["source"]
            assert message.route.group == route["group"]
            assert isinstance(message.value(), type(content))
            recorded = json.loads(content) if isinstance(content, str) else content
            assert normal(message.object()) == normal(recorded)


async def test_values_reported_while_offline_arrive_after_the_reconnect_the_newest_only(node: Node) -> None:
    await node.add_device()
    node.client.update("default/thermo", temperature="20")
    await node.reported("thermo", temperature="20")
    await node.cloud.stop()
    await node.process.wait_for_line("connection to CloudCore lost")
    for value in ("21", "22", "23"):
        node.client.update("default/thermo", event=value, temperature=value)
        await node.client.expect(f"{DEVICE}/twin/update/result", lambda body, v=value: body["event_id"] == v)
    seen = len(node.cloud.received)
    await node.cloud.start()
    await node.reported("thermo", temperature="23")
    reports = [m for m in node.cloud.received[seen:] if m.route.resource.endswith("twin/edge_updated")]
    assert [m.object()["twin"]["temperature"]["actual"]["value"] for m in reports] == ["23"]


async def test_a_restarted_edgecore_knows_its_devices_and_tells_the_cloud_their_values(node: Node) -> None:
    await node.add_device()
    node.client.update("default/thermo", temperature="20.5")
    await node.reported("thermo", temperature="20.5")
    await node.process.kill()
    seen = len(node.cloud.received)
    async with edgecore(node.pki.directory / "edgecore.yaml") as process:
        await node.cloud.wait_for(
            lambda m: m.route.resource == "device/default/thermo/twin/edge_updated", after=seen, seconds=10
        )
        assert process.child.returncode is None
        twin = node.cloud.received[-1].object()["twin"]["temperature"]
        assert twin["actual"]["value"] == "20.5"
        assert twin["actual_version"] == {"cloud": 0, "edge": 1}


async def test_a_report_is_sent_again_until_the_cloud_confirms_it(node: Node) -> None:
    await node.add_device()
    node.cloud.answers.clear()
    node.client.update("default/thermo", temperature="20")
    await node.reported("thermo", temperature="20")
    seen = len(node.cloud.received)
    node.cloud.answers.append(confirm_twins)
    await node.cloud.wait_for(
        lambda m: m.route.resource.endswith("twin/edge_updated"), after=seen, seconds=12
    )
    seen = len(node.cloud.received)
    await asyncio.sleep(0.5)
    assert not [m for m in node.cloud.received[seen:] if m.route.source == "twin"]


async def test_requests_that_cannot_be_done_are_answered_with_code_and_reason(node: Node) -> None:
    await node.add_device()
    result = f"{DEVICE}/twin/update/result"
    node.client.publish(f"{DEVICE}/twin/update", "{no json")
    assert (await node.client.expect(result))["code"] == 400
    node.client.publish(f"{DEVICE}/twin/update", {"event_id": "n", "twin": {"t": {"actual": {"value": 5}}}})
    assert (await node.client.expect(result))["code"] == 400
    node.client.update("default/ghost", event="g", t="1")
    unknown = await node.client.expect("$hw/events/device/default/ghost/twin/update/result")
    assert (unknown["event_id"], unknown["code"]) == ("g", 404)
    node.client.publish("$hw/events/device/default/ghost/twin/get", {"event_id": "q", "timestamp": 0})
    missing = await node.client.expect("$hw/events/device/default/ghost/twin/get/result")
    assert missing["reason"] == "Device default/ghost not found while getting twin"


async def test_a_client_of_an_old_release_reaches_its_device_by_bare_name(node: Node) -> None:
    await node.add_device()
    node.client.update("thermo", event="old", temperature="19")
    result = await node.client.expect("$hw/events/device/thermo/twin/update/result")
    assert result["twin"]["temperature"]["actual"]["value"] == "19"
    await node.reported("thermo", temperature="19")


async def test_a_device_is_known_from_its_object_when_the_membership_message_was_lost(node: Node) -> None:
    device = {
        "apiVersion": "devices.kubeedge.io/v1beta1",
        "kind": "Device",
        "metadata": {"name": "lost", "namespace": "default", "uid": "d1", "resourceVersion": "7"},
        "spec": {"nodeName": "edge1"},
    }
    pushed = await node.cloud.push(
        "insert", "default/device/lost", device, source="devicecontroller", resource_version="7"
    )
    await node.cloud.acknowledged(pushed)
    node.client.update("default/lost", temperature="1")
    await node.reported("lost", temperature="1")
    gone = await node.cloud.push("delete", "default/device/lost", device, source="edgecontroller")
    await node.cloud.acknowledged(gone)
    node.client.update("default/lost", event="late", temperature="2")
    answer = await node.client.expect(
        "$hw/events/device/default/lost/twin/update/result", lambda body: body["event_id"] == "late"
    )
    assert answer["code"] == 404


async def test_a_flood_of_updates_is_coalesced_and_every_last_value_arrives(node: Node) -> None:
    names = [f"s{number}" for number in range(20)]
    for name in names:
        await node.add_device(name)
    for value in range(100):
        for name in names:
            node.client.update(f"default/{name}", value=str(value))
    for name in names:
        await node.reported(name, value="99")
    reports = [m for m in node.cloud.received if m.route.resource.endswith("twin/edge_updated")]
    assert len(reports) < 1000
    with sqlite3.connect(node.pki.directory / "edgecore.db") as connection:
        stored = dict(connection.execute("SELECT deviceid, actual FROM device_twin"))
    assert stored == {f"default/{name}": "99" for name in names}


async def test_it_subscribes_again_after_the_broker_was_away(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path)
    broker = free_port()
    async with cloud_peer(pki) as cloud:
        cloud.answers.append(confirm_twins)
        config = configuration(tmp_path, cloud.port, eventBus=event_bus(broker))
        async with edgecore(config) as process:
            await process.wait_for_line("Connection refused")
            for _ in range(2):
                seen = process.output().count("connected to MQTT broker")
                async with mosquitto(tmp_path, port=broker), mqtt_client(broker) as client:
                    async with asyncio.timeout(10):
                        while process.output().count("connected to MQTT broker") == seen:
                            await asyncio.sleep(0.05)
                    await asyncio.sleep(0.2)
                    client.publish("$hw/events/node/edge1/membership/get", {"event_id": "m"})
                    await client.expect("$hw/events/node/edge1/membership/get/result")


async def test_user_and_password_are_used_and_a_wrong_one_is_named_but_not_shown(tmp_path: Path) -> None:
    Pki.create(tmp_path)
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    tool = await asyncio.create_subprocess_exec(
        "mosquitto_passwd", "-b", str(passwords), "edge", "right-secret"
    )
    assert await tool.wait() == 0
    lines = ("allow_anonymous false", f"password_file {passwords}")
    async with mosquitto(tmp_path, *lines) as broker:
        bus = event_bus(broker, mqttUsername="edge", mqttPassword="wrong-secret")
        async with edgecore(configuration(tmp_path, free_port(), eventBus=bus)) as process:
            await process.wait_for_line("login refused")
            assert "wrong-secret" not in process.output()
        bus["mqttPassword"] = "right-secret"
        async with edgecore(configuration(tmp_path, free_port(), eventBus=bus)) as process:
            await process.wait_for_line("connected to MQTT broker")


async def test_a_broker_with_tls_is_checked_against_the_configured_ca(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path)
    Pki.create(tmp_path / "other")
    lines = (
        "allow_anonymous true",
        f"cafile {tmp_path}/rootCA.crt",
        f"certfile {tmp_path}/cloud.crt",
        f"keyfile {tmp_path}/cloud.key",
        "require_certificate true",
    )
    async with mosquitto(tmp_path, *lines) as broker:
        tls = {
            "enable": True,
            "tlsMqttCAFile": str(tmp_path / "rootCA.crt"),
            "tlsMqttCertFile": str(tmp_path / "server.crt"),
            "tlsMqttPrivateKeyFile": str(tmp_path / "server.key"),
        }
        bus = {"enable": True, "mqttServerExternal": f"ssl://127.0.0.1:{broker}", "eventBusTLS": tls}
        async with edgecore(configuration(pki.directory, free_port(), eventBus=bus)) as process:
            await process.wait_for_line("connected to MQTT broker")
        tls["tlsMqttCAFile"] = str(tmp_path / "other" / "rootCA.crt")
        async with edgecore(configuration(pki.directory, free_port(), eventBus=bus)) as process:
            await process.wait_for_line("certificate verify failed")


async def test_subscriptions_that_mqtt_does_not_allow_do_not_end_edgecore_now_or_later(
    tmp_path: Path,
) -> None:
    pki = Pki.create(tmp_path)
    async with mosquitto(tmp_path) as broker, cloud_peer(pki) as cloud:
        config = configuration(tmp_path, cloud.port, eventBus=event_bus(broker))
        for _ in range(2):
            async with edgecore(config) as process, mqtt_client(broker) as client:
                await process.wait_for_line("connected to MQTT broker")
                await cloud.wait_for(lambda m: m.route.operation == "keepalive")
                for topic, operation in (("a/#/b", "subscribe"), ("a/+", "publish"), ("sound", "subscribe")):
                    content = wire.new(
                        source="router", group="user", operation=operation, resource=topic, content="x"
                    )
                    await cloud.send(content)
                await asyncio.sleep(0.3)
                client.publish("sound", "ping")
                await cloud.wait_for(lambda m: m.route.resource == "sound")
            cloud.received.clear()
