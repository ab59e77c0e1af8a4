from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.edgesite.manifests import deployment, pod
from tests.edgesite.site import Site, site

from edgelab.edgesite.controllers.support.kinds import BUDGETS
from edgelab.kube.interface import Obj, Resource
from edgelab.kube.resources import CRDS, DEPLOYMENTS, EVENTS, PODS
from edgelab.objects.metadata import condition

GIZMOS = Resource("example.com", "v1", "gizmos", "Gizmo")


@pytest.fixture
async def cluster() -> AsyncIterator[Site]:
    async with site(with_scheduler=False) as made:
        yield made


async def budget(cluster: Site, **spec: Any) -> None:
    made = {
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
    }
    await cluster.api.create(BUDGETS, made, "default")
    await cluster.settle()


def counts(cluster: Site) -> tuple[int, int, int, int]:
    status = cluster.api.one(BUDGETS, "b")["status"]
    return (
        status["disruptionsAllowed"],
        status["currentHealthy"],
        status["desiredHealthy"],
        status["expectedPods"],
    )


async def ready(cluster: Site, count: int) -> None:
    for item in cluster.api.all(PODS)[:count]:
        await cluster.set_ready(item)
    await cluster.settle()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": 2}, (1, 3, 2, 4)),
        ({"minAvailable": "60%"}, (0, 3, 3, 4)),
        ({"maxUnavailable": 2}, (1, 3, 2, 4)),
        ({"maxUnavailable": "30%"}, (1, 3, 2, 4)),
        ({"maxUnavailable": "100%"}, (3, 3, 0, 4)),
    ],
)
async def test_how_many_may_go(cluster: Site, spec: Obj, expected: tuple[int, ...]) -> None:
    await cluster.api.create(DEPLOYMENTS, deployment(replicas=4), "default")
    await cluster.settle()
    await ready(cluster, 3)
    await budget(cluster, **spec)
    assert counts(cluster) == expected


async def test_a_pod_that_was_granted_counts_as_gone_for_two_minutes(cluster: Site) -> None:
    await cluster.api.create(DEPLOYMENTS, deployment(replicas=2), "default")
    await cluster.settle()
    await ready(cluster, 2)
    await budget(cluster, minAvailable=1)
    name = cluster.api.all(PODS)[0]["metadata"]["name"]
    patch = {"status": {"disruptedPods": {name: cluster.stamp()}, "disruptionsAllowed": 0}}
    await cluster.api.patch(BUDGETS, "b", patch, "default", subresource="status")
    await cluster.settle(100)
    assert counts(cluster) == (0, 1, 1, 2)
    await cluster.settle(30)
    assert counts(cluster) == (1, 2, 1, 2)
    assert "disruptedPods" not in cluster.api.one(BUDGETS, "b")["status"]
    assert "NotDeleted" in {event["reason"] for event in cluster.api.all(EVENTS)}


async def test_a_custom_owner_is_asked_for_its_scale(cluster: Site) -> None:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
    }
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "gizmos", "kind": "Gizmo"},
        "versions": [version],
    }
    status = {"conditions": [{"type": "Established", "status": "True"}]}
    definition = {"metadata": {"name": "gizmos.example.com"}, "spec": spec, "status": status}
    await cluster.api.create(CRDS, definition)
    gizmo = await cluster.api.create(
        GIZMOS, {"metadata": {"name": "g", "namespace": "default"}, "spec": {"size": 5}}, "default"
    )
    owned = pod("p", labels={"app": "web"})
    owned["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "example.com/v1",
            "kind": "Gizmo",
            "name": "g",
            "uid": gizmo["metadata"]["uid"],
            "controller": True,
        }
    ]
    await cluster.api.create(PODS, owned, "default")
    await budget(cluster, maxUnavailable=1)
    assert counts(cluster) == (0, 0, 4, 5)


async def test_an_owner_without_a_scale_is_told(cluster: Site) -> None:
    node = await cluster.node("n")
    owned = pod("p", labels={"app": "web"})
    reference = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": node["metadata"]["uid"]}
    owned["metadata"]["ownerReferences"] = [{**reference, "controller": True}]
    await cluster.api.create(PODS, owned, "default")
    await budget(cluster, maxUnavailable=1)
    failed = condition(cluster.api.one(BUDGETS, "b"), "DisruptionAllowed")
    assert failed is not None
    assert (failed["reason"], failed["message"]) == (
        "SyncFailed",
        "nodes does not implement the scale subresource",
    )


async def test_an_announcement_that_comes_to_nothing_is_taken_back(cluster: Site) -> None:
    await cluster.api.create(PODS, pod("p"), "default")
    target = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": cluster.stamp()}
    patch = {"status": {"conditions": [target]}}
    await cluster.api.patch(PODS, "p", patch, "default", subresource="status")
    await cluster.settle(119)
    assert (condition(cluster.api.one(PODS, "p"), "DisruptionTarget") or {})["status"] == "True"
    await cluster.settle(2)
    assert (condition(cluster.api.one(PODS, "p"), "DisruptionTarget") or {})["status"] == "False"
