"""TaskManager: carries out the jobs that CloudCore gives this node, one after the other.

Receives: the first action of a job (group `taskmanager`) from EdgeHub; confirmations through MetaServer.
Sends: one report for each action, in order, kept until it is sent. Stores: the job that runs
(`record.py`), so that it goes on when EdgeCore was restarted by it, or the machine went down. Without the
cloud a job goes on; its reports wait. A job that is here already is not begun again; of more than
MOST_WAITING the next ones are refused. Facts: KubeEdge `edge/pkg/taskmanager`
(docs/reference/node-jobs.md).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.edgecore.interfaces import Hub, Offline
from edgelab.edgecore.taskmanager.actions import ActionFailed, Actions
from edgelab.edgecore.taskmanager.record import Record, Records
from edgelab.objects.nodejobs.flows import CONFIRMATION, FLOWS, following
from edgelab.protocol import message as wire
from edgelab.protocol import nodejobs
from edgelab.protocol.content.jobs import ActionStatus
from edgelab.protocol.message import Message

log = logging.getLogger(__name__)

MOST_WAITING = 16
REPORT_SOURCE, REPORT_GROUP = "websocket", "hub"


class TaskManager:
    """A module."""

    name = "taskmanager"

    def __init__(self, records: Records, actions: Actions, hub: Hub, clock: Clock, node: str) -> None:
        self._records = records
        self._actions = actions
        self._hub = hub
        self._clock = clock
        self._node = node
        self._jobs: dict[str, Record] = {record.resource: record for record in records.all()}
        self._news = asyncio.Event()
        hub.on_connection(lambda connected: self._news.set())

    async def receive(self, message: Message) -> None:
        """A job from the cloud."""
        resource, action = message.route.resource, message.route.operation
        job = nodejobs.parse(resource)
        if job is None or job.node != self._node or action not in FLOWS.get(job.type, {}):
            log.warning("the cloud asks for %r of %r, which is no job for this node", action, resource)
            return
        if resource in self._jobs:
            log.info("%s %s runs already", job.type, job.job)
            return
        record = Record(resource, _spec(message), action)
        if len(self._jobs) >= MOST_WAITING:
            await self._refuse(record, f"{MOST_WAITING} jobs are here already")
            return
        await self._records.save(record)
        self._jobs[resource] = record
        log.info("%s %s: begins with %s", job.type, job.job, action)
        self._news.set()

    def confirm(self) -> int:
        """Let the jobs go on that wait for somebody who agrees; how many there were."""
        waiting = [record for record in self._jobs.values() if record.waits]
        for record in waiting:
            record.waits = False
        self._news.set()
        return len(waiting)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._news.clear()
            for record in list(self._jobs.values()):
                await self._carry_out(record)
            await self._news.wait()

    async def _carry_out(self, record: Record) -> None:
        """Do what can be done of a job now."""
        await self._report(record)
        while record.action and not record.waits:
            await self._act(record)
            await self._report(record)
        if not record.action and not record.reports:
            del self._jobs[record.resource]
            await self._records.drop(record)

    async def _act(self, record: Record) -> None:
        job, action = nodejobs.parse(record.resource), record.action
        assert job is not None
        await self._records.save(record)
        reason, extend = "", ""
        try:
            extend = await self._actions.run(record)
        except ActionFailed as failure:
            reason, extend = str(failure), failure.extend
            log.warning("%s %s: %s failed: %s", job.type, job.job, action, reason)
        except Exception as error:  # a defect must not cost the node its pods
            reason = repr(error)
            log.exception("%s %s: %s failed", job.type, job.job, action)
        else:
            log.info("%s %s: %s is done", job.type, job.job, action)
        now = rfc3339(self._clock.now())
        record.reports.append(ActionStatus(action, not reason, now, reason, extend))
        record.action = following(job.type, action, succeeded=not reason) or ""
        record.waits = action == CONFIRMATION and bool(record.spec.get("requireConfirmation"))
        record.started = False
        await self._records.save(record)

    async def _report(self, record: Record) -> None:
        """Send what is not sent yet; what is left waits for the connection."""
        while record.reports:
            try:
                await self._hub.send(_message(record.resource, record.reports[0]))
            except Offline:
                return
            del record.reports[0]
        await self._records.save(record)

    async def _refuse(self, record: Record, reason: str) -> None:
        report = ActionStatus(record.action, False, rfc3339(self._clock.now()), reason, "")
        try:
            await self._hub.send(_message(record.resource, report))
        except Offline:
            return


def _spec(message: Message) -> dict[str, Any]:
    try:
        spec = message.object()
    except msgspec.DecodeError:
        return {}
    return spec if isinstance(spec, dict) else {}


def _message(resource: str, report: ActionStatus) -> Message:
    return wire.new(
        source=REPORT_SOURCE,
        group=REPORT_GROUP,
        operation=nodejobs.REPORT,
        resource=resource,
        content=report,
    )
