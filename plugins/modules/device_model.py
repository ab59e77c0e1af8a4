#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Describe what devices of one kind have in common."""

from __future__ import annotations

DOCUMENTATION = r"""
module: device_model
short_description: Create, change or delete a DeviceModel
version_added: 1.0.0
description:
  - A DeviceModel (C(devices.kubeedge.io/v1beta1)) names the properties that devices of one kind have, with
    their types and limits.
  - The model is applied as M(edgelab.kubeedge.kube_apply) applies a manifest. It becomes what the task says,
    properties that the task does not name any more are removed, and fields that others set stay.
  - Options below O(properties) are spelled as the fields of the object, so that parts of a manifest can be
    pasted.
author:
  - edgelab contributors (@edgelab)
options:
  name:
    description: Name of the model.
    type: str
    required: true
  namespace:
    description: Its namespace, which is that of its devices too.
    type: str
    default: default
  state:
    description:
      - V(absent) deletes the model. Devices that refer to it stay, and cannot be told to mappers any more.
    type: str
    choices: [present, absent]
    default: present
  protocol:
    description: The protocol whose mapper is told of the model.
    type: str
  protocolConfigData:
    description: Defaults below the C(protocol.configData) of each device.
    type: dict
  properties:
    description: All properties, each name once. Needed with O(state=present).
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the property, 1 to 128 letters, digits and characters of C(-_.,:/@#).
        type: str
        required: true
      type:
        description: Type of its values.
        type: str
        choices: [INT, FLOAT, DOUBLE, STRING, BOOLEAN, BYTES, STREAM]
        required: true
      accessMode:
        description: Whether something can be desired of it.
        type: str
        choices: [ReadOnly, ReadWrite]
        default: ReadOnly
      minimum:
        description:
          - The least value of a number.
          - M(edgelab.kubeedge.device) refuses to desire less; KubeEdge itself does not look at it.
        type: str
      maximum:
        description: The greatest value of a number; see O(properties[].minimum).
        type: str
      unit:
        description: Unit of its values.
        type: str
      description:
        description: What it is, for people.
        type: str
      visitors:
        description: Defaults below the C(visitors) of the property in each device.
        type: dict
        suboptions:
          protocolName:
            description: Name of the protocol.
            type: str
          configData:
            description: Where the mapper finds the property, in terms of the protocol.
            type: dict
seealso:
  - module: edgelab.kubeedge.device
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
  - edgelab.kubeedge.attributes.keadm
  - edgelab.kubeedge.attributes.cluster
"""

EXAMPLES = r"""
- name: Describe boilers
  edgelab.kubeedge.device_model:
    name: boiler
    protocol: modbus
    properties:
      - name: temperature
        type: FLOAT
        unit: Celsius
        minimum: -40
        maximum: 150
      - name: limit
        description: The temperature to heat to
        type: INT
        accessMode: ReadWrite
        minimum: 0
        maximum: 90

- name: Forget about boilers
  edgelab.kubeedge.device_model:
    name: boiler
    state: absent
"""

RETURN = r"""
action:
  description: One of V(created), V(changed), V(deleted) and V(unchanged).
  type: str
  returned: success
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils.devices import (
    ACCESS_MODES,
    TYPES,
    VISITORS,
    FieldError,
    check_model_properties,
    given,
    manifest,
    model_property,
)
from ansible_collections.edgelab.kubeedge.plugins.module_utils.keadm import (
    CLUSTER_SPEC,
    KEADM_SPEC,
    KeadmError,
    ask,
    not_yet,
    outcome,
    secrets_in,
)

PROPERTY = {
    "name": {"type": "str", "required": True},
    "type": {"type": "str", "choices": list(TYPES), "required": True},
    "accessMode": {"type": "str", "choices": list(ACCESS_MODES), "default": "ReadOnly"},
    "minimum": {"type": "str"},
    "maximum": {"type": "str"},
    "unit": {"type": "str"},
    "description": {"type": "str"},
    "visitors": {"type": "dict", "options": VISITORS},
}
SPEC = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "protocol": {"type": "str"},
    "protocolConfigData": {"type": "dict"},
    "properties": {"type": "list", "elements": "dict", "options": PROPERTY},
    **KEADM_SPEC,
    **CLUSTER_SPEC,
}


def described(params):
    """The DeviceModel that the options describe. Raises FieldError."""
    if params["state"] == "absent":
        return manifest("DeviceModel", params)
    check_model_properties(params["properties"])
    spec = given({key: params[key] for key in ("protocol", "protocolConfigData")})
    spec["properties"] = [model_property(one) for one in params["properties"]]
    return manifest("DeviceModel", params, spec)


def command(params, check_mode):
    """The words for keadm."""
    verb = "apply" if params["state"] == "present" else "delete"
    words = [verb, "--kube-config", params["kubeconfig"], "--filename", "-"]
    return [*words, "--check"] if check_mode else words


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=SPEC,
        supports_check_mode=True,
        required_if=[("state", "present", ["properties"])],
    )
    params = module.params
    module.no_log_values.update(secrets_in(params["protocolConfigData"]))
    try:
        model = described(params)
    except FieldError as error:
        module.fail_json(msg=f"device_model: {error}")
    if reason := not_yet(module):
        present = params["state"] == "present"
        module.exit_json(changed=present, action="created" if present else "unchanged", msg=reason)
    try:
        answer = ask(module, command(params, module.check_mode), stdin=json.dumps(model))
    except KeadmError as error:
        module.fail_json(msg=f"device_model: {error}")
    result, _done = outcome(module, "DeviceModel/{namespace}/{name}".format(**params), answer)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
