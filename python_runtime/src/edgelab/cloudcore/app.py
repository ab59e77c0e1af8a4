"""CloudCore: reads the settings, builds the modules, hands each what it calls, runs them together."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from edgelab.cloudcore.cloudhub.authorization import Authorizer
from edgelab.cloudcore.cloudhub.bootstrap import BootstrapServer
from edgelab.cloudcore.cloudhub.complaints import Complaints
from edgelab.cloudcore.cloudhub.hub import CloudHub
from edgelab.cloudcore.cloudhub.nodeevents import NodeEvents
from edgelab.cloudcore.cloudhub.ownership import Ownership, trimmed
from edgelab.cloudcore.cloudhub.peer import Door
from edgelab.cloudcore.cloudhub.pki import Pki, SecretStore, TokenKeeper, prepare
from edgelab.cloudcore.cloudhub.reception import Reception
from edgelab.cloudcore.cloudhub.replicas import LABEL, Replicas
from edgelab.cloudcore.cloudhub.revocation import Revocations
from edgelab.cloudcore.cloudhub.tls import server_context
from edgelab.cloudcore.cloudhub.tracker import SyncTracker
from edgelab.cloudcore.cloudhub.websocket import NodeListener
from edgelab.cloudcore.cluster import CORE, SYNCS, Cluster, optional_kinds, policed
from edgelab.cloudcore.environment import (
    Sockets,
    advertise,
    announce_missing,
    api_configuration,
    bind_all,
    replica_id,
)
from edgelab.cloudcore.monitor import Monitor
from edgelab.cloudcore.startup import Starter, forget_webhooks, wait_for_kinds, without_errors
from edgelab.cloudcore.state import State
from edgelab.cloudcore.workqueue import WorkQueue
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.garbage import collect_seldom
from edgelab.daemon.tasks import Module, run_modules
from edgelab.kube.client import HttpClient
from edgelab.kube.informer import Informer
from edgelab.kube.interface import KubeApi, RawApi
from edgelab.kube.resources import CONFIG_MAPS, LEASES, NODES, PODS, RULE_ENDPOINTS, RULES, SECRETS
from edgelab.protocol.tunnel import NODE_HEADER
from edgelab.settings.cloudcore import CloudCore

if TYPE_CHECKING:
    from edgelab.cloudcore.cloudhub.quic import QuicListener
    from edgelab.cloudcore.cloudstream.start import CloudStream
    from edgelab.cloudcore.dynamiccontroller.controller import DynamicController
    from edgelab.cloudcore.edgecontroller.nodes import NodeWrites
    from edgelab.cloudcore.edgecontroller.permissions import Permissions
    from edgelab.cloudcore.router.router import Router


async def main(settings: CloudCore, clock: Clock = SYSTEM) -> None:
    """Run CloudCore until cancelled. Raises Fatal."""
    announce_missing(settings)
    sockets = bind_all(settings)
    advertise(settings)
    async with HttpClient(api_configuration(settings), user_agent="cloudcore") as api:
        await run(settings, api, sockets, clock)


async def run(settings: CloudCore, api: HttpClient, sockets: Sockets, clock: Clock) -> None:
    """Prepare certificates, then run all modules."""
    await wait_for_kinds(api, optional_kinds(settings), clock)
    secrets = SecretStore(api, settings.edgelab.namespace)
    hub_settings = settings.modules.cloudHub
    pki = await without_errors("certificates", lambda: prepare(secrets, hub_settings, clock), clock)
    keeper = TokenKeeper(secrets, pki.ca, hub_settings.tokenRefreshDuration, clock)
    await without_errors("join token", keeper.renew, clock)
    if not settings.edgelab.webhooks.enable:
        await without_errors("webhooks", lambda: forget_webhooks(api), clock)
    modules = build(settings, api, pki, sockets, raw=api, kube_ca=api.config.ca_pem, clock=clock)
    collect_seldom()
    await run_modules([keeper, *modules])


def build(
    settings: CloudCore,
    api: KubeApi,
    pki: Pki,
    sockets: Sockets,
    *,
    raw: RawApi | None = None,
    kube_ca: bytes | None = None,
    clock: Clock = SYSTEM,
) -> list[Module]:
    """Every module that the settings enable; `raw` is what dynamicController hands requests on by."""
    return Assembly(settings, api, pki, sockets, raw=raw, kube_ca=kube_ca, clock=clock).build()


class Assembly:
    """Makes the enabled modules one after the other, each with the few things that it calls."""

    def __init__(
        self,
        settings: CloudCore,
        api: KubeApi,
        pki: Pki,
        sockets: Sockets,
        *,
        raw: RawApi | None,
        kube_ca: bytes | None,
        clock: Clock,
    ) -> None:
        self._settings, self._api, self._raw = settings, api, raw
        self._pki, self._sockets, self._kube_ca, self._clock = pki, sockets, kube_ca, clock
        self._cluster = Cluster(api, (*CORE, *optional_kinds(settings)), clock)
        self._tracker = SyncTracker(api, clock)
        self._events = NodeEvents(api, lambda node: self._cluster[NODES].store.get(("", node)), clock)
        self._complaints = Complaints(self._events.report, clock)
        own = settings.modules.cloudHub
        self._hub = CloudHub(
            self._tracker, node_limit=own.nodeLimit, kube_ca=kube_ca, complaints=self._complaints, clock=clock
        )
        if own.authorization.enable:
            debug = own.authorization.debug
            self._hub.authorizer = Authorizer(api, self._complaints, debug=debug, clock=clock)
        self._starter = Starter(self._cluster, clock)
        self._revoked = Revocations(settings.edgelab.namespace)
        self._running: list[Module] = []
        self._stream: CloudStream | None = None

    def build(self) -> list[Module]:
        """All of them."""
        state = self._make_core()
        self._make_controllers()
        self._make_edge()
        self._make_doors(state)
        return self._running

    def _make_core(self) -> tuple[Informer, Replicas, Ownership]:
        """What every CloudCore has."""
        cluster, hub, starter = self._cluster, self._hub, self._starter
        starter.then(lambda: self._tracker.follow(cluster[kind] for kind in SYNCS))
        leases, replicas, ownership = _ownership(
            self._settings, self._api, cluster, hub, starter, clock=self._clock
        )
        self._tracker.elsewhere = hub.elsewhere
        self._revoked.changed.append(lambda: hub.end_revoked(self._revoked.why))
        starter.then(lambda: self._revoked.follow(cluster[CONFIG_MAPS]))
        self._running += [cluster, self._tracker, starter, self._events, self._complaints]
        self._running += [leases, replicas, ownership]
        return leases, replicas, ownership

    def _make_controllers(self) -> None:
        settings, api, cluster, starter = self._settings, self._api, self._cluster, self._starter
        hub, clock = self._hub, self._clock
        if settings.modules.deviceController.enable:
            self._running += _devices(settings, api, cluster, hub, starter, clock=clock)
        if policed(settings):
            self._running += _policy(api, cluster, hub, starter, clock=clock)
        if settings.edgelab.controllerManager.enable and self._raw is not None:
            self._running += _applications(api, self._raw, cluster, starter, clock=clock)
        if settings.modules.taskManager.enable:
            self._running.append(_jobs(api, cluster, hub, starter, clock=clock))

    def _make_edge(self) -> None:
        """Objects of nodes, the way to their containers, and MetaServer's other half."""
        settings, api, cluster, hub, clock = (
            self._settings,
            self._api,
            self._cluster,
            self._hub,
            self._clock,
        )
        self._stream = stream = self._make_stream()
        permissions = None
        if settings.modules.edgeController.enable:
            edge, permissions, nodes = _edge(settings, api, cluster, hub, self._starter, clock=clock)
            self._running += edge
            if stream is not None:
                nodes.corrected = stream.corrected
        if settings.modules.dynamicController.enable and self._raw is not None:
            controller = _dynamic(
                settings,
                api,
                self._raw,
                hub,
                self._tracker,
                cluster=cluster,
                permissions=permissions,
                clock=clock,
            )
            self._starter.then(lambda: cluster[NODES].add_handler(controller.node_changed))
            self._running.append(controller)
        if settings.modules.syncController.enable:
            self._running += _sync(api, cluster, self._tracker, hub, self._starter, clock=clock)

    def _make_stream(self) -> CloudStream | None:
        if self._sockets.tunnels is None:
            return None
        stream = _stream(
            self._settings,
            self._api,
            self._pki,
            self._cluster,
            self._sockets,
            hub=self._hub,
            revoked=self._revoked,
            ca=self._kube_ca,
            clock=self._clock,
        )
        self._starter.serve([stream])
        return stream

    def _make_doors(self, core: tuple[Informer, Replicas, Ownership]) -> None:
        """What nodes, the API server and whoever looks after CloudCore connect to."""
        settings, sockets, clock, hub = self._settings, self._sockets, self._clock, self._hub
        if sockets.webhooks is not None:
            self._running += _webhooks(settings, self._api, self._pki, sockets.webhooks, clock)
        door = Door(self._revoked.why, hub.full, clock)
        listeners = _node_listeners(settings, hub, self._pki, sockets, door=door, clock=clock)
        self._starter.serve(listeners)
        if sockets.bootstrap is not None:
            self._starter.serve([self._bootstrap(sockets.bootstrap)])
        leases, replicas, ownership = core
        router = None
        if sockets.router is not None:
            router = _router(
                settings,
                self._api,
                self._cluster,
                hub,
                self._starter,
                sock=sockets.router,
                core=(replicas, ownership),
                ca_key=self._pki.ca.key_der,
                clock=clock,
            )
            self._running += [router, router.counters]
        state = State(
            hub,
            self._tracker,
            replicas,
            ownership,
            informers=[*self._cluster, leases],
            serving=lambda: all(listener.listening.is_set() for listener in listeners),
        )
        if self._stream is not None:
            state.others.append(self._stream.families)
        if router is not None:
            state.others.append(router.families)
        self._running.append(Monitor(sockets.monitor, state.checks, state.families))

    def _bootstrap(self, sock: socket.socket) -> BootstrapServer:
        return BootstrapServer(
            self._api,
            self._pki.ca,
            sock,
            server_context(self._pki, client_certificate=ssl.CERT_OPTIONAL, expired_too=True),
            certificate_days=self._settings.modules.cloudHub.edgeCertSigningDuration,
            on_enrolled=self._tracker.distrust,
            revoked=self._revoked.why,
            namespace=self._settings.edgelab.namespace,
            clock=self._clock,
        )


