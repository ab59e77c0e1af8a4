"""MetaServer (KubeEdge `edge/pkg/metamanager/metaserver`): the Kubernetes API on the node.

Receives: HTTP requests of programs on this node. Sends: what they ask for to CloudCore's DynamicController.
Stores: objects and discovery in `meta_v2`. Without the cloud: reads and watches are answered from there,
writes are refused with 503.
With featureGates.requireAuthorization: HTTPS, tokens and rules (access.py), and a second address for pods.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from pathlib import Path
from typing import NoReturn

from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Fatal
from edgelab.edgecore.interfaces import Hub
from edgelab.edgecore.metamanager.metaserver import media
from edgelab.edgecore.metamanager.metaserver.api import Api
from edgelab.edgecore.metamanager.metaserver.discovery import Discovery
from edgelab.edgecore.metamanager.metaserver.http import HttpServer, Response
from edgelab.edgecore.metamanager.metaserver.local import Confirmer, LocalPosts, Restarter
from edgelab.edgecore.metamanager.metaserver.remote import Remote
from edgelab.edgecore.metamanager.metaserver.scopes import Scopes
from edgelab.edgecore.metamanager.mirror import Mirror
from edgelab.edgecore.store import Store
from edgelab.objects.status import ApiError
from edgelab.settings.edgecore import MetaServer as Settings

log = logging.getLogger(__name__)


class MetaServer:
    """The module. With `secure_files`, a directory, it requires authorization."""

    name = "metaserver"

    def __init__(
        self,
        settings: Settings,
        store: Store,
        mirror: Mirror,
        hub: Hub,
        node: str,
        *,
        clock: Clock,
        secure_files: Path | None = None,
    ) -> None:
        remote = Remote(node, hub)
        self._mirror = mirror
        self._scopes = Scopes(remote, mirror, clock)
        self._local = LocalPosts()
        discovery = Discovery(remote, store, mirror.kinds)
        self._api = Api(remote, mirror, self._scopes, discovery, self._local, clock=clock)
        self.begun = asyncio.Event()
        self.address, port = split(settings.server, "server")
        self._secure: Secure | None = None
        if secure_files is None:
            self.server = HttpServer(self.address, port, self._api.handle, refuse)
        else:
            self._secure = Secure(settings, store, hub, node, api=self._api, files=secure_files, clock=clock)
            self.server = self._secure.servers[0]
        hub.on_connection(self._scopes.connection_changed)

    def attach_jobs(self, jobs: Confirmer) -> None:
        """Take confirmations of jobs for TaskManager."""
        self._local.jobs = jobs

    def attach(self, pods: Restarter) -> None:
        """Name who restarts pods."""
        self._local.pods = pods

    async def run(self) -> NoReturn:
        """Serve until cancelled. Raises Fatal when the address cannot be had."""
        self._mirror.seed()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._scopes.run(), name=self._scopes.name)
                if self._secure is not None:
                    group.create_task(self._secure.run(), name="metaserver/secure")
                else:
                    group.create_task(self.server.run(), name="metaserver/http")
                    await self.server.listening.wait()
                self.begun.set()  # a first certificate may take as long as the cloud is away
        finally:
            await self._api.close()
        raise RuntimeError("MetaServer ended")


class Secure:
    """The servers that require authorization: one for this node, one for its pods."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        hub: Hub,
        node: str,
        *,
        api: Api,
        files: Path,
        clock: Clock,
    ) -> None:
        from edgelab.edgecore.metamanager.metaserver.access import Access  # noqa: PLC0415 - only when enabled
        from edgelab.edgecore.metamanager.metaserver.serving import ServingCertificate  # noqa: PLC0415

        places = [split(settings.server, "server"), split(settings.dummyServer, "dummyServer")]
        access = Access(settings, store, clock, api.handle)
        self.addresses = [address for address, _ in places]
        self.certificate = ServingCertificate(hub, node, self.addresses, files, clock)
        self.servers = [
            HttpServer(address, port, access.handle, refuse, tls=self.certificate.context)
            for address, port in places
        ]

    async def run(self) -> NoReturn:
        """Serve once there is a certificate. Raises Fatal when an address cannot be had."""
        from edgelab.edgecore.metamanager.metaserver import dummy  # noqa: PLC0415 - only when enabled

        pods = self.addresses[1]
        if not ipaddress.ip_address(pods).is_loopback:
            await dummy.ensure(pods)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.certificate.run(), name="metaserver/certificate")
            await self.certificate.ready.wait()
            for server in self.servers:
                group.create_task(server.run(), name=f"metaserver/https/{server.address}")
                await server.listening.wait()
                log.info("MetaServer serves HTTPS on %s:%d", server.address, server.port)
        raise RuntimeError("MetaServer ended")


def refuse(code: int, text: str) -> Response:
    """The answer to what is no request."""
    return media.failure(ApiError(code, text))


def split(address: str, field: str) -> tuple[str, int]:
    """`127.0.0.1:10550` as host and port. Raises Fatal."""
    host, _, port = address.rpartition(":")
    try:
        return str(ipaddress.ip_address(host.strip("[]"))), _port(port)
    except ValueError:
        raise Fatal(f"modules.metaManager.metaServer.{field}: {address!r} is no IP-address:port") from None


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise ValueError(text)
    return int(text)
