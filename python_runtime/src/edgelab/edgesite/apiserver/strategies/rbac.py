"""Roles and bindings (`pkg/apis/rbac/validation`, `pkg/apis/rbac/v1/defaults.go`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.invalid import Cause, bad, required, unsupported
from edgelab.edgesite.apiserver.strategy import Strategy

Obj = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"
SUBJECTS = ["ServiceAccount", "User", "Group"]
SELECTORS = "aggregationRule.clusterRoleSelectors"


def role_default(obj: Obj) -> None:
    """`rules` is always written; without any it is null."""
    obj["rules"] = obj.get("rules") or None


def role_valid(obj: Obj) -> list[Cause]:
    """Every rule is about resources or about paths, and names verbs."""
    namespaced = obj["kind"] == "Role"
    causes = []
    for position, rule in enumerate(obj.get("rules") or ()):
        causes += _rule(rule, f"rules[{position}]", namespaced=namespaced)
    aggregation = obj.get("aggregationRule")
    if aggregation is not None and not aggregation.get("clusterRoleSelectors"):
        text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        causes.append(required(SELECTORS, text))
    return causes


def _rule(rule: Obj, field: str, *, namespaced: bool) -> list[Cause]:
    causes = []
    if not rule.get("verbs"):
        causes.append(required(f"{field}.verbs", "verbs must contain at least one value"))
    paths, where = rule.get("nonResourceURLs"), f"{field}.nonResourceURLs"
    if paths:
        if namespaced:
            causes.append(bad(where, paths, "namespaced rules cannot apply to non-resource URLs"))
        if any(rule.get(key) for key in ("apiGroups", "resources", "resourceNames")):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            causes.append(bad(where, paths, text))
        return causes
    if not rule.get("apiGroups"):
        causes.append(required(f"{field}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        causes.append(required(f"{field}.resources", "resource rules must supply at least one resource"))
    return causes


def binding_default(obj: Obj) -> None:
    """API groups of subjects and role; the namespace of accounts is the binding's own."""
    reference = obj.setdefault("roleRef", {})
    reference["apiGroup"] = reference.get("apiGroup") or GROUP
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = subject.get("apiGroup") or GROUP


def binding_valid(obj: Obj) -> list[Cause]:
    """What is wrong with a binding."""
    reference, namespaced = obj["roleRef"], obj["kind"] == "RoleBinding"
    kinds = ["Role", "ClusterRole"] if namespaced else ["ClusterRole"]
    causes = []
    if reference.get("apiGroup") != GROUP:
        causes.append(unsupported("roleRef.apiGroup", reference.get("apiGroup"), [GROUP]))
    if reference.get("kind") not in kinds:
        causes.append(unsupported("roleRef.kind", reference.get("kind") or "", list(kinds)))
    name = reference.get("name") or ""
    if not name:
        causes.append(required("roleRef.name"))
    causes += [bad("roleRef.name", name, text) for text in names.path_segment(name)]
    for position, subject in enumerate(obj.get("subjects") or ()):
        causes += _subject(subject, f"subjects[{position}]", namespaced=namespaced)
    return causes


def _subject(subject: Obj, field: str, *, namespaced: bool) -> list[Cause]:
    name, kind, group = subject.get("name") or "", subject.get("kind") or "", subject.get("apiGroup") or ""
    causes = [] if name else [required(f"{field}.name")]
    if kind == "ServiceAccount":
        if name:
            causes += [bad(f"{field}.name", name, text) for text in names.subdomain(name)]
        if group:
            causes.append(unsupported(f"{field}.apiGroup", group, [""]))
        if not namespaced and not subject.get("namespace"):
            causes.append(required(f"{field}.namespace"))
    elif kind not in SUBJECTS:
        causes.append(unsupported(f"{field}.kind", kind, list(SUBJECTS)))
    elif group != GROUP:
        causes.append(unsupported(f"{field}.apiGroup", group, [GROUP]))
    return causes


def binding_change(new: Obj, old: Obj) -> list[Cause]:
    """A binding keeps its role."""
    reference = new.get("roleRef") or {}
    if reference == old.get("roleRef"):
        return []
    shown = {name: reference.get(name[0].lower() + name[1:]) or "" for name in ("Kind", "Name")}
    return [bad("roleRef", {"APIGroup": reference.get("apiGroup") or "", **shown}, "cannot change roleRef")]


BINDING = Strategy(
    default=binding_default, validate=binding_valid, validate_update=binding_change, has_generation=False
)
ROLE = Strategy(default=role_default, validate=role_valid, has_generation=False)
