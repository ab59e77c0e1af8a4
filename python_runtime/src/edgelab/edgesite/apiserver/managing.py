"""The account of who manages which fields, kept on every write."""

from __future__ import annotations

from typing import Any

from edgelab.daemon.clock import Clock
from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.apply import FieldManager
from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.schema import Node

Obj = dict[str, Any]


class Managers:
    """Objects come as defaults and checks know them, and are accounted for in the version of the request."""

    def __init__(self, metadata: Node, clock: Clock) -> None:
        self._metadata = metadata
        self._clock = clock

    def created(self, kind: Kind, obj: Obj, context: Context) -> None:
        """All of a new object is its creator's."""
        shown = codec.served(obj, kind)
        self._of(kind).created(shown, context.field_manager)
        _keep(obj, shown)

    def updated(self, kind: Kind, new: Obj, old: Obj, context: Context, subresource: str) -> None:
        """What an update changed is the updater's; a binding is nobody's."""
        if subresource == "binding":
            new["metadata"]["managedFields"] = old["metadata"].get("managedFields")
            _keep(new, new)
            return
        shown = codec.served(new, kind)
        part = subresource or context.part
        self._of(kind).updated(shown, codec.served(old, kind), context.field_manager, part)
        _keep(new, shown)

    def _of(self, kind: Kind) -> FieldManager:
        return FieldManager(kind, self._metadata, self._clock)


def _keep(obj: Obj, shown: Obj) -> None:
    """Take over the account, if there is any."""
    entries = shown["metadata"].get("managedFields")
    if entries:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)
