"""Who may do what: RBAC (`pkg/registry/rbac/validation`, `plugin/pkg/auth/authorizer/rbac`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.context import User
from edgelab.edgesite.store import Key, Store
from edgelab.objects.selectors import from_object
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

MASTERS = "system:masters"
GROUP = "rbac.authorization.k8s.io"
BUCKETS = tuple(
    f"{GROUP}/{name}" for name in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a request wants to do; `path` is set for requests that are for no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """`pods/status`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Grant:
    """The rules that one binding gives to its subjects; namespace is empty for the whole cluster."""

    namespace: str
    subjects: tuple[Obj, ...]
    rules: tuple[Obj, ...]
    reason: str


class Authorizer:
    """Decides by the roles and bindings in the store; reads them again when one of them changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen = (-1, -1, -1, -1)
        self._grants: list[Grant] = []
        self._roles: dict[Key, tuple[Obj, ...]] = {}

    @staticmethod
    def is_master(user: User) -> bool:
        """Whether everything is allowed, whatever the roles say."""
        return MASTERS in user.groups

    def role(self, reference: Obj, namespace: str) -> tuple[Obj, ...] | None:
        """The rules of the role that a roleRef in a namespace names, or None when there is no such role."""
        self._current()
        return self._roles.get(_role_key(reference, namespace))

    def allows(self, user: User, wanted: Attributes) -> str | None:
        """The reason why it is allowed, or None."""
        if MASTERS in user.groups:
            return "member of system:masters"
        for grant, rule in self._rules(user, wanted.namespace):
            if _covers(rule, wanted):
                return grant.reason
        return None

    def check(self, user: User, wanted: Attributes) -> None:
        """Raises ApiError 403 as kube-apiserver words it."""
        if self.allows(user, wanted) is None:
            raise forbidden(user, wanted)

    def rules(self, user: User, namespace: str) -> list[Obj]:
        """All rules that a user has in a namespace."""
        if MASTERS in user.groups:
            everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            return [everything, {"verbs": ["*"], "nonResourceURLs": ["*"]}]
        return [rule for _, rule in self._rules(user, namespace)]

    def _rules(self, user: User, namespace: str) -> Iterator[tuple[Grant, Obj]]:
        for grant in self._current():
            if grant.namespace in ("", namespace) and any(_is(user, s, grant) for s in grant.subjects):
                for rule in grant.rules:
                    yield grant, rule

    def _current(self) -> list[Grant]:
        seen = tuple(self._store.changed_at(bucket) for bucket in BUCKETS)
        if seen != self._seen:
            self._grants = list(self._read())
            self._seen = seen  # type: ignore[assignment] # as many as there are BUCKETS
        return self._grants

    def _read(self) -> Iterator[Grant]:
        roles = self._roles = {}
        cluster_roles = [codec.decode(entry.data) for entry in self._store.entries(BUCKETS[1])]
        for role in cluster_roles:
            key = Key(BUCKETS[1], "", role["metadata"]["name"])
            roles[key] = tuple(aggregated(role, cluster_roles))
        for entry in self._store.entries(BUCKETS[0]):
            roles[entry.key] = tuple(codec.decode(entry.data).get("rules") or ())
        for bucket in BUCKETS[2:]:
            for entry in self._store.entries(bucket):
                binding = codec.decode(entry.data)
                yield self._grant(entry.key, binding, roles)

    @staticmethod
    def _grant(key: Key, binding: Obj, roles: dict[Key, tuple[Obj, ...]]) -> Grant:
        reference = binding["roleRef"]
        kind = "RoleBinding" if key.namespace else "ClusterRoleBinding"
        where = f"{key.name}/{key.namespace}" if key.namespace else key.name
        reason = f'RBAC: allowed by {kind} "{where}" of {reference["kind"]} "{reference["name"]}"'
        rules = roles.get(_role_key(reference, key.namespace), ())
        return Grant(key.namespace, tuple(binding.get("subjects") or ()), rules, reason)


def _role_key(reference: Obj, namespace: str) -> Key:
    if reference["kind"] == "ClusterRole":
        return Key(BUCKETS[1], "", reference["name"])
    return Key(BUCKETS[0], namespace, reference["name"])


def aggregated(role: Obj, all_roles: list[Obj]) -> list[Obj]:
    """The rules of a ClusterRole, with those of the roles that it aggregates."""
    rules = list(role.get("rules") or ())
    for selector in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
        matcher = from_object(selector)
        for other in all_roles:
            if other is not role and matcher.matches(other["metadata"].get("labels")):
                rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules


def _is(user: User, subject: Obj, grant: Grant) -> bool:
    kind, name = subject.get("kind"), subject.get("name")
    if kind == "User":
        return user.name == name
    if kind == "Group":
        return name in user.groups
    namespace = subject.get("namespace") or grant.namespace
    return kind == "ServiceAccount" and user.name == f"system:serviceaccount:{namespace}:{name}"


def _covers(rule: Obj, wanted: Attributes) -> bool:
    verbs = rule.get("verbs") or ()
    if wanted.verb not in verbs and "*" not in verbs:
        return False
    if wanted.path:
        paths = rule.get("nonResourceURLs") or ()
        return any(
            p in ("*", wanted.path) or (p.endswith("*") and wanted.path.startswith(p[:-1])) for p in paths
        )
    groups, names = rule.get("apiGroups") or (), rule.get("resourceNames") or ()
    if wanted.group not in groups and "*" not in groups:
        return False
    return _names_resource(rule.get("resources") or (), wanted) and (not names or wanted.name in names)


def _names_resource(resources: list[str] | tuple[()], wanted: Attributes) -> bool:
    if "*" in resources or wanted.full_resource in resources:
        return True
    return bool(wanted.subresource) and f"*/{wanted.subresource}" in resources


def forbidden(user: User, wanted: Attributes) -> ApiError:
    """403 as kube-apiserver words it."""
    if wanted.path:
        return ApiError(
            403, f'forbidden: User "{user.name}" cannot {wanted.verb} path "{wanted.path}"', details={}
        )
    qualified = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    scope = f' in the namespace "{wanted.namespace}"' if wanted.namespace else " at the cluster scope"
    name = f' "{wanted.name}"' if wanted.name else ""
    details: Obj = {"name": wanted.name} if wanted.name else {}
    if wanted.group:
        details["group"] = wanted.group
    details["kind"] = wanted.resource
    text = (
        f'{qualified}{name} is forbidden: User "{user.name}" cannot {wanted.verb} resource'
        f' "{wanted.full_resource}" in API group "{wanted.group}"{scope}'
    )
    return ApiError(403, text, details=details)
