"""The walk through a packet filter: rules as the real ufw, firewalld, iptables and nft print them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.module_utils.firewall_packets import (
    Packet,
    iptables_chains,
    network_of,
    nft_tables,
)

DATA = Path(__file__).parent / "data" / "firewalls"
UFW = (DATA / "ufw.txt").read_text(encoding="utf-8")
FIREWALLD = json.loads((DATA / "firewalld.json").read_text(encoding="utf-8"))["nftables"]
TCP = {"payload": {"protocol": "tcp", "field": "dport"}}
SOURCE = {"payload": {"protocol": "ip", "field": "saddr"}}
ACCEPT = {"accept": None}
GOTO = {"goto": {"target": "side"}}


def packet(port: int, **more: Any) -> Packet:
    known = {"protocol": "tcp", "version": 4, "source": None, "address": None, "interface": "eth0", **more}
    return Packet(port=port, **known)


def match(left: dict[str, Any], right: object, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def by_iptables(*rules: str, port: int = 10000, **more: Any) -> bool:
    text = "\n".join(["-P INPUT DROP", "-N side", *rules])
    refused: bool = iptables_chains(text, "edgelab").refuses("INPUT", packet(port, **more))
    return refused


def by_nft(
    *rules: list[dict[str, Any]], port: int = 10000, items: list[Any] | None = None, **more: Any
) -> bool:
    place = {"family": "inet", "table": "t"}
    chain = {**place, "name": "in", "type": "filter", "hook": "input", "policy": "drop"}
    listed = [{"chain": chain}, *({"rule": {**place, "chain": "in", "expr": rule}} for rule in rules)]
    [(chains, bases)] = nft_tables(listed + (items or []), "edgelab").values()
    assert bases == ["in"]
    refused: bool = chains.refuses("in", packet(port, **more))
    return refused


def test_ufw_lets_in_what_was_allowed_and_nothing_else() -> None:
    chains = iptables_chains(UFW)
    assert not chains.refuses("INPUT", packet(22))
    assert chains.refuses("INPUT", packet(10000))


def test_firewalld_lets_in_what_its_zone_allows_and_nothing_else() -> None:
    [(chains, bases)] = nft_tables(FIREWALLD).values()
    assert not chains.refuses(bases[0], packet(22))
    assert chains.refuses(bases[0], packet(10000))


@pytest.mark.parametrize(
    "rule",
    [
        "-A INPUT -p tcp -m tcp --dport 9999:10001 -j ACCEPT",
        "-A INPUT -p tcp -m multiport --dports 22,10000:10004 -j ACCEPT",
        "-A INPUT -p tcp ! --dport 22 -j ACCEPT",
        "-A INPUT -i eth0 -j ACCEPT",
        "-A INPUT -i eth+ -j ACCEPT",
        "-A INPUT ! -i lo -j ACCEPT",
        "-A INPUT -s 10.0.0.0/8 -p tcp -j ACCEPT",
        "-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT",
        '-A INPUT -p tcp -m conntrack --ctstate NEW -m comment --comment "a b" -j ACCEPT',
        "-A INPUT -j side\n-A side -m addrtype --dst-type LOCAL -j ACCEPT",
        "-A INPUT -g side\n-A INPUT -j DROP\n-A side -p tcp -j ACCEPT",
        "-A INPUT -j side\n-A side -j RETURN\n-A INPUT -p tcp -j ACCEPT",
    ],
)
def test_iptables_lets_in(rule: str) -> None:
    assert not by_iptables(rule, source=network_of("10.1.2.0/24"))


@pytest.mark.parametrize(
    "rule",
    [
        "-A INPUT -p udp -m udp --dport 10000 -j ACCEPT",
        "-A INPUT -i lo -j ACCEPT",
        "-A INPUT -i docker0 -j ACCEPT",
        "-A INPUT -s 192.168.0.0/16 -j ACCEPT",
        "-A INPUT -m limit --limit 3/min -j ACCEPT",
        "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT",
        "-A INPUT -p tcp -m comment --comment edgelab -j ACCEPT",
        "-A INPUT -p tcp -j LOG --log-prefix x",
        "-A INPUT -g side\n-A INPUT -p tcp -j ACCEPT",
        "-A INPUT -p tcp -j REJECT --reject-with tcp-reset\n-A INPUT -j ACCEPT",
    ],
)
def test_iptables_refuses(rule: str) -> None:
    assert by_iptables(rule, source=network_of("10.1.2.0/24"))


SIDE: list[dict[str, Any]] = [
    {"chain": {"family": "inet", "table": "t", "name": "side"}},
    {"rule": {"family": "inet", "table": "t", "chain": "side", "expr": [match(TCP, 10000), ACCEPT]}},
    {"set": {"family": "inet", "table": "t", "name": "ports", "elem": [22, {"range": [10000, 10004]}]}},
    {"map": {"family": "inet", "table": "t", "name": "says", "elem": [[10000, ACCEPT]]}},
]


@pytest.mark.parametrize(
    "rule",
    [
        [match(TCP, 10000), ACCEPT],
        [match(TCP, {"range": [10000, 10004]}), {"counter": {"packets": 0}}, ACCEPT],
        [match(TCP, {"set": [22, {"range": [10000, 10004]}]}), ACCEPT],
        [match(TCP, "@ports"), ACCEPT],
        [match({"payload": {"protocol": "th", "field": "dport"}}, 10000), ACCEPT],
        [match(TCP, 22, "!="), ACCEPT],
        [match({"meta": {"key": "iifname"}}, "eth*"), ACCEPT],
        [match({"meta": {"key": "iif"}}, "lo", "!="), ACCEPT],
        [match({"meta": {"key": "l4proto"}}, {"set": ["tcp", "udp"]}), ACCEPT],
        [match({"ct": {"key": "state"}}, ["established", "new"], "in"), ACCEPT],
        [match(SOURCE, {"prefix": {"addr": "10.0.0.0", "len": 8}}), ACCEPT],
        [match(SOURCE, {"range": ["10.0.0.0", "10.9.9.9"]}), ACCEPT],
        [match({"payload": {"protocol": "ip", "field": "daddr"}}, "10.1.1.1"), ACCEPT],
        [{"jump": {"target": "side"}}],
        [{"vmap": {"key": TCP, "data": {"set": [[22, {"drop": None}], [10000, GOTO]]}}}],
        [{"vmap": {"key": TCP, "data": "@says"}}],
    ],
    ids=lambda rule: json.dumps(rule)[:70],
)
def test_nftables_lets_in(rule: list[dict[str, Any]]) -> None:
    mine = {"source": network_of("10.1.2.0/24"), "address": network_of("10.1.1.1")}
    assert not by_nft(rule, items=SIDE, **mine)


@pytest.mark.parametrize(
    "rule",
    [
        [match({"payload": {"protocol": "udp", "field": "dport"}}, 10000), ACCEPT],
        [match({"meta": {"key": "iifname"}}, "lo"), ACCEPT],
        [match({"meta": {"key": "mark"}}, 1), ACCEPT],
        [match({"ct": {"key": "state"}}, ["established", "related"], "in"), ACCEPT],
        [match({"payload": {"protocol": "ip6", "field": "saddr"}}, "fd00::1"), ACCEPT],
        [match({"concat": [TCP, {"meta": {"key": "mark"}}]}, 1), ACCEPT],
        [match(TCP, 10000), {"limit": {"rate": 3, "per": "minute"}}, ACCEPT],
        [{"xt": {"type": "match", "name": "tcp"}}, ACCEPT],
        [{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["established", ACCEPT]]}}}],
        [match(TCP, 10000), {"reject": {"type": "tcp reset"}}],
    ],
    ids=lambda rule: json.dumps(rule)[:70],
)
def test_nftables_refuses(rule: list[dict[str, Any]]) -> None:
    assert by_nft(rule, items=SIDE)


def test_a_chain_that_jumps_to_itself_ends() -> None:
    assert by_iptables("-A INPUT -j side\n-A side -j side")
