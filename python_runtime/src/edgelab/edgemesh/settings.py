"""edgemesh-agent.yaml: KubeEdge's keys where they mean something here, ours below `edgelab`.

Facts: EdgeMesh `pkg/apis/config/v1alpha1/types.go`. What belongs to its libp2p tunnel, SOCKS5 and CNI is
known and without effect; to turn one of these on is an error of `--check-config`.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from edgelab.settings.checks import each, is_absolute, is_endpoint, is_ip, is_url, one_of, within
from edgelab.settings.commandline import Program
from edgelab.settings.document import Problem

DEFAULT_PATH = Path("/etc/kubeedge/config/edgemesh-agent.yaml")
EXISTS, MISSES = "FilterIfLabelExists", "FilterIfLabelDoesNotExists"
INTERFACE_NAME = r"[A-Za-z0-9_.-]{1,15}"
DOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def node_name() -> str:
    """NODE_NAME, as EdgeMesh's DaemonSet sets it, or this machine's name."""
    return os.environ.get("NODE_NAME") or socket.gethostname().lower()


class KubeAPIConfig(msgspec.Struct):
    """Where Services are read: this node's MetaServer; a `kubeConfig` for one that requires authorization."""

    master: str = "http://127.0.0.1:10550"
    kubeConfig: str = ""
    contentType: str = "application/json"
    qps: int = 100
    burst: int = 200


class BridgeDevice(msgspec.Struct):
    """The interface of the mesh and its address."""

    bridgeDeviceName: str = "edgemesh0"
    bridgeDeviceIP: str = "169.254.96.16"


class CommonConfig(msgspec.Struct):
    """Shared by all modules."""

    bridgeDevice: BridgeDevice = msgspec.field(default_factory=BridgeDevice)


class CacheDNS(msgspec.Struct):
    """Other name servers than the host's own, when enabled."""

    enable: bool = False
    autoDetect: bool = True
    upstreamServers: list[str] = []
    cacheTTL: int = 30


class EdgeDNS(msgspec.Struct):
    """The DNS server."""

    enable: bool = True
    listenPort: int = 53
    cacheDNS: CacheDNS = msgspec.field(default_factory=CacheDNS)


class Socks5Proxy(msgspec.Struct):
    """Not offered."""

    enable: bool = False
    listenPort: int = 10800
    nodeName: str = ""
    namespace: str = ""


class EdgeProxy(msgspec.Struct):
    """The proxy for ClusterIPs."""

    enable: bool = True
    socks5Proxy: Socks5Proxy = msgspec.field(default_factory=Socks5Proxy)
    serviceFilterMode: str = EXISTS
    loadBalancer: dict[str, Any] = {}


class EdgeTunnel(msgspec.Struct):
    """Endpoints on other nodes, through CloudCore. EdgeMesh's own keys are about libp2p."""

    enable: bool = False
    listenPort: int = 20006
    transport: str = "tcp"
    rendezvous: str = ""
    relayNodes: list[dict[str, Any]] = []
    enableIpfsLog: bool = False
    maxCandidates: int = 15
    heartbeatPeriod: int = 120
    finderPeriod: int = 60
    psk: dict[str, Any] = {}
    metricConfig: dict[str, Any] = {}


class EdgeCNI(msgspec.Struct):
    """Not offered."""

    enable: bool = False
    encapsulationIP: str = ""
    meshCIDRConfig: dict[str, Any] = {}


class Modules(msgspec.Struct):
    """What can be switched."""

    edgeDNS: EdgeDNS = msgspec.field(default_factory=EdgeDNS)
    edgeProxy: EdgeProxy = msgspec.field(default_factory=EdgeProxy)
    edgeTunnel: EdgeTunnel = msgspec.field(default_factory=EdgeTunnel)
    edgeCNI: EdgeCNI = msgspec.field(default_factory=EdgeCNI)


class TunnelFiles(msgspec.Struct):
    """CloudCore's tunnel port, and the node's certificate that EdgeCore got."""

    server: str = "127.0.0.1:10004"
    tlsCaFile: str = "/etc/kubeedge/ca/rootCA.crt"
    tlsCertFile: str = "/etc/kubeedge/certs/server.crt"
    tlsPrivateKeyFile: str = "/etc/kubeedge/certs/server.key"


