"""Namespaces, owners, endpoints, accounts and leftovers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.edgesite.manifests import deployment, pod
from tests.edgesite.site import Site, site

from edgelab.edgesite.controllers.root_ca import NAME
from edgelab.edgesite.controllers.support.kinds import ENDPOINT_SLICES
from edgelab.kube.interface import Obj, Resource
from edgelab.kube.resources import (
    CONFIG_MAPS,
    CRDS,
    DEPLOYMENTS,
    ENDPOINTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from edgelab.objects.metadata import condition, is_deleting
from edgelab.objects.status import ApiError

GAUGES = Resource("lab.example.com", "v1", "gauges", "Gauge")


@pytest.fixture
async def cluster() -> AsyncIterator[Site]:
    async with site(ca_pem="-----BEGIN CERTIFICATE-----") as made:
        await made.node("n1")
        yield made


def owned(name: str, owner: Obj, **reference: object) -> Obj:
    metadata = owner["metadata"]
    entry = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        **reference,
    }
    return {"metadata": {"name": name, "ownerReferences": [entry]}}


async def config_map(cluster: Site, name: str, owner: Obj | None = None, **reference: object) -> Obj:
    made = owned(name, owner, **reference) if owner else {"metadata": {"name": name}}
    return await cluster.api.create(CONFIG_MAPS, made, "default")


def names(cluster: Site, resource: Resource = CONFIG_MAPS) -> set[str]:
    return {obj["metadata"]["name"] for obj in cluster.api.all(resource, "default")} - {NAME}


async def test_every_namespace_gets_its_account_and_the_ca(cluster: Site) -> None:
    await cluster.namespace("work")
    await cluster.settle()
    assert cluster.api.one(SERVICE_ACCOUNTS, "default", "work")
    assert cluster.api.one(CONFIG_MAPS, NAME, "work")["data"] == {"ca.crt": "-----BEGIN CERTIFICATE-----"}
    await cluster.api.delete(SERVICE_ACCOUNTS, "default", "work")
    await cluster.api.patch(CONFIG_MAPS, NAME, {"data": {"ca.crt": "forged"}}, "work")
    await cluster.settle()
    assert cluster.api.one(SERVICE_ACCOUNTS, "default", "work")
    assert cluster.api.one(CONFIG_MAPS, NAME, "work")["data"]["ca.crt"] != "forged"


async def test_a_deleted_namespace_is_emptied_and_goes(cluster: Site) -> None:
    await cluster.namespace("work")
    made = deployment(replicas=2)
    made["metadata"]["namespace"] = "work"
    await cluster.api.create(DEPLOYMENTS, made, "work")
    await cluster.settle()
    await cluster.run_pods()
    await cluster.api.delete(NAMESPACES, "work")
    await cluster.settle()
    remaining = condition(cluster.api.one(NAMESPACES, "work"), "NamespaceContentRemaining")
    assert remaining is not None
    assert remaining["message"] == "All content successfully removed"  # pods go first, and are not told of
    await cluster.run_pods()
    await cluster.settle(6)
    assert "work" not in {obj["metadata"]["name"] for obj in cluster.api.all(NAMESPACES)}
    for resource in (PODS, DEPLOYMENTS, REPLICA_SETS, CONFIG_MAPS, SERVICE_ACCOUNTS):
        assert not cluster.api.all(resource, "work")


async def test_what_cannot_be_deleted_keeps_a_namespace_and_is_told(cluster: Site) -> None:
    await cluster.namespace("work")
    await cluster.settle()
    cluster.api.refuse = ("delete", "configmaps", ApiError(403, "a webhook says no"))
    await cluster.api.delete(NAMESPACES, "work")
    await cluster.settle()
    failure = condition(cluster.api.one(NAMESPACES, "work"), "NamespaceDeletionContentFailure")
    assert failure is not None
    assert (failure["status"], failure["reason"]) == ("True", "ContentDeletionFailed")
    assert failure["message"] == "Failed to delete all resource types, 1 remaining: a webhook says no"
    cluster.api.refuse = None
    await cluster.settle(6)
    assert "work" not in {obj["metadata"]["name"] for obj in cluster.api.all(NAMESPACES)}


async def test_dependents_follow_their_owner(cluster: Site) -> None:
    parent = await config_map(cluster, "parent")
    child = await config_map(cluster, "child", parent)
    await config_map(cluster, "grandchild", child)
    await config_map(cluster, "stranger")
    await cluster.settle()
    assert names(cluster) == {"parent", "child", "grandchild", "stranger"}
    await cluster.api.delete(CONFIG_MAPS, "parent", "default")
    await cluster.settle()
    assert names(cluster) == {"stranger"}


async def test_deleting_a_deployment_leaves_no_replica_set_and_no_pod(cluster: Site) -> None:
    await cluster.api.create(DEPLOYMENTS, deployment(), "default")
    await cluster.settle()
    await cluster.run_pods()
    await cluster.api.delete(DEPLOYMENTS, "web", "default")
    await cluster.settle()
    await cluster.run_pods()
    await cluster.settle()
    assert not cluster.api.all(REPLICA_SETS)
    assert not cluster.api.all(PODS)


async def test_orphaned_dependents_stay(cluster: Site) -> None:
    parent = await config_map(cluster, "parent")
    await config_map(cluster, "child", parent)
    await cluster.settle()
    await cluster.api.delete(CONFIG_MAPS, "parent", "default", options={"propagationPolicy": "Orphan"})
    await cluster.settle()
    assert names(cluster) == {"child"}
    assert not cluster.api.one(CONFIG_MAPS, "child")["metadata"].get("ownerReferences")


async def test_in_the_foreground_the_owner_goes_last(cluster: Site) -> None:
    parent = await config_map(cluster, "parent")
    child = owned("child", parent, blockOwnerDeletion=True)
    child["metadata"]["finalizers"] = ["example.com/hold"]
    await cluster.api.create(CONFIG_MAPS, child, "default")
    await cluster.settle()
    await cluster.api.delete(CONFIG_MAPS, "parent", "default", options={"propagationPolicy": "Foreground"})
    await cluster.settle()
    assert is_deleting(cluster.api.one(CONFIG_MAPS, "child"))
    assert is_deleting(cluster.api.one(CONFIG_MAPS, "parent"))
    await cluster.api.patch(CONFIG_MAPS, "child", {"metadata": {"finalizers": None}}, "default")
    await cluster.settle()
    assert names(cluster) == set()


async def test_a_second_owner_holds_an_object(cluster: Site) -> None:
    first, second = await config_map(cluster, "first"), await config_map(cluster, "second")
    child = owned("child", first)
    child["metadata"]["ownerReferences"] += owned("x", second)["metadata"]["ownerReferences"]
    await cluster.api.create(CONFIG_MAPS, child, "default")
    await cluster.settle()
    await cluster.api.delete(CONFIG_MAPS, "first", "default")
    await cluster.settle()
    left = cluster.api.one(CONFIG_MAPS, "child")["metadata"]["ownerReferences"]
    assert [reference["name"] for reference in left] == ["second"]


async def test_an_object_of_an_owner_that_never_was_goes(cluster: Site) -> None:
    ghost = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ghost", "uid": "nobody"}}
    await config_map(cluster, "child", ghost)
    await cluster.settle()
    assert names(cluster) == set()


async def test_a_lease_follows_its_node(cluster: Site) -> None:
    node = cluster.api.one(NODES, "n1")
    await cluster.api.create(LEASES, owned("n1", node), "kube-node-lease")
    cluster.alive.clear()
    await cluster.settle()
    await cluster.api.delete(NODES, "n1")
    await cluster.settle()
    assert not cluster.api.all(LEASES)


def definition() -> Obj:
    return {
        "metadata": {"name": "gauges.lab.example.com"},
        "spec": {
            "group": "lab.example.com",
            "scope": "Namespaced",
            "names": {"plural": "gauges", "kind": "Gauge"},
            "versions": [{"name": "v1", "served": True, "storage": True}],
        },
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
    }


async def test_what_a_custom_resource_owned_goes_with_its_definition(cluster: Site) -> None:
    await cluster.api.create(CRDS, definition())
    gauge = await cluster.api.create(GAUGES, {"metadata": {"name": "g"}}, "default")
    await config_map(cluster, "child", gauge)
    await cluster.settle()
    cluster.api.objects.pop(GAUGES)
    await cluster.api.delete(CRDS, "gauges.lab.example.com")
    await cluster.settle()
    assert names(cluster) == set()


async def test_custom_resources_are_owners_and_dependents_too(cluster: Site) -> None:
    await cluster.api.create(CRDS, definition())
    gauge = await cluster.api.create(GAUGES, {"metadata": {"name": "g"}}, "default")
    await config_map(cluster, "child", gauge)
    await cluster.settle()
    assert names(cluster) == {"child"}
    await cluster.api.delete(GAUGES, "g", "default")
    await cluster.settle()
    assert names(cluster) == set()
    await cluster.namespace("work")
    await cluster.api.create(GAUGES, {"metadata": {"name": "g"}}, "work")
    await cluster.api.delete(NAMESPACES, "work")
    await cluster.settle(6)
    assert not cluster.api.all(GAUGES)


async def service(cluster: Site, **spec: object) -> None:
    made = {
        "metadata": {"name": "web", "namespace": "default", "labels": {"team": "a"}},
        "spec": {
            "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}],
            "clusterIP": "10.0.0.1",
            **spec,
        },
    }
    await cluster.api.create(SERVICES, made, "default")


async def test_a_service_lists_ready_pods_apart_from_the_others(cluster: Site) -> None:
    await service(cluster)
    for name in ("a", "b"):
        made = pod(name, labels={"app": "web"})
        made["spec"]["containers"][0]["ports"] = [{"name": "web", "containerPort": 8080}]
        await cluster.api.create(PODS, made, "default")
    await cluster.settle()
    assert not cluster.api.one(ENDPOINTS, "web").get("subsets")
    await cluster.set_ready(cluster.api.one(PODS, "a"))
    await cluster.set_ready(cluster.api.one(PODS, "b"), "False")
    await cluster.settle()
    (subset,) = cluster.api.one(ENDPOINTS, "web")["subsets"]
    assert [address["targetRef"]["name"] for address in subset["addresses"]] == ["a"]
    assert [address["targetRef"]["name"] for address in subset["notReadyAddresses"]] == ["b"]
    assert subset["ports"] == [{"port": 8080, "protocol": "TCP", "name": "http"}]
    (found,) = cluster.api.all(ENDPOINT_SLICES)
    assert found["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
    assert found["ports"] == [{"port": 8080, "protocol": "TCP", "name": "http"}]
    assert [
        (e["targetRef"]["name"], e["conditions"]["ready"], e["nodeName"]) for e in found["endpoints"]
    ] == [
        ("a", True, "n1"),
        ("b", False, "n1"),
    ]
    await cluster.api.delete(SERVICES, "web", "default")
    await cluster.settle()
    assert not cluster.api.all(ENDPOINTS)
    assert not cluster.api.all(ENDPOINT_SLICES)


async def test_endpoints_written_by_hand_are_left_alone(cluster: Site) -> None:
    await service(cluster, selector=None)
    await cluster.api.create(ENDPOINTS, {"metadata": {"name": "web"}, "subsets": [{"x": 1}]}, "default")
    await cluster.settle()
    assert cluster.api.one(ENDPOINTS, "web")["subsets"] == [{"x": 1}]


async def test_pods_of_a_node_that_is_gone_are_removed_after_a_while(cluster: Site) -> None:
    await cluster.api.create(PODS, pod("a", nodeName="ghost"), "default")
    await cluster.settle(35)
    assert cluster.api.all(PODS)
    await cluster.settle(10)
    assert not cluster.api.all(PODS)


async def test_a_terminating_pod_that_was_never_scheduled_is_removed(cluster: Site) -> None:
    made = pod("a", schedulerName="nobody")
    await cluster.api.create(PODS, made, "default")
    await cluster.api.delete(PODS, "a", "default", options={"gracePeriodSeconds": 30})
    await cluster.settle()
    assert not cluster.api.all(PODS)
