"""EdgeCore: builds the modules that the settings enable and runs them in one task group.

A module that is disabled is not imported: on small nodes its memory is worth more than a flat list of
imports at the top of this file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Fatal
from edgelab.daemon.extras import require
from edgelab.daemon.garbage import leave_loaded
from edgelab.daemon.notify import ready
from edgelab.daemon.tasks import Module, run_modules
from edgelab.edgecore import environment
from edgelab.edgecore.interfaces import Hub, Offline
from edgelab.edgecore.metamanager import rows
from edgelab.edgecore.metamanager.manager import MetaManager
from edgelab.edgecore.store import (
    BUS_TABLES,
    META_TABLES,
    MIRROR_TABLES,
    SERVICE_TABLES,
    TWIN_TABLES,
    Store,
)
from edgelab.edgecore.storecare import StoreCare
from edgelab.protocol import resource
from edgelab.protocol.message import Message
from edgelab.settings.durations import seconds
from edgelab.settings.edgecore import EdgeCore

if TYPE_CHECKING:
    from edgelab.edgecore.devicetwin.module import DeviceTwin
    from edgelab.edgecore.edged import Edged
    from edgelab.edgecore.edgehub.hub import EdgeHub, Handler
    from edgelab.edgecore.edgehub.link import Connect
    from edgelab.edgecore.eventbus.bus import EventBus
    from edgelab.edgecore.metamanager.metaserver.server import MetaServer
    from edgelab.edgecore.servicebus.module import ServiceBus
    from edgelab.edgecore.taskmanager.actions import Actions

log = logging.getLogger(__name__)

ROUTER_SERVICEBUS = "router_servicebus"
"""The source of what the cloud's router wants of ServiceBus."""
CONFIG = "/etc/kubeedge/config/edgecore.yaml"


class NoHub:
    """What stands in for EdgeHub when it is disabled: a cloud that is never there."""

    connected = False

    async def send(self, message: Message) -> None:
        """Raise Offline."""
        raise Offline("modules.edgeHub is disabled")

    async def request(self, message: Message, deadline: float) -> Message:
        """Raise Offline."""
        raise Offline("modules.edgeHub is disabled")

    def on_connection(self, listener: Callable[[bool], None]) -> None:
        """Take note of nobody: nothing will ever change."""


async def serve(settings: EdgeCore, clock: Clock = SYSTEM, config: str = CONFIG) -> None:
    """Run EdgeCore until it is cancelled; `config` is the file of its settings. Raises Fatal."""
    modules = settings.modules
    environment.check(meta_server=modules.metaManager.metaServer.enable)
    tables = [*META_TABLES]
    tables += MIRROR_TABLES if modules.metaManager.metaServer.enable else ()
    tables += TWIN_TABLES if modules.deviceTwin.enable else ()
    tables += BUS_TABLES if modules.eventBus.enable else ()
    tables += SERVICE_TABLES if modules.serviceBus.enable else ()
    async with Store(Path(settings.database.dataSource), tables) as store:
        hub = _edge_hub(settings, store, clock) if modules.edgeHub.enable else None
        if hub is not None:
            hub.begin()
            await asyncio.sleep(0)  # its child works while the other modules are loaded
        built = build(settings, store, clock, hub, config=config)
        leave_loaded()
        await run_modules([*built, StoreCare(store, clock), Readiness(built)])


def build(
    settings: EdgeCore, store: Store, clock: Clock, edge_hub: EdgeHub | None = None, *, config: str = CONFIG
) -> list[Module]:
    """The enabled modules, wired; `edge_hub` is the one that exists already.

    Raises Fatal for a combination that cannot work.
    """
    if settings.modules.edgeHub.enable and edge_hub is None:
        edge_hub = _edge_hub(settings, store, clock)
    return Assembly(settings, store, clock, edge_hub, config).build()


