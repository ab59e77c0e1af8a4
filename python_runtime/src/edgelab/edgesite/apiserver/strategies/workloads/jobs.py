"""Jobs and CronJobs (`pkg/apis/batch`)."""

from __future__ import annotations

import copy
from typing import Any

from edgelab.edgesite.apiserver import names, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, immutable, required, too_long, unsupported
from edgelab.edgesite.apiserver.strategies import checks, poddefaults
from edgelab.edgesite.apiserver.strategies.pod import spec as pods
from edgelab.edgesite.apiserver.strategies.workloads import cron, jobpolicies, selected
from edgelab.edgesite.apiserver.strategy import Part, Strategy
from edgelab.objects import selectors

Obj = dict[str, Any]

PREFIX = "batch.kubernetes.io/"
UID, NAME = f"{PREFIX}controller-uid", f"{PREFIX}job-name"
MAX_INDEXED = 100_000
MAX_MANY = 10_000
CONCURRENCY = ["Allow", "Forbid", "Replace"]
REPLACEMENT = ["Failed", "TerminatingOrFailed"]


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


def _policy_defaults(spec: Obj) -> None:
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern["status"] = pattern.get("status") or "True"


def job_default(obj: Obj) -> None:
    """Defaults of a Job; without labels it has those of its pods."""
    spec = obj.setdefault("spec", {})
    poddefaults.template(spec)
    _job_spec(spec)
    _policy_defaults(spec)
    labels = spec["template"]["metadata"].get("labels")
    if labels is not None and not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = dict(labels)


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
    causes = _generated(obj, spec, name) + _job(spec, "spec", selector=True)
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


def _job(spec: Obj, path: str, *, selector: bool) -> list[Cause]:
    causes: list[Cause] = []
    for field in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit"):
        causes += checks.nonnegative(spec.get(field), f"{path}.{field}")
    for field in ("ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes"):
        causes += checks.nonnegative(spec.get(field), f"{path}.{field}")
    if "maxFailedIndexes" in spec and "backoffLimitPerIndex" not in spec:
        text = "when maxFailedIndexes is specified"
        causes.append(required(f"{path}.backoffLimitPerIndex", text))
    manager = spec.get("managedBy")
    if manager is not None:
        causes += checks.domain_prefixed_path(manager, f"{path}.managedBy")
        causes += [too_long(f"{path}.managedBy", 63)] if len(manager) > 63 else []
    causes += _mode(spec, path) + jobpolicies.failure(spec, f"{path}.podFailurePolicy")
    causes += jobpolicies.success(spec, f"{path}.successPolicy") + _replacement(spec, path)
    causes += pods.template(spec.get("template") or {}, f"{path}.template") + _restart(spec, path)
    if not selector:
        return causes
    found = spec.get("selector")
    causes += [required(f"{path}.selector")] if found is None else []
    causes += checks.label_selector(found, f"{path}.selector")
    return causes + (selected.mismatch(spec) if checks.convertible(found) else [])


def _mode(spec: Obj, path: str) -> list[Cause]:
    mode, causes = spec.get("completionMode"), []
    if mode not in (None, "NonIndexed", "Indexed"):
        causes.append(unsupported(f"{path}.completionMode", mode, ["NonIndexed", "Indexed"]))
    if mode == "Indexed":
        return causes + _indexed(spec, path)
    text = "requires indexed completion mode"
    for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
        if mode in (None, "NonIndexed") and field in spec:
            causes.append(bad(f"{path}.{field}", spec[field], text))
    return causes


def _indexed(spec: Obj, path: str) -> list[Cause]:
    completions, parallel, failed = (
        spec.get(field) for field in ("completions", "parallelism", "maxFailedIndexes")
    )
    causes: list[Cause] = []
    if completions is None:
        causes.append(required(f"{path}.completions", "when completion mode is Indexed"))
    if parallel is not None and parallel > MAX_INDEXED:
        text = f"must be less than or equal to {MAX_INDEXED} when completion mode is Indexed"
        causes.append(bad(f"{path}.parallelism", parallel, text))
    field = f"{path}.maxFailedIndexes"
    if failed is not None and completions is not None and failed > completions:
        causes.append(bad(field, failed, "must be less than or equal to completions"))
    if failed is not None and failed > MAX_INDEXED:
        causes.append(bad(field, failed, f"must be less than or equal to {MAX_INDEXED}"))
    if (completions or 0) <= MAX_INDEXED or "backoffLimitPerIndex" not in spec:
        return causes
    text = (
        f"must be less than or equal to {MAX_MANY} when completions are above {MAX_INDEXED} and used with"
        " backoff limit per index"
    )
    if failed is None:
        need = f"must be specified when completions is above {MAX_INDEXED}"
        causes.append(required(field, need))
    if parallel is not None and parallel > MAX_MANY:
        causes.append(bad(f"{path}.parallelism", parallel, text))
    return causes + ([bad(field, failed, text)] if failed is not None and failed > MAX_MANY else [])


