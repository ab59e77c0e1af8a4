"""edgecore.yaml (edgecore.config.kubeedge.io/v1alpha2, kind EdgeCore): every setting, named as in YAML.

Fields and defaults: KubeEdge `staging/src/github.com/kubeedge/api/apis/componentconfig/edgecore/v1alpha2`
(docs/reference/configuration.md). The top-level key `edgelab` is ours; the Go daemon ignores it.
Files of v1alpha1 are read through `edgelab.settings.edgecore_v1alpha1.migrate`.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import msgspec

from edgelab.settings import edgecore_checks
from edgelab.settings.commandline import Program
from edgelab.settings.document import Problem
from edgelab.settings.durations import seconds
from edgelab.settings.edgecore_v1alpha1 import migrate
from edgelab.settings.kubelet import DURATIONS, TailoredKubeletConfig

CA_FILE = "/etc/kubeedge/ca/rootCA.crt"
CERT_FILE = "/etc/kubeedge/certs/server.crt"
KEY_FILE = "/etc/kubeedge/certs/server.key"
DEFAULT_PATH = Path("/etc/kubeedge/config/edgecore.yaml")

NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def hostname() -> str:
    """This machine's name as a node name."""
    return socket.gethostname().lower()


class Database(msgspec.Struct):
    """Where the edge's SQLite file lies."""

    driverName: str = "sqlite3"
    aliasName: str = "default"
    dataSource: str = "/var/lib/kubeedge/edgecore.db"


class Edged(msgspec.Struct):
    """The kubelet's place: what of its flags and configuration EdgeCore knows."""

    enable: bool = True
    reportEvent: bool = False
    hostnameOverride: str = msgspec.field(default_factory=hostname)
    nodeIP: str = ""
    customInterfaceName: str = ""
    registerNodeNamespace: str = "default"
    rootDirectory: str = "/var/lib/kubelet"
    podSandboxImage: str = "kubeedge/pause:3.6"
    runtimeCgroups: str = ""
    nodeLabels: dict[str, str] = {}
    registerSchedulable: bool = True
    minimumGCAge: str = "0s"
    maxPerPodContainerCount: int = 1
    maxContainerCount: int = -1
    seccompDefault: bool = False
    windowsService: bool = False
    windowsPriorityClass: str = ""
    experimentalMounterPath: str = ""
    experimentalNodeAllocatableIgnoreEvictionThreshold: bool = False
    tailoredKubeletConfig: TailoredKubeletConfig = msgspec.field(default_factory=TailoredKubeletConfig)


class WebSocket(msgspec.Struct):
    """The hub's WebSocket connection; times in whole seconds."""

    enable: bool = True
    handshakeTimeout: int = 30
    readDeadline: int = 15
    writeDeadline: int = 15
    server: str = "127.0.0.1:10000"


class Quic(msgspec.Struct):
    """The hub's connection by QUIC instead, to a CloudCore of ours only: the original's is Google QUIC.

    Needs the extra `quic`, which loads `cryptography` into EdgeCore. `readDeadline` has no effect.
    """

    enable: bool = False
    handshakeTimeout: int = 30
    readDeadline: int = 15
    writeDeadline: int = 15
    server: str = "127.0.0.1:10001"


class EdgeHub(msgspec.Struct):
    """The connection to CloudCore; `heartbeat` in seconds, `messageQPS` and `messageBurst` in messages."""

    enable: bool = True
    heartbeat: int = 15
    messageQPS: int = 30
    messageBurst: int = 60
    projectID: str = "e632aba927ea4ac2b575ec1603d56f10"
    tlsCaFile: str = CA_FILE
    tlsCertFile: str = CERT_FILE
    tlsPrivateKeyFile: str = KEY_FILE
    token: str = ""
    httpServer: str = "https://127.0.0.1:10002"
    rotateCertificates: bool = True
    websocket: WebSocket = msgspec.field(default_factory=WebSocket)
    quic: Quic = msgspec.field(default_factory=Quic)


class EventBusTLS(msgspec.Struct):
    """TLS towards the MQTT broker."""

    enable: bool = False
    tlsMqttCAFile: str = CA_FILE
    tlsMqttCertFile: str = CERT_FILE
    tlsMqttPrivateKeyFile: str = KEY_FILE


class EventBus(msgspec.Struct):
    """MQTT at the edge; mode 0 internal broker, 1 both, 2 external broker."""

    enable: bool = True
    mqttMode: int = 2
    mqttQOS: int = 0
    mqttRetain: bool = False
    mqttSessionQueueSize: int = 100
    mqttServerExternal: str = "tcp://127.0.0.1:1883"
    mqttServerInternal: str = "tcp://127.0.0.1:1884"
    mqttSubClientID: str = ""
    mqttPubClientID: str = ""
    mqttUsername: str = ""
    mqttPassword: str = ""
    eventBusTLS: EventBusTLS = msgspec.field(default_factory=EventBusTLS)


