from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.edgesite.manifests import pod_spec
from tests.edgesite.site import Site, site

from edgelab.edgesite.controllers.support.kinds import CONTROLLER_REVISIONS, STATEFUL_SETS
from edgelab.kube.interface import Obj
from edgelab.kube.resources import EVENTS, PERSISTENT_VOLUME_CLAIMS, PODS
from edgelab.objects.metadata import is_deleting


@pytest.fixture
async def cluster() -> AsyncIterator[Site]:
    async with site() as made:
        await made.node("n1")
        yield made


def stateful_set(replicas: int = 3, **spec: Any) -> Obj:
    return {
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": pod_spec()},
            "podManagementPolicy": "OrderedReady",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "revisionHistoryLimit": 10,
            **spec,
        },
    }


def claim_template() -> Obj:
    return {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}


def image(value: str) -> Obj:
    return {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": value}]}}}}


def names(cluster: Site) -> list[str]:
    return [pod["metadata"]["name"] for pod in cluster.api.all(PODS) if not is_deleting(pod)]


def status(cluster: Site) -> Obj:
    found: Obj = cluster.api.one(STATEFUL_SETS, "db").get("status") or {}
    return found


async def made(cluster: Site, replicas: int = 3, **spec: Any) -> None:
    await cluster.api.create(STATEFUL_SETS, stateful_set(replicas, **spec), "default")
    await cluster.until(lambda: status(cluster).get("availableReplicas") == replicas)
    await cluster.settle()


async def change(cluster: Site, patch: Obj) -> None:
    await cluster.api.patch(STATEFUL_SETS, "db", patch, "default")
    await cluster.settle()


def images(cluster: Site) -> list[str]:
    return [pod["spec"]["containers"][0]["image"] for pod in cluster.api.all(PODS)]


async def test_pods_come_one_after_the_other(cluster: Site) -> None:
    await cluster.api.create(STATEFUL_SETS, stateful_set(), "default")
    for number in range(3):
        await cluster.settle()
        assert names(cluster) == [f"db-{n}" for n in range(number + 1)]
        await cluster.run_pods()
    await cluster.settle()
    now = status(cluster)
    revision = cluster.api.all(CONTROLLER_REVISIONS)[0]
    assert now == {
        "observedGeneration": 1,
        "replicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "currentReplicas": 3,
        "updatedReplicas": 3,
        "currentRevision": revision["metadata"]["name"],
        "updateRevision": revision["metadata"]["name"],
        "collisionCount": 0,
    }
    first = cluster.api.one(PODS, "db-0")
    assert first["metadata"]["labels"] == {
        "app": "db",
        "statefulset.kubernetes.io/pod-name": "db-0",
        "apps.kubernetes.io/pod-index": "0",
        "controller-revision-hash": revision["metadata"]["name"],
    }
    assert (first["spec"]["hostname"], first["spec"]["subdomain"]) == ("db-0", "db")
    messages = {event["message"] for event in cluster.api.all(EVENTS)}
    assert "Create Pod db-0 in StatefulSet db successful" in messages


async def test_a_parallel_set_does_not_wait(cluster: Site) -> None:
    await cluster.api.create(STATEFUL_SETS, stateful_set(podManagementPolicy="Parallel"), "default")
    await cluster.settle()
    assert names(cluster) == ["db-0", "db-1", "db-2"]


async def test_it_shrinks_from_the_end_one_by_one(cluster: Site) -> None:
    await made(cluster)
    await change(cluster, {"spec": {"replicas": 1}})
    assert names(cluster) == ["db-0", "db-1"]
    await cluster.until(lambda: names(cluster) == ["db-0"])


async def test_ordinals_begin_where_they_are_told_to(cluster: Site) -> None:
    await made(cluster, 2, ordinals={"start": 5})
    assert names(cluster) == ["db-5", "db-6"]


async def test_an_update_goes_from_the_end_and_ends_as_the_current_revision(cluster: Site) -> None:
    await made(cluster, 2)
    before = status(cluster)["currentRevision"]
    await change(cluster, image("nginx:2"))
    assert names(cluster) == ["db-0"]
    assert status(cluster)["currentRevision"] == before != status(cluster)["updateRevision"]
    await cluster.until(lambda: status(cluster).get("currentRevision") != before)
    assert images(cluster) == ["nginx:2", "nginx:2"]
    await change(cluster, image("nginx"))
    numbers = {item["metadata"]["name"]: item["revision"] for item in cluster.api.all(CONTROLLER_REVISIONS)}
    assert len(numbers) == 3 or numbers[before] == 3


async def test_what_is_below_the_partition_stays(cluster: Site) -> None:
    await made(cluster, 3, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    await change(cluster, image("nginx:2"))
    await cluster.until(lambda: status(cluster).get("updatedReplicas") == 1)
    await cluster.until(lambda: status(cluster).get("readyReplicas") == 3)
    assert images(cluster) == ["nginx", "nginx", "nginx:2"]
    await cluster.api.delete(PODS, "db-0", "default", options={"gracePeriodSeconds": 0})
    await cluster.settle()
    assert images(cluster) == ["nginx", "nginx", "nginx:2"]


async def test_more_than_one_may_be_unavailable(cluster: Site) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 2}}
    await made(cluster, 3, updateStrategy=rolling)
    await change(cluster, image("nginx:2"))
    assert names(cluster) == ["db-0"]


