"""The status of definitions: which names are accepted, and what that means (`pkg/controller/*`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edgelab.edgesite.apiserver.custom import approval, structure, webhooks
from edgelab.edgesite.apiserver.custom.errors import invalid
from edgelab.objects import metadata as meta

Obj = dict[str, Any]


def condition(kind: str, status: str, reason: str, message: str) -> Obj:
    """A condition; `put` gives it its time."""
    return {"type": kind, "status": status, "reason": reason, "message": message}


def put(status: Obj, found: Obj, now: str) -> Obj:
    """The status with a condition; the time stays while the condition's status does."""
    conditions = list(status.get("conditions") or ())
    for position, old in enumerate(conditions):
        if old["type"] == found["type"]:
            kept = old["status"] == found["status"]
            conditions[position] = {**found, "lastTransitionTime": old["lastTransitionTime"] if kept else now}
            return {**status, "conditions": conditions}
    return {**status, "conditions": [*conditions, {**found, "lastTransitionTime": now}]}


NOT_ACCEPTED = "NotAccepted"
"""Why a definition is not established at first, also between the two steps to it."""


def is_true(obj: Obj, kind: str) -> bool:
    """Whether a definition has a condition."""
    found = meta.condition(obj, kind)
    return found is not None and found["status"] == "True"


def settled(obj: Obj, others: Iterable[Obj], now: str, *, establish: bool = True) -> Obj:
    """The status that a definition should have, among the others of its group.

    Without `establish` one whose names are accepted is left to be established later (`is_waiting`).
    """
    status: Obj = obj.get("status") or {}
    names = obj["spec"]["names"]
    if names != status.get("acceptedNames"):
        accepted, found = _accepted(obj, list(others))
        old = meta.condition(obj, "NamesAccepted")
        if accepted != status.get("acceptedNames") or not _same(old, found):
            status = put({**status, "acceptedNames": accepted}, found, now)
            if meta.condition(obj, "Established") is None:
                refused = condition("Established", "False", NOT_ACCEPTED, "not all names are accepted")
                status = put(status, refused, now)
    status = _established({**obj, "status": status}, now, establish=establish)
    status = _approved(obj, status, now)
    return _structural(obj, status, now)


def _same(old: Obj | None, new: Obj) -> bool:
    return old is not None and all(old.get(field) == new[field] for field in ("status", "reason", "message"))


def _accepted(obj: Obj, others: list[Obj]) -> tuple[Obj, Obj]:
    """The names that a definition gets, and the condition that says so."""
    wanted, status = obj["spec"]["names"], obj.get("status") or {}
    have: Obj = status.get("acceptedNames") or {}
    taken = [other.get("status", {}).get("acceptedNames") or {} for other in others]
    resources = {names.get(field) for names in taken for field in ("plural", "singular")}
    resources |= {short for names in taken for short in names.get("shortNames") or ()}
    kinds = {names.get(field) for names in taken for field in ("kind", "listKind")}
    reason, message, result = "", "", dict(have)

    def take(field: str, used: set[Any], why: str) -> None:
        nonlocal reason, message
        if wanted.get(field) != have.get(field) and wanted.get(field) in used:
            reason, message = why, f'"{wanted[field]}" is already in use'
        else:
            result[field] = wanted.get(field)

    take("plural", resources, "PluralConflict")
    take("singular", resources, "SingularConflict")
    if wanted.get("shortNames") != have.get("shortNames"):
        known = have.get("shortNames") or ()
        bad = [n for n in wanted.get("shortNames") or () if n not in known and n in resources]
        if bad:
            texts = [f'"{name}" is already in use' for name in dict.fromkeys(bad)]
            reason = "ShortNamesConflict"
            message = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        else:
            result["shortNames"] = wanted.get("shortNames")
    take("kind", kinds, "KindConflict")
    take("listKind", kinds, "ListKindConflict")
    result["categories"] = wanted.get("categories")
    result = {field: value for field, value in result.items() if value or field in ("plural", "kind")}
    if reason:
        return result, condition("NamesAccepted", "False", reason, message)
    return result, condition("NamesAccepted", "True", "NoConflicts", "no conflicts found")


def _established(obj: Obj, now: str, *, establish: bool) -> Obj:
    status: Obj = obj["status"]
    if not is_true(obj, "NamesAccepted") or is_true(obj, "Established"):
        return status
    bundle = webhooks.client_config(obj).get("caBundle") or ""
    if bundle and not webhooks.is_bundle(bundle):
        text = "The conversion webhook CABundle is invalid"
        return put(status, condition("Established", "False", "InvalidCABundle", text), now)
    if not establish:
        return status
    text = "the initial names have been accepted"
    return put(status, condition("Established", "True", "InitialNamesAccepted", text), now)


def _approved(obj: Obj, status: Obj, now: str) -> Obj:
    if not approval.is_protected(obj["spec"]["group"]):
        return status
    state, message = approval.approval_state(obj["metadata"].get("annotations"))
    outcome, reason = {
        "Invalid": ("False", "InvalidAnnotation"),
        "Missing": ("False", "MissingAnnotation"),
        "Approved": ("True", "ApprovedAnnotation"),
        "Bypassed": ("False", "UnapprovedAnnotation"),
    }[state]
    kind = "KubernetesAPIApprovalPolicyConformant"
    return put(status, condition(kind, outcome, reason, message), now)


def _structural(obj: Obj, status: Obj, now: str) -> Obj:
    """Definitions from other times may have schemas that are not structural."""
    found, kind = _violations(obj["spec"]), "NonStructuralSchema"
    if found is not None:
        return put(status, {"type": kind, **found}, now)
    conditions = status.get("conditions") or []
    kept = [item for item in conditions if item["type"] != kind]
    return status if len(kept) == len(conditions) else {**status, "conditions": kept}


def _violations(spec: Obj) -> Obj | None:
    causes = []
    if spec.get("preserveUnknownFields"):
        causes.append(invalid("spec.preserveUnknownFields", True, "must be false"))
    for position, version in enumerate(spec["versions"]):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            continue
        if text := structure.unreadable(schema):
            message = f"failed to check validation schema for version {version['name']}: {text}"
            return {"status": "Unknown", "reason": "StructuralError", "message": message}
        causes += structure.validate(schema, f"spec.versions[{position}].schema.openAPIV3Schema")
    if not causes:
        return None
    texts = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return {"status": "True", "reason": "Violations", "message": text}


def is_waiting(obj: Obj) -> bool:
    """Whether all is well with a definition that is not established yet."""
    found = meta.condition(obj, "Established")
    return found is not None and found["reason"] == NOT_ACCEPTED and is_true(obj, "NamesAccepted")


def is_served(obj: Obj) -> bool:
    """Whether objects of a definition can be reached."""
    return is_true(obj, "Established")
