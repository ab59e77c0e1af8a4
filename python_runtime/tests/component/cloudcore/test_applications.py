"""Node groups and EdgeApplications with a real EdgeSite: its controllers and scheduler take them on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.component.cloudcore.site import cloudcore, edgesite
from tests.component.cloudcore.test_chain import Place, becomes

from edgelab.kube import kubeconfig
from edgelab.kube.client import HttpClient
from edgelab.kube.interface import Obj, Resource
from edgelab.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EDGE_APPLICATIONS,
    EVENTS,
    NODE_GROUPS,
    NODES,
    PODS,
    SERVICES,
)
from edgelab.objects.edgeapps.names import BELONGING_TO, FINALIZER, ZONE
from edgelab.objects.status import ApiError

SECONDS = 30
REGISTRY = {"component": "Registry", "operator": "replace", "value": "hz.example"}
NGINX = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "nginx"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "nginx"}},
        "template": {
            "metadata": {"labels": {"app": "nginx"}},
            "spec": {"containers": [{"name": "web", "image": "docker.io/library/nginx:1.22"}]},
        },
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "nginx"},
    "spec": {"selector": {"app": "nginx"}, "ports": [{"port": 80}]},
}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "page"}, "data": {"a": "b"}}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with edgesite(tmp_path) as found, cloudcore(found, edgelab={"controllerManager": {"enable": True}}):
        yield found


@pytest.fixture
async def api(place: Place) -> AsyncIterator[HttpClient]:
    async with HttpClient(kubeconfig.load(place.kubeconfig)) as client:
        yield client


async def node(api: HttpClient, name: str, **labels: str) -> None:
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    size = {"cpu": "4", "memory": "4Gi", "pods": "20"}
    await api.create(NODES, {"metadata": {"name": name, "labels": labels}})
    status = {"conditions": [ready], "capacity": size, "allocatable": size}
    await api.patch(NODES, name, {"status": status}, subresource="status")


async def group(api: HttpClient, name: str, **spec: Any) -> None:
    await api.create(NODE_GROUPS, {"metadata": {"name": name}, "spec": spec})


async def group_of(api: HttpClient, name: str) -> str | None:
    labels = (await api.get(NODES, name))["metadata"].get("labels") or {}
    return labels.get(BELONGING_TO)


async def selection(api: HttpClient, name: str) -> dict[str, tuple[str, str]]:
    status = (await api.get(NODE_GROUPS, name)).get("status") or {}
    return {
        one["nodeName"]: (one["selectionStatus"], one["readyStatus"])
        for one in status.get("nodeStatuses") or ()
    }


async def is_gone(api: HttpClient, kind: Resource, name: str, namespace: str | None = None) -> bool:
    try:
        await api.get(kind, name, namespace)
    except ApiError as error:
        return error.code == 404
    return False


async def conditions(api: HttpClient, name: str = "shop") -> dict[str, str]:
    status = (await api.get(EDGE_APPLICATIONS, name, "default")).get("status") or {}
    return {
        one["identifier"].get("name", str(one["identifier"]["ordinal"])): one["conditions"]
        for one in status.get("workloadStatus") or ()
    }


async def pods(api: HttpClient) -> list[Obj]:
    """Those that are not being deleted."""
    found = (await api.list(PODS, "default")).items
    return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]


async def make_ready(api: HttpClient) -> None:
    """Do the node's part."""
    for pod in await pods(api):
        if pod["spec"].get("nodeName"):
            ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
            await api.patch(PODS, pod["metadata"]["name"], {"status": ready}, "default", subresource="status")


async def nodes_of(api: HttpClient) -> dict[str, list[str]]:
    """The nodes of each Deployment's pods."""
    found: dict[str, list[str]] = {}
    for pod in await pods(api):
        owner = pod["metadata"]["ownerReferences"][0]["name"].rpartition("-")[0]
        found.setdefault(owner, []).append(pod["spec"].get("nodeName") or "")
    return {name: sorted(nodes) for name, nodes in found.items()}


async def test_a_group_labels_its_nodes_and_lets_them_go(api: HttpClient) -> None:
    for name in ("edge1", "edge2"):
        await node(api, name, site="x")
    await group(api, "hangzhou", nodes=["edge1", "ghost"], topologyEnabled=True)
    await becomes(lambda: _is(group_of(api, "edge1"), "hangzhou"), SECONDS)
    await group(api, "everything", matchLabels={"site": "x"})
    wanted = {"edge1": ("Failed", "Ready"), "edge2": ("Succeeded", "Ready")}
    await becomes(lambda: _is(selection(api, "everything"), wanted), SECONDS)
    [taken, _] = (await api.get(NODE_GROUPS, "everything"))["status"]["nodeStatuses"]
    assert taken["selectionStatusReason"] == "node edge1 has already belonged to NodeGroup hangzhou"
    wanted = {"edge1": ("Succeeded", "Ready"), "ghost": ("Failed", "Unknown")}
    await becomes(lambda: _is(selection(api, "hangzhou"), wanted), SECONDS)
    assert (await api.get(NODES, "edge1"))["metadata"]["labels"][ZONE] == "hangzhou"
    # A node that comes later, and a group that goes: its node is free for the other one.
    await node(api, "ghost")
    await becomes(lambda: _is(group_of(api, "ghost"), "hangzhou"), SECONDS)
    assert (await api.get(NODE_GROUPS, "hangzhou"))["metadata"]["finalizers"] == [FINALIZER]
    await api.delete(NODE_GROUPS, "hangzhou")
    await becomes(lambda: is_gone(api, NODE_GROUPS, "hangzhou"), SECONDS)
    await becomes(lambda: _is(group_of(api, "edge1"), "everything"), SECONDS)
    assert await group_of(api, "ghost") is None
    assert ZONE not in (await api.get(NODES, "edge1"))["metadata"]["labels"]


