"""Tables: the columns that `kubectl get` prints (`pkg/printers/internalversion`)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgelab.edgesite.apiserver.jsonpath import compile_path
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.printers import PRINTERS, Printer

Obj = dict[str, Any]
Row = Callable[[Obj, dt.datetime], list[Any]]

NAME = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": "Name must be unique within a namespace.",
    "priority": 0,
}


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and how a row is made."""

    definitions: list[Obj]
    cells: Row

    def row(self, obj: Obj, now: dt.datetime) -> Obj:
        """One row."""
        return {"cells": self.cells(obj, now)}


def table_for(kind: Kind) -> Table:
    """The table of a kind."""
    if kind.custom is not None:
        return _custom(kind)
    printer = PRINTERS.get((kind.group, kind.name)) or PRINTERS["", ""]
    return Table([_definition(*column) for column in printer.columns], printer.cells)


def _definition(name: str, kind: str = "string", priority: int = 0) -> Obj:
    form = "name" if name == "Name" else ""
    return {"name": name, "type": kind, "format": form, "description": "", "priority": priority}


def _custom(kind: Kind) -> Table:
    assert kind.custom is not None
    columns = kind.custom.columns
    if not columns:
        columns = ({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},)
    definitions = [NAME]
    paths = []
    for column in columns:
        definition = _definition(column["name"], column["type"], column.get("priority", 0))
        definition["format"] = column.get("format", "")
        definition["description"] = column.get("description") or (
            f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
        )
        definitions.append(definition)
        paths.append((column["type"], compile_path(column["jsonPath"])))

    def cells(obj: Obj, now: dt.datetime) -> list[Any]:
        return [obj["metadata"]["name"], *(_cell(form, path(obj), now) for form, path in paths)]

    return Table(definitions, cells)


def _cell(form: str, values: list[Any], now: dt.datetime) -> Any:
    if not values or values[0] is None:
        return "<unknown>" if form == "date" else None
    value = values[0]
    if form == "date":
        return _age(value, now)
    if form == "string":
        return value if isinstance(value, str) else ",".join(map(_text, values))
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _age(value: Any, now: dt.datetime) -> str:
    try:
        return Printer.age(str(value), now)
    except ValueError:
        return "<unknown>"
