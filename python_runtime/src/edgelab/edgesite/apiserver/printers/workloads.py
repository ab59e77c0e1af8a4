"""Deployments and what else makes pods."""

from __future__ import annotations

import datetime as dt
from typing import Any

from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgesite.apiserver.printers.base import NONE, age, created, duration, pairs
from edgelab.objects.selectors import format_labels

Obj = dict[str, Any]


def _images(obj: Obj, selector: str | None = None) -> list[str]:
    spec = obj.get("spec") or {}
    pod = ((spec.get("template") or {}).get("spec")) or {}
    containers = pod.get("containers") or []
    chosen = format_labels(spec.get("selector")) if selector is None else selector
    return [
        ",".join(item.get("name", "") for item in containers),
        ",".join(item.get("image", "") for item in containers),
        chosen,
    ]


def _number(obj: Obj, field: str) -> int:
    return int((obj.get("status") or {}).get(field) or 0)


def _wanted(obj: Obj) -> int:
    return int((obj.get("spec") or {}).get("replicas") or 0)


def deployment(obj: Obj, now: dt.datetime) -> list[Any]:
    """A Deployment's row."""
    return [
        obj["metadata"]["name"],
        f"{_number(obj, 'readyReplicas')}/{_wanted(obj)}",
        _number(obj, "updatedReplicas"),
        _number(obj, "availableReplicas"),
        created(obj, now),
        *_images(obj),
    ]


def replica_set(obj: Obj, now: dt.datetime) -> list[Any]:
    """A ReplicaSet's row."""
    numbers = [_wanted(obj), _number(obj, "replicas"), _number(obj, "readyReplicas")]
    return [obj["metadata"]["name"], *numbers, created(obj, now), *_images(obj)]


def replication_controller(obj: Obj, now: dt.datetime) -> list[Any]:
    """A ReplicationController's row."""
    numbers = [_wanted(obj), _number(obj, "replicas"), _number(obj, "readyReplicas")]
    images = _images(obj, pairs((obj.get("spec") or {}).get("selector")))
    return [obj["metadata"]["name"], *numbers, created(obj, now), *images]


def daemon_set(obj: Obj, now: dt.datetime) -> list[Any]:
    """A DaemonSet's row."""
    fields = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    selector = (((obj.get("spec") or {}).get("template") or {}).get("spec") or {}).get("nodeSelector")
    numbers = [_number(obj, field) for field in fields]
    return [obj["metadata"]["name"], *numbers, pairs(selector), created(obj, now), *_images(obj)]


def stateful_set(obj: Obj, now: dt.datetime) -> list[Any]:
    """A StatefulSet's row."""
    ready = f"{_number(obj, 'readyReplicas')}/{_wanted(obj)}"
    return [obj["metadata"]["name"], ready, created(obj, now), *_images(obj)[:2]]


def job(obj: Obj, now: dt.datetime) -> list[Any]:
    """A Job's row."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    wanted = spec.get("completions")
    parallel = spec.get("parallelism") or 1
    total = str(wanted) if wanted is not None else f"1 of {parallel}" if parallel > 1 else "1"
    held = {item.get("type") for item in status.get("conditions") or () if item.get("status") == "True"}
    states = (
        ("Complete", "Complete"),
        ("Failed", "Failed"),
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
    )
    state = next((name for kind, name in states if kind in held), "Running")
    if obj["metadata"].get("deletionTimestamp"):
        state = "Terminating"
    length = ""
    if status.get("startTime"):
        end = parse_rfc3339(status["completionTime"]) if status.get("completionTime") else now
        length = duration(end - parse_rfc3339(status["startTime"]))
    done = f"{_number(obj, 'succeeded')}/{total}"
    return [obj["metadata"]["name"], state, done, length, created(obj, now), *_images(obj)]


def cron_job(obj: Obj, now: dt.datetime) -> list[Any]:
    """A CronJob's row."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    last = status.get("lastScheduleTime")
    inner = {"spec": (spec.get("jobTemplate") or {}).get("spec") or {}}
    return [
        obj["metadata"]["name"],
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        "True" if spec.get("suspend") else "False",
        len(status.get("active") or ()),
        age(last, now) if last else NONE,
        created(obj, now),
        *_images(inner, format_labels(inner["spec"].get("selector"))),
    ]


def disruption_budget(obj: Obj, now: dt.datetime) -> list[Any]:
    """A PodDisruptionBudget's row."""
    spec = obj.get("spec") or {}
    limits = [str(spec.get(field, "N/A")) for field in ("minAvailable", "maxUnavailable")]
    return [obj["metadata"]["name"], *limits, _number(obj, "disruptionsAllowed"), created(obj, now)]


SHOWN_METRICS = 2


def _metrics(obj: Obj) -> str:
    """`formatHPAMetrics`: what is and what is wanted, for the first two."""
    specs = (obj.get("spec") or {}).get("metrics") or []
    current = (obj.get("status") or {}).get("currentMetrics") or []
    shown = []
    for position, metric in enumerate(specs[:SHOWN_METRICS]):
        kind = metric.get("type") or ""
        field = kind[:1].lower() + kind[1:]
        source = metric.get(field) or {}
        found = ((current[position].get(field) or {}) if position < len(current) else {}).get("current") or {}
        shown.append(_metric(field, source, source.get("target") or {}, found))
    more = len(specs) - SHOWN_METRICS
    return (", ".join(shown) + (f" + {more} more..." if more > 0 else "")) or NONE


def _metric(field: str, source: Obj, target: Obj, found: Obj) -> str:
    prefix = f"{source.get('name', '')}: " if field in ("resource", "containerResource") else ""
    share = target.get("averageUtilization")
    if share is not None:
        used = found.get("averageUtilization")
        return f"{prefix}{'<unknown>' if used is None else f'{used}%'}/{share}%"
    average = target.get("averageValue")
    value, what = (average, "averageValue") if average is not None else (target.get("value"), "value")
    suffix = " (avg)" if average is not None and field in ("object", "external") else ""
    return f"{prefix}{found.get(what, '<unknown>')}/{value}{suffix}"


def autoscaler(obj: Obj, now: dt.datetime) -> list[Any]:
    """A HorizontalPodAutoscaler's row."""
    spec = obj.get("spec") or {}
    target = spec.get("scaleTargetRef") or {}
    metrics = _metrics(obj)
    replicas = [
        str(spec.get("minReplicas", "<unset>")),
        spec.get("maxReplicas"),
        _number(obj, "currentReplicas"),
    ]
    reference = f"{target.get('kind', '')}/{target.get('name', '')}"
    return [obj["metadata"]["name"], reference, metrics, *replicas, created(obj, now)]


PRINTERS = {
    ("apps", "Deployment"): deployment,
    ("apps", "ReplicaSet"): replica_set,
    ("", "ReplicationController"): replication_controller,
    ("apps", "DaemonSet"): daemon_set,
    ("apps", "StatefulSet"): stateful_set,
    ("batch", "Job"): job,
    ("batch", "CronJob"): cron_job,
    ("policy", "PodDisruptionBudget"): disruption_budget,
    ("autoscaling", "HorizontalPodAutoscaler"): autoscaler,
}