class Assembly:
    """Makes the enabled modules one after the other, each with the few things that it calls."""

    def __init__(
        self, settings: EdgeCore, store: Store, clock: Clock, edge_hub: EdgeHub | None, config: str
    ) -> None:
        self._settings, self._modules = settings, settings.modules
        self._store, self._clock, self._config = store, clock, config
        self._node = settings.modules.edged.hostnameOverride
        self._edge_hub = edge_hub
        self._hub: Hub = edge_hub or NoHub()
        self._built: list[Module] = [] if edge_hub is None else [edge_hub]
        self._meta: MetaManager | None = None
        self._meta_server: MetaServer | None = None
        self._twin: DeviceTwin | None = None
        self._bus: EventBus | None = None
        self._services: ServiceBus | None = None
        self._actions: Actions | None = None

    def build(self) -> list[Module]:
        """All of them. Raises Fatal."""
        enabled = self._modules
        if enabled.metaManager.enable:
            self._make_meta()
        if enabled.deviceTwin.enable:
            self._make_twin()
        if enabled.eventBus.enable:
            self._make_bus()
        if enabled.serviceBus.enable:
            self._make_services()
        self._route_users()
        if self._meta and self._twin:
            self._make_dmi(self._meta, self._twin)
        if enabled.taskManager.enable:
            self._make_jobs()
        if enabled.edged.enable:
            self._make_edged()
        return self._built

    def _route(self, group: str, handler: Handler) -> None:
        if self._edge_hub is not None:
            self._edge_hub.route(group, handler)

    def _make_meta(self) -> None:
        own = self._modules.metaManager
        meta = MetaManager(self._store, self._hub, self._clock, query_deadline=float(own.remoteQueryTimeout))
        self._meta = meta
        self._built.append(meta)
        self._route("resource", meta.receive)
        self._route("func", meta.receive)
        if own.metaServer.enable:
            self._meta_server = _meta_server(self._settings, self._store, meta, self._hub, self._clock)
            self._built.append(self._meta_server)

    def _make_twin(self) -> None:
        from edgelab.edgecore.devicetwin.module import DeviceTwin  # noqa: PLC0415 - only when enabled

        self._twin = DeviceTwin(self._store, self._hub, self._clock, self._node)
        self._built.append(self._twin)
        self._route("twin", self._twin.receive)

    def _make_bus(self) -> None:
        from edgelab.edgecore.eventbus.bus import EventBus  # noqa: PLC0415 - only when enabled

        twin = self._twin
        self._bus = EventBus(
            self._modules.eventBus,
            self._settings.edgelab.mqtt,
            self._store,
            self._hub,
            self._clock,
            node=self._node,
            on_device=twin.from_bus if twin else None,
        )
        self._built.append(self._bus)
        if twin:
            twin.attach(self._bus)

    def _make_services(self) -> None:
        from edgelab.edgecore.servicebus.module import ServiceBus  # noqa: PLC0415 - only when enabled

        self._services = ServiceBus(self._modules.serviceBus, self._store, self._hub, self._clock)
        self._built.append(self._services)

    def _route_users(self) -> None:
        """Messages of the cloud's router go to EventBus or ServiceBus."""
        if self._services:
            self._route("user", _by_source(self._bus, self._services))
        elif self._bus:
            self._route("user", self._bus.receive)

    def _make_dmi(self, meta: MetaManager, twin: DeviceTwin) -> None:
        from edgelab.edgecore.dmi.module import Dmi  # noqa: PLC0415 - only when enabled

        dmi = Dmi(self._modules.deviceTwin.dmiSockPath, self._store, self._clock, twin)
        meta.attach(devices=twin, mappers=dmi)
        self._built.append(dmi)

    def _make_jobs(self) -> None:
        from edgelab.edgecore.taskmanager.actions import Actions  # noqa: PLC0415 - only when enabled
        from edgelab.edgecore.taskmanager.commands import Commands  # noqa: PLC0415
        from edgelab.edgecore.taskmanager.module import TaskManager  # noqa: PLC0415
        from edgelab.edgecore.taskmanager.record import Records  # noqa: PLC0415

        records = Records(self._store)
        commands = Commands(self._store.path.parent, Path(self._config), self._clock)
        self._actions = Actions(commands, records, self._clock)
        tasks = TaskManager(records, self._actions, self._hub, self._clock, self._node)
        self._built.append(tasks)
        self._route("taskmanager", tasks.receive)
        if self._meta_server:
            self._meta_server.attach_jobs(tasks)

    def _make_edged(self) -> None:
        if self._meta is None:
            raise Fatal("modules.edged needs modules.metaManager.enable: true")
        from edgelab.edgecore.edged import Edged  # noqa: PLC0415 - only when enabled

        server, store = self._modules.metaManager.metaServer, self._store
        edged = Edged(
            self._modules.edged,
            self._meta,
            self._node,
            self._clock,
            database_dir=store.path.parent,
            api_server=server.dummyServer if server.enable and _authorizes(self._settings) else "",
            runtime_type=self._settings.edgelab.runtimeType,
        )
        edged.watch_store(store.condition, restored=store.rescue is not None)
        store.on_change(edged.store_changed)
        self._meta.attach(pods=edged)
        if self._meta_server:
            self._meta_server.attach(edged)
        if self._actions:
            self._actions.puller = edged
        self._hub.on_connection(edged.connection_changed)
        if self._edge_hub is not None:
            self._edge_hub.tell = edged.warn
        self._built.append(edged)
        if self._modules.edgeStream.enable:
            self._make_stream(edged)

    def _make_stream(self, edged: Edged) -> None:
        from edgelab.edgecore.edgestream.module import (  # noqa: PLC0415 - only when enabled
            EdgeStream,
            TunnelEndpoint,
        )

        stream, own = self._modules.edgeStream, self._settings.edgelab
        dead_peer = seconds(own.deadPeerTimeout)

        def endpoint() -> TunnelEndpoint:
            return TunnelEndpoint(
                server=stream.server,
                node=self._node,
                project="",
                ca_file=Path(stream.tlsTunnelCAFile),
                cert_file=Path(stream.tlsTunnelCertFile),
                key_file=Path(stream.tlsTunnelPrivateKeyFile),
                handshake_timeout=stream.handshakeTimeout,
                write_timeout=stream.writeDeadline,
                dead_peer=dead_peer,
                address=edged.address,
            )

        cap = seconds(own.reconnectCap)
        self._built.append(EdgeStream(endpoint, edged.streams(), self._clock, cap=cap))


