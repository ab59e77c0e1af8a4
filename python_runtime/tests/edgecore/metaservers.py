"""A MetaServer on a free port and a real store, with a hub that the test plays."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
from yarl import URL

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.edgecore.interfaces import Offline
from edgelab.edgecore.metamanager.manager import MetaManager
from edgelab.edgecore.metamanager.metaserver.server import MetaServer
from edgelab.edgecore.metamanager.mirror import Mirror
from edgelab.edgecore.store import META_TABLES, MIRROR_TABLES, Store
from edgelab.protocol import message as wire
from edgelab.protocol.content import applications
from edgelab.protocol.content.applications import Application
from edgelab.protocol.message import Message
from edgelab.settings.edgecore import MetaServer as Settings

Answer = Callable[[Application], Any]


class Hub:
    """Answers applications with what `answer` makes of them; records all it is told is watched."""

    def __init__(self, answer: Answer) -> None:
        self.connected = True
        self.answer = answer
        self.sent: list[Message] = []
        self.synced: list[dict[str, Any]] = []
        self.failed: dict[str, Any] = {}
        self._listeners: list[Callable[[bool], None]] = []

    async def send(self, message: Message) -> None:
        if not self.connected:
            raise Offline("offline")
        self.sent.append(message)

    async def request(self, message: Message, deadline: float) -> Message:
        if not self.connected:
            raise Offline("offline")
        if message.route.resource == applications.SYNC:
            self.synced.append(message.value())
            return applications.answer(message, self.failed)
        asked = msgspec.json.decode(message.content, type=Application)
        return applications.answer(message, self.answer(asked))

    def on_connection(self, listener: Callable[[bool], None]) -> None:
        self._listeners.append(listener)

    def connect(self, connected: bool) -> None:
        self.connected = connected
        for listener in self._listeners:
            listener(connected)


class Found(NamedTuple):
    """An answer."""

    status: int
    content_type: str
    text: str

    def json(self) -> Any:
        return msgspec.json.decode(self.text)


class Server:
    """The running MetaServer, and what a client can do with it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, store: Store, hub: Hub) -> None:
        self.session, self.url, self.store, self.hub = session, url, store, hub
        self.opened: list[aiohttp.ClientResponse] = []
        self.meta: MetaManager
        self.mirror: Mirror
        self.module: MetaServer

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None
    ) -> Found:
        if body is not None and not isinstance(body, str | io.BytesIO):
            body = msgspec.json.encode(body)
        if body is not None:
            headers = {"Content-Type": "application/json", **(headers or {})}
        url = URL(self.url + path, encoded=True)
        async with self.session.request(method, url, headers=headers, data=body) as response:
            kind = response.headers["content-type"].partition(";")[0]
            return Found(response.status, kind, await response.text())

    async def open(self, path: str) -> aiohttp.ClientResponse:
        """An answer that goes on; it is closed in the end."""
        response = await self.session.get(URL(self.url + path, encoded=True))
        self.opened.append(response)
        return response

    async def push(
        self, operation: str, resource: str, content: Any, source: str = "dynamiccontroller"
    ) -> None:
        """Send an object as CloudCore does, and wait for its acknowledgement."""
        message = wire.new(
            source=source, group="resource", operation=operation, resource=resource, content=content
        )
        await self.meta.receive(message)
        async with asyncio.timeout(10):
            while not any(sent.parent_id == message.id for sent in self.hub.sent):
                await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def metaserver(directory: Path, hub: Hub, clock: Clock = SYSTEM) -> AsyncIterator[Server]:
    """A MetaServer with its MetaManager until the block ends."""
    async with Store(directory / "edgecore.db", (*META_TABLES, *MIRROR_TABLES)) as store:
        mirror = Mirror(store, "edge1")
        meta = MetaManager(store, hub, clock, query_deadline=10)
        meta.attach(mirror=mirror)
        settings = Settings(enable=True, server="127.0.0.1:0")
        module = MetaServer(settings, store, mirror, hub, "edge1", clock=clock)
        tasks = [asyncio.create_task(module.run()), asyncio.create_task(meta.run())]
        try:
            await module.begun.wait()
            async with aiohttp.ClientSession() as session:
                server = Server(session, f"http://127.0.0.1:{module.server.port}", store, hub)
                server.meta, server.mirror, server.module = meta, mirror, module
                yield server
                for response in server.opened:
                    response.close()
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result
