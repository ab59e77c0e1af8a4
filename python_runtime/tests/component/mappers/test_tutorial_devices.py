"""Devices of v1alpha2, from kubectl through a whole EdgeCore to coils and nodes, and back."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import yaml
from tests.component.mappers.chain import SECONDS, Chain, standing
from tests.mappers.modbus_parts import COILS, free_port, serial_server, tcp_server, wire
from tests.mappers.test_opcua import opcua_server

VECTORS = Path(__file__).parents[2] / "objects" / "vectors"
MODEL, DEVICE = (
    yaml.safe_load((VECTORS / name).read_text())
    for name in ("devicemodel-v1alpha2.yaml", "device-modbus-v1alpha2.yaml")
)
NAME = "sensor-tag-instance-01"
OPCUA_MODEL = {
    "apiVersion": "devices.kubeedge.io/v1alpha2",
    "kind": "DeviceModel",
    "metadata": {"name": "boiler"},
    "spec": {
        "properties": [
            {"name": "heat", "type": {"double": {"accessMode": "ReadWrite", "unit": "degree celsius"}}},
            {"name": "steps", "type": {"int": {"accessMode": "ReadWrite", "minimum": -9, "maximum": 100000}}},
        ]
    },
}


def addressed(**common: Any) -> dict[str, Any]:
    """The tutorial's device with another address."""
    device = copy.deepcopy(DEVICE)
    device["spec"]["protocol"]["common"] = common
    return dict(device)


def boiler(port: int) -> dict[str, Any]:
    """A device as v1alpha2 has it for OPC UA, with a value that the server's Int16 cannot hold."""
    visitors = {"heat": "ns=2;s=Double", "steps": "ns=2,s=Int16"}
    address = {"url": f"opc.tcp://127.0.0.1:{port}/plant", "timeout": 2}
    return {
        **DEVICE,
        "metadata": {"name": "boiler"},
        "spec": {
            "deviceModelRef": {"name": "boiler"},
            "protocol": {"opcua": address},
            "nodeSelector": DEVICE["spec"]["nodeSelector"],
            "propertyVisitors": [
                {"propertyName": name, "collectCycle": 200_000_000, "opcua": {"nodeID": node}}
                for name, node in visitors.items()
            ],
        },
        "status": {"twins": [{"propertyName": "steps", "desired": {"value": "70000"}}]},
    }


async def coil(server: Any) -> bool:
    return bool((await server.async_getValues(1, COILS, 2, 1))[0])


def refused(value: str) -> str:
    return f"default/{NAME}: the desired value of temperature is not written: {value}: a coil is 0 or 1"


async def wish(chain: Chain, value: str, device: str = NAME, name: str = "temperature") -> None:
    """Another desired value, as one edits a Device of today."""
    properties = (await chain.get("device", device))["spec"]["properties"]
    at = next(number for number, prop in enumerate(properties) if prop["name"] == name)
    path = f"/spec/properties/{at}/desired"
    await chain.patch("device", device, [{"op": "add", "path": path, "value": {"value": value}}])


async def becomes(server: Any, wanted: bool) -> None:
    async with asyncio.timeout(SECONDS):
        while await coil(server) is not wanted:
            await asyncio.sleep(0.05)


async def test_modbus_over_tcp(tmp_path: Path) -> None:
    port = free_port()
    async with tcp_server(port, 1) as server, standing(tmp_path, "modbus") as chain:
        await chain.apply(MODEL, addressed(tcp={"ip": "127.0.0.1", "port": port}))
        found = await chain.reports(NAME, lambda twins: len(twins) == 2)
        assert found == {"temperature": "1", "temperature-enable": "false"}
        await chain.mapper.wait_for_line(refused("15"))  # which the document itself wants
        await wish(chain, "0")
        await becomes(server, False)
        await chain.reports(NAME, lambda twins: twins["temperature"] == "0")
        await wish(chain, "2")
        await chain.mapper.wait_for_line(refused("2"))
        await wish(chain, "1")
        await becomes(server, True)
        await chain.reports(NAME, lambda twins: twins["temperature"] == "1")
        assert [chain.mapper.output().count(refused(value)) for value in ("15", "2", "1")] == [1, 1, 0]


async def test_modbus_over_a_serial_line(tmp_path: Path) -> None:
    """The document as it is first: its serial port is none here, which is the device's trouble alone."""
    with wire() as (near, far):
        async with serial_server(far, 1, baud=115200) as server, standing(tmp_path, "modbus") as chain:
            await chain.apply(MODEL, DEVICE)
            await chain.mapper.wait_for_line(f"default/{NAME} cannot be reached: ")
            line = {**DEVICE["spec"]["protocol"]["common"]["com"], "serialPort": near}
            await chain.apply(addressed(com={**line, "parity": "none"}))  # a pseudo-terminal has no parity
            found = await chain.reports(NAME, lambda twins: len(twins) == 2)
            assert found == {"temperature": "1", "temperature-enable": "false"}
            await wish(chain, "0")
            await becomes(server, False)
            await chain.reports(NAME, lambda twins: twins["temperature"] == "0")


async def test_opcua(tmp_path: Path) -> None:
    port = free_port()
    async with opcua_server(port) as server, standing(tmp_path, "opcua") as chain:
        await chain.apply(OPCUA_MODEL, boiler(port))
        found = await chain.reports("boiler", lambda twins: len(twins) == 2)
        assert (float(found["heat"]), found["steps"]) == (21.5, "-5")
        await chain.mapper.wait_for_line("default/boiler: the desired value of steps is not written: ")
        await wish(chain, "22.25", "boiler", "heat")
        await wish(chain, "7", "boiler", "steps")
        await chain.reports("boiler", lambda twins: (float(twins["heat"]), twins["steps"]) == (22.25, "7"))
        nodes = [server.get_node(f"ns=2;s={name}") for name in ("Double", "Int16")]
        assert [await node.read_value() for node in nodes] == [22.25, 7]
        assert chain.mapper.output().count("is not written") == 1
