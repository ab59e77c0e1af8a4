"""What all versions of a definition share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from edgelab.edgesite.apiserver.schema import Node

Obj = dict[str, Any]


class Converter(Protocol):
    """Who converts objects between versions when their apiVersion is not all that differs."""

    def converted(self, data: bytes, api_version: str) -> Obj:
        """An object that `prepare` has converted before."""
        ...

    async def prepare(self, stored: list[bytes], api_version: str, kind: str) -> None:
        """Have objects converted, so that `converted` knows them. Raises ApiError."""
        ...

    async def convert(self, objects: list[Obj], api_version: str, kind: str) -> list[Obj]:
        """Objects in another version. Raises ApiError."""
        ...


@dataclass(slots=True)
class Definition:
    """Schemas by apiVersion; `settled` once no stored object lacks what the schemas say."""

    schemas: dict[str, Node | None]
    converter: Converter | None = None
    settled: bool = False
    source: Any = field(default=None, repr=False)
