"""Files of KubeEdge up to 1.2: edge.yaml and controller.yaml, modules.yaml and logging.yaml.

Each function turns one of them into (part of) today's document and tells of every key what became of it.
Source: `conf/*.yaml` of KubeEdge 1.0 to 1.2 and its `keadm` of that time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from edgelab.settings.document import merge
from edgelab.settings.edgecore_v1alpha1 import migrate as from_v1alpha1

_ANEW = "the node joins anew and gets a certificate of its own: `keadm join`"
_ONE_API = "there is one connection to the API server: kubeAPIConfig"
_FORCED = "follows from modules.cloudHub.nodeLimit"
_MESH = "EdgeMesh is a program of its own"
_NODE_PORTS = {30000: 30002, 30001: 30002}
_JOURNAL = "logs go to stderr, from there into the journal"


@dataclass(frozen=True, slots=True)
class Note:
    """What became of one key: `now` is its place today, empty when it is gone for the `reason`."""

    key: str
    now: str = ""
    reason: str = ""

    def __str__(self) -> str:
        if self.now:
            return f"{self.key}: now {self.now}" + (f" ({self.reason})" if self.reason else "")
        return f"{self.key}: dropped: {self.reason}"


@dataclass(slots=True)
class Converted:
    """A document of today, or part of one, and a note on each key."""

    document: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    def put(self, key: str, value: Any, now: str, reason: str = "") -> None:
        """Set the field `now`, which `key` has become."""
        for name in reversed(now.split(".")):
            value = {name: value}
        self.document = merge(self.document, value)
        self.notes.append(Note(key, now, reason))

    def drop(self, key: str, reason: str) -> None:
        """Leave a key out."""
        self.notes.append(Note(key, reason=reason))


EDGED = {
    "register-node-namespace": "registerNodeNamespace",
    "hostname-override": "hostnameOverride",
    "interface-name": "interfaceName",
    "edged-memory-capacity-bytes": "edgedMemoryCapacity",
    "node-status-update-frequency": "nodeStatusUpdateFrequency",
    "device-plugin-enabled": "devicePluginEnabled",
    "gpu-plugin-enabled": "gpuPluginEnabled",
    "image-gc-high-threshold": "imageGCHighThreshold",
    "image-gc-low-threshold": "imageGCLowThreshold",
    "maximum-dead-containers-per-container": "maximumDeadContainersPerPod",
    "docker-address": "dockerAddress",
    "runtime-type": "runtimeType",
    "remote-runtime-endpoint": "remoteRuntimeEndpoint",
    "remote-image-endpoint": "remoteImageEndpoint",
    "runtime-request-timeout": "runtimeRequestTimeout",
    "podsandbox-image": "podSandboxImage",
    "image-pull-progress-deadline": "imagePullProgressDeadline",
    "cgroup-driver": "cgroupDriver",
    "node-ip": "nodeIP",
    "cluster-dns": "clusterDNS",
    "cluster-domain": "clusterDomain",
    "network-plugin-name": "networkPluginName",
    "cni-conf-dir": "cniConfDir",
    "cni-bin-dir": "cniBinDir",
    "cni-cache-dirs": "cniCacheDirs",
    "network-plugin-mtu": "networkPluginMTU",
    "cgroups-per-qos": "cgroupsPerQOS",
    "cgroup-root": "cgroupRoot",
    "edgecore-cgroups": "edgeCoreCgroups",
    "register-node": "registerNode",
    "concurrent-consumers": "concurrentConsumers",
}
"""A key of `edged` and its name in v1alpha1, from where it goes on."""
EMPTY_MEANS_DEFAULT = frozenset({"node-ip", "cluster-dns", "cluster-domain"})

BUS = "modules.eventBus"
HUB = "modules.edgeHub"
EDGE: dict[str, str] = {
    "mqtt.server": f"{BUS}.mqttServerExternal",
    "mqtt.internal-server": f"{BUS}.mqttServerInternal",
    "mqtt.mode": f"{BUS}.mqttMode",
    "mqtt.qos": f"{BUS}.mqttQOS",
    "mqtt.retain": f"{BUS}.mqttRetain",
    "mqtt.session-queue-size": f"{BUS}.mqttSessionQueueSize",
    **{
        f"edgehub.{kind}.{old}": f"{HUB}.{kind}.{new}"
        for kind in ("websocket", "quic")
        for old, new in {
            "handshake-timeout": "handshakeTimeout",
            "write-deadline": "writeDeadline",
            "read-deadline": "readDeadline",
        }.items()
    },
    "edgehub.quic.url": f"{HUB}.quic.server",
    "edgehub.controller.heartbeat": f"{HUB}.heartbeat",
    "edgehub.controller.project-id": f"{HUB}.projectID",
}
EDGE_GONE = {
    **{f"edgehub.{kind}.{key}": _ANEW for kind in ("websocket", "quic") for key in ("certfile", "keyfile")},
    "edgehub.quic.cafile": _ANEW,
}
CLOUD_HUB = "modules.cloudHub"
CLOUD = {
    "controller.kube.master": "kubeAPIConfig.master",
    "controller.kube.kubeconfig": "kubeAPIConfig.kubeConfig",
    "controller.kube.content_type": "kubeAPIConfig.contentType",
    "controller.kube.node_update_frequency": "modules.edgeController.nodeUpdateFrequency",
    "cloudhub.protocol_websocket": f"{CLOUD_HUB}.websocket.enable",
    "cloudhub.port": f"{CLOUD_HUB}.websocket.port",
    "cloudhub.address": f"{CLOUD_HUB}.websocket.address",
    "cloudhub.protocol_quic": f"{CLOUD_HUB}.quic.enable",
    "cloudhub.quic_port": f"{CLOUD_HUB}.quic.port",
    "cloudhub.max_incomingstreams": f"{CLOUD_HUB}.quic.maxIncomingStreams",
    "cloudhub.enable_uds": f"{CLOUD_HUB}.unixsocket.enable",
    "cloudhub.uds_address": f"{CLOUD_HUB}.unixsocket.address",
    "cloudhub.ca": f"{CLOUD_HUB}.tlsCAFile",
    "cloudhub.cakey": f"{CLOUD_HUB}.tlsCAKeyFile",
    "cloudhub.cert": f"{CLOUD_HUB}.tlsCertFile",
    "cloudhub.key": f"{CLOUD_HUB}.tlsPrivateKeyFile",
    "cloudhub.keepalive-interval": f"{CLOUD_HUB}.keepaliveInterval",
    "cloudhub.write-timeout": f"{CLOUD_HUB}.writeTimeout",
    "cloudhub.node-limit": f"{CLOUD_HUB}.nodeLimit",
}
CLOUD_GONE = {
    "controller.kube.namespace": "CloudCore looks at all namespaces",
    "controller.kube.qps": _FORCED,
    "controller.kube.burst": _FORCED,
}
EDGE_MODULES = {
    "edged": "edged",
    "websocket": "edgeHub",
    "edgehub": "edgeHub",
    "eventbus": "eventBus",
    "metaManager": "metaManager",
    "servicebus": "serviceBus",
    "twin": "deviceTwin",
    "dbTest": "dbTest",
}
CLOUD_MODULES = {
    "cloudhub": "cloudHub",
    "controller": "edgeController",
    "devicecontroller": "deviceController",
}
MODULES_GONE = {"edgemesh": _MESH, "test": "a hook for tests", "testManager": "a hook for tests"}


def edge_yaml(old: dict[str, Any]) -> Converted:
    """edgecore.yaml out of edge.yaml."""
    new = Converted()
    edged = old.get("edged") or {}
    for key, value in _flat({name: part for name, part in old.items() if name != "edged"}):
        _edge_key(new, key, value)
    _edged(new, edged)
    return new


def _edge_key(new: Converted, key: str, value: Any) -> None:
    if key in EDGE:
        new.put(key, value, EDGE[key])
    elif key in EDGE_GONE:
        new.drop(key, EDGE_GONE[key])
    elif key == "edgehub.websocket.url":
        _hub_url(new, key, str(value))
    elif key == "edgehub.controller.protocol":
        for kind in ("websocket", "quic"):
            new.put(key, value == kind, f"{HUB}.{kind}.enable")
    elif key == "edgehub.controller.node-id":
        new.put(key, value, "modules.edged.hostnameOverride")
    else:
        new.drop(key, _MESH if key.startswith("mesh.") else "no later release has it")


def _hub_url(new: Converted, key: str, url: str) -> None:
    """`wss://HOST:PORT/PROJECT/NODE/events`; PROJECT and NODE have keys of their own."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = parts.port or 10000
    new.put(key, f"{host}:{port}", f"{HUB}.websocket.server")
    https = _NODE_PORTS.get(port, 10002)
    new.put(key, f"https://{host}:{https}", f"{HUB}.httpServer", "certificates come from there since 1.3")


