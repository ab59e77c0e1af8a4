"""The choice of a subnet. The bridge itself is tested by booting a lab."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from nspawn_lab import network
from nspawn_lab.definition import Lab
from nspawn_lab.shell import LabError

LAB = Lab(Path("/work/one/.lab"))
CLUSTER_NETWORKS = [ipaddress.ip_network(n) for n in ("10.96.0.0/12", "10.88.0.0/16", "10.244.0.0/16")]


def test_the_same_lab_gets_the_same_subnet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "used_networks", list)
    assert network.choose_subnet(LAB) == network.choose_subnet(LAB)
    assert network.choose_subnet(LAB) != network.choose_subnet(Lab(Path("/work/two/.lab")))


def test_a_subnet_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "used_networks", list)
    first = ipaddress.IPv4Network(network.choose_subnet(LAB))
    monkeypatch.setattr(network, "used_networks", lambda: [first.supernet(new_prefix=16)])
    second = ipaddress.IPv4Network(network.choose_subnet(LAB))
    assert not second.overlaps(first)


def test_no_candidate_lies_where_clusters_put_services_and_pods() -> None:
    for candidate in network.candidates("any"):
        assert candidate.subnet_of(ipaddress.IPv4Network("10.0.0.0/8"))
        assert not any(candidate.overlaps(other) for other in CLUSTER_NETWORKS)


def test_a_machine_that_uses_all_of_it_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "used_networks", lambda: [ipaddress.IPv4Network("10.0.0.0/8")])
    with pytest.raises(LabError, match="no free /24"):
        network.choose_subnet(LAB)


def test_the_machines_own_routes_count_as_used() -> None:
    used = network.used_networks()
    assert any(ipaddress.IPv4Address("127.0.0.1") in net for net in used)