def _ownership(
    settings: CloudCore, api: KubeApi, cluster: Cluster, hub: CloudHub, starter: Starter, *, clock: Clock
) -> tuple[Informer, Replicas, Ownership]:
    """What several CloudCores on one cluster need to share its nodes."""
    namespace = settings.edgelab.namespace
    leases = Informer(api, LEASES, namespace, label_selector=LABEL, transform=trimmed, clock=clock)
    replicas = Replicas(api, hub.complaints, namespace=namespace, me=replica_id(settings), clock=clock)
    ownership = Ownership(api, hub, replicas, namespace=namespace, clock=clock)
    hub.elsewhere = ownership.elsewhere
    hub.on_connect.append(ownership.claim)
    starter.await_synced(leases)
    starter.then(lambda: replicas.follow(leases))
    starter.then(lambda: ownership.follow(leases, cluster[NODES]))
    return leases, replicas, ownership


def _edge(
    settings: CloudCore, api: KubeApi, cluster: Cluster, hub: CloudHub, starter: Starter, *, clock: Clock
) -> tuple[list[Module], Permissions, NodeWrites]:
    from edgelab.cloudcore.edgecontroller.downstream import Downstream  # noqa: PLC0415 - only when enabled
    from edgelab.cloudcore.edgecontroller.permissions import Permissions  # noqa: PLC0415 - only when enabled
    from edgelab.cloudcore.edgecontroller.queries import Queries  # noqa: PLC0415 - only when enabled
    from edgelab.cloudcore.edgecontroller.references import ReferenceIndex  # noqa: PLC0415 - only when enabled
    from edgelab.cloudcore.edgecontroller.upstream import Upstream  # noqa: PLC0415 - only when enabled

    index = ReferenceIndex()
    downstream = Downstream(cluster, hub, index)
    queries = Queries(api, {kind: cluster[kind] for kind in (CONFIG_MAPS, SECRETS)})
    address = next(iter(settings.modules.cloudHub.advertiseAddress), "")
    permissions = Permissions(index, cluster[PODS])
    upstream = Upstream(api, hub, queries, permissions, cluster[NODES], address=address, clock=clock)
    upstream.requests.on_request = starter.certificate_requested
    annotations: WorkQueue[str] = WorkQueue("edgecontroller/annotations", upstream.annotate, clock=clock)
    hub.handlers[""] = upstream.handle
    hub.on_connect += [upstream.connected, downstream.bring, annotations.add]
    starter.then(downstream.start)
    return [annotations], permissions, upstream.nodes


