"""What the server serves: one `Kind` for each resource in each version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgelab.edgesite.apiserver.custom.definition import Definition
from edgelab.edgesite.apiserver.schema import Catalogue, Node
from edgelab.kube.interface import Resource

if TYPE_CHECKING:
    from edgelab.edgesite.apiserver.custom.rules import SchemaRules

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class CustomVersion:
    """What a CustomResourceDefinition says of one version."""

    columns: tuple[dict[str, Any], ...]
    scale: dict[str, str] | None
    selectable: tuple[str, ...]
    storage_version: str
    rules: SchemaRules | None = None
    """The rules (CEL) in the schema."""
    deprecation: str = ""
    """What clients of this version are warned of."""
    terminating: bool = False
    definition: Definition = field(default_factory=lambda: Definition({}))


@dataclass(slots=True, eq=False)
class Kind:
    """A resource in a version, how it is named, what can be done with it, and what its objects are."""

    resource: Resource
    schema: Node | None
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    list_kind: str = ""
    custom: CustomVersion | None = None
    bucket: str = ""
    storage_api_version: str = field(default="")
    group: str = field(init=False)
    """The API group; empty for the core group."""
    name: str = field(init=False)
    """The kind."""
    plural: str = field(init=False)
    """The resource's name in paths."""
    api_version: str = field(init=False)
    """`apps/v1`."""

    def __post_init__(self) -> None:
        resource = self.resource
        # every request asks for these again and again
        self.group, self.name = resource.group, resource.kind
        self.plural, self.api_version = resource.plural, resource.api_version
        self.list_kind = self.list_kind or f"{resource.kind}List"
        if not self.bucket:
            self.bucket = f"{resource.group}/{resource.plural}" if resource.group else resource.plural
        self.storage_api_version = self.storage_api_version or resource.api_version

    @property
    def qualified(self) -> str:
        """`deployments.apps`, as error messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


class Kinds:
    """All kinds by group, version and plural; custom ones come and go."""

    def __init__(self, catalogue: Catalogue, builtin: Iterable[Kind]) -> None:
        self.catalogue = catalogue
        self._kinds: dict[tuple[str, str, str], Kind] = {}
        self.generation = 0
        for kind in builtin:
            self.add(kind)

    def add(self, kind: Kind) -> None:
        """Serve a kind (or serve it differently)."""
        self._kinds[kind.group, kind.resource.version, kind.plural] = kind
        self.generation += 1

    def remove(self, group: str, plural: str, version: str = "") -> None:
        """Stop serving a custom resource, in one version or in all."""
        for key in [k for k in self._kinds if k[0] == group and k[2] == plural and version in ("", k[1])]:
            del self._kinds[key]
        self.generation += 1

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind at this path."""
        return self._kinds.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Kind | None:
        """The kind of an object."""
        return next(
            (k for k in self._kinds.values() if k.name == kind and k.api_version == api_version), None
        )

    def for_plural(self, group: str, plural: str) -> Kind | None:
        """Any version of a resource."""
        return next((k for key, k in self._kinds.items() if key[0] == group and key[2] == plural), None)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def groups(self) -> dict[str, list[str]]:
        """Group -> served versions, the preferred one first."""
        found: dict[str, list[str]] = {}
        for group, version, _ in self._kinds:
            versions = found.setdefault(group, [])
            if version not in versions:
                versions.append(version)
        return {group: sorted(versions, key=version_rank, reverse=True) for group, versions in found.items()}

    def is_custom(self, group: str) -> bool:
        """Whether a group has only custom resources."""
        found = [kind for key, kind in self._kinds.items() if key[0] == group]
        return bool(found) and all(kind.custom is not None for kind in found)

    def in_version(self, group: str, version: str) -> list[Kind]:
        """All kinds of a group version, by name."""
        found = [kind for key, kind in self._kinds.items() if key[:2] == (group, version)]
        return sorted(found, key=lambda kind: kind.plural)


def version_rank(version: str) -> tuple[int, int, int]:
    """Kubernetes' order of versions: v2 > v1 > v1beta2 > v1beta1 > v1alpha1 > others."""
    digits, stage, minor = 0, 3, 0
    rest = version.removeprefix("v")
    for position, name in ((1, "alpha"), (2, "beta")):
        if name in rest:
            rest, _, number = rest.partition(name)
            stage, minor = position, int(number) if number.isdecimal() else 0
    if not rest.isdecimal():
        return (0, 0, 0)
    digits = int(rest)
    return (stage, digits, minor)
