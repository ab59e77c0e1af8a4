# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""The machines of the Vagrant lab, read from topology.yml and checked.

vagrant/lib/topology.rb reads the same file by the same rules and with the same words.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

GROUPS = ("cloud", "edge")
PROVIDERS = ("libvirt", "virtualbox", "vmware_desktop", "parallels")
TOP_KEYS = ("network", "defaults", "nodes")
DEFAULT_KEYS = ("box", "cpus", "memory")
NODE_KEYS = ("name", "group", "address", *DEFAULT_KEYS)
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LEAST = {"cpus": 1, "memory": 256}


class TopologyError(Exception):
    """The file cannot be used; the message names file, node, field and fix."""


def load(path: Path) -> list[dict[str, Any]]:
    """The nodes in the file's order, each with the defaults filled in.

    Raises:
        TopologyError: the file is missing or wrong; all that is wrong is listed at once.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TopologyError(f"{path} is not there; EDGELAB_TOPOLOGY names another file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise TopologyError(f"{path} cannot be used:\n  it is no YAML (line {line})") from None
    if not isinstance(document, dict):
        raise TopologyError(f"{path} cannot be used:\n  it must be a mapping with network and nodes")
    problems = _problems(document)
    if problems:
        raise TopologyError("\n  ".join([f"{path} cannot be used:", *problems]))
    return [{**(document.get("defaults") or {}), **node} for node in document["nodes"]]


def _problems(document: Mapping[str, Any]) -> list[str]:
    problems = _unknown(document, TOP_KEYS, "the file")
    network = _network(document.get("network"))
    if network is None:
        problems.append(f"network: {_shown(document.get('network'))} is no network such as 192.168.56.0/24")
    defaults = {} if document.get("defaults") is None else document["defaults"]
    if not isinstance(defaults, dict):
        return [*problems, "defaults: it must be a mapping"]
    problems += _unknown(defaults, DEFAULT_KEYS, "defaults")
    nodes = document.get("nodes")
    if not (isinstance(nodes, list) and nodes and all(isinstance(node, dict) for node in nodes)):
        return [*problems, "nodes: it must be a list of mappings, one for each machine"]
    for node in nodes:
        problems += _node_problems(node, {**defaults, **node}, network)
    return problems + _shared_problems(nodes)


def _node_problems(
    own: Mapping[str, Any], node: Mapping[str, Any], network: ipaddress.IPv4Network | None
) -> list[str]:
    name = _shown(own.get("name"))
    label = f"node {name}"
    problems = _unknown(own, NODE_KEYS, label)
    if not DNS_LABEL.fullmatch(name):
        problems.append(f"{label}: name must be a DNS label (a-z, 0-9, -)")
    if node.get("group") not in GROUPS:
        problems.append(f"{label}: group {_shown(node.get('group'))} must be cloud or edge")
    problems += _address_problems(label, node.get("address"), network)
    for key, least in LEAST.items():
        value = node.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            problems.append(f"{label}: {key} must be a number from {least} on")
    if not _is_box(node.get("box")):
        problems.append(f"{label}: box must be a name, or names by provider with default")
    return problems


def _address_problems(label: str, address: object, network: ipaddress.IPv4Network | None) -> list[str]:
    parsed = _address(address)
    if parsed is None:
        return [f"{label}: address {_shown(address)} is no IPv4 address"]
    if network is None:
        return []
    if parsed not in network:
        return [f"{label}: address {address} is outside network {network}"]
    # The first one is the machine that runs the lab; the ends are the network itself and its broadcast.
    if int(parsed) - int(network.network_address) in (0, 1, network.num_addresses - 1):
        return [f"{label}: address {address} is reserved in network {network}"]
    return []


def _shared_problems(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    problems = []
    for key in ("name", "address"):
        counts = Counter(_shown(node.get(key)) for node in nodes)
        problems += [
            f"{key} {value} belongs to {count} nodes" for value, count in counts.items() if count > 1
        ]
    present = {node.get("group") for node in nodes}
    return problems + [
        f"group {group} has no node: name at least one" for group in GROUPS if group not in present
    ]


def _is_box(box: object) -> bool:
    if isinstance(box, dict):
        names = all(isinstance(name, str) for name in box.values())
        return "default" in box and set(box) <= {*PROVIDERS, "default"} and names
    return isinstance(box, str) and bool(box)


def _network(text: object) -> ipaddress.IPv4Network | None:
    if not isinstance(text, str) or not re.fullmatch(r"\d+(\.\d+){3}/\d+", text):
        return None
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        return None
    return network if 8 <= network.prefixlen <= 30 else None


def _address(text: object) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _unknown(mapping: Mapping[Any, Any], known: Sequence[str], where: str) -> list[str]:
    return [
        f"{where}: {key} is not known; there is {', '.join(known)}"
        for key in map(str, mapping)
        if key not in known
    ]


def _shown(value: object) -> str:
    return "(none)" if value is None else str(value)
