"""Mistakes in an inventory are found, all at once, and what is right is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.filter.inventory_problems import inventory_problems

SPECS = {
    "cloudcore": "argument_specs: {main: {options: {cloudcore_mode: {}, cloudcore_hub_port: {}}}}",
    "validate": "argument_specs: {main: {options: {edgelab_node_ip: {}}}, host: {options: {validate_x: {}}}}",
    "host": "argument_specs: {main: {options: {host_swap: {}}}}",
    "python_runtime": "argument_specs: {main: {options: {python_runtime_profile: {}}}}",
    "no_options": "argument_specs: {main: {short_description: nothing}}",
}
SWITCHES = {"cloudcore_mode": ["service"]}
GROUPS = {"cloud": ["cloud"], "edge": ["edge1"]}


@pytest.fixture
def roles(tmp_path: Path) -> str:
    for name, text in SPECS.items():
        file = tmp_path / name / "meta" / "argument_specs.yml"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    return str(tmp_path)


def host(address: str, **variables: Any) -> dict[str, Any]:
    return {"edgelab_node_ip": address, "ansible_host": "127.0.0.1", **variables}


def good() -> dict[str, dict[str, Any]]:
    return {"cloud": host("10.0.0.1", cloudcore_mode="service"), "edge1": host("10.0.0.2")}


def test_a_sound_inventory_has_no_problems(roles: str) -> None:
    assert inventory_problems(good(), GROUPS, SWITCHES, roles) == []


def test_an_empty_or_missing_group_is_named(roles: str) -> None:
    problems = inventory_problems(good(), {"edge": []}, SWITCHES, roles)
    assert [line.split(" has ")[0] for line in problems] == ["group cloud", "group edge"]


def test_of_several_hosts_none_may_be_cloud_and_edge(roles: str) -> None:
    (problem,) = inventory_problems(good(), {"cloud": ["cloud"], "edge": ["cloud", "edge1"]}, SWITCHES, roles)
    assert problem.startswith("host cloud is in the groups cloud and edge")


def test_one_box_alone_may_be_cloud_and_edge(roles: str) -> None:
    groups = {"cloud": ["cloud"], "edge": ["cloud"]}
    assert inventory_problems(good(), groups, SWITCHES, roles) == []


def test_one_box_needs_the_programs_of_both_sides(roles: str) -> None:
    hosts = {"cloud": host("10.0.0.1", python_runtime_profile="edge")}
    problems = inventory_problems(hosts, {"cloud": ["cloud"], "edge": ["cloud"]}, SWITCHES, roles)
    assert ["python_runtime_profile 'edge' lacks" in line for line in problems] == [True]


@pytest.mark.parametrize(
    ("address", "words"),
    [("", "set edgelab_node_ip"), ("10.0.0", "no IP address"), ("10.0.0.1", "belongs to 2 hosts")],
)
def test_missing_malformed_and_shared_addresses_are_named(roles: str, address: str, words: str) -> None:
    hosts = {**good(), "edge1": host(address)}
    (problem,) = inventory_problems(hosts, GROUPS, SWITCHES, roles)
    assert words in problem


def test_a_value_that_a_switch_does_not_offer_is_named_with_those_it_does(roles: str) -> None:
    hosts = {**good(), "cloud": host("10.0.0.1", cloudcore_mode="deployment")}
    assert inventory_problems(hosts, GROUPS, SWITCHES, roles) == [
        "cloudcore_mode: 'deployment' is not offered; use service"
    ]


@pytest.mark.parametrize("name", ["cloudcore_hub_prot", "cloudcor_hub_port", "edgelab_node_ipp"])
def test_a_misspelt_variable_is_named_with_what_was_meant(roles: str, name: str) -> None:
    hosts = {**good(), "edge1": host("10.0.0.2", **{name: 1})}
    (problem,) = inventory_problems(hosts, GROUPS, SWITCHES, roles)
    assert problem.startswith(f"{name}: no role reads this variable; did you mean ")


def test_an_unknown_variable_of_a_role_is_named(roles: str) -> None:
    hosts = {**good(), "edge1": host("10.0.0.2", cloudcore_colour="blue")}
    (problem,) = inventory_problems(hosts, GROUPS, SWITCHES, roles)
    assert problem.startswith("cloudcore_colour: no role reads this variable; each role's README")


def test_variables_of_the_site_are_its_own_business(roles: str) -> None:
    hosts = {**good(), "edge1": host("10.0.0.2", hall="north", ntp_server="10.0.0.3", host_rack=7)}
    assert inventory_problems(hosts, GROUPS, SWITCHES, roles) == []


def test_all_problems_come_at_once(roles: str) -> None:
    hosts = {"edge1": host("", cloudcore_mode="x", cloudcore_colour="blue")}
    assert len(inventory_problems(hosts, {"edge": ["edge1"]}, SWITCHES, roles)) == 4
