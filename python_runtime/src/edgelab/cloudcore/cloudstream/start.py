"""CloudStream as one module: certificates and ports first, then tunnels and what is published of them."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgelab.cloudcore.cloudhub.complaints import Complaints
from edgelab.cloudcore.cloudhub.peer import Door
from edgelab.cloudcore.cloudhub.pki import Pki
from edgelab.cloudcore.cloudhub.tls import server_context
from edgelab.cloudcore.cloudstream.access import Access, client_authorities
from edgelab.cloudcore.cloudstream.endpoints import Endpoints, OnePort, PerNode
from edgelab.cloudcore.cloudstream.listeners import Listeners
from edgelab.cloudcore.cloudstream.server import StreamServer
from edgelab.cloudcore.cloudstream.sessions import Sessions
from edgelab.cloudcore.cloudstream.tunnelport import negotiate
from edgelab.cloudcore.cloudstream.tunnels import TunnelListener
from edgelab.cloudcore.cluster import Cluster
from edgelab.cloudcore.environment import is_own, own_address
from edgelab.cloudcore.meshrelay.start import Mesh
from edgelab.cloudcore.metrics import Family, Sample
from edgelab.cloudcore.startup import without_errors
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Fatal
from edgelab.daemon.tasks import guard
from edgelab.identity.ca import KeyPair
from edgelab.kube.interface import KubeApi
from edgelab.kube.resources import NODES, PODS
from edgelab.settings.cloudcore import CERT_FILE, KEY_FILE, CloudCore
from edgelab.settings.cloudcore_stream import TUNNELPORT

log = logging.getLogger("edgelab.cloudcore.cloudstream")

CERTIFICATE_DAYS = 3650
"""It is made at every start and never kept, so that it outlives any process and follows every change."""


class CloudStream:
    """The module. `sessions` are the tunnels, `corrected` is for what nodes write of themselves."""

    name = "cloudstream"

    def __init__(
        self,
        settings: CloudCore,
        api: KubeApi,
        pki: Pki,
        cluster: Cluster,
        *,
        tunnels: socket.socket,
        streams: socket.socket | None,
        door: Door,
        complaints: Complaints,
        kube_ca: bytes | None,
        clock: Clock = SYSTEM,
    ) -> None:
        """`streams` is the original's one port, of the mode `tunnelport`."""
        self._settings = settings
        self._api = api
        self._pki = pki
        self._streams = streams
        self._kube_ca = kube_ca
        self._clock = clock
        self.sessions = Sessions()
        self.address = address_of(settings)
        self.server = StreamServer(self.sessions, Access(api, clock), _locator(cluster))
        own, nodes = settings.edgelab.stream, cluster[NODES]
        self._port = OnePort(settings.commonConfig.tunnelPort)
        self._listeners: Listeners | None = None
        if own.mode != TUNNELPORT:
            self._listeners = Listeners(self.address, own.firstPort, own.lastPort, self.server.listen)
        publisher = PerNode(nodes, self._listeners) if self._listeners else self._port
        self._endpoints = Endpoints(api, nodes, self.sessions, publisher, self._listeners, clock=clock)
        self.corrected = self._endpoints.corrected
        tls = server_context(_tunnel_pki(settings, pki), client_certificate=ssl.CERT_REQUIRED)
        self._mesh = Mesh(api, cluster, clock)
        self._tunnels = TunnelListener(self.sessions, door, complaints, tunnels, tls, mesh=self._mesh.serve)
        self.end_revoked = self._tunnels.end_revoked
        self.listening = self._tunnels.listening

    def families(self) -> Iterator[Family]:
        """For the monitor."""
        tunnels, connections = self.sessions.counts()
        text = "Nodes that have a tunnel for logs and commands here."
        yield Family("edgelab_cloudstream_tunnels", "gauge", text, [Sample(tunnels)])
        text = "Logs, commands and ports that are open through tunnels."
        yield Family("edgelab_cloudstream_connections", "gauge", text, [Sample(connections)])
        text = "Nodes whose mesh agent is connected here."
        yield Family("edgelab_meshrelay_agents", "gauge", text, [Sample(len(self._mesh.relay.agents))])

    async def run(self) -> None:
        """Prepare, then serve until cancelled."""
        await self._prepare()
        try:
            async with asyncio.TaskGroup() as group:
                for name, work in (
                    (self._tunnels.name, self._tunnels.run()),
                    (self._endpoints.queue.name, self._endpoints.queue.run()),
                ):
                    group.create_task(guard(name, work), name=name)
                self._endpoints.start()
        finally:
            if self._listeners is not None:
                self._listeners.close()
            await self.server.close()
            await self._mesh.close()

    async def _prepare(self) -> None:
        settings, modules = self._settings, self._settings.modules
        extra = await asyncio.to_thread(_text_of, modules.cloudStream.tlsStreamCAFile)
        clients = await without_errors(
            "streams", lambda: client_authorities(self._api, self._kube_ca, extra), self._clock
        )
        pair = _stream_pair(settings, self._pki, self.address)
        self.server.tls = server_context(
            Pki(self._pki.ca, pair), client_certificate=ssl.CERT_OPTIONAL, clients=clients
        )
        if self._streams is not None:
            await self.server.listen(self._streams)
            namespace = settings.edgelab.namespace
            port = await without_errors(
                "tunnel port", lambda: negotiate(self._api, namespace, self.address), self._clock
            )
            self._port.use(port)
            log.info("the tunnel port of this CloudCore is %d: redirect it to streamPort", port)


