from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.edgesite.manifests import pod_spec
from tests.edgesite.site import Site, site

from edgelab.edgesite.controllers.support.kinds import CRON_JOBS, JOBS
from edgelab.kube.interface import Obj
from edgelab.kube.resources import EVENTS


@pytest.fixture
async def cluster() -> AsyncIterator[Site]:
    async with site() as made:
        yield made


def cron_job(schedule: str = "*/5 * * * *", **spec: Any) -> Obj:
    pod = {"metadata": {}, "spec": pod_spec(restartPolicy="Never")}
    inner = {"parallelism": 1, "completions": 1, "backoffLimit": 0, "template": pod}
    return {
        "metadata": {"name": "tick", "namespace": "default"},
        "spec": {
            "schedule": schedule,
            "timeZone": "UTC",
            "concurrencyPolicy": "Allow",
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": inner},
            **spec,
        },
    }


async def made(cluster: Site, schedule: str = "*/5 * * * *", **spec: Any) -> None:
    await cluster.api.create(CRON_JOBS, cron_job(schedule, **spec), "default")
    await cluster.settle()


async def minutes(cluster: Site, count: int) -> None:
    for _ in range(count):
        cluster.clock.advance(60)
        await cluster.settle()


def names(cluster: Site) -> list[str]:
    return [job["metadata"]["name"] for job in cluster.api.all(JOBS)]


def status(cluster: Site) -> Obj:
    found: Obj = cluster.api.one(CRON_JOBS, "tick").get("status") or {}
    return found


def events(cluster: Site, reason: str) -> list[str]:
    return [event["message"] for event in cluster.api.all(EVENTS) if event["reason"] == reason]


async def finish(cluster: Site, name: str, kind: str = "Complete") -> None:
    now = cluster.stamp()
    over = {"type": kind, "status": "True", "lastTransitionTime": now}
    done: Obj = {"conditions": [over], "startTime": now}
    if kind == "Complete":
        done["completionTime"] = now
    await cluster.api.patch(JOBS, name, {"status": done}, "default", subresource="status")
    await cluster.settle()


FIRST, SECOND, THIRD = (f"tick-{1767225600 // 60 + 20 + 5 * n}" for n in range(3))
"""The test's clock starts at 2026-01-01 00:16:40."""


async def test_jobs_are_made_when_they_are_due(cluster: Site) -> None:
    await made(cluster)
    await minutes(cluster, 3)
    assert names(cluster) == []
    await minutes(cluster, 1)
    assert names(cluster) == [FIRST]
    job = cluster.api.one(JOBS, FIRST)
    assert job["metadata"]["labels"] == {"a": "b"}
    scheduled = "batch.kubernetes.io/cronjob-scheduled-timestamp"
    assert job["metadata"]["annotations"][scheduled] == "2026-01-01T00:20:00Z"
    assert status(cluster)["lastScheduleTime"] == "2026-01-01T00:20:00Z"
    assert [item["name"] for item in status(cluster)["active"]] == [FIRST]
    assert f"Created job {FIRST}" in events(cluster, "SuccessfulCreate")
    await minutes(cluster, 5)
    assert names(cluster) == [FIRST, SECOND]


async def test_what_has_ended_is_noted_and_only_so_much_is_kept(cluster: Site) -> None:
    await made(cluster)
    await minutes(cluster, 4)
    await finish(cluster, FIRST)
    assert "active" not in status(cluster)
    assert status(cluster)["lastSuccessfulTime"] == cluster.stamp()
    assert events(cluster, "SawCompletedJob") == [f"Saw completed job: {FIRST}, condition: Complete"]
    await minutes(cluster, 5)
    await finish(cluster, SECOND)
    assert names(cluster) == [SECOND]
    assert f"Deleted job {FIRST}" in events(cluster, "SuccessfulDelete")


async def test_forbid_waits_and_replace_does_not(cluster: Site) -> None:
    await made(cluster, concurrencyPolicy="Forbid")
    await minutes(cluster, 9)
    assert names(cluster) == [FIRST]
    assert events(cluster, "JobAlreadyActive") == [
        "Not starting job because prior execution is running and concurrency policy is Forbid"
    ]
    patch = {"spec": {"concurrencyPolicy": "Replace"}}
    await cluster.api.patch(CRON_JOBS, "tick", patch, "default")
    await cluster.settle()
    assert names(cluster) == [SECOND]


async def test_what_is_suspended_rests_and_does_not_catch_up_beyond_its_deadline(cluster: Site) -> None:
    await made(cluster, suspend=True, startingDeadlineSeconds=30)
    await minutes(cluster, 12)
    assert names(cluster) == []
    await cluster.api.patch(CRON_JOBS, "tick", {"spec": {"suspend": False}}, "default")
    await cluster.settle()
    assert names(cluster) == []
    await cluster.settle(90)
    assert names(cluster) == [THIRD]


async def test_of_many_missed_times_the_last_is_made_up_for(cluster: Site) -> None:
    await made(cluster, "* * * * *", suspend=True)
    cluster.clock.advance(60 * 200)
    await cluster.api.patch(CRON_JOBS, "tick", {"spec": {"suspend": False}}, "default")
    await cluster.settle()
    assert names(cluster) == [f"tick-{1767225600 // 60 + 216}"]
    assert len(events(cluster, "TooManyMissedTimes")) == 1


async def test_a_job_that_goes_missing_is_noted(cluster: Site) -> None:
    await made(cluster)
    await minutes(cluster, 4)
    await cluster.api.delete(JOBS, FIRST, "default")
    await cluster.settle()
    assert events(cluster, "MissingJob") == [f"Active job went missing: {FIRST}"]
    assert "active" not in status(cluster)


async def test_a_time_zone_that_nobody_knows_is_told(cluster: Site) -> None:
    await made(cluster, timeZone="Mars/Base")
    assert events(cluster, "UnknownTimeZone") == [
        'invalid timeZone: "Mars/Base": unknown time zone Mars/Base'
    ]


async def test_a_cron_job_that_waits_costs_nothing(cluster: Site) -> None:
    await made(cluster, "@yearly")
    before = cluster.writes()
    await cluster.settle(300)
    assert cluster.writes() == before
