"""CloudCore: killed and started again under its nodes, with changes made while it was away."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.cloudcore import BIG, Cloud, cloud
from benchmarks.edgesite import NAMESPACE, namespace, pod
from benchmarks.measure import Result, goal
from benchmarks.processes import Usage
from benchmarks.simulator.fleet import Fleet
from benchmarks.wire import Connection, load

NODES, CLIENTS = 1000 if BIG else 200, 16
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
MERGE = "application/merge-patch+json"
BUSY = 90.0
"""Percent of a core; the goal bounds the time above it."""
PATIENCE = 300.0


async def run() -> list[Result]:
    """A pod on each node is changed while CloudCore is away; all is well when every node has that version."""
    async with cloud() as made, namespace(made.site.target):
        fleet = made.fleet()
        async with fleet.alive():
            await fleet.connect(fleet.add(NODES))
            await _until(lambda: fleet.registered == NODES)
            await load(made.site.target, CLIENTS, NODES, _create)
            await _until_held(fleet, await _versions(made))
            await made.stop(kill=True)
            await load(made.site.target, CLIENTS, NODES, _label)
            wanted = await _versions(made)
            began = time.monotonic()
            await made.start()
            async with asyncio.TaskGroup() as group:
                done = group.create_task(_until_held(fleet, wanted))
                busy = await _busy_seconds(made, done)
            seconds = time.monotonic() - began
    return [
        goal("at most, seconds above 90 % of a core", 30, "s"),
        Result("seconds above 90 % of a core", busy, "s"),
        Result(f"start to the last of {NODES} acknowledgements, none lost", seconds, "s"),
    ]


async def _create(connection: Connection, number: int) -> None:
    body = pod(f"pod-{number}", nodeName=f"sim-{number}", tolerations=[{"operator": "Exists"}])
    await connection.call("POST", PODS, body)


async def _label(connection: Connection, number: int) -> None:
    patch = {"metadata": {"labels": {"changed": "while-away"}}}
    await connection.call("PATCH", f"{PODS}/pod-{number}", patch, MERGE)


async def _versions(made: Cloud) -> dict[str, str]:
    """resourceVersions by the address that messages to nodes carry."""
    connection = await Connection.open(made.site.target)
    items: list[dict[str, Any]] = (await connection.call("GET", PODS))["items"]
    connection.close()
    return {f"{NAMESPACE}/pod/{i['metadata']['name']}": i["metadata"]["resourceVersion"] for i in items}


async def _until_held(fleet: Fleet, wanted: dict[str, str]) -> None:
    def held() -> bool:
        return all(
            node.held.get(f"{NAMESPACE}/pod/pod-{number}") == wanted[f"{NAMESPACE}/pod/pod-{number}"]
            for number, node in enumerate(fleet.nodes)
        )

    await _until(held)


async def _until(check: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not check():
            await asyncio.sleep(0.1)


async def _busy_seconds(made: Cloud, done: asyncio.Task[None]) -> float:
    """Seconds, until `done`, in which CloudCore used more than `BUSY` of a core."""
    busy = 0.0
    while not done.done():
        usage = Usage(made.pid)
        await asyncio.wait([done], timeout=1)
        busy += usage.share() > BUSY
    return busy
