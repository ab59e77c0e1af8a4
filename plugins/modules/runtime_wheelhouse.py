#!/usr/bin/python
# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""The documentation of runtime_wheelhouse; all of it runs on the controller, in its action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: runtime_wheelhouse
short_description: Gather the wheels of the edgelab runtime for many kinds of hosts
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Fills a directory of the controller with the runtime's own wheel, pip, and every wheel that the locks
    name, for each target's Python and architecture.
    O(edgelab.kubeedge.edge_runtime#module:wheelhouse) takes it.
  - Wheels that the index lacks (32-bit ARM) are built from their locked sources in a root file system of
    the target's suite, once, under qemu for another architecture. C(built.lock) states their hashes.
requirements:
  - For builds, mmdebstrap, root, and for another architecture apt-get to fetch qemu-user-static.
options:
  dest:
    description: The directory to fill.
    type: path
    required: true
  targets:
    description: The kinds of hosts.
    type: list
    elements: dict
    required: true
    suboptions:
      suite:
        description: Suite of Debian or Ubuntu, which decides the Python and the C library.
        type: str
        required: true
      arch:
        description: Debian architecture.
        type: str
        required: true
        choices: [amd64, arm64, armhf]
  profiles:
    description: Which of the locks, see O(edgelab.kubeedge.edge_runtime#module:profile).
    type: list
    elements: str
    choices: [edge, cloud, site]
    default: [edge, cloud]
  extras:
    description: Further locks whose wheels to gather, see O(edgelab.kubeedge.edge_runtime#module:extras).
    type: list
    elements: str
    default: []
  source:
    description: The runtime's sources. The default is those that came with the collection.
    type: path
  cache_dir:
    description: Where wheels and root file systems are kept.
    type: path
    default: ~/.cache/edgelab
  index_url:
    description: The package index, instead of that of the controller's own pip settings. Never shown.
    type: str
  debian_mirror:
    description: Mirror for the root file systems that wheels are built in.
    type: str
    default: http://deb.debian.org/debian
  build:
    description: Whether to build what the index lacks; otherwise it is reported in RV(absent).
    type: bool
    default: true
attributes:
  check_mode:
    support: partial
    description: Tells what would change without changing anything.
    details: In check mode nothing is done and nothing is reported as changed.
  diff_mode:
    support: none
    description: There is no diff of wheels.
"""

EXAMPLES = r"""
- name: Gather wheels for servers and Raspberry Pis
  edgelab.kubeedge.runtime_wheelhouse:
    dest: /srv/bundle/wheelhouse
    targets:
      - {suite: bookworm, arch: amd64}
      - {suite: trixie, arch: arm64}
"""

RETURN = r"""
version:
  description: Version of the runtime.
  returned: success
  type: str
built:
  description: Names of the wheels that were built from sources.
  returned: success
  type: list
  elements: str
absent:
  description: What could not be had, with the reason.
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule


def main():
    """Say that the action plugin is missing: with it, this is never run."""
    target = {
        "suite": {"type": "str", "required": True},
        "arch": {"type": "str", "required": True, "choices": ["amd64", "arm64", "armhf"]},
    }
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "targets": {"type": "list", "elements": "dict", "required": True, "options": target},
            "profiles": {
                "type": "list",
                "elements": "str",
                "choices": ["edge", "cloud", "site"],
                "default": ["edge", "cloud"],
            },
            "extras": {"type": "list", "elements": "str", "default": []},
            "source": {"type": "path"},
            "cache_dir": {"type": "path", "default": "~/.cache/edgelab"},
            "index_url": {"type": "str", "no_log": True},
            "debian_mirror": {"type": "str", "default": "http://deb.debian.org/debian"},
            "build": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="runtime_wheelhouse runs on the controller: its action plugin was not found")


if __name__ == "__main__":
    main()
