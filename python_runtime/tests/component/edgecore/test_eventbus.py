"""EventBus's modes through the real edgecore, with Mosquitto and paho on the other side."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from tests.component.edgecore.mqtt_client import MqttClient, mqtt_client
from tests.component.edgecore.test_devices import event_bus
from tests.edgecore.cloud_peer import CloudPeer, Pki, cloud_peer, configuration, confirm_twins
from tests.edgecore.processes import Process, edgecore, free_port, mosquitto

MEMBERS = "$hw/events/node/edge1/membership/get"
RESULT = "$hw/events/device/default/thermo/twin/update/result"
DOCUMENT = "$hw/events/device/default/thermo/twin/update/document"
LISTENS = "the internal MQTT broker listens"
CONNECTED = "connected to MQTT broker"
SECONDS = 30


def internal_bus(port: int, mode: int = 0, **values: Any) -> dict[str, Any]:
    return {"enable": True, "mqttMode": mode, "mqttServerInternal": f"tcp://127.0.0.1:{port}", **values}


@contextlib.asynccontextmanager
async def node(directory: Path, bus: dict[str, Any], **mqtt: Any) -> AsyncIterator[tuple[Process, CloudPeer]]:
    """EdgeCore with device default/thermo, and its cloud."""
    pki = Pki.create(directory)
    async with cloud_peer(pki) as cloud:
        cloud.answers.append(confirm_twins)
        config = configuration(directory, cloud.port, eventBus=bus)
        if mqtt:
            document = json.dumps({"mqtt": mqtt})
            config.write_text(
                config.read_text().replace("edgelab:", f"edgelab:\n  mqtt: {document[9:-1]}", 1)
            )
        async with edgecore(config) as process:
            await cloud.wait_for(lambda m: m.route.operation == "keepalive")
            added = [{"id": "default/thermo", "name": "thermo"}]
            await cloud.push(
                "update", "membership", {"added_devices": added}, source="devicecontroller", group="twin"
            )
            yield process, cloud


async def works(client: MqttClient, cloud: CloudPeer, value: str) -> None:
    """A value goes up, and its document comes down."""
    client.update("default/thermo", event=value, temperature=value)
    await client.expect(RESULT, lambda body: body["event_id"] == value, seconds=SECONDS)
    document = await client.expect(DOCUMENT, lambda body: body["event_id"] == value, seconds=SECONDS)
    assert document["twin"]["temperature"]["current"]["actual"]["value"] == value
    await cloud.wait_for(
        lambda m: m.route.resource.endswith("twin/edge_updated") and f'"{value}"'.encode() in bytes(m.content)
    )


async def test_mode_0_needs_no_other_broker(tmp_path: Path) -> None:
    port = free_port()
    async with node(tmp_path, internal_bus(port)) as (process, cloud):
        await process.wait_for_line(LISTENS)
        async with mqtt_client(port) as client:
            await works(client, cloud, "20")
            client.publish("default/user/alarm", {"loud": True})
            upload = await cloud.wait_for(lambda m: m.route.resource == "default/user/alarm")
            assert json.loads(upload.value()) == {"loud": True}


async def test_mode_1_serves_programs_of_both_brokers(tmp_path: Path) -> None:
    port = free_port()
    async with mosquitto(tmp_path) as other:
        bus = internal_bus(port, 1, mqttServerExternal=f"tcp://127.0.0.1:{other}")
        async with node(tmp_path, bus) as (process, cloud):
            await process.wait_for_line(LISTENS)
            await process.wait_for_line(CONNECTED)
            async with mqtt_client(port) as inside, mqtt_client(other) as outside:
                await works(inside, cloud, "20")
                await outside.expect(DOCUMENT, lambda body: body["event_id"] == "20", seconds=SECONDS)
                await works(outside, cloud, "21")
                await inside.expect(DOCUMENT, lambda body: body["event_id"] == "21", seconds=SECONDS)


async def test_a_port_held_by_mosquitto_is_named_and_everything_else_works(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as port:
        bus = internal_bus(port, 1, mqttServerExternal=f"tcp://localhost:{port}")
        async with node(tmp_path, bus) as (process, cloud):
            await process.wait_for_line(f"MQTT port {port} is used by mosquitto (pid ")
            assert "set modules.eventBus.mqttMode to 2" in process.output()
            await process.wait_for_line(CONNECTED)
            async with mqtt_client(port) as client:
                await works(client, cloud, "20")


@pytest.mark.parametrize("version", [MQTTProtocolVersion.MQTTv31, MQTTProtocolVersion.MQTTv311])
async def test_real_clients_of_older_versions_are_served_by_the_internal_broker(
    tmp_path: Path, version: MQTTProtocolVersion
) -> None:
    port = free_port()
    async with node(tmp_path, internal_bus(port)) as (process, _):
        await process.wait_for_line(LISTENS)
        assert await dialogue(port, version) == ["Success", "ping"]


async def test_a_client_of_mqtt_5_is_refused_by_the_internal_broker_and_served_by_mosquitto(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with mosquitto(tmp_path) as other:
        bus = internal_bus(port, 1, mqttServerExternal=f"tcp://127.0.0.1:{other}")
        async with node(tmp_path, bus) as (process, _):
            await process.wait_for_line(LISTENS)
            assert await dialogue(port, MQTTProtocolVersion.MQTTv5) == ["Unsupported protocol version"]
            assert await dialogue(other, MQTTProtocolVersion.MQTTv5) == ["Success", "ping"]


async def dialogue(port: int, version: MQTTProtocolVersion) -> list[str]:
    """What a client sees: the answer to CONNECT, then its own message of QoS 2."""
    seen: list[str] = []
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    client = Client(CallbackAPIVersion.VERSION2, client_id="p", protocol=version, reconnect_on_failure=False)

    def on_connect(_c: Any, _d: Any, _f: Any, reason: Any, _p: Any) -> None:
        seen.append(str(reason))
        if reason.is_failure:
            loop.call_soon_threadsafe(ended.set)
        else:
            client.subscribe("p/#", qos=2)

    def on_message(_c: Any, _d: Any, message: Any) -> None:
        seen.append(message.payload.decode())
        loop.call_soon_threadsafe(ended.set)

    client.on_connect = on_connect
    client.on_subscribe = lambda *_: client.publish("p/x", "ping", qos=2)
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        async with asyncio.timeout(SECONDS):
            await ended.wait()
    finally:
        client.disconnect()
        client.loop_stop()
    return seen


async def test_mosquitto_itself_is_a_client_of_the_internal_broker_as_a_bridge(tmp_path: Path) -> None:
    port, bridge = free_port(), free_port()
    lines = (
        "allow_anonymous true",
        "connection edge",
        f"address 127.0.0.1:{port}",
        "topic # both 1",
        "topic $hw/events/# both 1",
        "restart_timeout 1",
    )
    async with node(tmp_path, internal_bus(port)) as (process, cloud):
        await process.wait_for_line(LISTENS)
        async with mosquitto(tmp_path, *lines, port=bridge), mqtt_client(bridge) as client:
            async with asyncio.timeout(SECONDS):
                while not any(topic == MEMBERS + "/result" for topic, *_ in client.received):
                    client.publish(MEMBERS, {"event_id": "m"}, qos=1)  # lost until the bridge stands
                    await asyncio.sleep(0.2)
            await works(client, cloud, "20")


async def test_eventbus_speaks_mqtt_5_with_an_external_broker_if_it_is_to(tmp_path: Path) -> None:
    async with mosquitto(tmp_path, "allow_anonymous true", "log_type all") as broker:
        async with node(tmp_path, event_bus(broker), externalVersion="5") as (process, cloud):
            await process.wait_for_line(CONNECTED)
            async with mqtt_client(broker) as client:
                client.publish("default/user/large", b"x" * 1_000_000)
                await works(client, cloud, "20")
        log = "".join(path.read_text() for path in tmp_path.glob("mosquitto-*.log"))
        assert "as hub-client-sub-" in log
        assert "(p5, " in log
        assert not any(m.route.resource == "default/user/large" for m in cloud.received)


async def test_a_megabyte_from_an_external_broker_is_refused_and_nothing_else_is(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as broker, node(tmp_path, event_bus(broker)) as (process, cloud):
        await process.wait_for_line(CONNECTED)
        async with mqtt_client(broker) as client:
            for _ in range(3):
                client.publish("default/user/large", b"x" * 1_000_000)
            await works(client, cloud, "20")
            assert process.output().count("refused, larger than 262144 bytes") == 1
            assert not any(m.route.resource == "default/user/large" for m in cloud.received)


async def test_the_newest_value_is_told_to_programs_after_the_external_broker_was_away(
    tmp_path: Path,
) -> None:
    port, broker = free_port(), free_port()
    bus = internal_bus(port, 1, mqttServerExternal=f"tcp://127.0.0.1:{broker}")
    async with node(tmp_path, bus) as (process, cloud):
        await process.wait_for_line(LISTENS)
        async with mqtt_client(port) as inside:
            for value in ("20", "21", "22"):
                await works(inside, cloud, value)
        async with mosquitto(tmp_path, port=broker), mqtt_client(broker) as client:
            newest = await client.expect(DOCUMENT, lambda body: body["event_id"] == "22", seconds=SECONDS)
            assert newest["twin"]["temperature"]["current"]["actual"]["value"] == "22"


async def test_users_of_mosquitto_passwd_and_rules_guard_the_internal_broker(tmp_path: Path) -> None:
    port, passwords, rules = free_port(), tmp_path / "passwords", tmp_path / "acl"
    passwords.touch(mode=0o600)
    for user in ("thermo", "guest"):
        tool = await asyncio.create_subprocess_exec(
            "mosquitto_passwd", "-b", str(passwords), user, f"{user}-pw"
        )
        assert await tool.wait() == 0
    rules.touch(mode=0o600)
    rules.write_text(
        "pattern readwrite $hw/events/device/default/%u/#\nuser guest\ntopic read $hw/events/device/#\n"
    )
    files = {"passwordFile": str(passwords), "aclFile": str(rules)}
    async with node(tmp_path, internal_bus(port), **files) as (process, cloud):
        await process.wait_for_line(LISTENS)
        async with (
            mqtt_client(port, username="thermo", password="thermo-pw") as device,
            mqtt_client(port, username="guest", password="guest-pw") as guest,
        ):
            guest.update("default/thermo", event="forged", temperature="99")
            await works(device, cloud, "20")
            seen = await guest.expect(DOCUMENT, seconds=SECONDS)
            assert seen["event_id"] == "20"
        await process.wait_for_line("may not publish on")
        assert "thermo-pw" not in process.output()
