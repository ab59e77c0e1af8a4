"""Server-side apply: merge a configuration into an object and keep account of who set what.

Conflicts, forced ownership and removal of what a manager no longer mentions follow KEP-555 and
structured-merge-diff. Managers of plain updates are recorded on objects that have been applied;
an object that never was carries no managedFields.
"""

from __future__ import annotations

from typing import Any

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.edgesite.apiserver import managedfields as sets
from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.managedfields import Path, Tree
from edgelab.edgesite.apiserver.schema import Node
from edgelab.objects.patch.json import same
from edgelab.objects.status import ApiError

Obj = dict[str, Any]


class Applier:
    """Applies configurations of one kind."""

    def __init__(self, kind: Kind, metadata: Node, clock: Clock) -> None:
        self._kind = kind
        self._metadata = metadata
        self._clock = clock

    def _fields(self, obj: Obj) -> Tree:
        return sets.fields_of(obj, self._kind.schema, self._metadata)

    def apply(self, live: Obj, config: Obj, context: Context, subresource: str = "") -> Obj:
        """The object after the apply. Raises ApiError 409 when another manager holds a changed field."""
        config = {**config, "metadata": {**(config.get("metadata") or {})}}
        config["metadata"].pop("managedFields", None)
        entries = live.get("metadata", {}).get("managedFields") or []
        mine = next((e for e in entries if _is(e, context.field_manager, "Apply", subresource)), None)
        others = [entry for entry in entries if entry is not mine]
        wanted = self._fields(config)
        merged = self._merge_object(live, config)
        conflicts = self._conflicts(live, merged, wanted, others)
        if conflicts and not context.force:
            raise _conflict(conflicts)
        for entry, paths in conflicts:
            entry["fieldsV1"] = sets.without(entry["fieldsV1"], set(paths))
        others = [entry for entry in others if entry["fieldsV1"]]
        if mine is not None:
            self._remove(merged, mine["fieldsV1"], wanted, [entry["fieldsV1"] for entry in others])
        kept = mine is not None and mine["fieldsV1"] == wanted and same(_plain(merged), _plain(live))
        entry = (
            mine
            if kept and mine is not None
            else self._entry(context.field_manager, "Apply", wanted, subresource)
        )
        merged["metadata"]["managedFields"] = [*others, entry]
        return merged

    def _entry(self, manager: str, operation: str, fields: Tree, subresource: str) -> Obj:
        return {
            "manager": manager,
            "operation": operation,
            "apiVersion": self._kind.api_version,
            "time": rfc3339(self._clock.now()),
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
            **({"subresource": subresource} if subresource else {}),
        }

    def updated(self, new: Obj, old: Obj, context: Context, subresource: str = "") -> None:
        """Account for a plain update of an object that has managers: what changed belongs to the updater."""
        entries = [dict(entry) for entry in new["metadata"].get("managedFields") or []]
        if not entries or same(_plain(new), _plain(old)):
            return
        after, before = self._fields(new), self._fields(old)
        changed = {p for p in sets.leaves(after) if not self._equal(new, old, p)}
        gone = {path for path in sets.leaves(before) if not sets.has(after, path)}
        mine: Obj | None = None
        for entry in entries:
            if _is(entry, context.field_manager, "Update", subresource):
                mine = entry
            else:
                entry["fieldsV1"] = sets.without(entry["fieldsV1"], changed | gone)
        own = sets.without(after, set(sets.leaves(after)) - changed)
        if mine is not None:
            mine["fieldsV1"] = sets.union(sets.without(mine["fieldsV1"], gone), own)
        elif own:
            entries.append(self._entry(context.field_manager or "unknown", "Update", own, subresource))
        new["metadata"]["managedFields"] = [entry for entry in entries if entry["fieldsV1"]]

    def _conflicts(
        self, live: Obj, merged: Obj, wanted: Tree, others: list[Obj]
    ) -> list[tuple[Obj, list[Path]]]:
        found = []
        for entry in others:
            held = [
                path
                for path in sets.leaves(wanted)
                if path[-1] != "."
                and sets.has(entry["fieldsV1"], path)
                and not self._equal(live, merged, path)
            ]
            if held:
                found.append((entry, held))
        return found

    def _equal(self, left: Obj, right: Obj, path: Path) -> bool:
        return same(self._value(left, path), self._value(right, path))

    def _value(self, obj: Any, path: Path) -> Any:
        node: Node | None = self._kind.schema
        for part in path:
            if part == ".":
                return True if obj is not None else None
            kind, _, name = part.partition(":")
            if kind == "f":
                obj = obj.get(name) if isinstance(obj, dict) else None
                node = (
                    self._metadata
                    if part == "f:metadata" and node is self._kind.schema
                    else sets.child(node, name)
                )
            elif isinstance(obj, list) and node is not None:
                obj = next((item for item in obj if sets.element(item, node) == part), None)
                node = node.items
            else:
                return None
        return obj

    def _merge_object(self, live: Obj, config: Obj) -> Obj:
        merged = dict(live)
        for key, value in config.items():
            if key == "metadata":
                merged[key] = _merge(live.get(key) or {}, value, self._metadata)
            else:
                merged[key] = _merge(live.get(key), value, sets.child(self._kind.schema, key))
        return merged

    def _remove(self, merged: Obj, before: Tree, wanted: Tree, others: list[Tree]) -> None:
        """Take away what this manager set before, sets no longer, and nobody else manages."""
        for path in sorted(sets.leaves(before), key=len, reverse=True):
            if not sets.has(wanted, path) and not any(sets.has(other, path) for other in others):
                self._drop(merged, path)

    def _drop(self, obj: Any, path: Path) -> None:
        if path[-1] == ".":
            path = path[:-1]
        holder, last = self._holder(obj, path)
        kind, _, name = last.partition(":")
        if kind == "f" and isinstance(holder, dict):
            holder.pop(name, None)
        elif isinstance(holder, list):
            node = self._node(path[:-1])
            if node is not None:
                holder[:] = [item for item in holder if sets.element(item, node) != last]

    def _node(self, path: Path) -> Node | None:
        node: Node | None = self._kind.schema
        for part in path:
            kind, _, name = part.partition(":")
            if part == "f:metadata" and node is self._kind.schema:
                node = self._metadata
            elif kind == "f":
                node = sets.child(node, name)
            else:
                node = node.items if node is not None else None
        return node

    def _holder(self, obj: Any, path: Path) -> tuple[Any, str]:
        """The container of a path's last part. The way there is copied, so that `live` keeps its value."""
        for position, part in enumerate(path[:-1]):
            kind, _, name = part.partition(":")
            if kind == "f":
                if not isinstance(obj, dict) or name not in obj:
                    return None, path[-1]
                inner = obj[name]
                obj[name] = (
                    dict(inner)
                    if isinstance(inner, dict)
                    else list(inner)
                    if isinstance(inner, list)
                    else inner
                )
                obj = obj[name]
            else:
                node = self._node(path[:position])
                if not isinstance(obj, list) or node is None:
                    return None, path[-1]
                index = next((i for i, item in enumerate(obj) if sets.element(item, node) == part), None)
                if index is None:
                    return None, path[-1]
                obj[index] = dict(obj[index]) if isinstance(obj[index], dict) else obj[index]
                obj = obj[index]
        return obj, path[-1]


