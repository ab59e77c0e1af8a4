"""`metrics.k8s.io` over the server, from a kubelet of the tests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.edgesite.apiserver.running import Client, driven
from tests.edgesite.apiserver.test_relayed_logs import PODS, admit
from tests.edgesite.driven import Driver, run
from tests.edgesite.kubelets import Kubelet, kubelet

from edgelab.edgesite.apiserver.usage import collector

API = "/apis/metrics.k8s.io/v1beta1"
MERGE = "application/merge-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
Asked = Callable[[Client, Driver, Kubelet], Coroutine[Any, Any, None]]


def page(clock: Driver, begin: float) -> str:
    """A quarter of a core in each of two containers, and two cores of the node."""
    passed, time = clock.monotonic() - begin, int(clock.now().timestamp() * 1000)
    lines = []
    for name in ("c", "side"):
        label = f'{{container="{name}",namespace="default",pod="web"}}'
        lines += [
            f"container_cpu_usage_seconds_total{label} {10 + passed / 4} {time}",
            f"container_memory_working_set_bytes{label} {3 << 20} {time}",
        ]
    lines += [
        f"node_cpu_usage_seconds_total {100 + passed * 2} {time}",
        f"node_memory_working_set_bytes {1 << 30} {time}",
    ]
    return "\n".join(lines) + "\n"


async def set_ready(client: Client, ready: str) -> None:
    status = {"conditions": [{"type": "Ready", "status": ready}]}
    code, _ = await client.call("PATCH", "/api/v1/nodes/n1/status", {"status": status}, type=MERGE)
    assert code == 200


@asynccontextmanager
async def metered(directory: Path) -> AsyncIterator[tuple[Client, Driver, Kubelet]]:
    """A site with a Ready node n1, which has two pods and tells of one."""
    async with (
        driven(directory) as (client, clock),
        kubelet(directory, client_ca=client.site.keys.ca_pem) as there,
    ):
        begin = clock.monotonic()
        there.usage = lambda: page(clock, begin)
        await admit(client, "n1", there, "web", "new")
        await set_ready(client, "True")
        await client.call("PATCH", f"{PODS}/web", {"metadata": {"labels": {"app": "web"}}}, type=MERGE)
        yield client, clock, there


async def passing(clock: Driver, seconds: int) -> None:
    """In steps, so that a request that is under way meanwhile takes no more than some of them."""
    for _ in range(seconds):
        await clock.sleep(1)


def with_node(directory: Path, asked: Asked) -> None:
    async def whole() -> None:
        async with metered(directory) as (client, clock, there):
            await asked(client, clock, there)

    run(whole())


def test_nodes_and_pods_are_listed_and_got(tmp_path: Path) -> None:
    async def asked(client: Client, clock: Driver, there: Kubelet) -> None:
        code, found = await client.call("GET", f"{API}/nodes")
        assert (code, found["kind"], found["metadata"]) == (200, "NodeMetricsList", {})
        [node] = found["items"]
        assert node["usage"] == {"cpu": "2", "memory": "1Gi"}
        assert (node["window"], node["metadata"]["name"]) == ("2s", "n1")
        assert there.users[0] == "kube-apiserver-kubelet-client"
        _, one = await client.call("GET", f"{API}/namespaces/default/pods/web")
        used = {"cpu": "250m", "memory": "3Mi"}
        assert one["kind"] == "PodMetrics"
        assert one["containers"] == [{"name": "c", "usage": used}, {"name": "side", "usage": used}]
        assert one["metadata"]["labels"] == {"app": "web"}
        assert one["timestamp"] == node["timestamp"]
        for query, names in (("", ["web"]), ("?labelSelector=app%3Dweb", ["web"]), ("?labelSelector=a", [])):
            _, found = await client.call("GET", f"{API}/pods{query}")
            assert [item["metadata"]["name"] for item in found["items"]] == names

    with_node(tmp_path, asked)


def test_tables_have_the_columns_of_metrics_server(tmp_path: Path) -> None:
    async def asked(client: Client, clock: Driver, there: Kubelet) -> None:
        for path, row in (("nodes", ["n1", "2", "1Gi", "2s"]), ("pods", ["web", "500m", "6Mi", "2s"])):
            _, found = await client.call("GET", f"{API}/{path}", accept=TABLE)
            names = [column["name"] for column in found["columnDefinitions"]]
            assert names == ["Name", "cpu", "memory", "Window"]
            assert [item["cells"] for item in found["rows"]] == [row]

    with_node(tmp_path, asked)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    async def asked(client: Client, clock: Driver, there: Kubelet) -> None:
        for path, text in (
            ("nodes/none", 'nodes "none" not found'),
            ("namespaces/default/pods/none", 'pods "none" not found'),
            ("namespaces/default/pods/new", 'pods.metrics.k8s.io "default/new" not found'),
        ):
            code, found = await client.call("GET", f"{API}/{path}")
            assert (code, found["message"]) == (404, text)
        code, found = await client.call("GET", f"{API}/nodes?watch=1")
        assert code == 405
        assert found["message"] == 'watch is not supported on resources of kind "nodes.metrics.k8s.io"'
        assert (await client.call("DELETE", f"{API}/nodes/n1"))[0] == 405
        assert (await client.call("GET", f"{API}/pods?fieldSelector=spec.x%3D1"))[0] == 400

    with_node(tmp_path, asked)


def test_a_node_without_an_answer_has_no_figures_and_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def asked(client: Client, clock: Driver, there: Kubelet) -> None:
        assert (await client.call("GET", f"{API}/nodes"))[1]["items"]
        there.usage = None
        await passing(clock, 20)
        assert (await client.call("GET", f"{API}/nodes"))[1]["items"] == []

    with_node(tmp_path, asked)
    told = [record.getMessage() for record in caplog.records if record.name == "edgesite.usage"]
    assert len(told) == 1
    assert "node n1 does not say what is used: https://127.0.0.1:" in told[0]
    assert all(record.levelno == logging.WARNING for record in caplog.records if "usage" in record.name)


@pytest.mark.parametrize("value", ["+Inf", "1e400", "NaN", "x"])
def test_a_page_of_nonsense_costs_its_own_node_only(tmp_path: Path, value: str) -> None:
    async def asked(client: Client, clock: Driver, there: Kubelet) -> None:
        there.usage = lambda: f"node_cpu_usage_seconds_total {value}\nnode_memory_working_set_bytes 1\n"
        assert (await client.call("GET", f"{API}/nodes"))[1]["items"] == []
        assert (await client.call("GET", "/readyz"))[0] == 200

    with_node(tmp_path, asked)


def test_a_port_that_is_none_costs_its_own_node_only(tmp_path: Path) -> None:
    async def asked(client: Client, clock: Driver, there: Kubelet) -> None:
        status = {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 99999}}}}
        await client.call("PATCH", "/api/v1/nodes/n1/status", status, type=MERGE)
        assert (await client.call("GET", f"{API}/nodes"))[1]["items"] == []
        assert (await client.call("GET", "/readyz"))[0] == 200

    with_node(tmp_path, asked)


def test_a_node_that_is_not_ready_is_not_asked(tmp_path: Path) -> None:
    async def asked(client: Client, clock: Driver, there: Kubelet) -> None:
        await set_ready(client, "Unknown")
        assert (await client.call("GET", f"{API}/nodes"))[1]["items"] == []
        assert (await client.call("GET", f"{API}/nodes/n1"))[0] == 404
        assert there.requests == []

    with_node(tmp_path, asked)


def test_kubelets_are_asked_only_while_somebody_wants_to_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "IDLE_SECONDS", 10)

    async def asked(client: Client, clock: Driver, there: Kubelet) -> None:
        assert there.requests == []
        await asyncio.gather(*(client.call("GET", f"{API}/nodes") for _ in range(5)))
        assert len(there.requests) == 2
        await passing(clock, 20)
        assert len(there.requests) == 3
        await passing(clock, 15)
        before = len(there.requests)
        await set_ready(client, "True")  # which it has not been for long without a lease
        await passing(clock, 40)
        assert len(there.requests) == before

    with_node(tmp_path, asked)


def test_who_may_view_pods_may_see_what_they_use(tmp_path: Path) -> None:
    async def asked(client: Client, clock: Driver, there: Kubelet) -> None:
        role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/view"
        rules = (await client.call("GET", role))[1]["rules"]
        assert [rule["resources"] for rule in rules if rule["apiGroups"] == ["metrics.k8s.io"]] == [
            ["nodes", "pods"]
        ]

    with_node(tmp_path, asked)
