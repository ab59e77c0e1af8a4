"""A view of one kind of object: the informer's store, indexed, and ahead of it by our own writes.

A controller that has just created a pod must see it in its next pass, although the watch has not
delivered it yet; otherwise it creates another. Kubernetes' controllers count expectations for
that; here the answer of the write itself is put into the view until the watch has caught up.
resourceVersions are compared as numbers, which holds for EdgeSite's store and for etcd.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from edgelab.kube.informer import DELETED, Handler, Informer, Key
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import is_deleting, key_of

Values = Callable[[Obj], Iterable[str]]


class Index:
    """Objects by a value that is read from them."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._entries: defaultdict[str, dict[Key, Obj]] = defaultdict(dict)

    def get(self, value: str) -> list[Obj]:
        """The objects with this value."""
        return list(self._entries[value].values()) if value in self._entries else []

    def put(self, key: Key, obj: Obj) -> None:
        """Enter an object."""
        for value in self._values(obj):
            self._entries[value][key] = obj

    def drop(self, key: Key, obj: Obj) -> None:
        """Take an object out."""
        for value in self._values(obj):
            entries = self._entries.get(value)
            if entries is not None:
                entries.pop(key, None)
                if not entries:
                    del self._entries[value]


class View:
    """Objects of one kind by key and by what they are indexed by. What it returns is read only."""

    def __init__(self, informer: Informer) -> None:
        self.informer = informer
        self._objects: dict[Key, Obj] = {}
        self._by_owner = Index(_owners)
        self._by_namespace = Index(_namespace)
        self._by_node = Index(_node)
        self._indexes = (self._by_owner, self._by_namespace, self._by_node)
        self._deleted: set[str] = set()
        """uids that we deleted and that the watch still has to report as gone."""
        informer.add_handler(self._on_event)

    async def wait_synced(self) -> None:
        """Wait for the first list."""
        await self.informer.wait_synced()

    def add_handler(self, handler: Handler) -> None:
        """Hear of the informer's events, after this view has taken them in."""
        self.informer.add_handler(handler)

    def get(self, name: str, namespace: str = "") -> Obj | None:
        """One object, if it exists."""
        return self._objects.get((namespace, name))

    def count(self) -> int:
        """Number of objects."""
        return len(self._objects)

    def all(self) -> list[Obj]:
        """Every object."""
        return list(self._objects.values())

    def owned(self, uid: str) -> list[Obj]:
        """Objects with an owner reference to this uid."""
        return self._by_owner.get(uid)

    def claimable(self, owner: Obj) -> list[Obj]:
        """Objects that `owner` owns, and those in its namespace that nobody owns."""
        namespace = owner["metadata"]["namespace"]
        orphans = [obj for obj in self._by_owner.get("") if obj["metadata"].get("namespace") == namespace]
        return self.owned(owner["metadata"]["uid"]) + orphans

    def in_namespace(self, namespace: str) -> list[Obj]:
        """Objects of one namespace."""
        return self._by_namespace.get(namespace)

    def on_node(self, node: str) -> list[Obj]:
        """Pods that are bound to a node."""
        return self._by_node.get(node)

    def wrote(self, obj: Obj) -> None:
        """Take in the answer of a write, unless the watch is already past it."""
        if _version(obj) > int(self.informer.version or 0):
            self._put(key_of(obj), obj)

    def deleted(self, obj: Obj) -> None:
        """Take in that an object is gone by our own request."""
        stored = self.informer.store.get(key_of(obj))
        if stored is not None and stored["metadata"]["uid"] == obj["metadata"]["uid"]:
            self._deleted.add(obj["metadata"]["uid"])
        self._drop(key_of(obj), obj["metadata"]["uid"])

    def _on_event(self, event_type: str, old: Obj | None, new: Obj) -> None:
        key, uid = key_of(new), new["metadata"].get("uid", "")
        if event_type == DELETED:
            self._deleted.discard(uid)
            self._drop(key, uid)
        elif uid in self._deleted and not is_deleting(new):
            return
        else:
            self._deleted.discard(uid)
            current = self._objects.get(key)
            if current is None or _version(current) <= _version(new):
                self._put(key, new)

    def _put(self, key: Key, obj: Obj) -> None:
        self._drop(key)
        self._objects[key] = obj
        for index in self._indexes:
            index.put(key, obj)

    def _drop(self, key: Key, uid: str | None = None) -> None:
        obj = self._objects.get(key)
        if obj is None or (uid is not None and obj["metadata"].get("uid", "") != uid):
            return
        del self._objects[key]
        for index in self._indexes:
            index.drop(key, obj)


def _owners(obj: Obj) -> list[str]:
    """uids of the owners; the empty one stands for none."""
    return [reference["uid"] for reference in obj["metadata"].get("ownerReferences") or ()] or [""]


def _namespace(obj: Obj) -> tuple[str, ...]:
    return (obj["metadata"].get("namespace", ""),)


def _node(obj: Obj) -> tuple[str, ...]:
    name = (obj.get("spec") or {}).get("nodeName")
    return (name,) if isinstance(name, str) and name else ()


def _version(obj: Obj) -> int:
    return int(obj["metadata"].get("resourceVersion") or 0)
