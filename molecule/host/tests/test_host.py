"""Hosts after role host: each kind of firewall opened, over a reboot, and closed again; names; accounts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

testinfra_hosts = ["ansible://edge1"]
CHECKOUT = Path(__file__).resolve().parents[3]
FIREWALLS = {"cloud1": "nftables", "cloud2": "ufw", "cloud3": "firewalld", "cloud4": "iptables"}
ADMINISTRATORS = 10002
OPEN = {10000, ADMINISTRATORS, 10004, 1883}
CLOSED = {9999, 10005}
NODE_PORTS = {30000, 30004}
DEPLOYMENT = ("cloud1", "cloud2")
PROBE = """
import concurrent.futures, json, socket, sys
def answers(port):
    try:
        socket.create_connection((sys.argv[1], port), timeout=2).close()
    except OSError:
        return False
    return True
ports = [int(port) for port in sys.argv[2:]]
with concurrent.futures.ThreadPoolExecutor() as pool:
    print(json.dumps([port for port, open in zip(ports, pool.map(answers, ports)) if open]))
"""
PLAY = """
- hosts: cloud
  gather_facts: false
  tasks:
    - ansible.builtin.reboot:
- hosts: all
  gather_facts: false
  tasks:
    # Role reset looks whether the cluster's ports are free.
    - ansible.builtin.systemd_service: {{name: listeners.service, state: stopped}}
      when: inventory_hostname in groups['cloud'] and {reset}
    - ansible.builtin.import_role: {{name: edgelab.kubeedge.reset}}
      vars: {{edgelab_reset_confirm: "yes"}}
      when: {reset}
    - ansible.builtin.systemd_service: {{name: listeners.service, state: started}}
      when: inventory_hostname in groups['cloud']
"""


def inventory() -> str:
    return str(Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent)


def named(name: str) -> Host:
    return testinfra.get_host(f"ansible://{name}", ansible_inventory=inventory())


def address(name: str) -> str:
    found: str = named(name).ansible.get_variables()["edgelab_node_ip"]
    return found


def opened(name: str, *, by: str = "edge1") -> set[int]:
    """Ports of a host at which another one, or this machine, gets a connection."""
    words = [address(name), *map(str, sorted(OPEN | CLOSED | NODE_PORTS))]
    if by == "here":
        done = subprocess.run(
            [sys.executable, "-c", PROBE, *words], capture_output=True, text=True, check=True
        )
        return set(json.loads(done.stdout))
    quoted = PROBE.replace("'", "'\"'\"'")
    return set(json.loads(named(by).check_output(f"python3 -c '{quoted}' {' '.join(words)}")))


def expected(name: str) -> set[int]:
    return OPEN | (NODE_PORTS if name in DEPLOYMENT else set())


@pytest.mark.parametrize("name", FIREWALLS)
def test_the_hub_can_be_reached_through_the_firewall(name: str) -> None:
    assert opened(name) == expected(name)


@pytest.mark.parametrize("name", FIREWALLS)
def test_a_port_for_one_source_is_for_no_other(name: str) -> None:
    assert opened(name, by="here") == expected(name) - {1883}


@pytest.mark.parametrize("name", FIREWALLS)
def test_no_firewall_is_installed_beside_that_of_the_administrator(name: str) -> None:
    programs = {"ufw": "ufw", "firewalld": "firewalld"}
    there = {kind for kind, package in programs.items() if named(name).package(package).is_installed}
    assert there == {FIREWALLS[name]} & set(programs)


def test_a_host_without_a_firewall_gets_none(host: Host) -> None:
    assert json.loads(host.check_output("nft --json list ruleset"))["nftables"][1:] == []
    assert not host.file("/etc/edgelab/firewall.nft").exists


def test_the_hosts_know_one_another(host: Host) -> None:
    for name in (*FIREWALLS, "edge2"):
        assert address(name) in host.check_output(f"getent ahostsv4 {name}")


def test_the_host_has_its_new_name(host: Host) -> None:
    assert host.check_output("hostname") == "board"
    assert named("edge2").check_output("hostname") == "edge2"


@pytest.mark.parametrize("name", ["edge1", "edge2"])
@pytest.mark.parametrize("asked", ["web.default.svc.cluster.local", "web"])
def test_names_of_services_are_resolved_at_the_edge(name: str, asked: str) -> None:
    assert named(name).check_output(f"getent ahostsv4 {asked}").split()[0] == "192.0.2.7"


def test_the_name_servers_of_other_hosts_were_not_touched() -> None:
    assert "edgelab" not in named("cloud1").file("/etc/resolv.conf").content_string
    assert "edgelab" not in named("cloud1").file("/etc/nsswitch.conf").content_string


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


def play(folder: Path, *, reset: bool) -> None:
    playbook = folder / "play.yml"
    playbook.write_text(PLAY.format(reset=str(reset).lower()), encoding="utf-8")
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [str(program), "-i", inventory(), str(playbook)],
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
    )
    assert done.returncode == 0, done.stdout


class TestAfterAReboot:
    """What the next boot brings."""

    @pytest.fixture(scope="class", autouse=True)
    def rebooted(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        play(tmp_path_factory.mktemp("reboot"), reset=False)

    @pytest.mark.parametrize("name", FIREWALLS)
    def test_the_hub_can_be_reached_still(self, name: str) -> None:
        assert opened(name) == expected(name)

    def test_nftables_lets_it_in_after_its_own_rules_were_loaded_again(self) -> None:
        named("cloud1").check_output("systemctl reload nftables.service")
        assert opened("cloud1") == expected("cloud1")

    def test_firewalld_does_too(self) -> None:
        named("cloud3").check_output("firewall-cmd --reload")
        assert opened("cloud3") == expected("cloud3")


class TestAfterAReset:
    """What role reset takes back. The hosts cannot be told from what they were."""

    @pytest.fixture(scope="class", autouse=True)
    def reset(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        play(tmp_path_factory.mktemp("reset"), reset=True)

    @pytest.mark.parametrize("name", FIREWALLS)
    def test_what_was_opened_is_closed_and_nothing_else(self, name: str) -> None:
        theirs = {"cloud2": {ADMINISTRATORS, *NODE_PORTS}}
        assert opened(name) == theirs.get(name, {ADMINISTRATORS})

    def test_nftables_has_its_files_no_more(self) -> None:
        assert named("cloud1").run("ls /etc/systemd/system/nftables.service.d/edgelab.conf").failed

    @pytest.mark.parametrize("name", ["edge1", "edge2"])
    def test_services_are_not_resolved_any_more(self, name: str) -> None:
        assert named(name).run("getent ahostsv4 web.default.svc.cluster.local").failed

    @pytest.mark.parametrize("path", ["/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"])
    def test_no_file_names_us(self, host: Host, path: str) -> None:
        assert "edgelab" not in host.file(path).content_string

    def test_the_order_of_sources_is_the_administrators(self, host: Host) -> None:
        lines = host.file("/etc/nsswitch.conf").content_string.splitlines()
        assert len([line for line in lines if line.startswith("hosts:")]) == 1

    def test_kernel_parameters_are_what_they_were(self, host: Host) -> None:
        assert host.sysctl("net.ipv4.ip_forward") == 0
        assert not host.file("/etc/sysctl.d/60-edgelab.conf").exists

    def test_the_keeper_can_still_get_in(self, host: Host) -> None:
        assert host.user("keeper").exists
