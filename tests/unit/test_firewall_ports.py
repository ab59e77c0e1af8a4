"""Module firewall_ports: its words for each firewall, against programs that answer like them.

The real ones meet it in the scenario of role host; data/firewalls holds what they printed there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.module_utils import firewall_tables
from ansible_collections.edgelab.kubeedge.plugins.modules import firewall_ports

from tests.unit.module_harness import run

ZONES = (Path(__file__).parent / "data" / "firewalls" / "zones.txt").read_text(encoding="utf-8")

HUB: dict[str, Any] = {"ports": "10000-10004"}
LOGS: dict[str, Any] = {"ports": "10350", "source": "192.168.56.10"}
CHAIN = {"family": "inet", "table": "filter", "name": "input", "handle": 1, "hook": "input", "type": "filter"}


class Machine:
    """A host on which programs answer what the test says, and which remembers what was asked of them."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.calls: list[str] = []

    def run(self, argv: list[str], handle_exceptions: bool = True) -> tuple[int, str, str]:
        line = " ".join(argv)
        if line in self.answers:
            return 0, self.answers[line], ""
        if argv[0] not in {known.split()[0] for known in self.answers}:
            assert not handle_exceptions, f"the real one would end the module here: {argv[0]} is missing"
            raise FileNotFoundError(argv[0])
        self.calls.append(line)
        return 0, "", ""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    host = Machine()
    monkeypatch.setattr(firewall_ports.AnsibleModule, "run_command", host.run)
    monkeypatch.setattr(firewall_tables, "NFT_FILE", tmp_path / "firewall.nft")
    monkeypatch.setattr(firewall_tables, "NFT_DROP_IN", tmp_path / "service.d" / "edgelab.conf")
    files = {program: tmp_path / program for program in firewall_tables.IPTABLES_FILES}
    monkeypatch.setattr(firewall_tables, "IPTABLES_FILES", files)
    return host


def ufw(machine: Machine, *added: str) -> None:
    lines = "\n".join(["Added user rules (see 'ufw status' for running firewall):", *added])
    machine.answers |= {"ufw status": "Status: active\n", "ufw show added": lines}


def nft(machine: Machine, policy: str = "drop", *rules: dict[str, Any]) -> None:
    items = [{"metainfo": {}}, {"chain": {**CHAIN, "policy": policy}}]
    items += [
        {"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": n + 2, **rule}}
        for n, rule in enumerate(rules)
    ]
    machine.answers |= {"nft --json list ruleset": json.dumps({"nftables": items}), "systemctl": ""}


def own(first: int, last: int) -> dict[str, Any]:
    left = {"payload": {"protocol": "tcp", "field": "dport"}}
    match = {"match": {"op": "==", "left": left, "right": {"range": [first, last]}}}
    return {"comment": "edgelab", "expr": [match, {"accept": None}]}


def iptables(machine: Machine, *rules: str, policy: str = "DROP") -> None:
    lines = [f"-P INPUT {policy}", *(f"-A INPUT {rule}" for rule in rules)]
    machine.answers |= {"iptables -w 10 -S": "\n".join(lines), "systemctl": ""}


def zones(*rules: str) -> str:
    """firewall-cmd's list with rich rules in zone public, which is the default one."""
    before, public, after = ZONES.partition("\npublic\n")
    head, rich, tail = after.partition("  rich rules: \n")
    assert public
    return before + public + head + rich + "".join(f"\t{rule}\n" for rule in rules) + tail


def firewalld(machine: Machine, now: tuple[str, ...], kept: tuple[str, ...]) -> None:
    machine.answers = {
        "firewall-cmd --state": "running\n",
        "firewall-cmd --get-default-zone": "public\n",
        "firewall-cmd --list-all-zones": zones(*now),
        "firewall-cmd --permanent --list-all-zones": zones(*kept),
    }


def test_a_host_without_a_firewall_is_left_alone(machine: Machine) -> None:
    answer = run(firewall_ports, rules=[HUB])
    assert (answer["changed"], answer["firewalls"], machine.calls) == (False, [], [])


def test_ufw_is_told_once(machine: Machine) -> None:
    ufw(machine, "ufw allow 22/tcp", "ufw allow 10000:10004/tcp comment 'edgelab'")
    assert run(firewall_ports, rules=[HUB, LOGS])["opened"] == [
        "allow from 192.168.56.10 to any port 10350 proto tcp"
    ]
    assert machine.calls == ["ufw allow from 192.168.56.10 to any port 10350 proto tcp comment edgelab"]


def test_ufw_closes_what_was_opened_and_nothing_else(machine: Machine) -> None:
    ufw(machine, "ufw allow 22/tcp", "ufw allow 10000:10004/tcp comment 'edgelab'")
    assert run(firewall_ports, rules=[])["changed"]
    assert machine.calls == ["ufw --force delete allow 10000:10004/tcp"]


@pytest.mark.parametrize("verdict", ["allow", "limit", "deny"])
def test_a_rule_of_the_administrator_that_ours_would_replace_stays(machine: Machine, verdict: str) -> None:
    ufw(machine, f"ufw {verdict} 10000:10004/tcp comment 'mine'")
    assert not run(firewall_ports, rules=[HUB])["changed"]
    assert not run(firewall_ports, rules=[])["changed"]


def test_an_inactive_ufw_is_no_firewall(machine: Machine) -> None:
    machine.answers = {"ufw status": "Status: inactive\n"}
    assert run(firewall_ports, rules=[HUB])["firewalls"] == []


