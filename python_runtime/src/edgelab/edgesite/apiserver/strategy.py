"""What is particular about a kind: defaults, what is set on create and update, what is valid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause

Obj = dict[str, Any]


def _nothing(obj: Obj) -> None:
    """Leave it."""


def _fine(obj: Obj) -> list[Cause]:
    return []


def _no_change(new: Obj, old: Obj) -> None:
    """Leave it."""


def _fine_change(new: Obj, old: Obj) -> list[Cause]:
    return []


def _no_warnings(new: Obj, old: Obj | None) -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Strategy:
    """Functions on one object (in place) or on its new and old version."""

    default: Callable[[Obj], None] = _nothing
    on_create: Callable[[Obj], None] = _nothing
    on_update: Callable[[Obj, Obj], None] = _no_change
    validate: Callable[[Obj], list[Cause]] = _fine
    validate_update: Callable[[Obj, Obj], list[Cause]] = _fine_change
    keeps_status_on_create: bool = False
    returns_deleted: bool = False
    creates_on_update: bool = False
    has_generation: bool = True
    update_is_whole: bool = False
    """Whether `validate_update` checks everything that is checked in an update."""
    needs_version: bool = False
    """Whether an update must say which version it changes."""
    warnings: Callable[[Obj, Obj | None], list[str]] = _no_warnings


PLAIN = Strategy()
