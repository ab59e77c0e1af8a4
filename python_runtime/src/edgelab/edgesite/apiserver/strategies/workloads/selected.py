"""What workloads share: a selector and a template that it selects."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause, bad, required
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.pod import spec as pods
from edgelab.objects import selectors

Obj = dict[str, Any]


def selector(spec: Obj, what: str) -> list[Cause]:
    """A selector must be there and select something."""
    found, field = spec.get("selector"), "spec.selector"
    if found is None:
        return [required(field)]
    causes = checks.label_selector(found, field)
    if not (found.get("matchLabels") or found.get("matchExpressions")):
        shown = checks.shown_selector(found)
        causes.append(bad(field, shown, f"empty selector is invalid for {what}"))
    return causes


def mismatch(spec: Obj, path: str = "spec.template") -> list[Cause]:
    """The selector must select the template; none selects nothing, an empty one everything."""
    found = spec.get("selector")
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if found is not None and selectors.from_object(found).matches(labels or {}):
        return []
    text = "`selector` does not match template `labels`"
    return [bad(f"{path}.metadata.labels", labels, text)]


def replicated(spec: Obj, kind: str = "ReplicaSet") -> list[Cause]:
    """Selector against template, and the template (ValidatePodTemplateSpecForReplicaSet)."""
    found, template = spec.get("selector"), spec.get("template") or {}
    if not checks.convertible(found):
        return [bad("spec.selector", checks.shown_selector(found), "invalid label selector")]
    causes = mismatch(spec) + pods.template(template, "spec.template")
    return causes + pods.lasting(template, "spec.template", kind)
