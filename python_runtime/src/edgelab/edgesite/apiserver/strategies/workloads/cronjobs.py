"""CronJobs (`pkg/apis/batch`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks, poddefaults
from edgelab.edgesite.apiserver.strategies.workloads import cron, jobspec
from edgelab.edgesite.apiserver.strategy import Part, Strategy

Obj = dict[str, Any]

CONCURRENCY = ["Allow", "Forbid", "Replace"]


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
    jobspec.policy_defaults(inner)


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
    causes += jobspec.validate(inner, path, selector=False)
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


CRON_JOB = Strategy(
    default=cron_default,
    validate=cron_job,
    validate_update=cron_job_changed,
    parts={"status": Part()},
)
