# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""A filter that tells which hosts a run lost while it checked them, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: lost_hosts
short_description: Tell which hosts could not be reached or used
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Reads what F(playbooks/site.yml) registered while it read the facts of each host and checked it.
options:
  _input:
    description: The magic variable C(hostvars).
    type: dict
    required: true
  names:
    description: The hosts to look at.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Name the edge hosts that were left out
  ansible.builtin.debug:
    msg: "{{ hostvars | edgelab.kubeedge.lost_hosts(groups['edge']) }}"
"""

RETURN = r"""
_value:
  description: One line for each host that was lost, with the reason.
  type: list
  elements: str
"""

CHECKS = ("__site_facts", "__validate_clock", "__validate_disks", "__validate_host")
"""What the checks registered, in their order; a host that was lost at one has none of those after it."""


def lost_hosts(hostvars: Mapping[str, Mapping[str, Any]], names: Iterable[str]) -> list[str]:
    """One line for each of `names` that could not be reached or used."""
    return [line for name in names if (line := _lost(name, hostvars[name]))]


def _lost(name: str, variables: Mapping[str, Any]) -> str:
    for check in CHECKS:
        result = variables.get(check) or {}
        reason = result.get("msg") or "no reason was given"
        if isinstance(reason, (list, tuple)):
            reason = " ".join(str(line) for line in reason[1:] or reason)
        if result.get("unreachable"):
            return (
                f"host {name} cannot be reached: {str(reason).strip()} "
                "(is it on, and are ansible_host and its key right?)"
            )
        if result.get("failed"):
            return f"host {name} cannot be used: {str(reason).strip()}"
    return ""


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """The filters of this file."""
        return {"lost_hosts": lost_hosts}
