"""Mistakes in an inventory are found, all at once, and what is right is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.filter.inventory_problems import inventory_problems

SPECS = {
    "cloudcore": "argument_specs: {main: {options: {cloudcore_mode: {}, cloudcore_hub_port: {}}}}",
    "cni": """
argument_specs: {main: {options: {cni_cluster_cidr: {}, cni_pod_cidr: {}, cni_mtu: {type: int}}}}
""",
    "mosquitto": "argument_specs: {main: {options: {mosquitto_port: {type: int}}}}",
    "edgecore": """
argument_specs:
  main:
    options:
      edgecore_node_name: {}
      edgecore_register_node: {type: bool}
      edgecore_node_taints: {type: list, elements: dict}
      edgecore_password: {type: int, no_log: true}
""",
    "validate": """
argument_specs:
  main:
    options: {edgelab_node_ip: {}, edgelab_control_plane: {default: edgesite}, edgelab_edge_batch: {}}
  host: {options: {validate_x: {}}}
""",
    "host": "argument_specs: {main: {options: {host_swap: {}}}}",
    "python_runtime": "argument_specs: {main: {options: {python_runtime_profile: {}}}}",
    "no_options": "argument_specs: {main: {short_description: nothing}}",
}
SWITCHES: dict[str, Any] = {"switches": {"cloudcore_mode": ["service"]}}
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
    return {
        "cloud": {**host("10.0.0.1", cloudcore_mode="service"), "ansible_host": "cloud"},
        "edge1": host("10.0.0.2"),
    }


def test_a_sound_inventory_has_no_problems(roles: str) -> None:
    assert inventory_problems(good(), GROUPS, SWITCHES, roles) == []


class Late(list[Any]):
    """A list whose content Ansible evaluates when it is read."""

    def __deepcopy__(self, memo: object) -> Any:
        raise AssertionError("a copy takes all that the template engine knows along, and seconds")


def test_what_is_evaluated_late_is_read_and_not_copied(roles: str) -> None:
    hosts = good()
    hosts["edge1"]["edgecore_node_taints"] = Late([{"key": "a"}])
    assert inventory_problems(hosts, GROUPS, SWITCHES, roles) == []
    hosts["edge1"]["edgecore_node_taints"] = Late([{"key": "a"}, 5])
    (problem,) = inventory_problems(hosts, GROUPS, SWITCHES, roles)
    assert problem.startswith("host edge1: edgecore_node_taints: ")


def test_an_empty_or_missing_group_is_named(roles: str) -> None:
    problems = inventory_problems(good(), {"edge": []}, SWITCHES, roles)
    assert [line.split(" has ")[0] for line in problems] == ["group cloud", "group edge"]


def test_of_several_hosts_none_may_be_cloud_and_edge(roles: str) -> None:
    (problem,) = inventory_problems(good(), {"cloud": ["cloud"], "edge": ["cloud", "edge1"]}, SWITCHES, roles)
    assert problem.startswith("host cloud: it is in the groups cloud and edge")


def test_one_box_alone_may_be_cloud_and_edge(roles: str) -> None:
    groups = {"cloud": ["cloud"], "edge": ["cloud"]}
    assert inventory_problems(good(), groups, SWITCHES, roles) == []


def test_one_box_has_no_kubelet_beside_edgecore(roles: str) -> None:
    hosts = {"cloud": host("10.0.0.1", edgelab_control_plane="kubeadm")}
    (problem,) = inventory_problems(hosts, {"cloud": ["cloud"], "edge": ["cloud"]}, SWITCHES, roles)
    assert problem.startswith("host cloud: edgelab_control_plane kubeadm brings a kubelet")
    assert problem.endswith("set edgelab_control_plane: edgesite")


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
    hosts = {**good(), "cloud": {**good()["cloud"], "cloudcore_mode": "deployment"}}
    assert inventory_problems(hosts, GROUPS, SWITCHES, roles) == [
        "host cloud: cloudcore_mode: 'deployment' is not offered; use service"
    ]


@pytest.mark.parametrize("name", ["cloudcore_hub_prot", "cloudcor_hub_port", "edgelab_node_ipp"])
def test_a_misspelt_variable_is_named_with_what_was_meant(roles: str, name: str) -> None:
    hosts = {**good(), "edge1": host("10.0.0.2", **{name: 1})}
    (problem,) = inventory_problems(hosts, GROUPS, SWITCHES, roles)
    assert problem.startswith(f"host edge1: {name}: no role reads this variable; did you mean ")


@pytest.mark.parametrize(
    "name", ["__artifacts_exclusive", "artifacts_hosts_done", "upgrade_failure", "grafana_url"]
)
def test_what_roles_leave_behind_in_the_same_run_is_no_mistake(roles: str, name: str) -> None:
    hosts = {**good(), "edge1": host("10.0.0.2", **{name: True})}
    assert inventory_problems(hosts, GROUPS, SWITCHES, roles) == []


def test_an_unknown_variable_of_a_role_is_named(roles: str) -> None:
    hosts = {**good(), "edge1": host("10.0.0.2", cloudcore_colour="blue")}
    (problem,) = inventory_problems(hosts, GROUPS, SWITCHES, roles)
    assert problem.startswith("host edge1: cloudcore_colour: no role reads this variable; each role's README")


def test_variables_of_the_site_are_its_own_business(roles: str) -> None:
    hosts = {**good(), "edge1": host("10.0.0.2", hall="north", ntp_server="10.0.0.3", host_rack=7)}
    assert inventory_problems(hosts, GROUPS, SWITCHES, roles) == []


def test_all_problems_come_at_once(roles: str) -> None:
    hosts = {"edge1": host("", cloudcore_mode="x", cloudcore_colour="blue")}
    assert len(inventory_problems(hosts, {"edge": ["edge1"]}, SWITCHES, roles)) == 4


def edges(count: int, **variables: Any) -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """One cloud host, and so many edge hosts that share `variables`."""
    names = [f"edge{number}" for number in range(1, count + 1)]
    hosts = {name: host(f"10.1.{n // 250}.{n % 250 + 1}", **variables) for n, name in enumerate(names)}
    for name, entry in hosts.items():
        entry["ansible_host"] = f"{name}.example.org"
    return {"cloud": host("10.0.0.1"), **hosts}, {"cloud": ["cloud"], "edge": names}


NETWORKS: dict[str, Any] = {
    "networks": [
        {"what": "pod network", "variable": "cni_cluster_cidr", "groups": ["edge"]},
        {
            "what": "service network",
            "argument": ["edgesite_extra_arguments", "--service-cidr", "10.96.0.0/16"],
            "when": {"edgelab_control_plane": ["edgesite"]},
        },
        {"what": "Docker bridge", "variable": "docker_bip", "groups": ["edge"], "address": True},
    ]
}


def test_an_address_that_ansible_would_reach_twice_is_named(roles: str) -> None:
    hosts = {"cloud": host("10.0.0.1"), "edge1": host("10.0.0.2")}
    assert inventory_problems(hosts, GROUPS, {}, roles) == [
        "hosts cloud, edge1: ansible_host 127.0.0.1 (port 22) belongs to 2 hosts, which would be one "
        "machine: correct it, or keep one of the names"
    ]
    hosts["edge1"]["ansible_port"] = 2222
    assert inventory_problems(hosts, GROUPS, {}, roles) == []


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("Edge_One", "edge-one"),
        ("edge1.example.org", "edge1"),
        ("192.168.1.7", "192-168-1-7"),
        ("e" * 64, "e" * 63),
    ],
)
def test_a_node_name_that_is_no_dns_label_is_named_with_one_that_is(
    roles: str, name: str, example: str
) -> None:
    hosts = {**good(), "edge1": host("10.0.0.2", edgecore_node_name=name)}
    (problem,) = inventory_problems(hosts, GROUPS, SWITCHES, roles)
    assert problem.startswith(f"host edge1: its node name {name!r} is no DNS label")
    assert problem.endswith(f"set edgecore_node_name, for example to {example!r}")


def test_a_label_of_63_characters_is_a_node_name(roles: str) -> None:
    hosts = {**good(), "edge1": host("10.0.0.2", edgecore_node_name="e" * 63)}
    assert inventory_problems(hosts, GROUPS, SWITCHES, roles) == []


def test_two_nodes_with_one_name_are_named(roles: str) -> None:
    hosts, groups = edges(2, edgecore_node_name="edge")
    assert inventory_problems(hosts, groups, SWITCHES, roles) == [
        "hosts edge1, edge2: the node name 'edge' belongs to 2 hosts: set edgecore_node_name"
    ]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"cni_cluster_cidr": "10.96.0.0/12"},
            ("pod network 10.96.0.0/12 (cni_cluster_cidr)", "--service-cidr"),
        ),
        (
            {"cni_cluster_cidr": "172.17.0.0/16", "docker_bip": "172.17.0.1/16"},
            ("Docker bridge", "docker_bip"),
        ),
        ({"cni_cluster_cidr": "10.1.0.0/16"}, ("edgelab_node_ip 10.1.0.1 lies in the pod network",)),
        ({"cni_cluster_cidr": "10.244.0.0"}, ("lies outside of cni_cluster_cidr 10.244.0.0/32",)),
        ({"cni_cluster_cidr": "10.244.0.1/16"}, ("cni_cluster_cidr is '10.244.0.1/16', and no network",)),
        (
            {"cni_cluster_cidr": "10.244.0.0/16", "cni_pod_cidr": "10.9.1.0/24"},
            ("cni_pod_cidr 10.9.1.0/24 lies outside",),
        ),
    ],
)
def test_networks_that_do_not_fit_are_named(
    roles: str, variables: dict[str, Any], words: tuple[str, ...]
) -> None:
    hosts, groups = edges(1, **variables)
    problems = inventory_problems(hosts, groups, NETWORKS, roles)
    assert any(all(word in line for word in words) for line in problems), problems


def test_an_argument_moves_the_service_network(roles: str) -> None:
    hosts, groups = edges(1, cni_cluster_cidr="10.96.0.0/16")
    hosts["cloud"]["edgesite_extra_arguments"] = ["--service-cidr=10.97.0.0/16"]
    hosts["edge1"]["edgesite_extra_arguments"] = ["--service-cidr", "10.97.0.0/16"]
    lines = inventory_problems(hosts, groups, NETWORKS, roles)
    assert [line for line in lines if "overlap" in line] == []


def test_pod_ranges_of_nodes_that_overlap_are_named(roles: str) -> None:
    hosts, groups = edges(2, cni_cluster_cidr="10.244.0.0/16")
    hosts["edge2"]["cni_pod_cidr"] = "10.244.0.0/20"
    (problem,) = inventory_problems(hosts, groups, NETWORKS, roles)
    assert problem.startswith("hosts edge2, edge1: their pod ranges 10.244.0.0/20 and 10.244.1.0/24 overlap")


def test_the_256th_node_needs_a_pod_range_of_its_own(roles: str) -> None:
    hosts, groups = edges(256, cni_cluster_cidr="10.244.0.0/16")
    (problem,) = inventory_problems(hosts, groups, NETWORKS, roles)
    assert problem.startswith("host edge256: the pod range that follows from its place")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (10350, "port 10350 is wanted by EdgeCore and the broker (mosquitto_port)"),
        (0, "a port is a number from 1"),
    ],
)
def test_ports_that_clash_or_are_none_are_named(roles: str, value: int, words: str) -> None:
    rules = {
        "ports": [
            {"what": "EdgeCore", "value": 10350, "groups": ["edge"]},
            {"what": "the broker", "variable": "mosquitto_port", "groups": ["edge"]},
            {"what": "not there", "value": 10350, "groups": ["cloud"]},
        ]
    }
    hosts = {**good(), "edge1": host("10.0.0.2", mosquitto_port=value)}
    (problem,) = inventory_problems(hosts, GROUPS, rules, roles)
    assert problem.startswith("host edge1: ")
    assert words in problem


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("edgecore_register_node", "no", "write edgecore_register_node: false without quotes"),
        ("edgecore_register_node", "maybe", "is 'maybe', and must be true or false"),
        ("cni_mtu", "1400", "write cni_mtu: 1400 without quotes"),
        ("cni_mtu", "large", "is 'large', and must be a whole number"),
        ("edgecore_node_taints", [1], "edgecore_node_taints: "),
        ("edgecore_password", "secret", "edgecore_password is a value, and must be"),
    ],
)
def test_values_that_no_role_can_read_are_named(roles: str, name: str, value: Any, words: str) -> None:
    hosts = {**good(), "edge1": host("10.0.0.2", **{name: value})}
    (problem,) = inventory_problems(hosts, GROUPS, SWITCHES, roles)
    assert words in problem
    assert "secret" not in problem


def test_a_removed_variable_is_named_with_what_became_of_it(roles: str) -> None:
    hosts = {**good(), "edge1": host("10.0.0.2", cni_old=1)}
    rules = {"removed": {"cni_old": "write cni_mtu"}}
    assert inventory_problems(hosts, GROUPS, rules, roles) == [
        "host edge1: cni_old was removed: write cni_mtu"
    ]


@pytest.mark.parametrize(
    ("value", "words"), [("20%", "-e edgelab_edge_batch=20%"), ("many", "write it like 10%")]
)
def test_what_only_plays_read_belongs_on_the_command_line(roles: str, value: str, words: str) -> None:
    rules = {"command_line": {"edgelab_edge_batch": {"form": "[0-9]+%?", "example": "10%"}}}
    hosts = {**good(), "edge1": host("10.0.0.2", edgelab_edge_batch=value)}
    (problem,) = inventory_problems(hosts, GROUPS, rules, roles)
    assert words in problem


@pytest.mark.parametrize(
    ("control_plane", "count", "words"),
    [
        ("edgesite", 2, ["runs on one host"]),
        ("kubeadm", 2, ["an odd number", "set the_vip"]),
        ("kubeadm", 3, ["set the_vip"]),
        ("kubeadm", 1, []),
    ],
)
def test_several_control_planes_have_their_rules(
    roles: str, control_plane: str, count: int, words: list[str]
) -> None:
    names = [f"cloud{n}" for n in range(count)]
    hosts = {name: host(f"10.0.1.{n}", edgelab_control_plane=control_plane) for n, name in enumerate(names)}
    for name in names:
        hosts[name]["ansible_host"] = name
    groups = {"cloud": names, "edge": ["edge1"]}
    lines = inventory_problems(
        {**hosts, "edge1": host("10.0.0.2")}, groups, {"virtual_address": ["the_vip"]}, roles
    )
    assert len(lines) == len(words), lines
    assert all(word in line for word, line in zip(words, lines, strict=True))


def test_the_address_in_front_of_control_planes_is_no_hosts_own(roles: str) -> None:
    names = ["cloud0", "cloud1", "cloud2"]
    hosts = {name: host(f"10.0.1.{n}", edgelab_control_plane="kubeadm") for n, name in enumerate(names)}
    for name in names:
        hosts[name] |= {"ansible_host": name, "the_vip": "10.0.0.2"}
    rules = {"virtual_address": ["the_vip"]}
    (problem,) = inventory_problems(
        {**hosts, "edge1": host("10.0.0.2")}, {"cloud": names, "edge": ["edge1"]}, rules, roles
    )
    assert problem == "host edge1: the_vip 10.0.0.2 is its own address: choose one that no host has"


@pytest.mark.parametrize(
    ("cluster", "lines"), [("10.244.0.0/16", 0), ("10.243.0.0/16", 0), ("10.240.0.0/12", 1)]
)
def test_networks_of_one_kin_may_be_the_same(roles: str, cluster: str, lines: int) -> None:
    rules = {
        "networks": [
            {"what": "edge's", "variable": "cni_cluster_cidr", "groups": ["edge"], "kin": "pods"},
            {"what": "cluster's", "value": cluster, "groups": ["cloud"], "kin": "pods"},
        ]
    }
    hosts, groups = edges(1, cni_cluster_cidr="10.244.0.0/16")
    assert len(inventory_problems(hosts, groups, rules, roles)) == lines


def test_what_is_wrong_with_many_hosts_is_one_line(roles: str) -> None:
    hosts, groups = edges(9, cni_mtu="1400")
    (problem,) = inventory_problems(hosts, groups, SWITCHES, roles)
    assert problem.startswith("hosts edge1, edge2, edge3, edge4 and 5 more: cni_mtu is the text")


def test_results_of_roles_are_no_misspelt_variables(roles: str) -> None:
    hosts = {**good(), "edge1": host("10.0.0.2", edgecore_result={}, cni_facts={})}
    assert inventory_problems(hosts, GROUPS, SWITCHES, roles) == []
