"""The status of a Job, which other controllers may write as well (`ValidateJobUpdateStatus`).

What has not changed is not looked at again: a status that was wrong before can still be mended
(`getStatusValidationOptions` in pkg/registry/batch/job/strategy.go).
"""

from __future__ import annotations

from typing import Any

from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgesite.apiserver import objectmeta
from edgelab.edgesite.apiserver.invalid import OMITTED, Cause, Shown, bad, duplicate, quote, required
from edgelab.edgesite.apiserver.strategies import checks

Obj = dict[str, Any]

CONDITIONS = "status.conditions"
TERMINAL = ("Failed", "Complete", "FailureTarget")


class _Seen:
    """A status, and which conditions hold."""

    def __init__(self, job: Obj) -> None:
        self.status: Obj = job.get("status") or {}
        found = self.status.get("conditions") or ()
        self.true = {item.get("type") for item in found if item.get("status") == "True"}
        self.complete, self.failed = "Complete" in self.true, "Failed" in self.true
        self.finished = self.complete or self.failed
        self.met, self.target = "SuccessCriteriaMet" in self.true, "FailureTarget" in self.true


def changed(new: Obj, old: Obj) -> list[Cause]:
    """A Job's status against the one before."""
    now, was, spec = _Seen(new), _Seen(old), new.get("spec") or {}
    differs = {f for f in {*now.status, *was.status} if now.status.get(f) != was.status.get(f)}
    flipped = {name for name in ("complete", "failed", "finished", "met", "target") if _flips(now, was, name)}
    changes = differs | flipped
    causes = objectmeta.changed(new, old) + _numbers(now.status) + _uncounted(now.status)
    causes += _outcome(now, changes) + _completed(now, changes) + _contradictions(now, changes)
    causes += _when_finished(now, spec, changes) + _indexes(now.status, spec, differs)
    if now.finished and changes & {"finished", "terminating"} and (now.status.get("terminating") or 0) > 0:
        text = "terminating>0 is invalid for finished job"
        causes.append(bad("status.terminating", now.status["terminating"], text))
    if changes & {"ready", "active"} and (now.status.get("ready") or 0) > (now.status.get("active") or 0):
        causes.append(bad("status.ready", now.status["ready"], "cannot set more ready pods than active"))
    return causes + _criteria(now, spec) + _against(now, was, spec)


def _flips(now: _Seen, was: _Seen, name: str) -> bool:
    return bool(getattr(now, name) != getattr(was, name))


def _numbers(status: Obj) -> list[Cause]:
    causes: list[Cause] = []
    for field in ("active", "succeeded", "failed", "ready", "terminating"):
        causes += checks.nonnegative(status.get(field), f"status.{field}")
    return causes


def _uncounted(status: Obj) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for part in ("succeeded", "failed"):
        for position, uid in enumerate((status.get("uncountedTerminatedPods") or {}).get(part) or ()):
            field = f"status.uncountedTerminatedPods.{part}[{position}]"
            if not uid:
                causes.append(bad(field, uid, "must not be empty"))
            elif uid in seen:
                causes.append(duplicate(field, uid))
            seen.add(uid)
    return causes


def _said(text: str) -> Cause:
    return bad(CONDITIONS, OMITTED, text)


def _outcome(now: _Seen, changes: set[str]) -> list[Cause]:
    causes = []
    if changes & {"complete", "failed"} and now.complete and now.failed:
        causes.append(_said("cannot set Complete=True and Failed=true conditions"))
    if changes & {"complete", "target"} and now.complete and now.target:
        causes.append(_said("cannot set Complete=True and FailureTarget=true conditions"))
    return causes


def _completed(now: _Seen, changes: set[str]) -> list[Cause]:
    causes, field = [], "status.completionTime"
    ended, began = now.status.get("completionTime"), now.status.get("startTime")
    if changes & {"complete", "completionTime"}:
        if ended is not None and not now.complete:
            text = "cannot set completionTime when there is no Complete=True condition"
            causes.append(bad(field, ended, text))
        if ended is None and now.complete:
            causes.append(required(field, "completionTime is required for Complete jobs"))
    both = began is not None and ended is not None and changes & {"startTime", "completionTime"}
    if both and parse_rfc3339(str(ended)) < parse_rfc3339(str(began)):
        causes.append(bad(field, ended, "must be equal to or after `startTime`"))
    return causes


