"""How objects and lists are shown: as they are stored, as Tables, or as metadata only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgelab.daemon.clock import Clock
from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.accept import Wanted, check_many, check_one
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.printers import ORDERS
from edgelab.edgesite.apiserver.reads import Change, Page
from edgelab.edgesite.apiserver.strategies import strategy_for
from edgelab.edgesite.apiserver.tables import table_for
from edgelab.objects.status import ApiError

Obj = dict[str, Any]


class Presenter:
    """Encodes answers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @staticmethod
    def returns_deleted(kind: Kind) -> bool:
        """Whether a DELETE answers with the object instead of a Status."""
        return strategy_for(kind.group, kind.name).returns_deleted and kind.custom is None

    def one(self, kind: Kind, data: bytes, wanted: Wanted, query: Mapping[str, str]) -> bytes:
        """One object."""
        if not wanted.form:
            return data
        obj = codec.decode(data)
        if obj.get("kind") != kind.name:
            return data
        check_one(wanted, kind)
        if wanted.form == "Table":
            table = self._table(kind, [obj], query, wanted.version)
            version = obj["metadata"].get("resourceVersion")
            table["metadata"] = {"resourceVersion": version} if version else {}
            return codec.encode(table)
        return codec.encode(partial(obj, wanted.version))

    def many(self, kind: Kind, page: Page, wanted: Wanted, query: Mapping[str, str]) -> bytes:
        """A list."""
        metadata: Obj = {"resourceVersion": str(page.revision)} if page.revision else {}
        if page.next:
            metadata["continue"] = page.next
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
        check_many(wanted, kind)
        if wanted.form == "Table":
            objects = [codec.decode(codec.convert(entry.data, kind)) for entry in page.entries]
            return codec.encode({**self._table(kind, objects, query, wanted.version), "metadata": metadata})
        if wanted.form == "PartialObjectMetadataList":
            head: Obj = {
                "kind": "PartialObjectMetadataList",
                "apiVersion": f"meta.k8s.io/{wanted.version}",
                "metadata": metadata,
            }
            items = [
                partial(codec.decode(codec.convert(entry.data, kind)), wanted.version)
                for entry in page.entries
            ]
            return codec.encode({**head, "items": items or None})
        start = {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata}
        if codec.needs_conversion(kind):
            encoded = [codec.convert(entry.data, kind) for entry in page.entries]
        else:
            encoded = [entry.data for entry in page.entries]
        if kind.custom is None:
            encoded = _untyped(encoded, kind)
        items_data = b",".join(encoded)
        return codec.encode(start)[:-1] + b',"items":[' + items_data + b"]}"

    def _table(
        self, kind: Kind, objects: list[Obj], query: Mapping[str, str], version: str, *, columns: bool = True
    ) -> Obj:
        table = table_for(kind)
        include = query.get("includeObject") or "Metadata"
        if include not in ("None", "Metadata", "Object"):
            why = (
                f"includeObject: Invalid value: \"{include}\": must be 'Metadata', 'Object', 'None', or empty"
            )
            raise ApiError(400, f"Unable to convert to Table as requested: {why}")
        now, order = self._clock.now(), ORDERS.get((kind.group, kind.name))
        rows = []
        for obj in sorted(objects, key=order) if order is not None else objects:
            row = table.row(codec.hub(obj), now)
            if include != "None":
                row["object"] = obj if include == "Object" else partial(obj, version)
            rows.append(row)
        definitions = table.definitions if columns else None
        return {
            "kind": "Table",
            "apiVersion": f"meta.k8s.io/{version}",
            "metadata": {},
            "columnDefinitions": definitions,
            "rows": rows,
        }

    def watcher(self, kind: Kind, wanted: Wanted, query: Mapping[str, str]) -> Lines:
        """The encoder for one watch."""
        return Lines(self, kind, wanted, query)

    def table_frame(
        self, kind: Kind, change: Change, query: Mapping[str, str], version: str, *, columns: bool
    ) -> bytes:
        """A watch's line with a Table of one row."""
        assert change.entry is not None
        obj = codec.decode(codec.convert(change.entry.data, kind))
        table = self._table(kind, [obj], query, version, columns=columns)
        table["metadata"] = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        return codec.encode({"type": change.type, "object": table}) + b"\n"


def _untyped(items: list[bytes], kind: Kind) -> list[bytes]:
    """In a list of a built-in kind the items do not repeat what they are."""
    start = codec.encode({"apiVersion": kind.api_version, "kind": kind.name})[:-1] + b","
    length = len(start)
    return [b"{" + item[length:] if item.startswith(start) else item for item in items]


class Lines:
    """Turns changes into lines; a Table brings its columns only with the first one."""

    def __init__(self, presenter: Presenter, kind: Kind, wanted: Wanted, query: Mapping[str, str]) -> None:
        self._presenter = presenter
        self._query = query
        self._kind = kind
        self._form = wanted.form
        self._version = wanted.version
        self._columns = True

    def line(self, change: Change) -> bytes:
        """One change."""
        if self._form == "Table":
            columns, self._columns = self._columns, False
            return self._presenter.table_frame(
                self._kind, change, self._query, self._version, columns=columns
            )
        if self._form == "PartialObjectMetadata":
            assert change.entry is not None
            obj = partial(codec.decode(codec.convert(change.entry.data, self._kind)), self._version)
            return codec.encode({"type": change.type, "object": obj}) + b"\n"
        return change.frame(self._kind)

    def bookmark(self, plain: bytes) -> bytes:
        """A bookmark in the form of the watch."""
        if self._form not in ("Table", "PartialObjectMetadata"):
            return plain
        event = codec.decode(plain)
        if self._form == "Table":
            metadata = event["object"]["metadata"]
            row = {"cells": [], "object": partial(event["object"], self._version)}
            event["object"] = {
                "kind": "Table",
                "apiVersion": f"meta.k8s.io/{self._version}",
                "metadata": {"resourceVersion": metadata["resourceVersion"]},
                "columnDefinitions": None,
                "rows": [row],
            }
        else:
            event["object"] = partial(event["object"], self._version)
        return codec.encode(event) + b"\n"


def partial(obj: Obj, version: str) -> Obj:
    """PartialObjectMetadata of an object."""
    api_version = f"meta.k8s.io/{version}"
    return {"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": obj["metadata"]}
