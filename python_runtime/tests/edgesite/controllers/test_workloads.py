from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.edgesite.manifests import pod, pod_spec
from tests.edgesite.site import Site, site

from edgelab.edgesite.controllers.support.kinds import JOBS, REPLICATION_CONTROLLERS
from edgelab.kube.interface import Obj
from edgelab.kube.resources import DAEMON_SETS, EVENTS, NODES, PODS, REPLICA_SETS
from edgelab.objects.metadata import condition, is_deleting
from edgelab.objects.status import ApiError


@pytest.fixture
async def cluster() -> AsyncIterator[Site]:
    async with site() as made:
        await made.node("n1")
        await made.node("n2", labels={"disk": "ssd"})
        yield made


def replica_set(replicas: int = 2) -> Obj:
    return {
        "metadata": {"name": "rs", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"metadata": {"labels": {"app": "x"}}, "spec": pod_spec()},
        },
    }


def daemon_set(**spec: object) -> Obj:
    return {
        "metadata": {"name": "agent", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {"metadata": {"labels": {"app": "agent"}}, "spec": pod_spec(**spec)},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
        },
    }


def job(**spec: object) -> Obj:
    return {
        "metadata": {"name": "work", "namespace": "default"},
        "spec": {
            "parallelism": 2,
            "completions": 3,
            "backoffLimit": 1,
            "template": {"metadata": {}, "spec": pod_spec(restartPolicy="Never")},
            **spec,
        },
    }


def living(cluster: Site) -> list[Obj]:
    return [item for item in cluster.api.all(PODS) if not is_deleting(item)]


async def test_a_lost_pod_is_replaced(cluster: Site) -> None:
    await cluster.api.create(REPLICA_SETS, replica_set(), "default")
    await cluster.settle()
    lost = living(cluster)[0]["metadata"]["name"]
    await cluster.api.delete(PODS, lost, "default")
    await cluster.settle()
    assert len(living(cluster)) == 2
    assert lost not in {item["metadata"]["name"] for item in living(cluster)}


async def test_a_burst_creates_no_pod_twice(cluster: Site) -> None:
    await cluster.api.create(REPLICA_SETS, replica_set(40), "default")
    await cluster.settle()
    assert len(cluster.api.all(PODS)) == 40
    assert sum(1 for call in cluster.api.calls if call[:2] == ("create", "pods")) == 40


async def test_orphans_are_adopted_and_strangers_released(cluster: Site) -> None:
    await cluster.api.create(PODS, pod("orphan", labels={"app": "x"}), "default")
    await cluster.api.create(REPLICA_SETS, replica_set(1), "default")
    await cluster.settle()
    assert [item["metadata"]["name"] for item in living(cluster)] == ["orphan"]
    patch = {"metadata": {"labels": {"app": "debug"}}}
    await cluster.api.patch(PODS, "orphan", patch, "default")
    await cluster.settle()
    orphan = cluster.api.one(PODS, "orphan")
    assert not orphan["metadata"].get("ownerReferences")
    assert len(living(cluster)) == 2


async def test_scaling_down_gives_up_pods_that_do_not_run_first(cluster: Site) -> None:
    await cluster.api.create(REPLICA_SETS, replica_set(3), "default")
    await cluster.settle()
    ready = living(cluster)[1]
    await cluster.set_ready(ready)
    await cluster.api.patch(REPLICA_SETS, "rs", {"spec": {"replicas": 1}}, "default")
    await cluster.settle()
    assert [item["metadata"]["name"] for item in living(cluster)] == [ready["metadata"]["name"]]


async def test_a_refused_pod_is_reported_and_tried_again(cluster: Site) -> None:
    refusal = ApiError(403, 'pods "rs-" is forbidden: exceeded quota')
    cluster.api.refuse = ("create", "pods", refusal)
    await cluster.api.create(REPLICA_SETS, replica_set(1), "default")
    await cluster.settle()
    failure = condition(cluster.api.one(REPLICA_SETS, "rs"), "ReplicaFailure")
    assert failure is not None
    assert (failure["reason"], failure["message"]) == ("FailedCreate", refusal.message)
    assert "Error creating: " + refusal.message in {e["message"] for e in cluster.api.all(EVENTS)}
    cluster.api.refuse = None
    await cluster.settle(3)
    assert len(living(cluster)) == 1
    assert condition(cluster.api.one(REPLICA_SETS, "rs"), "ReplicaFailure") is None


async def test_a_replication_controller_keeps_its_pods(cluster: Site) -> None:
    made = replica_set(2)
    made["metadata"]["name"] = "rc"
    made["spec"]["selector"] = {"app": "x"}
    await cluster.api.create(REPLICATION_CONTROLLERS, made, "default")
    await cluster.settle()
    assert len(living(cluster)) == 2
    status = cluster.api.one(REPLICATION_CONTROLLERS, "rc")["status"]
    assert status == {"replicas": 2, "fullyLabeledReplicas": 2, "observedGeneration": 1}


