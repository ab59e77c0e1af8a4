"""Deployments, ReplicaSets, DaemonSets, ControllerRevisions, ReplicationControllers, PodTemplates."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import layouts, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, immutable, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks, poddefaults
from edgelab.edgesite.apiserver.strategies.pod import spec as pods
from edgelab.edgesite.apiserver.strategies.workloads import selected, statuses
from edgelab.edgesite.apiserver.strategy import Part, Strategy

Obj = dict[str, Any]

DEPRECATED_GENERATION = "deprecated.daemonset.template.generation"


DAEMONS = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")


def _spec(obj: Obj) -> Obj:
    spec: Obj = obj.setdefault("spec", {})
    return spec


def deployment_default(obj: Obj) -> None:
    """Defaults of a Deployment."""
    spec = _spec(obj)
    poddefaults.template(spec)
    for name, value in (("replicas", 1), ("revisionHistoryLimit", 10), ("progressDeadlineSeconds", 600)):
        spec.setdefault(name, value)
    strategy = spec.setdefault("strategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")


def deployment(obj: Obj) -> list[Cause]:
    """ValidateDeploymentSpec."""
    spec = obj.get("spec") or {}
    causes = checks.nonnegative(spec.get("replicas"), "spec.replicas")
    causes += selected.selector(spec, "deployment") + selected.replicated(spec) + _strategy(spec)
    seconds = spec.get("minReadySeconds") or 0
    causes += checks.nonnegative(seconds, "spec.minReadySeconds")
    causes += checks.nonnegative(spec.get("revisionHistoryLimit"), "spec.revisionHistoryLimit")
    deadline, field = spec.get("progressDeadlineSeconds"), "spec.progressDeadlineSeconds"
    causes += checks.nonnegative(deadline, field)
    if deadline is not None and deadline <= seconds:
        causes.append(bad(field, deadline, "must be greater than minReadySeconds"))
    return causes


def _strategy(spec: Obj) -> list[Cause]:
    strategy, field = spec.get("strategy") or {}, "spec.strategy"
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        text = "may not be specified when strategy `type` is 'Recreate'"
        return [forbidden(f"{field}.rollingUpdate", text)] if rolling is not None else []
    if kind != "RollingUpdate":
        shown = layouts.shown("apps.DeploymentStrategy", strategy)
        return [unsupported(field, shown, ["Recreate", "RollingUpdate"])]
    unavailable, surge = (rolling or {}).get("maxUnavailable", 0), (rolling or {}).get("maxSurge", 0)
    field = f"{field}.rollingUpdate"
    causes = checks.int_or_percent(unavailable, f"{field}.maxUnavailable")
    causes += checks.int_or_percent(surge, f"{field}.maxSurge")
    if not checks.amount(unavailable) and not checks.amount(surge):
        text = "may not be 0 when `maxSurge` is 0"
        causes.append(bad(f"{field}.maxUnavailable", unavailable, text))
    return causes + checks.at_most_all(unavailable, f"{field}.maxUnavailable")


def _selector_stays(new: Obj, old: Obj) -> list[Cause]:
    mine, theirs = _spec(new).get("selector"), _spec(old).get("selector")
    if checks.semantic(mine, theirs):
        return []
    return [immutable("spec.selector", checks.shown_selector(mine))]


def deployment_changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateDeploymentUpdate."""
    return objectmeta.changed(new, old) + deployment(new) + _selector_stays(new, old)


def replica_set_default(obj: Obj) -> None:
    """Defaults of a ReplicaSet."""
    poddefaults.template(_spec(obj))
    _spec(obj).setdefault("replicas", 1)


def replica_set(obj: Obj) -> list[Cause]:
    """ValidateReplicaSetSpec."""
    spec = obj.get("spec") or {}
    causes = checks.nonnegative(spec.get("replicas"), "spec.replicas")
    causes += checks.nonnegative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    return causes + selected.selector(spec, "deployment") + selected.replicated(spec)


