"""Leases of nodes: read from the API server once, and again when it refuses what was made of that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.cloudcore.cloud import Cloud, running

from edgelab.kube.resources import LEASES

LEASE = {"metadata": {"name": "edge1", "namespace": "kube-node-lease"}, "spec": {"holderIdentity": "edge1"}}
WHERE = "kube-node-lease/lease/edge1"


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(tmp_path) as found:
        await found.node()
        yield found


async def ask(edge: Any, operation: str, content: Any = None) -> dict[str, Any]:
    answered: dict[str, Any] = (await edge.ask(WHERE, operation, content)).object()
    return answered


async def renew(edge: Any, lease: dict[str, Any], holder: str) -> dict[str, Any]:
    return await ask(edge, "update", {**lease, "spec": {"holderIdentity": holder}})


async def changed_by_another(cloud: Cloud) -> None:
    lease = await cloud.api.get(LEASES, "edge1", "kube-node-lease")
    await cloud.api.update(LEASES, {**lease, "spec": {"holderIdentity": "another"}}, "kube-node-lease")


async def test_the_answer_to_a_renewal_is_the_answer_to_the_next_read(cloud: Cloud) -> None:
    edge = await cloud.join()
    created = (await ask(edge, "insert", LEASE))["Object"]
    written = (await renew(edge, created, "new"))["Object"]
    assert written["spec"]["holderIdentity"] == "new"
    await changed_by_another(cloud)  # shows who answers
    assert (await ask(edge, "query"))["Object"] == written
    await edge.close()


async def test_a_refused_renewal_is_followed_by_a_read_of_what_is_there(cloud: Cloud) -> None:
    edge = await cloud.join()
    created = (await ask(edge, "insert", LEASE))["Object"]
    await changed_by_another(cloud)
    assert (await renew(edge, created, "new"))["Err"]["ErrStatus"]["reason"] == "Conflict"
    found = (await ask(edge, "query"))["Object"]
    assert found["spec"]["holderIdentity"] == "another"
    assert (await renew(edge, found, "new"))["Object"]["spec"]["holderIdentity"] == "new"
    await edge.close()


async def test_a_deleted_lease_is_missed_by_the_read_after_the_renewal(cloud: Cloud) -> None:
    edge = await cloud.join()
    created = (await ask(edge, "insert", LEASE))["Object"]
    await cloud.api.delete(LEASES, "edge1", "kube-node-lease")
    assert (await renew(edge, created, "new"))["Err"]["ErrStatus"]["code"] == 404
    assert (await ask(edge, "query"))["Err"]["ErrStatus"]["code"] == 404
    await edge.close()


async def test_a_node_that_comes_back_reads_what_is_there(cloud: Cloud) -> None:
    edge = await cloud.join()
    await ask(edge, "insert", LEASE)
    await edge.close()
    await changed_by_another(cloud)
    edge = await cloud.join()
    assert (await ask(edge, "query"))["Object"]["spec"]["holderIdentity"] == "another"
    await edge.close()
