"""Custom objects between the store and the version that somebody asks for.

An object stays stored in the version in which it was written. What is read gets the defaults of that
version, is converted, and loses what the version asked for does not have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from edgelab.edgesite.apiserver.custom import golang, pruning
from edgelab.edgesite.apiserver.custom.definition import Definition
from edgelab.edgesite.apiserver.kinds import Kind

Obj = dict[str, Any]


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


def needs_webhook(kind: Kind, stored: Iterable[bytes]) -> list[bytes]:
    """The objects that have to be converted by somebody else before they can be read."""
    if kind.custom is None or kind.custom.definition.converter is None:
        return []
    prefix = _prefix(kind.api_version)
    return [data for data in stored if not data.startswith(prefix)]


async def prepare(kind: Kind, stored: Iterable[bytes]) -> None:
    """Make stored objects readable; what reads them must follow without waiting. Raises ApiError."""
    foreign = needs_webhook(kind, stored)
    if foreign:
        assert kind.custom is not None
        converter = kind.custom.definition.converter
        assert converter is not None
        await converter.prepare(foreign, kind.api_version, kind.name)


def write(obj: Obj, kind: Kind) -> Obj:
    """An object of a version as it is stored, where its apiVersion is all that differs."""
    assert kind.custom is not None
    plain: Obj = golang.plain(obj)
    if kind.storage_api_version == kind.api_version:
        return plain
    plain["apiVersion"] = kind.storage_api_version
    node = kind.custom.definition.schemas.get(kind.storage_api_version)
    if node is not None:
        pruning.prune(plain, node, [], root=True)
    return plain
