"""Role raspberry_pi: what its templates write for each network manager, and how it reads a kernel."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

ROLE = Path(__file__).parents[2] / "roles" / "raspberry_pi"
VARIABLES: dict[str, Any] = {
    "ansible_managed": "managed",
    "raspberry_pi_interface": "eth0",
    "raspberry_pi_address": "192.168.1.20/24",
    "raspberry_pi_gateway": "192.168.1.1",
    "raspberry_pi_name_servers": ["192.168.1.1", "9.9.9.9"],
}
V1 = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t3\t70\t1\nmemory\t5\t70\t{}\npids\t6\t70\t1\n"


def rendered(template: str, **variables: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROLE / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render({**VARIABLES, **variables})


def ini(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def memory_pattern() -> str:
    variables = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))
    pattern: str = variables["_raspberry_pi_memory_pattern"]
    return pattern


def test_networkmanager_gets_a_profile() -> None:
    profile = ini(rendered("nmconnection.j2"))
    assert dict(profile["ipv4"]) == {
        "method": "manual",
        "address1": "192.168.1.20/24,192.168.1.1",
        "dns": "192.168.1.1;9.9.9.9;",
    }
    assert profile["connection"]["interface-name"] == "eth0"


def test_netplan_gets_a_file_that_switches_dhcp_off() -> None:
    device = yaml.safe_load(rendered("netplan.yaml.j2"))["network"]["ethernets"]["eth0"]
    assert device == {
        "dhcp4": False,
        "addresses": ["192.168.1.20/24"],
        "routes": [{"to": "default", "via": "192.168.1.1"}],
        "nameservers": {"addresses": ["192.168.1.1", "9.9.9.9"]},
    }


def test_networkd_gets_a_file_for_the_one_interface() -> None:
    text = rendered("networkd.network.j2")
    assert ini(text)["Match"]["Name"] == "eth0"
    assert re.findall(r"^DNS=(.+)$", text, re.MULTILINE) == ["192.168.1.1", "9.9.9.9"]
    assert ini(text)["Network"]["Address"] == "192.168.1.20/24"


def test_dhcpcd_gets_a_block() -> None:
    assert rendered("dhcpcd.conf.j2").splitlines() == [
        "interface eth0",
        "static ip_address=192.168.1.20/24",
        "static routers=192.168.1.1",
        "static domain_name_servers=192.168.1.1 9.9.9.9",
    ]


@pytest.mark.parametrize("template", sorted(p.name for p in (ROLE / "templates").iterdir()))
def test_name_servers_may_be_left_to_the_host(template: str) -> None:
    assert "dns" not in rendered(template, raspberry_pi_name_servers=[]).lower()
    assert "nameserver" not in rendered(template, raspberry_pi_name_servers=[])


@pytest.mark.parametrize("name", ["networkmanager", "netplan"])
def test_files_that_may_carry_secrets_are_for_root_only(name: str) -> None:
    variables = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))
    assert variables["_raspberry_pi_network_files"][name]["mode"] == "0600"


@pytest.mark.parametrize(
    ("controllers", "there"),
    [
        (V1.format(1), True),
        (V1.format(0), False),
        ("cpuset cpu io memory hugetlb pids rdma misc\n", True),
        ("cpuset cpu io hugetlb pids\n", False),
        (V1.format(0) + "cpuset cpu memory pids\n", True),
        ("", False),
    ],
)
def test_the_memory_controller_is_seen_in_both_versions_of_cgroups(controllers: str, there: bool) -> None:
    assert bool(re.search(memory_pattern(), controllers)) is there