def _stream(
    settings: CloudCore,
    api: KubeApi,
    pki: Pki,
    cluster: Cluster,
    sockets: Sockets,
    *,
    hub: CloudHub,
    revoked: Revocations,
    ca: bytes | None,
    clock: Clock,
) -> CloudStream:
    from edgelab.cloudcore.cloudstream.start import CloudStream  # noqa: PLC0415 - only when enabled

    assert sockets.tunnels is not None
    stream = CloudStream(
        settings,
        api,
        pki,
        cluster,
        tunnels=sockets.tunnels,
        streams=sockets.streams,
        door=Door(revoked.why, lambda node: None, clock, header=NODE_HEADER),
        complaints=hub.complaints,
        kube_ca=ca,
        clock=clock,
    )
    revoked.changed.append(lambda: stream.sessions.end_revoked(revoked.why))
    revoked.changed.append(lambda: stream.end_revoked(revoked.why))
    return stream


def _dynamic(
    settings: CloudCore,
    api: KubeApi,
    raw: RawApi,
    hub: CloudHub,
    tracker: SyncTracker,
    *,
    cluster: Cluster,
    permissions: Permissions | None,
    clock: Clock,
) -> DynamicController:
    from edgelab.cloudcore.dynamiccontroller.controller import (  # noqa: PLC0415 - only when enabled
        DynamicController,
        view,
    )
    from edgelab.cloudcore.dynamiccontroller.guard import Guard  # noqa: PLC0415 - only when enabled
    from edgelab.cloudcore.dynamiccontroller.topology import Topology  # noqa: PLC0415 - only when enabled
    from edgelab.cloudcore.dynamiccontroller.watches import Watches  # noqa: PLC0415 - only when enabled

    asked = settings.modules.cloudHub.authorization
    enforcing = asked.enable and not asked.debug
    guard = Guard(permissions, settings.edgelab.namespace)
    topology = Topology(api, lambda name: cluster[NODES].store.get(("", name)), clock)
    sees = None if enforcing else guard.sees
    watches = Watches(api, hub, tracker, sees, clock, view=lambda node, obj: view(topology, node, obj))
    controller = DynamicController(raw, hub, watches, guard, topology=topology, enforcing=enforcing)
    hub.handlers["metaserver"] = controller.handle
    hub.on_connect.append(watches.bring)
    return controller


