"""Module firewall_ports: its words for each firewall, against programs that answer like them.

The real ones meet it in the scenario of role host.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.modules import firewall_ports

from tests.unit.module_harness import run

HUB: dict[str, Any] = {"ports": "10000-10004"}
LOGS: dict[str, Any] = {"ports": "10350", "source": "192.168.56.10"}
CHAIN = {"family": "inet", "table": "filter", "name": "input", "handle": 1, "hook": "input", "prio": 0}


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
    monkeypatch.setattr(firewall_ports, "NFT_FILE", tmp_path / "firewall.nft")
    monkeypatch.setattr(firewall_ports, "NFT_DROP_IN", tmp_path / "service.d" / "edgelab.conf")
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


def test_a_host_without_a_firewall_is_left_alone(machine: Machine) -> None:
    answer = run(firewall_ports, rules=[HUB])
    assert (answer["changed"], answer["firewall"], machine.calls) == (False, "none", [])


def test_ufw_is_told_once(machine: Machine) -> None:
    ufw(machine, "ufw allow 22/tcp", "ufw allow 10000:10004/tcp comment 'edgelab'")
    assert run(firewall_ports, rules=[HUB, LOGS])["opened"] == [
        "allow from 192.168.56.10 to any port 10350 proto tcp comment 'edgelab'"
    ]
    assert machine.calls == ["ufw allow from 192.168.56.10 to any port 10350 proto tcp comment edgelab"]


def test_ufw_closes_what_was_opened_and_nothing_else(machine: Machine) -> None:
    ufw(machine, "ufw allow 22/tcp", "ufw allow 10000:10004/tcp comment 'edgelab'")
    assert run(firewall_ports, rules=[])["changed"]
    assert machine.calls == ["ufw --force delete allow 10000:10004/tcp"]


def test_an_inactive_ufw_is_no_firewall(machine: Machine) -> None:
    machine.answers = {"ufw status": "Status: inactive\n"}
    assert run(firewall_ports, rules=[HUB])["firewall"] == "none"


def test_firewalld_is_told_for_now_and_for_ever(machine: Machine) -> None:
    machine.answers = {
        "firewall-cmd --state": "running\n",
        "firewall-cmd --list-rich-rules": 'rule family="ipv4" port port="9" protocol="tcp" accept\n',
        "firewall-cmd --permanent --list-rich-rules": "",
    }
    rule = 'rule priority="-10064" port port="10000-10004" protocol="tcp" accept'
    assert run(firewall_ports, rules=[HUB])["opened"] == [rule]
    assert machine.calls == [
        f"firewall-cmd --permanent --add-rich-rule={rule}",
        f"firewall-cmd --add-rich-rule={rule}",
    ]
    machine.answers["firewall-cmd --list-rich-rules"] += f"{rule}\n"
    machine.answers["firewall-cmd --permanent --list-rich-rules"] = f"{rule}\n"
    assert not run(firewall_ports, rules=[HUB])["changed"]


def test_nftables_with_a_drop_policy_gets_rules_that_outlive_a_reboot(machine: Machine) -> None:
    nft(machine)
    assert run(firewall_ports, rules=[HUB])["opened"] == ["inet filter input tcp dport 10000-10004"]
    insert = "insert rule inet filter input tcp dport 10000-10004 accept comment edgelab"
    assert machine.calls[0] == f"nft {insert}"
    assert firewall_ports.NFT_FILE.read_text() == f"{insert}\n"
    assert str(firewall_ports.NFT_DROP_IN.parent.parent) in str(firewall_ports.NFT_FILE)
    nft(machine, "drop", own(10000, 10004))
    assert not run(firewall_ports, rules=[HUB])["changed"]


def test_nftables_closes_by_handle_and_takes_its_files_away(machine: Machine) -> None:
    nft(machine)
    run(firewall_ports, rules=[HUB])
    nft(machine, "drop", {"expr": [{"accept": None}]}, own(10000, 10004))
    machine.calls.clear()
    assert run(firewall_ports, rules=[])["closed"] == ["inet filter input tcp dport 10000-10004"]
    assert machine.calls[0] == "nft delete rule inet filter input handle 3"
    assert not firewall_ports.NFT_FILE.exists()


def test_a_last_rule_that_drops_everything_is_a_drop_policy(machine: Machine) -> None:
    nft(machine, "accept", {"expr": [{"drop": None}]})
    assert run(firewall_ports, rules=[HUB])["firewall"] == "nftables"
    nft(machine, "accept", {"expr": [{"counter": {}}, {"accept": None}]})
    firewall_ports.NFT_FILE.unlink()
    assert run(firewall_ports, rules=[HUB])["firewall"] == "none"


def test_check_mode_tells_and_does_nothing(machine: Machine) -> None:
    nft(machine)
    answer = run(firewall_ports, rules=[HUB], _ansible_check_mode=True, _ansible_diff=True)
    assert answer["changed"]
    assert answer["diff"]["after"] == "inet filter input tcp dport 10000-10004\n"
    assert machine.calls == []
    assert not firewall_ports.NFT_FILE.exists()


@pytest.mark.parametrize(
    "rule", [{"ports": "0"}, {"ports": "5-3"}, {"ports": "x"}, {**HUB, "source": "nowhere"}]
)
def test_what_is_no_rule_is_refused_by_its_words(machine: Machine, rule: dict[str, Any]) -> None:
    answer = run(firewall_ports, rules=[rule])
    assert answer["failed"]
    assert repr(rule.get("source") or rule["ports"]) in answer["msg"]
