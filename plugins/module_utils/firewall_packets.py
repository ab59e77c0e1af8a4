# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a packet that opens a connection ends in a packet filter: walks the chains as the kernel would.

A condition that cannot be decided from the rules alone (a rate, a mark, an unknown address) is taken as not
met: such a rule is for some packets only, and says nothing about the port.
"""

from __future__ import annotations

import ipaddress
import shlex
from collections import namedtuple

ACCEPT, DROP = "accept", "drop"
NEW = "new"
MOST_JUMPS = 16
"""The kernel's own limit on nested chains."""

Packet = namedtuple("Packet", "protocol port version source address interface")
"""The first packet of a connection. Source (a network) and own address may be None."""

Rule = namedtuple("Rule", "matches verdict target own")
"""A function of a packet, what the rule says (accept, drop, jump, goto, return or None), where it jumps."""


class Chains:
    """The chains of one table, by name."""

    def __init__(self, chains, policies):
        self._chains = chains
        self._policies = policies

    def refuses(self, name, packet):
        """Whether a base chain drops the packet, without the rules that are this collection's own."""
        return (self._walk(name, packet, 0) or self._policies.get(name, ACCEPT)) == DROP

    def _walk(self, name, packet, depth):
        for rule in self._chains.get(name, ()) if depth < MOST_JUMPS else ():
            if rule.own:
                continue
            verdict, target = rule.verdict, rule.target
            if not rule.matches(packet):
                continue
            if callable(verdict):
                verdict, target = verdict(packet)
            if verdict in (ACCEPT, DROP):
                return verdict
            if verdict == "return":
                return None
            if verdict in ("jump", "goto"):
                found = self._walk(target, packet, depth + 1)
                if found or verdict == "goto":
                    return found
        return None


def network_of(text):
    """A network, or None when the text is none."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _inside(inner, outer):
    return None not in (inner, outer) and inner.version == outer.version and inner.subnet_of(outer)


# iptables: what `iptables -S` prints.

TEXTS = ("-m", "--reject-with", "--log-prefix", "--log-level")
"""Options that decide nothing."""


def iptables_chains(text, mark=None):
    """Chains out of `iptables -S`. Rules with the comment `mark` are this collection's own."""
    chains, policies = {}, {}
    for line in text.splitlines():
        words = shlex.split(line)
        if words[:1] == ["-P"]:
            policies[words[1]] = ACCEPT if words[2] == "ACCEPT" else DROP
        elif words[:1] == ["-A"]:
            chains.setdefault(words[1], []).append(_iptables_rule(words[2:], mark))
    return Chains(chains, policies)


def _iptables_rule(words, mark):
    conditions, verdict, target, own = [], None, None, False
    for negated, option, values in _iptables_options(words):
        if option in ("-j", "-g"):
            verdict, target = _iptables_target(option, values[0])
        elif option == "--comment":
            own = own or values == [mark]
        elif option not in TEXTS:
            conditions.append((option, " ".join(values), negated))
    return Rule(lambda packet: all(_iptables_holds(*c, packet) for c in conditions), verdict, target, own)


def _iptables_options(words):
    """(negated, option, values) of each option of a rule."""
    found, negated = [], False
    for word in words:
        if word == "!":
            negated = True
        elif word.startswith("-") and len(word) > 1:
            found.append((negated, word, []))
            negated = False
        elif found:
            found[-1][2].append(word)
    return found


def _iptables_target(word, name):
    if name in ("DROP", "REJECT"):
        return DROP, None
    if name in ("ACCEPT", "RETURN"):
        return name.lower(), None
    return ("goto" if word == "-g" else "jump"), name


def _iptables_holds(option, value, negated, packet):
    answer = _iptables_answer(option, value, packet)
    return answer is not None and answer != negated


def _iptables_answer(option, value, packet):
    """Whether a condition holds; None when that is not known."""
    decide = IPTABLES.get(option)
    return decide(value, packet) if decide else None


def _ports(value, packet):
    spans = [span.partition(":") for span in value.split(",")]
    return any(int(low) <= packet.port <= int(high or low) for low, _colon, high in spans)


def _state(value, packet):
    return NEW in value.lower().split(",")


def _known_inside(known, value):
    return None if known is None else _inside(known, network_of(value))


def _interface(packet, name, wildcard):
    if name == "lo":
        return False
    if not packet.interface:
        return None
    return packet.interface.startswith(name[:-1]) if name.endswith(wildcard) else packet.interface == name


IPTABLES = {
    "-s": lambda value, packet: _known_inside(packet.source, value),
    "-d": lambda value, packet: _known_inside(packet.address, value),
    "-p": lambda value, packet: value in (packet.protocol, "all"),
    "-i": lambda value, packet: _interface(packet, value, "+"),
    "--dport": _ports,
    "--dports": _ports,
    "--state": _state,
    "--ctstate": _state,
    "--dst-type": lambda value, packet: value == "LOCAL",
    "--tcp-flags": lambda value, packet: value.endswith(" SYN"),
}
"""Options that can be decided."""


