"""DeviceTwin on a real store, between a cloud and a broker that only take notes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from edgelab.daemon.clock import SYSTEM
from edgelab.edgecore.devicetwin.module import DeviceTwin
from edgelab.edgecore.interfaces import NoAnswer, Offline
from edgelab.edgecore.store import META_TABLES, TWIN_TABLES, Store
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message

BASE = "$hw/events/device/"


class CloudSide:
    """EdgeHub: confirms what it is asked, unless it is away."""

    def __init__(self) -> None:
        self.connected = True
        self.silent = False
        self.sent: list[Message] = []
        self._listeners: list[Callable[[bool], None]] = []

    async def send(self, message: Message) -> None:
        if not self.connected:
            raise Offline("away")
        self.sent.append(message)

    async def request(self, message: Message, deadline: float) -> Message:
        await self.send(message)
        if self.silent:
            raise NoAnswer("nothing")
        return wire.reply(message, "OK")

    def on_connection(self, listener: Callable[[bool], None]) -> None:
        self._listeners.append(listener)

    def switch(self, *, connected: bool) -> None:
        self.connected = connected
        for listener in self._listeners:
            listener(connected)

    def reports(self, device: str, half: str = "actual") -> list[dict[str, str]]:
        """Values of each report of a device, in their order."""
        where = f"device/{device}/twin/edge_updated"
        bodies = [m.object()["twin"] for m in self.sent if m.route.resource == where]
        return [{k: t[half]["value"] for k, t in body.items() if half in t} for body in bodies]


class BrokerSide:
    """EventBus: what clients are told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def publish(self, topic: str, payload: bytes) -> None:
        self.told.append((topic, json.loads(payload)))

    def on(self, device: str, action: str) -> list[Any]:
        return [body for topic, body in self.told if topic == f"{BASE}{device}/{action}"]


class TwinWorld:
    def __init__(self, store: Store) -> None:
        self.store, self.cloud, self.broker = store, CloudSide(), BrokerSide()
        self.twin = DeviceTwin(store, self.cloud, SYSTEM, "edge1")
        self.twin.attach(self.broker)

    async def ask(self, device: str, action: str, body: Any) -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        await self.twin.from_bus(f"{BASE}{device}/{action}", payload)

    async def update(self, device: str, event: str = "e", **values: str) -> None:
        twin = {name: {"actual": {"value": value}} for name, value in values.items()}
        await self.ask(device, "twin/update", {"event_id": event, "twin": twin})

    async def told(self, device: str, action: str, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
        """The first body on a device's topic that `wanted` accepts."""
        return await self.until(lambda: next(filter(wanted, self.broker.on(device, action)), None))

    async def until(self, found: Callable[[], Any]) -> Any:
        async with asyncio.timeout(30):
            while not (value := found()):
                await asyncio.sleep(0.001)
        return value

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.store.read(sql)


@contextlib.asynccontextmanager
async def twin_world(directory: Path, *, connected: bool = True) -> AsyncIterator[TwinWorld]:
    async with Store(directory / "e.db", META_TABLES + TWIN_TABLES) as store:
        world = TwinWorld(store)
        world.cloud.connected = connected
        task = asyncio.create_task(world.twin.run())
        await asyncio.sleep(0)
        try:
            yield world
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def device(name: str = "thermo", version: int = 1, *, spool: str = "", **desired: str) -> dict[str, Any]:
    """A Device object with wanted values."""
    metadata = {"namespace": "default", "name": name, "uid": f"u-{name}", "resourceVersion": str(version)}
    annotations = {"annotations": {"edgelab.io/spool": spool}} if spool else {}
    properties = [{"name": key, "desired": {"value": value}} for key, value in desired.items()]
    return {"metadata": {**metadata, **annotations}, "spec": {"properties": properties}}
