"""Where a CloudCore tells others that its router is."""

from __future__ import annotations

import pytest
from tests.cloudcore.cloud import Api

from edgelab.cloudcore.cloudhub import replicas
from edgelab.cloudcore.cloudhub.complaints import Complaints
from edgelab.cloudcore.router import neighbours
from edgelab.kube.resources import LEASES
from edgelab.settings.cloudcore import CloudCore, validate


@pytest.mark.parametrize(
    ("listens", "told", "url"),
    [
        ("10.0.0.5", "", "http://10.0.0.5:9443"),
        ("127.0.0.1", "", ""),
        ("0.0.0.0", "", "http://192.0.2.7:9443"),
        ("::", "2001:db8::1", "http://[2001:db8::1]:9443"),
        ("127.0.0.1", "cloud-1.example.org", "http://cloud-1.example.org:9443"),
        ("0.0.0.0", "192.0.2.8:30943", "http://192.0.2.8:30943"),
        ("0.0.0.0", "[2001:db8::1]:30943", "http://[2001:db8::1]:30943"),
    ],
)
def test_others_are_told_an_address_that_they_can_reach(
    listens: str, told: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "own_address", lambda: "192.0.2.7")
    settings = CloudCore()
    settings.modules.cloudHub.advertiseAddress = ["127.0.0.1"]
    settings.modules.router.address, settings.edgelab.router.advertiseAddress = listens, told
    assert neighbours.own_url(settings, 9443) == url
    assert validate(settings) == []


@pytest.mark.parametrize(
    ("advertised", "mine", "url"),
    [
        (["192.0.2.1", "192.0.2.2"], {"192.0.2.2"}, "http://192.0.2.2:9443"),
        (["192.0.2.1", "192.0.2.2"], {"192.0.2.1", "192.0.2.2"}, "http://192.0.2.2:9443"),
        (["198.51.100.7", "192.0.2.2"], {"198.51.100.7", "192.0.2.2"}, "http://198.51.100.7:9443"),
        (["192.0.2.1"], set(), "http://198.51.100.7:9443"),
    ],
)
def test_of_this_hosts_addresses_one_in_the_clusters_network_is_told(
    advertised: list[str], mine: set[str], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "own_address", lambda: "198.51.100.7")
    monkeypatch.setattr(neighbours, "is_own", lambda address: address in mine)
    settings = CloudCore()
    settings.modules.cloudHub.advertiseAddress = advertised
    assert neighbours.own_url(settings, 9443) == url


async def test_what_a_lease_told_of_a_router_goes_when_it_has_none_for_others() -> None:
    api = Api()
    one = replicas.Replicas(api, Complaints(), namespace="kubeedge", me="a")
    for told in ("http://192.0.2.7:9443", "http://192.0.2.8:9443", ""):
        one.notes[neighbours.URL] = told
        await one.renew()
        found = api.one(LEASES, "cloudcore-replica-a", "kubeedge")["metadata"]["annotations"]
        assert found.get(neighbours.URL, "") == told
        assert replicas.INSTANCE in found
