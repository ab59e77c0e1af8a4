"""Two CloudCores as processes, each with a real EdgeCore: messages go to whichever node, by either router."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.cloudcore.router.crossing import target
from tests.component.cloudcore.site import cloudcore, edgesite
from tests.component.cloudcore.test_chain import NODE, Place, becomes
from tests.component.router.lab import Lab, edge_settings, endpoints, listening
from tests.edgecore.processes import Process, edgecore, free_port, mosquitto

from edgelab.kube import kubeconfig
from edgelab.kube.client import HttpClient
from edgelab.kube.interface import Obj
from edgelab.kube.resources import LEASES, NODES

MIB = 1 << 20
KEPT = {"edgelab.io/spool": "true"}


@dataclass
class Replicas:
    """`a` has edge1, `b` edge2; `lab` talks to the router of `a`."""

    lab: Lab
    other: Process
    config: Path
    b: contextlib.ExitStack
    """Closing it ends CloudCore b and no other."""

    async def told(self) -> None:
        """Wait until both have told their routers' addresses and have their nodes."""

        async def complete() -> bool:
            leases = (await self.lab.api.list(LEASES, "kubeedge")).items
            held = {lease["metadata"]["name"]: lease["spec"]["holderIdentity"] for lease in leases}
            routers = [lease for lease in leases if "edgelab.io/router" in notes(lease)]
            nodes = held.get("cloudcore-node-edge1"), held.get("cloudcore-node-edge2")
            return len(routers) == 2 and nodes == ("a", "b")

        await becomes(complete, 60)


def notes(lease: Obj) -> Obj:
    return lease["metadata"].get("annotations") or {}


@contextlib.contextmanager
def replica(place: Place, name: str, router: int) -> Iterator[Path]:
    own = {"advertiseAddress": "127.0.0.1", "spoolDirectory": str(place.directory / f"spool-{name}")}
    modules = {"router": {"enable": True, "address": "127.0.0.1", "port": router, "restTimeout": 20}}
    with cloudcore(place, modules=modules, edgelab={"replica": name, "router": own}, name=name) as log:
        yield log


@contextlib.asynccontextmanager
async def replicas(directory: Path) -> AsyncIterator[Replicas]:
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        place = stack.enter_context(edgesite(directory))
        there = replace(place, nodes=free_port(), https=free_port())
        stack.enter_context(replica(place, "a", port))
        b = stack.enter_context(contextlib.ExitStack())
        b.enter_context(replica(there, "b", free_port()))
        api = await stack.enter_async_context(HttpClient(kubeconfig.load(place.kubeconfig)))
        broker = await stack.enter_async_context(mosquitto(directory))
        rest, service = [await stack.enter_async_context(target()) for _ in range(2)]
        await endpoints(api, service.port)
        edges: list[tuple[Process, Path]] = []
        for node, at in (("edge1", place), ("edge2", there)):
            await api.create(NODES, {**NODE, "metadata": {**NODE["metadata"], "name": node}})
            config = await edge_settings(directory / node, at, api, broker, free_port(), node=node)
            edge = await stack.enter_async_context(edgecore(config))
            await edge.wait_for_line("connected to MQTT broker")
            await edge.wait_for_line("connected to CloudCore")
            edges.append((edge, config))
        made = Lab(place, api, *edges[0], broker, port, 0, rest, service)
        await stack.enter_async_context(listening(made))
        found = Replicas(made, *edges[1], b)
        await found.told()
        yield found


async def rule(lab: Lab, name: str, source: Any, to: Any, **annotations: str) -> None:
    kinds = ("rest" if "path" in source else "eventbus", "eventbus" if "topic" in to else "servicebus")
    await lab.rule(name, source, to, kinds, annotations)


async def answered(lab: Lab, path: str, status: int, data: bytes = b"") -> str:
    """Wait for this status; gives the body."""

    async def right() -> str | None:
        found, text = await lab.post(path, data)
        return text or " " if found == status else None

    body: str = await becomes(right, 60)
    return body


async def test_messages_reach_nodes_of_the_other_cloudcore(tmp_path: Path) -> None:
    async with replicas(tmp_path) as both:
        lab = both.lab
        await rule(lab, "down", {"path": "/down"}, {"topic": "down"})
        await rule(lab, "svc", {"path": "/svc"}, {"path": "/serve"})
        await answered(lab, "/edge2/default/down", 200)
        assert await lab.post("/edge2/default/down/x", b"over there") == (200, "message delivered")
        await lab.until(lambda: ("down/x", "over there") in lab.heard)
        large = bytes(range(256)) * 4096 * 12
        lab.service.status, lab.service.answer = 207, b"z" * 12 * MIB
        assert await answered(lab, "/edge2/default/svc/y", 207, large) == "z" * 12 * MIB
        assert (lab.service.got[-1].path, lab.service.got[-1].body) == ("/serve/y", large)
        await from_node_to_node(lab)
        await kept_and_brought(both)
        both.b.close()
        head = await lab.curl("-D", "-", "-d", "x", f"{lab.rest}/edge2/default/down")
        assert head.startswith("HTTP/1.1 503 ")
        assert "Retry-After: " in head
        for name in "ab":
            assert "Traceback" not in (tmp_path / f"{name}.log").read_text()


async def from_node_to_node(lab: Lab) -> None:
    """What edge1's MQTT clients publish goes to edge2, which the other CloudCore has."""
    source = {"topic": "cross", "node_name": "edge1"}
    await rule(lab, "cross", source, {"topic": "crossed", "node_name": "edge2"})
    ask = {"topic": "ask", "node_name": "edge1"}
    await rule(lab, "ask", ask, {"path": "/asked", "node_name": "edge2"})
    lab.service.status, lab.service.answer = 200, b""

    async def through() -> bool:
        lab.publish("default/cross", "c")
        lab.publish("default/ask", "q")
        return ("crossed", "c") in lab.heard and any(got.path == "/asked" for got in lab.service.got)

    await becomes(through, 60)


async def kept_and_brought(both: Replicas) -> None:
    """Messages for a node that is away, by the CloudCore that never had it."""
    lab = both.lab
    await rule(lab, "kept", {"path": "/kept"}, {"topic": "kept"}, **KEPT)
    both.other.child.terminate()
    assert await both.other.child.wait() == 0
    await answered(lab, "/edge2/default/kept", 202, b"0")
    for number in range(1, 20):
        assert (await lab.post("/edge2/default/kept", str(number).encode()))[0] == 202
    async with edgecore(both.config) as again:
        await again.wait_for_line("connected to CloudCore")
        await lab.until(lambda: ("kept", "19") in lab.heard)
        kept = [payload for topic, payload in lab.heard if topic == "kept"]
        assert [payload for payload in kept if payload][-20:] == [str(n) for n in range(20)]
