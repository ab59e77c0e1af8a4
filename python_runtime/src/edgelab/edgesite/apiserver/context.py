"""Who asks, and how: what a request carries besides its object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edgelab.edgesite.apiserver.kinds import Kind


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated identity."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Target(NamedTuple):
    """What a request is about: an object, or one of its subresources."""

    kind: Kind
    namespace: str
    name: str
    subresource: str = ""


ADMIN = User("system:admin", ("system:masters", "system:authenticated"))


@dataclass(slots=True)
class Context:
    """Options of a write. `field_validation` is Ignore, Warn or Strict; `warnings` goes into the answer;
    `repeated` says which keys of the body were repeated, `part` under which subresource the writer is
    recorded as a manager of fields. `yaml` is set for answers in YAML,
    `formed` for Tables and metadata only. `nameless` says that the request names no object (a generated
    name, a whole collection), `options` are those of the request that were given, `annotations` go into
    the audit log. `hollow` is set when the object has lists or maps with nothing in them.
    `deprecation` is what a client of a deprecated version is told.
    """

    user: User = ADMIN
    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"
    force: bool = False
    warnings: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    part: str = ""
    yaml: bool = False
    formed: bool = False
    hollow: bool = False
    nameless: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    deprecation: str = ""

    def warn(self, text: str) -> None:
        """Warn once."""
        if text not in self.warnings:
            self.warnings.append(text)
