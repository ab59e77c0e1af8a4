"""EdgeSite as its users meet it: a server process, kubectl, and a client that outlives a killed server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.component.edgesite.kubelet import Kubelet
from tests.component.edgesite.serving import Server, kubectl

from edgelab.kube import kubeconfig
from edgelab.kube.client import HttpClient
from edgelab.kube.resources import CONFIG_MAPS, DEPLOYMENTS, ENDPOINTS, EVENTS, NAMESPACES, PODS, REPLICA_SETS

LABELS = {"node-role.kubernetes.io/edge": ""}
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeSelector: {node-role.kubernetes.io/edge: ""}
      containers: [{name: web, image: "nginx:1.22", ports: [{name: http, containerPort: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"""


@pytest.fixture
async def api(server: Server) -> AsyncIterator[HttpClient]:
    async with HttpClient(kubeconfig.load(server.kubeconfig)) as client:
        yield client


@pytest.fixture
async def node(api: HttpClient) -> AsyncIterator[Kubelet]:
    kubelet = Kubelet(api, "edge1")
    await kubelet.register(LABELS)
    task = asyncio.create_task(kubelet.run())
    yield kubelet
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(15):
        while not await condition():
            await asyncio.sleep(0.05)


async def images(api: HttpClient) -> list[str]:
    pods = (await api.list(PODS, "default")).items
    return [pod["spec"]["containers"][0]["image"] for pod in pods]


async def test_a_deployment_lives_its_whole_life_under_kubectl(
    server: Server, api: HttpClient, node: Kubelet
) -> None:
    await kubectl(server, "apply", "-f", "-", text=MANIFEST)
    rolled_out = ("rollout", "status", "deployment/web", "--timeout=20s")
    assert "successfully rolled out" in await kubectl(server, *rolled_out)
    pods = (await api.list(PODS, "default")).items
    assert [pod["spec"]["nodeName"] for pod in pods] == ["edge1"] * 3
    addresses = {pod["status"]["podIP"] for pod in pods}

    async def published() -> bool:
        subsets = (await api.get(ENDPOINTS, "web", "default")).get("subsets") or [{}]
        return {item["ip"] for item in subsets[0].get("addresses", [])} == addresses

    await until(published)
    await kubectl(server, "set", "image", "deployment/web", "web=nginx:1.23")
    await kubectl(server, *rolled_out)
    assert set(await images(api)) >= {"nginx:1.23"}
    await kubectl(server, "rollout", "undo", "deployment/web")
    await kubectl(server, *rolled_out)
    history = await kubectl(server, "rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["2", "3"]
    await kubectl(server, "scale", "deployment/web", "--replicas=1")

    async def one_left() -> bool:
        return await images(api) == ["nginx:1.22"]

    await until(one_left)
    await kubectl(server, "delete", "deployment/web")

    async def all_gone() -> bool:
        return not any([(await api.list(kind)).items for kind in (DEPLOYMENTS, REPLICA_SETS, PODS)])

    await until(all_gone)


async def test_a_namespace_goes_with_everything_in_it(server: Server, api: HttpClient, node: Kubelet) -> None:
    await api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "work"}})
    manifest = MANIFEST.replace("namespace: default", "namespace: work")
    await kubectl(server, "apply", "-f", "-", text=manifest)
    await kubectl(server, "-n", "work", "rollout", "status", "deployment/web", "--timeout=20s")
    await kubectl(server, "delete", "namespace", "work", "--timeout=20s")
    left = json.loads(await kubectl(server, "get", "all", "-n", "work", "-o", "json"))
    assert left["items"] == []


async def test_a_pod_that_fits_nowhere_says_why(server: Server, api: HttpClient, node: Kubelet) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "lonely"},
        "spec": {"nodeSelector": {"no": "where"}, "containers": [{"name": "c", "image": "x"}]},
    }
    await api.create(PODS, pod, "default")

    async def told() -> bool:
        selector = "involvedObject.name=lonely,reason=FailedScheduling"
        return bool((await api.list(EVENTS, "default", field_selector=selector)).items)

    await until(told)
    described = await kubectl(server, "describe", "pod", "lonely")
    assert "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector." in described


async def test_a_more_important_pod_gets_the_place_of_another(
    server: Server, api: HttpClient, node: Kubelet
) -> None:
    requests = MANIFEST.replace("image:", 'resources: {requests: {cpu: "600m"}}, image:')
    await kubectl(server, "apply", "-f", "-", text=requests)
    await kubectl(server, "rollout", "status", "deployment/web", "--timeout=20s")
    await kubectl(server, "create", "priorityclass", "urgent", "--value=1000")
    urgent = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "urgent"},
        "spec": {
            "priorityClassName": "urgent",
            "containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "600m"}}}],
        },
    }
    await api.create(PODS, urgent, "default")

    async def runs() -> bool:
        return (await api.get(PODS, "urgent", "default"))["status"]["phase"] == "Running"

    await until(runs)
    pods = (await api.list(PODS, "default", label_selector="app=web")).items
    assert sorted(bool(pod["spec"].get("nodeName")) for pod in pods) == [False, True, True]
    told = (await api.list(EVENTS, "default", field_selector="reason=Preempted")).items
    uid = (await api.get(PODS, "urgent", "default"))["metadata"]["uid"]
    assert [event["message"] for event in told] == [f"Preempted by pod {uid} on node edge1"]


async def test_a_client_outlives_a_killed_server_without_repeated_events(
    server: Server, api: HttpClient, node: Kubelet
) -> None:
    await kubectl(server, "apply", "-f", "-", text=MANIFEST)
    await kubectl(server, "rollout", "status", "deployment/web", "--timeout=20s")
    before = set(node.informer.store)
    server.kill()
    await asyncio.sleep(0.3)
    server.start()
    await api.create(CONFIG_MAPS, {"metadata": {"name": "alive"}}, "default")
    await kubectl(server, "scale", "deployment/web", "--replicas=4")
    await kubectl(server, "rollout", "status", "deployment/web", "--timeout=20s")

    async def seen() -> bool:
        return len(node.informer.store) == 4

    await until(seen)
    assert before < set(node.informer.store)
    added = [uid for event, uid in node.events if event == "ADDED"]
    assert len(added) == len(set(added)) == 4


async def test_a_rollout_goes_on_after_the_server_was_killed_in_the_middle(
    server: Server, api: HttpClient, node: Kubelet
) -> None:
    manifest = MANIFEST.replace("replicas: 3", "replicas: 40")
    await kubectl(server, "apply", "-f", "-", text=manifest)

    async def begun() -> bool:
        return 0 < len(await images(api)) < 40

    await until(begun)
    server.kill()
    server.start()
    await kubectl(server, "rollout", "status", "deployment/web", "--timeout=30s")
    await kubectl(server, "set", "image", "deployment/web", "web=nginx:1.23")
    server.kill()
    server.start()
    await kubectl(server, "rollout", "status", "deployment/web", "--timeout=30s")

    async def exact() -> bool:
        return await images(api) == ["nginx:1.23"] * 40

    await until(exact)
    sizes = sorted(rs["spec"]["replicas"] for rs in (await api.list(REPLICA_SETS)).items)
    assert sizes == [0, 40]
