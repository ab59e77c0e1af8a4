"""The roles and bindings that every cluster has, brought up to date when the server starts.

Names and rules are kube-apiserver's own (`data/rbac/policy.jsonl`, see `scripts/build_policy.py`), the way
to reconcile them is that of `component-helpers/auth/rbac/reconciliation`: what is missing is added, what
an administrator added stays, and an object with the annotation `autoupdate: "false"` is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import Any

import msgspec

from edgelab.edgesite.apiserver.access import coverage
from edgelab.objects.selectors import from_object

Obj = dict[str, Any]

API_VERSION = "rbac.authorization.k8s.io/v1"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"


def objects() -> Iterator[Obj]:
    """Every role before the bindings to it; aggregated ones with the rules that they gather."""
    text = resources.files("edgelab").joinpath("data/rbac/policy.jsonl").read_bytes()
    found = [_whole(line) for line in (*map(msgspec.json.decode, text.splitlines()), _metrics_reader())]
    roles = [obj for obj in found if obj["kind"] == "ClusterRole"]
    changed = True
    while changed:  # a role may gather one that gathers others itself
        changed = False
        for role in roles:
            rules = gathered(role, roles) if role.get("aggregationRule") else role["rules"]
            changed = changed or rules != role.get("rules")
            role["rules"] = rules
    yield from found


def _metrics_reader() -> Obj:
    """Who may read a pod may read what it uses (metrics-server's manifests)."""
    aggregated = {
        f"rbac.authorization.k8s.io/aggregate-to-{role}": "true" for role in ("admin", "edit", "view")
    }
    rule = {
        "apiGroups": ["metrics.k8s.io"],
        "resources": ["nodes", "pods"],
        "verbs": ["get", "list", "watch"],
    }
    name = "system:aggregated-metrics-reader"
    return {"kind": "ClusterRole", "name": name, "labels": aggregated, "rules": [rule]}


def _whole(line: Obj) -> Obj:
    metadata = {
        "name": line.pop("name"),
        "labels": {**LABELS, **line.pop("labels", {})},
        "annotations": {AUTO_UPDATE: "true"},
    }
    if "namespace" in line:
        metadata["namespace"] = line.pop("namespace")
    return {"apiVersion": API_VERSION, "kind": line.pop("kind"), "metadata": metadata, **line}


def gathered(role: Obj, roles: list[Obj]) -> list[Obj]:
    """The rules that a ClusterRole aggregates, as kube-controller-manager's controller gathers them."""
    rules: list[Obj] = []
    ordered = sorted(roles, key=lambda other: str(other["metadata"]["name"]))
    for selector in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
        matcher = from_object(selector)
        for other in ordered:
            if other["metadata"]["name"] != role["metadata"]["name"] and matcher.matches(
                other["metadata"].get("labels")
            ):
                rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules


def reconciled(present: Obj, wanted: Obj) -> Obj | None:
    """What a present object has to become, or None when it may stay. An object with another roleRef has
    to be made anew: it is what was wanted, without a resourceVersion.
    """
    metadata = present["metadata"]
    if (metadata.get("annotations") or {}).get(AUTO_UPDATE) == "false":
        return None
    if "roleRef" in wanted and present.get("roleRef") != wanted["roleRef"]:
        return wanted
    new = {**present, "metadata": dict(metadata)}
    for field in ("labels", "annotations"):
        new["metadata"][field] = {**wanted["metadata"][field], **(metadata.get(field) or {})}
    if "roleRef" in wanted:
        _add_subjects(new, wanted)
    else:
        _add_rules(new, wanted)
    return None if new == present else new


def _add_subjects(new: Obj, wanted: Obj) -> None:
    held = new.get("subjects") or []
    extra = [subject for subject in wanted.get("subjects") or () if subject not in held]
    if extra:
        new["subjects"] = [*held, *extra]


def _add_rules(new: Obj, wanted: Obj) -> None:
    if "aggregationRule" in wanted:
        held = (new.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
        selectors = wanted["aggregationRule"]["clusterRoleSelectors"]
        extra = [selector for selector in selectors if selector not in held]
        if extra:
            new["aggregationRule"] = {"clusterRoleSelectors": [*held, *extra]}
        return
    new.pop("aggregationRule", None)
    rules = new.get("rules") or []
    if rules != wanted["rules"]:
        new["rules"] = [*rules, *coverage.missing(rules, wanted["rules"])]