def _contradictions(now: _Seen, changes: set[str]) -> list[Cause]:
    causes = []
    if changes & {"failed", "failedIndexes"} and now.failed and not now.target:
        causes.append(_said("cannot set Failed=True condition without the FailureTarget=true condition"))
    if changes & {"complete", "met"} and now.complete and not now.met:
        causes.append(
            _said("cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
        )
    return causes


def _when_finished(now: _Seen, spec: Obj, changes: set[str]) -> list[Cause]:
    if not now.finished:
        return []
    status, causes = now.status, []
    if changes & {"finished", "active"} and (status.get("active") or 0) > 0:
        causes.append(bad("status.active", status["active"], "active>0 is invalid for finished job"))
    empty = spec.get("suspend") is True and spec.get("completions") == 0
    if changes & {"finished", "startTime"} and not empty and status.get("startTime") is None:
        causes.append(required("status.startTime", "startTime is required for finished job"))
    uncounted = status.get("uncountedTerminatedPods") or {}
    if changes & {"finished", "uncountedTerminatedPods"} and any(uncounted.values()):
        shown = Shown(Succeeded=uncounted.get("succeeded"), Failed=uncounted.get("failed"))
        causes.append(bad("status.uncountedTerminatedPods", shown, "must be empty for finished job"))
    return causes


def _indexes(status: Obj, spec: Obj, differs: set[str]) -> list[Cause]:
    completions, causes = spec.get("completions"), []
    done, failed = status.get("completedIndexes") or "", status.get("failedIndexes")
    per_index = spec.get("backoffLimitPerIndex") is not None
    for name, text in (("completedIndexes", done), ("failedIndexes", failed if per_index else None)):
        if name in differs and completions is not None and text:
            problem = _problem(text, completions)
            shown = f"error parsing {name}: {problem}"
            causes += [bad(f"status.{name}", text, shown)] if problem else []
    if "completedIndexes" in differs and done and spec.get("completionMode") != "Indexed":
        text = "cannot set non-empty completedIndexes when non-indexed completion mode"
        causes.append(bad("status.completedIndexes", done, text))
    if "failedIndexes" in differs and failed is not None and not per_index:
        text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        causes.append(bad("status.failedIndexes", failed, text))
    if differs & {"completedIndexes", "failedIndexes"} and completions is not None and failed is not None:
        index = _overlap(done, failed, completions)
        if index is not None:
            text = f"failedIndexes and completedIndexes overlap at index: {index}"
            causes.append(bad("status.failedIndexes", failed, text))
    return causes


def _interval(text: str, completions: int) -> tuple[int, int] | str:
    """A first and a last index, or why it is none."""
    parts = text.split("-")
    if len(parts) > 2:
        why = "violates the requirement that an index interval can have at most two parts separated by '-'"
        return f"the fragment {quote(text)} {why}"
    found = []
    for part in parts:
        if not part.removeprefix("+").isdecimal():
            return f"cannot convert string to integer for index: {quote(part)}"
        if int(part) >= completions:
            return f"too large index: {quote(part)}"
        found.append(int(part))
    if len(found) > 1 and found[0] >= found[1]:
        return f"non-increasing order, previous: {found[0]}, current: {found[1]}"
    return found[0], found[-1]


def _problem(text: str, completions: int) -> str:
    last: int | None = None
    for part in text.split(","):
        found = _interval(part, completions)
        if isinstance(found, str):
            return found
        if last is not None and last >= found[0]:
            return f"non-increasing order, previous: {last}, current: {found[0]}"
        last = found[1]
    return ""


def _overlap(done: str, failed: str, completions: int) -> int | None:
    """The first index of the intervals that both have; what cannot be read has been told of."""
    if not done or not failed:
        return None
    mine, theirs = (
        [found for part in text.split(",") if not isinstance(found := _interval(part, completions), str)]
        for text in (done, failed)
    )
    common = [max(a, c) for a, b in mine for c, d in theirs if a <= d and c <= b]
    return min(common, default=None)


def _criteria(now: _Seen, spec: Obj) -> list[Cause]:
    causes = []
    if now.met and now.failed:
        causes.append(_said("cannot set SuccessCriteriaMet=True and Failed=true conditions"))
    if now.met and now.target:
        causes.append(_said("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"))
    if spec.get("successPolicy") is not None and not now.met and now.complete:
        text = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        causes.append(_said(text))
    return causes


def _against(now: _Seen, was: _Seen, spec: Obj) -> list[Cause]:
    """What may not be taken back."""
    causes = [
        _said(f"cannot disable the terminal {name}=True condition")
        for name in TERMINAL
        if name in was.true and name not in now.true
    ]
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for name in ("failed", "succeeded"):
        mine, theirs = (seen.status.get(name) or 0 for seen in (now, was))
        if mine < theirs and not (name == "succeeded" and elastic):
            causes.append(bad(f"status.{name}", mine, f"cannot decrease the {name} counter"))
    ended, before = now.status.get("completionTime"), was.status.get("completionTime")
    if ended is not None and before is not None and ended != before:
        causes.append(bad("status.completionTime", ended, "field is immutable"))
    began, first = now.status.get("startTime"), was.status.get("startTime")
    if first is not None and began != first and not spec.get("suspend"):
        causes.append(required("status.startTime", "startTime cannot be removed for unsuspended job"))
    if was.met and not now.met:
        causes.append(_said("cannot disable the SuccessCriteriaMet=True condition"))
    if was.complete and not was.met and now.met:
        text = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        causes.append(_said(text))
    return causes
