"""cloudcore.yaml (cloudcore.config.kubeedge.io/v1alpha1, kind CloudCore): every setting, named as in YAML.

Fields and defaults: KubeEdge `staging/src/github.com/kubeedge/api/apis/componentconfig/cloudcore/v1alpha1`
(docs/reference/configuration.md). The top-level key `edgelab` is ours; the Go daemon ignores it.
All times are whole numbers: `edgeCertSigningDuration` days, `tokenRefreshDuration` hours, others seconds.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from edgelab.settings import cloudcore_checks
from edgelab.settings.checks import is_endpoint, is_ip
from edgelab.settings.cloudcore_older import migrate
from edgelab.settings.cloudcore_stream import Stream
from edgelab.settings.commandline import Program
from edgelab.settings.document import Problem

CA_FILE = "/etc/kubeedge/ca/rootCA.crt"
CA_KEY_FILE = "/etc/kubeedge/ca/rootCA.key"
CERT_FILE = "/etc/kubeedge/certs/server.crt"
KEY_FILE = "/etc/kubeedge/certs/server.key"
DEFAULT_PATH = Path("/etc/kubeedge/config/cloudcore.yaml")
NODE_LIMIT = 500

DNS_NAME = re.compile(
    r"(\*\.)?[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*"
)


class MonitorServer(msgspec.Struct):
    """Where /healthz and /metrics are."""

    bindAddress: str = "127.0.0.1:9091"
    enableProfiling: bool = False


class CommonConfig(msgspec.Struct):
    """What is no module's own."""

    tunnelPort: int = 10350
    monitorServer: MonitorServer = msgspec.field(default_factory=MonitorServer)


class KubeAPIConfig(msgspec.Struct):
    """How to reach the API server; both empty means the service account of the pod we run in."""

    master: str = ""
    contentType: str = "application/vnd.kubernetes.protobuf"
    qps: int = 10 * NODE_LIMIT // 2
    burst: int = 10 * NODE_LIMIT
    kubeConfig: str = ""


class CloudHubWebSocket(msgspec.Struct):
    """The listener for edge nodes."""

    enable: bool = True
    address: str = "0.0.0.0"  # noqa: S104 - edge nodes come from outside
    port: int = 10000


class CloudHubHTTPS(msgspec.Struct):
    """The listener for joining: /ca.crt, /edge.crt, /node/<name>."""

    enable: bool = True
    address: str = "0.0.0.0"  # noqa: S104 - edge nodes come from outside
    port: int = 10002


class CloudHubQUIC(msgspec.Struct):
    """QUIC for edges of ours, which needs the extra `quic`; the original's is Google QUIC.

    A connection has one stream, so `maxIncomingStreams` is the number of connections at a time.
    """

    enable: bool = False
    address: str = "0.0.0.0"  # noqa: S104 - edge nodes come from outside
    port: int = 10001
    maxIncomingStreams: int = 10000


class CloudHubUnixSocket(msgspec.Struct):
    """The socket of the CSI driver."""

    enable: bool = True
    address: str = "unix:///var/lib/kubeedge/kubeedge.sock"


class NodeAuthorization(msgspec.Struct):
    """Authorize as kube-apiserver's node authorizer does."""

    enable: bool = True


class AuthorizationMode(msgspec.Struct):
    """One authorizer."""

    node: NodeAuthorization = msgspec.field(default_factory=NodeAuthorization)


class CloudHubAuthorization(msgspec.Struct):
    """Which messages a node may send; `debug` only logs what would be refused."""

    enable: bool = False
    debug: bool = True
    modes: list[AuthorizationMode] = msgspec.field(default_factory=lambda: [AuthorizationMode()])


