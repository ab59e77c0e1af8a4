"""The objects that an EdgeApplication stands for.

Facts: KubeEdge `edgeapplicationcontroller.go`, `nameoverrider.go`, `nodeselectoroverrider.go`. Other than
there a Deployment keeps the nodeSelector and affinity of its manifest besides the target's,
matchExpressions of a target count, and an application makes objects of its own namespace only: one of
another namespace or of the cluster could not be owned by it, and would be removed at once as garbage.
RBAC is none of its business: CloudCore's rights are not its author's.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from edgelab.objects.edgeapps import overriders
from edgelab.objects.edgeapps.names import BELONGING_TO, NODE_GROUP, SERVICE_TOPOLOGY
from edgelab.objects.metadata import owner_reference

Obj: TypeAlias = dict[str, Any]

REFUSED_GROUPS = ("rbac.authorization.k8s.io", "apps.kubeedge.io")
ASSIGNED = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")
"""What only the API server sets."""
OPERATORS = frozenset({"In", "NotIn", "Exists", "DoesNotExist"})


class Instance(NamedTuple):
    """One object to be there; `ordinal` is its manifest's place in the list."""

    ordinal: int
    object: Obj


class Expansion(NamedTuple):
    """`problems` says by field what nothing was made of, or had no effect."""

    instances: list[Instance]
    problems: list[str]


class _Target(NamedTuple):
    field: str
    suffix: str
    group: str
    expressions: list[Obj]
    overriders: Obj


def expand(application: Obj) -> Expansion:
    """Everything that should be there for the application."""
    spec = application.get("spec") or {}
    targets, problems = _targets(spec.get("workloadScope") or {})
    instances: list[Instance] = []
    unmet = {target.field: overriders.named(target.overriders) for target in targets}
    for ordinal, manifest in enumerate((spec.get("workloadTemplate") or {}).get("manifests") or ()):
        field = f"spec.workloadTemplate.manifests[{ordinal}]"
        reason = _unfit(manifest, application["metadata"]["namespace"])
        if reason:
            problems.append(f"{field}{reason}")
            continue
        base = _owned(manifest, application)
        if (base["apiVersion"], base["kind"]) != ("apps/v1", "Deployment"):
            instances.append(Instance(ordinal, _ranged(base)))
            continue
        if not targets:
            problems.append(f"spec.workloadScope: names no target for the Deployment of {field}")
        for target in targets:
            try:
                workload, met = _targeted(base, target)
            except overriders.OverrideError as error:
                problems.append(f"{target.field}.overriders.{error} (for {field})")
                continue
            unmet[target.field] -= met
            instances.append(Instance(ordinal, workload))
    for where, names in unmet.items():
        problems += [f"{where}.overriders: no Deployment has a container {name!r}" for name in sorted(names)]
    return Expansion(*_unique(instances, problems))


def suffix_of(selector: Obj) -> str:
    """What the names of a label selector's Deployments end in: `ls-` and eight hexadecimal digits."""
    digest = hashlib.sha256()
    for key, value in sorted((selector.get("matchLabels") or {}).items()):
        digest.update(f"{key}{value}".encode())
    if selector.get("matchExpressions"):
        digest.update(json.dumps(selector["matchExpressions"], sort_keys=True).encode())
    return f"ls-{digest.hexdigest()[:8]}"


def _targets(scope: Obj) -> tuple[list[_Target], list[str]]:
    targets: list[_Target] = []
    problems: list[str] = []
    for number, one in enumerate(scope.get("targetNodeGroups") or ()):
        field, name = f"spec.workloadScope.targetNodeGroups[{number}]", one.get("name") or ""
        if not name:
            problems.append(f"{field}.name: the name of a NodeGroup is needed")
        elif any(target.group == name for target in targets):
            problems.append(f"{field}.name: {name!r} is a target already")
        else:
            targets.append(_Target(field, name, name, [], one.get("overriders") or {}))
    for number, one in enumerate(scope.get("targetNodeLabels") or ()):
        field, selector = f"spec.workloadScope.targetNodeLabels[{number}]", one.get("labelSelector") or {}
        bad = [
            e["operator"] for e in selector.get("matchExpressions") or () if e["operator"] not in OPERATORS
        ]
        if bad:
            problems.append(f"{field}.labelSelector.matchExpressions: {bad[0]!r} is no operator")
            continue
        expressions = list(_expressions(selector))
        suffix = suffix_of(selector)
        if not expressions:
            problems.append(f"{field}.labelSelector: is empty; name labels of nodes")
        elif any(target.suffix == suffix for target in targets):
            problems.append(f"{field}.labelSelector: is a target already")
        else:
            targets.append(_Target(field, suffix, "", expressions, one.get("overriders") or {}))
    return targets, problems