async def test_on_delete_waits_for_somebody(cluster: Site) -> None:
    await made(cluster, 2, updateStrategy={"type": "OnDelete"})
    await change(cluster, image("nginx:2"))
    assert images(cluster) == ["nginx", "nginx"]
    await cluster.api.delete(PODS, "db-1", "default", options={"gracePeriodSeconds": 0})
    await cluster.settle()
    assert images(cluster) == ["nginx", "nginx:2"]


async def test_a_pod_counts_only_after_its_time(cluster: Site) -> None:
    await cluster.api.create(STATEFUL_SETS, stateful_set(2, minReadySeconds=20), "default")
    await cluster.settle()
    await cluster.run_pods()
    await cluster.settle(15)
    assert names(cluster) == ["db-0"]
    assert status(cluster)["readyReplicas"] == 1
    assert status(cluster)["availableReplicas"] == 0
    await cluster.settle(10)
    assert names(cluster) == ["db-0", "db-1"]


async def test_a_failed_pod_is_made_again(cluster: Site) -> None:
    await made(cluster, 1)
    before = cluster.api.one(PODS, "db-0")["metadata"]["uid"]
    await cluster.set_ready(cluster.api.one(PODS, "db-0"), "False", "Failed")
    await cluster.settle()
    assert cluster.api.one(PODS, "db-0")["metadata"]["uid"] != before


def owners(cluster: Site, name: str) -> list[str]:
    claim = cluster.api.one(PERSISTENT_VOLUME_CLAIMS, name)
    return [reference["kind"] for reference in claim["metadata"].get("ownerReferences") or ()]


async def test_each_pod_has_its_claims_which_stay(cluster: Site) -> None:
    await made(cluster, 2, volumeClaimTemplates=[claim_template()])
    pod = cluster.api.one(PODS, "db-1")
    assert pod["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}}]
    claim = cluster.api.one(PERSISTENT_VOLUME_CLAIMS, "data-db-1")
    assert claim["metadata"]["labels"] == {"app": "db"}
    assert owners(cluster, "data-db-1") == []
    await change(cluster, {"spec": {"replicas": 1}})
    await cluster.until(lambda: names(cluster) == ["db-0"])
    assert len(cluster.api.all(PERSISTENT_VOLUME_CLAIMS)) == 2
    messages = {event["message"] for event in cluster.api.all(EVENTS)}
    assert "Create Claim data-db-1 Pod db-1 in StatefulSet db success" in messages


async def test_claims_go_with_pods_that_are_scaled_away(cluster: Site) -> None:
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    await made(
        cluster, 2, volumeClaimTemplates=[claim_template()], persistentVolumeClaimRetentionPolicy=policy
    )
    assert owners(cluster, "data-db-1") == ["StatefulSet"]
    await change(cluster, {"spec": {"replicas": 1}})
    assert owners(cluster, "data-db-1") == ["Pod"]
    await cluster.until(lambda: len(cluster.api.all(PERSISTENT_VOLUME_CLAIMS)) == 1)


async def test_a_settled_set_is_left_alone(cluster: Site) -> None:
    await made(cluster, 2, volumeClaimTemplates=[claim_template()])
    before = cluster.writes()
    await cluster.settle(300)
    assert cluster.writes() == before
