# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""Checks of addresses, networks and ports."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any, Union

from ansible_collections.edgelab.kubeedge.plugins.plugin_utils.inventory_hosts import MISSING, Host, Problems

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
HIGHEST_PORT = 65535
NODE_PREFIX = 24
"""Length of the pod range that role cni derives for a node."""
LOCAL_CONNECTIONS = ("local", "ansible.builtin.local")


def applies(rule: Mapping[str, Any], host: Host) -> bool:
    """Whether a rule is about this host: by its groups, and by the switches in `when`."""
    if not host.groups & set(rule.get("groups") or host.groups):
        return False
    return all(host.get(name) in values for name, values in (rule.get("when") or {}).items())


def address_problems(hosts: list[Host], problems: Problems) -> None:
    """Every host needs an address of its own, in the cluster's network and for Ansible."""
    owners: dict[str, list[str]] = defaultdict(list)
    doors: dict[tuple[str, str], list[str]] = defaultdict(list)
    for host in hosts:
        address = host.set("edgelab_node_ip")
        if "edgelab_node_ip" in host.variables and address is MISSING:
            problems.add(
                "edgelab_node_ip needs facts, unknown before the hosts are asked: write the address",
                host.name,
            )
        elif address is MISSING or not str(address or ""):
            problems.add(
                "set edgelab_node_ip to its address in the cluster's network (is the lab up?)", host.name
            )
        elif (parsed := _address(address)) is None:
            problems.add(f"edgelab_node_ip {str(address)!r} is no IP address", host.name)
        elif parsed.is_loopback or parsed.is_unspecified or parsed.is_multicast:
            problems.add(f"edgelab_node_ip {address} is no address that other hosts can reach", host.name)
        else:
            owners[str(parsed)].append(host.name)
        door, port = host.set("ansible_host"), host.set("ansible_port")
        if door is not MISSING and host.set("ansible_connection") not in LOCAL_CONNECTIONS:
            doors[str(door), "22" if port in (MISSING, None) else str(port)].append(host.name)
    for address, names in owners.items():
        if len(names) > 1:
            problems.add(
                f"edgelab_node_ip {address} belongs to {len(names)} hosts: give each its own", *names
            )
    for (door, port), names in doors.items():
        if len(names) > 1:
            problems.add(
                f"ansible_host {door} (port {port}) belongs to {len(names)} hosts, which would be one "
                "machine: correct it, or keep one of the names",
                *names,
            )


def _address(value: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(str(value))
    except ValueError:
        return None


def network_problems(hosts: list[Host], rules: Sequence[Mapping[str, Any]], problems: Problems) -> None:
    """Networks that overlap, nodes inside of one, and ranges of nodes that do not fit.

    A rule has `what` and one of `value`, `variable`, or `argument` (a list of program arguments, the option's
    name, and its default), and may have `groups` and `when`; rules of one `kin` may give the same network.
    """
    found: dict[tuple[str, str, Network], list[str]] = defaultdict(list)
    for host in hosts:
        for rule in rules:
            if applies(rule, host) and (network := _network(host, rule, problems)):
                found[rule["what"], _source(rule), network].append(host.name)
    kin = {rule["what"]: rule.get("kin", rule["what"]) for rule in rules}
    for one, other in combinations(found, 2):
        if kin[one[0]] == kin[other[0]] and one[2] == other[2]:
            continue
        if one[0] != other[0] and _overlap(one[2], other[2]):
            problems.add(
                f"the {one[0]} {one[2]} ({one[1]}) and the {other[0]} {other[2]} ({other[1]}) overlap: "
                "choose ranges that have no address in common",
            )
        elif one[0] == other[0]:
            problems.add(
                f"the {one[0]} is {one[2]} for some hosts and {other[2]} for others: "
                f"set {one[1]} once, for all",
            )
    for host in hosts:
        address = _address(host.set("edgelab_node_ip"))
        for what, source, network in found:
            if address is not None and address in network:
                problems.add(
                    f"edgelab_node_ip {address} lies in the {what} {network} ({source}): choose another "
                    "range for it",
                    host.name,
                )


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)  # type: ignore[arg-type]


