# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""iptables and nftables: rules in the kernel's own words, and the files that bring them back at boot."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.edgelab.kubeedge.plugins.module_utils.firewall_base import MARK, Firewall, replace
from ansible_collections.edgelab.kubeedge.plugins.module_utils.firewall_packets import (
    iptables_chains,
    network_of,
    nft_tables,
)

NFT_FILE = Path("/etc/edgelab/firewall.nft")
NFT_DROP_IN = Path("/etc/systemd/system/nftables.service.d/edgelab.conf")
NFT_DROP_IN_TEXT = f"""\
# The ports of edgelab, after the administrator's own rules. Written by module firewall_ports.
[Service]
ExecStartPost=-/usr/sbin/nft -f {NFT_FILE}
ExecReload=-/usr/sbin/nft -f {NFT_FILE}
"""
IPTABLES_FILES = {"iptables": Path("/etc/iptables/rules.v4"), "ip6tables": Path("/etc/iptables/rules.v6")}
"""What netfilter-persistent loads at boot."""
VERSIONS = {"iptables": 4, "ip6tables": 6}


class Iptables(Firewall):
    """Rules of chain INPUT; netfilter-persistent's files are kept in step where they are."""

    name = "iptables"

    def __init__(self, host, programs):
        super().__init__(host)
        said = {program: host.answers(program, "-w", "10", "-S") for program in programs}
        self._said = {program: text for program, text in said.items() if text}

    @property
    def programs(self):
        """Those of iptables and ip6tables that answer for the kernel's rules."""
        return list(self._said)

    def standing(self):
        """See Firewall."""
        return {
            f"{program} {line[len('-A INPUT ') :]}": None
            for program, text in self._said.items()
            for line in text.splitlines()
            if _is_ours(line)
        }

    def words(self, rules):
        """See Firewall."""
        result = []
        for program, text in self._said.items():
            version = VERSIONS[program]
            chains = iptables_chains(text, MARK)
            for rule in rules:
                fits = rule[3] is None or network_of(rule[3]).version == version
                if fits and any(chains.refuses("INPUT", one) for one in self.host.packets(rule, version)):
                    result.append(f"{program} {_iptables_words(rule)}")
        return result

    def add(self, word):
        """See Firewall."""
        program, _space, rule = word.partition(" ")
        self.host.call(program, "-w", "10", "-I", "INPUT", *rule.split())

    def remove(self, word, handle):
        """See Firewall."""
        program, _space, rule = word.partition(" ")
        self.host.call(program, "-w", "10", "-D", "INPUT", *rule.split())

    def keep(self, words, check):
        """See Firewall."""
        stale = False
        for program, path in IPTABLES_FILES.items():
            if not path.exists():
                continue
            text = path.read_text(encoding="utf-8")
            lines = [f"-A INPUT {w[len(program) + 1 :]}" for w in words if w.startswith(f"{program} ")]
            ours = {line for line in text.splitlines() if _is_ours(line)}
            if ours != set(lines):
                stale = True
                if not check:
                    replace(path, _with_rules(text, lines), path.stat().st_mode & 0o777)
        return stale


def _iptables_words(rule):
    """A rule as `iptables -S` prints it."""
    first, last, protocol, source = rule
    ports = str(first) if first == last else f"{first}:{last}"
    origin = f"-s {network_of(source)} " if source else ""
    match = f"{origin}-p {protocol} -m {protocol} --dport {ports}"
    return f"{match} -m comment --comment {MARK} -j ACCEPT"


def _is_ours(line):
    return line.startswith("-A INPUT ") and f"--comment {MARK} " in line


def _with_rules(text, rules):
    """A file of iptables-save with these rules first in INPUT, and no others of ours."""
    result, section, placed = [], "", False
    for line in text.splitlines():
        if _is_ours(line):
            continue
        section = line if line.startswith("*") else section
        if section == "*filter" and not placed and line.startswith(("-A ", "COMMIT")):
            result += rules
            placed = True
        result.append(line)
    return "".join(f"{line}\n" for line in result)


class Nftables(Firewall):
    """Rules inserted into each chain that refuses what is to come in."""

    name = "nftables"

    def __init__(self, host, items, foreign):
        super().__init__(host)
        self._items = items
        self._chains = [
            (*place, base, chains)
            for place, (chains, bases) in nft_tables(items, MARK).items()
            for base in bases
            if place[0] in ("inet", "ip", "ip6") and place not in foreign
        ]

    def standing(self):
        """See Firewall."""
        found = {}
        places = {place[:3] for place in self._chains}
        for rule in (item["rule"] for item in self._items if "rule" in item):
            where = (rule["family"], rule["table"], rule["chain"])
            if where in places and rule.get("comment") == MARK:
                found.setdefault(" ".join([*where, match_of(rule["expr"])]), []).append(rule["handle"])
        return found

    def words(self, rules):
        """See Firewall."""
        return [
            f"{family} {table} {base} {_nft_words(rule)}"
            for family, table, base, chains in self._chains
            for rule in rules
            if self._refuses(family, base, chains, rule)
        ]

    def _refuses(self, family, base, chains, rule):
        wanted = {"inet": (4, 6), "ip": (4,), "ip6": (6,)}[family]
        versions = [v for v in wanted if rule[3] is None or network_of(rule[3]).version == v]
        return any(chains.refuses(base, one) for v in versions for one in self.host.packets(rule, v))

    def add(self, word):
        """See Firewall."""
        self.host.call("nft", *_nft_insert(word).split())

    def remove(self, word, handle):
        """See Firewall."""
        for number in handle:
            self.host.call("nft", "delete", "rule", *word.split()[:3], "handle", str(number))

    def keep(self, words, check):
        """See Firewall."""
        lines = "".join(f"{_nft_insert(word)}\n" for word in words)
        texts = {NFT_FILE: lines, NFT_DROP_IN: NFT_DROP_IN_TEXT if words else ""}
        stale = [path for path, text in texts.items() if (path.read_text() if path.exists() else "") != text]
        if stale and not check:
            for path in stale:
                replace(path, texts[path], 0o644)
            self.host.call("systemctl", "daemon-reload")
        return bool(stale)


def _nft_insert(word):
    family, table, chain, match = word.split(" ", 3)
    return f"insert rule {family} {table} {chain} {match} accept comment {MARK}"


def _nft_words(rule):
    first, last, protocol, source = rule
    ports = str(first) if first == last else f"{first}-{last}"
    origin = f"{'ip6' if ':' in source else 'ip'} saddr {source} " if source else ""
    return f"{origin}{protocol} dport {ports}"


def match_of(expressions):
    """The words of a rule's matches, as this module writes them, from nft's JSON."""
    words = []
    for expression in expressions:
        match = expression.get("match")
        if match:
            field, value = match["left"]["payload"], match["right"]
            if isinstance(value, dict) and "range" in value:
                value = "{}-{}".format(*value["range"])
            elif isinstance(value, dict) and "prefix" in value:
                value = "{addr}/{len}".format(**value["prefix"])
            words.append(f"{field['protocol']} {field['field']} {value}")
    return " ".join(words)
