"""Every change in the API that the EdgeController brings to nodes, a row each.

The rows are those of KubeEdge's `cloud/pkg/edgecontroller/controller/downstream.go`
(docs/reference/protocol.md).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.cloudcore.cloud import Cloud, about, eventually, running
from tests.cloudcore.test_rows import furnish
from tests.cloudcore.test_sessions import recorded

from edgelab.kube.interface import Resource
from edgelab.kube.resources import CONFIG_MAPS, NODES, PODS, SECRETS


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(tmp_path) as found:
        yield found


class Push(NamedTuple):
    """What is done to an object of the API, and what the node gets."""

    resource: Resource
    name: str
    change: str
    operation: str
    address: str


PUSHES = [
    Push(PODS, "new", "create", "insert", "default/pod/new"),
    Push(PODS, "web", "patch", "update", "default/pod/web"),
    Push(PODS, "web", "delete", "update", "default/pod/web"),
    Push(PODS, "web", "remove", "delete", "default/pod/web"),
    Push(CONFIG_MAPS, "late", "create", "insert", "default/configmap/late"),
    Push(CONFIG_MAPS, "cfg", "patch", "update", "default/configmap/cfg"),
    Push(CONFIG_MAPS, "cfg", "remove", "delete", "default/configmap/cfg"),
    Push(SECRETS, "sec", "patch", "update", "default/secret/sec"),
    Push(SECRETS, "sec", "remove", "delete", "default/secret/sec"),
    Push(NODES, "edge1", "patch", "update", "null/node/edge1"),
]


@pytest.mark.parametrize("push", PUSHES, ids=lambda push: f"{push.resource.kind} {push.change}")
async def test_a_change_in_the_api_reaches_the_node_and_is_acknowledged(cloud: Cloud, push: Push) -> None:
    await furnish(cloud)
    edge = await cloud.join()
    await edge.pushed("default/pod/web", "insert")
    late = {"name": "v", "configMap": {"name": "late"}}
    await cloud.pod("user", volumes=[late])
    await edge.pushed("default/pod/user", "insert")
    seen = len(edge.received)
    namespace = "default" if push.resource.namespaced else None
    if push.change == "create" and push.resource is PODS:
        await cloud.pod(push.name)
    elif push.change == "create":
        await cloud.api.create(push.resource, {"metadata": {"name": push.name}}, namespace)
    elif push.change == "patch":
        await cloud.api.patch(push.resource, push.name, {"metadata": {"labels": {"new": "1"}}}, namespace)
    else:
        grace = {} if push.change == "delete" else {"gracePeriodSeconds": 0}
        await cloud.api.delete(push.resource, push.name, namespace, options=grace)
    message = await edge.wait(
        lambda m: about(m) == (push.operation, push.address) and m in edge.received[seen:]
    )
    assert (message.route.source, message.route.group) == ("edgecontroller", "resource")
    content = message.object()
    assert (content["kind"], content["apiVersion"]) == (push.resource.kind, push.resource.api_version)
    assert bool(content["metadata"].get("deletionTimestamp")) is (push.change == "delete")
    wanted = None if push.operation == "delete" else message.header.resourceversion
    await eventually(lambda: recorded(cloud.api, content["metadata"]["uid"]) == wanted)
    await edge.close()
