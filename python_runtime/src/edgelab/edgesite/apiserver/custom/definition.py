"""What all versions of a definition share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgelab.edgesite.apiserver.schema import Node

if TYPE_CHECKING:
    from edgelab.edgesite.apiserver.custom.converting import WebhookConverter


@dataclass(slots=True)
class Definition:
    """Schemas by apiVersion; `settled` once no stored object lacks what the schemas say.

    `converter` converts where an object's apiVersion is not all that differs between versions.
    """

    schemas: dict[str, Node | None]
    converter: WebhookConverter | None = None
    settled: bool = False
    source: Any = field(default=None, repr=False)