def address_of(settings: CloudCore) -> str:
    """Where API servers find this CloudCore."""
    api = settings.kubeAPIConfig
    if settings.edgelab.stream.address:
        return settings.edgelab.stream.address
    if not api.kubeConfig and not api.master and (own := own_address()):  # in a pod, whose address is its own
        return own
    named = settings.modules.cloudHub.advertiseAddress
    return next((address for address in named if is_own(address)), named[0])  # others are a router's


def _locator(cluster: Cluster) -> Callable[[str, str], str | None]:
    def locate(namespace: str, name: str) -> str | None:
        pod: dict[str, Any] | None = cluster[PODS].store.get((namespace, name))
        return None if pod is None else str((pod.get("spec") or {}).get("nodeName") or "")

    return locate


def _tunnel_pki(settings: CloudCore, pki: Pki) -> Pki:
    """What tunnels show: their own pair where the settings name one, else CloudHub's.

    The files of the defaults are CloudHub's; where it does not use them they are an EdgeCore's of this host.
    """
    stream = settings.modules.cloudStream
    files = (stream.tlsTunnelCertFile, stream.tlsTunnelPrivateKeyFile)
    if files == (CERT_FILE, KEY_FILE):
        return pki
    pair = _pair_of(*files)
    return Pki(pki.ca, pair) if pair else pki


def _stream_pair(settings: CloudCore, pki: Pki, address: str) -> KeyPair:
    """What the API server is shown: the settings' pair where there is one, else one of our authority."""
    stream = settings.modules.cloudStream
    return _pair_of(stream.tlsStreamCertFile, stream.tlsStreamPrivateKeyFile) or pki.ca.issue(
        common_name=address,
        organization="KubeEdge",
        dns_names=[name for name in settings.modules.cloudHub.dnsNames if name],
        ip_addresses=[str(ipaddress.ip_address(address))],
        server=True,
        days=CERTIFICATE_DAYS,
    )


def _pair_of(certificate: str, key: str) -> KeyPair | None:
    """None when neither file is there. Raises Fatal when one is missing or cannot be read."""
    files = [Path(certificate), Path(key)]
    there = [file for file in files if file.is_file()]
    if not there:
        return None
    if len(there) == 1:
        other = next(file for file in files if file not in there)
        raise Fatal(f"{there[0]} is there, but {other} is not (modules.cloudStream)")
    try:
        return KeyPair(files[0].read_bytes(), files[1].read_bytes())
    except OSError as error:
        raise Fatal(f"{error.filename}: {error.strerror} (modules.cloudStream)") from None


def _text_of(path: str) -> str:
    file = Path(path)
    return file.read_text(encoding="ascii") if file.is_file() else ""
