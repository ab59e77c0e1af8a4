"""Two whole CloudCores on one API, whose routers pass messages on to each other."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from tests.cloudcore.cloud import Api, eventually, running
from tests.cloudcore.router.crossing import Crossing, target

from edgelab.cloudcore.router.errors import Undeliverable
from edgelab.protocol.message import Message


@dataclass
class Pair:
    """`a`, which is asked, and `b`, which has the nodes."""

    a: Crossing
    b: Crossing

    async def ready(self, node: str = "edge1") -> None:
        """Wait until `a` knows that `b` has the node, and where its router is."""
        await eventually(lambda: _way(self.a.router._peers, node))

    def neighbours(self, one: Crossing) -> Any:
        return one.router._peers._neighbours


def _way(peers: Any, node: str) -> bool:
    with contextlib.suppress(Undeliverable):
        return peers.way(node) is not None
    return False


@contextlib.asynccontextmanager
async def two(directory: Path, api: Api | None = None, **router: Any) -> AsyncIterator[Pair]:
    """Two CloudCores of one authority, each with its own spool."""
    api = api or Api()
    common = {"advertiseAddress": "127.0.0.1", "restTimeout": 5, **router}

    def settings(name: str) -> dict[str, Any]:
        return {"spoolDirectory": str(directory / f"spool-{name}"), **common}

    async with (
        running(directory, api, replica="a", router=settings("a")) as a,
        running(directory, api, replica="b", router=settings("b")) as b,
        target() as rest,
        aiohttp.ClientSession(auto_decompress=False) as client,
    ):
        made = Pair(Crossing(a, client, rest), Crossing(b, client, rest))
        await made.a.endpoints()
        yield made


async def rule(pair: Pair, name: str, source: Any, to: Any, **annotations: str) -> None:
    """A rule that both have."""
    await pair.a.rule(name, source, to, **annotations)
    await pair.b.until(lambda: pair.b.table.get(("default", name)) is not None)


def published(message: Message) -> bool:
    return message.route.operation == "publish"
