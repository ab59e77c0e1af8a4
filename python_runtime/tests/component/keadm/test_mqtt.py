"""`keadm mqtt publish` at a real Mosquitto, with TLS, logins and rights, and answered by a real EdgeCore."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.component.edgecore.mqtt_client import mqtt_client
from tests.edgecore.cloud_peer import Pki, cloud_peer, configuration
from tests.edgecore.processes import edgecore, mosquitto

KEADM = Path(sys.executable).parent / "keadm"
TWIN_GET = "$hw/events/device/default/thermo/twin/get"


async def publish(
    port: int, *words: str | Path, payload: str = "", password: str = "", fails: bool = False
) -> dict[str, Any]:
    """The JSON answer; payload and password go through stdin."""
    options = ("--port", str(port), "--request", "-", "--timeout", "30", "--output", "json")
    process = await asyncio.create_subprocess_exec(
        KEADM, "mqtt", "publish", *words, *options, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    request = json.dumps({"payload": payload, "password": password})
    output, _ = await process.communicate(request.encode())
    assert (process.returncode != 0) is fails, output.decode()
    answer: dict[str, Any] = json.loads(output)
    return answer


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[int]:
    """A broker that wants TLS, a certificate and a password, and lets `keadm` read `open/#` alone."""
    Pki.create(tmp_path)
    passwords, rights = tmp_path / "passwords", tmp_path / "rights"
    make = ["mosquitto_passwd", "-b", "-c", passwords, "keadm", "hunter2"]
    await asyncio.to_thread(subprocess.run, make, check=True, capture_output=True)
    rights.write_text("user keadm\ntopic readwrite open/#\n")
    lines = (
        "allow_anonymous false",
        f"password_file {passwords}",
        f"acl_file {rights}",
        f"cafile {tmp_path}/rootCA.crt",
        f"certfile {tmp_path}/cloud.crt",
        f"keyfile {tmp_path}/cloud.key",
        "require_certificate true",
    )
    async with mosquitto(tmp_path, *lines) as port:
        yield port


async def test_a_message_arrives_with_its_quality_and_a_retained_one_stays(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as port, mqtt_client(port) as client:
        for qos in ("0", "1", "2"):
            told = await publish(port, "--topic", "a/b", "--qos", qos, payload=f'{{"n": {qos}}}')
            assert (told["changed"], told["size"]) == (True, 8)
            assert await client.expect("a/b", seconds=30) == {"n": int(qos)}
        await publish(port, "--topic", "kept", "--retain", payload='"v"')
        async with mqtt_client(port) as late:
            assert await late.expect("kept", seconds=30) == "v"


async def test_twins_are_asked_for_and_edgecore_s_answer_is_told(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path)
    bus = {"enable": True}
    async with mosquitto(tmp_path) as port, cloud_peer(pki) as cloud:
        bus |= {"mqttServerExternal": f"tcp://127.0.0.1:{port}"}
        config = configuration(tmp_path, cloud.port, eventBus=bus)
        async with edgecore(config) as process, mqtt_client(port) as client:
            await process.wait_for_line("connected to MQTT broker")
            await cloud.wait_for(lambda m: m.route.operation == "keepalive")
            added = [{"id": "default/thermo", "name": "thermo"}]
            content = {"event_id": "m", "timestamp": 1, "added_devices": added, "removed_devices": None}
            await cloud.push("update", "membership", content, source="devicecontroller", group="twin")
            await client.expect("$hw/events/node/edge1/membership/updated", seconds=30)
            client.update("default/thermo", temperature="21")
            await client.expect("$hw/events/device/default/thermo/twin/update/result", seconds=30)

            # An answer to somebody else that the broker keeps is none to us.
            client.client.publish(f"{TWIN_GET}/result", '{"event_id": "old"}', qos=1, retain=True)
            await client.expect(f"{TWIN_GET}/result", seconds=30)
            words = ("--topic", TWIN_GET, "--wait-for", f"{TWIN_GET}/result")
            told = await publish(port, *words, payload='{"event_id": "e7", "timestamp": 0}')
            answer = told["answer"]
            assert answer["topic"] == f"{TWIN_GET}/result"
            assert answer["json"]["event_id"] == "e7"
            assert answer["json"]["twin"]["temperature"]["actual"]["value"] == "21"
            assert json.loads(answer["payload"]) == answer["json"]


async def test_an_answer_that_does_not_come_is_named_with_its_topic(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as port:
        words = ("--topic", "a", "--wait-for", "b/#", "--timeout", "0.5")
        process = await asyncio.create_subprocess_exec(
            *(KEADM, "mqtt", "publish", "--port", str(port), *words), stderr=subprocess.PIPE
        )
        _, error = await process.communicate()
        assert process.returncode == 1
        assert b"the message was published, but no answer came on b/# within 0.5 s" in error


async def test_tls_and_the_password_are_used_and_each_refusal_is_told(guarded: int, tmp_path: Path) -> None:
    files = ("--cert", tmp_path / "server.crt", "--key", tmp_path / "server.key")
    trust = ("--cafile", tmp_path / "rootCA.crt", *files, "--username", "keadm")
    words = ("--topic", "open/a", *trust)
    told = await publish(guarded, *words, "--wait-for", "open/#", payload="x", password="hunter2")
    assert told["answer"] == {"topic": "open/a", "payload": "x", "qos": 1}

    wrong = await publish(guarded, *words, password="wrong-secret", fails=True)
    assert wrong["error"].startswith(f"MQTT broker 127.0.0.1:{guarded}: it refused the connection: ")
    assert "wrong-secret" not in wrong["error"]

    other = Pki.create(tmp_path / "other").directory / "rootCA.crt"
    stranger = await publish(guarded, "--topic", "open/a", "--cafile", other, fails=True)
    assert "its certificate is not accepted" in stranger["error"]
