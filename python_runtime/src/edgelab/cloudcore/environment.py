"""What CloudCore needs of its machine before it begins: ports, an address, the way to the API, a name."""

from __future__ import annotations

import logging
import re
import socket
from dataclasses import dataclass

from edgelab.cloudcore.cloudhub.tls import bind
from edgelab.daemon.errors import Fatal
from edgelab.daemon.extras import require
from edgelab.kube import kubeconfig
from edgelab.settings.cloudcore import CloudCore
from edgelab.settings.cloudcore_stream import TUNNELPORT

log = logging.getLogger("edgelab.cloudcore")


@dataclass(slots=True)
class Sockets:
    """Where CloudCore listens; port numbers are real ones even where the settings say 0."""

    nodes: socket.socket | None
    bootstrap: socket.socket | None
    monitor: socket.socket
    webhooks: socket.socket | None = None
    quic: socket.socket | None = None
    tunnels: socket.socket | None = None
    streams: socket.socket | None = None
    router: socket.socket | None = None


def bind_all(settings: CloudCore) -> Sockets:
    """Take all ports first, so that one that is taken is told at once. Raises Fatal."""
    hub = settings.modules.cloudHub
    if not hub.enable:
        raise Fatal("modules.cloudHub.enable is false: without CloudHub there is nothing to do")
    if hub.quic.enable:
        require("aioquic", "modules.cloudHub.quic.enable")
    host, _, port = settings.commonConfig.monitorServer.bindAddress.rpartition(":")
    nodes, quic, https, webhooks = hub.websocket, hub.quic, hub.https, settings.edgelab.webhooks
    stream, one_port = settings.modules.cloudStream, settings.edgelab.stream.mode == TUNNELPORT
    everywhere = nodes.address
    router = settings.modules.router
    return Sockets(
        bind(nodes.address, nodes.port, "modules.cloudHub.websocket") if nodes.enable else None,
        bind(https.address, https.port, "modules.cloudHub.https") if https.enable else None,
        bind(host.strip("[]"), int(port), "commonConfig.monitorServer"),
        bind(webhooks.address, webhooks.port, "edgelab.webhooks") if webhooks.enable else None,
        bind(quic.address, quic.port, "modules.cloudHub.quic", socket.SOCK_DGRAM) if quic.enable else None,
        bind(everywhere, stream.tunnelPort, "modules.cloudStream.tunnelPort") if stream.enable else None,
        bind(everywhere, stream.streamPort, "modules.cloudStream.streamPort")
        if stream.enable and one_port
        else None,
        bind(router.address, router.port, "modules.router") if router.enable else None,
    )


def advertise(settings: CloudCore) -> None:
    """Fill in this machine's own address when the settings name none. Raises Fatal."""
    hub = settings.modules.cloudHub
    if hub.advertiseAddress:
        return
    address = own_address()
    if not address:
        raise Fatal(
            "modules.cloudHub.advertiseAddress is empty and this machine has no route to tell its"
            " address by; name the addresses that edges dial"
        )
    log.warning("modules.cloudHub.advertiseAddress is empty; edges are expected to dial %s", address)
    hub.advertiseAddress = [address]


def own_address() -> str:
    """This machine's address on its way out; empty without a route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # chooses a source address; nothing is sent
        except OSError:
            return ""
        return str(sock.getsockname()[0])


def is_own(address: str) -> bool:
    """Whether this machine has the address."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as sock:
        try:
            sock.bind((address, 0))
        except OSError:
            return False
        return True


def api_configuration(settings: CloudCore) -> kubeconfig.Kubeconfig:
    """How to reach the API server. Raises Fatal."""
    api = settings.kubeAPIConfig
    if api.kubeConfig:
        return kubeconfig.load(api.kubeConfig)
    if api.master:
        return kubeconfig.Kubeconfig(server=api.master.rstrip("/"))
    return kubeconfig.in_cluster()


def replica_id(settings: CloudCore) -> str:
    """What this CloudCore calls itself among others: a part of the name of its Lease."""
    name = settings.edgelab.replica or socket.gethostname()
    return re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.") or "cloudcore"


def announce_missing(settings: CloudCore) -> None:
    """Say clearly what is enabled and not there."""
    if settings.commonConfig.monitorServer.enableProfiling:
        log.warning("commonConfig.monitorServer.enableProfiling is set: Go's profiles are not offered here")
