from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.edgesite.manifests import deployment
from tests.edgesite.site import Site, site

from edgelab.kube.interface import Obj
from edgelab.kube.resources import DEPLOYMENTS, EVENTS, PODS, REPLICA_SETS
from edgelab.objects.metadata import condition, is_deleting


@pytest.fixture
async def cluster() -> AsyncIterator[Site]:
    async with site() as made:
        await made.node("n1")
        yield made


def status(cluster: Site, name: str = "web") -> Obj:
    found: Obj = cluster.api.one(DEPLOYMENTS, name)["status"]
    return found


def available(cluster: Site, count: int = 3) -> bool:
    now = status(cluster)
    return now.get("availableReplicas") == now.get("updatedReplicas") == now.get("replicas") == count


async def rolled_out(cluster: Site, **kwargs: object) -> None:
    await cluster.api.create(DEPLOYMENTS, deployment(**kwargs), "default")
    await cluster.until(lambda: available(cluster, int(kwargs.get("replicas", 3))))
    await cluster.settle()


async def test_a_deployment_becomes_pods_on_a_node(cluster: Site) -> None:
    await rolled_out(cluster)
    replica_set = cluster.api.all(REPLICA_SETS)[0]
    digest = replica_set["metadata"]["labels"]["pod-template-hash"]
    assert replica_set["metadata"]["name"] == f"web-{digest}"
    assert replica_set["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": digest}
    pods = cluster.api.all(PODS)
    assert len(pods) == 3
    assert {pod["spec"]["nodeName"] for pod in pods} == {"n1"}
    assert {pod["metadata"]["labels"]["pod-template-hash"] for pod in pods} == {digest}
    assert status(cluster) == {
        "observedGeneration": 1,
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "terminatingReplicas": 0,
        "conditions": status(cluster)["conditions"],
    }


async def test_conditions_are_worded_as_users_know_them(cluster: Site) -> None:
    await cluster.api.create(DEPLOYMENTS, deployment(), "default")
    await cluster.settle()
    now = cluster.api.one(DEPLOYMENTS, "web")
    name = cluster.api.all(REPLICA_SETS)[0]["metadata"]["name"]
    unavailable, progressing = condition(now, "Available"), condition(now, "Progressing")
    assert unavailable is not None
    assert progressing is not None
    assert unavailable["message"] == "Deployment does not have minimum availability."
    assert progressing["message"] in (
        f'Created new replica set "{name}"',
        f'ReplicaSet "{name}" is progressing.',
    )
    await cluster.until(lambda: available(cluster))
    await cluster.settle()
    now = cluster.api.one(DEPLOYMENTS, "web")
    done = condition(now, "Progressing")
    assert done is not None
    assert (done["reason"], done["message"]) == (
        "NewReplicaSetAvailable",
        f'ReplicaSet "{name}" has successfully progressed.',
    )
    enough = condition(now, "Available")
    assert enough is not None
    assert (enough["reason"], enough["message"]) == (
        "MinimumReplicasAvailable",
        "Deployment has minimum availability.",
    )
    messages = [event["message"] for event in cluster.api.all(EVENTS)]
    assert f"Scaled up replica set {name} from 0 to 3" in messages


async def test_scaling_changes_the_one_replica_set(cluster: Site) -> None:
    await rolled_out(cluster)
    for replicas in (5, 1):
        await cluster.api.patch(DEPLOYMENTS, "web", {"spec": {"replicas": replicas}}, "default")
        await cluster.until(lambda replicas=replicas: available(cluster, replicas))
        assert len(cluster.api.all(REPLICA_SETS)) == 1
    assert len([pod for pod in cluster.api.all(PODS) if not is_deleting(pod)]) == 1


async def test_a_rolling_update_keeps_to_its_limits(cluster: Site) -> None:
    await rolled_out(cluster, replicas=4)
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}}}
    await cluster.api.patch(DEPLOYMENTS, "web", patch, "default")
    for _ in range(40):
        await cluster.settle()
        pods = [pod for pod in cluster.api.all(PODS) if not is_deleting(pod)]
        ready = [pod for pod in pods if (condition(pod, "Ready") or {}).get("status") == "True"]
        assert len(pods) <= 5
        assert len(ready) >= 3
        await cluster.run_pods()
        cluster.clock.advance(1)
    assert available(cluster, 4)
    images = {pod["spec"]["containers"][0]["image"] for pod in cluster.api.all(PODS)}
    assert images == {"nginx:2"}
    sizes = sorted(rs["spec"]["replicas"] for rs in cluster.api.all(REPLICA_SETS))
    assert sizes == [0, 4]


