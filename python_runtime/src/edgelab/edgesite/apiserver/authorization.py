"""Who may do what: masters everything, nodes what is theirs, all others what their roles say.

The order and the wording are kube-apiserver's with `--authorization-mode=Node,RBAC`
(`apiserver/pkg/authorization/union`, `apiserver/pkg/endpoints/handlers/responsewriters/errors.go`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from edgelab.edgesite.apiserver.access.nodes import NodeRules, node_of
from edgelab.edgesite.apiserver.access.rbac import GROUP, Rbac, Rights
from edgelab.edgesite.apiserver.context import User
from edgelab.edgesite.store import Store
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

MASTERS = "system:masters"
ANY_VERSION = "*"


class Attributes(NamedTuple):
    """What a request wants to do; `path` is set for requests that are for no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""

    @property
    def full_resource(self) -> str:
        """`pods/status`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Decision(NamedTuple):
    """Yes or no, and why."""

    allowed: bool
    reason: str


class Authorizer:
    """Decides by the objects in the store."""

    def __init__(self, store: Store) -> None:
        self.rbac = Rbac(store)
        self._nodes = NodeRules(store)

    @staticmethod
    def is_master(user: User) -> bool:
        """Whether everything is allowed, whatever the roles say."""
        return MASTERS in user.groups

    def decide(self, user: User, wanted: Attributes) -> Decision:
        """The decision; for a refusal the reasons of all who were asked, one a line."""
        if MASTERS in user.groups:
            return Decision(True, "")
        reasons: list[str] = []
        node = node_of(user)
        if node is not None:
            refusal = self._nodes.refusal(node, wanted, user.name)
            if refusal is None:
                return Decision(True, "")
            reasons.append(refusal)
        allowed, reason = self.rbac.decide(user, wanted)
        if allowed:
            return Decision(True, reason)
        return Decision(False, "\n".join(filter(None, [*reasons, reason])))

    def allows(self, user: User, wanted: Attributes) -> bool:
        """Whether it is allowed."""
        return MASTERS in user.groups or self.decide(user, wanted).allowed

    def check(self, user: User, wanted: Attributes) -> None:
        """Raises ApiError 403 as kube-apiserver words it."""
        if MASTERS in user.groups:
            return
        decision = self.decide(user, wanted)
        if not decision.allowed:
            raise forbidden(user, wanted, decision.reason)

    def rights(self, user: User, namespace: str) -> Rights:
        """All rules that a user has in a namespace; incomplete for nodes, who have more than their roles."""
        found = self.rbac.rights(user, namespace)
        if node_of(user) is None:
            return found
        text = "node authorizer does not support user rule resolution"
        errors = (text, *found.errors)
        return Rights(found.rules, errors, incomplete=True)


def forbidden(user: User, wanted: Attributes, reason: str = "") -> ApiError:
    """403 as kube-apiserver words it."""
    why = f": {reason}" if reason else ""
    if wanted.path:
        text = f'User "{_clean(user.name)}" cannot {wanted.verb} path "{_clean(wanted.path)}"'
        return ApiError(403, f"forbidden: {text}{why}", details={})
    scope = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    text = (
        f'User "{user.name}" cannot {wanted.verb} resource "{wanted.full_resource}" in API group'
        f' "{wanted.group}" {scope}'
    )
    return refused(wanted.group, wanted.resource, wanted.name, _clean(text) + why)


def refused(group: str, resource: str, name: str, why: str) -> ApiError:
    """403 for an object (`apimachinery/pkg/api/errors` NewForbidden)."""
    qualified = f"{resource}.{group}" if group else resource
    details: Obj = {"name": name} if name else {}
    if group:
        details["group"] = group
    if resource:
        details["kind"] = resource
    named = f' "{name}"' if name else ""
    return ApiError(403, f"{qualified}{named} is forbidden: {why}", details=details)


def _clean(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


__all__ = ["GROUP", "MASTERS", "Attributes", "Authorizer", "Decision", "forbidden", "refused"]
