#!/usr/bin/python
# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""The documentation of runtime_image; all of it runs on the controller, in its action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: runtime_image
short_description: Build a container image of the edgelab runtime, without a registry
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Makes an OCI layout archive of Debian's Python, the runtime's own wheel and the wheels that its lock
    names, through M(edgelab.kubeedge.debian_image). It can be imported with C(ctr -n k8s.io images import).
  - The tag is the version of the runtime, which is found from its sources as
    M(edgelab.kubeedge.edge_runtime) does, so that an image of equal sources is built once.
requirements:
  - apt-get and dpkg-deb on the controller, whose suite decides the Python of the image.
options:
  program:
    description:
      - Which daemon the image starts.
      - V(mapper) starts the Python module that a pod's arguments begin with (C(edgelab.mappers.virtual)).
    type: str
    choices: [cloudcore, mapper]
    default: cloudcore
  extras:
    description: For O(program=mapper), as of M(edgelab.kubeedge.edge_runtime).
    type: list
    elements: str
    default: []
  repository:
    description: Name of the image, without a tag.
    type: str
    required: true
  dest:
    description: Path of the archive on the controller.
    type: path
    required: true
  arch:
    description: Debian architecture of the image.
    type: str
    choices: [amd64, arm64, armhf]
    required: true
  source:
    description: The runtime's sources. The default is those that came with the collection.
    type: path
  cache_dir:
    description: Where wheels and packages are kept.
    type: path
    default: ~/.cache/edgelab
  wheelhouse:
    description: As of M(edgelab.kubeedge.edge_runtime).
    type: path
  index_url:
    description: The package index, instead of that of the controller's own pip settings. Never shown.
    type: str
attributes:
  check_mode:
    support: full
    description: Says whether the image would change, and gathers only what that takes.
  diff_mode:
    support: full
    description: Shows the reference and the packages' versions before and after.
"""

EXAMPLES = r"""
- name: Build CloudCore's image
  edgelab.kubeedge.runtime_image:
    repository: edgelab.local/cloudcore
    arch: amd64
    dest: /var/cache/edgelab/images/cloudcore-amd64.tar
"""

RETURN = r"""
dest:
  description: Path of the archive.
  returned: success
  type: str
reference:
  description: Name and tag of the image.
  returned: success
  type: str
  sample: edgelab.local/cloudcore:1.0.0-3fb2c19a07de
digest:
  description: Digest of the image's manifest. In check mode that of the archive before, if any.
  returned: success
  type: str
version:
  description: Version of the runtime.
  returned: success
  type: str
  sample: 1.0.0+3fb2c19a07de
"""

from ansible.module_utils.basic import AnsibleModule


def main():
    """Say that the action plugin is missing: with it, this is never run."""
    module = AnsibleModule(
        argument_spec={
            "program": {"type": "str", "choices": ["cloudcore", "mapper"], "default": "cloudcore"},
            "extras": {"type": "list", "elements": "str", "default": []},
            "repository": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
            "arch": {"type": "str", "choices": ["amd64", "arm64", "armhf"], "required": True},
            "source": {"type": "path"},
            "cache_dir": {"type": "path", "default": "~/.cache/edgelab"},
            "wheelhouse": {"type": "path"},
            "index_url": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="runtime_image runs on the controller: its action plugin was not found")


if __name__ == "__main__":
    main()
