"""The API objects that this node knows, as its MetaServer shows them.

Receives: what the cloud pushes (from MetaManager, stored in the same transaction) and what CloudCore answers
the MetaServer. Tells: its listeners of each change once it is committed, in the order of the commits.
Stores: `meta_v2`. What is older than what is stored, or than a deletion that was seen, is dropped: pushes
and answers overtake one another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from edgelab.edgecore.interfaces import Obj
from edgelab.edgecore.metamanager import objects, rows
from edgelab.edgecore.metamanager.changes import ADDED, DELETED, MODIFIED, Change, ChangeLog
from edgelab.edgecore.metamanager.kinds import API_VERSIONS, CLUSTER_WIDE, Kinds
from edgelab.edgecore.store import Statement, Store
from edgelab.protocol.content.applications import Key, parse_key
from edgelab.protocol.message import Message
from edgelab.protocol.resource import Resource

log = logging.getLogger(__name__)

REMEMBERED = 512
"""Deletions that are remembered, so that an answer from before does not bring the object back."""


class Work(NamedTuple):
    """What is to be written, and what has changed once it is."""

    statements: list[Statement]
    changes: list[Change]


class Mirror:
    """Stored objects by key. Read the store for their values."""

    def __init__(self, store: Store, node: str) -> None:
        self.kinds = Kinds()
        self._store = store
        self._node = node
        self._index = objects.index(store)
        self._gone: OrderedDict[str, int] = OrderedDict()
        self._listeners: list[Callable[[Change], None]] = []
        self.log = ChangeLog(max((version for version, _ in self._index.values()), default=0))

    def listen(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call `listener` for each change from now on; the result ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def read(self, start: Key) -> list[tuple[str, int, bytes]]:
        """Key, version and JSON of every stored object of a resource (and namespace), by key."""
        return objects.below(self._store, objects.prefix(start))

    def get(self, key: Key) -> bytes | None:
        """The JSON of a stored object."""
        return objects.value(self._store, str(key))

    # From MetaManager

    def pushed(self, message: Message, where: Resource, content: Obj) -> Work | None:
        """What a message of the cloud changes; None for what is no object of the API."""
        if "status" in where.type or not where.name:
            return None
        obj = self._typed(content, where.type)
        if message.route.operation == "delete":
            return self._deleted(where, obj, content)
        return self._put(obj) if obj is not None else None

    def concerns(self, message: Message, where: Resource, content: Obj) -> bool:
        """Whether this node's own modules have to know of it, and not only those who watch."""
        if message.route.source != "dynamiccontroller" or message.route.operation == "delete":
            return True
        spec = content.get("spec")
        bound = spec.get("nodeName") if isinstance(spec, dict) else None
        match where.type:
            case "pod" | "device":
                return bound == self._node
            case "node":
                return where.name == self._node
        return where.type in API_VERSIONS

    def learn(self, kind: str, obj: Obj) -> None:
        """Take over an object that CloudCore answered to MetaManager; `kind` is its type token."""
        typed = self._typed(obj, kind)
        if typed is not None and (work := self._put(typed)) is not None:
            self.submit(work, durable=False)

    def seed(self) -> None:
        """Take over what MetaManager stored while there was no MetaServer."""
        for kind in API_VERSIONS:
            for _, data in rows.of_type(self._store, kind):
                with contextlib.suppress(msgspec.DecodeError):
                    obj = msgspec.json.decode(data)
                    if isinstance(obj, dict) and "ErrStatus" not in obj:
                        self.learn(kind, obj)

    # From the MetaServer

    def keep(self, obj: Obj) -> asyncio.Future[None] | None:
        """Store an object that CloudCore answered; None when it is known already."""
        work = self._put(obj)
        return self.submit(work, durable=False) if work is not None else None

    def replace(
        self, start: Key, items: Iterable[Obj], version: int, *, whole: bool
    ) -> asyncio.Future[None] | None:
        """Store a list of a resource (and namespace, and name); with `whole` what is not in it is gone."""
        statements: list[Statement] = []
        changes: list[Change] = []
        present = set()
        for item in items:
            if self._typed(item, "") is None:
                continue
            present.add(str(self.address(item)))
            if (work := self._put(item)) is not None:
                statements += work.statements
                changes += work.changes
        for key, _, data in self.older(start, version) if whole else ():
            if key not in present:
                work = self._drop(key, version, data)
                statements += work.statements
                changes += work.changes
        if version > self.log.revision:
            changes.append(Change("", "", version))
        return self.submit(Work(statements, changes), durable=False)

    def older(self, start: Key, version: int) -> list[tuple[str, int, bytes]]:
        """Stored objects of a resource (and namespace, and name) that are not newer than a version."""
        rows = self.read(start._replace(name=""))
        if start.name:
            rows = [row for row in rows if row[0].endswith(f"/{start.name}")]
        return [row for row in rows if row[0] in self._index and self._index[row[0]][0] <= version]

    def forget(self, key: Key) -> None:
        """Drop an object of which CloudCore says that it is not there."""
        text = str(key)
        known = self._index.get(text)
        if known is not None:
            self.submit(self._drop(text, known[0], self._last(text)), durable=False)

    def submit(self, work: Work, *, durable: bool = True) -> asyncio.Future[None] | None:
        """Write; None when there is nothing to write."""
        if not work.statements:
            for change in work.changes:
                self._publish(change)
            return None
        done = self._store.submit(work.statements, durable=durable)
        done.add_done_callback(lambda future: self.settled(work, future))
        return done

    def settled(self, work: Work, done: asyncio.Future[None]) -> None:
        """The transaction with this work has ended: tell of it, or take back what was not written."""
        if done.cancelled() or done.exception() is not None:
            self._take_back(work)
            if not done.cancelled():
                log.error("objects for the MetaServer could not be stored: %s", done.exception())
            return
        for change in work.changes:
            self._publish(change)

    def address(self, obj: Obj) -> Key:
        """Where an object (kind and apiVersion set) is served."""
        metadata = obj["metadata"]
        group, _, version = str(obj["apiVersion"]).rpartition("/")
        resource = self.kinds.resource(str(obj["kind"]))
        return Key(group, version, resource, metadata.get("namespace") or "", str(metadata["name"]))

    # Inside

    def _typed(self, content: Obj, kind: str) -> Obj | None:
        if not isinstance(content.get("metadata"), dict) or not content["metadata"].get("name"):
            return None
        if content.get("apiVersion") and content.get("kind"):
            return content
        known = API_VERSIONS.get(kind.removesuffix("patch"))
        return {"apiVersion": known[0], "kind": known[1], **content} if known else None

    def _put(self, obj: Obj) -> Work | None:
        key = self.address(obj)
        text, metadata = str(key), obj["metadata"]
        version, uid = _version(metadata.get("resourceVersion")), str(metadata.get("uid") or "")
        if version and version <= self._gone.get(text, 0):
            return None
        known = self._index.get(text)
        if known is not None and version and version <= known[0]:
            return None
        self._index[text] = (version, uid)
        data = msgspec.json.encode(obj)
        changes = [Change(ADDED if known is None else MODIFIED, text, version, data)]
        if known is not None and uid and known[1] and known[1] != uid:
            last = objects.value(self._store, text) or data
            changes = [Change(DELETED, text, version, last), Change(ADDED, text, version, data)]
        return Work([objects.put(key, version, data)], changes)

    def _deleted(self, where: Resource, obj: Obj | None, content: Obj) -> Work | None:
        metadata: dict[str, Any] = content.get("metadata") or {}
        key = str(self.address(obj)) if obj is not None else self._find(where)
        known = self._index.get(key)
        uid, version = str(metadata.get("uid") or ""), _version(metadata.get("resourceVersion"))
        if known is None or (uid and known[1] and uid != known[1]):
            if key and version:
                self._bury(key, version)
            return None
        whole = obj is not None and obj is content
        data = msgspec.json.encode(obj) if whole else self._last(key)
        return self._drop(key, max(version, known[0]), data)

    def _find(self, where: Resource) -> str:
        """The key of an object of which only the type token is known."""
        version, kind = API_VERSIONS.get(where.type, ("", ""))
        group, _, version = version.rpartition("/")
        if kind:
            namespace = "" if kind in CLUSTER_WIDE else where.namespace
            return str(Key(group, version, self.kinds.resource(kind), namespace, where.name))
        namespace = where.namespace or "null"
        end = f"/{namespace}/{where.name}"
        found = (key for key in self._index if key.endswith(end))
        return next((key for key in found if self.kinds.kind(key.split("/")[3]).lower() == where.type), "")

    def _last(self, text: str) -> bytes:
        """The last state of an object; only its identity while what is stored is not committed yet."""
        found = objects.value(self._store, text)
        if found is not None:
            return found
        key = parse_key(text)
        metadata = {"name": key.name, "uid": self._index.get(text, (0, ""))[1]}
        metadata |= {"namespace": key.namespace} if key.namespace else {}
        kind = self.kinds.kind(key.resource)
        return msgspec.json.encode({"kind": kind, "apiVersion": key.api_version, "metadata": metadata})

    def _drop(self, key: str, version: int, data: bytes) -> Work:
        self._index.pop(key, None)
        self._bury(key, version)
        return Work([objects.drop(key)], [Change(DELETED, key, version, data)])

    def _bury(self, key: str, version: int) -> None:
        self._gone[key] = max(version, self._gone.pop(key, 0))
        while len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)

    def _publish(self, change: Change) -> None:
        self.log.append(change)
        if change.key:
            for listener in list(self._listeners):
                listener(change)

    def _take_back(self, work: Work) -> None:
        try:
            stored = objects.index(self._store)
        except sqlite3.Error:
            return  # what is in memory is as good a guess
        for change in work.changes:
            self._gone.pop(change.key, None)
            if change.key in stored:
                self._index[change.key] = stored[change.key]
            else:
                self._index.pop(change.key, None)


def _version(text: Any) -> int:
    return int(text) if isinstance(text, str) and text.isdecimal() else 0
