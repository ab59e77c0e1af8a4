"""Roles and bindings (`pkg/apis/rbac`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgelab.edgesite.apiserver import layouts, names, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategy import Strategy

Obj = dict[str, Any]
Check = Callable[[Obj], list[Cause]]

GROUP = "rbac.authorization.k8s.io"
SUBJECTS = ["ServiceAccount", "User", "Group"]


def binding_default(obj: Obj) -> None:
    """API groups of subjects and role (`pkg/apis/rbac/v1/defaults.go`)."""
    reference = obj.setdefault("roleRef", {})
    reference["apiGroup"] = reference.get("apiGroup") or GROUP
    for subject in obj.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = GROUP


def role_default(obj: Obj) -> None:
    """`rules` is always written; without any it is null."""
    obj["rules"] = obj.get("rules") or None


def _rules(obj: Obj, *, namespaced: bool) -> list[Cause]:
    causes: list[Cause] = []
    for position, rule in enumerate(obj.get("rules") or ()):
        field, urls = f"rules[{position}]", rule.get("nonResourceURLs") or []
        if not rule.get("verbs"):
            causes.append(required(f"{field}.verbs", "verbs must contain at least one value"))
        if urls:
            if namespaced:
                text = "namespaced rules cannot apply to non-resource URLs"
                causes.append(bad(f"{field}.nonResourceURLs", urls, text))
            if any(rule.get(name) for name in ("apiGroups", "resources", "resourceNames")):
                text = "rules cannot apply to both regular resources and non-resource URLs"
                causes.append(bad(f"{field}.nonResourceURLs", urls, text))
            continue
        for name, text in (("apiGroups", "api group"), ("resources", "resource")):
            if not rule.get(name):
                causes.append(required(f"{field}.{name}", f"resource rules must supply at least one {text}"))
    return causes


def role(obj: Obj) -> list[Cause]:
    """ValidateRole."""
    return _rules(obj, namespaced=True)


def cluster_role(obj: Obj) -> list[Cause]:
    """ValidateClusterRole."""
    causes, aggregation = _rules(obj, namespaced=False), obj.get("aggregationRule")
    if aggregation is None:
        return causes
    selectors, field = aggregation.get("clusterRoleSelectors") or [], "aggregationRule.clusterRoleSelectors"
    if not selectors:
        text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        causes.append(required(field, text))
    for position, selector in enumerate(selectors):
        causes += checks.label_selector(selector, f"{field}[{position}]")
        if not checks.convertible(selector):
            causes.append(bad(f"{field}[{position}]", None, "invalid label selector."))
    return causes


def _binding(obj: Obj, roles: list[str], *, namespaced: bool) -> list[Cause]:
    reference, causes = obj.get("roleRef") or {}, []
    group, kind, name = (reference.get(field) or "" for field in ("apiGroup", "kind", "name"))
    if group != GROUP:
        causes.append(unsupported("roleRef.apiGroup", group, [GROUP]))
    if kind not in roles:
        causes.append(unsupported("roleRef.kind", kind, roles))
    field = "roleRef.name"
    causes += checks.texts(names.path_segment, name, field) if name else [required(field)]
    for position, subject in enumerate(obj.get("subjects") or ()):
        causes += _subject(subject, f"subjects[{position}]", namespaced=namespaced)
    return causes


def _subject(subject: Obj, path: str, *, namespaced: bool) -> list[Cause]:
    name, kind, group = (subject.get(field) or "" for field in ("name", "kind", "apiGroup"))
    causes = [] if name else [required(f"{path}.name")]
    if kind == "ServiceAccount":
        causes += checks.dns_subdomain(name, f"{path}.name") if name else []
        if group:
            causes.append(unsupported(f"{path}.apiGroup", group, [""]))
        if not namespaced and not subject.get("namespace"):
            causes.append(required(f"{path}.namespace"))
    elif kind not in SUBJECTS:
        causes.append(unsupported(f"{path}.kind", kind, SUBJECTS))
    elif group != GROUP:
        causes.append(unsupported(f"{path}.apiGroup", group, [GROUP]))
    return causes


def role_binding(obj: Obj) -> list[Cause]:
    """ValidateRoleBinding."""
    return _binding(obj, ["Role", "ClusterRole"], namespaced=True)


def cluster_role_binding(obj: Obj) -> list[Cause]:
    """ValidateClusterRoleBinding."""
    return _binding(obj, ["ClusterRole"], namespaced=False)


def _updating(kind: str, check: Check) -> Callable[[Obj, Obj], list[Cause]]:
    def changed(new: Obj, old: Obj) -> list[Cause]:
        causes = objectmeta.of_kind(new, GROUP, kind) + check(new) + objectmeta.changed(new, old)
        if "roleRef" in old and new.get("roleRef") != old["roleRef"]:
            shown = layouts.shown("rbac.RoleRef", new.get("roleRef"))
            causes.append(bad("roleRef", shown, "cannot change roleRef"))
        return causes

    return changed


def _strategy(kind: str, default: Callable[[Obj], None], check: Check) -> Strategy:
    return Strategy(
        default=default,
        validate=check,
        validate_update=_updating(kind, check),
        creates_on_update=True,
        has_generation=False,
    )


ROLE = _strategy("Role", role_default, role)
CLUSTER_ROLE = _strategy("ClusterRole", role_default, cluster_role)
ROLE_BINDING = _strategy("RoleBinding", binding_default, role_binding)
CLUSTER_ROLE_BINDING = _strategy("ClusterRoleBinding", binding_default, cluster_role_binding)
