"""When a CronJob is due, and when to look again. No I/O.

Fact: pkg/controller/cronjob/utils.go.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from edgelab.daemon.clock import parse_rfc3339
from edgelab.kube.interface import Obj
from edgelab.objects.cron import Schedule, load_zone

PADDING = dt.timedelta(milliseconds=100)
"""A little later than due, for clocks that are corrected."""
MANY = 100


class Recent(NamedTuple):
    """The last time that was due since `earliest` (None when none was), and how many were missed."""

    earliest: dt.datetime
    due: dt.datetime | None
    missed: int


class NoTime(ValueError):
    """The schedule names days that no month has."""


def schedule_text(cron_job: Obj) -> str:
    """The schedule with its time zone."""
    spec = cron_job["spec"]
    text: str = spec.get("schedule") or ""
    zone = spec.get("timeZone")
    if "TZ" in text or zone is None:
        return text
    try:
        load_zone(zone)
    except ValueError:
        return text
    return f"TZ={zone} {text}"


def most_recent(cron_job: Obj, now: dt.datetime, schedule: Schedule, *, with_deadline: bool) -> Recent:
    """What was due lately. Raises NoTime."""
    spec, status = cron_job["spec"], cron_job.get("status") or {}
    earliest = parse_rfc3339(status.get("lastScheduleTime") or cron_job["metadata"]["creationTimestamp"])
    deadline = spec.get("startingDeadlineSeconds")
    if with_deadline and deadline is not None:
        earliest = max(earliest, now - dt.timedelta(seconds=int(deadline)))
    first = schedule.next(earliest)
    second = schedule.next(first) if first is not None else None
    if first is None or second is None:
        raise NoTime("time difference between two schedules is less than 1 second")
    if now < first:
        return Recent(earliest, None, 0)
    if now < second:
        return Recent(earliest, first, 0)
    distance = int((second - first).total_seconds())
    missed = int((now - first).total_seconds()) // distance + 1
    start = first + dt.timedelta(seconds=(missed - 2) * distance)
    latest, candidate = None, schedule.next(start)
    while candidate is not None and candidate <= now:
        latest, candidate = candidate, schedule.next(candidate)
    return Recent(earliest, latest, missed)


def wait(cron_job: Obj, now: dt.datetime, schedule: Schedule) -> float:
    """Seconds until the next time."""
    try:
        recent = most_recent(cron_job, now, schedule, with_deadline=False)
        base = recent.due or (now if recent.missed else recent.earliest)
    except NoTime:
        base = now
    following = schedule.next(base)
    if following is None:
        return dt.timedelta(days=1).total_seconds()
    return (following + PADDING - now).total_seconds()


def job_name(cron_job: Obj, due: dt.datetime) -> str:
    """The name of the job of this time; the same one every time it is asked for."""
    return f"{cron_job['metadata']['name']}-{int(due.timestamp()) // 60}"


def stamp(cron_job: Obj, due: dt.datetime) -> str:
    """The time in the CronJob's own zone, for an annotation."""
    zone = load_zone(cron_job["spec"].get("timeZone") or "")
    return due.astimezone(zone).replace(microsecond=0).isoformat().replace("+00:00", "Z")
