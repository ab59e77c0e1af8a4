"""Which version of which object each node has acknowledged: ObjectSync and ClusterObjectSync.

Receives: both kinds from informers; new deliveries and acknowledgements from the hub.
Keeps: one entry for each (node, object) in memory, which is what decisions are made on.
Writes: the objects in the API, later and merged (a crash in between costs a repeated message only).
An ObjectSync is there before its object is first sent, so that an object which vanishes while the
node is away is known to be at the node.
Several CloudCores write to the same objects. Each write is made on the version that was seen last, so one
that comes too late is refused; what others wrote is taken over for nodes that are not connected here.
Without the API: writes are repeated with growing delays; first deliveries wait for it.
Facts: KubeEdge `cloud/pkg/cloudhub/session`, `.../common/message_pool.go` (docs/reference/protocol.md).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from edgelab.cloudcore.workqueue import WorkQueue
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.kube.informer import DELETED, Informer
from edgelab.kube.interface import KubeApi, Obj, Resource
from edgelab.kube.resources import CLUSTER_OBJECT_SYNCS, OBJECT_SYNCS
from edgelab.objects.status import ApiError
from edgelab.protocol.session.delivery import Delivery

log = logging.getLogger("edgelab.cloudcore.tracker")

WRITERS = 8
SETTLE_SECONDS, UNHEARD_SECONDS = 1.0, 5.0
"""How long an acknowledged version waits to be written, as another one often follows (of a new node three);
and how long a record without an acknowledgement has no version, which is mostly there sooner."""


class Key(NamedTuple):
    """One object at one node."""

    node: str
    uid: str

    @property
    def name(self) -> str:
        """The ObjectSync's name."""
        return f"{self.node}.{self.uid}"


@dataclass(slots=True)
class Entry:
    """What the node holds: `version` 0 until the first acknowledgement."""

    kind: str
    api_version: str
    namespace: str
    name: str
    version: int = 0
    stored: bool = False
    """Whether the object exists in the API."""
    written: int = -1
    """The version that stands in the API."""
    writing: bool = False
    """Whether a write is on its way."""
    unseen: Obj | None = None
    """What the informer showed meanwhile: perhaps that write, perhaps somebody else's."""
    revision: str = ""
    """The resourceVersion of the object in the API as it was last seen or written."""
    distrusted: bool = False
    """`version` was set to 0, and that is not written yet."""
    gone: bool = False
    """The node holds it no more; the object in the API has to go."""

    @property
    def resource(self) -> Resource:
        """The kind of object that records this entry."""
        return OBJECT_SYNCS if self.namespace else CLUSTER_OBJECT_SYNCS


