"""Tables: the columns that `kubectl get` prints (`pkg/printers/internalversion`)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from edgelab.edgesite.apiserver import columns
from edgelab.edgesite.apiserver.custom import golang
from edgelab.edgesite.apiserver.jsonpath import compile_path
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.printers import PRINTERS, Cells
from edgelab.edgesite.apiserver.printers.base import age, named

Obj = dict[str, Any]

AGE = {
    "name": "Age",
    "type": "date",
    "jsonPath": ".metadata.creationTimestamp",
    "description": (
        "CreationTimestamp is a timestamp representing the server time when this object was created. It is"
        " not guaranteed to be set in happens-before order across separate operations. Clients may not set"
        " this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system."
        " Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/"
        "sig-architecture/api-conventions.md#metadata"
    ),
}


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and how a row is made."""

    definitions: list[Obj]
    cells: Cells

    def row(self, obj: Obj, now: dt.datetime) -> Obj:
        """One row."""
        return {"cells": self.cells(obj, now)}


def table_for(kind: Kind) -> Table:
    """The table of a kind."""
    if kind.custom is not None:
        return _custom(kind)
    return Table(columns.of(kind.group, kind.name), PRINTERS.get((kind.group, kind.name)) or named)


def _custom(kind: Kind) -> Table:
    assert kind.custom is not None
    definitions = [columns.name()]
    paths = []
    for column in kind.custom.columns or (AGE,):
        described = f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
        definitions.append(
            {
                "name": column["name"],
                "type": column["type"],
                "format": column.get("format", ""),
                "description": column.get("description") or described,
                "priority": column.get("priority", 0),
            }
        )
        paths.append((column["type"], compile_path(column["jsonPath"])))

    def cells(obj: Obj, now: dt.datetime) -> list[Any]:
        return [obj["metadata"]["name"], *(_cell(form, path(obj), now) for form, path in paths)]

    return Table(definitions, cells)


def _cell(form: str, values: list[Any], now: dt.datetime) -> Any:
    """One cell: the first value that was found, if it has the column's type."""
    if not values:
        return None
    value = values[0]
    if form == "string":
        return _text(value)
    if form == "date":
        return _age(value, now) if isinstance(value, str) else None
    if form == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if form == "integer" else value


def _text(value: Any) -> str:
    """A value as kubectl's JSONPath printer shows it."""
    if value is None:
        return "<nil>"
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return golang.json(value) if isinstance(value, dict | list) else golang.number(value)


def _age(value: str, now: dt.datetime) -> str:
    try:
        return age(value, now)
    except ValueError:
        return "<invalid>"
