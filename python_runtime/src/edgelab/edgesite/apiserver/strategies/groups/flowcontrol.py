"""FlowSchemas and PriorityLevelConfigurations (`pkg/apis/flowcontrol/validation`)."""

from __future__ import annotations

import math
from typing import Any

from edgelab.edgesite.apiserver import flowobjects, layouts, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, duplicate, forbidden, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.groups import flowrules
from edgelab.edgesite.apiserver.strategy import Part, Strategy

Obj = dict[str, Any]

GROUP = "flowcontrol.apiserver.k8s.io"
SCHEMA, LEVEL = "FlowSchema", "PriorityLevelConfiguration"
METHODS = ["ByNamespace", "ByUser"]
LARGEST_PRECEDENCE, MAX_QUEUES, HASH_BITS = 10000, 10_000_000, 60
OLD_ANNOTATION = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"
WHOLE = "must be a non-negative integer"
SHARE = "must be between 0 and 100, inclusive"


def schema_default(obj: Obj) -> None:
    """Defaults of a FlowSchema."""
    spec = obj.setdefault("spec", {})
    spec["matchingPrecedence"] = spec.get("matchingPrecedence") or 1000
    spec.setdefault("priorityLevelConfiguration", {"name": ""})
    for rule in spec.get("rules") or ():
        rule["subjects"] = rule.get("subjects")


