"""Which bindings apply to a ServiceAccount, and the rules behind them. No I/O.

Facts: Kubernetes RBAC (`plugin/pkg/auth/authorizer/rbac`), KubeEdge `cloud/pkg/policycontroller/manager`.
The original stops at the first binding whose role is missing and loses those after it; here that binding
alone gives nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj

KEPT_METADATA = ("name", "namespace", "labels", "annotations")
"""What KubeEdge's definition keeps of the metadata of objects within objects."""
ACCOUNT_FIELDS = ("secrets", "imagePullSecrets", "automountServiceAccountToken")


class Rbac(NamedTuple):
    """The objects that decide; stores by (namespace, name)."""

    roles: Mapping[Key, Obj]
    cluster_roles: Mapping[Key, Obj]
    role_bindings: Mapping[Key, Obj]
    cluster_role_bindings: Mapping[Key, Obj]


def access_of(account: Obj, rbac: Rbac) -> Obj:
    """The spec of the account's ServiceAccountAccess."""
    namespace, name = account["metadata"]["namespace"], account["metadata"]["name"]
    here = [b for (where, _), b in sorted(rbac.role_bindings.items()) if where == namespace]
    everywhere = [binding for _, binding in sorted(rbac.cluster_role_bindings.items())]
    spec: Obj = {
        "serviceAccount": _part(account, ACCOUNT_FIELDS),
        "serviceAccountUid": account["metadata"].get("uid", ""),
    }
    local = _granted(here, "roleBinding", namespace, name, rbac)
    wide = _granted(everywhere, "clusterRoleBinding", namespace, name, rbac)
    return spec | {
        field: value
        for field, value in (("accessRoleBinding", local), ("accessClusterRoleBinding", wide))
        if value
    }


def applies(subjects: Iterable[Any], namespace: str, account: str, *, binding_namespace: str) -> bool:
    """Whether one of the subjects is the account or a group that it is in.

    A subject without a namespace is in the binding's own; a ClusterRoleBinding has none.
    """
    user = f"system:serviceaccount:{namespace}:{account}"
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    for subject in subjects:
        kind, name = subject.get("kind"), subject.get("name")
        if kind == "ServiceAccount":
            if (subject.get("namespace") or binding_namespace, name) == (namespace, account):
                return True
        elif (kind == "User" and name == user) or (kind == "Group" and name in groups):
            return True
    return False


def _granted(bindings: Iterable[Obj], field: str, namespace: str, account: str, rbac: Rbac) -> list[Obj]:
    found = []
    for binding in bindings:
        where = binding["metadata"].get("namespace") or ""
        if not applies(binding.get("subjects") or (), namespace, account, binding_namespace=where):
            continue
        role = _role(binding.get("roleRef") or {}, where, rbac)
        if role is not None:
            rules = role.get("rules") or []
            found.append(
                {field: _part(binding, ("roleRef", "subjects")), **({"rules": rules} if rules else {})}
            )
    return found


def _role(reference: Obj, namespace: str, rbac: Rbac) -> Obj | None:
    name = reference.get("name", "")
    if reference.get("kind") == "ClusterRole":
        return rbac.cluster_roles.get(("", name))
    return rbac.roles.get((namespace, name)) if reference.get("kind") == "Role" and namespace else None


def _part(obj: Obj, fields: Iterable[str]) -> Obj:
    metadata = {key: obj["metadata"][key] for key in KEPT_METADATA if obj["metadata"].get(key)}
    return {"metadata": metadata, **{field: obj[field] for field in fields if obj.get(field) is not None}}
