"""Authorization with a real EdgeSite: its Node authorizer and its NodeRestriction decide for CloudCore."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cloudcore.cloud import Edge
from tests.component.cloudcore.site import cloudcore, edgesite
from tests.component.cloudcore.test_chain import (
    NODE,
    Place,
    becomes,
    join,
    make_pod,
    text,
)

from edgelab.kube import kubeconfig
from edgelab.kube.client import HttpClient
from edgelab.kube.resources import NODES, PODS, SECRETS
from edgelab.protocol import message as wire

AUTHORIZATION = {"enable": True, "debug": False, "modes": [{"node": {"enable": True}}]}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Place]:
    with edgesite(tmp_path) as place:
        yield place


@pytest.fixture
def log(site: Place) -> Iterator[Path]:
    """What a CloudCore with authorization says."""
    with cloudcore(site, hub={"authorization": AUTHORIZATION}) as output:
        yield output


@pytest.fixture
async def api(site: Place) -> AsyncIterator[HttpClient]:
    async with HttpClient(kubeconfig.load(site.kubeconfig)) as client:
        yield client


async def error_of(edge: Edge, resource: str, operation: str, content: Any = None) -> Any:
    answer = (await edge.ask(resource, operation, content)).object()
    return answer.get("Err", answer).get("ErrStatus") if isinstance(answer, dict) else None


async def test_a_node_does_its_own_work_and_nothing_else(site: Place, log: Path, api: HttpClient) -> None:
    await api.create(NODES, NODE)  # its role's label is not for the node itself to set
    for name in ("used", "unused"):
        await api.create(SECRETS, {"metadata": {"name": name}, "data": {}}, "default")
    edge = await join(site)
    body = {"metadata": {"name": "edge1"}, "spec": {}}
    assert (await error_of(edge, "null/node/edge1", "insert", body))["reason"] == "AlreadyExists"
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    answer = (await edge.ask("null/nodepatch/edge1", "patch", text(ready))).object()
    assert answer["Err"] is None
    lease = {"metadata": {"name": "edge1", "namespace": "kube-node-lease"}, "spec": {}}
    assert (await edge.ask("kube-node-lease/lease/edge1", "insert", lease)).object()["Err"] is None
    await make_pod(api, "web")
    reference = {"secretRef": {"name": "used"}}
    container = {"name": "c", "image": "i", "envFrom": [reference]}
    spec = {"nodeName": "edge1", "containers": [container], "tolerations": [{"operator": "Exists"}]}
    await api.create(PODS, {"metadata": {"name": "user"}, "spec": spec}, "default")
    await edge.pushed("default/pod/user", "insert")
    assert (await edge.ask("default/secret/used", "query")).object()["metadata"]["name"] == "used"
    patch = text({"status": {"phase": "Running"}})
    assert (await edge.ask("default/podpatch/web", "patch", patch)).object()["Err"] is None

    refused = await error_of(edge, "default/secret/unused", "query")
    assert refused["reason"] == "Forbidden"
    assert "no relationship found between node 'edge1' and this object" in refused["message"]
    refused = await error_of(edge, "default/lease/edge1", "query")
    assert "can only access leases in the" in refused["message"]
    labels = {"metadata": {"name": "edge1", "labels": {"node-restriction.kubernetes.io/zone": "mine"}}}
    update = wire.new(
        source="edged", group="meta", operation="update", resource="null/node/edge1", content=labels
    )
    await edge.send(update)

    async def refusal_told() -> bool:
        return "node edge1 could not be updated" in log.read_text()

    await becomes(refusal_told)
    wanted = (await api.get(NODES, "edge1"))["metadata"]["labels"]
    assert "node-restriction.kubernetes.io/zone" not in wanted
    assert "Traceback" not in log.read_text()
    await edge.close()


async def test_a_node_registers_with_its_role_and_takes_no_label_that_is_an_administrator_s(
    site: Place, log: Path, api: HttpClient
) -> None:
    edge = await join(site)
    labels = {
        "node-role.kubernetes.io/edge": "",
        "kubernetes.io/hostname": "edge1",
        "site": "north",
        "node-restriction.kubernetes.io/zone": "mine",
    }
    body = {"metadata": {"name": "edge1", "labels": labels}, "spec": {}}
    answer = (await edge.ask("null/node/edge1", "insert", body)).object()
    assert answer["Err"] is None
    wanted = {key: value for key, value in labels.items() if "restriction" not in key}
    assert answer["Object"]["metadata"]["labels"].items() >= wanted.items()
    there = (await api.get(NODES, "edge1"))["metadata"]["labels"]
    assert there.items() >= wanted.items()
    assert "node-restriction.kubernetes.io/zone" not in there
    assert "may not give itself the label node-restriction.kubernetes.io/zone" in log.read_text()
    await api.patch(NODES, "edge1", {"metadata": {"labels": {"node-role.kubernetes.io/edge": None}}})
    assert (await error_of(edge, "null/node/edge1", "insert", body))["reason"] == "AlreadyExists"
    assert "node-role.kubernetes.io/edge" in (await api.get(NODES, "edge1"))["metadata"]["labels"]
    await edge.close()
