"""Who manages which fields: server-side apply, and the account of plain writes (KEP-555).

After apiserver's `endpoints/handlers/fieldmanager` and structured-merge-diff's `merge`.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.edgesite.apiserver import fieldsets as sets
from edgelab.edgesite.apiserver.comparing import Comparison, field_set, owned, skeleton
from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.fieldsets import Path, Tree
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.merging import Pruner, merge
from edgelab.edgesite.apiserver.schema import Node
from edgelab.edgesite.apiserver.typedconfig import problems
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
UNNAMED = "edgesite"
FIRST = "before-first-apply"
OLD = "ancient-changes"
MAX_UPDATERS = 10


class FieldManager:
    """Of one kind."""

    def __init__(self, kind: Kind, metadata: Node, clock: Clock) -> None:
        self._kind = kind
        self._metadata = metadata
        self._clock = clock

    def compare(self, old: Obj, new: Obj) -> Comparison:
        """What differs."""
        return Comparison(old, new, self._kind.schema, self._metadata)

    def _entry(self, manager: str, operation: str, fields: Tree, subresource: str) -> Obj:
        return {
            "manager": manager or UNNAMED,
            "operation": operation,
            "apiVersion": self._kind.api_version,
            **({} if subresource == "scale" else {"time": rfc3339(self._clock.now())}),
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
            **({"subresource": subresource} if subresource else {}),
        }

    def created(self, new: Obj, manager: str) -> None:
        """Account for a new object: all of it is its creator's."""
        schema = self._kind.schema
        empty = skeleton(schema) if schema is not None and self._kind.custom is None else {}
        changes = self.compare(empty, new)
        fields = sets.joined(changes.added, changes.modified)
        new["metadata"].pop("managedFields", None)
        if fields:
            new["metadata"]["managedFields"] = [self._entry(manager, "Update", fields, "")]

    def updated(self, new: Obj, old: Obj, manager: str, subresource: str = "") -> None:
        """Account for an update: what it changed is the updater's. An object without managers stays so."""
        entries = _given(new, old, subresource)
        new["metadata"].pop("managedFields", None)
        if not entries:
            return
        changes = self.compare(old, new)
        own = sets.joined(changes.added, changes.modified)
        if own or changes.removed:
            entries = _without(entries, sets.joined(own, changes.removed))
        if own:
            entries = self._with(entries, manager, own, subresource)
        if entries:
            new["metadata"]["managedFields"] = _sorted(_capped(entries))

    def _with(self, entries: list[Obj], manager: str, own: Tree, subresource: str) -> list[Obj]:
        fresh = self._entry(manager, "Update", own, subresource)
        mine = next((entry for entry in entries if _is(entry, fresh)), None)
        if mine is not None:
            fresh["fieldsV1"] = sets.joined(mine["fieldsV1"], own)
        return [*(entry for entry in entries if entry is not mine), fresh]

    def apply(self, live: Obj, config: Obj, context: Context, subresource: str = "") -> Obj:
        """The object after an apply. Raises ApiError 409 when another manager holds a changed field."""
        metadata = config.get("metadata") or {}
        if metadata.get("managedFields") is not None:
            raise ApiError(400, "metadata.managedFields must be nil")
        self._check(config)
        try:
            return self._applied(live, config, context.field_manager, subresource, force=context.force)
        except _Conflicts as conflicts:
            allowed = self._upgradable(live, context)
            left = [(entry, sets.difference(held, allowed)) for entry, held in conflicts.found]
            left = [(entry, held) for entry, held in left if held]
            if left or not allowed:
                raise _refusal(left) from conflicts
        return self._applied(live, config, context.field_manager, subresource, force=True)

    def _applied(self, live: Obj, config: Obj, manager: str, subresource: str, *, force: bool) -> Obj:
        schema, metadata = self._kind.schema, self._metadata
        entries = self._entries(live)
        fresh = self._entry(manager, "Apply", {}, subresource)
        mine = next((entry for entry in entries if _is(entry, fresh)), None)
        others = [entry for entry in entries if entry is not mine]
        fields = fresh["fieldsV1"] = field_set(owned(config), schema, metadata)
        merged = {**merge(live, config, schema)}
        merged["metadata"] = merge(live.get("metadata") or {}, config.get("metadata") or {}, metadata)
        if mine is not None:
            kept = fields
            for entry in others:
                kept = sets.joined(kept, entry["fieldsV1"])
            merged = Pruner(kept, metadata).prune(merged, schema, mine["fieldsV1"])
        changes = self.compare(live, merged)
        touched = sets.joined(changes.added, changes.modified)
        found = [(entry, held) for entry in others if (held := sets.intersection(entry["fieldsV1"], touched))]
        if found and not force:
            raise _Conflicts(found)
        others = _without(others, sets.joined(touched, changes.removed))
        if mine is not None and mine["fieldsV1"] == fields and not (touched or changes.removed):
            fresh = mine
        managers = [*others, *([fresh] if fields else [])]
        merged["metadata"]["managedFields"] = _sorted(managers)
        if manager == "kubectl":
            _remember_applied(merged["metadata"], config)
        return merged

    def _entries(self, live: Obj) -> list[Obj]:
        """The managers; an object that has none was written before its first apply."""
        entries = (live.get("metadata") or {}).get("managedFields") or []
        if entries or not (live.get("metadata") or {}).get("uid"):
            return list(entries)
        schema = self._kind.schema
        empty = skeleton(schema) if schema is not None and self._kind.custom is None else {}
        changes = self.compare(empty, live)
        fields = sets.joined(changes.added, changes.modified)
        return [self._entry(FIRST, "Update", fields, "")] if fields else []

    def _check(self, config: Obj) -> None:
        found = list(problems(config, self._kind.schema, self._metadata))
        if not found:
            return
        metadata = config.get("metadata") or {}
        own = [metadata.get(field) for field in ("namespace", "name")]
        name = "/".join(text if isinstance(text, str) else "" for text in own)
        what = (
            f"{self._kind.group}/{self._kind.resource.version}".removeprefix("/")
            if self._kind.group
            else "/v1"
        )
        listed = found[0] if len(found) == 1 else "errors:\n" + "\n".join(f"  {text}" for text in found)
        text = f"failed to create typed patch object ({name}; {what}, Kind={self._kind.name}): {listed}"
        raise ApiError(500, text, reason="")

    def _upgradable(self, live: Obj, context: Context) -> Tree:
        """What kubectl may take over because its own client-side apply had set it."""
        annotations = (live.get("metadata") or {}).get("annotations") or {}
        if context.field_manager != "kubectl" or LAST_APPLIED not in annotations:
            return {}
        try:
            last = msgspec.json.decode(annotations[LAST_APPLIED])
        except msgspec.DecodeError:
            return {}
        return field_set(owned(last), self._kind.schema, self._metadata) if isinstance(last, dict) else {}


