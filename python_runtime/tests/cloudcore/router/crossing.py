"""A CloudCore with a router, an edge node as the wire shows it, and a REST target that keeps what it gets."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from tests.cloudcore.cloud import Cloud, Edge, running

from edgelab.kube.interface import Obj
from edgelab.kube.resources import NODES, RULE_ENDPOINTS, RULES
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message

OURS = {"Edgelab-window": "16"}
"""The header by which an EdgeCore of ours shows itself."""
PORT = "29666"


@dataclass
class Got:
    """One request that the target got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Target:
    """A REST target."""

    port: int = 0
    got: list[Got] = field(default_factory=list)
    status: int = 200
    answer: bytes = b'{"ok":true}'
    held: asyncio.Event | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        self.got.append(Got(request.method, request.path, dict(request.headers), body))
        if self.held is not None:
            await self.held.wait()
        return web.Response(status=self.status, body=self.answer)


@contextlib.asynccontextmanager
async def target() -> AsyncIterator[Target]:
    """A target on a free port."""
    made = Target()
    runner = web.ServerRunner(web.Server(made.handle), shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made.port = int(runner.addresses[0][1])
        yield made
    finally:
        if made.held is not None:
            made.held.set()
        await runner.cleanup()


@dataclass
class Crossing:
    """Everything a test talks to."""

    cloud: Cloud
    client: aiohttp.ClientSession
    target: Target

    async def endpoint(self, kind: str, **annotations: str) -> None:
        """A RuleEndpoint whose name is its type."""
        properties = {"service_port": PORT} if kind == "servicebus" else {}
        spec = {"ruleEndpointType": kind, "properties": properties}
        metadata = {"name": kind, "annotations": annotated(annotations)}
        await self.cloud.api.create(RULE_ENDPOINTS, {"metadata": metadata, "spec": spec}, "default")

    async def endpoints(self) -> None:
        """One of each."""
        for kind in ("rest", "eventbus", "servicebus"):
            await self.endpoint(kind)

    async def rule(self, name: str, source: Obj, to: Obj, *, wait: bool = True, **annotations: str) -> None:
        """A Rule; its endpoints follow from the keys that it has."""
        spec = {
            "source": "rest" if "path" in source else "eventbus" if "topic" in source else "servicebus",
            "sourceResource": source,
            "target": "rest" if "resource" in to else "eventbus" if "topic" in to else "servicebus",
            "targetResource": to,
        }
        metadata = {"name": name, "annotations": annotated(annotations)}
        metadata["creationTimestamp"] = dt.datetime.now(dt.UTC).isoformat()
        await self.cloud.api.create(RULES, {"metadata": metadata, "spec": spec}, "default")
        if wait:
            await self.until(lambda: self.table.get(("default", name)) is not None)

    @property
    def router(self) -> Any:
        return self.cloud.hub.handlers["router"].__self__  # type: ignore[attr-defined]

    @property
    def table(self) -> Any:
        return self.router.table

    async def delete(self, name: str) -> None:
        await self.cloud.api.delete(RULES, name, "default")
        await self.until(lambda: self.table.get(("default", name)) is None)

    def status(self, name: str) -> Obj:
        return self.cloud.api.one(RULES, name).get("status") or {}

    async def counted(self, name: str, success: int, fail: int) -> Obj:
        """Wait for the counters; gives the whole status."""

        def right() -> bool:
            status = self.status(name)
            return (status.get("successMessages"), status.get("failMessages")) == (success, fail)

        await self.until(right)
        return self.status(name)

    async def until(self, check: Callable[[], bool], seconds: float = 15) -> None:
        async with asyncio.timeout(seconds):
            while not check():
                await asyncio.sleep(0.005)

    async def ask(
        self, path: str, body: bytes | None = b"x", method: str = "POST", **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an answer."""
        url = f"{self.cloud.rest}{path}"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = io.BytesIO(body) if body and len(body) > 65536 else body
        async with self.client.request(method, url, data=data, headers=sent) as answer:
            return answer.status, await answer.read(), dict(answer.headers)

    async def joined(self, node: str = "edge1", *, ours: bool = False) -> Edge:
        """A node with its Node object and a session, of KubeEdge's EdgeCore unless `ours`."""
        if ("", node) not in self.cloud.api.objects.get(NODES, {}):
            await self.cloud.node(node)
        return await self.cloud.join(node, headers=OURS if ours else None)


def annotated(values: dict[str, str]) -> dict[str, str]:
    return {f"edgelab.io/{key.replace('_', '-')}": value for key, value in values.items()}


def upload(topic: str, content: Any, source: str = "bus") -> Message:
    """What a node sends up."""
    return wire.new(source=source, group="user", operation="upload", resource=topic, content=content)


@contextlib.asynccontextmanager
async def crossing(directory: Path, **router: Any) -> AsyncIterator[Crossing]:
    """CloudCore, target and client until the block ends."""
    async with (
        running(directory, router=router) as cloud,
        target() as rest,
        aiohttp.ClientSession(auto_decompress=False) as client,
    ):
        yield Crossing(cloud, client, rest)
