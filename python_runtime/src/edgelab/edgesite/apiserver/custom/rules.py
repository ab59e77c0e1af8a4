"""Rules of custom resources (`x-kubernetes-validations`)."""

from __future__ import annotations

from typing import Any, Protocol

from edgelab.edgesite.apiserver.custom.correlation import Correlation
from edgelab.edgesite.apiserver.custom.errors import Cause

Obj = dict[str, Any]


class Rules(Protocol):
    """The rules of one schema."""

    def check(self, obj: Obj, old: Obj | None, correlation: Correlation | None) -> list[Cause]:
        """The rules that an object breaks."""
        ...
