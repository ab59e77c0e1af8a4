"""Sets of completion indexes as the status writes them: `1,3-5`. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

from edgelab.kube.interface import Obj

INDEX = "batch.kubernetes.io/job-completion-index"


def read(text: str | None, completions: int) -> set[int]:
    """`1,3-5` as numbers below `completions`; what cannot be read is left out."""
    found: set[int] = set()
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and (not last or last.isdecimal()):
            found.update(range(int(first), min(int(last or first) + 1, completions)))
    return found


def write(indexes: Iterable[int]) -> str:
    """Numbers as `1,3-5`; two in a row are written as two."""
    parts: list[str] = []
    start = end = -2
    for number in [*sorted(indexes), -1]:
        if number == end + 1:
            end = number
            continue
        if end > start:
            parts.append(f"{start}{',' if end == start + 1 else '-'}{end}")
        elif start >= 0:
            parts.append(str(start))
        start = end = number
    return ",".join(parts)


def of(pod: Obj) -> int | None:
    """The pod's index, if it has one."""
    value = (pod["metadata"].get("annotations") or {}).get(INDEX, "")
    return int(value) if value.isdecimal() else None


def pending(taken: set[int], completions: int, count: int) -> list[int]:
    """The first free indexes."""
    found: list[int] = []
    for number in range(completions):
        if len(found) >= count:
            break
        if number not in taken:
            found.append(number)
    return found
