"""What expressions ask of the authorizer (`cel/library/authz.go`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.cel.nodes import CelError

PREFIX = "kubernetes.authorization."


class Answer(NamedTuple):
    """Yes or no, and why."""

    allowed: bool
    reason: str


class Ask(Protocol):
    """Whether somebody may do something."""

    def __call__(self, account: tuple[str, str] | None, verb: str, **attributes: str) -> Answer:
        """`account` is a service account (namespace and name); without one it is who asks."""
        ...


@dataclass(frozen=True, slots=True)
class Authorizer:
    """`authorizer`."""

    ask: Ask
    account: tuple[str, str] | None = None
    type_name = f"{PREFIX}Authorizer"


@dataclass(frozen=True, slots=True)
class PathCheck:
    """`authorizer.path(...)`."""

    authorizer: Authorizer
    path: str
    type_name = f"{PREFIX}PathCheck"


@dataclass(frozen=True, slots=True)
class GroupCheck:
    """`authorizer.group(...)`."""

    authorizer: Authorizer
    group: str
    type_name = f"{PREFIX}GroupCheck"


@dataclass(frozen=True, slots=True)
class ResourceCheck:
    """`authorizer.group(...).resource(...)`."""

    authorizer: Authorizer
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    type_name = f"{PREFIX}ResourceCheck"


@dataclass(frozen=True, slots=True)
class Decision:
    """What `check` answers."""

    answer: Answer
    type_name = f"{PREFIX}Decision"


def _path(found: Authorizer, path: str) -> PathCheck:
    if not path.strip():
        raise CelError("path must not be empty")
    return PathCheck(found, path)


def _resource(found: GroupCheck, resource: str) -> ResourceCheck:
    if not resource.strip():
        raise CelError("resource must not be empty")
    return ResourceCheck(found.authorizer, found.group, resource)


def _service_account(found: Authorizer, namespace: str, name: str) -> Authorizer:
    if names.subdomain(name):
        raise CelError("Invalid service account name")
    if names.label(namespace):
        raise CelError("Invalid service account namespace")
    return replace(found, account=(namespace, name))


def _check(found: PathCheck | ResourceCheck, verb: str) -> Decision:
    authorizer = found.authorizer
    if isinstance(found, PathCheck):
        return Decision(authorizer.ask(authorizer.account, verb, path=found.path))
    fields = ("group", "resource", "subresource", "namespace", "name", "field_selector")
    attributes = {field: getattr(found, field) for field in fields}
    return Decision(authorizer.ask(authorizer.account, verb, **attributes))


def _with(field: str) -> Callable[[ResourceCheck, str], ResourceCheck]:
    def changed(found: ResourceCheck, value: str) -> ResourceCheck:
        changes: dict[str, Any] = {field: value}
        return replace(found, **changes)

    return changed


CHECK_COST = 350_000
"""What `check` costs: an expression can ask twice."""
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "allowed": lambda decision: decision.answer.allowed,
    "check": _check,
    "error": lambda decision: "",
    "errored": lambda decision: False,
    "fieldSelector": _with("field_selector"),
    "group": GroupCheck,
    "labelSelector": _with("label_selector"),
    "name": _with("name"),
    "namespace": _with("namespace"),
    "path": _path,
    "reason": lambda decision: decision.answer.reason,
    "resource": _resource,
    "serviceAccount": _service_account,
    "subresource": _with("subresource"),
}
