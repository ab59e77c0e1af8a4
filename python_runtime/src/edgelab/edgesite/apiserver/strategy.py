"""What is particular about a kind: defaults, what is set on create and update, what is valid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause

Obj = dict[str, Any]
OnChange = Callable[[Obj, Obj], None]
Check = Callable[[Obj], list[Cause]]
CheckChange = Callable[[Obj, Obj], list[Cause]]


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
class Part:
    """A subresource that writes: what it keeps, and what is valid (complete, as `ValidateUpdate`)."""

    on_update: OnChange = _no_change
    validate: CheckChange = _fine_change


@dataclass(frozen=True, slots=True)
class Strategy:
    """Functions on one object (in place) or on its new and old version.

    `validate` is kube-apiserver's `Validate` without the metadata (unless `checks_metadata` is False),
    `validate_update` its complete `ValidateUpdate`, which often says a thing twice.
    """

    default: Callable[[Obj], None] = _nothing
    on_create: Callable[[Obj], None] = _nothing
    on_update: OnChange = _no_change
    validate: Check = _fine
    validate_update: CheckChange = _fine_change
    parts: Mapping[str, Part] = field(default_factory=dict)
    checks_metadata: bool = True
    keeps_status_on_create: bool = False
    blank_status: Mapping[str, Any] = field(default_factory=dict)
    """What stands in the status of a new object."""
    returns_deleted: bool = False
    creates_on_update: bool = False
    has_generation: bool = True
    unconditional: bool = True
    """Whether a PUT may leave the resourceVersion out."""
    warnings: Callable[[Obj, Obj | None], list[str]] = _no_warnings


PLAIN = Strategy()
