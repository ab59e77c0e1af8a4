"""Hosts after role host: connections through each kind of firewall, names, accounts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://edge1"]
FIREWALLS = {"cloud1": "nftables", "cloud2": "ufw", "cloud3": "firewalld", "cloud4": "iptables"}


@pytest.mark.parametrize("name", FIREWALLS)
def test_the_hub_can_be_reached_through_the_firewall(lab: Any, name: str) -> None:
    assert lab.reached(name) == lab.wanted(name)


@pytest.mark.parametrize("name", FIREWALLS)
def test_a_port_for_one_source_is_for_no_other(lab: Any, name: str) -> None:
    assert lab.reached(name, by="here") == lab.wanted(name) - {1883}


@pytest.mark.parametrize("name", FIREWALLS)
def test_the_doctor_sees_that_the_ports_are_open(lab: Any, name: str) -> None:
    assert [one["status"] for one in lab.examined(name)] == ["ok"]


@pytest.mark.parametrize("name", FIREWALLS)
def test_no_firewall_is_installed_beside_that_of_the_administrator(lab: Any, name: str) -> None:
    programs = {"ufw": "ufw", "firewalld": "firewalld"}
    there = {kind for kind, package in programs.items() if lab.host(name).package(package).is_installed}
    assert there == {FIREWALLS[name]} & set(programs)


def test_a_host_without_a_firewall_gets_none(host: Host) -> None:
    assert json.loads(host.check_output("nft --json list ruleset"))["nftables"][1:] == []
    assert not host.file("/etc/edgelab/firewall.nft").exists


def test_the_hosts_know_one_another(lab: Any, host: Host) -> None:
    for name in (*FIREWALLS, "edge2"):
        assert lab.address(name) in host.check_output(f"getent ahostsv4 {name}")


def test_the_host_has_its_new_name(lab: Any, host: Host) -> None:
    assert host.check_output("hostname") == "board"
    assert lab.host("edge2").check_output("hostname") == "edge2"


@pytest.mark.parametrize("name", ["edge1", "edge2"])
@pytest.mark.parametrize("asked", ["web.default.svc.cluster.local", "web"])
def test_names_of_services_are_resolved_at_the_edge(lab: Any, name: str, asked: str) -> None:
    assert lab.host(name).check_output(f"getent ahostsv4 {asked}").split()[0] == "192.0.2.7"


def test_the_name_servers_of_other_hosts_were_not_touched(lab: Any) -> None:
    assert "edgelab" not in lab.host("cloud1").file("/etc/resolv.conf").content_string
    assert "edgelab" not in lab.host("cloud1").file("/etc/nsswitch.conf").content_string


def test_packets_are_forwarded(host: Host) -> None:
    assert host.sysctl("net.ipv4.ip_forward") == 1


def test_the_keeper_may_log_in_by_key_and_not_by_password(host: Host) -> None:
    keeper = host.user("keeper")
    assert "adm" in keeper.groups
    assert keeper.password == "*"
    keys = host.file("/home/keeper/.ssh/authorized_keys")
    assert (keys.user, keys.mode, keys.content_string.count("\n")) == ("keeper", 0o600, 1)


def test_the_keeper_may_do_as_root_what_was_said_and_nothing_else(host: Host) -> None:
    assert host.check_output("su keeper --command 'sudo --non-interactive /usr/bin/id --user'") == "0"
    assert host.run("su keeper --command 'sudo --non-interactive /usr/bin/true'").failed