def _source(rule: Mapping[str, Any]) -> str:
    """What a reader has to change."""
    return str(rule.get("variable") or " ".join((rule.get("argument") or ["built in"])[:2]))


def _network(host: Host, rule: Mapping[str, Any], problems: Problems) -> Network | None:
    value: Any = rule.get("value", MISSING)
    if "variable" in rule:
        value = host.get(rule["variable"])
    elif "argument" in rule:
        variable, option, value = rule["argument"]
        given = host.get(variable)
        words = [str(word) for word in given] if isinstance(given, list) else []
        for word, following in zip(words, [*words, ""][1:], strict=True):
            if word == option or word.startswith(f"{option}="):
                value = word.partition("=")[2] or following
    if value in (MISSING, None, ""):
        return None
    try:
        return ipaddress.ip_network(str(value), strict=not rule.get("address"))
    except ValueError as error:
        problems.add(
            f"{_source(rule)} is {str(value)!r}, and no network ({error}): write it like 10.244.0.0/16",
            host.name,
        )
        return None


def pod_range_problems(hosts: list[Host], problems: Problems) -> None:
    """The pods' range of each edge node lies in the cluster's range and belongs to no other node."""
    edges = [host for host in hosts if "edge" in host.groups]
    ranges: dict[str, Network] = {}
    for number, host in enumerate(edges, start=1):
        cluster = _parse(host.get("cni_cluster_cidr"))
        if cluster is None:
            continue
        given = host.set("cni_pod_cidr")
        if given is MISSING:
            text = f"{'.'.join(str(cluster.network_address).split('.')[:2])}.{number}.0/{NODE_PREFIX}"
            told = f"the pod range that follows from its place in the inventory, {text},"
        else:
            text, told = str(given), f"cni_pod_cidr {given!s}"
        own = _parse(text)
        if own is None:
            problems.add(f"{told} is no network: set cni_pod_cidr to a part of {cluster}", host.name)
        elif own.version != cluster.version or not own.subnet_of(cluster):  # type: ignore[arg-type]
            problems.add(
                f"{told} lies outside of cni_cluster_cidr {cluster}: set cni_pod_cidr to a part of it",
                host.name,
            )
        else:
            ranges[host.name] = own
    for one, other in _overlapping(ranges):
        problems.add(
            f"their pod ranges {ranges[one]} and {ranges[other]} overlap: give each its own cni_pod_cidr",
            one,
            other,
        )


def _overlapping(ranges: Mapping[str, Network]) -> list[tuple[str, str]]:
    """Neighbours in order of address that overlap: enough to find a clash, and quick for a thousand nodes."""
    order = sorted(ranges, key=lambda name: (ranges[name].version, int(ranges[name].network_address)))
    return [(a, b) for a, b in pairwise(order) if _overlap(ranges[a], ranges[b])]


def _parse(value: Any) -> Network | None:
    try:
        return ipaddress.ip_network(str(value))
    except ValueError:
        return None


def port_problems(hosts: list[Host], rules: Iterable[Mapping[str, Any]], problems: Problems) -> None:
    """Two programs of a host that want the same port, and numbers that are no port.

    A rule has `what` and one of `value` and `variable` (a number, or `address:number`), and may have `groups`
    and `when`.
    """
    for host in hosts:
        users: dict[int, list[str]] = defaultdict(list)
        for rule in rules:
            if not applies(rule, host):
                continue
            value = host.get(rule["variable"]) if "variable" in rule else rule["value"]
            text = str(value).rpartition(":")[2]
            named = f"{rule['what']} ({rule['variable']})" if "variable" in rule else str(rule["what"])
            if value is MISSING:
                continue
            if not text.isdigit() or not 0 < int(text) <= HIGHEST_PORT:
                problems.add(
                    f"{_source(rule)} is {value!r}: a port is a number from 1 to {HIGHEST_PORT}", host.name
                )
            else:
                users[int(text)].append(named)
        for port, names in users.items():
            if len(names) > 1:
                problems.add(f"port {port} is wanted by {' and '.join(names)}: choose another one", host.name)
