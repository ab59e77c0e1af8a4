"""The options of a write (`metav1.CreateOptions` and its kin), checked as apimachinery does."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, invalid, required, unsupported
from edgelab.edgesite.apiserver.request import flag
from edgelab.kube.interface import PatchType

Obj = dict[str, Any]

GROUP = "meta.k8s.io"
VALIDATIONS = ["", "Ignore", "Strict", "Warn"]
MAX_MANAGER = 128
KINDS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions", "DELETE": "DeleteOptions"}
POLICIES = ["Foreground", "Background", "Orphan", "nil"]


def read(request: web.Request, context: Context) -> None:
    """Put into the context how something is written. Raises ApiError 422."""
    query, method = request.query, request.method
    dry_run, validation = query.getall("dryRun", []), query.get("fieldValidation", "")
    given = query.get("fieldManager", "")
    apply = method == "PATCH" and request.content_type == PatchType.APPLY
    force = flag(query, "force")
    causes = _apply(apply, given, method=method, force="force" in query)
    if method != "DELETE":
        causes += _manager(given)
    if method != "DELETE":  # with a body its query does not count
        causes += _dry_run(dry_run)
    if validation not in VALIDATIONS and method != "DELETE":
        causes.append(unsupported("fieldValidation", validation, VALIDATIONS))
    if causes:
        raise invalid(KINDS.get(method, "CreateOptions"), GROUP, "", causes)
    agent = request.headers.get("User-Agent", "unknown").partition("/")[0]
    context.dry_run = bool(dry_run)
    context.field_manager = given or ("" if apply else agent[:MAX_MANAGER])
    context.field_validation = validation or "Warn"
    context.force = force
    options = {"fieldManager": given, "fieldValidation": validation}
    context.options = {name: value for name, value in options.items() if value}


def _apply(apply: bool, manager: str, *, method: str, force: bool) -> list[Cause]:
    """An apply needs a manager; nothing else may be forced."""
    if apply and not manager:
        return [required("fieldManager", "is required for apply patch")]
    if method == "PATCH" and force and not apply:
        return [forbidden("force", "may not be specified for non-apply patch")]
    return []


def _manager(manager: str) -> list[Cause]:
    causes = []
    if len(manager.encode()) > MAX_MANAGER:
        message = f"Too long: may not be more than {MAX_MANAGER} bytes"
        causes.append(Cause("fieldManager", "FieldValueTooLong", message))
    for position, character in enumerate(manager):
        if not character.isprintable():
            text = f"invalid character U+{ord(character):04X} (at position {position})"
            causes.append(bad("fieldManager", manager, text))
    return causes


def _dry_run(values: list[str]) -> list[Cause]:
    if all(value == "All" for value in values):
        return []
    return [unsupported("dryRun", values, ["All"])]


def check_deletion(options: Obj) -> None:
    """DeleteOptions that fit together. Raises ApiError 422."""
    causes = []
    policy = options.get("propagationPolicy")
    if policy is not None and options.get("orphanDependents") is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        causes.append(bad("propagationPolicy", policy, text))
    if policy is not None and policy not in POLICIES[:3]:
        causes.append(unsupported("propagationPolicy", policy, POLICIES))
    causes += _dry_run(options.get("dryRun") or [])
    if causes:
        raise invalid("DeleteOptions", GROUP, "", causes)
