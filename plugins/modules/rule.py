#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Lead messages between REST, MQTT and services at the edge."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rule
short_description: Create, change or delete a Rule
version_added: 1.0.0
description:
  - A Rule (C(rules.kubeedge.io/v1)) leads messages from one M(edgelab.kubeedge.rule_endpoint) of its
    namespace to another one. CloudCore's C(modules.router) carries it out.
  - There are rules from C(rest) to C(eventbus) and C(servicebus), from C(eventbus) to C(rest), C(eventbus)
    and C(servicebus), and from C(servicebus) to C(rest).
author:
  - edgelab contributors (@edgelab)
options:
  source:
    description: Name of the RuleEndpoint that messages come from. Needed with O(state=present).
    type: str
  target:
    description: Name of the RuleEndpoint that messages go to. Needed with O(state=present).
    type: str
  from:
    description: Which messages. Needed with O(state=present).
    type: dict
    suboptions:
      path:
        description: For C(rest), the path below C(/<node>/<namespace>); C({name}) stands for any segment.
        type: str
      topic:
        description: For C(eventbus), the topic; clients publish on it with the namespace and a slash before.
        type: str
      target_url:
        description: For C(servicebus), the URL that programs name.
        type: str
      node_name:
        description: For C(eventbus) and C(servicebus), the node.
        type: str
  to:
    description: What becomes of them. Needed with O(state=present).
    type: dict
    suboptions:
      topic:
        description: For C(eventbus), the topic, as it is.
        type: str
      path:
        description: For C(servicebus), the path at the service.
        type: str
      resource:
        description: For C(rest), the URL to post to.
        type: str
      node_name:
        description: The node, where messages come from an C(eventbus) and go to a node.
        type: str
seealso:
  - module: edgelab.kubeedge.rule_endpoint
  - module: edgelab.kubeedge.edge_message
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
  - edgelab.kubeedge.attributes.keadm
  - edgelab.kubeedge.attributes.cluster
  - edgelab.kubeedge.rules
"""

EXAMPLES = r"""
- name: Publish on the nodes' MQTT what is posted in the cloud
  edgelab.kubeedge.rule:
    name: commands
    source: rest
    from: {path: /commands}
    target: eventbus
    to: {topic: commands}
    spool: true

- name: Post to a REST target what a node's MQTT clients publish on default/alarms
  edgelab.kubeedge.rule:
    name: alarms
    source: eventbus
    from: {topic: alarms, node_name: edge-1}
    target: rest
    to: {resource: https://alarms.example.org/in}
"""

RETURN = r"""
action:
  description: One of V(created), V(changed), V(deleted) and V(unchanged).
  type: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils.rules import (
    COMMON_SPEC,
    FieldError,
    carry_out,
    manifest,
)

FROM = ("path", "topic", "target_url", "node_name")
TO = ("topic", "path", "resource", "node_name")
NEEDED = ["source", "target", "from", "to"]
SPEC = {
    "source": {"type": "str"},
    "target": {"type": "str"},
    "from": {"type": "dict", "options": {key: {"type": "str"} for key in FROM}},
    "to": {"type": "dict", "options": {key: {"type": "str"} for key in TO}},
    **COMMON_SPEC,
}


def described(params):
    """The Rule that the options describe. Raises FieldError."""
    if params["state"] == "absent":
        return manifest("Rule", params)
    spec = {"source": params["source"], "target": params["target"]}
    for option, field, keys in (
        ("from", "sourceResource", ("path", "topic", "target_url")),
        ("to", "targetResource", ("topic", "path", "resource")),
    ):
        given = {key: value for key, value in params[option].items() if value is not None}
        if len([key for key in keys if key in given]) != 1:
            raise FieldError(f"{option}: exactly one of {', '.join(keys)} is needed")
        spec[field] = given
    return manifest("Rule", params, spec)


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=SPEC, supports_check_mode=True, required_if=[("state", "present", NEEDED)]
    )
    carry_out(module, "rule", described)


if __name__ == "__main__":
    main()
