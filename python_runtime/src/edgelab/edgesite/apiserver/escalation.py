"""Nobody hands out more than they have: writes of roles and bindings (`pkg/registry/rbac/*/policybased`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgelab.edgesite.apiserver.authorization import GROUP, Attributes, Authorizer, forbidden
from edgelab.edgesite.apiserver.context import User
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.objects.status import ApiError, not_found

Obj = dict[str, Any]

ROLES = ("Role", "ClusterRole")
BINDINGS = ("RoleBinding", "ClusterRoleBinding")
EVERYTHING: tuple[Obj, ...] = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)


def check(authorizer: Authorizer, kind: Kind, new: Obj, old: Obj | None, user: User) -> None:
    """Refuse a role with rules, or a binding to a role, beyond what its author may do in that namespace.

    The verb `escalate` on the role, or `bind` on the role that is bound, lifts this. A write that leaves
    rules, role and subjects alone passes. Raises ApiError 403, 404 for a binding to no role.
    """
    if kind.group != GROUP or kind.name not in (*ROLES, *BINDINGS) or authorizer.is_master(user):
        return
    namespace = new["metadata"].get("namespace") or ""
    decisive = ("rules", "aggregationRule") if kind.name in ROLES else ("roleRef", "subjects")
    if old is not None and all(new.get(item) == old.get(item) for item in decisive):
        return
    if kind.name in ROLES:
        verb, resource, name = "escalate", kind.plural, new["metadata"].get("name") or ""
        # What a role will aggregate is not known when it is written.
        rules = EVERYTHING if new.get("aggregationRule") else tuple(new.get("rules") or ())
    else:
        reference = {"kind": "", "name": "", **(new.get("roleRef") or {})}
        verb, name = "bind", reference["name"]
        resource = "clusterroles" if reference["kind"] == "ClusterRole" else "roles"
        found = authorizer.role(reference, namespace)
    if authorizer.allows(user, Attributes(verb, GROUP, resource, "", namespace, name)) is not None:
        return
    if kind.name in BINDINGS:
        if found is None:
            raise not_found(resource, name, GROUP)
        rules = found
    missing = [
        wanted for rule in rules for wanted in _parts(rule, namespace) if not authorizer.allows(user, wanted)
    ]
    if missing:
        raise _refusal(kind, new["metadata"].get("name") or "", user, missing[0])


def _parts(rule: Obj, namespace: str) -> Iterator[Attributes]:
    """Everything that a rule allows, one verb on one thing each; `*` is covered only by `*`."""
    for verb in rule.get("verbs") or ():
        for path in rule.get("nonResourceURLs") or ():
            yield Attributes(verb, namespace=namespace, path=path)
        for group in rule.get("apiGroups") or ():
            for full in rule.get("resources") or ():
                resource, _, subresource = full.partition("/")
                for name in rule.get("resourceNames") or ("",):
                    yield Attributes(verb, group, resource, subresource, namespace, name)


def _refusal(kind: Kind, name: str, user: User, wanted: Attributes) -> ApiError:
    refused = forbidden(user, wanted).message
    return ApiError(
        403,
        f'{kind.qualified} "{name}" is forbidden: user "{user.name}" is attempting to grant RBAC permissions'
        f" not currently held: {refused}",
        details={"name": name, "group": kind.group, "kind": kind.plural},
    )