class CloudHub(msgspec.Struct):
    """Sessions with edge nodes, certificates and join tokens."""

    enable: bool = True
    keepaliveInterval: int = 30
    nodeLimit: int = NODE_LIMIT
    tlsCAFile: str = CA_FILE
    tlsCAKeyFile: str = CA_KEY_FILE
    tlsCertFile: str = CERT_FILE
    tlsPrivateKeyFile: str = KEY_FILE
    writeTimeout: int = 30
    advertiseAddress: list[str] = []
    dnsNames: list[str] = msgspec.field(default_factory=lambda: [""])
    edgeCertSigningDuration: int = 365
    tokenRefreshDuration: int = 12
    quic: CloudHubQUIC = msgspec.field(default_factory=CloudHubQUIC)
    unixsocket: CloudHubUnixSocket = msgspec.field(default_factory=CloudHubUnixSocket)
    websocket: CloudHubWebSocket = msgspec.field(default_factory=CloudHubWebSocket)
    https: CloudHubHTTPS = msgspec.field(default_factory=CloudHubHTTPS)
    authorization: CloudHubAuthorization = msgspec.field(default_factory=CloudHubAuthorization)


class EdgeControllerBuffer(msgspec.Struct):
    """Channel sizes of the original; read, so that its files are valid, and not needed here."""

    updatePodStatus: int = 1024
    updateNodeStatus: int = 1024
    queryConfigMap: int = 1024
    querySecret: int = 1024
    podEvent: int = 1
    configMapEvent: int = 1
    secretEvent: int = 1
    rulesEvent: int = 1
    ruleEndpointsEvent: int = 1
    queryPersistentVolume: int = 1024
    queryPersistentVolumeClaim: int = 1024
    queryVolumeAttachment: int = 1024
    createNode: int = 1024
    patchNode: int = 1024 + NODE_LIMIT // 2
    queryNode: int = 1024 + NODE_LIMIT
    updateNode: int = 1024
    patchPod: int = 1024
    deletePod: int = 1024
    createLease: int = 1024 + NODE_LIMIT
    queryLease: int = 1024
    serviceAccountToken: int = 1024
    createPod: int = 1024
    certificateSigningRequest: int = 1024
    processEvent: int = 1024


class EdgeControllerLoad(msgspec.Struct):
    """Worker counts of the original; read, so that its files are valid, and not needed here."""

    updatePodStatusWorkers: int = 1
    updateNodeStatusWorkers: int = 1
    queryConfigMapWorkers: int = 100
    querySecretWorkers: int = 100
    queryPersistentVolumeWorkers: int = 4
    queryPersistentVolumeClaimWorkers: int = 4
    queryVolumeAttachmentWorkers: int = 4
    createNodeWorkers: int = 100
    patchNodeWorkers: int = 100 + NODE_LIMIT // 50
    queryNodeWorkers: int = NODE_LIMIT
    updateNodeWorkers: int = 4
    patchPodWorkers: int = 100
    deletePodWorkers: int = 100
    UpdateRuleStatusWorkers: int = 4
    createLeaseWorkers: int = NODE_LIMIT
    queryLeaseWorkers: int = 100
    ServiceAccountTokenWorkers: int = 100
    CreatePodWorks: int = 4
    certificateSigningRequestWorkers: int = 4
    processEventWorkers: int = 4


class EdgeController(msgspec.Struct):
    """Pods, nodes, configuration: between the Kubernetes API and the edge."""

    enable: bool = True
    nodeUpdateFrequency: int = 10
    buffer: EdgeControllerBuffer = msgspec.field(default_factory=EdgeControllerBuffer)
    load: EdgeControllerLoad = msgspec.field(default_factory=EdgeControllerLoad)


class DeviceControllerBuffer(msgspec.Struct):
    """Channel sizes of the original."""

    updateDeviceTwins: int = 1024
    updateDeviceStatus: int = 1024
    deviceEvent: int = 1
    deviceModelEvent: int = 1
    deviceStatusEvent: int = 0


class DeviceControllerLoad(msgspec.Struct):
    """How many status updates are written at once."""

    updateDeviceStatusWorkers: int = 1


