"""Roles and bindings (`pkg/registry/rbac/validation`, `plugin/pkg/auth/authorizer/rbac`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.context import User
from edgelab.edgesite.store import Key, Store

Obj = dict[str, Any]
Rule = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"
ROLES, CLUSTER_ROLES, BINDINGS, CLUSTER_BINDINGS = BUCKETS = tuple(
    f"{GROUP}/{name}" for name in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
)
ACCOUNT = "system:serviceaccount:"
REMEMBERED = 512
"""Users whose grants are kept: those of a site's nodes, controllers and people."""


class Wanted(Protocol):
    """What is asked for (`authorization.Attributes`)."""

    @property
    def verb(self) -> str:
        """The verb."""
        ...

    @property
    def group(self) -> str:
        """The API group."""
        ...

    @property
    def resource(self) -> str:
        """The resource without subresource."""
        ...

    @property
    def subresource(self) -> str:
        """The subresource."""
        ...

    @property
    def full_resource(self) -> str:
        """The resource with subresource."""
        ...

    @property
    def namespace(self) -> str:
        """The namespace."""
        ...

    @property
    def name(self) -> str:
        """The object."""
        ...

    @property
    def path(self) -> str:
        """The path of what is no resource."""
        ...


class Grant(NamedTuple):
    """What one binding gives to one subject. `error` says why it gives nothing."""

    position: int
    rules: tuple[Rule, ...]
    reason: str
    error: str = ""


class Rights(NamedTuple):
    """All rules of a user in a namespace, and what could not be found out."""

    rules: tuple[Rule, ...]
    errors: tuple[str, ...] = ()
    incomplete: bool = False


Subjects = dict[str, list[Grant]]
"""By `User/<name>` or `Group/<name>`."""


class Rbac:
    """Reads roles and bindings out of the store, again when one of them has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: tuple[int, ...] = ()
        self._spaces: dict[str, Subjects] = {}
        self._roles: dict[Key, tuple[Rule, ...]] = {}
        self._known: dict[tuple[str, tuple[str, ...], str], tuple[Grant, ...]] = {}

    def decide(self, user: User, wanted: Wanted) -> tuple[bool, str]:
        """Whether a role allows it, and which; the errors met when none does."""
        errors: list[str] = []
        for grant in self._grants(user, wanted.namespace):
            if grant.error:
                errors.append(grant.error)
            elif any(covers(rule, wanted) for rule in grant.rules):
                return True, f"RBAC: allowed by {grant.reason}"
        return False, f"RBAC: {aggregate(errors)}" if errors else ""

    def rights(self, user: User, namespace: str) -> Rights:
        """All rules that a user has in a namespace (in none: in the whole cluster)."""
        grants = self._grants(user, namespace)
        errors = tuple(grant.error for grant in grants if grant.error)
        return Rights(tuple(rule for grant in grants for rule in grant.rules), errors)

    def role(self, reference: Obj, namespace: str) -> tuple[Rule, ...] | None:
        """The rules of the role that a roleRef in a namespace names, or None when there is no such role."""
        self._refresh()
        return self._roles.get(_role_key(reference, namespace))

    def _grants(self, user: User, namespace: str) -> tuple[Grant, ...]:
        self._refresh()
        identity = (user.name, user.groups, namespace)
        found = self._known.get(identity)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            found = self._known[identity] = tuple(self._find(user, namespace))
        return found

    def _find(self, user: User, namespace: str) -> Iterator[Grant]:
        """The grants of the cluster's bindings before those of the namespace; a binding counts once."""
        names = (f"User/{user.name}", *(f"Group/{group}" for group in user.groups))
        for space in ("", namespace) if namespace else ("",):
            subjects = self._spaces.get(space, {})
            grants = {g.position: g for name in reversed(names) for g in subjects.get(name, ())}
            yield from (grants[position] for position in sorted(grants))

    def _refresh(self) -> None:
        seen = tuple(self._store.changed_at(bucket) for bucket in BUCKETS)
        if seen == self._seen:
            return
        self._known.clear()
        self._roles = {
            entry.key: tuple(codec.decode(entry.data).get("rules") or ())
            for bucket in (ROLES, CLUSTER_ROLES)
            for entry in self._store.entries(bucket)
        }
        self._spaces = {}
        position = 0
        for bucket in (CLUSTER_BINDINGS, BINDINGS):
            for entry in self._store.entries(bucket):
                position += 1
                self._bind(entry.key, codec.decode(entry.data), position)
        self._seen = seen

    def _bind(self, key: Key, binding: Obj, position: int) -> None:
        reference, space = binding["roleRef"], key.namespace
        rules = self._roles.get(_role_key(reference, space))
        error = "" if rules is not None else missing_role(reference)
        kind = "RoleBinding" if space else "ClusterRoleBinding"
        where = f"{key.name}/{space}" if space else key.name
        role = f'{kind} "{where}" of {reference["kind"]} "{reference["name"]}"'
        subjects = self._spaces.setdefault(space, defaultdict(list))
        for subject in binding.get("subjects") or ():
            name, described = _subject(subject, space)
            if name and all(grant.position != position for grant in subjects.get(name, ())):
                subjects[name].append(Grant(position, rules or (), f"{role} to {described}", error))


def missing_role(reference: Obj) -> str:
    """The error for a binding to a role that is not there."""
    kind, name = reference["kind"], reference["name"]
    if kind not in ("Role", "ClusterRole"):
        return f'unsupported role reference kind: "{kind}"'
    return f'{kind.lower()}.{GROUP} "{name}" not found'


def aggregate(errors: Iterable[str]) -> str:
    """Errors as Go's aggregate words them: each once, in brackets when there are several."""
    once = list(dict.fromkeys(errors))
    return once[0] if len(once) == 1 else f"[{', '.join(once)}]"


def _subject(subject: Obj, namespace: str) -> tuple[str, str]:
    kind, name = subject.get("kind") or "", subject.get("name") or ""
    if kind != "ServiceAccount":
        return (f"{kind}/{name}" if kind in ("User", "Group") else ""), f'{kind} "{name}"'
    space = subject.get("namespace") or namespace
    return (f"User/{ACCOUNT}{space}:{name}" if space else ""), f'{kind} "{name}/{space}"'


def _role_key(reference: Obj, namespace: str) -> Key:
    if reference["kind"] == "ClusterRole":
        return Key(CLUSTER_ROLES, "", reference["name"])
    return Key(ROLES, namespace, reference["name"])


def covers(rule: Rule, wanted: Wanted) -> bool:
    """Whether a rule allows what is asked for."""
    verbs = rule.get("verbs") or ()
    if wanted.verb not in verbs and "*" not in verbs:
        return False
    if wanted.path:
        return any(_path_fits(item, wanted.path) for item in rule.get("nonResourceURLs") or ())
    groups, names = rule.get("apiGroups") or (), rule.get("resourceNames") or ()
    if wanted.group not in groups and "*" not in groups:
        return False
    return _names_resource(rule.get("resources") or (), wanted) and (not names or wanted.name in names)


def _path_fits(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))


def _names_resource(resources: Iterable[str], wanted: Wanted) -> bool:
    if "*" in resources or wanted.full_resource in resources:
        return True
    return bool(wanted.subresource) and f"*/{wanted.subresource}" in resources