def daemons_ready(cluster: Site) -> int:
    return int((cluster.api.one(DAEMON_SETS, "agent").get("status") or {}).get("numberReady", 0))


async def test_a_daemon_runs_on_every_fitting_node(cluster: Site) -> None:
    await cluster.api.create(DAEMON_SETS, daemon_set(), "default")
    await cluster.until(
        lambda: (cluster.api.one(DAEMON_SETS, "agent").get("status") or {}).get("numberReady") == 2
    )
    assert sorted(item["spec"]["nodeName"] for item in living(cluster)) == ["n1", "n2"]
    await cluster.node("n3", taints=[{"key": "edge", "effect": "NoSchedule"}])
    await cluster.node("n4")
    await cluster.until(lambda: cluster.api.one(DAEMON_SETS, "agent")["status"]["numberReady"] == 3)
    assert sorted(item["spec"]["nodeName"] for item in living(cluster)) == ["n1", "n2", "n4"]


async def test_a_daemon_leaves_a_node_that_no_longer_fits(cluster: Site) -> None:
    await cluster.api.create(DAEMON_SETS, daemon_set(nodeSelector={"disk": "ssd"}), "default")
    await cluster.until(lambda: [p["spec"].get("nodeName") for p in living(cluster)] == ["n2"])
    await cluster.api.patch(NODES, "n2", {"metadata": {"labels": None}})
    await cluster.settle()
    assert not living(cluster)


async def test_a_daemon_is_updated_node_by_node(cluster: Site) -> None:
    await cluster.api.create(DAEMON_SETS, daemon_set(), "default")
    await cluster.until(
        lambda: (cluster.api.one(DAEMON_SETS, "agent").get("status") or {}).get("numberReady") == 2
    )
    template = {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}
    await cluster.api.patch(DAEMON_SETS, "agent", {"spec": {"template": template}}, "default")
    await cluster.settle()
    assert len(living(cluster)) == 1
    await cluster.until(
        lambda: (
            cluster.api.one(DAEMON_SETS, "agent")["status"].get("updatedNumberScheduled") == 2
            and cluster.api.one(DAEMON_SETS, "agent")["status"]["numberReady"] == 2
        )
    )
    assert {item["spec"]["containers"][0]["image"] for item in living(cluster)} == {"nginx:2"}


async def finish(cluster: Site, phase: str) -> None:
    for item in cluster.api.all(PODS):
        if item["status"].get("phase") != phase and item["spec"].get("nodeName"):
            await cluster.set_ready(item, "False", phase)
    await cluster.settle()


async def test_a_job_runs_to_its_completions_and_counts_each_once(cluster: Site) -> None:
    await cluster.api.create(JOBS, job(), "default")
    await cluster.settle()
    assert len(living(cluster)) == 2
    await finish(cluster, "Succeeded")
    assert cluster.api.one(JOBS, "work")["status"]["succeeded"] == 2
    assert len(living(cluster)) == 3
    await finish(cluster, "Succeeded")
    status = cluster.api.one(JOBS, "work")["status"]
    assert status["succeeded"] == 3
    assert [item["type"] for item in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert status["conditions"][1]["message"] == "Reached expected number of succeeded pods"
    assert status["uncountedTerminatedPods"] == {}
    assert not any(item["metadata"].get("finalizers") for item in cluster.api.all(PODS))


async def test_a_job_gives_up_after_its_backoff_limit(cluster: Site) -> None:
    await cluster.api.create(JOBS, job(parallelism=1, completions=1), "default")
    await cluster.settle()
    await finish(cluster, "Failed")
    await cluster.settle(30)
    await finish(cluster, "Failed")
    await cluster.settle()
    failed = condition(cluster.api.one(JOBS, "work"), "Failed")
    assert failed is not None
    assert (failed["reason"], failed["message"]) == (
        "BackoffLimitExceeded",
        "Job has reached the specified backoff limit",
    )


async def test_an_indexed_job_gives_each_pod_its_number(cluster: Site) -> None:
    await cluster.api.create(JOBS, job(parallelism=3, completionMode="Indexed"), "default")
    await cluster.settle()
    key = "batch.kubernetes.io/job-completion-index"
    assert sorted(item["metadata"]["labels"][key] for item in living(cluster)) == ["0", "1", "2"]
    await finish(cluster, "Succeeded")
    assert cluster.api.one(JOBS, "work")["status"]["completedIndexes"] == "0-2"


async def test_a_finished_job_goes_after_its_time(cluster: Site) -> None:
    await cluster.api.create(JOBS, job(completions=1, parallelism=1, ttlSecondsAfterFinished=20), "default")
    await cluster.settle()
    await finish(cluster, "Succeeded")
    await cluster.settle(10)
    assert cluster.api.all(JOBS)
    await cluster.settle(15)
    assert not cluster.api.all(JOBS)
    assert not cluster.api.all(PODS)