class DeviceController(msgspec.Struct):
    """Devices: between the Kubernetes API and the edge."""

    enable: bool = True
    buffer: DeviceControllerBuffer = msgspec.field(default_factory=DeviceControllerBuffer)
    load: DeviceControllerLoad = msgspec.field(default_factory=DeviceControllerLoad)


class TaskManagerBuffer(msgspec.Struct):
    """Channel sizes of the original."""

    taskStatus: int = 1024
    taskEvent: int = 1


class TaskManagerLoad(msgspec.Struct):
    """Worker counts of the original."""

    taskWorkers: int = 1


class TaskManager(msgspec.Struct):
    """Jobs on nodes: upgrades, image pulls, configuration."""

    enable: bool = False
    buffer: TaskManagerBuffer = msgspec.field(default_factory=TaskManagerBuffer)
    load: TaskManagerLoad = msgspec.field(default_factory=TaskManagerLoad)


class SyncController(msgspec.Struct):
    """Brings the edge what it missed."""

    enable: bool = True


class DynamicController(msgspec.Struct):
    """The Kubernetes API for the edge's MetaServer."""

    enable: bool = False


class CloudStream(msgspec.Struct):
    """Logs, exec and metrics through a tunnel."""

    enable: bool = False
    tlsTunnelCAFile: str = CA_FILE
    tlsTunnelCertFile: str = CERT_FILE
    tlsTunnelPrivateKeyFile: str = KEY_FILE
    tunnelPort: int = 10004
    tlsStreamCAFile: str = "/etc/kubeedge/ca/streamCA.crt"
    tlsStreamCertFile: str = "/etc/kubeedge/certs/stream.crt"
    tlsStreamPrivateKeyFile: str = "/etc/kubeedge/certs/stream.key"
    streamPort: int = 10003


class Router(msgspec.Struct):
    """Message rules."""

    enable: bool = False
    address: str = "0.0.0.0"  # noqa: S104 - the original's default
    port: int = 9443
    restTimeout: int = 60


class IptablesManager(msgspec.Struct):
    """Redirects tunnel ports; `internal` or `external`."""

    enable: bool = True
    mode: str = "internal"


class Modules(msgspec.Struct):
    """CloudCore's parts."""

    cloudHub: CloudHub = msgspec.field(default_factory=CloudHub)
    edgeController: EdgeController = msgspec.field(default_factory=EdgeController)
    deviceController: DeviceController = msgspec.field(default_factory=DeviceController)
    taskManager: TaskManager = msgspec.field(default_factory=TaskManager)
    syncController: SyncController = msgspec.field(default_factory=SyncController)
    dynamicController: DynamicController = msgspec.field(default_factory=DynamicController)
    cloudStream: CloudStream = msgspec.field(default_factory=CloudStream)
    router: Router = msgspec.field(default_factory=Router)
    iptablesManager: IptablesManager = msgspec.field(default_factory=IptablesManager)


class Webhooks(msgspec.Struct):
    """Conversion and admission, for the API server to call (KubeEdge has a program of its own for it)."""

    enable: bool = False
    address: str = "0.0.0.0"  # noqa: S104 - the API server may be on another machine
    port: int = 10005
    host: str = ""
    """Name or address at which the API server finds us; empty: the first of advertiseAddress."""
    service: str = ""
    """A Service in `edgelab.namespace` by which it finds us instead, with `port` as its port."""
    conversion: bool = True
    """Whether Device and DeviceModel are converted between v1alpha2 and v1beta1."""


class ControllerManager(msgspec.Struct):
    """Controllers of NodeGroups and EdgeApplications (KubeEdge has a program of its own for them)."""

    enable: bool = False


