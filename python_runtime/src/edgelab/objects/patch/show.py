"""Values as Go prints them (`%v`): `map[a:1 b:[x y]]`."""

from __future__ import annotations

from typing import Any


def show(value: Any) -> str:
    """Maps by their sorted keys, lists in brackets, nothing quoted."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{show(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(show, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)
