"""Which ports and endpoints the table makes of Services, EndpointSlices and DestinationRules."""

from __future__ import annotations

from typing import Any

import pytest
from tests.edgemesh.objects import endpoint_slice, member, service, table_of

from edgelab.edgemesh.table import MESH_LABEL, Endpoint, ServicePort, Table


def only(table: Table) -> ServicePort:
    (port,) = table.ports()
    return port


def test_a_port_has_the_ready_endpoints_of_all_slices_of_its_name() -> None:
    other = endpoint_slice("web", member("10.0.0.9"), name="web-2", ports=[{"name": "admin", "port": 9}])
    table = table_of(
        service("web"),
        endpoint_slice("web", member("10.0.0.2"), member("10.0.0.3", conditions={"ready": False})),
        endpoint_slice("web", member("10.0.0.4", "edge2"), name="web-1"),
        other,
    )
    port = only(table)
    assert (port.addresses, port.port, port.protocol) == (("10.96.0.10",), 18050, "TCP")
    assert port.endpoints == (Endpoint("10.0.0.2", 80, "edge1"), Endpoint("10.0.0.4", 80, "edge2"))
    assert port.affinity_seconds == 0


def test_the_order_in_which_objects_come_does_not_matter() -> None:
    parts = [service("web"), endpoint_slice("web", member("10.0.0.2"))]
    assert table_of(*parts).services == table_of(*reversed(parts)).services


@pytest.mark.parametrize("ip", ["127.0.0.1", "169.254.30.10", "169.254.96.16", "0.0.0.0", "224.0.0.1", "x"])
def test_what_only_the_host_itself_may_reach_is_no_endpoint(ip: str) -> None:
    table = table_of(service("kubernetes"), endpoint_slice("kubernetes", member(ip, None)))
    assert only(table).endpoints == ()
    assert not table.has_endpoint("", ip, 80, "TCP")


def test_a_condition_that_nobody_set_is_true() -> None:
    table = table_of(service("web"), endpoint_slice("web", {"addresses": ["10.0.0.2"]}))
    assert only(table).endpoints == (Endpoint("10.0.0.2", 80, ""),)


def test_endpoints_that_end_serve_as_long_as_there_are_no_others() -> None:
    ending = member("10.0.0.2", conditions={"ready": False, "serving": True, "terminating": True})
    table = table_of(service("web"), endpoint_slice("web", ending))
    assert [endpoint.ip for endpoint in only(table).endpoints] == ["10.0.0.2"]
    table.slice_changed("ADDED", None, endpoint_slice("web", member("10.0.0.3"), name="web-2"))
    assert [endpoint.ip for endpoint in only(table).endpoints] == ["10.0.0.3"]


def test_a_slice_that_goes_takes_its_endpoints_along_and_one_may_change_its_service() -> None:
    first = endpoint_slice("web", member("10.0.0.2"))
    table = table_of(service("web"), service("api", "10.96.0.11"), first)
    moved = {
        **first,
        "metadata": {**first["metadata"], "labels": endpoint_slice("api")["metadata"]["labels"]},
    }
    table.slice_changed("MODIFIED", first, moved)
    assert {port.service: len(port.endpoints) for port in table.ports()} == {"web": 0, "api": 1}
    table.slice_changed("DELETED", moved, moved)
    assert {port.service: len(port.endpoints) for port in table.ports()} == {"web": 0, "api": 0}


@pytest.mark.parametrize(
    "change",
    [
        {"type": "ExternalName"},
        {"ip": "None"},
        {"ip": "fd00::1"},
        {"labels": {MESH_LABEL: ""}},
        {"labels": {"service.kubernetes.io/service-proxy-name": "other"}},
        {"ports": [{"port": 5, "protocol": "SCTP"}]},
    ],
)
def test_what_is_not_proxied(change: dict[str, Any]) -> None:
    ip = change.pop("ip", "10.96.0.10")
    table = table_of(service("web", ip, **change), endpoint_slice("web", member("10.0.0.2")))
    assert list(table.ports()) == []


def test_with_the_other_filter_only_labelled_services_are_proxied() -> None:
    labelled = service("web", labels={MESH_LABEL: ""})
    table = table_of(labelled, service("api", "10.96.0.11"), only_labelled=True)
    assert [port.service for port in table.ports()] == ["web"]


def test_a_service_that_wants_its_own_node_gets_it() -> None:
    table = table_of(
        service("web", internalTrafficPolicy="Local"),
        endpoint_slice("web", member("10.0.0.2", "edge1"), member("10.0.0.3", "edge2")),
    )
    assert [endpoint.node for endpoint in only(table).endpoints] == ["edge1"]


def test_affinity_lasts_as_long_as_it_says_or_three_hours() -> None:
    config = {"clientIP": {"timeoutSeconds": 60}}
    assert only(table_of(service("web", sessionAffinity="ClientIP"))).affinity_seconds == 10_800
    table = table_of(service("web", sessionAffinity="ClientIP", sessionAffinityConfig=config))
    assert only(table).affinity_seconds == 60


@pytest.mark.parametrize(
    ("balancer", "policy"),
    [
        ({"simple": "RANDOM"}, "RANDOM"),
        ({"simple": "ROUND_ROBIN"}, "ROUND_ROBIN"),
        ({"consistentHash": {"useSourceIp": True}}, "SOURCE_IP"),
        ({"consistentHash": {"httpHeaderName": "User"}}, "ROUND_ROBIN"),
        ({"simple": "LEAST_CONN"}, "ROUND_ROBIN"),
    ],
)
def test_a_rule_of_its_name_chooses_how_a_service_is_balanced(balancer: dict[str, Any], policy: str) -> None:
    rule = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"host": "web", "trafficPolicy": {"loadBalancer": balancer}},
    }
    table = table_of(service("web"))
    table.rule_changed("ADDED", None, rule)
    assert only(table).policy == policy
    table.rule_changed("DELETED", rule, rule)
    assert only(table).policy == "ROUND_ROBIN"


def test_listeners_hear_of_changes_that_matter_once_all_is_known() -> None:
    table = Table("edge1")
    calls: list[None] = []
    table.listen(lambda: calls.append(None))
    table.service_changed("ADDED", None, service("web"))
    assert calls == []
    table.synced()
    assert len(calls) == 1
    table.service_changed("MODIFIED", None, service("web", labels={"a": "b"}))
    assert len(calls) == 1
    table.service_changed("DELETED", None, service("web"))
    assert len(calls) == 2
    assert table.namespaces == {}


def test_only_endpoints_of_a_service_are_known_as_such() -> None:
    table = table_of(service("web"), endpoint_slice("web", member("10.0.0.2")))
    assert table.has_endpoint("edge1", "10.0.0.2", 80, "TCP")
    for node, ip, port, protocol in (
        ("edge2", "10.0.0.2", 80, "TCP"),
        ("edge1", "10.0.0.3", 80, "TCP"),
        ("edge1", "10.0.0.2", 22, "TCP"),
        ("edge1", "10.0.0.2", 80, "UDP"),
    ):
        assert not table.has_endpoint(node, ip, port, protocol)
