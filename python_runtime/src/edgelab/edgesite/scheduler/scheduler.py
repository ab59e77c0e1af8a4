"""The scheduler: one pod after the other, the most important first, onto the best node that fits.

Receives pods and nodes. Writes bindings, the condition PodScheduled of pods that fit nowhere, the
node on which room is made for them, and events. A pod that fits nowhere waits, at no cost, until
something changes that may help it. Pods that have a node are never moved; they are only removed
for more important ones. When the API is gone it waits with what it knows.
"""

from __future__ import annotations

import asyncio
import logging

from edgelab.daemon.errors import Unreachable
from edgelab.daemon.tasks import Supervisor
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.scheduler.binding import Binder
from edgelab.edgesite.scheduler.cycle import Cycle
from edgelab.edgesite.scheduler.events import FAILED, EventRecorder
from edgelab.edgesite.scheduler.evictions import Evictions
from edgelab.edgesite.scheduler.ledger import Ledger
from edgelab.edgesite.scheduler.lookup import Lookup
from edgelab.edgesite.scheduler.outcome import ERROR, UNSCHEDULABLE, Outcomes
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.preemption import Candidate, preempt
from edgelab.edgesite.scheduler.queue import Queue, Queued
from edgelab.edgesite.scheduler.verdict import NO_NODES, SchedulerError
from edgelab.edgesite.scheduler.watching import Watcher
from edgelab.kube.interface import Obj
from edgelab.kube.resources import NODES, PODS
from edgelab.objects.metadata import is_deleting
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.edgesite.scheduler")

NAME = "default-scheduler"
CLAIMS_UNTOUCHED = "no new claims to deallocate"
"""What the plugin DynamicResources adds for pods without resource claims."""
NO_STATE = "not found"
"""What it adds when the decision ended before it had its turn."""
FLUSH_SECONDS = 30.0


class Scheduler:
    """A module."""

    name = NAME

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pods = cluster.view(PODS)
        self._nodes = cluster.view(NODES)
        self._lookup = Lookup(cluster)
        self._ledger = Ledger()
        self._queue = Queue(cluster.clock)
        self._events = EventRecorder(cluster.api, cluster.clock, NAME)
        self._outcomes = Outcomes(cluster, self._pods, NAME)
        self._evictions = Evictions(cluster, self._pods, self._events)
        self._watcher = Watcher(NAME, self._queue, self._ledger, self._lookup)
        self._binder = Binder(cluster, self._lookup, self._events, self._binding_failed)
        self._tasks = Supervisor(NAME)
        self._start = 0
        self._pods.add_handler(self._watcher.on_pod)
        self._nodes.add_handler(self._watcher.on_node)

    async def run(self) -> None:
        """Bind pods."""
        for view in (self._pods, self._nodes, *self._lookup.views.values()):
            await view.wait_synced()
        try:
            async with asyncio.TaskGroup() as group:
                for part in (self._events, self._outcomes):
                    group.create_task(part.run(), name=part.name)
                group.create_task(self._flush(), name=f"{NAME}/flush")
                group.create_task(self._work(), name=f"{NAME}/queue")
        finally:
            await self._tasks.close()
            await self._binder.close()

    async def _work(self) -> None:
        while True:
            await self._binder.ready()
            item = await self._queue.take()
            try:
                self._attempt(item)
            except Exception:  # a defect met by one pod must not stop the work on all others
                log.exception("%s/%s failed unexpectedly; this is a defect", *item.key)
                self._queue.failed(item)
            await asyncio.sleep(0)  # everybody else's turn

    async def _flush(self) -> None:
        while True:
            await self._cluster.clock.sleep(FLUSH_SECONDS)
            self._queue.flush()

    def _attempt(self, item: Queued) -> None:
        pod = item.pod
        if is_deleting(pod):
            self._queue.remove(item.key)
            note = f"skip schedule deleting pod: {item.key[0]}/{item.key[1]}"
            self._events.record(FAILED, pod, note)
            return
        info = PodInfo(pod)
        cycle = Cycle(info, self._ledger, self._lookup, self._start)
        if not cycle.nodes:
            self._refuse(item, UNSCHEDULABLE, NO_NODES, nominated="")
            return
        try:
            found = cycle.run()
        except SchedulerError as error:
            self._fail(item, str(error))
            return
        self._start = (self._start + cycle.examined) % len(cycle.nodes)
        if not found:
            self._refused(item, cycle)
            return
        node = cycle.best(found).name
        self._queue.remove(item.key)
        self._ledger.nominate(info, "")
        self._ledger.put(info, node)
        self._watcher.assumed.add(info.uid)
        self._binder.bind(pod, node, cycle.volumes_on(node))

    def _refused(self, item: Queued, cycle: Cycle) -> None:
        diagnosis = cycle.diagnosis
        self._queue.refused(item, frozenset(diagnosis.plugins))
        answer = preempt(cycle, self._cluster.clock.now()) if not diagnosis.before else None
        if answer is None:
            self._tell(item, UNSCHEDULABLE, diagnosis.message(NO_STATE), nominated=None)
            return
        if answer.candidate is None:
            after = f"{CLAIMS_UNTOUCHED}, {answer.message}"
            nominated = "" if answer.is_void else None
            self._tell(item, UNSCHEDULABLE, diagnosis.message(after), nominated)
            return
        self._tell(item, UNSCHEDULABLE, diagnosis.message(), answer.candidate.node)
        self._make_room(item, cycle.pod, answer.candidate)

    def _refuse(self, item: Queued, reason: str, message: str, nominated: str | None) -> None:
        self._queue.refused(item, frozenset())
        self._tell(item, reason, message, nominated)

    def _fail(self, item: Queued, message: str) -> None:
        self._queue.failed(item)
        self._tell(item, ERROR, message, nominated="")

    def _tell(self, item: Queued, reason: str, message: str, nominated: str | None) -> None:
        if nominated is not None:
            self._ledger.nominate(PodInfo(item.pod), nominated)
        self._outcomes.refused(item.pod, reason, message, nominated)
        self._events.record(FAILED, item.pod, message)

    def _make_room(self, item: Queued, pod: PodInfo, candidate: Candidate) -> None:
        for other in self._ledger.nominated(candidate.node):
            if other.priority < pod.priority:
                self._ledger.nominate(other, "")
                self._outcomes.nominate(other.obj, "")
        self._watcher.preempting.add(pod.uid)
        self._tasks.spawn(self._evict(item, pod, candidate), f"preempt/{pod.namespace}/{pod.name}")

    async def _evict(self, item: Queued, pod: PodInfo, candidate: Candidate) -> None:
        failed = False
        try:
            await self._evictions.evict(pod.obj, candidate)
        except (ApiError, Unreachable) as error:
            log.warning("%s/%s: no room could be made on %s: %s", *item.key, candidate.node, error)
            failed = True
        finally:
            self._watcher.preempting.discard(pod.uid)
        if failed:
            self._queue.failed_later(item)
        elif any(self._ledger.place(victim.uid) is None for victim in candidate.victims):
            self._queue.retry(item)

    def _binding_failed(self, pod: Obj, message: str) -> None:
        """Take the pod off its node again and, if it still has none, try it again later."""
        metadata = pod["metadata"]
        current = self._pods.get(metadata["name"], metadata["namespace"])
        if current is not None and current["metadata"]["uid"] == metadata["uid"]:
            if current["spec"].get("nodeName"):
                return
            self._watcher.forget(pod)
            self._queue.add(current)
            item = self._queue.update(current)
            assert item is not None
            self._fail(item, message)
        else:
            self._watcher.forget(pod)