class EdgelabRouter(msgspec.Struct):
    """What modules.router has besides: TLS, clients' certificates, messages kept for nodes that are away."""

    tlsCertFile: str = ""
    """With a certificate the router's port speaks HTTPS; without, HTTP, as the original does."""
    tlsPrivateKeyFile: str = ""
    clientCAFile: str = ""
    """Who signs the certificates of clients, for rules that want one."""
    spoolDirectory: str = "/var/lib/kubeedge/router"
    spoolBytes: int = 256 << 20
    """Bytes of bodies that may be kept."""
    advertiseAddress: str = ""
    """Where other CloudCores of the cluster reach this one's router: an IP address or a name, with another
    port as ADDRESS:PORT; empty means modules.router.address, or this machine's own where that is every one,
    one of modules.cloudHub.advertiseAddress before others."""


class Edgelab(msgspec.Struct):
    """Settings that the original does not have."""

    window: int = 32
    """Most messages on their way to one node of ours without acknowledgement; a Go node always has one."""
    namespace: str = "kubeedge"
    """Where the certificate authority, server certificate and join token are kept as Secrets."""
    replica: str = ""
    """What this CloudCore calls itself among several of one cluster; empty means the host's name."""
    webhooks: Webhooks = msgspec.field(default_factory=Webhooks)
    controllerManager: ControllerManager = msgspec.field(default_factory=ControllerManager)
    stream: Stream = msgspec.field(default_factory=Stream)
    router: EdgelabRouter = msgspec.field(default_factory=EdgelabRouter)


class CloudCore(msgspec.Struct):
    """The whole file."""

    kind: str = "CloudCore"
    apiVersion: str = "cloudcore.config.kubeedge.io/v1alpha1"
    commonConfig: CommonConfig = msgspec.field(default_factory=CommonConfig)
    featureGates: dict[str, bool] = {}
    kubeAPIConfig: KubeAPIConfig = msgspec.field(default_factory=KubeAPIConfig)
    modules: Modules = msgspec.field(default_factory=Modules)
    edgelab: Edgelab = msgspec.field(default_factory=Edgelab)


def minimal() -> dict[str, Any]:
    """What `--minconfig` prints: the settings that most sites touch."""
    full = CloudCore()
    hub = full.modules.cloudHub
    keys = ("tlsCAFile", "tlsCAKeyFile", "tlsCertFile", "tlsPrivateKeyFile", "advertiseAddress")
    listeners = ("unixsocket", "websocket", "https")
    return {
        "apiVersion": full.apiVersion,
        "kind": full.kind,
        "kubeAPIConfig": {"master": "", "kubeConfig": ""},
        "modules": {
            "cloudHub": {
                "nodeLimit": 1000,
                **{key: getattr(hub, key) for key in keys},
                **{key: msgspec.to_builtins(getattr(hub, key)) for key in listeners},
            },
            "router": msgspec.to_builtins(full.modules.router),
            "iptablesManager": msgspec.to_builtins(full.modules.iptablesManager),
        },
    }


def validate(settings: CloudCore) -> list[Problem]:
    """Every reason for which CloudCore would not start with these settings."""
    problems: list[Problem] = []
    if settings.kind != "CloudCore":
        problems.append(Problem("kind", f"expected CloudCore, found {settings.kind!r}"))
    monitor = settings.commonConfig.monitorServer.bindAddress
    if not is_endpoint(monitor) and not monitor.endswith(":0"):
        problems.append(Problem("commonConfig.monitorServer.bindAddress", "expected ADDRESS:PORT"))
    if settings.edgelab.window < 1:
        problems.append(Problem("edgelab.window", "must be at least 1"))
    if not settings.edgelab.namespace:
        problems.append(Problem("edgelab.namespace", "a namespace is needed"))
    problems += _webhook_problems(settings.edgelab.webhooks) + _router_problems(settings.edgelab.router)
    problems += _hub_problems(settings.modules.cloudHub) + _port_problems(settings)
    return problems + list(cloudcore_checks.problems(settings))


def _webhook_problems(webhooks: Webhooks) -> list[Problem]:
    problems: list[Problem] = []
    if webhooks.host and webhooks.service:
        problems.append(Problem("edgelab.webhooks.service", "give either a host or a service"))
    if webhooks.host and not is_ip(webhooks.host) and not DNS_NAME.fullmatch(webhooks.host):
        problems.append(Problem("edgelab.webhooks.host", f"{webhooks.host!r} is no name and no IP address"))
    return problems


