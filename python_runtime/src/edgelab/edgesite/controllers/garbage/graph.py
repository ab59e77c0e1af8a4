"""Who owns whom, over all kinds: what is known of every object's metadata. No I/O."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edgelab.kube.interface import Obj, Resource

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_KEPT = ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "finalizers", "deletionTimestamp")


class Identity(NamedTuple):
    """Where an object is: what is deleted and created again keeps it, what is another kind does not."""

    resource: Resource
    namespace: str
    name: str


@dataclass(slots=True)
class Item:
    """What matters of one object."""

    identity: Identity
    uid: str
    version: str
    owners: list[Obj] = field(default_factory=list)
    finalizers: list[str] = field(default_factory=list)
    deleting: bool = False

    @property
    def waits_for_dependents(self) -> bool:
        """Whether it is being deleted in the foreground."""
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphans_dependents(self) -> bool:
        """Whether it is being deleted and leaves its dependents behind."""
        return self.deleting and ORPHAN in self.finalizers

    def blocks(self, owner_uid: str) -> bool:
        """Whether this owner has to wait for it."""
        return any(r["uid"] == owner_uid and r.get("blockOwnerDeletion") for r in self.owners)


def slim(obj: Obj) -> Obj:
    """An object without what the collector does not need."""
    metadata: dict[str, Any] = obj["metadata"]
    return {
        "apiVersion": obj.get("apiVersion"),
        "kind": obj.get("kind"),
        "metadata": {key: metadata[key] for key in _KEPT if key in metadata},
    }


def item_of(resource: Resource, obj: Obj) -> Item:
    """The item for an object."""
    metadata = obj["metadata"]
    return Item(
        Identity(resource, metadata.get("namespace", ""), metadata["name"]),
        metadata["uid"],
        metadata.get("resourceVersion", ""),
        list(metadata.get("ownerReferences") or []),
        list(metadata.get("finalizers") or []),
        bool(metadata.get("deletionTimestamp")),
    )


class Graph:
    """Items by identity and uid, and their dependents."""

    def __init__(self) -> None:
        self._items: dict[Identity, Item] = {}
        self._by_uid: dict[str, Item] = {}
        self._dependents: defaultdict[str, set[Identity]] = defaultdict(set)

    def get(self, identity: Identity) -> Item | None:
        """The item at a place."""
        return self._items.get(identity)

    def of(self, resource: Resource) -> list[Item]:
        """All items of a kind."""
        return [item for identity, item in self._items.items() if identity.resource == resource]

    def by_uid(self, uid: str) -> Item | None:
        """The item with a uid."""
        return self._by_uid.get(uid)

    def dependents(self, uid: str) -> list[Item]:
        """Items that name this uid as an owner."""
        return [self._items[identity] for identity in self._dependents.get(uid, ())]

    def put(self, item: Item) -> None:
        """Take an object in."""
        self.remove(item.identity)
        self._items[item.identity] = item
        self._by_uid[item.uid] = item
        for reference in item.owners:
            self._dependents[reference["uid"]].add(item.identity)

    def remove(self, identity: Identity) -> Item | None:
        """Forget an object."""
        item = self._items.pop(identity, None)
        if item is None:
            return None
        if self._by_uid.get(item.uid) is item:
            del self._by_uid[item.uid]
        for reference in item.owners:
            entries = self._dependents.get(reference["uid"])
            if entries is not None:
                entries.discard(identity)
                if not entries:
                    del self._dependents[reference["uid"]]
        return item
