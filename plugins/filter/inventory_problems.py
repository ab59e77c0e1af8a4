# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""Filters that look for mistakes in an inventory before any host is touched."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.edgelab.kubeedge.plugins.plugin_utils import inventory_network as network
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils import inventory_variables as variables
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils.inventory_hosts import (
    GROUPS,
    MISSING,
    Host,
    Problems,
    Roles,
    inventory_hosts,
)

DOCUMENTATION = r"""
name: inventory_problems
short_description: Find mistakes in an inventory
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Checks groups, node names, addresses, networks, ports, the names of variables and their values, and lists
    everything that is wrong at once. No host is asked anything.
options:
  _input:
    description: The magic variable C(hostvars).
    type: dict
    required: true
  groups:
    description: The magic variable C(groups).
    type: dict
    required: true
  rules:
    description:
      - What the checks cannot read from the roles. Every key may be missing.
      - C(switches) are the values that each switch offers, C(removed) what became of removed variables,
        C(command_line) the C(form) and an C(example) of variables that only plays read,
        C(networks) and C(ports) what is in use on hosts of which C(groups) and C(when).
    type: dict
    required: true
  roles:
    description: Directory of the roles, whose defaults and argument specs say which variables there are.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Find mistakes
  ansible.builtin.debug:
    msg: "{{ hostvars | edgelab.kubeedge.inventory_problems(groups, rules, role_path ~ '/..') }}"
  vars:
    rules:
      switches: {edgelab_control_plane: [edgesite, kubeadm]}
      ports:
        - {what: the broker, variable: mosquitto_port, groups: [edge]}
"""

RETURN = r"""
_value:
  description: One line for each mistake; empty when there is none.
  type: list
  elements: str
"""

WITH_KUBELET = ("kubeadm", "auto")
"""Control planes that run a kubelet on their host, or may."""
ONE_BOX_PROFILE = "site"
"""Set of the runtime's programs for a host that is cloud and edge."""
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label (RFC 1123): the node's name becomes the value of a label, and a part of MQTT topics."""


def inventory_problems(
    hostvars: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
    rules: Mapping[str, Any],
    roles: str,
) -> list[str]:
    """One line for each mistake of the inventory."""
    problems = Problems()
    hosts = inventory_hosts(hostvars, groups, Roles(roles))
    _group_problems(hosts, groups, problems)
    _node_name_problems(hosts, problems)
    _control_plane_problems(hosts, rules.get("virtual_address") or (), problems)
    network.address_problems(hosts, problems)
    network.network_problems(hosts, rules.get("networks") or (), problems)
    network.pod_range_problems(hosts, problems)
    network.port_problems(hosts, rules.get("ports") or (), problems)
    variables.switch_problems(hosts, rules.get("switches") or {}, problems)
    variables.value_problems(hosts, rules.get("switches") or {}, problems)
    variables.command_line_problems(hosts, rules.get("command_line") or {}, problems)
    variables.name_problems(hosts, rules.get("removed") or {}, problems)
    return list(problems)


def _group_problems(hosts: list[Host], groups: Mapping[str, Sequence[str]], problems: Problems) -> None:
    for group in GROUPS:
        if not groups.get(group):
            problems.add(
                f"group {group} has no host: name at least one (if it is a lab, bring all of its hosts up)"
            )
    for host in hosts:
        if len(host.groups) < len(GROUPS):
            continue
        if len(hosts) > 1:
            problems.add(
                "it is in the groups cloud and edge, which only one host alone may be: choose one", host.name
            )
            continue
        if host.get("edgelab_control_plane") in WITH_KUBELET:
            problems.add(
                f"edgelab_control_plane {host.get('edgelab_control_plane')} brings a kubelet, and on one box "
                "it would drive the same containers as EdgeCore: set edgelab_control_plane: edgesite",
                host.name,
            )
        if host.get("python_runtime_profile") not in (MISSING, ONE_BOX_PROFILE):
            problems.add(
                f"python_runtime_profile {host.get('python_runtime_profile')!r} lacks programs of the other "
                f"side; one box needs {ONE_BOX_PROFILE!r}, which is the default there",
                host.name,
            )


def _node_name_problems(hosts: list[Host], problems: Problems) -> None:
    owners: dict[str, list[str]] = defaultdict(list)
    for host in hosts:
        if "edge" not in host.groups:
            continue
        name = host.set("edgecore_node_name")
        name = host.name.lower() if name in (MISSING, None) else str(name)
        owners[name].append(host.name)
        if not LABEL.fullmatch(name):
            problems.add(
                f"its node name {name!r} is no DNS label (a-z, 0-9 and '-' inside, 63 characters at most): "
                f"set edgecore_node_name, for example to {_as_label(name)!r}",
                host.name,
            )
    for name, names in owners.items():
        if len(names) > 1:
            problems.add(
                f"the node name {name!r} belongs to {len(names)} hosts: set edgecore_node_name", *names
            )


def _as_label(name: str) -> str:
    """A name that is allowed and reminds of the one that is not."""
    first = name.lower() if re.fullmatch(r"[0-9.:]+", name) else name.lower().split(".")[0]
    return re.sub(r"[^a-z0-9]+", "-", first).strip("-")[:63].strip("-") or "edge1"


def _control_plane_problems(hosts: list[Host], virtual_address: Sequence[str], problems: Problems) -> None:
    """One host for EdgeSite; for kubeadm an odd number, behind one address when there are several.

    `virtual_address` names the variables of which one gives that address.
    """
    cloud = [host for host in hosts if "cloud" in host.groups]
    if len(cloud) <= 1:
        return
    names = [host.name for host in cloud]
    if cloud[0].get("edgelab_control_plane") in (MISSING, "edgesite"):
        problems.add(
            f"edgelab_control_plane edgesite runs on one host, and group cloud has {len(cloud)}: keep one, "
            "or set edgelab_control_plane: kubeadm",
            *names,
        )
        return
    if len(cloud) % 2 == 0:
        problems.add(
            f"{len(cloud)} control planes are no better than {len(cloud) - 1}, because etcd needs a "
            "majority: make group cloud an odd number of hosts",
            *names,
        )
    _virtual_address_problems(hosts, cloud, virtual_address, problems)


def _virtual_address_problems(
    hosts: list[Host], cloud: list[Host], virtual_address: Sequence[str], problems: Problems
) -> None:
    names = [host.name for host in cloud]
    given = {
        name: str(value)
        for name in virtual_address
        if (value := cloud[0].get(name)) not in (MISSING, None, "")
    }
    for name, address in given.items():
        for host in hosts:
            if address == str(host.set("edgelab_node_ip")):
                problems.add(f"{name} {address} is its own address: choose one that no host has", host.name)
    if virtual_address and not given:
        problems.add(
            f"several control planes need one address in front of them: set {' or '.join(virtual_address)}",
            *names,
        )


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """The filters of this file."""
        return {"inventory_problems": inventory_problems}
