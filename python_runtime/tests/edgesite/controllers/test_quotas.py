"""ResourceQuotas: what the controller counts, also of custom resources."""

from __future__ import annotations

import datetime as dt
from typing import Any

from tests.edgesite.site import site

from edgelab.daemon.clock import rfc3339
from edgelab.edgesite.controllers.support.kinds import RESOURCE_QUOTAS
from edgelab.edgesite.quota import amounts
from edgelab.edgesite.quota.usage import PODS, usage
from edgelab.kube.interface import Resource
from edgelab.kube.resources import CONFIG_MAPS, CRDS

WIDGETS = Resource("example.com", "v1", "widgets", "Widget")


def quota(hard: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}}


def definition() -> dict[str, Any]:
    names = {"plural": "widgets", "kind": "Widget"}
    versions = [{"name": "v1", "served": True, "storage": True}]
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": versions},
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
    }


async def test_custom_resources_count_from_the_moment_they_are_served() -> None:
    async with site() as made:
        await made.api.create(RESOURCE_QUOTAS, quota({"count/widgets.example.com": "2"}), "default")
        await made.settle()
        [found] = made.api.all(RESOURCE_QUOTAS)
        assert found["status"] == {"hard": {"count/widgets.example.com": "2"}}
        await made.api.create(WIDGETS, {"metadata": {"name": "one"}}, "default")
        await made.api.create(CRDS, definition())
        await made.settle()
        [found] = made.api.all(RESOURCE_QUOTAS)
        assert found["status"]["used"] == {"count/widgets.example.com": "1"}
        await made.api.delete(WIDGETS, "one", "default")
        await made.settle()
        [found] = made.api.all(RESOURCE_QUOTAS)
        assert found["status"]["used"] == {"count/widgets.example.com": "0"}


async def test_what_is_missed_is_counted_within_five_minutes() -> None:
    async with site() as made:
        await made.api.create(CONFIG_MAPS, {"metadata": {"name": "one"}}, "default")
        await made.api.create(RESOURCE_QUOTAS, quota({"configmaps": "2"}), "default")
        await made.settle()
        [found] = made.api.all(RESOURCE_QUOTAS)
        assert found["status"]["used"] == {"configmaps": "1"}
        wrong = {"status": {"used": {"configmaps": "2"}}}
        await made.api.patch(RESOURCE_QUOTAS, "q", wrong, "default", subresource="status")
        made.clock.advance(299)
        await made.settle()
        [found] = made.api.all(RESOURCE_QUOTAS)
        assert found["status"]["used"] == {"configmaps": "2"}
        made.clock.advance(2)
        await made.settle()
        [found] = made.api.all(RESOURCE_QUOTAS)
        assert found["status"]["used"] == {"configmaps": "1"}


async def test_only_kinds_that_a_quota_counts_are_watched() -> None:
    async with site() as made:
        before = len(made.api.watchers[CONFIG_MAPS])
        await made.api.create(RESOURCE_QUOTAS, quota({"configmaps": "2"}), "default")
        await made.settle()
        assert len(made.api.watchers[CONFIG_MAPS]) == before + 1
        await made.api.delete(RESOURCE_QUOTAS, "q", "default")
        await made.settle()
        assert len(made.api.watchers[CONFIG_MAPS]) == before


def test_a_pod_that_is_overdue_after_its_deletion_no_longer_counts() -> None:
    deleted = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    metadata = {"name": "p", "deletionTimestamp": rfc3339(deleted), "deletionGracePeriodSeconds": 30}
    pod = {"metadata": metadata, "spec": {"containers": [{"name": "c"}]}}
    after = {seconds: usage(PODS, pod, deleted + dt.timedelta(seconds=seconds)) for seconds in (30, 31)}
    assert {seconds: sorted(found) for seconds, found in after.items()} == {
        30: ["count/pods", "pods"],
        31: ["count/pods"],
    }


def test_sums_keep_the_notation_of_the_first_that_is_not_zero() -> None:
    total = {"memory": amounts.parse("0")}
    for more in ("512Mi", "100M", "512Mi"):
        amounts.add(total, {"memory": amounts.parse(more)})
    assert str(total["memory"]) == "1173741824"
    assert str(amounts.parse("1Gi").plus(amounts.parse("1G"))) == "2073741824"
    assert str(amounts.parse("1G").plus(amounts.parse("1Gi"))) == "2073741824"
    assert str(amounts.parse("500m").plus(amounts.parse("1500m"))) == "2"
    assert str(amounts.parse("1Gi").plus(amounts.parse("1024Mi"))) == "2Gi"
    assert str(amounts.parse("1e3").plus(amounts.parse("1"))) == "1001"
