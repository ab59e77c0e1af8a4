"""All that is checked of a built-in object, in the order of `registry/rest` (BeforeCreate, BeforeUpdate)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import objectmeta
from edgelab.edgesite.apiserver.invalid import Cause
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.strategies import strategy_for

Obj = dict[str, Any]


def created(kind: Kind, obj: Obj) -> list[Cause]:
    """What is wrong with a new object."""
    strategy = strategy_for(kind.group, kind.name)
    causes = objectmeta.of_kind(obj, kind.group, kind.name) if strategy.checks_metadata else []
    causes += strategy.validate(obj)
    return causes or objectmeta.generic(obj, named_only=strategy.checks_metadata)


def changed(kind: Kind, new: Obj, old: Obj, subresource: str) -> list[Cause]:
    """What is wrong with a change."""
    strategy = strategy_for(kind.group, kind.name)
    causes = objectmeta.generic(new) + objectmeta.validate_update(new, old)
    part = strategy.parts.get(subresource)
    if part is not None:
        return causes + part.validate(new, old)
    return causes if subresource == "status" else causes + strategy.validate_update(new, old)
