"""EdgeCore and CloudCore together: joining with a token, and a device's value on its way into the API."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import time
from pathlib import Path
from typing import Any

from tests.cloudcore.cloud import Cloud, running
from tests.component.edgecore.mqtt_client import mqtt_client
from tests.edgecore.cloud_peer import configuration
from tests.edgecore.processes import edgecore, free_port, mosquitto

from edgelab.daemon.clock import SystemClock
from edgelab.edgecore.edgehub import certificate
from edgelab.edgecore.edgehub.enrolment import Enrolment, Files
from edgelab.kube.resources import DEVICE_MODELS, DEVICE_STATUSES, DEVICES


def edge_configuration(directory: Path, cloud: Cloud, token: str, broker: int = 0) -> Path:
    directory.mkdir(exist_ok=True)
    config = configuration(
        directory,
        cloud.port,
        edgeHub={
            "httpServer": cloud.https,
            "tlsCaFile": str(directory / "ca" / "rootCA.crt"),
            "tlsCertFile": str(directory / "certs" / "server.crt"),
            "tlsPrivateKeyFile": str(directory / "certs" / "server.key"),
            "websocket": {"server": f"127.0.0.1:{cloud.port}"},
        },
        eventBus={"enable": bool(broker), "mqttServerExternal": f"tcp://127.0.0.1:{broker}"},
    )
    (directory / "bootstrap.conf").write_text(token + "\n")
    return config


async def make_device(cloud: Cloud, name: str = "thermo") -> None:
    model = {
        "metadata": {"name": "model"},
        "spec": {"properties": [{"name": "temperature", "type": "FLOAT"}]},
    }
    if not cloud.api.objects.get(DEVICE_MODELS):
        await cloud.api.create(DEVICE_MODELS, model, "default")
    device = {
        "metadata": {"name": name},
        "spec": {
            "deviceModelRef": {"name": "model"},
            "nodeName": "edge1",
            "properties": [{"name": "temperature", "visitors": {"protocolName": "x"}}],
        },
    }
    await cloud.api.create(DEVICES, device, "default")


def reported(cloud: Cloud, name: str = "thermo") -> str | None:
    found = cloud.api.objects.get(DEVICE_STATUSES, {}).get(("default", name))
    twins: list[dict[str, Any]] = ((found or {}).get("status") or {}).get("twins") or []
    return twins[0]["reported"]["value"] if twins else None


async def until(check: Any, seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.002)


async def test_a_node_joins_with_its_token_and_a_value_reaches_the_api(tmp_path: Path) -> None:
    async with running(tmp_path / "cloud") as cloud, mosquitto(tmp_path) as broker:
        config = edge_configuration(tmp_path / "edge", cloud, await cloud.token(), broker)
        await make_device(cloud)
        async with edgecore(config) as process, mqtt_client(broker) as client:
            await process.wait_for_line("connected to CloudCore")
            await client.expect("$hw/events/node/edge1/membership/updated")
            client.update("default/thermo", temperature="21.5")
            await until(lambda: reported(cloud) == "21.5")
            key = tmp_path / "edge" / "certs" / "server.key"
            assert key.stat().st_mode & 0o077 == 0
            (tmp_path / "edge" / "bootstrap.conf").unlink()
        async with edgecore(config) as process:
            await process.wait_for_line("connected to CloudCore")


async def test_values_take_milliseconds_and_the_newest_of_a_flood_arrives(tmp_path: Path) -> None:
    async with running(tmp_path / "cloud") as cloud, mosquitto(tmp_path) as broker:
        config = edge_configuration(tmp_path / "edge", cloud, await cloud.token(), broker)
        await make_device(cloud)
        async with edgecore(config) as process, mqtt_client(broker) as client:
            await process.wait_for_line("device default/thermo joined this node")
            took = []
            for value in range(40):
                began = time.perf_counter()
                client.update("default/thermo", temperature=str(value))
                await until(lambda v=value: reported(cloud) == str(v))
                took.append(time.perf_counter() - began)
                await asyncio.sleep(0.05)
            took.sort()
            print(f"MQTT to API p50 {took[20] * 1000:.1f} ms, p95 {took[38] * 1000:.1f} ms")
            assert took[20] < 0.1
            for value in range(1000):
                client.update("default/thermo", temperature=str(1000 + value))
            await until(lambda: reported(cloud) == "1999", 20)


async def test_a_cloud_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    async with running(tmp_path / "cloud") as cloud:
        token = await cloud.token()
        config = edge_configuration(tmp_path / "edge", cloud, token)
        text = config.read_text()
        config.write_text(text.replace(cloud.https, f"https://127.0.0.1:{free_port()}"))
        async with edgecore(config) as process:
            await process.wait_for_line("cannot join yet: enrol: cannot reach")
            assert process.child.returncode is None


class LaterClock(SystemClock):
    """A clock that is ahead, so that a certificate made now is due for renewal."""

    def now(self) -> dt.datetime:
        return super().now() + dt.timedelta(days=360)


async def test_a_certificate_is_renewed_in_time_with_the_one_at_hand(tmp_path: Path) -> None:
    async with running(tmp_path / "cloud") as cloud:
        files = Files(*(tmp_path / name for name in ("ca.crt", "server.crt", "server.key", "token")))
        files.bootstrap.write_text(await cloud.token())
        await Enrolment(cloud.https, "edge1", files, "", SystemClock()).ensure()
        before = files.certificate.read_bytes(), files.key.read_bytes()
        files.bootstrap.unlink()
        async with asyncio.timeout(20):
            await Enrolment(cloud.https, "edge1", files, "", LaterClock()).renew_in_time()
        assert files.certificate.read_bytes() != before[0]
        assert files.key.read_bytes() != before[1]
        found = certificate.read(files.certificate)
        assert found is not None
        assert found.common_name == "system:node:edge1"


async def ending(config: Path, **environment: str) -> str:
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        async with edgecore(config) as process:
            async with asyncio.timeout(20):
                assert await process.child.wait() not in (0, 70)
            assert "Traceback" not in process.output()
            return process.output().strip().splitlines()[-1]
    finally:
        os.environ.clear()
        os.environ.update(before)


async def test_what_makes_joining_impossible_ends_it_with_one_line(tmp_path: Path) -> None:
    async with running(tmp_path / "cloud") as cloud:
        token = await cloud.token()
        head, _, rest = token.partition(".")
        forged = token[:-6] + ("AAAAAA" if not token.endswith("AAAAAA") else "BBBBBB")
        assert "wrong token" in await ending(edge_configuration(tmp_path / "a", cloud, forged))
        other = ("0" if head[0] != "0" else "1") + head[1:] + "." + rest
        assert "CA hash mismatch" in await ending(edge_configuration(tmp_path / "b", cloud, other))
        assert "wrong token" in await ending(edge_configuration(tmp_path / "c", cloud, "nonsense"))