def _replacement(spec: Obj, path: str) -> list[Cause]:
    value = spec.get("podReplacementPolicy")
    allowed = ["Failed"] if "podFailurePolicy" in spec else REPLACEMENT
    field = f"{path}.podReplacementPolicy"
    return [] if value is None or value in allowed else [unsupported(field, value, allowed)]


def _restart(spec: Obj, path: str) -> list[Cause]:
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy") or "Always"
    field = f"{path}.template.spec.restartPolicy"
    if policy == "Always":
        return [required(field, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [unsupported(field, policy, ["OnFailure", "Never"])]
    if "podFailurePolicy" in spec and policy != "Never":
        text = 'only "Never" is supported when podFailurePolicy is specified'
        return [bad(field, policy, text)]
    return []


def job_changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateJob, then ValidateJobUpdate."""
    mine, theirs = new["spec"], old["spec"]
    causes = objectmeta.of_kind(new, "batch", "Job") + job(new) + objectmeta.changed(new, old)
    causes += _job(mine, "spec", selector=True) + _completions(mine, theirs)
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


def job_status(new: Obj, old: Obj) -> list[Cause]:
    """Numbers of a Job's status."""
    status, causes = new.get("status") or {}, objectmeta.changed(new, old)
    for field in ("active", "succeeded", "failed", "ready", "terminating"):
        causes += checks.nonnegative(status.get(field), f"status.{field}")
    return causes


def cron_default(obj: Obj) -> None:
    """Defaults of a CronJob; its template gets those of pods only."""
    spec = obj.setdefault("spec", {})
    spec["concurrencyPolicy"] = spec.get("concurrencyPolicy") or "Allow"
    for name, value in (("suspend", False), ("successfulJobsHistoryLimit", 3), ("failedJobsHistoryLimit", 1)):
        spec.setdefault(name, value)
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    inner = template.setdefault("spec", {})
    poddefaults.template(inner)
    _policy_defaults(inner)


def _cron(spec: Obj, old: Obj | None) -> list[Cause]:
    schedule, zone, causes = spec.get("schedule") or "", spec.get("timeZone"), []
    if not schedule:
        causes.append(required("spec.schedule"))
    else:
        causes += _schedule(schedule, zone, old)
    causes += checks.nonnegative(spec.get("startingDeadlineSeconds"), "spec.startingDeadlineSeconds")
    if zone is not None and (old is None or old.get("timeZone") != zone):
        problem = cron.zone_problem(zone) if zone else "timeZone must be nil or non-empty string"
        causes += [bad("spec.timeZone", zone, problem)] if problem else []
        if zone.lower() == "local" and zone != "Local":
            causes.append(bad("spec.timeZone", zone, f"unknown time zone {zone}"))
    causes += checks.choice(spec.get("concurrencyPolicy") or "", "spec.concurrencyPolicy", CONCURRENCY)
    inner, path = (spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec"
    causes += _job(inner, path, selector=False)
    if "selector" in inner:
        shown = checks.shown_selector(inner["selector"])
        causes.append(bad(f"{path}.selector", shown, "`selector` will be auto-generated"))
    if inner.get("manualSelector"):
        causes.append(unsupported(f"{path}.manualSelector", True, ["nil", "false"]))
    for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        causes += checks.nonnegative(spec.get(field), f"spec.{field}")
    return causes


def _schedule(schedule: str, zone: str | None, old: Obj | None) -> list[Cause]:
    problem = cron.problem(schedule)
    causes = [bad("spec.schedule", schedule, problem)] if problem else []
    if "TZ" not in schedule:
        return causes
    text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
    if old is not None and "TZ" in (old.get("schedule") or ""):
        text = "cannot use both timeZone field and TZ or CRON_TZ in schedule" if zone is not None else ""
    return causes + ([bad("spec.schedule", schedule, text)] if text else [])


def cron_job(obj: Obj) -> list[Cause]:
    """ValidateCronJobCreate."""
    causes, name = _cron(obj.get("spec") or {}, None), obj["metadata"].get("name") or ""
    if len(name) > 52:
        causes.append(bad("metadata.name", name, "must be no more than 52 characters"))
    return causes


def cron_job_changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateCronJobUpdate."""
    return objectmeta.changed(new, old) + _cron(new.get("spec") or {}, old.get("spec") or {})


JOB = Strategy(
    default=job_default,
    on_create=job_on_create,
    validate=job,
    validate_update=job_changed,
    parts={"status": Part(validate=job_status)},
)
CRON_JOB = Strategy(
    default=cron_default,
    validate=cron_job,
    validate_update=cron_job_changed,
    parts={"status": Part()},
)
