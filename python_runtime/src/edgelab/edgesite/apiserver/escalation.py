"""Nobody hands out more than they have: writes of roles and bindings (`pkg/registry/rbac/*/policybased`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgelab.edgesite.apiserver.access import coverage
from edgelab.edgesite.apiserver.authorization import GROUP, Attributes, Authorizer, refused
from edgelab.edgesite.apiserver.context import User
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.objects.status import ApiError, not_found

Obj = dict[str, Any]

ROLES = ("Role", "ClusterRole")
BINDINGS = ("RoleBinding", "ClusterRoleBinding")
UNDECISIVE = ("ownerReferences", "finalizers", "managedFields", "resourceVersion")
"""Metadata that the garbage collector may change whatever its rights are."""


def check(authorizer: Authorizer, kind: Kind, new: Obj, old: Obj | None, user: User) -> None:
    """Refuse a role with rules, or a binding to a role, beyond what its author may do in that namespace.

    The verb `escalate` on the role, or `bind` on the role that is bound, lifts this. Raises ApiError 403,
    404 for a binding to no role.
    """
    if kind.group != GROUP or kind.name not in (*ROLES, *BINDINGS) or authorizer.is_master(user):
        return
    if old is not None and _content(new) == _content(old):
        return
    if kind.name in ROLES:
        _check_role(authorizer, kind, new, old, user)
    else:
        _check_binding(authorizer, kind, new, user)


def _check_role(authorizer: Authorizer, kind: Kind, new: Obj, old: Obj | None, user: User) -> None:
    namespace, name = new["metadata"].get("namespace") or "", new["metadata"].get("name") or ""
    wanted = Attributes("escalate", GROUP, kind.plural, "", namespace, name if old is not None else "")
    if authorizer.allows(user, wanted):
        return
    _confirm(authorizer, kind, new, new.get("rules") or (), user)
    if any((role or {}).get("aggregationRule", {}).get("clusterRoleSelectors") for role in (new, old)):
        # What a role will gather is not known when it is written.
        owned = authorizer.rbac.rights(user, namespace).rules
        if coverage.missing(owned, coverage.FULL_AUTHORITY):
            text = "must have cluster-admin privileges to use the aggregationRule"
            raise refused(GROUP, kind.plural, name, text)


def _check_binding(authorizer: Authorizer, kind: Kind, new: Obj, user: User) -> None:
    namespace = new["metadata"].get("namespace") or ""
    reference = {"kind": "", "name": "", **(new.get("roleRef") or {})}
    if reference["kind"] not in ROLES:
        raise ApiError(500, f'unsupported role reference kind: "{reference["kind"]}"')
    resource = "clusterroles" if reference["kind"] == "ClusterRole" else "roles"
    group = reference.get("apiGroup") or GROUP
    if authorizer.allows(user, Attributes("bind", group, resource, "", namespace, reference["name"])):
        return
    rules = authorizer.rbac.role(reference, namespace)
    if rules is None:
        raise not_found(kind.plural, reference["name"], GROUP)
    _confirm(authorizer, kind, new, rules, user)


def _confirm(authorizer: Authorizer, kind: Kind, new: Obj, rules: Sequence[Obj], user: User) -> None:
    metadata = new["metadata"]
    name, prefix = metadata.get("name") or "", metadata.get("generateName")
    if prefix and name.startswith(prefix):
        name = ""  # kube-apiserver looks before it makes names up
    rights = authorizer.rbac.rights(user, metadata.get("namespace") or "")
    missing = coverage.missing(rights.rules, rules)
    if not missing:
        return
    groups = coverage.quoted(user.groups)
    text = (
        f'user "{user.name}" (groups={groups}) is attempting to grant RBAC permissions not currently held:\n'
        + "\n".join(coverage.described(missing))
    )
    if rights.errors:
        text += f"; resolution errors: [{' '.join(rights.errors)}]"
    raise refused(GROUP, kind.plural, name, text)


def _content(obj: Obj) -> Obj:
    metadata = {key: value for key, value in obj["metadata"].items() if key not in UNDECISIVE}
    return {**obj, "metadata": metadata}
