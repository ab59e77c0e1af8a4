"""SyncController: compares what each node acknowledged with the API, and sends what differs.

Receives: the tracker's entries and the informers' objects. Sends: pushes through CloudHub, which
drops what is on its way already. Runs when a node connects and for every connected node each 5 s.
Facts: KubeEdge `cloud/pkg/synccontroller` (docs/reference/protocol.md). Other than there, a device is
sent as devicecontroller does, because a node would not hand it to its mapper otherwise, and a record
without a version (CloudCore ended while it made it) does not keep its object from the node for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from edgelab.cloudcore.cloudhub.tracker import Entry, SyncTracker
from edgelab.cloudcore.interfaces import Courier
from edgelab.cloudcore.synccontroller.kinds import Kinds
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.kube.informer import DELETED, Informer
from edgelab.kube.interface import Obj
from edgelab.protocol.session.delivery import of_missing, of_object, version_of

log = logging.getLogger("edgelab.cloudcore.sync")

PERIOD_SECONDS = 5.0
SOURCES = {"devices.kubeedge.io": "devicecontroller", "policy.kubeedge.io": "policycontroller"}
"""By group: who brings objects to nodes in the first place. All others are edgecontroller's."""
ACCESS = "ServiceAccountAccess"
"""A node has one only as long as its pods run as the account; its status tells of other nodes."""


class SyncController:
    """A module."""

    name = "synccontroller"

    def __init__(
        self,
        tracker: SyncTracker,
        kinds: Kinds,
        nodes: Informer,
        courier: Courier,
        connected: Callable[[], Iterable[str]],
        *,
        clock: Clock = SYSTEM,
    ) -> None:
        self._tracker = tracker
        self._kinds = kinds
        self._nodes = nodes
        self._courier = courier
        self._connected = connected
        self._clock = clock
        self.device_gone: Callable[[str, str, str], None] = lambda node, namespace, name: None
        self.access_belongs: Callable[[str, str, str], bool] = lambda node, namespace, name: True

    def start(self) -> None:
        """Forget nodes that are gone, now and later. Call once nodes and records have been listed."""
        for node in self._tracker.nodes():
            if ("", node) not in self._nodes.store:
                log.info("node %s is gone; its records are deleted", node)
                self._tracker.forget_node(node)
        self._nodes.add_handler(self._node_changed)

    async def run(self) -> None:
        """Compare each 5 s until cancelled."""
        while True:
            await self._clock.sleep(PERIOD_SECONDS)
            for node in list(self._connected()):
                self.reconcile(node)

    def reconcile(self, node: str) -> None:
        """Send the node what it has in an older version, or has although it is gone."""
        for uid, entry in list(self._tracker.entries(node).items()):
            informer = self._kinds.informer(entry.api_version, entry.kind)
            if entry.gone or informer is None:
                continue
            if not entry.name:
                log.info("the record %s.%s names no object and is deleted", node, uid)
                self._tracker.forget(node, uid)
                continue
            obj = informer.store.get((entry.namespace, entry.name))
            access = entry.kind == ACCESS
            lost = access and not self.access_belongs(node, entry.namespace, entry.name)
            if obj is None or obj["metadata"].get("uid") != uid or lost:
                self._remove(node, uid, entry)
            elif version_of(obj) > entry.version:
                content = {**obj, "status": {}} if access else obj
                self._courier.push(node, of_object(content, "update", source=_source(entry)))

    def _remove(self, node: str, uid: str, entry: Entry) -> None:
        if entry.kind == "Device":
            self.device_gone(node, entry.namespace, entry.name)
        self._courier.push(
            node,
            of_missing(
                entry.kind, entry.api_version, entry.namespace, entry.name, uid, source=_source(entry)
            ),
        )

    def _node_changed(self, event: str, _old: Obj | None, node: Obj) -> None:
        if event == DELETED:
            self._tracker.forget_node(node["metadata"]["name"])


def _source(entry: Entry) -> str:
    return SOURCES.get(entry.api_version.partition("/")[0], "edgecontroller")