def _remember_applied(metadata: Obj, config: Obj) -> None:
    """Keep the annotation of kubectl's client-side apply in step, where there is one."""
    if LAST_APPLIED not in (metadata.get("annotations") or {}):
        return
    mine = {key: value for key, value in config["metadata"].items() if key != "managedFields"}
    if "annotations" in mine:
        mine["annotations"] = {k: v for k, v in (mine["annotations"] or {}).items() if k != LAST_APPLIED}
    text = json.dumps({**config, "metadata": mine}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    metadata["annotations"] = {**metadata["annotations"], LAST_APPLIED: text + "\n"}


class _Conflicts(Exception):
    def __init__(self, found: list[tuple[Obj, Tree]]) -> None:
        super().__init__("other managers hold changed fields")
        self.found = found


def _given(new: Obj, old: Obj, subresource: str) -> list[Obj]:
    """The managers that an update brings along, or those of the object; none after a reset."""
    given = new["metadata"].get("managedFields")
    if not subresource:
        if given is not None and (not given or given == [{}]):
            return []
        if given and all(_is_readable(entry) for entry in given):
            return list(given)
    return list(old["metadata"].get("managedFields") or [])


def _is_readable(entry: Any) -> bool:
    if not isinstance(entry, dict) or entry.get("operation") not in ("Apply", "Update"):
        return False
    return _is_tree(entry.get("fieldsV1"))


def _is_tree(fields: Any) -> bool:
    """Whether these are sets of fields all the way down: clients may send anything."""
    return isinstance(fields, dict) and all(_is_tree(inner) for inner in fields.values())


def _without(entries: list[Obj], fields: Tree) -> list[Obj]:
    """The managers without some fields; who has none left is no manager."""
    rest = ({**entry, "fieldsV1": sets.difference(entry["fieldsV1"], fields)} for entry in entries)
    return [entry for entry in rest if entry["fieldsV1"]]


def _is(entry: Obj, other: Obj) -> bool:
    return all(
        (entry.get(key) or "") == (other.get(key) or "")
        for key in ("manager", "operation", "apiVersion", "subresource")
    )


def _sorted(entries: list[Obj]) -> list[Obj]:
    return sorted(
        entries,
        key=lambda entry: (entry["operation"], entry.get("time") or "", entry.get("manager") or ""),
    )


def _capped(entries: list[Obj]) -> list[Obj]:
    """At most ten updaters: the oldest ones become one."""
    updaters = [entry for entry in _sorted(entries) if entry["operation"] == "Update"]
    surplus = updaters[: len(updaters) - MAX_UPDATERS + 1] if len(updaters) > MAX_UPDATERS else []
    if not surplus:
        return entries
    ancient = {key: value for key, value in surplus[-1].items() if key != "subresource"} | {"manager": OLD}
    for entry in surplus[:-1]:
        ancient["fieldsV1"] = sets.joined(ancient["fieldsV1"], entry["fieldsV1"])
    return [ancient, *(entry for entry in entries if all(entry is not other for other in surplus))]


def _refusal(conflicts: list[tuple[Obj, Tree]]) -> ApiError:
    """409 with each field and who holds it."""
    conflicts = sorted(conflicts, key=lambda pair: pair[0].get("manager") or "")
    listed: list[tuple[str, list[Path]]] = [
        (_who(entry), list(sets.members(held))) for entry, held in conflicts
    ]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": sets.show(path)}
        for who, paths in listed
        for path in paths
    ]
    if len(causes) == 1:
        text = f"1 conflict: conflict with {listed[0][0]}: {causes[0]['field']}"
    else:
        lines = [
            line
            for who, paths in listed
            for line in (f"conflicts with {who}:", *(f"- {sets.show(path)}" for path in paths))
        ]
        text = f"{len(causes)} conflicts: " + "\n".join(lines)
    return ApiError(409, f"Apply failed with {text}", details={"causes": causes})


def _who(entry: Obj) -> str:
    text = f'"{entry.get("manager") or ""}"'
    if entry.get("subresource"):
        text += f' with subresource "{entry["subresource"]}"'
    return text + (f" using {entry.get('apiVersion')}" if entry.get("operation") == "Update" else "")
