# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Which firewalls are at work on a host."""

from __future__ import annotations

import json

from ansible_collections.edgelab.kubeedge.plugins.module_utils.firewall_fronts import Firewalld, Ufw
from ansible_collections.edgelab.kubeedge.plugins.module_utils.firewall_tables import Iptables, Nftables

FILTERS = {"iptables": ("ip", "filter"), "ip6tables": ("ip6", "filter")}
"""The tables of nftables in which iptables keeps its rules."""


def at_work(host):
    """The firewalls of a host.

    Tables of nftables that ufw, firewalld or iptables write are theirs. A table `filter` is iptables', unless
    nftables.service loaded it and nothing in it has the form that only iptables writes.
    """
    text = host.answers("nft", "--json", "list", "ruleset")
    items = json.loads(text)["nftables"] if text else []
    front = next((one for one in (Ufw(host), Firewalld(host)) if one.active()), None)
    if front:
        families = ("inet", "ip", "ip6")
        foreign = {*FILTERS.values(), *((family, "firewalld") for family in families)}
        return [front, Nftables(host, items, foreign)]
    loaded = host.answers("systemctl", "is-active", "nftables.service").strip() == "active"
    iptables = Iptables(host, [name for name, place in FILTERS.items() if not loaded or _is_xt(items, place)])
    return [iptables, Nftables(host, items, {FILTERS[name] for name in iptables.programs})]


def _is_xt(items, place):
    rules = [item["rule"] for item in items if "rule" in item]
    return any(
        (rule["family"], rule["table"]) == place and any("xt" in part for part in rule["expr"])
        for rule in rules
    )
