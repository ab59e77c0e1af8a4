"""Deployments, ReplicaSets, DaemonSets, StatefulSets, Jobs, CronJobs (`pkg/apis/{apps,batch}`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause, bad, immutable, required, unsupported
from edgelab.edgesite.apiserver.strategies import poddefaults, pods
from edgelab.edgesite.apiserver.strategy import Strategy
from edgelab.objects import selectors

Obj = dict[str, Any]


def _spec(obj: Obj) -> Obj:
    spec: Obj = obj.setdefault("spec", {})
    return spec


def deployment(obj: Obj) -> None:
    """Defaults of a Deployment."""
    spec = _spec(obj)
    poddefaults.template(spec)
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")


def replica_set(obj: Obj) -> None:
    """Defaults of a ReplicaSet."""
    poddefaults.template(_spec(obj))
    _spec(obj).setdefault("replicas", 1)


def daemon_set(obj: Obj) -> None:
    """Defaults of a DaemonSet."""
    spec = _spec(obj)
    poddefaults.template(spec)
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)


TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def _count_template(obj: Obj, number: int) -> None:
    annotations = {**(obj["metadata"].get("annotations") or {}), TEMPLATE_GENERATION: str(number)}
    obj["metadata"]["annotations"] = annotations


def daemon_set_on_create(obj: Obj) -> None:
    """The count of a DaemonSet's templates, of which its pods carry the number."""
    _count_template(obj, 1)


def daemon_set_on_update(new: Obj, old: Obj) -> None:
    """Only a new template counts, whatever is written (`pkg/registry/apps/daemonset/strategy.go`)."""
    counted = (old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "")
    changed = (new.get("spec") or {}).get("template") != (old.get("spec") or {}).get("template")
    _count_template(new, (int(counted) if counted.isdecimal() else 0) + changed)


def stateful_set(obj: Obj) -> None:
    """Defaults of a StatefulSet."""
    spec = _spec(obj)
    poddefaults.template(spec)
    for name, value in (
        ("replicas", 1),
        ("revisionHistoryLimit", 10),
        ("podManagementPolicy", "OrderedReady"),
    ):
        spec.setdefault(name, value)
    spec.setdefault("serviceName", "")
    policy = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    policy.setdefault("whenDeleted", "Retain")
    policy.setdefault("whenScaled", "Retain")
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)


def _job_spec(spec: Obj) -> None:
    poddefaults.template(spec)
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    defaults = {
        "parallelism": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "podReplacementPolicy": "TerminatingOrFailed",
    }
    for name, value in defaults.items():
        spec.setdefault(name, value)


def job(obj: Obj) -> None:
    """Defaults of a Job."""
    _job_spec(_spec(obj))


def job_on_create(obj: Obj) -> None:
    """A Job selects its pods by its own uid unless it brings a selector (`batch/job/strategy.go`)."""
    spec, metadata = _spec(obj), obj["metadata"]
    if spec.get("manualSelector"):
        return
    labels = spec["template"]["metadata"].setdefault("labels", {})
    for prefix in ("", "batch.kubernetes.io/"):
        labels[f"{prefix}controller-uid"] = metadata["uid"]
        labels[f"{prefix}job-name"] = metadata["name"]
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": metadata["uid"]}}


def cron_job(obj: Obj) -> None:
    """Defaults of a CronJob."""
    spec = _spec(obj)
    defaults: Obj = {"concurrencyPolicy": "Allow", "suspend": False}
    defaults |= {"successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1}
    for name, value in defaults.items():
        spec.setdefault(name, value)
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    inner = template.setdefault("spec", {})
    poddefaults.template(inner)


def _selected(obj: Obj) -> list[Cause]:
    """The selector must be there and select the template; the template must be a valid, lasting pod."""
    spec = obj.get("spec") or {}
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    selector, causes = spec.get("selector"), []
    if selector is None:
        causes.append(required("spec.selector"))
    elif not (selector.get("matchLabels") or selector.get("matchExpressions")):
        text = "empty selector is invalid for deployment"
        causes.append(bad("spec.selector", selector, text))
    elif not selectors.from_object(selector).matches(labels):
        text = "`selector` does not match template `labels`"
        causes.append(bad("spec.template.metadata.labels", labels, text))
    if (spec.get("replicas") or 0) < 0:
        causes.append(bad("spec.replicas", spec["replicas"], "must be greater than or equal to 0"))
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy != "Always":
        causes.append(unsupported("spec.template.spec.restartPolicy", policy, ["Always"]))
    return causes + pods.validate_spec(template.get("spec") or {}, "spec.template.spec")


def _job_valid(obj: Obj) -> list[Cause]:
    spec = obj.get("spec") or {}
    pod = (spec.get("template") or {}).get("spec") or {}
    causes = pods.validate_spec(pod, "spec.template.spec")
    if pod.get("restartPolicy") not in ("OnFailure", "Never"):
        field = "spec.template.spec.restartPolicy"
        causes.append(unsupported(field, pod.get("restartPolicy"), ["Never", "OnFailure"]))
    return causes


def _cron_valid(obj: Obj) -> list[Cause]:
    schedule = (obj.get("spec") or {}).get("schedule") or ""
    if not schedule:
        return [required("spec.schedule")]
    if not schedule.startswith("@") and len(schedule.split()) != 5:
        text = f"expected exactly 5 fields, found {len(schedule.split())}: {schedule.split()}"
        return [bad("spec.schedule", schedule, text)]
    return []


def _selector_stays(new: Obj, old: Obj) -> list[Cause]:
    mine, theirs = (new.get("spec") or {}).get("selector"), (old.get("spec") or {}).get("selector")
    return [] if mine == theirs else [immutable("spec.selector", mine)]


DEPLOYMENT = Strategy(default=deployment, validate=_selected, validate_update=_selector_stays)
REPLICA_SET = Strategy(default=replica_set, validate=_selected, validate_update=_selector_stays)
DAEMON_SET = Strategy(
    default=daemon_set,
    on_create=daemon_set_on_create,
    on_update=daemon_set_on_update,
    validate=_selected,
    validate_update=_selector_stays,
)
STATEFUL_SET = Strategy(default=stateful_set, validate=_selected, validate_update=_selector_stays)
JOB = Strategy(default=job, on_create=job_on_create, validate=_job_valid, validate_update=_selector_stays)
CRON_JOB = Strategy(default=cron_job, validate=_cron_valid)