async def test_recreate_starts_new_pods_only_when_the_old_are_gone(cluster: Site) -> None:
    await rolled_out(cluster, replicas=2, strategy={"type": "Recreate"})
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}}}
    await cluster.api.patch(DEPLOYMENTS, "web", patch, "default")
    await cluster.settle()
    assert all(is_deleting(pod) for pod in cluster.api.all(PODS))
    assert len(cluster.api.all(PODS)) == 2
    await cluster.until(lambda: available(cluster, 2))
    assert {pod["spec"]["containers"][0]["image"] for pod in cluster.api.all(PODS)} == {"nginx:2"}


async def test_going_back_reuses_the_old_replica_set_under_a_new_revision(cluster: Site) -> None:
    await rolled_out(cluster, replicas=1)
    for image in ("nginx:2", "nginx"):
        template = {"spec": {"containers": [{"name": "c", "image": image, "resources": {}}]}}
        await cluster.api.patch(DEPLOYMENTS, "web", {"spec": {"template": template}}, "default")
        await cluster.settle()
        await cluster.until(lambda: available(cluster, 1))
    revisions = {
        rs["spec"]["template"]["spec"]["containers"][0]["image"]: rs["metadata"]["annotations"]
        for rs in cluster.api.all(REPLICA_SETS)
    }
    assert revisions["nginx"]["deployment.kubernetes.io/revision"] == "3"
    assert revisions["nginx"]["deployment.kubernetes.io/revision-history"] == "1"
    assert revisions["nginx:2"]["deployment.kubernetes.io/revision"] == "2"
    annotations = cluster.api.one(DEPLOYMENTS, "web")["metadata"]["annotations"]
    assert annotations["deployment.kubernetes.io/revision"] == "3"


async def test_a_paused_deployment_scales_but_does_not_roll(cluster: Site) -> None:
    await rolled_out(cluster, replicas=1)
    template = {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}
    patch = {"spec": {"paused": True, "replicas": 2, "template": template}}
    await cluster.api.patch(DEPLOYMENTS, "web", patch, "default")
    await cluster.until(lambda: status(cluster).get("replicas") == 2)
    assert len(cluster.api.all(REPLICA_SETS)) == 1
    paused = condition(cluster.api.one(DEPLOYMENTS, "web"), "Progressing")
    assert paused is not None
    assert (paused["reason"], paused["message"]) == ("DeploymentPaused", "Deployment is paused")
    await cluster.api.patch(DEPLOYMENTS, "web", {"spec": {"paused": None}}, "default")
    await cluster.until(lambda: available(cluster, 2) and len(cluster.api.all(REPLICA_SETS)) == 2)


async def test_a_rollout_that_stands_still_is_reported_after_its_deadline(cluster: Site) -> None:
    made = deployment(progressDeadlineSeconds=20)
    made["spec"]["template"]["spec"]["nodeSelector"] = {"nowhere": "yes"}
    await cluster.api.create(DEPLOYMENTS, made, "default")
    await cluster.settle(30)
    late = condition(cluster.api.one(DEPLOYMENTS, "web"), "Progressing")
    assert late is not None
    assert (late["status"], late["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert late["message"].endswith("has timed out progressing.")


async def test_old_replica_sets_are_kept_up_to_the_limit(cluster: Site) -> None:
    await rolled_out(cluster, replicas=1, revisionHistoryLimit=2)
    for number in range(2, 7):
        template = {"spec": {"containers": [{"name": "c", "image": f"nginx:{number}"}]}}
        await cluster.api.patch(DEPLOYMENTS, "web", {"spec": {"template": template}}, "default")
        await cluster.settle()
        await cluster.until(lambda: available(cluster, 1))
    await cluster.settle()
    kept = {rs["spec"]["template"]["spec"]["containers"][0]["image"] for rs in cluster.api.all(REPLICA_SETS)}
    assert kept == {"nginx:4", "nginx:5", "nginx:6"}


async def test_a_settled_deployment_is_left_alone(cluster: Site) -> None:
    await rolled_out(cluster)
    await cluster.settle(2)
    before = cluster.writes()
    await cluster.settle(300)
    assert cluster.writes() == before


async def test_an_annotation_takes_it_back_to_a_revision(cluster: Site) -> None:
    await rolled_out(cluster, replicas=1)
    template = {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}
    await cluster.api.patch(DEPLOYMENTS, "web", {"spec": {"template": template}}, "default")
    await cluster.settle()
    await cluster.until(lambda: available(cluster, 1))
    for wanted, reason in (("1", "DeploymentRollback"), ("7", "DeploymentRollbackRevisionNotFound")):
        notes = {"deprecated.deployment.rollback.to": wanted}
        await cluster.api.patch(DEPLOYMENTS, "web", {"metadata": {"annotations": notes}}, "default")
        await cluster.settle()
        now = cluster.api.one(DEPLOYMENTS, "web")
        assert now["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx"
        assert "deprecated.deployment.rollback.to" not in now["metadata"]["annotations"]
        assert reason in {event["reason"] for event in cluster.api.all(EVENTS)}
    assert "pod-template-hash" not in now["spec"]["template"]["metadata"]["labels"]
