"""The columns of built-in kinds' tables, with their descriptions, as kube-apiserver defines them.

They lie in `edgelab/data/apis/kubernetes.zip` (see `scripts/build_columns.py`) and are read when the
first table is asked for.
"""

from __future__ import annotations

import json
import zipfile
from functools import cache
from importlib import resources
from typing import Any

Obj = dict[str, Any]

FIELDS = ("name", "type", "format", "priority", "description")
PLAIN = "/LimitRange"
"""A kind that shows name and time of creation, as all do that have no table of their own."""

USAGE = (("metrics.k8s.io", "NodeMetrics"), ("metrics.k8s.io", "PodMetrics"))
USAGE_COLUMNS = (
    ("Name", "string", "name", 0, "Name of the resource"),
    ("cpu", "string", "quantity", 0, ""),
    ("memory", "string", "quantity", 0, ""),
    ("Window", "string", "duration", 0, ""),
)
"""Of metrics-server (`pkg/api/table.go`)."""


@cache
def _table() -> tuple[dict[str, list[list[Any]]], list[str]]:
    with (resources.files("edgelab") / "data/apis/kubernetes.zip").open("rb") as file:
        found = json.loads(zipfile.ZipFile(file).read("COLUMNS"))
    return found["columns"], found["texts"]


def of(group: str, kind: str) -> list[Obj]:
    """The columns of a kind."""
    if (group, kind) in USAGE:
        return [dict(zip(FIELDS, column, strict=True)) for column in USAGE_COLUMNS]
    table, texts = _table()
    found = table.get(f"{group}/{kind}") or table[PLAIN]
    return [dict(zip(FIELDS, (*column, texts[text]), strict=True)) for *column, text in found]


def name() -> Obj:
    """The column that every table begins with."""
    return of("", PLAIN.strip("/"))[0]
