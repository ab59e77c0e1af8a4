"""The controller: makes the job that is due, follows those that run, removes old ones.

Receives CronJobs and jobs. Writes jobs, the CronJobs' status and events.
"""

from __future__ import annotations

import copy
import datetime as dt
from email.utils import format_datetime

from edgelab.daemon.clock import rfc3339
from edgelab.edgesite.controllers.cronjob import due as times
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import CRON_JOBS, JOBS
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.workqueue import Again, WorkQueue
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.objects import cron
from edgelab.objects.metadata import condition, controller_of, is_controlled_by, is_deleting, owner_reference
from edgelab.objects.status import ApiError

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
DOCUMENTED = "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/"


class CronJobController:
    """A module; its queue holds the keys of CronJobs."""

    name = "cronjob-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._cron_jobs = cluster.view(CRON_JOBS)
        self._jobs = cluster.view(JOBS)
        self._events = Recorder(cluster.api, cluster.clock, self.name)
        needs = [self._cron_jobs, self._jobs]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._cron_jobs.add_handler(lambda _, __, new: self._queue.add_object(new))
        self._jobs.add_handler(self._on_job)

    async def run(self) -> None:
        """Make jobs when they are due."""
        await self._queue.run()

    def _on_job(self, event_type: str, old: Obj | None, new: Obj) -> None:
        for owner in (controller_of(old) if old else None, controller_of(new)):
            if owner is not None and owner["kind"] == "CronJob":
                self._queue.add((new["metadata"]["namespace"], owner["name"]))

    async def _reconcile(self, key: Key) -> float | None:
        stored = self._cron_jobs.get(key[1], key[0])
        if stored is None:
            return None
        cron_job = copy.deepcopy(stored)
        cron_job.setdefault("status", {})
        jobs = [job for job in self._jobs.in_namespace(key[0]) if _owner_name(job) == key[1]]
        try:
            await self._clean_up(cron_job, jobs)
            await self._follow(cron_job, jobs)
            if is_deleting(cron_job):
                return None
            return await self._start(cron_job)
        finally:
            if cron_job["status"] != (stored.get("status") or {}):
                await self._cluster.update(CRON_JOBS, cron_job, "status")

    # What has been started

    async def _clean_up(self, cron_job: Obj, jobs: list[Obj]) -> None:
        """Delete the oldest finished jobs beyond the limits."""
        for kind, field in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            limit = cron_job["spec"].get(field)
            if limit is None:
                continue
            done = sorted((job for job in jobs if finished_as(job) == kind), key=_start)
            for job in done[: max(0, len(done) - int(limit))]:
                if not is_deleting(job):
                    await self._delete(cron_job, job)

    async def _delete(self, cron_job: Obj, job: Obj) -> bool:
        try:
            await self._cluster.delete(JOBS, job, "Background")
        except ApiError as error:
            await self._events.warning(cron_job, "FailedDelete", f"Deleted job: {error.message}")
            return False
        _forget(cron_job, job["metadata"]["uid"])
        await self._events.normal(cron_job, "SuccessfulDelete", f"Deleted job {job['metadata']['name']}")
        return True

    async def _follow(self, cron_job: Obj, jobs: list[Obj]) -> None:
        """Note which jobs have ended, and which are gone."""
        for job in jobs:
            await self._note(cron_job, job)
        known = {job["metadata"]["uid"] for job in jobs}
        for reference in list(cron_job["status"].get("active") or ()):
            if reference["uid"] in known:
                continue
            if await self._get(reference["name"], reference["namespace"]) is None:
                text = f"Active job went missing: {reference['name']}"
                await self._events.normal(cron_job, "MissingJob", text)
                _forget(cron_job, reference["uid"])

    async def _note(self, cron_job: Obj, job: Obj) -> None:
        name, status = job["metadata"]["name"], cron_job["status"]
        active = any(item["uid"] == job["metadata"]["uid"] for item in status.get("active") or ())
        ended = finished_as(job)
        if ended is None:
            if not active:
                text = f"Saw a job that the controller did not create or forgot: {name}"
                await self._events.warning(cron_job, "UnexpectedJob", text)
            return
        if active:
            _forget(cron_job, job["metadata"]["uid"])
            text = f"Saw completed job: {name}, condition: {ended}"
            await self._events.normal(cron_job, "SawCompletedJob", text)
        completed = (job.get("status") or {}).get("completionTime")
        if ended == "Complete" and completed and completed > (status.get("lastSuccessfulTime") or ""):
            status["lastSuccessfulTime"] = completed

    async def _get(self, name: str, namespace: str) -> Obj | None:
        try:
            return await self._cluster.api.get(JOBS, name, namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    # What is to be started

    async def _start(self, cron_job: Obj) -> float | None:
        """Make the job that is due; gives the seconds until the next one."""
        schedule = await self._schedule(cron_job)
        if schedule is None:
            return None
        now = self._cluster.clock.now()
        try:
            recent = times.most_recent(cron_job, now, schedule, with_deadline=True)
        except times.NoTime as error:
            text = f"invalid schedule: {cron_job['spec']['schedule']} : {error}"
            await self._events.warning(cron_job, "InvalidSchedule", text)
            return None
        if recent.due is not None:
            if recent.missed > times.MANY:
                text = (
                    "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check "
                    "clock skew"
                )
                await self._events.warning(cron_job, "TooManyMissedTimes", text)
            if await self._may_start(cron_job, recent.due, now):
                await self._create(cron_job, recent.due)
        return times.wait(cron_job, now, schedule)

    async def _schedule(self, cron_job: Obj) -> cron.Schedule | None:
        """The schedule, unless the CronJob rests or cannot be understood."""
        spec = cron_job["spec"]
        zone, text = spec.get("timeZone"), spec.get("schedule") or ""
        if zone is not None:
            try:
                cron.load_zone(zone)
            except ValueError as error:
                message = f'invalid timeZone: "{zone}": {error}'
                await self._events.warning(cron_job, "UnknownTimeZone", message)
                return None
        if spec.get("suspend"):
            return None
        if "TZ" in text:
            message = (
                f'CRON_TZ or TZ used in schedule "{text}" is not officially supported, see {DOCUMENTED} '
                "for more details"
            )
            await self._events.warning(cron_job, "UnsupportedSchedule", message)
        try:
            return cron.parse(times.schedule_text(cron_job))
        except ValueError as error:
            message = f'unparseable schedule: "{text}" : {error}'
            await self._events.warning(cron_job, "UnparseableSchedule", message)
            return None

    async def _may_start(self, cron_job: Obj, due: dt.datetime, now: dt.datetime) -> bool:
        spec, status = cron_job["spec"], cron_job["status"]
        deadline, active = spec.get("startingDeadlineSeconds"), status.get("active") or []
        if deadline is not None and due + dt.timedelta(seconds=int(deadline)) < now:
            text = f"Missed scheduled time to start a job: {format_datetime(due.astimezone(dt.UTC))}"
            await self._events.warning(cron_job, "MissSchedule", text)
            return False
        if any(item["name"] == times.job_name(cron_job, due) for item in active):
            return False
        if status.get("lastScheduleTime") == rfc3339(due):
            return False
        if spec.get("concurrencyPolicy") == "Forbid" and active:
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            await self._events.normal(cron_job, "JobAlreadyActive", text)
            return False
        if spec.get("concurrencyPolicy") == "Replace":
            await self._replace(cron_job, active)
        return True

    async def _replace(self, cron_job: Obj, active: list[Obj]) -> None:
        for reference in list(active):
            try:
                job = await self._cluster.api.get(JOBS, reference["name"], reference["namespace"])
            except ApiError as error:
                await self._events.warning(cron_job, "FailedGet", f"Get job: {error.message}")
                raise
            if not await self._delete(cron_job, job):
                raise Again(f"could not replace job {reference['namespace']}/{reference['name']}")

    async def _create(self, cron_job: Obj, due: dt.datetime) -> None:
        wanted, namespace = job_object(cron_job, due), cron_job["metadata"]["namespace"]
        try:
            job = await self._cluster.create(JOBS, wanted, namespace)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                if error.code != 403 or "being terminated" not in error.message:
                    text = f"Error creating job: {error.message}"
                    await self._events.warning(cron_job, "FailedCreate", text)
                raise
            # Ours when the status could not be written the last time.
            job = await self._cluster.api.get(JOBS, wanted["metadata"]["name"], namespace)
            if not is_controlled_by(job, cron_job):
                return
        else:
            text = f"Created job {job['metadata']['name']}"
            await self._events.normal(cron_job, "SuccessfulCreate", text)
        status = cron_job["status"]
        status["active"] = [*(status.get("active") or []), _reference(job)]
        status["lastScheduleTime"] = rfc3339(due)


def job_object(cron_job: Obj, due: dt.datetime) -> Obj:
    """The job of this time."""
    template = copy.deepcopy(cron_job["spec"]["jobTemplate"])
    metadata = template.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), SCHEDULED: times.stamp(cron_job, due)}
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "metadata": {
            "name": times.job_name(cron_job, due),
            "namespace": cron_job["metadata"]["namespace"],
            "labels": dict(metadata.get("labels") or {}),
            "annotations": annotations,
            "ownerReferences": [owner_reference(cron_job)],
        },
        "spec": template["spec"],
    }


def finished_as(job: Obj) -> str | None:
    """`Complete` or `Failed`; None while the job goes on."""
    for kind in ("Complete", "Failed"):
        found = condition(job, kind)
        if found is not None and found["status"] == "True":
            return kind
    return None


def _owner_name(job: Obj) -> str:
    owner = controller_of(job)
    return str(owner["name"]) if owner is not None and owner["kind"] == "CronJob" else ""


def _start(job: Obj) -> tuple[bool, str, str]:
    """Sorts the oldest first; those that never started come last."""
    started = (job.get("status") or {}).get("startTime") or ""
    return not started, started, job["metadata"]["name"]


def _forget(cron_job: Obj, uid: str) -> None:
    left = [item for item in cron_job["status"].get("active") or () if item["uid"] != uid]
    cron_job["status"].pop("active", None)
    if left:
        cron_job["status"]["active"] = left


def _reference(job: Obj) -> Obj:
    metadata = job["metadata"]
    return {
        "kind": JOBS.kind,
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": JOBS.api_version,
        "resourceVersion": metadata.get("resourceVersion", ""),
    }