class SyncTracker:
    """A module; `ready` is called with a delivery once its ObjectSync is there."""

    name = "cloudhub/tracker"

    def __init__(self, api: KubeApi, clock: Clock = SYSTEM) -> None:
        self.ready: Callable[[str, Delivery], None] = lambda node, delivery: None
        self.mine: Callable[[str], bool] = lambda node: True
        """Whether the node is connected here, so that what is known of it here is the newest."""
        self.elsewhere: Callable[[str], bool] = lambda node: False
        """Whether another CloudCore has the node."""
        self._api = api
        self._nodes: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
        self._pending: dict[Key, Delivery] = {}
        self._queue: WorkQueue[Key] = WorkQueue(self.name, self._write, workers=WRITERS, clock=clock)

    def __len__(self) -> int:
        return len(self._queue)

    async def run(self) -> None:
        """Write until cancelled."""
        await self._queue.run()

    def follow(self, informers: Iterable[Informer]) -> None:
        """Take over what the API knows, now and later."""
        for informer in informers:
            informer.add_handler(self._changed)

    def nodes(self) -> list[str]:
        """Every node with an entry."""
        return [node for node, entries in self._nodes.items() if entries]

    def entries(self, node: str) -> dict[str, Entry]:
        """The node's entries by UID. Read only."""
        return self._nodes.get(node) or {}

    def version(self, node: str, uid: str) -> int | None:
        """The version the node acknowledged last; None when the object is not at the node."""
        entry = self.entries(node).get(uid)
        return None if entry is None or entry.gone else entry.version

    def holders(self, uid: str) -> list[str]:
        """The nodes that have the object, in whatever version."""
        return [n for n, entries in self._nodes.items() if uid in entries and not entries[uid].gone]

    def ensure(self, node: str, delivery: Delivery) -> bool:
        """Whether the delivery's ObjectSync is there; if not, it is made and `ready` called then."""
        key = Key(node, delivery.uid)
        entry = self._nodes[node].get(delivery.uid)
        if entry is not None and entry.stored and not entry.gone:
            return True
        if entry is None or entry.gone:
            stored = entry.stored if entry else False
            self._nodes[node][delivery.uid] = self._entry(delivery, stored)
        known = self._pending.get(key)
        if known is None or known.version < delivery.version:
            self._pending[key] = delivery
        self._queue.add(key)
        return False

    def acknowledged(self, node: str, delivery: Delivery) -> None:
        """The node has stored the delivery."""
        key = Key(node, delivery.uid)
        entries = self._nodes[node]
        if delivery.is_delete:
            self.forget(node, delivery.uid)
            return
        if delivery.uid not in entries:
            entries[delivery.uid] = self._entry(delivery, stored=False)
        entry = entries[delivery.uid]
        if entry.gone:
            return
        entry.version = delivery.version
        self._queue.add_later(key, SETTLE_SECONDS)

    def forget(self, node: str, uid: str) -> None:
        """The node holds the object no more."""
        self._pending.pop(Key(node, uid), None)
        entry = self.entries(node).get(uid)
        if entry is not None:
            entry.gone = True
            self._queue.add(Key(node, uid))

    def distrust(self, node: str) -> None:
        """The node may have lost what it acknowledged: all of it counts as not acknowledged."""
        for uid, entry in self.entries(node).items():
            if not entry.gone:
                entry.version, entry.distrusted = 0, True
                self._queue.add(Key(node, uid))

    def forget_node(self, node: str) -> None:
        """The node is gone, and all its records with it."""
        for uid in list(self.entries(node)):
            self.forget(node, uid)

    def _entry(self, delivery: Delivery, stored: bool) -> Entry:
        d = delivery
        return Entry(d.kind, d.api_version, d.namespace, d.name, stored=stored)

    def _changed(self, event: str, _old: Obj | None, obj: Obj) -> None:
        node, _, uid = obj["metadata"]["name"].rpartition(".")
        if not node:
            return
        entry = self._nodes[node].get(uid)
        if event == DELETED:
            self._deleted(node, uid, entry)
            return
        if entry is not None:
            entry.stored = True
            self._adopt(Key(node, uid), entry, obj)
            return
        spec, version = obj.get("spec") or {}, _recorded(obj)
        self._nodes[node][uid] = Entry(
            spec.get("objectKind", ""),
            spec.get("objectAPIVersion", ""),
            obj["metadata"].get("namespace") or "",
            spec.get("objectName", ""),
            max(0, version),
            stored=True,
            written=version,
            revision=obj["metadata"]["resourceVersion"],
        )

    def _adopt(self, key: Key, entry: Entry, obj: Obj) -> None:
        """The object in the API is newer than what was known of it: somebody else may have written it."""
        if entry.writing:
            entry.unseen = obj
            return
        if not _newer(obj["metadata"]["resourceVersion"], entry.revision):
            return
        entry.revision = obj["metadata"]["resourceVersion"]
        version = _recorded(obj)
        if version == entry.written:
            return
        entry.written = version
        if entry.distrusted or entry.gone:
            return
        if not self.mine(key.node):
            entry.version = max(0, version)
        elif version == 0:
            # Another CloudCore knows that the node joined anew and may have lost everything.
            entry.version = 0
        else:
            self._queue.add(key)

    def _deleted(self, node: str, uid: str, entry: Entry | None) -> None:
        """Our own delete ends the entry, or the one of the CloudCore that has the node; somebody else's (a
        namespace's end) does not empty the node."""
        if entry is None:
            return
        if entry.gone or (not self.mine(node) and self.elsewhere(node)):
            self._nodes[node].pop(uid, None)
            return
        entry.stored, entry.written, entry.revision = False, -1, ""

    async def _write(self, key: Key) -> None:
        entry = self.entries(key.node).get(key.uid)
        if entry is None:
            return
        if entry.gone:
            await self._delete(key, entry)
            return
        fresh = not entry.stored
        if fresh and not await self._create(key, entry):
            return
        self._release(key)
        version = entry.version
        if entry.written == version:
            return
        if fresh and version == 0 and not entry.distrusted:
            self._queue.add_later(key, UNHEARD_SECONDS)
            return
        patch: Obj = {"status": {"objectResourceVersion": str(version)}}
        if entry.revision:
            patch["metadata"] = {"resourceVersion": entry.revision}
        entry.writing = True
        try:
            made = await self._api.patch(
                entry.resource, key.name, patch, entry.namespace or None, subresource="status"
            )
        except ApiError as error:
            entry.writing = False
            await self._refused(key, entry, error)
        else:
            entry.written = version
            self._note_revision(entry, made)
            entry.distrusted = entry.distrusted and version != 0
        finally:
            entry.writing = False
            meanwhile, entry.unseen = entry.unseen, None
            if meanwhile is not None:
                self._adopt(key, entry, meanwhile)

    async def _refused(self, key: Key, entry: Entry, error: ApiError) -> None:
        """A status could not be written: the object is gone, or somebody else wrote it. Raises ApiError."""
        if error.code not in (404, 409):
            raise error
        if error.code == 404:
            entry.stored, entry.revision = False, ""
        else:
            await self._read(key, entry)
        self._queue.add(key)

    async def _read(self, key: Key, entry: Entry) -> None:
        try:
            obj = await self._api.get(entry.resource, key.name, entry.namespace or None)
        except ApiError as error:
            if error.code != 404:
                raise
            entry.stored, entry.revision = False, ""
            return
        entry.stored = True
        self._adopt(key, entry, obj)

    def _note_revision(self, entry: Entry, made: Obj) -> None:
        revision = made["metadata"]["resourceVersion"]
        if _newer(revision, entry.revision):
            entry.revision = revision

    async def _create(self, key: Key, entry: Entry) -> bool:
        metadata = {"name": key.name, **({"namespace": entry.namespace} if entry.namespace else {})}
        body = {
            "apiVersion": entry.resource.api_version,
            "kind": entry.resource.kind,
            "metadata": metadata,
            "spec": {
                "objectAPIVersion": entry.api_version,
                "objectKind": entry.kind,
                "objectName": entry.name,
            },
        }
        try:
            made = await self._api.create(entry.resource, body, entry.namespace or None)
        except ApiError as error:
            if error.code in (403, 404):
                # The namespace is ending: nothing can be recorded in it, yet its pods have to be told.
                log.info("no ObjectSync for %s in namespace %s: %s", key.name, entry.namespace, error)
                self._release(key)
                return False
            if error.code != 409:
                raise
            await self._read(key, entry)
            return entry.stored
        entry.stored = True
        self._note_revision(entry, made)
        return True

    async def _delete(self, key: Key, entry: Entry) -> None:
        try:
            await self._api.delete(entry.resource, key.name, entry.namespace or None)
        except ApiError as error:
            if error.code != 404:
                raise
        current = self.entries(key.node).get(key.uid)
        if current is entry:
            self._nodes[key.node].pop(key.uid, None)

    def _release(self, key: Key) -> None:
        delivery = self._pending.pop(key, None)
        if delivery is not None:
            self.ready(key.node, delivery)


def _recorded(obj: Obj) -> int:
    """The version in an ObjectSync's status; -1 when nothing is written there yet."""
    text = (obj.get("status") or {}).get("objectResourceVersion") or ""
    return int(text) if text.isdecimal() else -1


def _newer(revision: str, known: str) -> bool:
    """Whether a resourceVersion is later than another one of the same object."""
    return not known or int(revision) > int(known)
