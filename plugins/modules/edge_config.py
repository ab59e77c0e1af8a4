#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Merge settings into cloudcore.yaml or edgecore.yaml."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edge_config
short_description: Merge settings into the configuration of CloudCore or EdgeCore
version_added: 1.0.0
description:
  - Merges settings into C(cloudcore.yaml) or C(edgecore.yaml) through the host's C(keadm config merge), which
    knows every field, its type and what goes together. Nothing is written unless the result is valid.
  - Mappings merge, lists and values replace. A file that is missing starts as the minimal configuration.
  - The file has mode 0600 and its comments are not kept. It is written only when its content differs.
author:
  - edgelab contributors (@edgelab)
options:
  component:
    description: Whose configuration it is.
    type: str
    choices: [cloudcore, edgecore]
    required: true
  path:
    description: The file; by default the one that the component reads.
    type: path
  settings:
    description:
      - What to merge, in the form of the file itself.
      - Join tokens do not belong here. People and backups read C(edgecore.yaml), and a token that changes
        would make every run a change.
    type: dict
    required: true
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
  - edgelab.kubeedge.attributes.keadm
"""

EXAMPLES = r"""
- name: Tell EdgeCore its name and where CloudCore is
  edgelab.kubeedge.edge_config:
    component: edgecore
    settings:
      modules:
        edged:
          hostnameOverride: edge1
        edgeHub:
          httpServer: https://192.168.56.10:10002
          websocket:
            server: 192.168.56.10:10000
  notify: Restart EdgeCore
"""

RETURN = r"""
path:
  description: The configuration file.
  type: str
  returned: always
problems:
  description: What is wrong with the settings, when the module failed.
  type: list
  elements: dict
  returned: always
  contains:
    field:
      description: Dotted name of the field.
      type: str
    message:
      description: What is wrong with it.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils.keadm import (
    KEADM_SPEC,
    KeadmError,
    ask,
    not_yet,
    secrets_in,
)

DEFAULT_PATHS = {
    "cloudcore": "/etc/kubeedge/config/cloudcore.yaml",
    "edgecore": "/etc/kubeedge/config/edgecore.yaml",
}


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "component": {"type": "str", "choices": sorted(DEFAULT_PATHS), "required": True},
            "path": {"type": "path"},
            "settings": {"type": "dict", "required": True},
            **KEADM_SPEC,
        },
        supports_check_mode=True,
    )
    module.no_log_values.update(secrets_in(module.params["settings"]))
    component = module.params["component"]
    path = module.params["path"] or DEFAULT_PATHS[component]
    if reason := not_yet(module):
        module.exit_json(changed=True, path=path, problems=[], msg=reason)
    command = ["config", "merge", "--component", component, "--file", path]
    try:
        answer = ask(
            module, [*command, *(["--check"] if module.check_mode else [])], stdin=module.params["settings"]
        )
    except KeadmError as error:
        module.fail_json(msg=f"edge_config: {error}", path=path, problems=error.answer.get("problems", []))
    result = {"changed": answer["changed"], "problems": []}
    if module._diff and answer["changed"]:
        result["diff"] = {
            "before": answer["before"],
            "after": answer["after"],
            "before_header": path,
            "after_header": path,
        }
    module.exit_json(path=path, **result)


if __name__ == "__main__":
    main()
