"""MetaServer (KubeEdge `edge/pkg/metamanager/metaserver`): the Kubernetes API on the node.

Receives: HTTP requests of programs on this node. Sends: what they ask for to CloudCore's DynamicController.
Stores: objects and discovery in `meta_v2`. Without the cloud: reads and watches are answered from there,
writes are refused with 503.
"""

from __future__ import annotations

import asyncio
from typing import NoReturn

from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Fatal
from edgelab.edgecore.interfaces import Hub
from edgelab.edgecore.metamanager.metaserver import media
from edgelab.edgecore.metamanager.metaserver.api import Api
from edgelab.edgecore.metamanager.metaserver.discovery import Discovery
from edgelab.edgecore.metamanager.metaserver.http import HttpServer
from edgelab.edgecore.metamanager.metaserver.local import LocalPosts, Restarter
from edgelab.edgecore.metamanager.metaserver.remote import Remote
from edgelab.edgecore.metamanager.metaserver.scopes import Scopes
from edgelab.edgecore.metamanager.mirror import Mirror
from edgelab.edgecore.store import Store
from edgelab.objects.status import ApiError
from edgelab.settings.edgecore import MetaServer as Settings


class MetaServer:
    """The module. `pods` is edged, or None while it is off."""

    name = "metaserver"

    def __init__(
        self, settings: Settings, store: Store, mirror: Mirror, hub: Hub, node: str, *, clock: Clock
    ) -> None:
        remote = Remote(node, hub)
        self._mirror = mirror
        self._scopes = Scopes(remote, mirror, clock)
        self._local = LocalPosts()
        discovery = Discovery(remote, store, mirror.kinds)
        self._api = Api(remote, mirror, self._scopes, discovery, self._local, clock=clock)
        address, port = split(settings.server)
        self.server = HttpServer(
            address, port, self._api.handle, lambda code, text: media.failure(ApiError(code, text))
        )
        self.begun = asyncio.Event()
        hub.on_connection(self._scopes.connection_changed)

    def attach(self, pods: Restarter) -> None:
        """Name who restarts pods."""
        self._local.pods = pods

    async def run(self) -> NoReturn:
        """Serve until cancelled. Raises Fatal when the address cannot be had."""
        self._mirror.seed()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._scopes.run(), name=self._scopes.name)
                group.create_task(self.server.run(), name="metaserver/http")
                await self.server.listening.wait()
                self.begun.set()
        finally:
            await self._api.close()
        raise RuntimeError("MetaServer ended")


def split(address: str) -> tuple[str, int]:
    """`127.0.0.1:10550` as host and port. Raises Fatal."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise Fatal(f"modules.metaManager.metaServer.server: {address!r} is no address:port")
    return host.strip("[]"), int(port)
