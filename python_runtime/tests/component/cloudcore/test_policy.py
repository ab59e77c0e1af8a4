"""The PolicyController with a real EdgeSite: its RBAC objects, definition and signer are real here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cloudcore.cloud import Edge, about
from tests.cloudcore.test_policy import GET_PODS, LIST_NODES, PATH, csr, reference, subject
from tests.component.cloudcore.site import cloudcore, edgesite
from tests.component.cloudcore.test_chain import NODE, Place, becomes, join, record

from edgelab.kube import kubeconfig
from edgelab.kube.client import HttpClient
from edgelab.kube.interface import Obj
from edgelab.kube.resources import (
    ACCESSES,
    CSRS,
    NODES,
    OBJECT_SYNCS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
)
from edgelab.protocol.message import Message

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with edgesite(tmp_path) as found, cloudcore(found, gates={"requireAuthorization": True}):
        yield found


@pytest.fixture
async def api(place: Place) -> AsyncIterator[HttpClient]:
    async with HttpClient(kubeconfig.load(place.kubeconfig)) as client:
        yield client


async def make_robot(api: HttpClient) -> None:
    """Account `robot`, which may get pods, and a pod on edge1 that runs as it and uses a claim."""
    await api.create(NODES, {"kind": "Node", "apiVersion": "v1", **NODE})
    await api.create(SERVICE_ACCOUNTS, {"metadata": {"name": "robot"}}, "default")
    await api.create(ROLES, {"metadata": {"name": "reader"}, "rules": [GET_PODS]}, "default")
    bound = {"roleRef": reference("Role", "reader"), "subjects": [subject()]}
    await api.create(ROLE_BINDINGS, {"metadata": {"name": "reads"}, **bound}, "default")
    await api.create(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "claim"}, "spec": CLAIM}, "default")
    spec = {
        "nodeName": "edge1",
        "serviceAccountName": "robot",
        "containers": [{"name": "c", "image": "i"}],
        "tolerations": [{"operator": "Exists"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}],
    }
    await api.create(PODS, {"metadata": {"name": "a"}, "spec": spec}, "default")


async def test_access_follows_its_roles_and_serving_certificates_are_signed(
    place: Place, api: HttpClient
) -> None:
    edge = await join(place)
    await make_robot(api)
    await access_arrives(edge, api)
    await api.patch(ROLES, "reader", {"rules": [GET_PODS, LIST_NODES]}, "default")
    await edge.wait(lambda m: about(m) == ("update", PATH) and local_rules(m) == [GET_PODS, LIST_NODES], 20)
    await certificate_is_signed(edge, api)
    await claim_follows(place, edge, api)
    await api.delete(PODS, "a", "default", options={"gracePeriodSeconds": 0})
    back = await join(place)
    await back.pushed(PATH, "delete", 20)
    assert (await api.list(ACCESSES, "default")).items == []
    await back.close()


def local_rules(message: Message) -> Any:
    [granted] = message.object()["spec"]["accessRoleBinding"]
    return granted["rules"]


async def access_arrives(edge: Edge, api: HttpClient) -> None:
    message = await edge.wait(lambda m: about(m)[1] == PATH, 20)
    spec = message.object()["spec"]
    assert local_rules(message) == [GET_PODS]
    wide = {granted["clusterRoleBinding"]["metadata"]["name"] for granted in spec["accessClusterRoleBinding"]}
    assert "system:discovery" in wide, "what every account may comes from the cluster's own bindings"
    uid = message.object()["metadata"]["uid"]

    async def acknowledged() -> bool:
        stored = await api.get(ACCESSES, "robot", "default")
        there: list[Any] = (stored.get("status") or {}).get("nodeList") or []
        version = stored["metadata"]["resourceVersion"]
        return there == ["edge1"] and await record(api, OBJECT_SYNCS, uid) == version

    await becomes(acknowledged)


async def certificate_is_signed(edge: Edge, api: HttpClient) -> None:
    answer = await edge.ask("default/certificatesigningrequest/csr-edge1", "insert", csr("edge1"))
    assert answer.object()["Err"] is None

    async def signed() -> Any:
        return ((await api.get(CSRS, "csr-edge1")).get("status") or {}).get("certificate")

    assert await becomes(signed)
    found: Obj = (await edge.ask("default/certificatesigningrequest/csr-edge1", "query")).object()
    assert found["status"]["certificate"]


async def claim_follows(place: Place, edge: Edge, api: HttpClient) -> None:
    path = "default/persistentvolumeclaim/claim"
    assert (await edge.ask(path, "query")).object()["kind"] == "PersistentVolumeClaim"
    await edge.close()
    await api.patch(PERSISTENT_VOLUME_CLAIMS, "claim", {"metadata": {"labels": {"new": "1"}}}, "default")
    back = await join(place)
    changed = await back.pushed(path, "update", 20)
    assert changed.object()["metadata"]["labels"] == {"new": "1"}
    await back.close()