def _plain(obj: Obj) -> Obj:
    metadata = {key: value for key, value in obj.get("metadata", {}).items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


def _is(entry: Obj, manager: str, operation: str, subresource: str) -> bool:
    return (
        entry.get("manager") == manager
        and entry.get("operation") == operation
        and (entry.get("subresource") or "") == subresource
    )


def _merge(live: Any, config: Any, node: Node | None) -> Any:
    if isinstance(live, dict) and isinstance(config, dict):
        if node is not None and node.raw.get("x-kubernetes-map-type") == "atomic":
            return config
        merged = dict(live)
        for key, value in config.items():
            merged[key] = _merge(live.get(key), value, sets.child(node, key))
        return merged
    if (
        isinstance(live, list)
        and isinstance(config, list)
        and node is not None
        and node.list_type != "atomic"
    ):
        given = {sets.element(item, node): item for item in config}
        merged_list = []
        for item in live:
            name = sets.element(item, node)
            merged_list.append(_merge(item, given.pop(name), node.items) if name in given else item)
        return merged_list + list(given.values())
    return config


def _conflict(conflicts: list[tuple[Obj, list[Path]]]) -> ApiError:
    causes = []
    parts = []
    for entry, paths in conflicts:
        who = f'conflict with "{entry["manager"]}"'
        if entry.get("operation") == "Update":
            who += f" using {entry.get('apiVersion')}"
        causes += [
            {"reason": "FieldManagerConflict", "message": who, "field": sets.show(path)} for path in paths
        ]
        listed = ", ".join(sets.show(path) for path in paths)
        parts.append(
            f"{who}: {listed}" if len(paths) == 1 else f"{who}:\n- " + "\n- ".join(listed.split(", "))
        )
    count = len(causes)
    head = f"Apply failed with {count} conflict{'s' if count > 1 else ''}: "
    return ApiError(409, head + "\n".join(parts), details={"causes": causes})
