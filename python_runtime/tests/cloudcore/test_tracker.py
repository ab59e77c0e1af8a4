"""ObjectSyncs that several CloudCores write: a write that comes too late changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.cloudcore.cloud import Api, eventually

from edgelab.cloudcore.cloudhub.tracker import SyncTracker
from edgelab.kube.informer import Informer
from edgelab.kube.resources import OBJECT_SYNCS
from edgelab.protocol.session.delivery import Delivery, of_object

NODE, UID = "edge1", "u1"


def delivery(version: int) -> Delivery:
    metadata = {"name": "web", "namespace": "default", "uid": UID, "resourceVersion": str(version)}
    return of_object({"apiVersion": "v1", "kind": "Pod", "metadata": metadata}, "update")


def status(api: Api) -> str:
    [sync] = api.all(OBJECT_SYNCS)
    return str((sync.get("status") or {}).get("objectResourceVersion"))


@contextlib.asynccontextmanager
async def tracker(api: Any, *, mine: bool) -> AsyncIterator[SyncTracker]:
    found = SyncTracker(api)
    found.mine = lambda node: mine
    informer = Informer(api, OBJECT_SYNCS)
    tasks = [asyncio.create_task(module.run()) for module in (informer, found)]
    await informer.wait_synced()
    found.follow([informer])
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Held:
    """Another client of the same API, whose status writes wait until it is open."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.open = asyncio.Event()
        self.waiting = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    async def patch(self, *arguments: Any, **options: Any) -> Any:
        self.waiting += 1
        await self.open.wait()
        self.waiting -= 1
        return await self._api.patch(*arguments, **options)


async def test_who_does_not_have_the_node_follows_what_others_write() -> None:
    api = Api()
    async with tracker(api, mine=True) as owner, tracker(api, mine=False) as other:
        owner.ensure(NODE, delivery(5))
        owner.acknowledged(NODE, delivery(7))
        await eventually(lambda: other.version(NODE, UID) == 7)
        assert status(api) == "7"
        other.distrust(NODE)
        await eventually(lambda: owner.version(NODE, UID) == 0)
        owner.acknowledged(NODE, delivery(7))
        await eventually(lambda: other.version(NODE, UID) == 7)


@pytest.mark.parametrize("late", [6, 9])
async def test_an_acknowledgement_that_is_written_late_does_not_undo_a_new_join(late: int) -> None:
    """The old machine's last answer must not make anybody believe that the new one has the object."""
    api = Api()
    slow = Held(api)
    slow.open.set()
    async with tracker(slow, mine=False) as before, tracker(api, mine=False) as now:
        now.ensure(NODE, delivery(5))
        now.acknowledged(NODE, delivery(5))
        await eventually(lambda: before.version(NODE, UID) == 5)
        slow.open.clear()
        before.acknowledged(NODE, delivery(late))
        await eventually(lambda: slow.waiting == 1)
        now.distrust(NODE)
        await eventually(lambda: status(api) == "0")
        slow.open.set()
        await eventually(lambda: before.version(NODE, UID) == 0)
        await asyncio.sleep(0.05)
        assert status(api) == "0"
        assert now.version(NODE, UID) == 0


async def test_a_record_that_another_one_made_is_no_obstacle() -> None:
    api = Api()
    async with tracker(api, mine=True) as owner, tracker(api, mine=False) as other:
        brought: list[Delivery] = []
        owner.ready = lambda node, found: brought.append(found)
        for one in (other, owner):
            one.ensure(NODE, delivery(5))
        await eventually(lambda: len(brought) == 1)
        owner.acknowledged(NODE, delivery(5))
        await eventually(lambda: status(api) == "5")
        owner.forget(NODE, UID)
        await eventually(lambda: not api.all(OBJECT_SYNCS))


async def test_a_record_is_forgotten_where_the_node_is_not() -> None:
    api = Api()
    async with tracker(api, mine=True) as owner, tracker(api, mine=False) as other:
        other.elsewhere = lambda node: True
        owner.ensure(NODE, delivery(5))
        await eventually(lambda: other.version(NODE, UID) == 0)
        owner.forget(NODE, UID)
        await eventually(lambda: not owner.entries(NODE) and not other.entries(NODE))
