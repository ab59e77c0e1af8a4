#!/usr/bin/python
# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""Ansible module: finish a bundle with its manifest, or check one against it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: artifact_bundle
short_description: Seal a bundle for installations without a network, or verify one
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - A bundle is a directory with C(manifest.json), which names every file with its SHA-256, the targets it was
    made for, versions, and what could not be had with the reason.
options:
  path:
    description: The bundle's directory.
    type: path
    required: true
  state:
    description: V(sealed) writes the manifest of what is there, V(verified) checks every file against it.
    type: str
    choices: [sealed, verified]
    default: verified
  content:
    description: With O(state=sealed), what else the manifest shall say.
    type: dict
    default: {}
  sha256:
    description: With O(state=verified), the manifest's own SHA-256 as it was told when the bundle was made.
    type: str
attributes:
  check_mode:
    support: full
    description: With O(state=sealed) says whether the manifest would change.
  diff_mode:
    support: none
    description: A manifest has hundreds of lines.
"""

EXAMPLES = r"""
- name: Check every file of a bundle
  edgelab.kubeedge.artifact_bundle:
    path: /srv/edgelab-bundle
  delegate_to: localhost
"""

RETURN = r"""
sha256:
  description: The manifest's own SHA-256.
  returned: success
  type: str
manifest:
  description: The manifest without its list of files.
  returned: success
  type: dict
size:
  description: Bytes of all files.
  returned: success
  type: int
"""

import json
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils import bundle_manifest


def main():
    """Run as Ansible starts it."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["sealed", "verified"], "default": "verified"},
            "content": {"type": "dict", "default": {}},
            "sha256": {"type": "str"},
        },
        supports_check_mode=True,
    )
    directory = Path(module.params["path"])
    changed, manifest = False, {}
    try:
        if module.params["state"] == "sealed":
            changed = bundle_manifest.write(directory, module.params["content"], check_mode=module.check_mode)
            if not module.check_mode:
                manifest = json.loads((directory / bundle_manifest.NAME).read_text(encoding="utf-8"))
        else:
            manifest = bundle_manifest.verify(directory, module.params["sha256"])
        sealed = (directory / bundle_manifest.NAME).exists()
    except (bundle_manifest.BundleProblem, OSError) as error:
        module.fail_json(msg=f"bundle {directory}: {error}")
    names = manifest.pop("files", {})
    module.exit_json(
        changed=changed,
        sha256=bundle_manifest.digest(directory) if sealed else "",
        manifest=manifest,
        size=sum((directory / name).stat().st_size for name in names),
    )


if __name__ == "__main__":
    main()
