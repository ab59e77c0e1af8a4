"""Versions that objects are stored in, approval of groups, and history (validation of definitions)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from edgelab.edgesite.apiserver.custom import formats
from edgelab.edgesite.apiserver.custom.errors import Cause, invalid, required

Obj = dict[str, Any]

APPROVED = "api-approved.kubernetes.io"


def stored(found: list[str], versions: list[Obj]) -> list[Cause]:
    """Versions that objects may be stored in cannot go."""
    path = "status.storedVersions"
    if not found:
        return [invalid(path, None, "must have at least one stored version")]
    known = {version.get("name") or "" for version in versions}
    causes = [
        invalid(path, found, f"must have the storage version {version['name']}")
        for version in versions
        if version.get("storage") and (version.get("name") or "") not in found
    ]
    for position, version_name in enumerate(found):
        if version_name not in known:
            text = (
                f"missing from spec.versions; {version_name} was previously a storage version, and must"
                " remain in spec.versions until a storage migration ensures no data remains persisted in"
                f" {version_name} and removes {version_name} from status.storedVersions"
            )
            causes.append(invalid(f"{path}[{position}]", version_name, text))
    return causes


def is_protected(group: str) -> bool:
    """Whether a group belongs to the Kubernetes community."""
    return any(group == owner or group.endswith(f".{owner}") for owner in ("k8s.io", "kubernetes.io"))


def approval_state(annotations: Obj | None) -> tuple[str, str]:
    """Missing, Bypassed, Approved or Invalid, and why."""
    text = (annotations or {}).get(APPROVED) or ""
    link = "see https://github.com/kubernetes/enhancements/pull/1111"
    if not text:
        return "Missing", f'protected groups must have approval annotation "{APPROVED}", {link}'
    if text.startswith("unapproved"):
        return "Bypassed", f'not approved: "{text}"'
    parts = urlsplit(text)
    if parts.scheme and parts.netloc and formats.fits("uri", text):
        return "Approved", f"approved in {text}"
    return "Invalid", (
        f'protected groups must have approval annotation "{APPROVED}" with either a URL or a reason'
        f' starting with "unapproved", {link}'
    )


def approval(obj: Obj, old: Obj | None) -> list[Cause]:
    """Groups of the Kubernetes community need an approval."""
    if not is_protected(obj["spec"].get("group") or ""):
        return []
    annotations = obj["metadata"].get("annotations")
    state, reason = approval_state(annotations)
    if old is not None and approval_state(old["metadata"].get("annotations"))[0] == state:
        return []
    path = f"metadata.annotations[{APPROVED}]"
    if state == "Missing":
        return [required(path, reason)]
    return [invalid(path, annotations[APPROVED], reason)] if state == "Invalid" else []


def preserving(found: Obj) -> list[Cause]:
    """`preserveUnknownFields` is history."""
    if not found.get("preserveUnknownFields"):
        return []
    text = (
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in"
        " spec.versions[*].schema instead"
    )
    return [invalid("spec.preserveUnknownFields", True, text)]
