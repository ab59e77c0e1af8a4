"""Paths of requests, and which rule of a namespace a path belongs to.

A rule's path is a list of segments, `{name}` standing for any one. It fits a request whose first segments
are these; what remains is appended to the target. Of several rules the most specific one counts: from the
left, a literal segment goes before `{name}`, and a longer path before a shorter one.

The original takes a rule's path for a regular expression and finds it anywhere in the URL, query included
(KubeEdge `cloud/pkg/router/listener/http.go`); docs/reference/router.md tells what differs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

T = TypeVar("T")
LONGEST, DEEPEST = 4096, 64
"""Characters and segments of a path."""
_PARAMETER = re.compile(r"\{[^{}/]*\}")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class BadPath(ValueError):
    """A path that is refused; `str()` says why."""


def is_parameter(segment: str) -> bool:
    """Whether a rule's segment stands for any segment."""
    return _PARAMETER.fullmatch(segment) is not None


def pattern(path: str) -> tuple[str, ...]:
    """A rule's path as segments, every parameter as `{}`. Raises BadPath."""
    segments = [segment for segment in path.split("/") if segment]
    if not segments:
        raise BadPath("a path has at least one segment")
    if any(segment in (".", "..") for segment in segments):
        raise BadPath("'.' and '..' are no segments")
    return tuple("{}" if is_parameter(segment) else segment for segment in segments)


def split(target: str) -> tuple[list[str], list[str], str]:
    """The segments of a request's target, decoded and as they were sent, and its query. Raises BadPath."""
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        raise BadPath("a path begins with '/'")
    if len(target) > LONGEST:
        raise BadPath(f"a path has at most {LONGEST} characters")
    sent = path[1:].removesuffix("/").split("/")
    if len(sent) > DEEPEST:
        raise BadPath(f"a path has at most {DEEPEST} segments")
    return [_decoded(segment) for segment in sent], sent, query


def _decoded(segment: str) -> str:
    """Raises BadPath for what no segment can be, written plainly or in escapes."""
    if _BROKEN_ESCAPE.search(segment):
        raise BadPath("'%' begins an escape of two hexadecimal digits")
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise BadPath("a path is UTF-8") from None
    if text in ("", ".", "..") or "/" in text:
        raise BadPath("a segment is not empty, '.', '..', and has no '/'")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise BadPath("a path has no control characters")
    return text


@dataclass(slots=True)
class _Branch(Generic[T]):
    literals: dict[str, _Branch[T]] = field(default_factory=dict)
    parameter: _Branch[T] | None = None
    value: T | None = None


class PathTable(Generic[T]):
    """The patterns of one namespace; made anew when one of them changes."""

    def __init__(self, entries: Iterable[tuple[Sequence[str], T]]) -> None:
        self._root: _Branch[T] = _Branch()
        for segments, value in entries:
            branch = self._root
            for segment in segments:
                branch = _below(branch, segment)
            branch.value = value

    def find(self, segments: Sequence[str]) -> tuple[T, int] | None:
        """What the most specific pattern leads to, and how many segments it takes; None when none fits."""
        return _find(self._root, segments, 0)


def _below(branch: _Branch[T], segment: str) -> _Branch[T]:
    if segment == "{}":
        branch.parameter = branch.parameter or _Branch()
        return branch.parameter
    return branch.literals.setdefault(segment, _Branch())


def _find(branch: _Branch[T], segments: Sequence[str], depth: int) -> tuple[T, int] | None:
    if depth < len(segments):
        for below in (branch.literals.get(segments[depth]), branch.parameter):
            if below is not None and (found := _find(below, segments, depth + 1)) is not None:
                return found
    return None if branch.value is None else (branch.value, depth)
