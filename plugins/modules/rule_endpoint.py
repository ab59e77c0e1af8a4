#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Describe an end of message routes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rule_endpoint
short_description: Create, change or delete a RuleEndpoint
version_added: 1.0.0
description:
  - A RuleEndpoint (C(rules.kubeedge.io/v1)) is where messages of a M(edgelab.kubeedge.rule) come from or go
    to.
  - Limits and authentication that are set here count for all rules of the endpoint, unless a rule says
    otherwise.
author:
  - edgelab contributors (@edgelab)
options:
  type:
    description:
      - V(rest) for HTTP in the cloud, V(eventbus) for MQTT on a node, V(servicebus) for HTTP on a node.
      - Needed with O(state=present).
    type: str
    choices: [rest, eventbus, servicebus]
  service_port:
    description: The port of the service, on the loopback of its node. Needed with O(type=servicebus).
    type: int
seealso:
  - module: edgelab.kubeedge.rule
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
  - edgelab.kubeedge.attributes.keadm
  - edgelab.kubeedge.attributes.cluster
  - edgelab.kubeedge.rules
"""

EXAMPLES = r"""
- name: Have the three ends that rules lead between
  edgelab.kubeedge.rule_endpoint:
    name: "{{ item.type }}"
    type: "{{ item.type }}"
    service_port: "{{ item.port | default(omit) }}"
  loop:
    - type: rest
    - type: eventbus
    - type: servicebus
      port: 8080
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

SPEC = {
    "type": {"type": "str", "choices": ["rest", "eventbus", "servicebus"]},
    "service_port": {"type": "int"},
    **COMMON_SPEC,
}


def described(params):
    """The RuleEndpoint that the options describe. Raises FieldError."""
    if params["state"] == "absent":
        return manifest("RuleEndpoint", params)
    spec = {"ruleEndpointType": params["type"]}
    port = params["service_port"]
    if port is not None:
        if not 1 <= port <= 65535:
            raise FieldError(f"service_port: {port} is no port from 1 to 65535")
        spec["properties"] = {"service_port": str(port)}
    return manifest("RuleEndpoint", params, spec)


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=SPEC,
        supports_check_mode=True,
        required_if=[("state", "present", ["type"]), ("type", "servicebus", ["service_port"])],
    )
    carry_out(module, "rule_endpoint", described)


if __name__ == "__main__":
    main()
