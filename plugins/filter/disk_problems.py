# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""A filter that compares free space with what will be needed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: disk_problems
short_description: Find file systems with too little space
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Compares what C(df) told with what is needed below each path. Paths on one file system share its space.
options:
  _input:
    description: Lines of C(df --block-size=1M --output=file,avail,target).
    type: list
    elements: str
    required: true
  needs:
    description: Megabytes that are needed, by path.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Find what is too small
  ansible.builtin.debug:
    msg: "{{ df.stdout_lines | edgelab.kubeedge.disk_problems({'/opt': 400, '/var': 1000}) }}"
"""

RETURN = r"""
_value:
  description: One line for each file system with too little space.
  type: list
  elements: str
"""


COLUMNS = ("file", "avail", "target")


def disk_problems(lines: Iterable[str], needs: Mapping[str, int]) -> list[str]:
    """One line for each file system that has less than its paths need."""
    paths: dict[str, list[str]] = defaultdict(list)
    free: dict[str, int] = {}
    for line in lines:
        words = line.split()
        if len(words) == len(COLUMNS) and words[0] in needs and words[1].isdigit():
            paths[words[2]].append(words[0])
            free[words[2]] = int(words[1])
    return [
        f"{' and '.join(names)} (file system {mount}) has {free[mount]} MB free, and {wanted} MB are needed; "
        "make room, or lower validate_disk_free_mb"
        for mount, names in paths.items()
        if free[mount] < (wanted := sum(int(needs[name]) for name in names))
    ]


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """The filters of this file."""
        return {"disk_problems": disk_problems}