def _policy(api: KubeApi, cluster: Cluster, hub: CloudHub, starter: Starter, *, clock: Clock) -> list[Module]:
    from edgelab.cloudcore.policycontroller.approver import CsrApprover  # noqa: PLC0415 - only when enabled
    from edgelab.cloudcore.policycontroller.controller import (  # noqa: PLC0415 - only when enabled
        PolicyController,
    )

    controller, approver = PolicyController(api, cluster, hub, clock), CsrApprover(api, cluster, clock)
    starter.certificate_requested = approver.vouch
    starter.access_belongs = controller.belongs
    starter.then(controller.start)
    starter.then(approver.start)
    return [controller, approver]


def _jobs(api: KubeApi, cluster: Cluster, hub: CloudHub, starter: Starter, *, clock: Clock) -> Module:
    from edgelab.cloudcore.taskmanager.controller import TaskManager  # noqa: PLC0415 - only when enabled

    tasks = TaskManager(
        api,
        cluster,
        hub,
        elsewhere=hub.elsewhere,
        complain=hub.complaints.tell,
        clock=clock,
    )
    hub.handlers["taskmanager"] = tasks.handle
    hub.on_connect.append(tasks.bring)
    starter.then(tasks.start)
    return tasks


def _applications(
    api: KubeApi, raw: RawApi, cluster: Cluster, starter: Starter, *, clock: Clock
) -> list[Module]:
    from edgelab.cloudcore.controllermanager.edgeapplications import (  # noqa: PLC0415 - only when enabled
        EdgeApplicationController,
    )
    from edgelab.cloudcore.controllermanager.nodegroups import (  # noqa: PLC0415 - only when enabled
        NodeGroupController,
    )

    groups = NodeGroupController(api, cluster, clock)
    applications = EdgeApplicationController(api, raw, cluster, clock)
    starter.then(groups.start)
    starter.then(applications.start)
    return [groups, applications, applications.followers]


