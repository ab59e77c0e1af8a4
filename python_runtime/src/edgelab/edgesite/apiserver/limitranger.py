"""The LimitRanger plugin: containers get their default requests and limits, and stay within the range."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from edgelab.edgesite.apiserver.podadmission import of_namespace, refused
from edgelab.edgesite.apiserver.strategies.pod.resources import aggregate, text_of
from edgelab.edgesite.store import Store
from edgelab.objects import quantity

Obj = dict[str, Any]
Amounts = Mapping[str, Decimal]

ANNOTATION = "kubernetes.io/limit-ranger"
Constraint = Callable[[str, str, str, Amounts, Amounts], str]


def complete(store: Store, pod: Obj) -> None:
    """Give a new pod the defaults of its namespace, in place."""
    for found in of_namespace(store, "limitranges", pod["metadata"]["namespace"]):
        limits, requests = _defaults(found, "default"), _defaults(found, "defaultRequest")
        said: list[str] = []
        for field, what in (("containers", "container"), ("initContainers", "init container")):
            for container in pod["spec"].get(field) or ():
                said += _fill(container, limits, requests, what)
        if said:
            annotations = pod["metadata"].setdefault("annotations", {})
            annotations[ANNOTATION] = "LimitRanger plugin set: " + "; ".join(said)


def _defaults(found: Obj, field: str) -> dict[str, str]:
    result: dict[str, str] = {}
    for item in (found.get("spec") or {}).get("limits") or ():
        if item.get("type") == "Container":
            result |= item.get(field) or {}
    return result


def _fill(container: Obj, limits: Obj, requests: Obj, what: str) -> list[str]:
    resources: Obj = container.setdefault("resources", {})
    said: list[str] = []
    for field, defaults, word in (("limits", limits, "limit"), ("requests", requests, "request")):
        missing = {k: v for k, v in defaults.items() if k not in (resources.get(field) or {})}
        if missing:
            resources[field] = {**(resources.get(field) or {}), **missing}
            said.insert(0, f"{', '.join(sorted(missing))} {word} for {what} {container.get('name') or ''}")
    return said


def check(store: Store, plural: str, obj: Obj) -> None:
    """Raises ApiError 403 for a pod or a claim that is out of range."""
    for found in of_namespace(store, "limitranges", obj["metadata"]["namespace"]):
        problems = [
            problem
            for item in (found.get("spec") or {}).get("limits") or ()
            for problem in (_of_pod(item, obj) if plural == "pods" else _of_claim(item, obj))
        ]
        problems = list(dict.fromkeys(problems))
        if problems:
            text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
            raise refused(plural, "", obj, text)


def _amounts(found: Obj | None) -> dict[str, Decimal]:
    return {name: quantity.parse(value) for name, value in (found or {}).items()}


def _of_claim(item: Obj, claim: Obj) -> list[str]:
    if item.get("type") != "PersistentVolumeClaim":
        return []
    asked = _amounts((claim["spec"].get("resources") or {}).get("requests"))
    return _all(item, asked, {}, (("min", _least), ("max", _most_asked)))


def _of_pod(item: Obj, pod: Obj) -> list[str]:
    spec, rules = pod["spec"], (("min", _least), ("max", _most), ("maxLimitRequestRatio", _ratio))
    if item.get("type") == "Pod":
        return _all(item, aggregate(spec, "requests"), aggregate(spec, "limits"), rules)
    if item.get("type") != "Container":
        return []
    return [
        problem
        for field in ("containers", "initContainers")
        for container in spec.get(field) or ()
        for resources in [container.get("resources") or {}]
        for problem in _all(
            item, _amounts(resources.get("requests")), _amounts(resources.get("limits")), rules
        )
    ]


def _all(
    item: Obj, requests: Amounts, limits: Amounts, rules: tuple[tuple[str, Constraint], ...]
) -> list[str]:
    kind = item["type"]
    return [
        problem
        for part, rule in rules
        for name, bound in sorted((item.get(part) or {}).items())
        if (problem := rule(kind, name, bound, requests, limits))
    ]


def _least(kind: str, name: str, bound: str, requests: Amounts, limits: Amounts) -> str:
    text = f"minimum {name} usage per {kind} is {bound}"
    if name not in requests:
        return f"{text}.  No request is specified"
    for found, word in ((requests, "request"), (limits, "limit")):
        if name in found and found[name] < quantity.parse(bound):
            return f"{text}, but {word} is {text_of(name, found[name])}"
    return ""


def _most_asked(kind: str, name: str, bound: str, requests: Amounts, limits: Amounts) -> str:
    text = f"maximum {name} usage per {kind} is {bound}"
    if name not in requests:
        return f"{text}.  No request is specified"
    over = requests[name] > quantity.parse(bound)
    return f"{text}, but request is {text_of(name, requests[name])}" if over else ""


def _most(kind: str, name: str, bound: str, requests: Amounts, limits: Amounts) -> str:
    text = f"maximum {name} usage per {kind} is {bound}"
    if name not in limits:
        return f"{text}.  No limit is specified"
    for found, word in ((limits, "limit"), (requests, "request")):
        if name in found and found[name] > quantity.parse(bound):
            return f"{text}, but {word} is {text_of(name, found[name])}"
    return ""


def _ratio(kind: str, name: str, bound: str, requests: Amounts, limits: Amounts) -> str:
    text = f"{name} max limit to request ratio per {kind} is {bound}, but"
    if not requests.get(name):
        return f"{text} no request is specified or request is 0"
    if not limits.get(name):
        return f"{text} no limit is specified or limit is 0"
    ratio = limits[name] / requests[name]
    return f"{text} provided ratio is {ratio:.6f}" if ratio > quantity.parse(bound) else ""
