"""All rows that the page shows, each encoded once, and who is told when one changes.

Receives: rows, as often as objects change. Gives: each row that differs from the one before, to every
listener. A status that says nothing new of what is shown wakes nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from edgelab.console.rows import Row

KINDS = ("nodes", "pods", "devices")
Key: TypeAlias = tuple[str, str]
"""Kind, and `name` or `namespace/name`."""
Listener: TypeAlias = Callable[[Key, msgspec.Raw | None], None]
"""Called with a changed row; None for one that is gone. It must not block."""


class Board:
    """Rows by kind and name, as JSON."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, msgspec.Raw]] = {kind: {} for kind in KINDS}
        self._listeners: list[Listener] = []

    def __contains__(self, key: Key) -> bool:
        kind, name = key
        return name in self._rows[kind]

    def row(self, kind: str, name: str) -> Row | None:
        """One row; None for one that is not shown."""
        found = self._rows[kind].get(name)
        return None if found is None else msgspec.json.decode(found, type=dict[str, Any])

    def put(self, key: Key, row: Row | None) -> None:
        """Show `row` from now on; None takes it away."""
        kind, name = key
        rows = self._rows[kind]
        encoded = None if row is None else msgspec.Raw(msgspec.json.encode(row))
        if rows.get(name) == encoded:
            return
        if encoded is None:
            del rows[name]
        else:
            rows[name] = encoded
        for listener in list(self._listeners):
            listener(key, encoded)

    def rows(self) -> dict[str, dict[str, msgspec.Raw]]:
        """Everything, for one who knows nothing yet. Read only."""
        return self._rows

    def listen(self, listener: Listener) -> None:
        """Tell `listener` of every change from now on."""
        self._listeners.append(listener)

    def forget(self, listener: Listener) -> None:
        """Tell it no longer."""
        self._listeners.remove(listener)
