"""Where a pod wants to run: affinity, spreading, tolerations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.invalid import Cause, bad, duplicate, forbidden, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks

Obj = dict[str, Any]

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
NOT_AN_OPERATOR = "not a valid selector operator"
WEIGHT = "must be in the range 1-100"
EFFECTS = ["NoSchedule", "PreferNoSchedule", "NoExecute"]
UNSATISFIABLE = ["DoNotSchedule", "ScheduleAnyway"]
POLICIES = ["Honor", "Ignore"]


def _requirement(item: Obj, path: str, *, check_values: bool) -> list[Cause]:
    operator, values, field = item.get("operator") or "", item.get("values") or [], f"{path}.values"
    causes: list[Cause] = []
    if operator in ("In", "NotIn") and not values:
        causes.append(required(field, "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist") and values:
        text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        causes.append(forbidden(field, text))
    elif operator in ("Gt", "Lt") and len(values) != 1:
        causes.append(required(field, "must be specified single value when `operator` is 'Lt' or 'Gt'"))
    elif operator not in ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"):
        causes.append(bad(f"{path}.operator", operator, NOT_AN_OPERATOR))
    causes += checks.label_name(item.get("key") or "", f"{path}.key")
    for position, value in enumerate(values if check_values else ()):
        causes += [bad(f"{field}[{position}]", value, text) for text in names.label_value(value)]
    return causes


def _field_requirement(item: Obj, path: str) -> list[Cause]:
    operator, values, key = item.get("operator") or "", item.get("values") or [], item.get("key") or ""
    causes: list[Cause] = []
    if operator not in ("In", "NotIn"):
        causes.append(bad(f"{path}.operator", operator, NOT_AN_OPERATOR))
    elif len(values) != 1:
        text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        causes.append(required(f"{path}.values", text))
    if key != "metadata.name":
        return [*causes, bad(f"{path}.key", key, "not a valid field selector key")]
    for position, value in enumerate(values):
        causes += checks.dns_subdomain(value, f"{path}.values[{position}]")
    return causes


def _term(term: Obj, path: str, *, check_values: bool) -> list[Cause]:
    causes: list[Cause] = []
    for position, item in enumerate(term.get("matchExpressions") or ()):
        causes += _requirement(item, f"{path}.matchExpressions[{position}]", check_values=check_values)
    for position, item in enumerate(term.get("matchFields") or ()):
        causes += _field_requirement(item, f"{path}.matchFields[{position}]")
    return causes


def node_selector(selector: Obj, path: str) -> list[Cause]:
    """core.NodeSelector."""
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        return [required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")]
    causes: list[Cause] = []
    for position, term in enumerate(terms):
        causes += _term(term, f"{path}.nodeSelectorTerms[{position}]", check_values=True)
    return causes


def _node(found: Obj, path: str) -> list[Cause]:
    causes = node_selector(found[REQUIRED], f"{path}.{REQUIRED}") if REQUIRED in found else []
    for position, term in enumerate(found.get(PREFERRED) or ()):
        field, weight = f"{path}.{PREFERRED}[{position}]", term.get("weight") or 0
        if not 1 <= weight <= 100:
            causes.append(bad(f"{field}.weight", weight, WEIGHT))
        causes += _term(term.get("preference") or {}, f"{field}.preference", check_values=False)
    return causes


def _pod_term(term: Obj, path: str) -> list[Cause]:
    selector = term.get("labelSelector")
    causes = checks.label_selector(selector, f"{path}.labelSelector")
    causes += checks.label_selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for namespace in term.get("namespaces") or ():
        causes += checks.dns_label(namespace, f"{path}.namespace")
    matched, mismatched = term.get("matchLabelKeys") or [], term.get("mismatchLabelKeys") or []
    causes += label_keys(path, matched, mismatched, selector)
    key = term.get("topologyKey") or ""
    if not key:
        causes.append(required(f"{path}.topologyKey", "can not be empty"))
    return causes + checks.label_name(key, f"{path}.topologyKey")


def label_keys(path: str, matched: list[str], mismatched: list[str], selector: Obj | None) -> list[Cause]:
    """matchLabelKeys and mismatchLabelKeys beside a selector."""
    causes: list[Cause] = []
    for name, keys in (("matchLabelKeys", matched), ("mismatchLabelKeys", mismatched)):
        field = f"{path}.{name}"
        if keys and selector is None:
            causes.append(forbidden(field, "must not be specified when labelSelector is not set"))
        elif keys:
            for position, key in enumerate(keys):
                causes += checks.label_name(key, f"{field}[{position}]")
    seen = set((selector or {}).get("matchLabels") or ())
    for item in (selector or {}).get("matchExpressions") or ():
        key = item.get("key") or ""
        if key in matched and key in seen:
            text = "exists in both matchLabelKeys and labelSelector"
            causes.append(bad(f"{path}[{matched.index(key)}]", key, text))
        seen.add(key)
    for position, key in enumerate(matched):
        if key in mismatched:
            text = "exists in both matchLabelKeys and mismatchLabelKeys"
            causes.append(bad(f"{path}.matchLabelKeys[{position}]", key, text))
    return causes


def _pods(found: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for position, term in enumerate(found.get(REQUIRED) or ()):
        causes += _pod_term(term, f"{path}.{REQUIRED}[{position}]")
    for position, item in enumerate(found.get(PREFERRED) or ()):
        field, weight = f"{path}.{PREFERRED}[{position}]", item.get("weight") or 0
        if not 1 <= weight <= 100:
            causes.append(bad(f"{field}.weight", weight, WEIGHT))
        causes += _pod_term(item.get("podAffinityTerm") or {}, f"{field}.podAffinityTerm")
    return causes


KINDS: dict[str, Callable[[Obj, str], list[Cause]]] = {
    "nodeAffinity": _node,
    "podAffinity": _pods,
    "podAntiAffinity": _pods,
}


def affinity(spec: Obj, path: str) -> list[Cause]:
    """`spec.affinity`."""
    found = spec.get("affinity") or {}
    causes: list[Cause] = []
    for name, check in KINDS.items():
        if name in found:
            causes += check(found[name], f"{path}.affinity.{name}")
    return causes


def spread(spec: Obj, path: str) -> list[Cause]:
    """`spec.topologySpreadConstraints`."""
    constraints = spec.get("topologySpreadConstraints") or []
    causes: list[Cause] = []
    for position, item in enumerate(constraints):
        field = f"{path}.topologySpreadConstraints[{position}]"
        key, action = item.get("topologyKey") or "", item.get("whenUnsatisfiable") or ""
        causes += checks.positive(item.get("maxSkew"), f"{field}.maxSkew")
        if not key:
            causes.append(required(f"{field}.topologyKey", "can not be empty"))
        if action not in UNSATISFIABLE:
            causes.append(unsupported(f"{field}.whenUnsatisfiable", action, UNSATISFIABLE))
        for other in constraints[position + 1 :]:
            if (other.get("topologyKey") or "", other.get("whenUnsatisfiable") or "") == (key, action):
                where = f"{field}.{{topologyKey, whenUnsatisfiable}}"
                causes.append(duplicate(where, f"{{{key}, {action}}}"))
                break
        causes += _domains(item, action, f"{field}.minDomains")
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if name in item and item[name] not in POLICIES:
                causes.append(unsupported(f"{field}.{name}", item[name], POLICIES))
        causes += label_keys(field, item.get("matchLabelKeys") or [], [], item.get("labelSelector"))
        causes += checks.label_selector(item.get("labelSelector"), f"{field}.labelSelector")
    return causes


def _domains(item: Obj, action: str, path: str) -> list[Cause]:
    number = item.get("minDomains")
    if number is None:
        return []
    causes = checks.positive(number, path)
    if action != "DoNotSchedule":
        text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        causes.append(bad(path, number, text))
    return causes


def taint_effect(effect: str, path: str) -> list[Cause]:
    """The effect of a taint."""
    return [] if effect in EFFECTS else [unsupported(path, effect, EFFECTS)]


def tolerations(found: list[Obj], path: str) -> list[Cause]:
    """Tolerations."""
    causes: list[Cause] = []
    for position, item in enumerate(found):
        field, key, operator = f"{path}[{position}]", item.get("key") or "", item.get("operator") or ""
        effect, value = item.get("effect") or "", item.get("value") or ""
        if key:
            causes += checks.label_name(key, f"{field}.key")
        elif operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            causes.append(bad(f"{field}.operator", operator, text))
        if "tolerationSeconds" in item and effect != "NoExecute":
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            causes.append(bad(f"{field}.effect", effect, text))
        if operator in ("Equal", ""):
            problems = names.label_value(value)
            causes += [bad(f"{field}.operator", value, ";".join(problems))] if problems else []
        elif operator != "Exists":
            causes.append(unsupported(f"{field}.operator", operator, ["Equal", "Exists"]))
        elif value:
            text = "value must be empty when `operator` is 'Exists'"
            causes.append(bad(f"{field}.operator", value, text))
        if effect:
            causes += taint_effect(effect, f"{field}.effect")
    return causes
