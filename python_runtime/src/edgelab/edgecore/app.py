"""EdgeCore: builds the modules that the settings enable and runs them in one task group.

A module that is disabled is not imported: on small nodes its memory is worth more than a flat list of
imports at the top of this file.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Fatal
from edgelab.daemon.extras import require
from edgelab.daemon.notify import ready
from edgelab.daemon.tasks import Module, run_modules
from edgelab.edgecore import environment
from edgelab.edgecore.interfaces import Hub, Offline
from edgelab.edgecore.metamanager import rows
from edgelab.edgecore.metamanager.manager import MetaManager
from edgelab.edgecore.store import BUS_TABLES, META_TABLES, MIRROR_TABLES, TWIN_TABLES, Store
from edgelab.edgecore.storecare import StoreCare
from edgelab.protocol import resource
from edgelab.protocol.message import Message
from edgelab.settings.durations import seconds
from edgelab.settings.edgecore import EdgeCore

if TYPE_CHECKING:
    from edgelab.edgecore.devicetwin.module import DeviceTwin
    from edgelab.edgecore.dmi.module import Dmi
    from edgelab.edgecore.edgehub.hub import EdgeHub
    from edgelab.edgecore.edgehub.link import Connect
    from edgelab.edgecore.eventbus.bus import EventBus
    from edgelab.edgecore.metamanager.metaserver.server import MetaServer

log = logging.getLogger(__name__)


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


async def serve(settings: EdgeCore, clock: Clock = SYSTEM) -> None:
    """Run EdgeCore until it is cancelled. Raises Fatal."""
    modules = settings.modules
    environment.check(meta_server=modules.metaManager.metaServer.enable)
    _warn_of_missing(settings)
    tables = [*META_TABLES]
    tables += MIRROR_TABLES if modules.metaManager.metaServer.enable else ()
    tables += TWIN_TABLES if modules.deviceTwin.enable else ()
    tables += BUS_TABLES if modules.eventBus.enable else ()
    async with Store(Path(settings.database.dataSource), tables) as store:
        hub = _edge_hub(settings, store, clock) if modules.edgeHub.enable else None
        if hub is not None:
            hub.begin()
            await asyncio.sleep(0)  # its child works while the other modules are loaded
        built = build(settings, store, clock, hub)
        gc.collect()
        gc.freeze()  # what exists now stays: later collections need not look at it
        await run_modules([*built, StoreCare(store, clock), Readiness(built)])


def build(settings: EdgeCore, store: Store, clock: Clock, edge_hub: EdgeHub | None = None) -> list[Module]:
    """The enabled modules, wired; `edge_hub` is the one that exists already.

    Raises Fatal for a combination that cannot work.
    """
    modules = settings.modules
    node = modules.edged.hostnameOverride
    built: list[Module] = []
    hub: Hub = NoHub()
    if modules.edgeHub.enable:
        hub = edge_hub = edge_hub or _edge_hub(settings, store, clock)
        built.append(edge_hub)
    meta = None
    if modules.metaManager.enable:
        deadline = float(modules.metaManager.remoteQueryTimeout)
        meta = MetaManager(store, hub, clock, query_deadline=deadline)
        built.append(meta)
    meta_server = None
    if meta and modules.metaManager.metaServer.enable:
        meta_server = _meta_server(settings, store, meta, hub, clock)
        built.append(meta_server)
    twin = None
    if modules.deviceTwin.enable:
        from edgelab.edgecore.devicetwin.module import DeviceTwin  # noqa: PLC0415 - only when enabled

        twin = DeviceTwin(store, hub, clock, node)
        built.append(twin)
    bus = None
    if modules.eventBus.enable:
        from edgelab.edgecore.eventbus.bus import EventBus  # noqa: PLC0415 - only when enabled

        bus = EventBus(
            modules.eventBus,
            settings.edgelab.mqtt,
            store,
            hub,
            clock,
            node=node,
            on_device=twin.from_bus if twin else None,
        )
        built.append(bus)
        if twin:
            twin.attach(bus)
    if meta and twin:
        dmi = _dmi(settings, store, clock, twin)
        meta.attach(devices=twin, mappers=dmi)
        built.append(dmi)
    if modules.edged.enable:
        if meta is None:
            raise Fatal("modules.edged needs modules.metaManager.enable: true")
        from edgelab.edgecore.edged import Edged  # noqa: PLC0415 - only when enabled

        server = modules.metaManager.metaServer
        edged = Edged(
            modules.edged,
            meta,
            node,
            clock,
            database_dir=store.path.parent,
            api_server=server.dummyServer if server.enable and _authorizes(settings) else "",
            runtime_type=settings.edgelab.runtimeType,
        )
        edged.watch_store(store.condition, restored=store.rescue is not None)
        store.on_change(edged.store_changed)
        meta.attach(pods=edged)
        if meta_server:
            meta_server.attach(edged)
        hub.on_connection(edged.connection_changed)
        if edge_hub is not None:
            edge_hub.tell = edged.warn
        built.append(edged)
    if edge_hub is not None:
        _route(edge_hub, meta, twin, bus)
    return built


def _route(hub: EdgeHub, meta: MetaManager | None, twin: DeviceTwin | None, bus: EventBus | None) -> None:
    if meta:
        hub.route("resource", meta.receive)
        hub.route("func", meta.receive)
    if twin:
        hub.route("twin", twin.receive)
    if bus:
        hub.route("user", bus.receive)


def _dmi(settings: EdgeCore, store: Store, clock: Clock, twin: DeviceTwin) -> Dmi:
    from edgelab.edgecore.dmi.module import Dmi  # noqa: PLC0415 - only when enabled

    return Dmi(settings.modules.deviceTwin.dmiSockPath, store, clock, twin)


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


def _warn_of_missing(settings: EdgeCore) -> None:
    modules = settings.modules
    enabled = {
        "serviceBus": modules.serviceBus.enable,
        "edgeStream": modules.edgeStream.enable,
        "taskManager": modules.taskManager.enable,
    }
    for name in [name for name, on in enabled.items() if on]:
        log.warning("modules.%s.enable is true, but this release does not have it; going on without", name)