class Edgelab(msgspec.Struct):
    """What EdgeMesh does not have."""

    nodeName: str = msgspec.field(default_factory=node_name)
    clusterDomain: str = "cluster.local"
    hostResolver: bool = True
    """Whether the host's own programs find Services by name."""
    destinationRules: bool = False
    """Whether DestinationRules are read; their definition has to be in the cluster."""
    tunnel: TunnelFiles = msgspec.field(default_factory=TunnelFiles)


class Settings(msgspec.Struct):
    """The whole file."""

    apiVersion: str = "agent.edgemesh.config.kubeedge.io/v1alpha1"
    kind: str = "EdgeMeshAgent"
    kubeAPIConfig: KubeAPIConfig = msgspec.field(default_factory=KubeAPIConfig)
    commonConfig: CommonConfig = msgspec.field(default_factory=CommonConfig)
    modules: Modules = msgspec.field(default_factory=Modules)
    edgelab: Edgelab = msgspec.field(default_factory=Edgelab)


def validate(settings: Settings) -> list[Problem]:
    """Everything that is wrong, each with its field."""
    return list(_problems(settings))


def _problems(settings: Settings) -> Iterator[Problem]:
    api, device, modules = settings.kubeAPIConfig, settings.commonConfig.bridgeDevice, settings.modules
    if not api.kubeConfig and not is_url("http")(api.master):
        yield Problem("kubeAPIConfig.master", f"{api.master!r}: expected http://HOST:PORT, or a kubeConfig")
    if api.kubeConfig and not is_absolute(api.kubeConfig):
        yield Problem("kubeAPIConfig.kubeConfig", f"{api.kubeConfig!r}: expected an absolute path")
    where = "commonConfig.bridgeDevice"
    if not re.fullmatch(INTERFACE_NAME, device.bridgeDeviceName):
        yield Problem(f"{where}.bridgeDeviceName", "expected an interface's name of at most 15 characters")
    if not is_ip(device.bridgeDeviceIP) or ":" in device.bridgeDeviceIP:
        yield Problem(f"{where}.bridgeDeviceIP", f"{device.bridgeDeviceIP!r}: expected an IPv4 address")
    if not within(1, 65535)(modules.edgeDNS.listenPort):
        yield Problem("modules.edgeDNS.listenPort", f"{modules.edgeDNS.listenPort}: expected a port")
    servers = enumerate(modules.edgeDNS.cacheDNS.upstreamServers)
    yield from each("modules.edgeDNS.cacheDNS.upstreamServers", servers, _is_server, "IPV4 or IPV4:PORT")
    yield from one_of("modules.edgeProxy", modules.edgeProxy, {"serviceFilterMode": (EXISTS, MISSES)})
    if modules.edgeProxy.socks5Proxy.enable:
        yield Problem("modules.edgeProxy.socks5Proxy.enable", "there is no SOCKS5 proxy here")
    if modules.edgeCNI.enable:
        yield Problem("modules.edgeCNI.enable", "there is no container network here")
    yield from _own_problems(settings)


def _own_problems(settings: Settings) -> Iterator[Problem]:
    own = settings.edgelab
    if not DOMAIN.fullmatch(own.clusterDomain):
        yield Problem(
            "edgelab.clusterDomain", f"{own.clusterDomain!r}: expected a domain, such as cluster.local"
        )
    if not DOMAIN.fullmatch(own.nodeName):
        yield Problem("edgelab.nodeName", f"{own.nodeName!r}: expected the name of this node")
    if settings.modules.edgeTunnel.enable:
        if not is_endpoint(own.tunnel.server):
            yield Problem("edgelab.tunnel.server", f"{own.tunnel.server!r}: expected HOST:PORT")
        for name in ("tlsCaFile", "tlsCertFile", "tlsPrivateKeyFile"):
            if not is_absolute(getattr(own.tunnel, name)):
                yield Problem(f"edgelab.tunnel.{name}", "expected an absolute path")


def _is_server(text: str) -> bool:
    ip, _, port = text.partition(":")
    return is_ip(ip) and (not port or is_endpoint(text))


def _minimal() -> dict[str, Any]:
    defaults = Settings()
    return {
        "apiVersion": defaults.apiVersion,
        "kind": defaults.kind,
        "kubeAPIConfig": {"master": defaults.kubeAPIConfig.master},
        "modules": {"edgeDNS": {"enable": True}, "edgeProxy": {"enable": True}},
        "edgelab": {"nodeName": defaults.edgelab.nodeName},
    }


PROGRAM: Program[Settings] = Program("edgemesh-agent", DEFAULT_PATH, Settings, _minimal, validate)