def _expressions(selector: Obj) -> Iterator[Obj]:
    for key, value in sorted((selector.get("matchLabels") or {}).items()):
        yield {"key": key, "operator": "In", "values": [value]}
    for one in selector.get("matchExpressions") or ():
        values = {"values": list(one["values"])} if one.get("values") else {}
        yield {"key": one["key"], "operator": one["operator"], **values}


def _unfit(manifest: Obj, namespace: str) -> str:
    """What is wrong with a manifest, beginning with the rest of its field; empty when nothing is."""
    metadata = manifest.get("metadata")
    group = str(manifest.get("apiVersion") or "").rpartition("/")[0]
    for field in ("apiVersion", "kind"):
        if not isinstance(manifest.get(field), str) or not manifest[field]:
            return f".{field}: is needed"
    if not isinstance(metadata, dict) or not metadata.get("name"):
        return ".metadata.name: is needed"
    if metadata.get("namespace") not in (None, "", namespace):
        return (
            f".metadata.namespace: an application makes objects of its own namespace, {namespace!r}, only;"
            " make an application there"
        )
    if group in REFUSED_GROUPS:
        return f".apiVersion: objects of {group} are not made by applications; apply them yourself"
    return ""


def _owned(manifest: Obj, application: Obj) -> Obj:
    obj: Obj = copy.deepcopy({key: value for key, value in manifest.items() if key != "status"})
    metadata = {key: value for key, value in obj["metadata"].items() if key not in ASSIGNED}
    metadata["namespace"] = application["metadata"]["namespace"]
    kept = [one for one in metadata.get("ownerReferences") or () if not one.get("controller")]
    owner = {"apiVersion": "apps.kubeedge.io/v1alpha1", "kind": "EdgeApplication", **application}
    return {**obj, "metadata": {**metadata, "ownerReferences": [*kept, owner_reference(owner)]}}


def _ranged(obj: Obj) -> Obj:
    if (obj["apiVersion"], obj["kind"]) == ("v1", "Service"):
        notes = obj["metadata"].setdefault("annotations", {})
        notes[SERVICE_TOPOLOGY] = NODE_GROUP
    return obj


def _targeted(base: Obj, target: _Target) -> tuple[Obj, set[str]]:
    workload = copy.deepcopy(base)
    workload["metadata"]["name"] += f"-{target.suffix}"
    met = overriders.apply(workload, target.overriders)
    pod: Obj = workload.setdefault("spec", {}).setdefault("template", {}).setdefault("spec", {})
    if target.group:
        pod["nodeSelector"] = {**(pod.get("nodeSelector") or {}), BELONGING_TO: target.group}
    else:
        _narrow(pod, target.expressions)
    return workload, met


def _narrow(pod: Obj, expressions: list[Obj]) -> None:
    """Demand the expressions of a node besides what is demanded already."""
    affinity = pod.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms = required.get("nodeSelectorTerms") or [{}]
    required["nodeSelectorTerms"] = [
        {**term, "matchExpressions": [*(term.get("matchExpressions") or ()), *expressions]} for term in terms
    ]


def _unique(instances: list[Instance], problems: list[str]) -> tuple[list[Instance], list[str]]:
    """Of two manifests that make one object the first one counts."""
    seen: set[tuple[str, str, str]] = set()
    kept = []
    for instance in instances:
        obj = instance.object
        key = (obj["apiVersion"].rpartition("/")[0], obj["kind"], obj["metadata"]["name"])
        if key in seen:
            problems.append(
                f"spec.workloadTemplate.manifests[{instance.ordinal}]: {key[1]} {key[2]!r} is there already"
            )
            continue
        seen.add(key)
        kept.append(instance)
    return kept, problems