def _devices(
    settings: CloudCore, api: KubeApi, cluster: Cluster, hub: CloudHub, starter: Starter, *, clock: Clock
) -> list[Module]:
    from edgelab.cloudcore.devicecontroller.downstream import Downstream  # noqa: PLC0415 - only when enabled
    from edgelab.cloudcore.devicecontroller.upstream import Upstream  # noqa: PLC0415 - only when enabled

    workers = max(4, settings.modules.deviceController.load.updateDeviceStatusWorkers)
    downstream = Downstream(cluster, hub)

    def mine(node: str) -> bool:
        return hub.connected(node) or not hub.elsewhere(node)

    upstream = Upstream(api, cluster, hub, downstream, workers=workers, mine=mine, clock=clock)
    hub.handlers["twin"] = upstream.handle
    hub.on_connect.append(downstream.bring)
    starter.device_gone = downstream.removed
    starter.then(downstream.start)
    starter.then(upstream.start)
    return [upstream, upstream.silence]


def _router(
    settings: CloudCore,
    api: KubeApi,
    cluster: Cluster,
    hub: CloudHub,
    starter: Starter,
    *,
    sock: socket.socket,
    core: tuple[Replicas, Ownership],
    ca_key: bytes,
    clock: Clock,
) -> Router:
    from edgelab.cloudcore.router.neighbours import Neighbours  # noqa: PLC0415 - only when enabled
    from edgelab.cloudcore.router.router import Router  # noqa: PLC0415 - only when enabled

    router = Router(
        settings,
        api,
        hub,
        sock,
        secrets=cluster[SECRETS].store,
        exists=lambda node: ("", node) in cluster[NODES].store,
        neighbours=Neighbours(*core),
        ca_key=ca_key,
        clock=clock,
    )
    hub.handlers["router"] = router.handle
    hub.on_connect.append(router.connected)
    hub.on_disconnect.append(router.disconnected)
    starter.then(lambda: router.follow(cluster[RULES], cluster[RULE_ENDPOINTS]))
    starter.serve([router.listener])
    return router


def _sync(
    api: KubeApi, cluster: Cluster, tracker: SyncTracker, hub: CloudHub, starter: Starter, *, clock: Clock
) -> list[Module]:
    from edgelab.cloudcore.synccontroller.controller import SyncController  # noqa: PLC0415 - only when enabled
    from edgelab.cloudcore.synccontroller.kinds import Kinds  # noqa: PLC0415 - only when enabled

    kinds = Kinds(api, cluster, clock)
    controller = SyncController(tracker, kinds, cluster[NODES], hub, lambda: hub.sessions, clock=clock)
    controller.device_gone = starter.device_gone
    controller.access_belongs = starter.access_belongs
    hub.on_connect.append(controller.reconcile)
    starter.then(controller.start)
    return [kinds, controller]


def _webhooks(settings: CloudCore, api: KubeApi, pki: Pki, sock: socket.socket, clock: Clock) -> list[Module]:
    """Served from the start: objects of the old layout cannot be listed without."""
    from edgelab.cloudcore.webhooks.start import modules  # noqa: PLC0415 - only when enabled

    return modules(settings, api, pki, sock, clock)


def _node_listeners(
    settings: CloudCore, hub: CloudHub, pki: Pki, sockets: Sockets, *, door: Door, clock: Clock
) -> list[NodeListener | QuicListener]:
    own = settings.modules.cloudHub
    reception = Reception(
        hub,
        door,
        keepalive_seconds=own.keepaliveInterval,
        write_seconds=own.writeTimeout,
        window=settings.edgelab.window,
        clock=clock,
    )
    listeners: list[NodeListener | QuicListener] = []
    if sockets.nodes is not None:
        tls = server_context(pki, client_certificate=ssl.CERT_REQUIRED)
        listeners.append(NodeListener(reception, sockets.nodes, tls))
    if sockets.quic is not None:
        from edgelab.cloudcore.cloudhub.quic import QuicListener  # noqa: PLC0415 - only when enabled

        listeners.append(QuicListener(reception, sockets.quic, pki, most=own.quic.maxIncomingStreams))
    return listeners
