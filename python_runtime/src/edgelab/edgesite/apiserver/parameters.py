"""Whether the author of a policy or binding may read the parameters that it names.

`registry/admissionregistration/validatingadmissionpolicy/authz.go` and its twin for bindings.
"""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.authorization import Attributes, Authorizer
from edgelab.edgesite.apiserver.context import User
from edgelab.edgesite.apiserver.invalid import forbidden, invalid
from edgelab.edgesite.apiserver.kinds import Kinds
from edgelab.edgesite.store import Key, Store

Obj = dict[str, Any]

GROUP = "admissionregistration.k8s.io"
EVERYWHERE = "for all groups, versions and resources"


class Parameters:
    """Asks the authorizer."""

    def __init__(self, store: Store, kinds: Kinds, authorizer: Authorizer) -> None:
        self._store = store
        self._kinds = kinds
        self._authorizer = authorizer

    def check(self, obj: Obj, old: Obj | None, user: User) -> None:
        """Raises ApiError 422 for who may not."""
        policy = obj["kind"] == "ValidatingAdmissionPolicy"
        fields = ("paramKind",) if policy else ("paramRef", "policyName")
        if obj["spec"].get(fields[0]) is None or self._authorizer.is_master(user):
            return
        if old is not None and all(obj["spec"].get(field) == old["spec"].get(field) for field in fields):
            return
        text = (self._policy if policy else self._binding)(obj["spec"], user)
        if text:
            cause = forbidden(f"spec.{fields[0]}", text)
            raise invalid(obj["kind"], GROUP, obj["metadata"].get("name") or "", [cause])

    def _policy(self, spec: Obj, user: User) -> str:
        """All objects of the kind must be readable."""
        kind = spec["paramKind"]
        group, resource, _ = self._resolved(kind)
        if self._authorizer.allows(user, Attributes("get", group, resource, "", "*", "*")):
            return ""
        shown = f"(kind={kind['kind']}, apiVersion={kind['apiVersion']})"
        text = 'must have "get" permission on all objects of the referenced paramKind'
        return f"user {_shown(user)} {text} {shown}"

    def _binding(self, spec: Obj, user: User) -> str:
        """What the binding names must be readable; all there is, if it is not known what that is."""
        reference, name = spec["paramRef"], spec["policyName"]
        verb = "get" if reference.get("name") else "list"
        entry = self._store.head(Key(f"{GROUP}/validatingadmissionpolicies", "", name))
        kind = None if entry is None else codec.decode(entry.data)["spec"].get("paramKind")
        group, resource, known = ("*", "*", True) if kind is None else self._resolved(kind)
        namespace = reference.get("namespace") or ""
        wanted = Attributes(verb, group, resource, "", namespace, reference.get("name") or "")
        if self._authorizer.allows(user, wanted):
            return ""
        lacks = f'user {_shown(user)} does not have "{verb}" permission'
        least = (
            f"to determine minimum required permissions and {lacks} for all groups, versions and resources"
        )
        if entry is None:
            return f"unable to get policy {name} {least}"
        if not known and kind is not None:
            shown = f"&ParamKind{{APIVersion:{kind['apiVersion']},Kind:{kind['kind']},}}"
            return f"unable to resolve paramKind {shown} {least}"
        return f"{lacks} on the object referenced by paramRef"

    def _resolved(self, param_kind: Obj) -> tuple[str, str, bool]:
        """Group and resource of a kind, and whether it is served."""
        kind = self._kinds.by_kind(param_kind["apiVersion"], param_kind["kind"])
        group = param_kind["apiVersion"].rpartition("/")[0]
        return group, "*" if kind is None else kind.plural, kind is not None


def _shown(user: User) -> str:
    """A user as Go prints it."""
    extra = " ".join(f"{key}:[{' '.join(values)}]" for key, values in sorted(user.extra))
    return f"&{{{user.name} {user.uid} [{' '.join(user.groups)}] map[{extra}]}}"
