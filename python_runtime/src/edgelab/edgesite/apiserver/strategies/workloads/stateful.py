"""StatefulSets."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import layouts, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, required
from edgelab.edgesite.apiserver.strategies import checks, poddefaults
from edgelab.edgesite.apiserver.strategies.core import claims
from edgelab.edgesite.apiserver.strategies.pod import podannotations
from edgelab.edgesite.apiserver.strategies.pod import spec as pods
from edgelab.edgesite.apiserver.strategies.workloads import selected, statuses
from edgelab.edgesite.apiserver.strategy import Part, Strategy

Obj = dict[str, Any]

CHANGEABLE: tuple[str, ...] = (
    "replicas",
    "template",
    "updateStrategy",
    "minReadySeconds",
    "ordinals",
    "revisionHistoryLimit",
)
CHANGEABLE += ("persistentVolumeClaimRetentionPolicy",)
ONLY = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy',"
    " 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def default(obj: Obj) -> None:
    """Defaults of a StatefulSet."""
    spec = obj.setdefault("spec", {})
    poddefaults.template(spec)
    spec["podManagementPolicy"] = spec.get("podManagementPolicy") or "OrderedReady"
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and "rollingUpdate" in strategy:
        strategy["rollingUpdate"].setdefault("partition", 0)
    (strategy.get("rollingUpdate") or {}).pop("maxUnavailable", None)
    policy = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    for field in ("whenDeleted", "whenScaled"):
        policy[field] = policy.get(field) or "Retain"
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("serviceName", "")
    for template in spec.get("volumeClaimTemplates") or ():
        template["apiVersion"], template["kind"] = "v1", "PersistentVolumeClaim"
        template.setdefault("metadata", {})
        claims.spec_default(template.setdefault("spec", {}))
        template["status"] = {**(template.get("status") or {})}
        template["status"].setdefault("phase", "Pending")


def _validate(obj: Obj, *, update: bool = False, skip_template: bool = False) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = _policies(spec)
    if not update:
        for position, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
            field = f"spec.volumeClaimTemplates[{position}].spec"
            causes += claims.spec(claim.get("spec") or {}, field)
    causes += checks.nonnegative(spec.get("replicas"), "spec.replicas")
    causes += checks.nonnegative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    causes += checks.nonnegative((spec.get("ordinals") or {}).get("start"), "spec.ordinals.start")
    if not update and spec.get("serviceName"):
        causes += checks.dns_label(spec["serviceName"], "spec.serviceName")
    causes += selected.selector(spec, "statefulset")
    if checks.convertible(spec.get("selector")):
        causes += _template(spec, skip=skip_template)
    else:
        causes.append(bad("spec.selector", checks.shown_selector(spec.get("selector")), ""))
    return causes + pods.lasting(spec.get("template") or {}, "spec.template", "StatefulSet")


def validate(obj: Obj) -> list[Cause]:
    """What is wrong with a StatefulSet."""
    return _validate(obj)


def _policies(spec: Obj) -> list[Cause]:
    policy, causes = spec.get("podManagementPolicy") or "", []
    if policy not in ("OrderedReady", "Parallel"):
        text = "must be 'OrderedReady' or 'Parallel'"
        causes.append(bad("spec.podManagementPolicy", policy, text))
    causes += _strategy(spec.get("updateStrategy") or {}, "spec.updateStrategy")
    for field, value in (spec.get("persistentVolumeClaimRetentionPolicy") or {}).items():
        where = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
        causes += checks.choice(value, where, ["Retain", "Delete"], needed=False)
    return causes


def _strategy(strategy: Obj, path: str) -> list[Cause]:
    kind, rolling = strategy.get("type") or "", strategy.get("rollingUpdate")
    if not kind:
        return [required(path)]
    if kind == "OnDelete":
        shown = layouts.shown("apps.RollingUpdateStatefulSetStrategy", rolling)
        text = "only allowed for updateStrategy 'RollingUpdate'"
        return [bad(f"{path}.rollingUpdate", shown, text)] if rolling is not None else []
    if kind != "RollingUpdate":
        shown = layouts.shown("apps.StatefulSetUpdateStrategy", strategy)
        return [bad(path, shown, "must be 'RollingUpdate' or 'OnDelete'")]
    if rolling is None:
        return []
    causes = checks.nonnegative(rolling.get("partition"), f"{path}.rollingUpdate.partition")
    most, field = rolling.get("maxUnavailable"), f"{path}.rollingUpdate.maxUnavailable"
    if most is not None:
        causes += checks.int_or_percent(most, field)
        causes += [] if checks.amount(most) else [bad(field, most, "cannot be 0")]
        causes += checks.at_most_all(most, field)
    return causes


def _template(spec: Obj, *, skip: bool) -> list[Cause]:
    found = spec.get("template") or {}
    inner = {k: v for k, v in (found.get("spec") or {}).items() if k not in ("subdomain", "hostname")}
    claimed = spec.get("volumeClaimTemplates") or ()
    made = list(dict.fromkeys((claim.get("metadata") or {}).get("name") or "" for claim in claimed))
    if made:
        volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in made]
        own = [volume for volume in inner.get("volumes") or () if volume.get("name") not in made]
        inner["volumes"] = volumes + own
    metadata, path = found.get("metadata") or {}, "spec.template"
    causes = selected.mismatch(spec)
    if not skip:
        causes += pods.template({**found, "spec": inner}, path)
    causes += checks.labels(metadata.get("labels"), f"{path}.labels")
    causes += checks.annotation_map(metadata.get("annotations"), f"{path}.annotations")
    return causes + podannotations.of_pod(metadata.get("annotations"), inner, f"{path}.annotations")


def changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateStatefulSetUpdate: templates that were bad before may stay so."""
    skip = bool(_validate(old, update=True))
    causes = objectmeta.changed(new, old) + _validate(new, update=True, skip_template=skip)
    mine, theirs = (_kept(obj["spec"]) for obj in (new, old))
    return causes if checks.semantic(mine, theirs) else [*causes, forbidden("spec", ONLY)]


def _kept(spec: Obj) -> Obj:
    return {key: value for key, value in spec.items() if key not in CHANGEABLE}


STATEFUL_SET = Strategy(
    blank_status={"replicas": 0, "availableReplicas": 0},
    default=default,
    validate=validate,
    validate_update=changed,
    parts={"status": Part(validate=statuses.stateful_set)},
)
