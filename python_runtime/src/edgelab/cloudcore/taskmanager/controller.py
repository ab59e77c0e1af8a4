"""TaskManager: NodeUpgradeJobs, ImagePrePullJobs and ConfigUpdateJobs, from their start to their end.

Receives: jobs and Nodes from informers, reports of nodes through CloudHub. Sends: the first action to
each node whose turn it is; the node goes on by itself and reports each action. Writes: the status of
jobs, conditional on its version: several CloudCores share a job, each for the nodes that it has. A status
is written before what follows from it is sent. Stores: what nodes reported until it is written, and when
each was last heard of. When a node is away it waits for its turn; one that says nothing for
`timeoutSeconds` is Unknown. When it comes back and has said nothing of a job yet, it is told again.
Without the API jobs are worked on again with growing delays. Facts: KubeEdge `cloud/pkg/taskmanager`,
`cloud/pkg/controllermanager/nodetask` (docs/reference/node-jobs.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import msgspec

from edgelab.cloudcore.cluster import Cluster
from edgelab.cloudcore.interfaces import Courier
from edgelab.cloudcore.workqueue import WorkQueue
from edgelab.daemon.clock import SYSTEM, Clock, rfc3339
from edgelab.kube.interface import KubeApi, Obj, Resource
from edgelab.kube.resources import CONFIG_UPDATE_JOBS, IMAGE_PRE_PULL_JOBS, NODE_UPGRADE_JOBS, NODES
from edgelab.objects.metadata import is_deleting
from edgelab.objects.nodejobs import progress
from edgelab.objects.nodejobs.flows import CHECK, CONFIG, FLOWS, PREPULL, UPGRADE
from edgelab.objects.status import ApiError
from edgelab.protocol import message as wire
from edgelab.protocol import nodejobs
from edgelab.protocol.message import Message
from edgelab.protocol.nodejobs import JobResource

log = logging.getLogger("edgelab.cloudcore.taskmanager")

KINDS = {UPGRADE: NODE_UPGRADE_JOBS, PREPULL: IMAGE_PRE_PULL_JOBS, CONFIG: CONFIG_UPDATE_JOBS}
SWEEP_SECONDS = 5.0
NOT_CONNECTED = "the node is not connected to CloudCore"
COMPLAINT = "JobReportNotTaken"


class _Job(NamedTuple):
    type: str
    name: str


class TaskManager:
    """A module. Call `start` once the informers have listed everything."""

    name = "taskmanager"

    def __init__(
        self,
        api: KubeApi,
        cluster: Cluster,
        courier: Courier,
        *,
        elsewhere: Callable[[str], bool] = lambda node: False,
        complain: Callable[[str, str, str], object] = lambda node, reason, text: None,
        clock: Clock = SYSTEM,
    ) -> None:
        self._api = api
        self._nodes = cluster[NODES]
        self._informers = {job: cluster[kind] for job, kind in KINDS.items()}
        self._courier = courier
        self._elsewhere = elsewhere
        self._complain = complain
        self._clock = clock
        self._reports: dict[_Job, dict[tuple[str, str], Obj]] = {}
        self._heard: dict[tuple[_Job, str], float] = {}
        self._queue: WorkQueue[_Job] = WorkQueue(self.name, self._settle, clock=clock)

    def start(self) -> None:
        """Follow the informers; what is there already is looked at first."""
        for job, informer in self._informers.items():
            informer.add_handler(partial(self._changed, job))

    def _changed(self, job: str, _event: str, _old: Obj | None, obj: Obj) -> None:
        self._queue.add(_Job(job, obj["metadata"]["name"]))

    async def run(self) -> None:
        """Work, and look now and then at jobs whose time may be over, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run(), name=f"{self.name}/queue")
            group.create_task(self._sweep(), name=f"{self.name}/sweep")

    def bring(self, node: str) -> None:
        """The node is connected: it may be its turn, or what it was told was lost."""
        for job, obj in self._unfinished():
            if progress.unheard(obj, node):
                self._send(job, node, obj)
            elif node in progress.pending(obj):
                self._queue.add(job)

    async def handle(self, node: str, message: Message) -> None:
        """A report of a node."""
        resource = nodejobs.parse(message.route.resource)
        if resource is None or resource.node != node or resource.type not in FLOWS:
            self._complain(
                node, COMPLAINT, f"it reports of {message.route.resource!r}, which is no job of its own"
            )
            return
        job = _Job(resource.type, resource.job)
        if ("", job.name) not in self._informers[job.type].store:
            self._complain(node, COMPLAINT, f"it reports of {job.type} {job.name!r}, which there is not")
            return
        try:
            report = message.object()
            action = str(report["action"])
            FLOWS[job.type][action]
        except (msgspec.DecodeError, KeyError, TypeError):
            self._complain(node, COMPLAINT, f"what it reports of {job.type} {job.name!r} cannot be read")
            return
        log.info("%s %s: %s %s%s", job.type, job.name, node, action, "" if report.get("succ") else " failed")
        self._reports.setdefault(job, {})[node, action] = report
        self._heard[job, node] = self._clock.monotonic()
        self._queue.add(job)

    def _unfinished(self) -> list[tuple[_Job, Obj]]:
        return [
            (_Job(job, name), obj)
            for job, informer in self._informers.items()
            for (_, name), obj in informer.store.items()
            if not progress.is_over(obj.get("status") or {})
        ]

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            for job, _ in self._unfinished():
                self._queue.add(job)

    async def _settle(self, job: _Job) -> None:
        """Bring a job one step on."""
        obj = await self._job(job)
        if obj is None:
            return
        if is_deleting(obj):
            await self._let_go(job, obj)
            return
        before = obj.get("status") or {}
        if not before.get("phase"):
            status = progress.begun(job.type, obj, self._nodes.store.values())
            await self._write(job, obj, progress.summed_up(job.type, obj, status))
            return
        taken = dict(self._reports.get(job) or {})
        obj = {**obj, "status": self._with_reports(job, before, taken)}
        obj = {**obj, "status": self._with_time(job, obj)}
        turn = progress.due(job.type, obj, self._courier.connected)
        for node in turn:
            obj = {**obj, "status": progress.sent(obj["status"], node)}
        status = progress.summed_up(job.type, obj, obj["status"])
        if status != before:
            await self._write(job, obj, status)
        for key, report in taken.items():
            self._forget(job, key, report)
        for node in turn:
            self._send(job, node, obj)

    async def _job(self, job: _Job) -> Obj | None:
        """The job as it is now; None (and nothing kept of it) when it is gone."""
        try:
            return await self._api.get(KINDS[job.type], job.name)
        except ApiError as error:
            if error.code != 404:
                raise
        self._reports.pop(job, None)
        for key in [key for key in self._heard if key[0] == job]:
            del self._heard[key]
        return None

    def _with_reports(self, job: _Job, status: Obj, reports: dict[tuple[str, str], Obj]) -> Obj:
        now = rfc3339(self._clock.now())
        for (node, _), report in reports.items():
            status = progress.reported(job.type, status, node, report, now) or status
        return status

    def _with_time(self, job: _Job, obj: Obj) -> Obj:
        """The status with those given up that took too long, or did not come for so long."""
        status: Obj = obj["status"]
        limit, now = progress.seconds(job.type, obj), self._clock.monotonic()
        away = [node for node in progress.pending(obj) if not self._reachable(node)]
        for node in (*progress.unfinished(obj), *away):
            if now - self._heard.setdefault((job, node), now) > limit:
                reason = NOT_CONNECTED if node in away else progress.TIMED_OUT
                status = progress.expired(status, node, reason)
        return status

    def _reachable(self, node: str) -> bool:
        return self._courier.connected(node) or self._elsewhere(node)

    def _send(self, job: _Job, node: str, obj: Obj) -> None:
        self._heard[job, node] = self._clock.monotonic()
        resource = str(JobResource(job.type, job.name, node))
        message = wire.new(
            source=nodejobs.SOURCE,
            group=nodejobs.GROUP,
            operation=CHECK,
            resource=resource,
            content=obj.get("spec") or {},
        )
        self._courier.send(node, message)
        log.info("%s %s: %s is told to begin", job.type, job.name, node)

    def _forget(self, job: _Job, key: tuple[str, str], report: Obj) -> None:
        waiting = self._reports.get(job, {})
        if waiting.get(key) is report:
            del waiting[key]
        if not waiting:
            self._reports.pop(job, None)

    async def _write(self, job: _Job, obj: Obj, status: Obj) -> None:
        kind: Resource = KINDS[job.type]
        change = {**obj, "status": status}
        await self._api.update(kind, change, subresource="status")
        if progress.is_over(status):
            log.info("%s %s: %s", job.type, job.name, status["phase"])

    async def _let_go(self, job: _Job, obj: Obj) -> None:
        """A job that the original's controller began has its finalizer."""
        finalizers = list(obj["metadata"].get("finalizers") or ())
        rest = [one for one in finalizers if one != f"kubeedge.io/{job.type}-controller"]
        if rest != finalizers:
            change = {"finalizers": rest, "resourceVersion": obj["metadata"]["resourceVersion"]}
            await self._api.patch(KINDS[job.type], job.name, {"metadata": change})
