"""From settings to a running mesh.

informers (MetaServer) -> Table -> Zone -> DnsServer
                                -> Steering -> netfilter, TcpProxy, UdpProxy -> endpoints (Tunnel: elsewhere)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edgelab.daemon.deferred import defer
from edgelab.daemon.notify import notify, ready
from edgelab.daemon.tasks import Module, run_modules
from edgelab.edgemesh import netfilter
from edgelab.edgemesh.hostnames import HostNames
from edgelab.edgemesh.interface import Interface
from edgelab.edgemesh.settings import MISSES, Settings
from edgelab.edgemesh.table import Table
from edgelab.kube import kubeconfig
from edgelab.kube.informer import Informer
from edgelab.kube.interface import ListWatch
from edgelab.kube.light import LightClient
from edgelab.kube.resources import DESTINATION_RULES, ENDPOINT_SLICES, SERVICES

UNUSED = ("importlib.metadata", "urllib.request")
"""What `websockets` imports for cases that are not ours."""

log = logging.getLogger("edgelab.edgemesh")


class Sync:
    """Follows the cluster through MetaServer; says when the table is complete for the first time."""

    name = "sync"

    def __init__(self, api: ListWatch, table: Table, *, with_rules: bool) -> None:
        self._table = table
        self._informers = [Informer(api, SERVICES), Informer(api, ENDPOINT_SLICES)]
        self._informers[0].add_handler(table.service_changed)
        self._informers[1].add_handler(table.slice_changed)
        self.modules: list[Module] = [*self._informers, self]
        if with_rules:
            rules = Informer(api, DESTINATION_RULES)
            rules.add_handler(table.rule_changed)
            self.modules.append(rules)

    async def run(self) -> None:
        """Wait for the first lists; then there is nothing more to do."""
        for informer in self._informers:
            await informer.wait_synced()
        self._table.synced()
        await asyncio.get_running_loop().create_future()


async def dns_modules(settings: Settings, table: Table) -> list[Module]:
    """The DNS server, listening already, when it is enabled. Raises Fatal."""
    dns = settings.modules.edgeDNS
    if not dns.enable:
        return []
    from edgelab.edgemesh.dns.forward import Forwarder, Upstreams  # noqa: PLC0415 - only when enabled
    from edgelab.edgemesh.dns.server import DnsServer  # noqa: PLC0415
    from edgelab.edgemesh.dns.zone import Zone  # noqa: PLC0415

    address = settings.commonConfig.bridgeDevice.bridgeDeviceIP
    fixed = dns.cacheDNS.upstreamServers if dns.cacheDNS.enable else []
    zone = Zone(table, settings.edgelab.clusterDomain)
    server = DnsServer(zone, Forwarder(Upstreams(address, fixed)), address, dns.listenPort)
    await server.start()
    return [server]


def proxy_modules(settings: Settings, table: Table, interface: Interface) -> list[Module]:
    """The proxies and what brings connections to them, when they are enabled."""
    if not settings.modules.edgeProxy.enable:
        return []
    from edgelab.edgemesh.proxy.balance import Balancer  # noqa: PLC0415 - only when enabled
    from edgelab.edgemesh.proxy.dial import Dialer, Direct, Everywhere  # noqa: PLC0415
    from edgelab.edgemesh.proxy.tcp import TcpProxy  # noqa: PLC0415
    from edgelab.edgemesh.proxy.udp import UdpProxy  # noqa: PLC0415
    from edgelab.edgemesh.steering import Steering  # noqa: PLC0415

    balancer = Balancer(settings.edgelab.nodeName)
    dialer: Dialer = Direct()
    modules: list[Module] = []
    if settings.modules.edgeTunnel.enable:
        defer(*UNUSED)
        from edgelab.edgemesh.tunnel.agent import Tunnel  # noqa: PLC0415 - only when enabled

        tunnel = Tunnel(settings.edgelab.tunnel, settings.edgelab.nodeName, table, dialer)
        dialer = Everywhere(settings.edgelab.nodeName, dialer, tunnel)
        modules.append(tunnel)
    tcp, udp = TcpProxy(balancer, dialer), UdpProxy(interface.address, balancer, dialer)
    steering = Steering(table, interface, balancer, (tcp, udp), in_force=in_force)
    return [*modules, steering, tcp, udp]


def in_force(ports: int) -> None:
    """Tell people and systemd."""
    log.info("serves %d ports of Services", ports)
    notify(STATUS=f"serves {ports} ports of Services")


async def serve(settings: Settings) -> None:
    """Run until cancelled, then take everything away. Raises Fatal for what the host does not let us do."""
    device = settings.commonConfig.bridgeDevice
    interface = Interface(device.bridgeDeviceName, device.bridgeDeviceIP)
    only_labelled = settings.modules.edgeProxy.serviceFilterMode == MISSES
    table = Table(settings.edgelab.nodeName, only_labelled=only_labelled)
    host = HostNames(interface.name, interface.address, settings.edgelab.clusterDomain)
    wants_host = settings.edgelab.hostResolver and settings.modules.edgeDNS.enable
    async with _api(settings) as api:
        try:
            await netfilter.remove()
            await interface.up()
            modules = [*await dns_modules(settings, table), *proxy_modules(settings, table, interface)]
            modules += Sync(api, table, with_rules=settings.edgelab.destinationRules).modules
            modules += [host] if wants_host else []
            ready("waits for MetaServer")
            await run_modules(modules)
        finally:
            await clean(settings)


async def clean(settings: Settings) -> None:
    """Take away whatever a mesh with these settings has left on the host."""
    device = settings.commonConfig.bridgeDevice
    host = HostNames(device.bridgeDeviceName, device.bridgeDeviceIP, settings.edgelab.clusterDomain)
    host.leave()
    await netfilter.remove()
    await Interface(device.bridgeDeviceName, device.bridgeDeviceIP).down()


@asynccontextmanager
async def _api(settings: Settings) -> AsyncIterator[ListWatch]:
    """MetaServer by plain HTTP; or, by a kubeconfig, with TLS and a token. Raises Fatal."""
    where = settings.kubeAPIConfig
    config = (
        kubeconfig.load(where.kubeConfig) if where.kubeConfig else kubeconfig.Kubeconfig(server=where.master)
    )
    light = LightClient(config, user_agent="edgemesh-agent")
    try:
        yield light
    finally:
        await light.close()
