"""HorizontalPodAutoscalers (`pkg/apis/autoscaling`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgelab.edgesite.apiserver import names, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.pod import resources
from edgelab.edgesite.apiserver.strategy import Part, Strategy
from edgelab.objects import quantity

Obj = dict[str, Any]

SELECT = ["Disabled", "Max", "Min"]
POLICIES = ["Percent", "Pods"]
SOURCES = {
    "Object": "object",
    "External": "external",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}
UP: Obj = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
DOWN: Obj = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}
NONE_SET = "must set either a target raw value or a target utilization"
BOTH_SET = "may not set both a target raw value and a target utilization"


def default(obj: Obj) -> None:
    """Defaults of a HorizontalPodAutoscaler."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if obj["apiVersion"] == "autoscaling/v1":
        return
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        for field, rules in (("scaleUp", UP), ("scaleDown", DOWN)):
            given = behavior.get(field) or {}
            copied = {**rules, "policies": [dict(item) for item in rules["policies"]]}
            behavior[field] = copied | {key: value for key, value in given.items() if value is not None}


def validate(obj: Obj) -> list[Cause]:
    """ValidateHorizontalPodAutoscaler."""
    spec = obj.get("spec") or {}
    least, most, causes = spec.get("minReplicas"), spec.get("maxReplicas") or 0, []
    if least is not None and least < 1:
        causes.append(bad("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        causes.append(bad("spec.maxReplicas", most, "must be greater than 0"))
    if least is not None and most < least:
        text = "must be greater than or equal to `minReplicas`"
        causes.append(bad("spec.maxReplicas", most, text))
    causes += _reference(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef", grouped=True)
    metrics = spec.get("metrics") or []
    for position, metric in enumerate(metrics):
        causes += _metric(metric, f"spec.metrics[{position}]")
    if least == 0 and not any(metric.get("type") in ("Object", "External") for metric in metrics):
        text = "must specify at least one Object or External metric to support scaling to zero replicas"
        causes.append(forbidden("spec.metrics", text))
    for field, rules in (spec.get("behavior") or {}).items():
        causes += _rules(rules, f"spec.behavior.{field}")
    return causes


def _reference(found: Obj, path: str, *, grouped: bool = False) -> list[Cause]:
    causes: list[Cause] = []
    for field in ("kind", "name"):
        value, where = found.get(field) or "", f"{path}.{field}"
        causes += checks.texts(names.path_segment, value, where) if value else [required(where)]
    version = found.get("apiVersion") or ""
    problem = f"unexpected GroupVersion string: {version}" if version.count("/") > 1 else ""
    if not problem and grouped and "/" not in version:
        version, problem = found.get("apiVersion") or "", "apiVersion must specify API group"
    return causes + ([bad(f"{path}.apiVersion", version, problem)] if problem else [])


def _rules(rules: Obj, path: str) -> list[Cause]:
    causes, seconds, select = [], rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy")
    field = f"{path}.stabilizationWindowSeconds"
    if seconds is not None and seconds < 0:
        causes.append(bad(field, seconds, "must be greater than or equal to zero"))
    if seconds is not None and seconds > 3600:
        causes.append(bad(field, seconds, "must be less than or equal to 3600"))
    if select is not None and select not in SELECT:
        causes.append(unsupported(f"{path}.selectPolicy", select, SELECT))
    policies = rules.get("policies") or []
    causes += [] if policies else [required(f"{path}.policies", "must specify at least one Policy")]
    for position, policy in enumerate(policies):
        causes += _policy(policy, f"{path}.policies[{position}]")
    tolerance = rules.get("tolerance")
    if tolerance is not None and quantity.parse(tolerance) < 0:
        causes.append(bad(f"{path}.tolerance", tolerance, checks.NEGATIVE))
    return causes


def _policy(policy: Obj, path: str) -> list[Cause]:
    kind, value, seconds = (
        policy.get("type") or "",
        policy.get("value") or 0,
        policy.get("periodSeconds") or 0,
    )
    causes = [] if kind in POLICIES else [unsupported(f"{path}.type", kind, POLICIES)]
    causes += [] if value > 0 else [bad(f"{path}.value", value, checks.NOT_POSITIVE)]
    field = f"{path}.periodSeconds"
    causes += [] if seconds > 0 else [bad(field, seconds, checks.NOT_POSITIVE)]
    return causes + ([bad(field, seconds, "must be less than or equal to 1800")] if seconds > 1800 else [])


def _metric(metric: Obj, path: str) -> list[Cause]:
    kind, known = metric.get("type") or "", sorted(SOURCES)
    causes = [] if kind else [required(f"{path}.type", "must specify a metric source type")]
    if kind not in SOURCES:
        causes.append(unsupported(f"{path}.type", kind, known))
    present = [field for field in SOURCES.values() if field in metric]
    if present:
        causes += _CHECKS[present[0]](metric[present[0]], f"{path}.{present[0]}")
    expected = SOURCES.get(kind, "")
    if expected and expected not in metric:
        text = "must populate information for the given metric source"
        causes.append(required(f"{path}.{expected}", text))
    elif not expected:
        causes.append(unsupported(f"{path}.type", kind, known))
    if len(present) != 1:
        text = "must populate the given metric source only"
        causes += [forbidden(f"{path}.{field}", text) for field in present if field != expected]
    return causes


def _target(source: Obj, path: str) -> list[Cause]:
    target, field = source.get("target") or {}, f"{path}.target"
    kind, causes = target.get("type") or "", []
    if not kind:
        causes.append(required(f"{field}.type", "must specify a metric target type"))
    if kind not in ("Utilization", "Value", "AverageValue"):
        text = "must be either Utilization, Value, or AverageValue"
        causes.append(bad(f"{field}.type", kind, text))
    for name in ("value", "averageValue"):
        if target.get(name) is not None and quantity.parse(target[name]) <= 0:
            causes.append(bad(f"{field}.{name}", target[name], "must be positive"))
    share = target.get("averageUtilization")
    if share is not None and share < 1:
        causes.append(bad(f"{field}.averageUtilization", share, "must be greater than 0"))
    return causes


def _identifier(source: Obj, path: str) -> list[Cause]:
    name, field = (source.get("metric") or {}).get("name") or "", f"{path}.metric.name"
    if not name:
        return [required(field, "must specify a metric name")]
    return checks.texts(names.path_segment, name, field)


def _object(source: Obj, path: str) -> list[Cause]:
    causes = _reference(source.get("describedObject") or {}, f"{path}.describedObject")
    causes += _identifier(source, path) + _target(source, path)
    target = source.get("target") or {}
    if "value" not in target and "averageValue" not in target:
        text = "must set either a target value or averageValue"
        causes.append(required(f"{path}.target.averageValue", text))
    return causes


def _external(source: Obj, path: str) -> list[Cause]:
    causes, target = _identifier(source, path) + _target(source, path), source.get("target") or {}
    given = [field for field in ("value", "averageValue") if field in target]
    if not given:
        text = "must set either a target value for metric or a per-pod target"
        causes.append(required(f"{path}.target.averageValue", text))
    if len(given) == 2:
        text = "may not set both a target value for metric and a per-pod target"
        causes.append(forbidden(f"{path}.target.value", text))
    return causes


def _pods(source: Obj, path: str) -> list[Cause]:
    causes, target = _identifier(source, path) + _target(source, path), source.get("target") or {}
    if "averageValue" not in target:
        text = "must specify a positive target averageValue"
        causes.append(required(f"{path}.target.averageValue", text))
    return causes


def _utilization(source: Obj, path: str) -> list[Cause]:
    causes, target = _target(source, path), source.get("target") or {}
    given = [field for field in ("averageUtilization", "averageValue") if field in target]
    if not given:
        causes.append(required(f"{path}.target.averageUtilization", NONE_SET))
    if len(given) == 2:
        causes.append(forbidden(f"{path}.target.averageValue", BOTH_SET))
    return causes


def _resource(source: Obj, path: str) -> list[Cause]:
    causes = [] if source.get("name") else [required(f"{path}.name", "must specify a resource name")]
    return causes + _utilization(source, path)


def _container_resource(source: Obj, path: str) -> list[Cause]:
    name, container, field = source.get("name") or "", source.get("container") or "", f"{path}.container"
    causes = [required(f"{path}.name", "must specify a resource name")]
    causes = resources.container_resource(name, f"{path}.name") if name else causes
    causes += (
        checks.dns_label(container, field) if container else [required(field, "must specify a container")]
    )
    return causes + _utilization(source, path)


_CHECKS: dict[str, Callable[[Obj, str], list[Cause]]] = {
    "object": _object,
    "external": _external,
    "pods": _pods,
    "resource": _resource,
    "containerResource": _container_resource,
}


def changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateHorizontalPodAutoscalerUpdate."""
    return objectmeta.changed(new, old) + validate(new)


def status_changed(new: Obj, old: Obj) -> list[Cause]:
    """Numbers of replicas."""
    causes, status = objectmeta.changed(new, old), new.get("status") or {}
    for field in ("currentReplicas", "desiredReplicas"):
        causes += checks.nonnegative(status.get(field), f"status.{field}")
    return causes


def on_create(obj: Obj) -> None:
    """Nothing is measured yet."""
    obj["status"] = {"currentReplicas": 0, "desiredReplicas": 0}
    if obj["apiVersion"] != "autoscaling/v1":
        obj["status"] = {"currentMetrics": None, "desiredReplicas": 0}


AUTOSCALER = Strategy(
    default=default,
    on_create=on_create,
    validate=validate,
    validate_update=changed,
    parts={"status": Part(validate=status_changed)},
    has_generation=False,
    keeps_status_on_create=True,
)