def _edged(new: Converted, edged: dict[str, Any]) -> None:
    """Through v1alpha1, which says what has moved on and what has gone since."""
    older: dict[str, Any] = {}
    names: dict[str, str] = {}
    for key, value in edged.items():
        if key not in EDGED:
            new.drop(f"edged.{key}", "no later release has it")
        elif value in ("", None) and key in EMPTY_MEANS_DEFAULT:
            new.drop(f"edged.{key}", "is empty, which means its default")
        else:
            older[EDGED[key]] = value
            names[f"modules.edged.{EDGED[key]}"] = f"edged.{key}"
    document: dict[str, Any] = {"modules": {"edged": older}}
    for problem in from_v1alpha1(document):
        kind, _, text = problem.message.partition(": ")
        moved = kind == "moved"
        key = names.pop(problem.field)
        new.notes.append(Note(key, text.removeprefix("now ") if moved else "", "" if moved else text))
    new.notes += [Note(key, field) for field, key in names.items()]
    new.document = merge(new.document, document)


def controller_yaml(old: dict[str, Any]) -> Converted:
    """cloudcore.yaml out of controller.yaml."""
    new = Converted()
    for key, value in _flat(old):
        if key.startswith("devicecontroller."):
            new.drop(key, _ONE_API)
        elif key not in CLOUD:
            new.drop(key, CLOUD_GONE.get(key, "no later release has it"))
        elif value is None:
            new.drop(key, "is empty, which means its default")
        else:
            new.put(key, value, CLOUD[key])
    return new


