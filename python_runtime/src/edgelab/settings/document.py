"""Reading a YAML configuration file on top of defaults, with errors that name the field.

KubeEdge decodes its files on top of the full default object and ignores unknown keys
(docs/reference/configuration.md). We do the same at start, but warn; `--check-config` refuses them.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

import msgspec
import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: the dotted `field` and what is wrong with it."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class ConfigError(Exception):
    """A configuration that cannot be used; `problems` lists every finding."""

    def __init__(self, source: str, problems: list[Problem]) -> None:
        super().__init__(f"{source}: " + "; ".join(map(str, problems)))
        self.source = source
        self.problems = problems


@dataclass(slots=True)
class Loaded(Generic[T]):
    """Typed settings, the plain document they came from, the keys nobody knows, and the outdated ones."""

    settings: T
    document: dict[str, Any]
    unknown: list[Problem] = field(default_factory=list)
    outdated: list[Problem] = field(default_factory=list)


Migrate = Callable[[dict[str, Any]], list[Problem]]
"""Turns a document of an older layout into today's, in place; what it returns are warnings."""


def read_yaml(text: str, source: str) -> dict[str, Any]:
    """Parse YAML whose top is a mapping. Raises ConfigError with the line of a syntax error."""
    try:
        document = yaml.load(text, Loader=LOADER)  # noqa: S506 - LOADER is a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(source, [Problem(where, str(getattr(error, "problem", error)))]) from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(source, [Problem("", f"expected a mapping, found {type(document).__name__}")])
    return document


def merge(base: Any, over: Any) -> Any:
    """`over` on top of `base`: mappings merge, everything else (lists too) replaces; null keeps the base."""
    if isinstance(base, dict) and isinstance(over, dict):
        merged = dict(base)
        for key, value in over.items():
            merged[key] = merge(base[key], value) if key in base else value
        return merged
    return copy.deepcopy(base if over is None else over)


def load(path: Path, defaults: T, migrate: Migrate | None = None) -> Loaded[T]:
    """Read `path` on top of `defaults`. Raises ConfigError (unreadable, malformed, wrong type)."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), [Problem("", error.strerror or str(error))]) from error
    return parse(text, defaults, source=str(path), migrate=migrate)


def parse(
    text: str, defaults: T, *, source: str = "configuration", migrate: Migrate | None = None
) -> Loaded[T]:
    """Like `load`, from text."""
    document = read_yaml(text, source)
    outdated = list(respell(document, type(defaults)))
    outdated += migrate(document) if migrate else []
    base = msgspec.to_builtins(defaults)
    try:
        settings = msgspec.convert(merge(base, document), type(defaults), strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(source, [_problem(error)]) from error
    return Loaded(settings, document, list(unknown_fields(document, type(defaults))), outdated)


def _problem(error: msgspec.ValidationError) -> Problem:
    message, _, where = str(error).partition(" - at `$.")
    return Problem(where.rstrip("`"), message)


def unknown_fields(document: Any, kind: Any, prefix: str = "") -> Iterator[Problem]:
    """Keys of `document` that the struct `kind` does not have, depth first."""
    struct = _struct_of(kind)
    if struct is None or not isinstance(document, dict):
        return
    known = {f.encode_name: f.type for f in msgspec.structs.fields(struct)}
    for key, value in document.items():
        name = f"{prefix}{key}"
        if key in known:
            yield from unknown_fields(value, known[key], f"{name}.")
        else:
            yield Problem(name, f"unknown field{_suggestion(str(key), known)}")


def _suggestion(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else ""


def respell(document: Any, kind: Any, prefix: str = "") -> Iterator[Problem]:
    """Give keys that differ from a field in case only its spelling, in place; a warning each.

    Go's decoder takes them (encoding/json, `Unmarshal`), so files with them are in use.
    """
    struct = _struct_of(kind)
    if struct is None or not isinstance(document, dict):
        return
    known = {f.encode_name: f.type for f in msgspec.structs.fields(struct)}
    folded = {name.lower(): name for name in known}
    for key in list(document):
        name = folded.get(str(key).lower(), str(key))
        if name != key and name not in document:
            document[name] = document.pop(key)
            yield Problem(f"{prefix}{key}", f"is written {name}")
        yield from respell(document.get(name), known.get(name), f"{prefix}{name}.")


def _struct_of(kind: Any) -> type[msgspec.Struct] | None:
    candidates = (kind, *get_args(kind))
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, msgspec.Struct)), None)


def dump(value: Any) -> str:
    """Settings or plain data as YAML, keys in their declared order."""
    return yaml.safe_dump(msgspec.to_builtins(value), sort_keys=False, default_flow_style=False, width=110)
