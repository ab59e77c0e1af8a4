"""Jobs (`pkg/apis/batch`)."""

from __future__ import annotations

import copy
from typing import Any

from edgelab.edgesite.apiserver import names, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, immutable, required
from edgelab.edgesite.apiserver.strategies import checks, poddefaults
from edgelab.edgesite.apiserver.strategies.workloads import jobspec, jobstatus
from edgelab.edgesite.apiserver.strategy import Part, Strategy
from edgelab.objects import selectors

Obj = dict[str, Any]

PREFIX = "batch.kubernetes.io/"
UID, NAME = f"{PREFIX}controller-uid", f"{PREFIX}job-name"


def _job_spec(spec: Obj) -> None:
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", checks.MAX_INT32 if "backoffLimitPerIndex" in spec else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    replaced = "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"
    spec.setdefault("podReplacementPolicy", replaced)
    spec.setdefault("manualSelector", False)


def job_default(obj: Obj) -> None:
    """Defaults of a Job; without labels it has those of its pods, also the ones they get later."""
    spec = obj.setdefault("spec", {})
    poddefaults.template(spec)
    _job_spec(spec)
    jobspec.policy_defaults(spec)
    labels = spec["template"]["metadata"].get("labels")
    if labels is not None and not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = labels


def job_on_create(obj: Obj) -> None:
    """A Job selects its pods by its own uid unless it brings a selector (`batch/job/strategy.go`)."""
    spec, metadata = obj["spec"], obj["metadata"]
    if not spec.get("manualSelector"):
        _select_own(spec, metadata)
    labels = spec["template"]["metadata"].get("labels")
    if labels and not metadata.get("labels") and not any(map(names.label_value, labels.values())):
        metadata["labels"] = dict(labels)


def _select_own(spec: Obj, metadata: Obj) -> None:
    labels = spec["template"]["metadata"].setdefault("labels", {})
    for prefix in ("", PREFIX):
        labels.setdefault(f"{prefix}job-name", metadata.get("name") or "")
        labels.setdefault(f"{prefix}controller-uid", metadata["uid"])
    selector = spec.setdefault("selector", {})
    selector.setdefault("matchLabels", {}).setdefault(UID, metadata["uid"])


def job(obj: Obj) -> list[Cause]:
    """ValidateJob."""
    spec, name = obj.get("spec") or {}, obj["metadata"].get("name") or ""
    causes = _generated(obj, spec, name) + jobspec.validate(spec, "spec", selector=True)
    completions = spec.get("completions") or 0
    if spec.get("completionMode") == "Indexed" and completions > 0:
        host = f"{name}-{completions - 1}"
        if names.label(host):
            text = f"will not able to create pod with invalid DNS label: {host}"
            causes.append(bad("metadata.name", name, text))
    return causes


def _generated(obj: Obj, spec: Obj, name: str) -> list[Cause]:
    selector = spec.get("selector")
    if spec.get("manualSelector") or selector is None:
        return []
    uid, causes = obj["metadata"].get("uid") or "", []
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    wanted = {"controller-uid": uid, "job-name": name, UID: uid, NAME: name}
    for key, value in wanted.items():
        field = f"spec.template.metadata.labels[{key}]"
        if key not in labels:
            causes.append(required(field, f"must be '{value}'"))
        elif labels[key] != value:
            causes.append(bad(field, labels, f"must be '{value}'"))
    if checks.convertible(selector) and not selectors.from_object(selector).matches(wanted):
        causes.append(bad("spec.selector", checks.shown_selector(selector), "`selector` not auto-generated"))
    return causes


def job_changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateJob, then ValidateJobUpdate."""
    mine, theirs = new["spec"], old["spec"]
    causes = objectmeta.of_kind(new, "batch", "Job") + job(new) + objectmeta.changed(new, old)
    causes += jobspec.validate(mine, "spec", selector=True) + _completions(mine, theirs)
    if not checks.semantic(mine.get("selector"), theirs.get("selector")):
        causes.append(immutable("spec.selector", checks.shown_selector(mine.get("selector"))))
    causes += _template_change(mine, theirs, old)
    for field, kind in (
        ("completionMode", ""),
        ("podFailurePolicy", "*batch.PodFailurePolicy"),
        ("backoffLimitPerIndex", ""),
        ("managedBy", ""),
        ("successPolicy", "*batch.SuccessPolicy"),
    ):
        causes += checks.unchanged(mine.get(field), theirs.get(field), f"spec.{field}", kind)
    return causes


def _completions(mine: Obj, theirs: Obj) -> list[Cause]:
    new, old, field = mine.get("completions"), theirs.get("completions"), "spec.completions"
    if mine.get("completionMode") != "Indexed":
        return checks.unchanged(new, old, field)
    if new is None or new == old or new == mine.get("parallelism"):
        return []
    return [bad(field, new, "can only be modified in tandem with spec.parallelism")]


def _template_change(mine: Obj, theirs: Obj, old: Obj) -> list[Cause]:
    """Where a suspended Job that has not started may run can still be decided."""
    new, before = mine.get("template") or {}, copy.deepcopy(theirs.get("template") or {})
    if theirs.get("suspend") and not (old.get("status") or {}).get("startTime"):
        inner, wanted = before.setdefault("spec", {}), new.get("spec") or {}
        for field in ("nodeSelector", "tolerations", "schedulingGates"):
            _take(inner, wanted, field)
        for field in ("annotations", "labels"):
            _take(before.setdefault("metadata", {}), new.get("metadata") or {}, field)
        affinity = {**(inner.get("affinity") or {})}
        _take(affinity, wanted.get("affinity") or {}, "nodeAffinity")
        inner.pop("affinity", None)
        if affinity or "affinity" in wanted:
            inner["affinity"] = affinity
    return checks.unchanged(new, before, "spec.template", "core.PodTemplateSpec")


def _take(to: Obj, source: Obj, field: str) -> None:
    if field in source:
        to[field] = source[field]
    else:
        to.pop(field, None)


JOB = Strategy(
    default=job_default,
    on_create=job_on_create,
    validate=job,
    validate_update=job_changed,
    parts={"status": Part(validate=jobstatus.changed)},
)
