"""ServiceBus (KubeEdge `edge/pkg/servicebus`): HTTP, both ways.

Receives: from the cloud's router, calls of services on this node, and `start` and `stop` of URLs; from
programs on the node, requests for these URLs. Sends: replies and uploads through EdgeHub. Stores: the URLs,
in table `target_urls`. The listener is open only while there are some. Without the cloud: programs are told
at once.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
import ssl
from typing import NoReturn

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Fatal
from edgelab.edgecore.interfaces import Hub
from edgelab.edgecore.metamanager.metaserver.http import HttpServer
from edgelab.edgecore.servicebus import front
from edgelab.edgecore.servicebus.calls import Calls
from edgelab.edgecore.servicebus.tls import context
from edgelab.edgecore.store import Statement, Store
from edgelab.protocol.message import Message
from edgelab.settings.edgecore import ServiceBus as Settings

log = logging.getLogger(__name__)

MOST_URLS = 4096
FIRST_WAIT, LONGEST_WAIT = 2.0, 30.0


class ServiceBus:
    """The module."""

    name = "servicebus"

    def __init__(self, settings: Settings, store: Store, hub: Hub, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._urls: dict[str, None] = {}
        self._calls = Calls(hub)
        self._front = front.Front(hub, self._urls, float(settings.timeout))
        self._changed = asyncio.Event()
        self.server: HttpServer | None = None
        """The listener, while there is one."""

    async def run(self) -> None:
        """Listen while there is a URL, until cancelled."""
        self._urls.update((str(row[0]), None) for row in self._store.read("SELECT url FROM target_urls"))
        try:
            while True:
                await self._until(wanted=True)
                async with asyncio.TaskGroup() as group:
                    listening = group.create_task(self._listen(), name="servicebus/http")
                    await self._until(wanted=False)
                    listening.cancel()
                log.info("ServiceBus listens no more: no rule is left")
        finally:
            await self._calls.close()

    async def receive(self, message: Message) -> None:
        """Do what the cloud's router wants."""
        url = message.route.resource
        match message.route.operation:
            case "start":
                if not url or len(self._urls) >= MOST_URLS:
                    log.warning("ServiceBus does not take URL %r: empty, or there are too many", url[:200])
                    return
                self._urls[url] = None
                self._changed.set()
                await self._keep(("INSERT OR IGNORE INTO target_urls (url) VALUES (?)", (url,)))
            case "stop":
                for known in [known for known in self._urls if url in (known, go_cleaned(known))]:
                    del self._urls[known]
                    await self._keep(("DELETE FROM target_urls WHERE url = ?", (known,)))
                self._changed.set()
            case _:
                await self._calls.begin(message)

    async def _until(self, *, wanted: bool) -> None:
        while bool(self._urls) is not wanted:
            self._changed.clear()
            await self._changed.wait()

    async def _listen(self) -> NoReturn:
        """A port that is taken, or a certificate that cannot be used, is told and tried again."""
        own, waits, complaint = self._settings, delays(FIRST_WAIT, LONGEST_WAIT), ""
        while True:
            try:
                tls = context(own.tlsCertFile, own.tlsPrivateKeyFile)
                server = HttpServer(
                    own.server,
                    own.port,
                    self._front.handle,
                    front.outcome,
                    tls=tls,
                    owner="ServiceBus",
                    limit=front.LARGEST,
                )
                self.server = server
                log.info("ServiceBus listens on %s:%d", own.server, own.port)
                await server.run()
            except (Fatal, OSError, ssl.SSLError) as error:
                if str(error) != complaint:
                    log.error("modules.serviceBus: %s", error)
                complaint = str(error)
            finally:
                self.server = None
            await self._clock.sleep(next(waits))

    async def _keep(self, statement: Statement) -> None:
        """Remember; a store that takes nothing costs the URL at the next start, not now."""
        try:
            await self._store.submit([statement])
        except sqlite3.Error as error:
            level = logging.DEBUG if self._store.problem else logging.ERROR
            log.log(level, "URL %s is not stored: %s", statement[1][0], error)


def go_cleaned(url: str) -> str:
    """A URL as the original's CloudCore names it in `stop`: cleaned like a file's path, `http:/host`."""
    return re.sub("/+", "/", url).rstrip("/")
