"""What endpoints and their slices carry besides addresses; the rest is compared with recordings."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.edgesite.manifests import pod
from tests.edgesite.site import Site, site

from edgelab.edgesite.controllers.support.kinds import ENDPOINT_SLICES
from edgelab.edgesite.controllers.support.triggers import ANNOTATION
from edgelab.kube.resources import ENDPOINTS, PODS, SERVICES


@pytest.fixture
async def cluster() -> AsyncIterator[Site]:
    async with site(with_scheduler=False) as made:
        yield made


async def test_the_time_of_what_changed_is_written(cluster: Site) -> None:
    spec = {"selector": {"app": "x"}, "ports": [{"port": 80}], "ipFamilies": ["IPv4"]}
    await cluster.api.create(SERVICES, {"metadata": {"name": "s"}, "spec": spec}, "default")
    await cluster.settle(5)
    await cluster.api.create(PODS, pod("p", labels={"app": "x"}), "default")
    await cluster.set_ready(cluster.api.one(PODS, "p"))
    ready = cluster.stamp()
    await cluster.settle(5)
    assert cluster.api.one(ENDPOINTS, "s")["metadata"]["annotations"] == {ANNOTATION: ready}
    assert cluster.api.all(ENDPOINT_SLICES)[0]["metadata"]["annotations"] == {ANNOTATION: ready}


async def test_more_addresses_than_a_slice_holds_are_left_out(cluster: Site) -> None:
    await cluster.api.create(
        SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}, "default"
    )
    addresses = [{"ip": f"10.0.{number // 250}.{number % 250 + 1}"} for number in range(1002)]
    made = {"metadata": {"name": "s"}, "subsets": [{"addresses": addresses, "ports": [{"port": 80}]}]}
    await cluster.api.create(ENDPOINTS, made, "default")
    await cluster.settle()
    mirrored = cluster.api.all(ENDPOINT_SLICES)
    assert [len(item["endpoints"]) for item in mirrored] == [1000]


async def test_what_says_so_is_not_mirrored(cluster: Site) -> None:
    await cluster.api.create(
        SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}, "default"
    )
    marks = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    made = {"metadata": {"name": "s", "labels": marks}, "subsets": [{"addresses": [{"ip": "10.0.0.1"}]}]}
    await cluster.api.create(ENDPOINTS, made, "default")
    await cluster.settle()
    assert not cluster.api.all(ENDPOINT_SLICES)