def level_default(obj: Obj) -> None:
    """Defaults of a PriorityLevelConfiguration."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("type", "")
    for field, shares in (("exempt", 0), ("limited", 30)):
        part = spec.get(field)
        if part is not None:
            part.setdefault("nominalConcurrencyShares", shares)
            part.setdefault("lendablePercent", 0)
    limited = spec.get("limited")
    if limited is None:
        return
    response = limited.setdefault("limitResponse", {})
    response.setdefault("type", "")
    queuing = response.get("queuing")
    if queuing is not None:
        for field, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
            queuing[field] = queuing.get(field) or value


def schema(obj: Obj) -> list[Cause]:
    """ValidateFlowSchema."""
    spec, name = obj["spec"], obj["metadata"].get("name") or ""
    causes = _precedence(spec["matchingPrecedence"], name)
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in METHODS:
        shown = layouts.shown("flowcontrol.FlowDistinguisherMethod", method)
        causes.append(unsupported("spec.distinguisherMethod.type", shown, METHODS))
    level, field = (
        spec["priorityLevelConfiguration"].get("name") or "",
        "spec.priorityLevelConfiguration.name",
    )
    if level:
        causes += checks.dns_subdomain(level, field)
    else:
        causes.append(required(field, "must reference a priority level"))
    for position, rule in enumerate(spec.get("rules") or ()):
        causes += flowrules.rule(rule, f"spec.rules[{position}]")
    wanted = flowobjects.fixed(SCHEMA, name)
    if wanted is not None and not _equal("flowcontrol.FlowSchemaSpec", spec, wanted):
        causes.append(_must_equal("flowcontrol.FlowSchemaSpec", spec, name))
    return causes + _conditions(obj)


def _precedence(value: int, name: str) -> list[Cause]:
    field, causes = "spec.matchingPrecedence", []
    if value <= 0:
        causes.append(bad(field, value, "must be a positive value"))
    if value > LARGEST_PRECEDENCE:
        causes.append(bad(field, value, f"must not be greater than {LARGEST_PRECEDENCE}"))
    if value == 1 and name != "exempt":
        text = "only the schema named 'exempt' may have matchingPrecedence 1"
        causes.append(bad(field, value, text))
    return causes


def level(obj: Obj) -> list[Cause]:
    """ValidatePriorityLevelConfiguration."""
    spec, name = obj["spec"], obj["metadata"].get("name") or ""
    causes: list[Cause] = []
    if OLD_ANNOTATION in (obj["metadata"].get("annotations") or {}):
        causes.append(forbidden("metadata.annotations", f"annotation '{OLD_ANNOTATION}' is forbidden"))
    kind, exempt, limited = spec["type"], spec.get("exempt"), spec.get("limited")
    if (name == "exempt") != (kind == "Exempt"):
        causes.append(bad("spec.type", kind, "must be 'Exempt' if and only if `name` is 'exempt'"))
    if kind == "Exempt":
        text = "must be nil if the type is not Limited"
        causes += [forbidden("spec.limited", text)] if limited is not None else []
        causes += _shares(exempt, "spec.exempt") if exempt is not None else []
    elif kind == "Limited":
        causes += (
            [forbidden("spec.exempt", "must be nil if the type is Limited")] if exempt is not None else []
        )
        text = "must not be empty when type is Limited"
        causes += [required("spec.limited", text)] if limited is None else _limited(limited, "spec.limited")
    else:
        causes.append(unsupported("spec.type", kind, ["Exempt", "Limited"]))
    return causes + _fixed_level(spec, name) + _conditions(obj)


def _fixed_level(spec: Obj, name: str) -> list[Cause]:
    wanted = flowobjects.fixed(LEVEL, name)
    if wanted is None:
        return []
    found = {**spec, "exempt": wanted["exempt"]} if name == "exempt" else spec
    if _equal("flowcontrol.PriorityLevelConfigurationSpec", found, wanted):
        return []
    part = " except the 'spec.exempt' field" if name == "exempt" else ""
    return [_must_equal("flowcontrol.PriorityLevelConfigurationSpec", spec, name, part)]


def _equal(kind: str, left: Obj, right: Obj) -> bool:
    # The objects that a site begins with are told at a glance; the layouts are read for others.
    return left == right or bool(layouts.shown(kind, left) == layouts.shown(kind, right))


def _must_equal(kind: str, spec: Obj, name: str, part: str = "") -> Cause:
    return bad("spec", layouts.shown(kind, spec), f"spec of '{name}'{part} must equal the fixed value")


def _shares(part: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    shares, lendable = part.get("nominalConcurrencyShares"), part.get("lendablePercent")
    if shares is not None and shares < 0:
        causes.append(bad(f"{path}.nominalConcurrencyShares", shares, WHOLE))
    if lendable is not None and not 0 <= lendable <= 100:
        causes.append(bad(f"{path}.lendablePercent", lendable, SHARE))
    return causes


def _limited(limited: Obj, path: str) -> list[Cause]:
    shares, lendable = limited.get("nominalConcurrencyShares"), limited.get("lendablePercent")
    causes: list[Cause] = []
    if shares is not None and shares < 0:
        causes.append(bad(f"{path}.nominalConcurrencyShares", shares, WHOLE))
    causes += _response(limited["limitResponse"], f"{path}.limitResponse")
    if lendable is not None and not 0 <= lendable <= 100:
        causes.append(bad(f"{path}.lendablePercent", lendable, SHARE))
    borrowed = limited.get("borrowingLimitPercent")
    if borrowed is not None and borrowed < 0:
        causes.append(bad(f"{path}.borrowingLimitPercent", borrowed, f"if specified, {WHOLE}"))
    return causes


def _response(response: Obj, path: str) -> list[Cause]:
    kind, queuing, field = response.get("type") or "", response.get("queuing"), f"{path}.queuing"
    if kind == "Reject":
        text = "must be nil if limited.limitResponse.type is not Limited"
        return [forbidden(field, text)] if queuing is not None else []
    if kind == "Queue":
        text = "must not be empty if limited.limitResponse.type is Limited"
        return [required(field, text)] if queuing is None else _queuing(queuing, field)
    return [unsupported(f"{path}.type", kind, ["Queue", "Reject"])]


def _queuing(queuing: Obj, path: str) -> list[Cause]:
    length, queues, hand = (queuing.get(name) or 0 for name in ("queueLengthLimit", "queues", "handSize"))
    causes: list[Cause] = []
    if length <= 0:
        causes.append(bad(f"{path}.queueLengthLimit", length, "must be positive"))
    if queues <= 0:
        causes.append(bad(f"{path}.queues", queues, "must be positive"))
    elif queues > MAX_QUEUES:
        causes.append(bad(f"{path}.queues", queues, f"must not be greater than {MAX_QUEUES}"))
    field = f"{path}.handSize"
    if hand <= 0:
        causes.append(bad(field, hand, "must be positive"))
    elif hand > queues:
        causes.append(bad(field, hand, f"should not be greater than queues ({queues})"))
    elif math.ceil(math.log2(queues) * hand) > HASH_BITS:
        text = f"required entropy bits of deckSize {queues} and handSize {hand}"
        causes.append(bad(field, hand, f"{text} should not be greater than {HASH_BITS}"))
    return causes


def _conditions(obj: Obj) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, item in enumerate((obj.get("status") or {}).get("conditions") or ()):
        kind, field = item.get("type") or "", f"status.conditions[{position}].type"
        causes += [duplicate(field, kind)] if kind in seen else []
        seen.add(kind)
        causes += [] if kind else [required(field)]
    return causes


def keep_metadata(new: Obj, old: Obj) -> None:
    """A change of the status changes nothing else but who manages what."""
    managed = new["metadata"].get("managedFields")
    new["metadata"] = dict(old["metadata"])
    if managed:
        new["metadata"]["managedFields"] = managed


def schema_changed(new: Obj, old: Obj) -> list[Cause]:
    """As for a new one."""
    return objectmeta.of_kind(new, GROUP, SCHEMA) + schema(new)


def level_changed(new: Obj, old: Obj) -> list[Cause]:
    """As for a new one."""
    return objectmeta.of_kind(new, GROUP, LEVEL) + level(new)


STATUS = {"status": Part(keep_metadata, lambda new, old: _conditions(new))}
FLOW_SCHEMA = Strategy(default=schema_default, validate=schema, validate_update=schema_changed, parts=STATUS)
PRIORITY_LEVEL = Strategy(default=level_default, validate=level, validate_update=level_changed, parts=STATUS)
