"""Tells the API server where it finds the kubelets of nodes, and keeps that true.

Receives: tunnels that stand, Nodes from the informer. Sends: patches of Nodes' statuses. Keeps: one listener
a node. Nodes report their own kubelet's port all the time; what they write is corrected on its way
(`corrected`), so that CloudCore and nodes never take turns. Without the API: tried again.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol

from edgelab.cloudcore.cloudstream.kubeletport import (
    Endpoint,
    endpoint_in,
    patch_of,
    port_in,
    with_endpoint,
)
from edgelab.cloudcore.cloudstream.listeners import Listeners, NoPort
from edgelab.cloudcore.cloudstream.sessions import Sessions
from edgelab.cloudcore.workqueue import WorkQueue
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.kube.informer import DELETED, Informer
from edgelab.kube.interface import KubeApi, PatchType
from edgelab.kube.resources import NODES
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.cloudcore.cloudstream")

Obj = dict[str, Any]


class Publisher(Protocol):
    """What is published for a node."""

    async def endpoint(self, node: str) -> Endpoint | None:
        """Make and give it; None when there can be none. Raises ApiError, Unreachable."""
        ...

    def known(self, node: str) -> Endpoint | None:
        """What it is now; None when it is not known here."""
        ...


class PerNode:
    """A listener for each node."""

    def __init__(self, nodes: Informer, listeners: Listeners) -> None:
        self._nodes = nodes
        self._listeners = listeners

    async def endpoint(self, node: str) -> Endpoint | None:
        """Open the listener."""
        claims = {name: self._claimed(found) for (_, name), found in self._nodes.store.items()}
        taken = [port for name, port in claims.items() if port and name != node]
        try:
            port = await self._listeners.open(node, claims.get(node, 0), taken)
        except NoPort as error:
            log.error("%s", error)
            return None
        return Endpoint(self._listeners.address, port)

    def known(self, node: str) -> Endpoint | None:
        """The listener that is open."""
        port = self._listeners.port(node)
        return Endpoint(self._listeners.address, port) if port else None

    def _claimed(self, node: Obj) -> int:
        """The port here that a Node names; 0 when it names none."""
        found = endpoint_in(node)
        return found.port if found and found.address == self._listeners.address else 0


class OnePort:
    """KubeEdge's tunnel port, the same for all nodes."""

    def __init__(self, port: int) -> None:
        self._endpoint = Endpoint("", port)

    def use(self, port: int) -> None:
        """It is another one."""
        self._endpoint = Endpoint("", port)

    async def endpoint(self, node: str) -> Endpoint | None:
        """The port."""
        return self._endpoint

    def known(self, node: str) -> Endpoint | None:
        """The port."""
        return self._endpoint


class Endpoints:
    """A module, by its queue. `start` once the informer has listed."""

    def __init__(
        self,
        api: KubeApi,
        nodes: Informer,
        sessions: Sessions,
        publisher: Publisher,
        listeners: Listeners | None = None,
        *,
        clock: Clock = SYSTEM,
    ) -> None:
        self._api = api
        self._nodes = nodes
        self._sessions = sessions
        self._publisher = publisher
        self._listeners = listeners
        self.queue: WorkQueue[str] = WorkQueue("cloudstream/endpoints", self.publish, clock=clock)
        sessions.connected.append(self.queue.add)

    def start(self) -> None:
        """Follow Nodes; those that name a listener of this CloudCore get it back."""
        self._nodes.add_handler(self._changed)

    def corrected(self, node: str, status: Obj) -> Obj:
        """What a node writes of itself, with the endpoint that is published for it.

        Of a node whose tunnel is with another CloudCore, what that one has published stays.
        """
        known = self._publisher.known(node) if self._sessions.of(node) else None
        if known is None:
            present = self._nodes.store.get(("", node))
            known = endpoint_in(present) if present else None
        return with_endpoint(status, known) if known else status

    async def publish(self, node: str) -> None:
        """Write the endpoint of a node whose tunnel is here. Raises ApiError, Unreachable."""
        present = self._nodes.store.get(("", node))
        if present is None:  # it registers soon, and comes here again then
            return
        if self._sessions.of(node) is None:
            claim = endpoint_in(present)
            if claim and self._listeners and claim.address == self._listeners.address:
                await self._publisher.endpoint(node)  # so that whoever dials it is told what is missing
            return
        wanted = await self._publisher.endpoint(node)
        if wanted is None or _says(present, wanted):
            return
        try:
            await self._api.patch(
                NODES, node, patch_of(wanted), patch_type=PatchType.STRATEGIC, subresource="status"
            )
        except ApiError as error:
            if error.code != 404:
                raise
        else:
            log.info("node %s is published at %s port %d", node, wanted.address or "its address", wanted.port)

    def _changed(self, event: str, _old: Obj | None, node: Obj) -> None:
        name = node["metadata"]["name"]
        if event == DELETED:
            if self._listeners and self._sessions.of(name) is None:
                self._listeners.forget(name)
            return
        known = self._publisher.known(name)
        if known is None or (self._sessions.of(name) is not None and not _says(node, known)):
            self.queue.add(name)


def _says(node: Obj, wanted: Endpoint) -> bool:
    if not wanted.address:
        return port_in(node.get("status") or {}) == wanted.port
    return endpoint_in(node) == wanted