async def test_an_application_is_one_deployment_for_each_group_and_follows_its_manifests(
    api: HttpClient,
) -> None:
    for name in ("edge1", "edge2"):
        await node(api, name)
    await group(api, "hangzhou", nodes=["edge1"])
    await group(api, "beijing", nodes=["edge2"])
    targets = [
        {"name": "hangzhou", "overriders": {"replicas": 2, "imageOverriders": [REGISTRY]}},
        {"name": "beijing"},
    ]
    spec = {
        "workloadTemplate": {"manifests": [NGINX, SERVICE, CONFIG]},
        "workloadScope": {"targetNodeGroups": targets},
    }
    await api.create(EDGE_APPLICATIONS, {"metadata": {"name": "shop"}, "spec": spec}, "default")
    wanted = {"nginx-hangzhou": ["edge1", "edge1"], "nginx-beijing": ["edge2"]}
    await becomes(lambda: _pods_are(api, wanted), SECONDS)
    hangzhou = await api.get(DEPLOYMENTS, "nginx-hangzhou", "default")
    assert hangzhou["spec"]["template"]["spec"]["containers"][0]["image"] == "hz.example/library/nginx:1.22"
    everything = dict.fromkeys(["nginx-hangzhou", "nginx-beijing", "nginx", "page"], "Available")
    await becomes(lambda: _available(api, everything), SECONDS)
    await leave_what_others_change(api)
    await come_back_after_a_deletion(api)
    await follow_the_node_s_group(api)
    await hold_less(api, spec)
    await api.delete(EDGE_APPLICATIONS, "shop", "default")
    await becomes(lambda: is_gone(api, DEPLOYMENTS, "nginx-hangzhou", "default"), SECONDS)


async def leave_what_others_change(api: HttpClient) -> None:
    """Somebody scales a Deployment; a change of the manifests elsewhere leaves that alone."""
    await api.patch(DEPLOYMENTS, "nginx-beijing", {"spec": {"replicas": 3}}, "default")
    app = await api.get(EDGE_APPLICATIONS, "shop", "default")
    manifests = app["spec"]["workloadTemplate"]["manifests"]
    manifests[0]["spec"]["template"]["spec"]["containers"][0]["image"] = "docker.io/library/nginx:1.23"
    change = {"spec": {"workloadTemplate": {"manifests": manifests}}}
    await api.patch(EDGE_APPLICATIONS, "shop", change, "default")

    async def rolled() -> bool:
        found = (await api.get(DEPLOYMENTS, "nginx-beijing", "default"))["spec"]
        image = found["template"]["spec"]["containers"][0]["image"]
        return bool(image.endswith("nginx:1.23")) and found["replicas"] == 3

    await becomes(rolled, SECONDS)


async def come_back_after_a_deletion(api: HttpClient) -> None:
    uid = (await api.get(CONFIG_MAPS, "page", "default"))["metadata"]["uid"]
    await api.delete(CONFIG_MAPS, "page", "default")

    async def back() -> bool:
        try:
            return bool((await api.get(CONFIG_MAPS, "page", "default"))["metadata"]["uid"] != uid)
        except ApiError:
            return False

    await becomes(back, SECONDS)


async def follow_the_node_s_group(api: HttpClient) -> None:
    """A node that leaves its group loses the group's pods."""
    await api.patch(NODE_GROUPS, "beijing", {"spec": {"nodes": []}})
    await becomes(lambda: _is(group_of(api, "edge2"), None), SECONDS)

    async def moved_out() -> bool:
        return "edge2" not in (await nodes_of(api)).get("nginx-beijing", ["edge2"])

    await becomes(moved_out, SECONDS)


async def hold_less(api: HttpClient, spec: Obj) -> None:
    """One manifest and one target less, and a manifest that cannot be: the reason is an Event."""
    alien = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mine"}}
    change = {
        "workloadTemplate": {"manifests": [NGINX, alien]},
        "workloadScope": {"targetNodeGroups": [{"name": "hangzhou"}]},
    }
    await api.patch(EDGE_APPLICATIONS, "shop", {"spec": {**spec, **change}}, "default")
    for kind, name in ((SERVICES, "nginx"), (CONFIG_MAPS, "page"), (DEPLOYMENTS, "nginx-beijing")):
        await becomes(lambda kind=kind, name=name: is_gone(api, kind, name, "default"), SECONDS)
    assert await is_gone(api, NODE_GROUPS, "mine")

    async def told() -> bool:
        found = (await api.list(EVENTS, "default")).items
        texts = [one["message"] for one in found if one["involvedObject"]["kind"] == "EdgeApplication"]
        return any("manifests[1]: a Namespace is in no namespace" in text for text in texts)

    await becomes(told, SECONDS)
    assert (await conditions(api))["1"] == "Processing"


async def _is(call: Any, wanted: Any) -> bool:
    return bool(await call == wanted)


async def _pods_are(api: HttpClient, wanted: dict[str, list[str]]) -> bool:
    return await nodes_of(api) == wanted


async def _available(api: HttpClient, wanted: dict[str, str]) -> bool:
    await make_ready(api)
    return await conditions(api) == wanted