def _by_source(bus: EventBus | None, services: ServiceBus) -> Callable[[Message], Awaitable[None]]:
    """Of the router's messages, those for ServiceBus have a source of their own."""

    async def receive(message: Message) -> None:
        if message.route.source == ROUTER_SERVICEBUS:
            await services.receive(message)
        elif bus is not None:
            await bus.receive(message)
        else:
            log.warning("the cloud's router asks for MQTT, and modules.eventBus is disabled")

    return receive


def _meta_server(settings: EdgeCore, store: Store, meta: MetaManager, hub: Hub, clock: Clock) -> MetaServer:
    from edgelab.edgecore.metamanager.metaserver.server import MetaServer  # noqa: PLC0415 - only when enabled
    from edgelab.edgecore.metamanager.mirror import Mirror  # noqa: PLC0415

    node = settings.modules.edged.hostnameOverride
    mirror = Mirror(store, node)
    meta.attach(mirror=mirror)
    files = Path(settings.edgelab.metaServerDirectory)
    return MetaServer(
        settings.modules.metaManager.metaServer,
        store,
        mirror,
        hub,
        node,
        clock=clock,
        secure_files=files if _authorizes(settings) else None,
    )


def _authorizes(settings: EdgeCore) -> bool:
    """Whether MetaServer requires authorization; only then it has an address for pods."""
    return settings.featureGates.get("requireAuthorization", False)


def _edge_hub(settings: EdgeCore, store: Store, clock: Clock) -> EdgeHub:
    from edgelab.edgecore.edgehub.enrolment import Enrolment, Files  # noqa: PLC0415 - only when enabled
    from edgelab.edgecore.edgehub.hub import EdgeHub  # noqa: PLC0415
    from edgelab.edgecore.edgehub.link import Endpoint  # noqa: PLC0415

    hub, node = settings.modules.edgeHub, settings.modules.edged.hostnameOverride
    files = Files(
        ca=Path(hub.tlsCaFile),
        certificate=Path(hub.tlsCertFile),
        key=Path(hub.tlsPrivateKeyFile),
        bootstrap=Path(settings.edgelab.bootstrapFile),
    )
    carrier = hub.quic if hub.quic.enable else hub.websocket
    endpoint = Endpoint(
        server=carrier.server,
        node=node,
        project=hub.projectID,
        ca_file=files.ca,
        cert_file=files.certificate,
        key_file=files.key,
        handshake_timeout=carrier.handshakeTimeout,
        write_timeout=carrier.writeDeadline,
        dead_peer=seconds(settings.edgelab.deadPeerTimeout),
        resend=store.rescue is not None,
    )
    own_row = resource.build(None, "node", node)
    return EdgeHub(
        endpoint,
        Enrolment(hub.httpServer, node, files, hub.token, clock),
        clock,
        connect=_connect(hub.quic.enable),
        heartbeat=hub.heartbeat,
        qps=hub.messageQPS,
        burst=hub.messageBurst,
        rotate=hub.rotateCertificates,
        reconnect_cap=seconds(settings.edgelab.reconnectCap),
        joined_before=lambda: rows.value(store, own_row) is not None,
    )


def _connect(quic: bool) -> Connect:
    if not quic:
        from edgelab.edgecore.edgehub import connection  # noqa: PLC0415 - only when enabled

        return connection.open_connection
    require("aioquic", "modules.edgeHub.quic.enable")
    from edgelab.edgecore.edgehub import quic as quic_connection  # noqa: PLC0415 - only when enabled

    return quic_connection.open_connection


@runtime_checkable
class Begins(Protocol):
    """A module that has to do something before it does what others count on."""

    begun: asyncio.Event


class Readiness:
    """Tells systemd once every module has begun: pods are adopted, and the local port answers."""

    name = "readiness"

    def __init__(self, modules: Sequence[Module]) -> None:
        self._modules = modules

    async def run(self) -> None:
        """Send READY, then stay."""
        await asyncio.sleep(0)
        for module in self._modules:
            if isinstance(module, Begins):
                await module.begun.wait()
        text = f"running {', '.join(module.name for module in self._modules)}"
        log.info("%s", text)
        ready(text)
        await asyncio.Event().wait()
