"""Whether the values of edgecore.yaml make sense (KubeEdge `edgecore/v1alpha2/validation`, and more).

What a module that is off would not accept is no reason not to start, as in the original.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edgelab.settings import checks, kubelet_checks
from edgelab.settings.document import Problem

if TYPE_CHECKING:
    from edgelab.settings.edgecore import EdgeCore, Edged, EdgeHub, EventBus, Modules, Mqtt

FILE = "a file name"
DEADLINES = ("handshakeTimeout", "readDeadline", "writeDeadline")
MQTT = checks.is_url("tcp", "mqtt", "ssl", "tls", "mqtts")
MQTT_LARGEST = 12 * 1024 * 1024
"""Bytes: the cloud's router takes no more."""


def problems(settings: EdgeCore) -> Iterator[Problem]:
    """Every value that is out of range or malformed."""
    yield from checks.one_of("database", settings.database, {"driverName": ("sqlite3",)})
    yield from checks.one_of("edgelab", settings.edgelab, {"runtimeType": ("remote", "docker")})
    modules = settings.modules
    if modules.edged.enable:
        yield from _edged(modules.edged)
    if modules.edgeHub.enable:
        yield from _hub(modules.edgeHub)
    if modules.eventBus.enable:
        yield from _bus(modules.eventBus)
        yield from _mqtt(settings.edgelab.mqtt)
    yield from _others(modules)


def _edged(edged: Edged) -> Iterator[Problem]:
    where = "modules.edged"
    if edged.nodeIP:
        yield from checks.every(where, edged, ("nodeIP",), checks.is_ip, "an IP address, or nothing")
    yield from checks.every(where, edged, ("rootDirectory",), checks.is_absolute, "a path that begins with /")
    yield from checks.every(where, edged, ("podSandboxImage", "registerNodeNamespace"), bool, "a name")
    limits = ("maxPerPodContainerCount", "maxContainerCount")
    yield from checks.every(where, edged, limits, checks.at_least(-1), "-1 (no limit) or more")
    labels = edged.nodeLabels
    for key in labels:
        if not checks.is_label_key(key):
            yield Problem(f"{where}.nodeLabels", f"{key!r} is no label key")
    yield from checks.each(f"{where}.nodeLabels", labels.items(), checks.is_label_value, "a label value")
    yield from kubelet_checks.problems(edged.tailoredKubeletConfig)


def _hub(hub: EdgeHub) -> Iterator[Problem]:
    where = "modules.edgeHub"
    yield from checks.every(where, hub, ("httpServer",), checks.is_url("https"), "https://HOST:PORT")
    yield from checks.every(where, hub, ("tlsCaFile", "tlsCertFile", "tlsPrivateKeyFile"), bool, FILE)
    yield from checks.every(f"{where}.websocket", hub.websocket, DEADLINES, checks.at_least(1), "1 or more")
    if hub.websocket.enable:
        server = hub.websocket
        yield from checks.every(f"{where}.websocket", server, ("server",), checks.is_endpoint, "HOST:PORT")


def _bus(bus: EventBus) -> Iterator[Problem]:
    where = "modules.eventBus"
    servers = {"mqttServerInternal": (0, 1), "mqttServerExternal": (1, 2)}
    used = [name for name, modes in servers.items() if bus.mqttMode in modes]
    yield from checks.every(where, bus, used, MQTT, "tcp://HOST:PORT or ssl://HOST:PORT")
    urls = (bus.mqttServerInternal, bus.mqttServerExternal)
    if bus.mqttMode == 1 and all(map(MQTT, urls)) and len({urlsplit(url).netloc for url in urls}) == 1:
        yield Problem(
            f"{where}.mqttServerInternal", "the same as mqttServerExternal: two brokers need two ports"
        )
    yield from checks.every(where, bus, ("mqttSessionQueueSize",), checks.at_least(1), "1 or more")
    if bus.eventBusTLS.enable:
        files = ("tlsMqttCAFile", "tlsMqttCertFile", "tlsMqttPrivateKeyFile")
        yield from checks.every(f"{where}.eventBusTLS", bus.eventBusTLS, files, bool, FILE)


def _mqtt(mqtt: Mqtt) -> Iterator[Problem]:
    where = "edgelab.mqtt"
    yield from checks.one_of(where, mqtt, {"externalVersion": ("3.1.1", "5")})
    sizes = checks.within(1024, MQTT_LARGEST)
    yield from checks.every(where, mqtt, ("maximumPacketSize",), sizes, f"1024 to {MQTT_LARGEST} bytes")
    files = [name for name in ("passwordFile", "aclFile") if getattr(mqtt, name)]
    yield from checks.every(where, mqtt, files, checks.is_absolute, "a path that begins with /, or nothing")


def _others(modules: Modules) -> Iterator[Problem]:
    manager, stream, bus, twin = (
        modules.metaManager,
        modules.edgeStream,
        modules.serviceBus,
        modules.deviceTwin,
    )
    if manager.enable:
        where = "modules.metaManager"
        yield from checks.every(where, manager, ("remoteQueryTimeout",), checks.at_least(1), "1 or more")
    if manager.enable and manager.metaServer.enable:
        where = "modules.metaManager.metaServer"
        yield from checks.every(where, manager.metaServer, ("server",), checks.is_endpoint, "IP:PORT")
    if stream.enable:
        if not modules.edged.enable:
            yield Problem("modules.edgeStream.enable", "needs modules.edged.enable: true")
        yield from checks.every("modules.edgeStream", stream, ("server",), checks.is_endpoint, "HOST:PORT")
        yield from checks.every("modules.edgeStream", stream, DEADLINES, checks.at_least(1), "1 or more")
    if bus.enable:
        yield from checks.every("modules.serviceBus", bus, ("port",), checks.within(0, 65535), "a port")
        yield from checks.every("modules.serviceBus", bus, ("timeout",), checks.at_least(1), "1 or more")
    if twin.enable:
        yield from checks.every(
            "modules.deviceTwin", twin, ("dmiSockPath",), checks.is_absolute, "a directory"
        )