def test_firewalld_is_told_for_now_and_for_ever(machine: Machine) -> None:
    rule = 'rule priority="-10064" port port="10000-10004" protocol="tcp" accept'
    firewalld(machine, ('rule family="ipv4" port port="9" protocol="tcp" accept',), ())
    assert run(firewall_ports, rules=[HUB])["opened"] == [f"public: {rule}"]
    assert machine.calls == [
        f"firewall-cmd --permanent --zone=public --add-rich-rule={rule}",
        f"firewall-cmd --zone=public --add-rich-rule={rule}",
    ]
    firewalld(machine, (rule,), (rule,))
    assert not run(firewall_ports, rules=[HUB])["changed"]
    firewalld(machine, (rule,), ())
    assert run(firewall_ports, rules=[HUB])["changed"]


def test_nftables_with_a_drop_policy_gets_rules_that_outlive_a_reboot(machine: Machine) -> None:
    nft(machine)
    assert run(firewall_ports, rules=[HUB])["opened"] == ["inet filter input tcp dport 10000-10004"]
    insert = "insert rule inet filter input tcp dport 10000-10004 accept comment edgelab"
    assert f"nft {insert}" in machine.calls
    assert firewall_tables.NFT_FILE.read_text() == f"{insert}\n"
    assert "nft -f /etc/edgelab/firewall.nft" in firewall_tables.NFT_DROP_IN.read_text()
    nft(machine, "drop", own(10000, 10004))
    assert not run(firewall_ports, rules=[HUB])["changed"]


def test_nftables_closes_by_handle_and_takes_its_files_away(machine: Machine) -> None:
    nft(machine)
    run(firewall_ports, rules=[HUB])
    nft(machine, "drop", {"expr": [{"counter": {}}]}, own(10000, 10004))
    machine.calls.clear()
    assert run(firewall_ports, rules=[])["closed"] == ["inet filter input tcp dport 10000-10004"]
    assert "nft delete rule inet filter input handle 3" in machine.calls
    assert not firewall_tables.NFT_FILE.exists()
    assert not firewall_tables.NFT_DROP_IN.exists()


def test_a_port_that_the_administrator_opened_gets_no_rule_of_ours(machine: Machine) -> None:
    theirs = {**own(9000, 20000), "comment": "mine"}
    nft(machine, "drop", theirs)
    assert run(firewall_ports, rules=[HUB])["firewalls"] == []
    nft(machine, "drop", theirs, own(10000, 10004))
    assert run(firewall_ports, rules=[HUB])["closed"] == ["inet filter input tcp dport 10000-10004"]


def test_a_last_rule_that_drops_everything_is_a_drop_policy(machine: Machine) -> None:
    nft(machine, "accept", {"expr": [{"counter": {}}, {"drop": None}]})
    assert run(firewall_ports, rules=[HUB])["firewalls"] == ["nftables"]
    nft(machine, "accept", {"expr": [{"counter": {}}, {"accept": None}]})
    assert run(firewall_ports, rules=[HUB])["opened"] == []


def test_iptables_gets_its_rule_now_and_in_the_file_of_the_next_boot(machine: Machine) -> None:
    saved = firewall_tables.IPTABLES_FILES["iptables"]
    saved.write_text("*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n*nat\nCOMMIT\n")
    iptables(machine, "-i lo -j ACCEPT")
    rule = "-p tcp -m tcp --dport 10000:10004 -m comment --comment edgelab -j ACCEPT"
    assert run(firewall_ports, rules=[HUB])["opened"] == [f"iptables {rule}"]
    assert f"iptables -w 10 -I INPUT {rule}" in machine.calls
    assert saved.read_text().splitlines()[2:4] == [f"-A INPUT {rule}", "-A INPUT -i lo -j ACCEPT"]
    assert saved.read_text().count(rule) == 1
    iptables(machine, rule, "-i lo -j ACCEPT")
    assert not run(firewall_ports, rules=[HUB])["changed"]
    assert run(firewall_ports, rules=[])["closed"] == [f"iptables {rule}"]
    assert f"iptables -w 10 -D INPUT {rule}" in machine.calls
    assert "edgelab" not in saved.read_text()


def test_iptables_that_lets_everything_in_is_no_firewall(machine: Machine) -> None:
    iptables(machine, "-p tcp -m tcp --dport 23 -j DROP", policy="ACCEPT")
    assert run(firewall_ports, rules=[HUB])["firewalls"] == []


def test_a_table_that_nftables_loaded_is_not_given_to_iptables(machine: Machine) -> None:
    nft(machine)
    listed = machine.answers["nft --json list ruleset"]
    machine.answers["nft --json list ruleset"] = listed.replace("inet", "ip")
    iptables(machine)
    assert run(firewall_ports, rules=[HUB])["firewalls"] == ["iptables"]
    machine.answers["systemctl is-active nftables.service"] = "active\n"
    assert run(firewall_ports, rules=[HUB])["firewalls"] == ["nftables"]


def test_check_mode_tells_and_does_nothing(machine: Machine) -> None:
    nft(machine)
    answer = run(firewall_ports, rules=[HUB], _ansible_check_mode=True, _ansible_diff=True)
    assert answer["changed"]
    assert answer["diff"]["after"] == "inet filter input tcp dport 10000-10004\n"
    assert not [call for call in machine.calls if "is-active" not in call]
    assert not firewall_tables.NFT_FILE.exists()


@pytest.mark.parametrize(
    "rule", [{"ports": "0"}, {"ports": "5-3"}, {"ports": "x"}, {**HUB, "source": "nowhere"}]
)
def test_what_is_no_rule_is_refused_by_its_words(machine: Machine, rule: dict[str, Any]) -> None:
    answer = run(firewall_ports, rules=[rule])
    assert answer["failed"]
    assert repr(rule.get("source") or rule["ports"]) in answer["msg"]
