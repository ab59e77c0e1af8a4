"""HorizontalPodAutoscalers in autoscaling/v1 and v2 (`pkg/apis/autoscaling/v1/conversion.go`).

Stored is v2. What v1 has no field for stands in its annotations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from edgelab.edgesite.apiserver.invalid import Shown, dump

Obj = dict[str, Any]

V1, V2 = "autoscaling/v1", "autoscaling/v2"
PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS, CURRENT = f"{PREFIX}metrics", f"{PREFIX}current-metrics"
CONDITIONS, BEHAVIOR = f"{PREFIX}conditions", f"{PREFIX}behavior"
SOURCES = {
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "External": "external",
}


def to_v1(obj: Obj) -> Obj:
    """A stored autoscaler as v1 shows it."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    metadata = dict(obj["metadata"])
    annotations = _without(metadata.pop("annotations", None))
    metrics: list[Obj] = spec.get("metrics") or []
    plain = {key: value for key, value in spec.items() if key not in ("metrics", "behavior")}
    share = next((_share(metric) for metric in metrics if _share(metric) is not None), None)
    if share is not None:
        plain["targetCPUUtilizationPercentage"] = share
    others = [_metric_to_v1(metric) for metric in metrics if _share(metric) is None]
    if others:
        annotations[METRICS] = _json(others)
    if status.get("currentMetrics"):
        annotations[CURRENT] = _json([_current_to_v1(item) for item in status["currentMetrics"]])
    if "behavior" in spec:
        annotations[BEHAVIOR] = dump(_behavior(spec["behavior"]))
    if status.get("conditions"):
        annotations[CONDITIONS] = _json(status["conditions"])
    if annotations:
        metadata["annotations"] = annotations
    kept = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")
    shown = {"currentReplicas": 0, "desiredReplicas": 0} | {k: status[k] for k in kept if k in status}
    for item in status.get("currentMetrics") or ():
        used = ((item.get("resource") or {}).get("current") or {}).get("averageUtilization")
        if item.get("type") == "Resource" and item["resource"].get("name") == "cpu" and used is not None:
            shown["currentCPUUtilizationPercentage"] = used
    return {"apiVersion": V1, "kind": obj["kind"], "metadata": metadata, "spec": plain, "status": shown}


def _behavior(found: Obj) -> Shown:
    """The internal type, as v1 keeps it."""
    return Shown(ScaleUp=_rules(found.get("scaleUp")), ScaleDown=_rules(found.get("scaleDown")))


def _rules(rules: Obj | None) -> Shown | None:
    if rules is None:
        return None
    policies = [
        Shown(
            Type=item.get("type", ""), Value=item.get("value", 0), PeriodSeconds=item.get("periodSeconds", 0)
        )
        for item in rules.get("policies") or ()
    ]
    return Shown(
        StabilizationWindowSeconds=rules.get("stabilizationWindowSeconds"),
        SelectPolicy=rules.get("selectPolicy"),
        Policies=policies or None,
        Tolerance=rules.get("tolerance"),
    )


def to_v2(obj: Obj) -> Obj:
    """A v1 autoscaler as it is stored."""
    metadata, spec, status = dict(obj["metadata"]), dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    given = metadata.pop("annotations", None) or {}
    metrics = [_metric_to_v2(item) for item in _list(given.get(METRICS))]
    share = spec.pop("targetCPUUtilizationPercentage", None)
    if share is not None:
        target = {"type": "Utilization", "averageUtilization": share}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        spec["metrics"] = metrics
    behavior = _decoded(given.get(BEHAVIOR))
    if isinstance(behavior, dict) and behavior:
        spec["behavior"] = _lower(behavior)
    used = status.pop("currentCPUUtilizationPercentage", None)
    current = [_current_to_v2(item) for item in _list(given.get(CURRENT))]
    if not current and used is not None:
        resource = {"name": "cpu", "current": {"averageUtilization": used}}
        current = [{"type": "Resource", "resource": resource}]
    status["currentMetrics"] = current or None
    conditions = _list(given.get(CONDITIONS))
    if conditions:
        status["conditions"] = conditions
    annotations = _without(given)
    if annotations:
        metadata["annotations"] = annotations
    if not status.get("currentReplicas"):
        status.pop("currentReplicas", None)
    status.setdefault("desiredReplicas", 0)
    return {"apiVersion": V2, "kind": obj["kind"], "metadata": metadata, "spec": spec, "status": status}