def _router_problems(router: EdgelabRouter) -> list[Problem]:
    problems: list[Problem] = []
    where = "edgelab.router"
    if bool(router.tlsCertFile) != bool(router.tlsPrivateKeyFile):
        problems.append(Problem(f"{where}.tlsPrivateKeyFile", "certificate and key are given together"))
    if router.clientCAFile and not router.tlsCertFile:
        problems.append(
            Problem(f"{where}.clientCAFile", "needs tlsCertFile: certificates are shown over TLS")
        )
    if not router.spoolDirectory.startswith("/"):
        problems.append(Problem(f"{where}.spoolDirectory", "expected a path from /"))
    if router.spoolBytes < 0:
        problems.append(Problem(f"{where}.spoolBytes", "must not be negative"))
    address = router.advertiseAddress
    if address and not (is_endpoint(address) or is_ip(address) or DNS_NAME.fullmatch(address)):
        text = f"{address!r} is no name, no IP address and no ADDRESS:PORT"
        problems.append(Problem(f"{where}.advertiseAddress", text))
    return problems


def _hub_problems(hub: CloudHub) -> list[Problem]:
    where = "modules.cloudHub"
    problems: list[Problem] = []
    if hub.enable and not hub.websocket.enable and not hub.quic.enable:
        text = "must be true when quic.enable is not: there is no other way to the edge"
        problems.append(Problem(f"{where}.websocket.enable", text))
    if hub.quic.enable and hub.quic.maxIncomingStreams < 1:
        problems.append(Problem(f"{where}.quic.maxIncomingStreams", "must be at least 1"))
    for name in ("keepaliveInterval", "nodeLimit", "edgeCertSigningDuration", "tokenRefreshDuration"):
        if getattr(hub, name) < 1:
            problems.append(Problem(f"{where}.{name}", "must be at least 1"))
    if hub.authorization.enable and not any(mode.node.enable for mode in hub.authorization.modes):
        text = "no mode is enabled; set modes: [{node: {enable: true}}]"
        problems.append(Problem(f"{where}.authorization.modes", text))
    for number, address in enumerate(hub.advertiseAddress):
        if not is_ip(address):
            problems.append(Problem(f"{where}.advertiseAddress[{number}]", f"{address!r} is no IP address"))
    for number, name in enumerate(hub.dnsNames):
        if name and not DNS_NAME.fullmatch(name):
            problems.append(Problem(f"{where}.dnsNames[{number}]", f"{name!r} is no DNS name"))
    return problems


def _port_problems(settings: CloudCore) -> list[Problem]:
    """Ports out of range, and two listeners on one port."""
    modules, webhooks = settings.modules, settings.edgelab.webhooks
    hub = modules.cloudHub
    ports = {
        "modules.cloudHub.websocket.port": hub.websocket.port if hub.enable else None,
        "modules.cloudHub.https.port": hub.https.port if hub.enable else None,
        "modules.cloudStream.tunnelPort": modules.cloudStream.tunnelPort
        if modules.cloudStream.enable
        else None,
        "modules.cloudStream.streamPort": modules.cloudStream.streamPort
        if modules.cloudStream.enable
        else None,
        "modules.router.port": modules.router.port if modules.router.enable else None,
        "edgelab.webhooks.port": webhooks.port if webhooks.enable else None,
    }
    problems: list[Problem] = []
    seen: dict[int, str] = {}
    for field, port in ports.items():
        if port is None:
            continue
        if not 0 <= port <= 65535:
            problems.append(Problem(field, f"{port} is no port"))
        elif port and port in seen:
            problems.append(Problem(field, f"{port} is also {seen[port]}"))
        seen[port] = field
    return problems


PROGRAM: Program[CloudCore] = Program("cloudcore", DEFAULT_PATH, CloudCore, minimal, validate, migrate)
