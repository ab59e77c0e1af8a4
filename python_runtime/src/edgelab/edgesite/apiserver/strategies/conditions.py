"""Conditions of a status as `apimachinery/pkg/apis/meta/v1/validation` wants them."""

from __future__ import annotations

import re
from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause, bad, duplicate, required, too_long, unsupported
from edgelab.edgesite.apiserver.strategies import checks

Obj = dict[str, Any]

STATUSES = ["False", "True", "Unknown"]
MAX_REASON, MAX_MESSAGE = 1 << 10, 32 << 10
REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
BAD_REASON = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric"
    " characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',"
    "  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is"
    f" '{REASON}')"
)


def validate(found: list[Obj], path: str) -> list[Cause]:
    """ValidateConditions."""
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, condition in enumerate(found):
        kind = condition.get("type") or ""
        if kind in seen:
            causes.append(duplicate(f"{path}[{position}].type", kind))
        seen.add(kind)
        causes += _one(condition, f"{path}[{position}]")
    return causes


def _one(condition: Obj, path: str) -> list[Cause]:
    status, reason = condition.get("status") or "", condition.get("reason") or ""
    generation = condition.get("observedGeneration") or 0
    causes = checks.label_name(condition.get("type") or "", f"{path}.type")
    if status not in STATUSES:
        causes.append(unsupported(f"{path}.status", status, STATUSES))
    if generation < 0:
        text = "must be greater than or equal to zero"
        causes.append(bad(f"{path}.observedGeneration", generation, text))
    if not condition.get("lastTransitionTime"):
        causes.append(required(f"{path}.lastTransitionTime"))
    if not reason:
        causes.append(required(f"{path}.reason"))
    elif not re.fullmatch(REASON, reason):
        causes.append(bad(f"{path}.reason", reason, BAD_REASON))
    if len(reason.encode()) > MAX_REASON:
        causes.append(too_long(f"{path}.reason", MAX_REASON))
    if len((condition.get("message") or "").encode()) > MAX_MESSAGE:
        causes.append(too_long(f"{path}.message", MAX_MESSAGE))
    return causes
