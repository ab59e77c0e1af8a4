"""EdgeSite: resident memory of the whole process with 1,000 pods and 200 devices."""

from __future__ import annotations

import asyncio
from importlib import resources
from typing import Any

import yaml
from benchmarks.edgesite import NAMESPACE, Server, namespace, node, pod, running
from benchmarks.measure import Result, goal
from benchmarks.wire import Connection, load

PODS, DEVICES, GOAL = 1000, 200, 120.0
CLIENTS, SETTLE_SECONDS = 16, 8
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
VERSION = "devices.kubeedge.io/v1beta1"
GROUP = f"/apis/{VERSION}/namespaces/{NAMESPACE}"


async def run() -> list[Result]:
    """MiB, after the pods have been placed and everything is quiet."""
    async with running() as server:
        await asyncio.sleep(2)
        empty = server.memory()
        full = await _filled(server)
    return [
        goal("at most", GOAL, "MiB"),
        Result("empty, just started", empty, "MiB"),
        Result(f"{PODS} pods and {DEVICES} devices", full, "MiB"),
    ]


async def _filled(server: Server) -> float:
    connection = await Connection.open(server.target)
    for file in (resources.files("edgelab") / "data" / "crds").iterdir():
        if file.name.startswith("devices_"):
            await connection.call("POST", DEFINITIONS, yaml.safe_load(file.read_text()))
    async with namespace(server.target):
        for number in range(10):
            await connection.call("POST", "/api/v1/nodes", node(f"edge-{number}"))
        await load(server.target, CLIENTS, PODS, _pod)
        await _model(connection)
        await load(server.target, CLIENTS, DEVICES, _device)
        await asyncio.sleep(SETTLE_SECONDS)
        return server.memory()


async def _pod(connection: Connection, number: int) -> None:
    await connection.call("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", pod(f"pod-{number}"))


async def _model(connection: Connection) -> None:
    properties = [{"name": f"p{number}", "type": "INT", "accessMode": "ReadOnly"} for number in range(10)]
    spec = {"protocol": "modbus", "properties": properties}
    await connection.call("POST", f"{GROUP}/devicemodels", _object("DeviceModel", "model", spec))


async def _device(connection: Connection, number: int) -> None:
    properties: list[dict[str, Any]] = [
        {"name": f"p{position}", "collectCycle": 1000, "reportCycle": 1000, "reportToCloud": True}
        for position in range(10)
    ]
    spec = {
        "deviceModelRef": {"name": "model"},
        "nodeName": f"edge-{number % 10}",
        "protocol": {"protocolName": "modbus", "configData": {"slaveID": number}},
        "properties": properties,
    }
    await connection.call("POST", f"{GROUP}/devices", _object("Device", f"device-{number}", spec))


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