class MetaServer(msgspec.Struct):
    """The Kubernetes-style API on the node."""

    enable: bool = False
    server: str = "127.0.0.1:10550"
    dummyServer: str = "169.254.30.10:10550"
    tlsCaFile: str = CA_FILE
    tlsCertFile: str = CERT_FILE
    tlsPrivateKeyFile: str = KEY_FILE
    serviceAccountIssuers: list[str] = msgspec.field(
        default_factory=lambda: ["https://kubernetes.default.svc.cluster.local"]
    )
    apiAudiences: list[str] | None = None
    serviceAccountKeyFiles: list[str] | None = None


class MetaManager(msgspec.Struct):
    """The store of the cloud's objects; `remoteQueryTimeout` in seconds."""

    enable: bool = True
    contextSendGroup: str = "hub"
    contextSendModule: str = "websocket"
    remoteQueryTimeout: int = 60
    metaServer: MetaServer = msgspec.field(default_factory=MetaServer)


class ServiceBus(msgspec.Struct):
    """HTTP between the cloud's router and services on the node; `timeout` in seconds."""

    enable: bool = False
    server: str = "127.0.0.1"
    port: int = 9060
    timeout: int = 60
    tlsCertFile: str = ""
    tlsPrivateKeyFile: str = ""


class DeviceTwin(msgspec.Struct):
    """Devices and their twins; `dmiSockPath` is the directory of the mappers' socket."""

    enable: bool = True
    dmiSockPath: str = "/etc/kubeedge/"


class DBTest(msgspec.Struct):
    """A test hook of the original; accepted and without effect."""

    enable: bool = False


class EdgeStream(msgspec.Struct):
    """The tunnel for logs, exec and metrics; times in whole seconds."""

    enable: bool = False
    tlsTunnelCAFile: str = CA_FILE
    tlsTunnelCertFile: str = CERT_FILE
    tlsTunnelPrivateKeyFile: str = KEY_FILE
    handshakeTimeout: int = 30
    readDeadline: int = 15
    writeDeadline: int = 15
    server: str = "127.0.0.1:10004"


class TaskManager(msgspec.Struct):
    """Node jobs."""

    enable: bool = False


class Modules(msgspec.Struct):
    """One part of EdgeCore each."""

    edged: Edged = msgspec.field(default_factory=Edged)
    edgeHub: EdgeHub = msgspec.field(default_factory=EdgeHub)
    eventBus: EventBus = msgspec.field(default_factory=EventBus)
    metaManager: MetaManager = msgspec.field(default_factory=MetaManager)
    serviceBus: ServiceBus = msgspec.field(default_factory=ServiceBus)
    deviceTwin: DeviceTwin = msgspec.field(default_factory=DeviceTwin)
    dbTest: DBTest = msgspec.field(default_factory=DBTest)
    edgeStream: EdgeStream = msgspec.field(default_factory=EdgeStream)
    taskManager: TaskManager = msgspec.field(default_factory=TaskManager)


class Mqtt(msgspec.Struct):
    """What modules.eventBus lacks.

    `passwordFile` and `aclFile` say who may use the internal broker, and for what: files in the form of
    Mosquitto's, mode 0600; without them everybody may do everything. `externalVersion` is the version of
    MQTT spoken with the external broker, `3.1.1` or `5`. `maximumPacketSize` in bytes: what is larger is
    refused by the internal broker, and not taken from the external one.
    """

    passwordFile: str = ""
    aclFile: str = ""
    externalVersion: str = "3.1.1"
    maximumPacketSize: int = 262144


class EdgeLab(msgspec.Struct):
    """Settings that KubeEdge does not have.

    `bootstrapFile` holds the join token until the node has joined; `reconnectCap` bounds the wait
    between two attempts to reach CloudCore; after `deadPeerTimeout` without an acknowledgement from
    the peer's TCP the connection counts as lost. `metaServerDirectory` holds the certificate with which
    MetaServer serves when featureGates.requireAuthorization is set. `runtimeType` is `remote` (CRI) or
    `docker` (the Docker Engine API), which an endpoint that is Docker's socket chooses too.
    """

    bootstrapFile: str = "/etc/kubeedge/bootstrap-edgecore.conf"
    reconnectCap: str = "15s"
    deadPeerTimeout: str = "15s"
    metaServerDirectory: str = "/etc/kubeedge/pki/metaserver"
    runtimeType: str = "remote"
    mqtt: Mqtt = msgspec.field(default_factory=Mqtt)


