"""Registers the node, reports its status and renews its lease (kubelet `kubelet_node_status.go`).

Receives: the Node from MetaManager, and whether the cloud is connected. Sends: Node, status patches,
Lease. Stores nothing. Without the cloud it waits; back again it reports at once. A Node that was
deleted meanwhile is registered again, which the original does not do within one process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NoReturn

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock, rfc3339_micro
from edgelab.edgecore.edged.node import ATTACH_DETACH, NodeView
from edgelab.edgecore.interfaces import Meta, NoAnswer, Offline, RemoteError
from edgelab.settings.durations import seconds
from edgelab.settings.edgecore import Edged as Settings

log = logging.getLogger(__name__)
Obj = dict[str, Any]

LEASE_NAMESPACE = "kube-node-lease"
FIRST_RETRY, LAST_RETRY = 0.2, 7.0
"""Seconds between attempts, growing: the kubelet's own."""

AWAY = (Offline, NoAnswer)


class NodeReporter:
    """Everything the cloud learns of the node. `problem()` says why pods cannot run, or nothing."""

    def __init__(
        self, settings: Settings, view: NodeView, meta: Meta, clock: Clock, problem: Callable[[], str]
    ) -> None:
        config = settings.tailoredKubeletConfig
        self._view = view
        self._meta = meta
        self._clock = clock
        self._problem = problem
        self._register_node = config.registerNode
        self._update_period = max(1.0, seconds(config.nodeStatusUpdateFrequency))
        self._report_period = seconds(config.nodeStatusReportFrequency)
        self._lease_seconds = config.nodeLeaseDurationSeconds
        self._registered = asyncio.Event()
        self._lost = asyncio.Event()
        self._kick = asyncio.Event()
        self._lease_kick = asyncio.Event()
        self._sent: Obj | None = None
        self._sent_at = 0.0
        self._lease: Obj | None = None
        self._lease_refused = False

    def connected(self) -> None:
        """The cloud is back: report at once."""
        self._sent = None
        self._kick.set()
        self._lease_kick.set()

    def changed(self) -> None:
        """Something that decides the node's conditions changed: look again now."""
        self._kick.set()

    async def run(self) -> None:
        """Register, then report for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._registration(), name="edged/registration")
            group.create_task(self._statuses(), name="edged/node-status")
            group.create_task(self._leases(), name="edged/node-lease")

    # Registration

    async def _registration(self) -> NoReturn:
        while True:
            for delay in delays(FIRST_RETRY, LAST_RETRY):
                if await self._try_to_register():
                    break
                await self._pause(self._kick, delay)
            self._lost.clear()
            self._registered.set()
            await self._lost.wait()

    async def _try_to_register(self) -> bool:
        try:
            if not self._register_node:
                await self._meta.query_node(self._view.name)
            else:
                await self._create_or_reconcile()
        except AWAY:
            # With a stored Node the rest can begin: it is registered, only the cloud is not there now.
            return self._meta.node(self._view.name) is not None
        except RemoteError as error:
            missing = not self._register_node and error.reason == "NotFound"
            text = "the Node does not exist yet (registerNode is false)" if missing else str(error)
            log.warning("node %s is not registered: %s", self._view.name, text)
            return False
        log.info("node %s is registered", self._view.name)
        return True

    async def _create_or_reconcile(self) -> None:
        wanted = self._view.new(self._view.pressure(self._problem()))
        try:
            await self._meta.create_node(wanted)
        except RemoteError as error:
            if error.reason != "AlreadyExists":
                raise
            await self._reconcile(await self._meta.query_node(self._view.name))

    async def _reconcile(self, node: Obj) -> None:
        """Put right the labels and the annotation that are ours; everything else is the user's."""
        metadata = node["metadata"]
        labels = {**(metadata.get("labels") or {}), **self._view.labels()}
        notes = {**(metadata.get("annotations") or {}), ATTACH_DETACH: "true"}
        if labels == metadata.get("labels") and notes == metadata.get("annotations"):
            return
        fresh = {**node, "metadata": {**metadata, "labels": labels, "annotations": notes}}
        await self._meta.update_node(fresh)

    # Status

    async def _statuses(self) -> NoReturn:
        while True:
            await self._registered.wait()
            await self._report()
            await self._pause(self._kick, self._update_period)

    async def _report(self) -> None:
        before = self._sent or (self._meta.node(self._view.name) or {}).get("status") or {}
        status = self._view.status(self._view.pressure(self._problem()), before)
        age = self._clock.monotonic() - self._sent_at
        if self._sent is not None and _essence(status) == _essence(self._sent) and age < self._report_period:
            return
        try:
            await self._meta.patch_node_status(self._view.name, {"status": status})
        except AWAY:
            return
        except RemoteError as error:
            if error.reason == "NotFound":
                self._node_is_gone()
            else:
                log.warning("the status of node %s was refused: %s", self._view.name, error)
            return
        self._sent, self._sent_at = status, self._clock.monotonic()

    def _node_is_gone(self) -> None:
        log.warning("node %s does not exist in the cloud any more", self._view.name)
        self._sent = None
        self._registered.clear()
        self._lost.set()

    # Lease

    async def _leases(self) -> NoReturn:
        waits = delays(FIRST_RETRY, LAST_RETRY)
        while True:
            await self._registered.wait()
            if await self._renew():
                waits = delays(FIRST_RETRY, LAST_RETRY)
                await self._pause(self._lease_kick, self._lease_seconds / 4)
            else:
                await self._pause(self._lease_kick, next(waits))

    async def _renew(self) -> bool:
        try:
            if self._lease is None:
                self._lease = await self._find_lease()
            create = self._lease is None
            answer = await self._meta.put_lease(self._lease_body(self._lease), create=create)
        except AWAY:
            return False
        except RemoteError as error:
            if error.reason not in ("Conflict", "NotFound", "AlreadyExists") and not self._lease_refused:
                log.warning("the lease of node %s was refused: %s", self._view.name, error)
                self._lease_refused = True
            self._lease = None
            return False
        self._lease, self._lease_refused = answer, False
        return True

    async def _find_lease(self) -> Obj | None:
        try:
            return await self._meta.get_lease(self._view.name)
        except RemoteError as error:
            if error.reason == "NotFound":
                return None
            raise

    def _lease_body(self, known: Obj | None) -> Obj:
        metadata = dict((known or {}).get("metadata") or {})
        metadata |= {"name": self._view.name, "namespace": LEASE_NAMESPACE}
        uid = ((self._meta.node(self._view.name) or {}).get("metadata") or {}).get("uid")
        if uid:
            owner = {"apiVersion": "v1", "kind": "Node", "name": self._view.name, "uid": uid}
            metadata["ownerReferences"] = [owner]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._view.name,
                "leaseDurationSeconds": self._lease_seconds,
                "renewTime": rfc3339_micro(self._clock.now()),
            },
        }

    async def _pause(self, kick: asyncio.Event, limit: float) -> None:
        """Wait for `limit` seconds, or until the cloud comes back."""
        try:
            async with asyncio.timeout(limit):
                await kick.wait()
        except TimeoutError:
            pass
        kick.clear()


def _essence(status: Obj) -> Obj:
    """A status without the times of heartbeats."""
    conditions = [{**c, "lastHeartbeatTime": None} for c in status["conditions"]]
    return {**status, "conditions": conditions}
