"""How many requests of nodes CloudCore carries out at a time. No network."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from edgelab.cloudcore.edgecontroller.upstream import AT_ONCE, Upstream
from edgelab.kube.interface import Obj
from edgelab.protocol import message as wire

EVENT = {"metadata": {"name": "e", "namespace": "default"}, "involvedObject": {}, "reason": "Started"}


class SlowApi:
    """Answers when it is let, and knows how many wait."""

    def __init__(self) -> None:
        self.asked = 0
        self.let = asyncio.Event()

    async def create(self, _resource: object, obj: Obj, _namespace: str | None = None) -> Obj:
        self.asked += 1
        await self.let.wait()
        return obj


async def test_nodes_never_take_all_connections_to_the_api() -> None:
    api, nobody = SlowApi(), cast(Any, None)
    upstream = Upstream(cast(Any, api), nobody, nobody, nobody, nobody, address="")
    message = wire.new(
        source="edged", group="meta", operation="insert", resource="default/event/e", content=EVENT
    )
    async with asyncio.TaskGroup() as group:
        for number in range(2 * AT_ONCE):
            group.create_task(upstream.handle(f"edge{number}", message))
        while api.asked < AT_ONCE:
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert api.asked == AT_ONCE
        api.let.set()
    assert api.asked == 2 * AT_ONCE
