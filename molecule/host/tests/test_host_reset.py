"""What role reset takes back of role host. The whole reset has a scenario of its own."""

from __future__ import annotations

from typing import Any

import pytest

FIREWALLS = {
    "cloud1": "nft insert rule inet filter input tcp dport 10000 accept",
    "cloud2": "ufw allow 10000/tcp",
    "cloud3": "firewall-cmd --permanent --add-port=10000/tcp",
    "cloud4": "iptables -I INPUT -p tcp --dport 10000 -j ACCEPT",
}
"""The command that the doctor advises."""
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: edgelab.kubeedge.reset}
      vars: {edgelab_reset_confirm: "yes"}
"""
THEIRS = {"cloud2": {10002, 30000, 30004}}
"""What administrators had opened before; on all others it is the one port."""


@pytest.fixture(scope="module", autouse=True)
def reset(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    lab.play(tmp_path_factory.mktemp("reset"), PLAY, "--tags=reset_host")


@pytest.mark.parametrize("name", FIREWALLS)
def test_what_was_opened_is_closed_and_nothing_else(lab: Any, name: str) -> None:
    assert lab.reached(name) == THEIRS.get(name, {10002})


@pytest.mark.parametrize("name", FIREWALLS)
def test_the_doctor_names_the_port_that_is_closed_and_how_to_open_it(lab: Any, name: str) -> None:
    [one] = lab.examined(name)
    assert (one["status"], one["subject"]) == ("failed", "10000")
    assert FIREWALLS[name] in one["fix"]


def test_nftables_has_its_files_no_more(lab: Any) -> None:
    assert lab.host("cloud1").run("ls /etc/systemd/system/nftables.service.d/edgelab.conf").failed


@pytest.mark.parametrize("name", ["edge1", "edge2"])
def test_services_are_not_resolved_any_more(lab: Any, name: str) -> None:
    assert lab.host(name).run("getent ahostsv4 web.default.svc.cluster.local").failed


@pytest.mark.parametrize("path", ["/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"])
def test_no_file_names_us(lab: Any, path: str) -> None:
    assert "edgelab" not in lab.host("edge1").file(path).content_string


def test_the_order_of_sources_is_the_administrators(lab: Any) -> None:
    lines = lab.host("edge1").file("/etc/nsswitch.conf").content_string.splitlines()
    assert len([line for line in lines if line.startswith("hosts:")]) == 1


def test_kernel_parameters_are_what_they_were(lab: Any) -> None:
    assert lab.host("edge1").sysctl("net.ipv4.ip_forward") == 0
    assert not lab.host("edge1").file("/etc/sysctl.d/60-edgelab.conf").exists


def test_the_keeper_can_still_get_in(lab: Any) -> None:
    assert lab.host("edge1").user("keeper").exists
