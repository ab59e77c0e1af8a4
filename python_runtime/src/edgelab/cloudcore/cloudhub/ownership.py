"""Which CloudCore serves which node: one Lease per node, `cloudcore-node-<node>`.

Receives: nodes that connect here, from the hub; all Leases of CloudCores, from the informer.
Writes: a node's Lease when the node connects here and the Lease does not name this CloudCore yet; nothing
while the node stays, nor when it comes back to where it was. That the holder lives is told by its own Lease.
Does: ends the session of a node that another one has taken over; tells the hub which nodes are elsewhere.
The last one whose write the API accepts has the node. Should that be the wrong one, because two writes met,
the node loses its connection once more and the next claim settles it.
Without the API: nodes are served, and claimed later.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from typing import Protocol

from edgelab.cloudcore.cloudhub.replicas import LABEL, Replicas
from edgelab.cloudcore.workqueue import WorkQueue
from edgelab.daemon.clock import SYSTEM, Clock, rfc3339_micro
from edgelab.kube.informer import DELETED, Informer
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import LEASES
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.cloudcore.ownership")

PREFIX = "cloudcore-node-"
NODE = "node"
NODE_ANNOTATION = "edgelab.io/node"
LONGEST_NAME = 253
KEPT = ("name", "namespace", "uid", "resourceVersion", "labels", "annotations")
ALONE_SECONDS = 10.0
"""How long a claim waits that no other CloudCore is there to see: nodes that join have more urgent needs.
It is written at once when another one shows up."""
TRIES = 5
"""How often a claim that meets others is repeated at once."""


class Sessions(Protocol):
    """The hub, as seen from here."""

    def connected(self, node: str) -> bool:
        """Whether the node has a session here."""
        ...

    def yield_to(self, node: str, replica: str) -> None:
        """End the node's session: another CloudCore has it."""
        ...


class Ownership:
    """A module."""

    name = "cloudhub/ownership"

    def __init__(
        self,
        api: KubeApi,
        sessions: Sessions,
        replicas: Replicas,
        *,
        namespace: str,
        alone_seconds: float = ALONE_SECONDS,
        clock: Clock = SYSTEM,
    ) -> None:
        self._alone_seconds = alone_seconds
        self._api = api
        self._sessions = sessions
        self._replicas = replicas
        self._namespace = namespace
        self._clock = clock
        self._leases: dict[str, Obj] = {}
        self._claiming: set[str] = set()
        self._gone: set[str] = set()
        self._queue: WorkQueue[str] = WorkQueue(self.name, self._write, clock=clock)

    def follow(self, leases: Informer, nodes: Informer) -> None:
        """Take over what the API knows, now and later."""
        leases.add_handler(self._lease_changed)
        nodes.add_handler(self._node_changed)

    async def run(self) -> None:
        """Write until cancelled."""
        await self._queue.run()

    def holder(self, node: str) -> str:
        """The CloudCore that has the node; empty when none has."""
        return _holder(self._leases.get(node))

    def elsewhere(self, node: str) -> bool:
        """Whether another CloudCore, which runs, has the node."""
        holder = self.holder(node)
        return holder not in ("", self._replicas.me) and self._replicas.live(holder)

    def counts(self) -> Counter[str]:
        """Nodes by the CloudCore that has them."""
        return Counter(holder for lease in self._leases.values() if (holder := _holder(lease)))

    def claim(self, node: str) -> None:
        """The node has connected here."""
        self._gone.discard(node)
        if self.holder(node) != self._replicas.me:
            self._claiming.add(node)
            if self._replicas.alone:
                self._queue.add_later(node, self._alone_seconds)
            else:
                self._queue.add(node)

    def _lease_changed(self, event: str, _old: Obj | None, lease: Obj) -> None:
        metadata = lease["metadata"]
        if (metadata.get("labels") or {}).get(LABEL) != NODE:
            self._replicas_changed()
            return
        node = (metadata.get("annotations") or {}).get(NODE_ANNOTATION, "")
        if event == DELETED:
            self._leases.pop(node, None)
            if node in self._gone:
                self._gone.discard(node)
            elif self._sessions.connected(node):
                self.claim(node)
            return
        if _revision(lease) < _revision(self._leases.get(node)):
            return  # older than what was written here
        self._leases[node] = lease
        holder = _holder(lease)
        if holder != self._replicas.me and node not in self._claiming and self._sessions.connected(node):
            self._sessions.yield_to(node, holder)

    def _replicas_changed(self) -> None:
        """Who shows up learns which nodes are here before it takes them for nobody's."""
        if self._claiming and not self._replicas.alone:
            for node in self._claiming:
                self._queue.add(node)

    def _node_changed(self, event: str, _old: Obj | None, node: Obj) -> None:
        name = node["metadata"]["name"]
        if event == DELETED and name in self._leases and not self.elsewhere(name):
            self._gone.add(name)
            self._queue.add(name)

    async def _write(self, node: str) -> None:
        if node in self._gone:
            await self._delete(node)
        elif self._sessions.connected(node):
            await self._take(node)
        self._claiming.discard(node)

    async def _take(self, node: str) -> None:
        """Make the node's Lease ours. Raises ApiError, Unreachable."""
        present = self._leases.get(node)
        for attempt in range(TRIES):
            try:
                lease = await self._put(node, present)
            except ApiError as error:
                if error.code not in (404, 409) or attempt == TRIES - 1:
                    raise
                present = await self._read(node)
                continue
            # The informer's, when it was faster: there is one of each in memory.
            if _revision(lease) > _revision(self._leases.get(node)):
                self._leases[node] = trimmed(lease)
            return

    async def _put(self, node: str, present: Obj | None) -> Obj:
        now = rfc3339_micro(self._clock.now())
        spec = (present or {}).get("spec") or {}
        changes = (spec.get("leaseTransitions") or 0) + (1 if _holder(present) else 0)
        taken = {
            "holderIdentity": self._replicas.me,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": changes,
        }
        if present is not None:
            if _holder(present) not in ("", self._replicas.me):
                log.info("node %s is taken over from CloudCore %s", node, _holder(present))
            return await self._api.update(LEASES, {**present, "spec": {**spec, **taken}}, self._namespace)
        metadata = {
            "name": lease_name(node),
            "labels": {LABEL: NODE},
            "annotations": {NODE_ANNOTATION: node},
        }
        return await self._api.create(LEASES, {"metadata": metadata, "spec": taken}, self._namespace)

    async def _read(self, node: str) -> Obj | None:
        try:
            return await self._api.get(LEASES, lease_name(node), self._namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def _delete(self, node: str) -> None:
        try:
            await self._api.delete(LEASES, lease_name(node), self._namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            self._gone.discard(node)


def lease_name(node: str) -> str:
    """The name of the node's Lease; one that would be too long is shortened to a hash."""
    if len(PREFIX + node) <= LONGEST_NAME:
        return PREFIX + node
    return PREFIX + hashlib.sha256(node.encode()).hexdigest()


def trimmed(lease: Obj) -> Obj:
    """What is kept of a Lease in memory, by the thousand; enough to update it."""
    metadata = lease["metadata"]
    kept = {key: metadata[key] for key in KEPT if key in metadata}
    return {"metadata": kept, "spec": lease.get("spec") or {}}


def _holder(lease: Obj | None) -> str:
    return ((lease or {}).get("spec") or {}).get("holderIdentity") or ""


def _revision(lease: Obj | None) -> int:
    text = ((lease or {}).get("metadata") or {}).get("resourceVersion") or ""
    return int(text) if text.isdecimal() else 0