class EdgeCore(msgspec.Struct):
    """The whole file."""

    apiVersion: str = "edgecore.config.kubeedge.io/v1alpha2"
    kind: str = "EdgeCore"
    edgecoreVersion: str = ""
    featureGates: dict[str, bool] = {}
    database: Database = msgspec.field(default_factory=Database)
    modules: Modules = msgspec.field(default_factory=Modules)
    edgelab: EdgeLab = msgspec.field(default_factory=EdgeLab)


def minimal() -> dict[str, Any]:
    """The short starting template of `--minconfig`; what it leaves out keeps its default."""
    full = EdgeCore()
    hub, bus = full.modules.edgeHub, full.modules.eventBus
    hub_keys = (
        "heartbeat",
        "httpServer",
        "tlsCaFile",
        "tlsCertFile",
        "tlsPrivateKeyFile",
        "token",
        "websocket",
    )
    bus_keys = ("mqttMode", "mqttQOS", "mqttRetain", "mqttServerExternal", "mqttServerInternal")
    return {
        "apiVersion": full.apiVersion,
        "kind": full.kind,
        "database": {"dataSource": full.database.dataSource},
        "modules": {
            "deviceTwin": {"dmiSockPath": full.modules.deviceTwin.dmiSockPath},
            "edged": msgspec.to_builtins(full.modules.edged),
            "edgeHub": {key: msgspec.to_builtins(getattr(hub, key)) for key in hub_keys},
            "eventBus": {key: getattr(bus, key) for key in bus_keys},
        },
    }


def validate(settings: EdgeCore) -> list[Problem]:
    """Every reason for which EdgeCore would not start with these settings."""
    modules = settings.modules
    problems = [*_hub_problems(modules.edgeHub), *_edged_problems(modules.edged)]
    if settings.kind != "EdgeCore":
        problems.append(Problem("kind", f"expected EdgeCore, found {settings.kind!r}"))
    if not settings.database.dataSource:
        problems.append(Problem("database.dataSource", "a file name is needed"))
    bus = modules.eventBus
    if bus.enable and bus.mqttMode not in (0, 1, 2):
        problems.append(Problem("modules.eventBus.mqttMode", "0 (internal), 1 (both) or 2 (external)"))
    if bus.enable and not 0 <= bus.mqttQOS <= 2:
        problems.append(Problem("modules.eventBus.mqttQOS", "0, 1 or 2"))
    for name in ("reconnectCap", "deadPeerTimeout"):
        problems += _duration_problems(f"edgelab.{name}", getattr(settings.edgelab, name), positive=True)
    return problems + list(edgecore_checks.problems(settings))


def _hub_problems(hub: EdgeHub) -> list[Problem]:
    where = "modules.edgeHub"
    problems: list[Problem] = []
    if hub.enable and hub.websocket.enable == hub.quic.enable:
        problems.append(Problem(where, "exactly one of websocket.enable and quic.enable must be true"))
    for name in ("messageQPS", "messageBurst"):
        if getattr(hub, name) < 0:
            problems.append(Problem(f"{where}.{name}", "must not be negative"))
    if hub.heartbeat <= 0:
        problems.append(Problem(f"{where}.heartbeat", "must be at least one second"))
    return problems


def _edged_problems(edged: Edged) -> list[Problem]:
    where = "modules.edged"
    kubelet = edged.tailoredKubeletConfig
    problems: list[Problem] = []
    if len(edged.hostnameOverride) > 253 or not NODE_NAME.fullmatch(edged.hostnameOverride):
        problems.append(
            Problem(f"{where}.hostnameOverride", "a node name has only a-z, 0-9, '-' and '.', 253 at most")
        )
    if not 0 <= kubelet.readOnlyPort <= 65535:
        problems.append(Problem(f"{where}.tailoredKubeletConfig.readOnlyPort", "a port, or 0 for none"))
    for name in DURATIONS:
        problems += _duration_problems(f"{where}.tailoredKubeletConfig.{name}", getattr(kubelet, name))
    problems += _duration_problems(f"{where}.minimumGCAge", edged.minimumGCAge)
    return problems


def _duration_problems(where: str, text: str, *, positive: bool = False) -> list[Problem]:
    try:
        value = seconds(text)
    except ValueError as error:
        return [Problem(where, str(error))]
    if positive and value <= 0:
        return [Problem(where, "must be longer than nothing")]
    return []


PROGRAM: Program[EdgeCore] = Program("edgecore", DEFAULT_PATH, EdgeCore, minimal, validate, migrate)
