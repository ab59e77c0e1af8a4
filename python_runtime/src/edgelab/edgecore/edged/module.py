"""edged: the module that turns stored pods into running containers and tells the cloud how they are.

Receives: pods, ConfigMaps, secrets and the Node from MetaManager (`PodConsumer`). Sends: the Node, its
status and lease, pod statuses and deletions through MetaManager; calls to the container runtime.
Stores: files of volumes below rootDirectory; everything else is read back from the runtime's labels,
so containers outlive a restart of EdgeCore untouched. Without the cloud pods run on and restart;
when the runtime goes away the node reports NotReady with the reason and edged tries again each second;
at the start a missing runtime ends the process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelab.cri.choice import connect
from edgelab.daemon.clock import Clock
from edgelab.daemon.tasks import Supervisor
from edgelab.edgecore.edged import admission, builder, holding, names, state
from edgelab.edgecore.edged.admission import NodeFacts, Refusal
from edgelab.edgecore.edged.duties import Duties
from edgelab.edgecore.edged.ending import end_containers
from edgelab.edgecore.edged.events import Recorder
from edgelab.edgecore.edged.files import FilePods
from edgelab.edgecore.edged.hooks import Hand
from edgelab.edgecore.edged.images import Images, PullRate
from edgelab.edgecore.edged.kit import Kit
from edgelab.edgecore.edged.logs import LogRotation
from edgelab.edgecore.edged.mirrors import is_mirror
from edgelab.edgecore.edged.node import NodeView
from edgelab.edgecore.edged.orphans import Orphans
from edgelab.edgecore.edged.pleg import Pleg
from edgelab.edgecore.edged.population import Population
from edgelab.edgecore.edged.probes import Prober
from edgelab.edgecore.edged.registration import NodeReporter
from edgelab.edgecore.edged.reports import Reports
from edgelab.edgecore.edged.restarts import Backoff
from edgelab.edgecore.edged.runtimewatch import RuntimeWatch
from edgelab.edgecore.edged.server import ReadOnlyServer
from edgelab.edgecore.edged.staticpods import is_static
from edgelab.edgecore.edged.volumes import Volumes
from edgelab.edgecore.edged.worker import PodWorker
from edgelab.edgecore.interfaces import Meta
from edgelab.objects import quantity
from edgelab.settings.durations import seconds
from edgelab.settings.edgecore import Edged as Settings

if TYPE_CHECKING:
    from edgelab.edgecore.edged.streams.routes import Streams

log = logging.getLogger(__name__)
Obj = dict[str, Any]

STALE = 180.0
"""Seconds without a listing of the runtime after which edged calls itself unhealthy (kubelet: 3 min)."""


class Edged:
    """The module; `interfaces.PodConsumer` for MetaManager.

    `api_server`: `host:port` at which pods find MetaServer; empty when it does not run.
    """

    name = "edged"

    def __init__(
        self,
        settings: Settings,
        meta: Meta,
        node_name: str,
        clock: Clock,
        *,
        database_dir: Path,
        api_server: str = "",
        runtime_type: str = "",
    ) -> None:
        config = settings.tailoredKubeletConfig
        self._meta = meta
        self._clock = clock
        self._node = node_name
        host, _, port = api_server.rpartition(":")
        self._api_server = (host, port) if host else None
        self._unsafe_sysctls = config.allowedUnsafeSysctls
        self._database_dir = database_dir
        self._runtime = connect(
            config.containerRuntimeEndpoint,
            config.image_endpoint,
            kind=runtime_type,
            pause=settings.podSandboxImage,
            log_size=quantity.whole(config.containerLogMaxSize),
            log_files=config.containerLogMaxFiles,
            deadline=seconds(config.runtimeRequestTimeout),
        )
        self._tasks = Supervisor("edged")
        self._started = self._online = False
        self._reading = True
        self.begun = asyncio.Event()
        self._pleg = Pleg(self._runtime, clock, self._notice)
        self._view = NodeView(settings, node_name, clock)
        self._reporter = NodeReporter(settings, self._view, meta, clock, self._problem)
        self._watch = RuntimeWatch(self._runtime, clock, self._reporter.changed)
        self._view.runtime = lambda: self._watch.version
        self._events = Recorder(meta, clock, node_name, enabled=settings.reportEvent)
        self._kit = self._make_kit(settings)
        self._population = Population(self._kit.reports)
        self._workers = self._population.workers
        self._orphans = Orphans(
            self._kit, self._pleg, self._workers, lambda: meta.node(node_name) is not None
        )
        self._duties = Duties(
            settings,
            self._population,
            runtime=self._runtime,
            clock=clock,
            node=self._kit.node,
            events=self._events,
            view=self._view,
            online=lambda: self._online,
            changed=self._reporter.changed,
        )
        self._view.pressing, self._view.images = self._duties.conditions, self._duties.images_shown
        self.server = ReadOnlyServer(config.address, config.readOnlyPort, self._pods_shown, self._health)
        self._files = FilePods(
            config,
            node_name,
            meta=meta,
            clock=clock,
            reports=self._kit.reports,
            changed=self.pod_changed,
            removed=self._remove_static,
        )
        self._serves = config.readOnlyPort != 0
        self._logs = LogRotation(
            self._runtime,
            clock,
            Path(config.podLogsDir),
            limit=quantity.whole(config.containerLogMaxSize),
            files=config.containerLogMaxFiles,
            period=seconds(config.containerLogMonitorInterval),
        )

    def _make_kit(self, settings: Settings) -> Kit:
        config, clock, meta = settings.tailoredKubeletConfig, self._clock, self._meta
        root = Path(settings.rootDirectory)
        parallel = 1 if config.serializeImagePulls else config.maxParallelImagePulls or 4
        return Kit(
            runtime=self._runtime,
            meta=meta,
            clock=clock,
            node=builder.node_settings(
                settings, self._node, memory=self._view.machine.memory, api_server=self._api_server
            ),
            volumes=Volumes(root, meta),
            images=Images(
                self._runtime,
                meta,
                clock,
                parallel=parallel,
                events=self._events,
                rate=PullRate(config.registryPullQPS, config.registryBurst, clock),
            ),
            prober=Prober(self._runtime, clock, self._events, self._notice),
            reports=Reports(meta, clock),
            events=self._events,
            crashes=Backoff(clock),
            host_ip=self._view.address,
            allocatable=self._view.allocatable(),
            resync=max(1.0, seconds(config.syncFrequency)),
            runtime_name=lambda: self._watch.name,
            admit=self._admit,
        )

    # PodConsumer

    def pod_changed(self, pod: Obj) -> None:
        """A pod was stored or changed."""
        if is_mirror(pod):
            self._files.mirrors.seen(pod)
            return
        if not self._started:
            return  # run() reads all pods from the store
        spec_node = (pod.get("spec") or {}).get("nodeName")
        if spec_node not in (None, "", self._node) or not names.uid(pod):
            return
        worker = self._workers.get(names.uid(pod))
        if worker is not None:
            worker.update(pod)
        elif (pod.get("spec") or {}).get("containers"):
            older = self._population.displace(pod)
            worker = self._workers[names.uid(pod)] = PodWorker(self._kit, pod)
            if not self._reading and (refusal := self._duties.refusal(pod)):
                worker.fail(refusal)
            worker.held = not self._reading and holding.is_asked_for(pod)
            self._tasks.spawn(self._work(worker, older), f"pod/{names.key(pod)}")

    def pod_removed(self, namespace: str, name: str, uid: str) -> None:
        """A pod is gone from the API; an empty uid means whatever carries the name."""
        if self._files.mirrors.gone(namespace, name, uid):
            return
        for worker in self._population.meant(namespace, name, uid):
            worker.remove()

    def release(self, namespace: str = "", name: str = "") -> int:
        """Start the held pod of that name, or with no name all of them; gives how many there were."""
        return self._population.release(namespace, name)

    def config_changed(self, kind: str, namespace: str, name: str) -> None:
        """A `configmap` or `secret` changed: the pods that use it look again."""
        for worker in self._population.users(kind, namespace, name):
            worker.wake()

    def node_changed(self, node: Obj) -> None:
        """The stored Node changed; NodeReporter reads it from the store."""

    async def restart_pod(self, namespace: str, name: str) -> None:
        """Stop a pod's containers as its deletion would; they start again by its restart policy.

        Raises LookupError when no such pod is here, ValueError when its containers would not come back,
        RuntimeUnreachable and CriError in an exception group.
        """
        for worker in self._workers.values():
            metadata = worker.pod["metadata"]
            if (metadata.get("namespace"), metadata["name"]) == (namespace, name) and not worker.ending:
                if worker.pod["spec"].get("restartPolicy") == "Never":
                    raise ValueError("its restartPolicy is Never, so its containers would stay down")
                found = await state.read_pod(self._runtime, worker.uid)
                grace = int(worker.pod["spec"].get("terminationGracePeriodSeconds") or 30)
                hand = Hand(self._runtime, self._clock, self._events)
                await end_containers(hand, worker.pod, found.running(), grace)
                return
        raise LookupError(f"{namespace}/{name}")

    async def pull_image(self, image: str, secret: str) -> None:
        """Have an image here before a pod asks for it. Raises PullFailed."""
        await self._kit.images.fetch(image, secret)

    def connection_changed(self, connected: bool) -> None:
        """The cloud came or went (`Hub.on_connection`)."""
        self._online = connected
        if connected:
            self._reporter.connected()
            self._files.mirrors.look()
            self._kit.reports.connected()
            self._events.connected()
            for worker in self._workers.values():
                if worker.ending:
                    worker.wake()

    # The store

    def watch_store(self, condition: Callable[[], tuple[str, str]], *, restored: bool) -> None:
        """Show the store's `condition` on the Node; pods that were `restored` may be gone from the API."""
        self._view.store_problem = condition
        if restored:
            self._kit.reports.gone = self._gone

    def store_changed(self) -> None:
        """The store's condition is another."""
        reason, text = self._view.store_problem()
        if reason:
            self._duties.warn_node(f"Store{reason}", text)
        self._reporter.changed()

    def warn(self, reason: str, message: str) -> None:
        """Record an event about the node."""
        self._duties.warn_node(reason, message)

    def _gone(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is None or is_static(worker.pod):
            return
        log.info("pod %s came out of an older copy of the store and is gone: ended", names.key(worker.pod))
        metadata = worker.pod["metadata"]
        worker.remove()
        forgetting = self._meta.forget_pod(metadata["namespace"], metadata["name"], uid)
        self._tasks.spawn(forgetting, f"forget/{uid}")

    def _remove_static(self, pod: Obj) -> None:
        if (worker := self._workers.get(names.uid(pod))) is not None:
            worker.remove()

    # Module

    async def run(self) -> None:
        """Adopt what runs, then work until cancelled. Containers are left as they are. Raises Fatal."""
        try:
            await self._watch.greet()
            self._kit.node.cgroup_driver = await self._watch.driver(self._kit.node.cgroup_driver)
            async with asyncio.TaskGroup() as group:
                if self._serves:
                    group.create_task(self.server.run(), name="edged/server")
                await self._pleg.relist()
                self._started = True
                if self._view.store_problem()[0]:
                    self.store_changed()
                for pod in self._meta.pods():
                    self.pod_changed(pod)
                self._files.look()
                self._reading = False
                group.create_task(self._pleg.run(), name="edged/pleg")
                group.create_task(self._kit.reports.run(), name="edged/pod-statuses")
                group.create_task(self._events.run(), name="edged/events")
                group.create_task(self._reporter.run(), name="edged/node")
                group.create_task(self._watch.run(), name="edged/runtime")
                group.create_task(self._orphans.run(), name="edged/orphans")
                group.create_task(self._logs.run(), name="edged/logs")
                group.create_task(self._duties.run(), name="edged/duties")
                group.create_task(self._files.run(), name="edged/files")
                if self._serves:
                    await self.server.listening.wait()
                self.begun.set()
        finally:
            await self._tasks.close()
            await self._kit.prober.close()
            self._runtime.close()

    async def _work(self, worker: PodWorker, older: list[PodWorker]) -> None:
        for other in older:  # they have the same name, so their files and volumes may be the same too
            await other.gone.wait()
        try:
            await worker.run()
        finally:
            worker.gone.set()
        if self._workers.get(worker.uid) is worker:
            del self._workers[worker.uid]

    def _admit(self, pod: Obj) -> Refusal | None:
        """Whether this node takes a pod beside those that it has."""
        node = self._meta.node(self._node)
        facts = NodeFacts(
            name=self._node,
            allocatable=self._kit.allocatable,
            labels=None if node is None else node["metadata"].get("labels") or {},
            taints=() if node is None else (node.get("spec") or {}).get("taints") or (),
            unsafe_sysctls=self._unsafe_sysctls,
        )
        return admission.check(pod, self._population.admitted(), facts)

    def _problem(self) -> str:
        return self._duties.shutdown.problem or self._watch.problem

    def _notice(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.notice()

    # EdgeStream

    def streams(self) -> Streams:
        """Logs, commands and ports of the pods of this node, for the tunnel."""
        from edgelab.edgecore.edged.streams.pages import Pages  # noqa: PLC0415 - only with EdgeStream
        from edgelab.edgecore.edged.streams.routes import Streams  # noqa: PLC0415 - only with EdgeStream

        root = self._kit.node.root
        pages = Pages(self._runtime, self._pods_shown, self._clock, node=self._node, root=root)
        find, tasks = self._population.find, self._tasks
        return Streams(self._runtime, find, self._clock, self.begun, pages, tasks=tasks)

    @property
    def address(self) -> str:
        """The node's own address."""
        return self._view.address

    # Read-only server

    def _pods_shown(self) -> list[Obj]:
        reports = self._kit.reports
        return [{**worker.pod, "status": reports.last(worker.pod)} for worker in self._workers.values()]

    def _health(self) -> str:
        listed = self._pleg.listed_at
        if listed is None or self._clock.monotonic() - listed > STALE:
            return self._pleg.problem or "the container runtime has not been listed for three minutes"
        return ""