def _without(annotations: Obj | None) -> Obj:
    dropped = (METRICS, CURRENT, CONDITIONS, BEHAVIOR)
    return {key: value for key, value in (annotations or {}).items() if key not in dropped}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _decoded(text: Any) -> Any:
    try:
        return msgspec.json.decode(text) if isinstance(text, str) else None
    except msgspec.DecodeError:
        return None


def _list(text: Any) -> list[Obj]:
    found = _decoded(text)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _lower(value: Any) -> Any:
    """Go's names of the internal type as the API's."""
    if isinstance(value, list):
        return [_lower(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key[:1].lower() + key[1:]: _lower(inner) for key, inner in value.items() if inner is not None}


def _share(metric: Obj) -> int | None:
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    share: int | None = (resource.get("target") or {}).get("averageUtilization")
    return share


def _filled(**fields: Any) -> Obj:
    return {key: value for key, value in fields.items() if value is not None}


def _source(metric: Obj) -> tuple[str, Obj]:
    name = SOURCES.get(metric.get("type") or "", "")
    return name, metric.get(name) or {}


def _metric_to_v1(metric: Obj) -> Obj:
    name, source = _source(metric)
    target, identifier = source.get("target") or {}, source.get("metric") or {}
    return {"type": metric.get("type") or "", name: _TO_V1[name](source, target, identifier, "target")}


def _current_to_v1(item: Obj) -> Obj:
    name, source = _source(item)
    current, identifier = source.get("current") or {}, source.get("metric") or {}
    return {"type": item.get("type") or "", name: _TO_V1[name](source, current, identifier, "current")}


def _object_to_v1(source: Obj, values: Obj, identifier: Obj, word: str) -> Obj:
    return _filled(
        target=source.get("describedObject") or {},
        metricName=identifier.get("name") or "",
        **{f"{word}Value": values.get("value", "0")},
        selector=identifier.get("selector"),
        averageValue=values.get("averageValue"),
    )


def _pods_to_v1(source: Obj, values: Obj, identifier: Obj, word: str) -> Obj:
    return _filled(
        metricName=identifier.get("name") or "",
        **{f"{word}AverageValue": values.get("averageValue", "0")},
        selector=identifier.get("selector"),
    )


def _resource_to_v1(source: Obj, values: Obj, identifier: Obj, word: str) -> Obj:
    return _filled(
        name=source.get("name") or "",
        **{
            f"{word}AverageUtilization": values.get("averageUtilization"),
            f"{word}AverageValue": values.get("averageValue", None if word == "target" else "0"),
        },
        container=source.get("container"),
    )


def _external_to_v1(source: Obj, values: Obj, identifier: Obj, word: str) -> Obj:
    return _filled(
        metricName=identifier.get("name") or "",
        metricSelector=identifier.get("selector"),
        **{
            f"{word}Value": values.get("value", None if word == "target" else "0"),
            f"{word}AverageValue": values.get("averageValue"),
        },
    )


_TO_V1: dict[str, Callable[[Obj, Obj, Obj, str], Obj]] = {
    "": lambda *_: {},
    "object": _object_to_v1,
    "pods": _pods_to_v1,
    "resource": _resource_to_v1,
    "containerResource": _resource_to_v1,
    "external": _external_to_v1,
}


def _metric_to_v2(metric: Obj) -> Obj:
    name, source = _source(metric)
    result = _to_v2(name, source, "target")
    values = result.get("target")
    if values is not None:
        averages = name == "pods" or (name == "object" and "averageValue" in values)
        averages = averages or (name == "external" and "value" not in values)
        kind = "AverageValue" if averages else "Value"
        if name in ("resource", "containerResource"):
            kind = "Utilization" if "averageUtilization" in values else "AverageValue"
        result["target"] = {"type": kind, **values}
    return {"type": metric.get("type") or "", **({name: result} if name else {})}


def _current_to_v2(item: Obj) -> Obj:
    name, source = _source(item)
    return {"type": item.get("type") or "", **({name: _to_v2(name, source, "current")} if name else {})}


def _to_v2(name: str, source: Obj, word: str) -> Obj:
    averaged = source.get("averageValue") if name == "object" else source.get(f"{word}AverageValue")
    values = _filled(
        value=source.get(f"{word}Value"),
        averageValue=averaged,
        averageUtilization=source.get(f"{word}AverageUtilization"),
    )
    if name in ("resource", "containerResource"):
        return _filled(name=source.get("name"), container=source.get("container"), **{word: values})
    selector = source.get("metricSelector" if name == "external" else "selector")
    identifier = _filled(name=source.get("metricName") or "", selector=selector)
    described = (source.get("target") or {}) if name == "object" else None
    return _filled(describedObject=described, metric=identifier, **{word: values})
