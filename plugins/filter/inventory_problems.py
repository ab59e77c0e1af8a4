# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""Filters that look for mistakes in an inventory before any host is touched."""

from __future__ import annotations

import difflib
import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

DOCUMENTATION = r"""
name: inventory_problems
short_description: Find mistakes in an inventory
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Checks that the groups C(cloud) and C(edge) have hosts, that each host has an address of its own, that
    switches have known values, and that no variable is misspelt.
options:
  _input:
    description: The magic variable C(hostvars).
    type: dict
    required: true
  groups:
    description: The magic variable C(groups).
    type: dict
    required: true
  switches:
    description: Values that each switch may have, by the switch's name.
    type: dict
    required: true
  roles:
    description: Directory of the roles, whose C(meta/argument_specs.yml) say which variables there are.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Find mistakes
  ansible.builtin.debug:
    msg: "{{ hostvars | edgelab.kubeedge.inventory_problems(groups, switches, role_path ~ '/..') }}"
  vars:
    switches: {edgelab_control_plane: [edgesite]}
"""

RETURN = r"""
_value:
  description: One line for each mistake; empty when there is none.
  type: list
  elements: str
"""

GROUPS = ("cloud", "edge")
ONE_BOX_PROFILE = "site"
"""Set of the runtime's programs for a host that is cloud and edge."""
SIMILAR = 0.86
"""Likeness (0 to 1) from which a name with an unknown prefix counts as a slip of the fingers."""
COMMON_WORDS = {"host"}
"""Roles whose prefix is a word that sites use for variables of their own."""


def inventory_problems(
    hostvars: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
    switches: Mapping[str, Sequence[str]],
    roles: str,
) -> list[str]:
    """One line for each mistake of the inventory."""
    hosts = {host: hostvars[host] for group in GROUPS for host in groups.get(group) or ()}
    names = {str(name) for variables in hosts.values() for name in variables}
    return [
        *_group_problems(hosts, groups),
        *_address_problems(hosts),
        *_switch_problems(hosts, switches),
        *_name_problems(names, Path(roles)),
    ]


def _group_problems(hosts: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]]) -> list[str]:
    problems = [
        f"group {group} has no host: name at least one (if it is a lab, bring all of its hosts up)"
        for group in GROUPS
        if not groups.get(group)
    ]
    return problems + _one_box_problems(hosts, groups)


def _one_box_problems(
    hosts: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]]
) -> list[str]:
    """A host may be cloud and edge at once when it is the only one: everything on one box."""
    cloud, edge = list(groups.get("cloud") or ()), list(groups.get("edge") or ())
    both = sorted(set(cloud) & set(edge))
    if len({*cloud, *edge}) > 1:
        return [
            f"host {host} is in the groups cloud and edge, which only one host alone may be: choose one"
            for host in both
        ]
    return [
        f"host {host}: python_runtime_profile {profile!r} lacks programs of the other side; "
        f"one box needs {ONE_BOX_PROFILE!r}, which is the default there"
        for host in both
        if (profile := str(hosts[host].get("python_runtime_profile", ONE_BOX_PROFILE))) != ONE_BOX_PROFILE
    ]


def _address_problems(hosts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    problems = []
    owners: Counter[str] = Counter()
    for host, variables in hosts.items():
        address = str(variables.get("edgelab_node_ip") or "")
        if not address:
            problems.append(
                f"host {host}: set edgelab_node_ip to its address in the cluster's network (is the lab up?)"
            )
        elif not _is_address(address):
            problems.append(f"host {host}: edgelab_node_ip {address!r} is no IP address")
        else:
            owners[address] += 1
    problems += [f"edgelab_node_ip {address} belongs to {n} hosts" for address, n in owners.items() if n > 1]
    return problems


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _switch_problems(
    hosts: Mapping[str, Mapping[str, Any]], switches: Mapping[str, Sequence[str]]
) -> list[str]:
    problems = []
    for name, values in switches.items():
        found = {str(variables[name]) for variables in hosts.values() if name in variables}
        problems += [
            f"{name}: {value!r} is not offered; use {' or '.join(values)}"
            for value in sorted(found - set(values))
        ]
    return problems


def _name_problems(names: Iterable[str], roles: Path) -> list[str]:
    specs = {path.parent.parent.name: path for path in roles.glob("*/meta/argument_specs.yml")}
    known = {option for path in specs.values() for option in _options(path)}
    prefixes = tuple(f"{role}_" for role in {"edgelab", *specs} - COMMON_WORDS)
    lines = []
    for name in sorted(set(names) - known):
        close = difflib.get_close_matches(name, known, n=1, cutoff=SIMILAR)
        if close:
            lines.append(f"{name}: no role reads this variable; did you mean {close[0]}?")
        elif name.startswith(prefixes):
            lines.append(f"{name}: no role reads this variable; each role's README lists its variables")
    return lines


def _options(path: Path) -> set[str]:
    """The variables that the argument specs in `path` name."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values()
    return {option for entry in entries for option in entry.get("options") or ()}


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """The filters of this file."""
        return {"inventory_problems": inventory_problems}