# nftables: what `nft --json list ruleset` prints (libnftables-json(5)).

PLAIN = {"counter", "log", "comment"}
"""Statements that decide nothing."""


def nft_tables(items, mark=None):
    """{(family, table): (Chains, names of the base chains for what comes in)}."""
    tables = {}
    for item in items:
        if "chain" in item:
            chain = item["chain"]
            tables.setdefault((chain["family"], chain["table"]), []).append(chain)
    return {place: _nft_table(items, place, chains, mark) for place, chains in tables.items()}


def _nft_table(items, place, chains, mark):
    def here(kind):
        return [i[kind] for i in items if kind in i and (i[kind]["family"], i[kind]["table"]) == place]

    sets = {one["name"]: one.get("elem", []) for kind in ("set", "map") for one in here(kind)}
    rules = {}
    for rule in here("rule"):
        own = mark is not None and rule.get("comment") == mark
        rules.setdefault(rule["chain"], []).append(_nft_rule(rule["expr"], sets, own))
    policies = {chain["name"]: chain.get("policy", ACCEPT) for chain in chains}
    bases = [one["name"] for one in chains if (one.get("hook"), one.get("type")) == ("input", "filter")]
    return Chains(rules, policies), bases


def _nft_rule(expressions, sets, own):
    conditions, verdict, target = [], None, None
    for statement in expressions:
        [(kind, body)] = statement.items()
        if kind in ("accept", "drop", "return"):
            verdict = kind
        elif kind == "reject":
            verdict = DROP
        elif kind in ("jump", "goto"):
            verdict, target = kind, body["target"]
        elif kind == "vmap":
            verdict = _vmap(body, sets)
        elif kind == "match":
            conditions.append(body)
        elif kind not in PLAIN:
            conditions.append({"op": "?"})
    return Rule(lambda packet: all(_nft_holds(one, sets, packet) for one in conditions), verdict, target, own)


def _vmap(body, sets):
    """What a verdict map says to a packet."""
    data = body["data"]
    pairs = sets.get(data[1:], []) if isinstance(data, str) else data.get("set", [])

    def verdict(packet):
        for key, says in pairs:
            if _nft_holds({"op": "==", "left": body["key"], "right": key}, sets, packet):
                [(kind, where)] = says.items()
                return (kind, where["target"]) if where else (DROP if kind == "reject" else kind, None)
        return None, None

    return verdict


def _nft_holds(match, sets, packet):
    if match["op"] not in ("==", "!=", "in"):
        return False
    try:
        [(kind, what)] = match["left"].items()
        known = _nft_known(kind, what, packet)
    except (AttributeError, KeyError, ValueError):
        return False  # an expression of several parts
    if known is None:
        return False
    answer = _nft_is(known, match["right"], sets)
    return answer is not None and answer != (match["op"] == "!=")


NOTHING = ()
"""What is known of a part that the packet does not have."""


def _nft_known(kind, what, packet):
    """What the packet has where the rule looks; None when that is not known."""
    if kind == "ct":
        return NEW if what["key"] == "state" else None
    if kind == "meta":
        family = "ipv6" if packet.version == 6 else "ipv4"
        known = {"l4proto": packet.protocol, "nfproto": family, "iifname": packet, "iif": packet}
        return known.get(what["key"])
    if kind == "payload" and "field" in what:
        return _nft_header(what["protocol"], what["field"], packet)
    return None


def _nft_header(protocol, field, packet):
    inner, outer = packet.protocol, "ip6" if packet.version == 6 else "ip"
    known = {
        (inner, "dport"): packet.port,
        ("th", "dport"): packet.port,
        (outer, "saddr"): packet.source,
        (outer, "daddr"): packet.address,
        (outer, "protocol" if outer == "ip" else "nexthdr"): inner,
    }
    return known.get((protocol, field), None if protocol in (inner, outer, "th") else NOTHING)


def _nft_is(known, value, sets):
    """Whether what is known is the value, in it, or one of several. None when that cannot be said."""
    if known == NOTHING:
        return False
    if isinstance(value, str) and value.startswith("@"):
        value = {"set": sets.get(value[1:], [])}
    if isinstance(value, dict):
        value = value["set"] if "set" in value else value["elem"]["val"] if "elem" in value else value
    if isinstance(value, list):
        return any(_nft_is(known, one, sets) for one in value)
    if isinstance(known, Packet):
        return _interface(known, str(value), "*")
    if isinstance(known, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
        return _nft_network(known, value)
    if isinstance(known, int) and isinstance(value, dict) and "range" in value:
        return value["range"][0] <= known <= value["range"][1]
    return known == value


def _nft_network(known, value):
    if isinstance(value, dict) and "prefix" in value:
        value = "{addr}/{len}".format(**value["prefix"])
    if isinstance(value, dict) and "range" in value:
        low, high = (ipaddress.ip_address(end) for end in value["range"])
        return low <= known[0] and known[-1] <= high if low.version == known.version else False
    return _inside(known, network_of(value)) if isinstance(value, str) else None