def modules_yaml(old: dict[str, Any], known: dict[str, str]) -> Converted:
    """Which modules are on: those that are not named are off. `known` is EDGE_MODULES or CLOUD_MODULES."""
    new = Converted()
    enabled = (old.get("modules") or {}).get("enabled") or []
    on = {known[name] for name in enabled if name in known}
    for name in enabled:
        if name not in known:
            new.drop(f"modules.enabled.{name}", MODULES_GONE.get(name, "there is no such module any more"))
    for module in dict.fromkeys(known.values()):
        reason = "named" if module in on else "not named, so it was off"
        new.put("modules.enabled", module in on, f"modules.{module}.enable", reason)
    return new


def logging_yaml(old: dict[str, Any], component: str) -> Converted:
    """Logging is no matter of a file any more."""
    new = Converted()
    for key, value in _flat(old):
        debug = key == "loggerLevel" and str(value).upper() == "DEBUG"
        argument = f"{component.upper()}_ARGUMENTS='-v 4' in /etc/default/{component}"
        new.drop(key, f"{_JOURNAL}; for DEBUG: {argument}" if debug else _JOURNAL)
    return new


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, item in value.items():
        name = f"{prefix}{key}"
        found += _flat(item, f"{name}.") if isinstance(item, dict) else [(name, item)]
    return found
