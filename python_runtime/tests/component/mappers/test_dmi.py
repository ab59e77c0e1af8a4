"""The virtual mapper's process and the real EdgeCore, over their unix sockets; each dies and is back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.edgecore.cloud_peer import CloudPeer, Pki, cloud_peer, configuration, confirm_twins
from tests.edgecore.processes import Process, edgecore, free_port, spawn

MODEL = {
    "metadata": {"namespace": "default", "name": "wave"},
    "spec": {
        "protocol": "virtual",
        "properties": [
            {"name": "level", "type": "FLOAT", "accessMode": "ReadOnly", "minimum": "20", "maximum": "30"},
            {"name": "mode", "type": "STRING", "accessMode": "ReadWrite"},
            {"name": "sensor", "type": "STRING", "accessMode": "ReadOnly"},
        ],
    },
}


def device(name: str, mode: str) -> dict[str, Any]:
    cycles = {"collectCycle": 100, "reportToCloud": True}
    return {
        "metadata": {"namespace": "default", "name": name},
        "spec": {
            "deviceModelRef": {"name": "wave"},
            "nodeName": "edge1",
            "protocol": {"protocolName": "virtual"},
            "stateReport": {"reportToCloud": True, "reportCycle": 500},
            "properties": [
                {"name": "level", **cycles, "visitors": {"configData": {"waveform": "sine", "period": 5}}},
                {"name": "mode", **cycles, "desired": {"value": mode}},
                {"name": "sensor", **cycles},
            ],
            "methods": [{"name": "SetMode", "propertyNames": ["mode"]}],
        },
    }


class Lab:
    def __init__(self, directory: Path, cloud: CloudPeer, config: Path) -> None:
        self.directory = directory
        self.cloud = cloud
        self.edge = config
        self.port = free_port()
        common = {
            "name": "virtual-mapper",
            "edgecore_sock": str(directory / "dmi.sock"),
            "http_port": str(self.port),
        }
        self.mapper_config = directory / "config.yaml"
        socket = {"socket_path": str(directory / "virtual.sock")}
        self.mapper_config.write_text(yaml.safe_dump({"grpc_server": socket, "common": common}))

    @contextlib.asynccontextmanager
    async def mapper(self) -> AsyncIterator[Process]:
        command = (sys.executable, "-m", "edgelab.mappers.virtual", "--config-file", str(self.mapper_config))
        process = await spawn(self.directory, "mapper", *command)
        try:
            yield process
        finally:
            if process.child.returncode is None:
                process.child.terminate()
                async with asyncio.timeout(30):
                    assert await process.child.wait() == 0, process.output()
        assert "Traceback" not in process.output()

    async def push(self, operation: str, kind: str, content: dict[str, Any], version: str) -> None:
        name = content["metadata"]["name"]
        await self.cloud.push(
            operation,
            f"default/{kind}/{name}",
            content,
            source="devicecontroller",
            group="resource",
            resource_version=version,
        )

    async def reported(
        self, name: str, check: Callable[[dict[str, Any]], bool], since: int = 0
    ) -> dict[str, Any]:
        """A twin report of the device, after the first `since` messages, for which `check` is true."""
        seen = self.cloud.received[:since]

        def carries(message: Any) -> bool:
            if message in seen or message.route.resource != f"device/default/{name}/twin/edge_updated":
                return False
            return check(message.object()["twin"])

        return (await self.cloud.wait_for(carries)).object()["twin"]

    async def get(self, path: str) -> dict[str, Any]:
        def fetch() -> bytes:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}", timeout=20) as answer:
                return bytes(answer.read())

        found: dict[str, Any] = json.loads(await asyncio.to_thread(fetch))
        return found


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    pki = Pki.create(tmp_path)
    async with cloud_peer(pki) as cloud:
        cloud.answers.append(confirm_twins)
        yield Lab(tmp_path, cloud, configuration(tmp_path, cloud.port))


def mode_is(text: str) -> Callable[[dict[str, Any]], bool]:
    return lambda twin: twin.get("mode", {}).get("actual", {}).get("value") == text


async def connected(lab: Lab) -> None:
    await lab.cloud.wait_for(lambda m: m.route.operation == "keepalive")


async def test_from_the_cloud_to_the_device_and_back(lab: Lab) -> None:
    async with edgecore(lab.edge) as edge, lab.mapper() as mapper:
        await connected(lab)
        await lab.push("insert", "devicemodel", MODEL, "1")
        await lab.push("insert", "device", device("d1", "slow"), "2")
        await lab.reported("d1", mode_is("slow"))
        twin = await lab.reported("d1", lambda twin: "level" in twin and "sensor" in twin)
        assert 20 <= float(twin["level"]["actual"]["value"]) <= 30
        assert twin["sensor"]["actual"]["value"] == "simulated"
        state = await lab.cloud.wait_for(lambda m: m.route.resource == "device/default/d1/state/update")
        assert json.loads(state.value())["device"]["state"] == "online"

        await lab.push("update", "device", device("d1", "fast"), "3")
        twin = await lab.reported("d1", mode_is("fast"))
        assert twin["mode"]["expected"]["value"] == "fast"

        await lab.get("devicemethod/default/d1/SetMode/mode/by%20hand")
        assert (await lab.get("device/default/d1/mode"))["Data"]["Value"] == "by hand"
        await lab.reported("d1", mode_is("by hand"))

        await lab.push("delete", "device", device("d1", "fast"), "4")
        await mapper.wait_for_line("device default/d1 is gone")
        assert (lab.directory / "dmi.sock").stat().st_mode & 0o777 == 0o660
        assert edge.child.returncode is None


async def test_a_mapper_that_was_killed_finds_what_changed_and_no_ghosts(lab: Lab) -> None:
    async with edgecore(lab.edge):
        await connected(lab)
        await lab.push("insert", "devicemodel", MODEL, "1")
        for number, name in enumerate(("stays", "goes"), 2):
            await lab.push("insert", "device", device(name, "old"), str(number))
        async with lab.mapper() as first:
            await lab.reported("stays", mode_is("old"))
            await lab.reported("goes", mode_is("old"))
            await first.kill()
        await lab.push("update", "device", device("stays", "new"), "4")
        await lab.push("delete", "device", device("goes", "old"), "5")
        async with lab.mapper() as second:  # over the socket that the killed one left
            await lab.reported("stays", mode_is("new"))
            assert "device default/goes" not in second.output()


async def test_what_was_deleted_while_the_mapper_was_away_and_comes_again_is_told_anew(lab: Lab) -> None:
    """The same model, to the letter: a new mapper does not have it, though the old one had."""
    async with edgecore(lab.edge):
        await connected(lab)
        await lab.push("insert", "devicemodel", MODEL, "1")
        await lab.push("insert", "device", device("d1", "old"), "2")
        async with lab.mapper() as first:
            await lab.reported("d1", mode_is("old"))
            await first.kill()
        await lab.push("delete", "device", device("d1", "old"), "3")
        await lab.push("delete", "devicemodel", MODEL, "3")
        async with lab.mapper() as second:
            await second.wait_for_line("registered")
            await lab.push("insert", "devicemodel", MODEL, "4")
            await lab.push("insert", "device", device("d2", "new"), "5")
            await lab.reported("d2", mode_is("new"))


async def test_edgecore_that_was_killed_finds_its_mapper_again(lab: Lab) -> None:
    async with lab.mapper() as mapper:
        await mapper.wait_for_line("EdgeCore is not there")
        async with edgecore(lab.edge) as edge:
            await connected(lab)
            await lab.push("insert", "devicemodel", MODEL, "1")
            await lab.push("insert", "device", device("d1", "one"), "2")
            await lab.reported("d1", mode_is("one"))
            await edge.kill()
        since = len(lab.cloud.received)
        async with edgecore(lab.edge):
            await lab.reported("d1", lambda twin: "level" in twin, since)
            await lab.push("update", "device", device("d1", "two"), "3")
            await lab.reported("d1", mode_is("two"), since)
