"""Custom objects between the store and the version that somebody asks for.

An object stays stored in the version in which it was written. What is read gets the defaults of that
version, is converted, and loses what the version asked for does not have.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from edgelab.edgesite.apiserver.custom import golang, pruning
from edgelab.edgesite.apiserver.custom.definition import Definition
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.store import Entry, Key, Store
from edgelab.objects.status import conflict

Obj = dict[str, Any]

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def _prefix(api_version: str) -> bytes:
    """How an encoded object of a version begins."""
    return b'{"apiVersion":"%b",' % api_version.encode()


def is_direct(kind: Kind) -> bool:
    """Whether every stored object can be shown as it is."""
    assert kind.custom is not None
    definition = kind.custom.definition
    return definition.settled and len(definition.schemas) == 1


def read(data: bytes, kind: Kind) -> bytes:
    """A stored object in the version of `kind`."""
    assert kind.custom is not None
    definition = kind.custom.definition
    same = data.startswith(_prefix(kind.api_version))
    if same and definition.settled:
        return data
    obj: Obj = msgspec.json.decode(data)
    _complete(obj, definition)
    if not same:
        if definition.converter is not None:
            obj = definition.converter.converted(data, kind.api_version)
        obj["apiVersion"] = kind.api_version
    if kind.schema is not None:
        pruning.prune(obj, kind.schema, [], root=True)
    return msgspec.json.encode(obj)


def _complete(obj: Obj, definition: Definition) -> None:
    node = definition.schemas.get(obj["apiVersion"])
    if node is not None:
        pruning.complete(obj, node)


def is_settled(data: bytes, definition: Definition) -> bool:
    """Whether a stored object is as the schema of its version wants it."""
    obj: Obj = msgspec.json.decode(data)
    node, unknown = definition.schemas.get(obj["apiVersion"]), list[str]()
    if node is None:
        return True
    before = msgspec.json.encode(obj)
    pruning.complete(obj, node)
    pruning.prune(obj, node, unknown, root=True)
    return not unknown and msgspec.json.encode(obj) == before


def is_converted(kind: Kind) -> bool:
    """Whether a webhook converts the objects of a kind."""
    return kind.custom is not None and kind.custom.definition.converter is not None


async def prepare(kind: Kind, stored: Callable[[], Iterable[bytes]]) -> None:
    """Make stored objects readable; what reads them must follow without waiting. Raises ApiError 500."""
    converter = kind.custom.definition.converter if kind.custom is not None else None
    if converter is None:
        return
    prefix = _prefix(kind.api_version)
    while True:
        foreign = [data for data in stored() if not data.startswith(prefix)]
        missing = [data for data in foreign if not converter.knows(data, kind.api_version)]
        if not missing:
            return
        await converter.prepare(missing, kind.api_version)


async def prepare_at(store: Store, kind: Kind, key: Key) -> None:
    """Make one stored object readable, as it is and as the next write will find it. Raises ApiError 500."""
    found = (store.get, store.head)
    await prepare(kind, lambda: [entry.data for get in found if (entry := get(key)) is not None])


async def put(
    store: Store, kind: Kind, key: Key, obj: Obj, write_stored: Callable[[Obj], Awaitable[Entry]]
) -> Entry:
    """Have an object converted, then write it. Raises ApiError 409 if it was changed meanwhile, 500."""
    before = store.head(key)
    stored = await write_converted(obj, kind)
    if store.head(key) is not before:
        raise conflict(kind.plural, key.name, MODIFIED, kind.group)
    entry = await write_stored(stored)
    await prepare(kind, lambda: [entry.data])
    return entry


def write(obj: Obj, kind: Kind) -> Obj:
    """An object of a version as it is stored, where its apiVersion is all that differs."""
    assert kind.custom is not None
    plain: Obj = golang.plain(obj)
    if kind.storage_api_version == kind.api_version:
        return plain
    return _pruned({**plain, "apiVersion": kind.storage_api_version}, kind)


async def write_converted(obj: Obj, kind: Kind) -> Obj:
    """An object of a version as it is stored. Raises ApiError 500."""
    converter = kind.custom.definition.converter if kind.custom is not None else None
    if converter is None or kind.storage_api_version == kind.api_version:
        return write(obj, kind)
    [found] = await converter.convert([golang.plain(obj)], kind.storage_api_version)
    return _pruned(found, kind)


def _pruned(obj: Obj, kind: Kind) -> Obj:
    assert kind.custom is not None
    node = kind.custom.definition.schemas.get(kind.storage_api_version)
    if node is not None:
        pruning.prune(obj, node, [], root=True)
        pruning.complete(obj, node)
    return obj
