"""Ranges of addresses: ready at once, and kept as long as an address depends on them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.edgesite.site import Site, site

from edgelab.edgesite.controllers.service_cidrs import FINALIZER, OWN
from edgelab.edgesite.controllers.support.kinds import IP_ADDRESSES, SERVICE_CIDRS
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import condition


@pytest.fixture
async def cluster() -> AsyncIterator[Site]:
    async with site(with_scheduler=False) as made:
        yield made


async def add_range(cluster: Site, name: str, *cidrs: str) -> None:
    await cluster.api.create(SERVICE_CIDRS, {"metadata": {"name": name}, "spec": {"cidrs": list(cidrs)}})
    await cluster.settle()


async def add_address(cluster: Site, name: str) -> None:
    key, _, value = OWN.partition("=")
    await cluster.api.create(IP_ADDRESSES, {"metadata": {"name": name, "labels": {key: value}}, "spec": {}})
    await cluster.settle()


async def remove(cluster: Site, name: str) -> None:
    await cluster.api.delete(SERVICE_CIDRS, name)
    await cluster.settle()


def ready(obj: Obj) -> str:
    found = condition(obj, "Ready")
    assert found is not None
    return str(found["status"])


def names(cluster: Site) -> set[str]:
    return {obj["metadata"]["name"] for obj in cluster.api.all(SERVICE_CIDRS)}


async def test_a_range_is_protected_and_ready(cluster: Site) -> None:
    await add_range(cluster, "a", "10.1.0.0/24")
    found = cluster.api.one(SERVICE_CIDRS, "a", "")
    assert found["metadata"]["finalizers"] == [FINALIZER]
    assert ready(found) == "True"


async def test_it_goes_after_the_grace_when_nothing_depends_on_it(cluster: Site) -> None:
    await add_range(cluster, "a", "10.1.0.0/24")
    await add_address(cluster, "10.2.0.1")
    await remove(cluster, "a")
    await cluster.settle(8)
    assert "a" in names(cluster)
    await cluster.settle(4)
    assert "a" not in names(cluster)


async def test_it_stays_as_long_as_it_has_an_address(cluster: Site) -> None:
    await add_range(cluster, "a", "10.1.0.0/24")
    await add_address(cluster, "10.1.0.1")
    await remove(cluster, "a")
    await cluster.settle(30)
    assert ready(cluster.api.one(SERVICE_CIDRS, "a", "")) == "False"
    await cluster.api.delete(IP_ADDRESSES, "10.1.0.1")
    await cluster.settle(4)
    assert "a" not in names(cluster)


async def test_an_address_that_is_in_another_range_too_does_not_hold_it(cluster: Site) -> None:
    await add_range(cluster, "a", "10.1.0.0/24")
    await add_range(cluster, "large", "10.1.0.0/16")
    await add_address(cluster, "10.1.0.1")
    await remove(cluster, "a")
    await cluster.settle(12)
    assert names(cluster) == {"large"}
