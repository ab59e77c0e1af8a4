# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""ufw and firewalld: programs that keep rules of their own, and write the kernel's from them."""

from __future__ import annotations

import re

from ansible_collections.edgelab.kubeedge.plugins.module_utils.firewall_base import MARK, Firewall

PRIORITY = "-10064"
HALF = "half"
"""The handle of a rule that holds only now, or only after a reboot: opening it again makes it whole."""


class Ufw(Firewall):
    """ufw keeps its rules itself; `ufw show added` lists them as the words that made them."""

    name = "ufw"

    def active(self):
        """See Firewall."""
        return "Status: active" in self.host.answers("ufw", "status")

    def _added(self):
        """(rule, comment) of each rule that was added."""
        lines = [line.strip() for line in self.host.call("ufw", "show", "added").splitlines()]
        parts = [line[len("ufw ") :].partition(" comment ") for line in lines if line.startswith("ufw ")]
        return [(rule, comment.strip("'")) for rule, _word, comment in parts]

    def standing(self):
        """See Firewall."""
        return {rule: None for rule, comment in self._added() if comment == MARK}

    def words(self, rules):
        """See Firewall. To add a rule that differs in its comment or verdict only would replace it."""
        taken = {_ufw_place(rule) for rule, comment in self._added() if comment != MARK}
        result = []
        for first, last, protocol, source in rules:
            ports = str(first) if first == last else f"{first}:{last}"
            rule = f"from {source} to any port {ports} proto {protocol}" if source else f"{ports}/{protocol}"
            result.append(f"allow {rule}")
        return [word for word in result if _ufw_place(word) not in taken]

    def add(self, word):
        """See Firewall."""
        self.host.call("ufw", *word.split(), "comment", MARK)

    def remove(self, word, handle):
        """See Firewall."""
        self.host.call("ufw", "--force", "delete", *word.split())


def _ufw_place(rule):
    """A rule of ufw without its verdict: two that have this in common cannot both be."""
    return rule.partition(" ")[2]


class Firewalld(Firewall):
    """Rich rules of each zone that has an interface, now (runtime) and for ever (permanent)."""

    name = "firewalld"

    def __init__(self, host):
        super().__init__(host)
        self._zones = []

    def active(self):
        """See Firewall."""
        return self.host.answers("firewall-cmd", "--state").strip() == "running"

    def standing(self):
        """See Firewall."""
        text = self.host.call("firewall-cmd", "--list-all-zones")
        self._zones = _open_zones(text, self.host.call("firewall-cmd", "--get-default-zone").strip())
        now = _rich_rules(text)
        kept = _rich_rules(self.host.call("firewall-cmd", "--permanent", "--list-all-zones"))
        return {rule: None if rule in now and rule in kept else HALF for rule in sorted(now | kept)}

    def words(self, rules):
        """See Firewall."""
        result = []
        for first, last, protocol, source in rules:
            ports = str(first) if first == last else f"{first}-{last}"
            family = "ipv6" if source and ":" in source else "ipv4"
            origin = f' family="{family}" source address="{source}"' if source else ""
            rule = f'rule priority="{PRIORITY}"{origin} port port="{ports}" protocol="{protocol}" accept'
            result += [f"{zone}: {rule}" for zone in self._zones]
        return result

    def add(self, word):
        """See Firewall."""
        self._tell("add", word)

    def remove(self, word, handle):
        """See Firewall."""
        self._tell("remove", word)

    def _tell(self, what, word):
        zone, _colon, rule = word.partition(": ")
        for scope in (["--permanent"], []):
            self.host.call("firewall-cmd", *scope, f"--zone={zone}", f"--{what}-rich-rule={rule}")


def _zones(text):
    """(zone, the lines about it) out of `firewall-cmd --list-all-zones`."""
    for part in re.split(r"\n\s*\n", text):
        lines = part.strip("\n").splitlines()
        if lines:
            yield lines[0].split()[0], [line.strip() for line in lines[1:]]


def _rich_rules(text):
    mark = f'priority="{PRIORITY}"'
    return {f"{zone}: {line}" for zone, lines in _zones(text) for line in lines if mark in line}


def _open_zones(text, default):
    """The zones that packets come through, but for those that accept all of them."""
    result = []
    for zone, lines in _zones(text):
        settings = dict(line.partition(": ")[::2] for line in lines)
        used = zone == default or settings.get("interfaces") or settings.get("sources")
        if used and settings.get("target") != "ACCEPT":
            result.append(zone)
    return result
