"""Values as kube-apiserver quotes them: its internal types, with Go's names, order and zero values.

The layouts lie in `edgelab/data/apis/kubernetes.zip`; they are read for an error message and not kept.
"""

from __future__ import annotations

import difflib
import json
import zipfile
from importlib import resources
from typing import Any

from edgelab.edgesite.apiserver.invalid import Shown, dump

Obj = dict[str, Any]
Table = dict[str, list[list[str]]]

ZERO: dict[str, Any] = {"s": "", "i": 0, "b": False, "q": "0", "t": None}


def _table() -> Table:
    with (resources.files("edgelab") / "data/apis/kubernetes.zip").open("rb") as file:
        found: Table = json.loads(zipfile.ZipFile(file).read("LAYOUTS"))
    return found


def shown(kind: str, value: Any, parent: Obj | None = None) -> Any:
    """A served value as the internal type `kind`, for instance `core.Taint` or `[]core.Toleration`."""
    return _render(_table(), kind, value, parent or {})


def _render(table: Table, kind: str, value: Any, parent: Obj) -> Any:
    if kind.startswith("*"):
        return None if value is None else _render(table, kind[1:], value, parent)
    if kind.startswith("[]"):
        return None if value is None else [_render(table, kind[2:], item, {}) for item in value]
    if kind.startswith("{}"):
        pairs = sorted(value.items()) if value is not None else ()
        return None if value is None else {key: _render(table, kind[2:], item, {}) for key, item in pairs}
    if kind in ZERO:
        return ZERO[kind] if value is None else value
    layout = table.get(kind)
    return value if layout is None else _struct(table, layout, value or {}, parent)


def _struct(table: Table, layout: list[list[str]], value: Obj, parent: Obj) -> Shown:
    result = Shown()
    metadata = value.get("metadata") or {}
    for name, served, kind, *omit in layout:
        inner: Any = parent.get(served[1:]) if served.startswith("^") else value.get(served)
        if inner is None and served in metadata:
            inner = metadata[served]
        if omit and not inner:
            continue
        result[name] = _render(table, kind, inner, value)
    return result


def difference(kind: str, old: Any, new: Any) -> str:
    """What apimachinery's `diff.Diff` says of two values: a unified diff of their JSON."""
    before, after = (dump(shown(kind, value), indent=1).split("\n") for value in (old, new))
    lines = difflib.unified_diff(
        [line + "\n" for line in before], [line + "\n" for line in after], n=3, lineterm="\n"
    )
    return "".join(list(lines)[2:])
