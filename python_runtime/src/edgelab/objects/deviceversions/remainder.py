"""What one layout says and the other has no field for: found, noted in an annotation, and given back.

The note mirrors the object. Where a conversion there and back does not give what was there, it has a pair:
a digest of what came back, and what was there. A part that is changed in the other layout meanwhile does not
match its digest any more and stays as it was changed; all others become again what they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

Obj = dict[str, Any]
Path = tuple[str, ...]

REST = "edgelab.io/other-version"
"""Annotation: JSON of what the object's other layout says and this one has no field for."""

PARTS = ("spec", "status")
ITEM = "*"
"""Stands in paths for any item of a list."""
ORDER = "\0"
"""Key of a list's note for the order of its names, which no name can be."""


class Shape:
    """Which lists of a layout go by a name, in which field, and which objects only make sense as a whole."""

    def __init__(self, lists: Mapping[Path, str], wholes: frozenset[Path] = frozenset()) -> None:
        self._lists = lists
        self._wholes = wholes

    def note(self, back: Obj, original: Obj) -> Obj:
        """What is to be remembered, when `back` is what comes back of `original`."""
        found = {part: self._note(back.get(part), original.get(part), (part,)) for part in PARTS}
        return {part: note for part, note in found.items() if note is not None}

    def restore(self, converted: Obj, note: Obj) -> Obj:
        """`converted` with everything that the note has of its parts."""
        parts = {part: self._restored(converted.get(part), note.get(part), (part,)) for part in PARTS}
        rest = {key: value for key, value in converted.items() if key not in PARTS}
        return rest | {part: value for part, value in parts.items() if value is not None}

    def _note(self, back: Any, original: Any, path: Path) -> Any:
        if _same(back, original):
            return None
        old, new = self._named(back, path), self._named(original, path)
        if not (isinstance(old, dict) and isinstance(new, dict)) or path in self._wholes:
            return [_digest(back), original]
        found = {
            key: self._note(old.get(key), new.get(key), self._below(path, key)) for key in {**new, **old}
        }
        return {key: note for key, note in found.items() if note is not None} or None

    def _restored(self, value: Any, note: Any, path: Path) -> Any:
        if isinstance(note, list):
            return note[1] if len(note) == 2 and _digest(value) == note[0] else value
        named = self._named(value, path)
        if not isinstance(note, dict) or not isinstance(named, dict):
            return value
        for key, inner in note.items():
            named[key] = self._restored(named.get(key), inner, self._below(path, key))
        kept = {key: item for key, item in named.items() if item is not None}
        return _listed(kept) if path in self._lists else kept

    def _below(self, path: Path, key: str) -> Path:
        return (*path, ITEM if path in self._lists else key)

    def _named(self, value: Any, path: Path) -> Any:
        """A copy of an object, or of a list with its names as keys; anything else as it is."""
        key = self._lists.get(path)
        if key is None or not isinstance(value, list):
            return dict(value) if isinstance(value, dict) else value
        names = [item.get(key) for item in value if isinstance(item, dict)]
        if len({name for name in names if isinstance(name, str)}) < len(value):
            return value
        return {**dict(zip(names, value, strict=True)), ORDER: names}


def note_of(obj: Obj) -> Obj:
    """What the annotation keeps; empty when there is none, or one that somebody has spoilt."""
    text = (obj["metadata"].get("annotations") or {}).get(REST)
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def with_note(metadata: Obj, note: Obj) -> Obj:
    """Metadata that keeps `note` in its annotation, and no annotation for nothing."""
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != REST}
    if note:
        annotations[REST] = json.dumps(note, separators=(",", ":"), sort_keys=True)
    bare = {key: value for key, value in metadata.items() if key != "annotations"}
    return {**bare, "annotations": annotations} if annotations else bare


def _listed(named: Obj) -> list[Any]:
    order = [name for name in named.pop(ORDER, ()) if name in named]
    return [named[name] for name in dict.fromkeys([*order, *named])]


def _same(back: Any, original: Any) -> bool:
    """Empty objects and lists say as much as absent ones."""
    return bool(back == original and type(back) is type(original)) or (
        _is_empty(back) and _is_empty(original)
    )


def _is_empty(value: Any) -> bool:
    return value is None or value in ({}, [])


def _digest(value: Any) -> str:
    if _is_empty(value):
        return ""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