def replica_set_changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateReplicaSetUpdate."""
    return objectmeta.changed(new, old) + replica_set(new) + _selector_stays(new, old)


def daemon_set_default(obj: Obj) -> None:
    """Defaults of a DaemonSet; the generation of its template is an annotation in apps/v1."""
    spec = _spec(obj)
    poddefaults.template(spec)
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("updateStrategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)


def daemon_set_on_create(obj: Obj) -> None:
    """The first template."""
    obj["metadata"].setdefault("annotations", {})[DEPRECATED_GENERATION] = "1"


def daemon_set_on_update(new: Obj, old: Obj) -> None:
    """Each new template is counted."""
    before = (old["metadata"].get("annotations") or {}).get(DEPRECATED_GENERATION, "0")
    number = int(before) if before.isdecimal() else 0
    number += not checks.semantic(_spec(new).get("template"), _spec(old).get("template"))
    new["metadata"].setdefault("annotations", {})[DEPRECATED_GENERATION] = str(number)


def daemon_set(obj: Obj) -> list[Cause]:
    """ValidateDaemonSetSpec."""
    spec = obj.get("spec") or {}
    found, template = spec.get("selector"), spec.get("template") or {}
    causes = checks.label_selector(found, "spec.selector")
    if checks.convertible(found):
        causes += selected.mismatch(spec)
    if found is not None and not (found.get("matchLabels") or found.get("matchExpressions")):
        text = "empty selector is invalid for daemonset"
        causes.append(bad("spec.selector", checks.shown_selector(found), text))
    causes += pods.template(template, "spec.template")
    causes += pods.lasting(template, "spec.template", "DaemonSet")
    causes += checks.nonnegative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    strategy, field = spec.get("updateStrategy") or {}, "spec.updateStrategy"
    if strategy.get("type") == "RollingUpdate":
        causes += _rolling_daemons(strategy.get("rollingUpdate") or {}, f"{field}.rollingUpdate")
    elif strategy.get("type") != "OnDelete":
        shown = layouts.shown("apps.DaemonSetUpdateStrategy", strategy)
        causes.append(unsupported(field, shown, ["RollingUpdate", "OnDelete"]))
    return causes + checks.nonnegative(spec.get("revisionHistoryLimit"), "spec.revisionHistoryLimit")


def _rolling_daemons(rolling: Obj, path: str) -> list[Cause]:
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    causes: list[Cause] = []
    for check in (checks.int_or_percent, checks.at_most_all):
        causes += check(unavailable, f"{path}.maxUnavailable") + check(surge, f"{path}.maxSurge")
    if checks.amount(unavailable) and checks.amount(surge):
        text = "may not be set when maxUnavailable is non-zero"
        causes.append(bad(f"{path}.maxSurge", surge, text))
    elif not checks.amount(unavailable) and not checks.amount(surge):
        causes.append(required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return causes


def daemon_set_changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateDaemonSetUpdate."""
    return objectmeta.changed(new, old) + _selector_stays(new, old) + daemon_set(new)


def _revision(obj: Obj) -> list[Cause]:
    return checks.nonnegative(obj.get("revision"), "revision")


def revision_default(obj: Obj) -> None:
    """The number is always said."""
    obj.setdefault("revision", 0)


def revision(obj: Obj) -> list[Cause]:
    """ValidateControllerRevisionCreate."""
    causes, data = _revision(obj), obj.get("data")
    if data is None:
        causes.append(required("data", "data is mandatory"))
    elif not isinstance(data, dict):
        causes.append(required("data", "data must be a valid JSON object"))
    return causes


def revision_changed(new: Obj, old: Obj) -> list[Cause]:
    """The data of a revision stay."""
    causes = objectmeta.changed(new, old) + objectmeta.of_kind(new, "apps", "ControllerRevision")
    return causes + _revision(new) + checks.unchanged(new.get("data"), old.get("data"), "data")


def controller_default(obj: Obj) -> None:
    """A ReplicationController selects what its template makes, and is labelled like it."""
    spec = _spec(obj)
    if "template" in spec:
        poddefaults.template(spec)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if labels is not None:
        spec["selector"] = spec.get("selector") or dict(labels)
        if not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)
    spec.setdefault("replicas", 1)


def controller(obj: Obj) -> list[Cause]:
    """ValidateReplicationControllerSpec."""
    spec = obj.get("spec") or {}
    causes = checks.nonnegative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    found, template = spec.get("selector") or {}, spec.get("template")
    causes += [] if found else [required("spec.selector")]
    causes += checks.nonnegative(spec.get("replicas"), "spec.replicas")
    if template is None:
        return [*causes, required("spec.template")]
    labels = (template.get("metadata") or {}).get("labels")
    if any((labels or {}).get(key) != value for key, value in found.items()):
        text = "`selector` does not match template `labels`"
        causes.append(bad("spec.template.metadata.labels", labels, text))
    causes += pods.template(template, "spec.template")
    return causes + pods.lasting(template, "spec.template", "ReplicationController")


def controller_changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateReplicationControllerUpdate."""
    return objectmeta.changed(new, old) + controller(new)


def pod_template(obj: Obj) -> list[Cause]:
    """ValidatePodTemplate."""
    return pods.template(obj.get("template") or {}, "template")


def pod_template_changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidatePodTemplateUpdate."""
    return objectmeta.changed(new, old) + pod_template(new)


DEPLOYMENT = Strategy(
    default=deployment_default,
    validate=deployment,
    validate_update=deployment_changed,
    parts={"status": Part(validate=statuses.deployment)},
)
REPLICA_SET = Strategy(
    default=replica_set_default,
    validate=replica_set,
    validate_update=replica_set_changed,
    parts={"status": Part(validate=statuses.replica_set)},
    blank_status={"replicas": 0},
)
DAEMON_SET = Strategy(
    default=daemon_set_default,
    on_create=daemon_set_on_create,
    on_update=daemon_set_on_update,
    validate=daemon_set,
    validate_update=daemon_set_changed,
    parts={"status": Part(validate=statuses.daemon_set)},
    blank_status=dict.fromkeys(DAEMONS, 0),
)
REVISION = Strategy(
    default=revision_default, validate=revision, validate_update=revision_changed, has_generation=False
)
CONTROLLER = Strategy(
    default=controller_default,
    validate=controller,
    validate_update=controller_changed,
    parts={"status": Part(validate=statuses.controller)},
    blank_status={"replicas": 0},
)
POD_TEMPLATE = Strategy(
    default=poddefaults.template,
    validate=pod_template,
    validate_update=pod_template_changed,
    returns_deleted=True,
)
