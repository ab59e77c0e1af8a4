#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Describe a device of an edge node, and say what is desired of it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: device
short_description: Create, change or delete a device, and set what is desired of it
version_added: 1.0.0
description:
  - Works on a Device (C(devices.kubeedge.io/v1beta1)) through C(keadm device apply) of the host that has the
    kubeconfig, usually the cloud host.
  - What the task does not name stays. Properties and methods go by their names, and of a property only the
    options that are given change, so a task that says nothing but what is desired leaves all else as it is.
  - What the device's model does not allow is refused by the name of the field. Refused are properties that it
    does not have, values that are none of its type or beyond its limits, and anything desired of a ReadOnly
    property.
  - Options below O(protocol), O(properties), O(methods) and O(stateReport) are spelled as the fields of the
    object, so that parts of a manifest can be pasted.
author:
  - edgelab contributors (@edgelab)
options:
  name:
    description: Name of the device.
    type: str
    required: true
  namespace:
    description: Its namespace, which is that of its model too.
    type: str
    default: default
  state:
    description: V(absent) deletes the device, and with it what it has reported.
    type: str
    choices: [present, absent]
    default: present
  labels:
    description: Labels to set. Others stay.
    type: dict
  annotations:
    description:
      - Annotations to set. Others stay.
      - C(edgelab.io/spool) and C(edgelab.io/offline-after) are described in docs/reference/devices.md.
    type: dict
  model:
    description: The DeviceModel. A new device needs one.
    type: str
  node:
    description: The edge node that the device belongs to. Without one nobody is told of the device.
    type: str
  protocol:
    description: How the device is reached.
    type: dict
    suboptions:
      protocolName:
        description: Name of the protocol, which chooses the mapper.
        type: str
      configData:
        description: Parameters of the connection, in terms of the protocol. They are replaced as a whole.
        type: dict
  properties:
    description: What to say of properties; each name once.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of a property of the model.
        type: str
        required: true
      desired:
        description:
          - The value that the device is to take; a text, a number, true or false.
          - A dictionary with C(value) and C(metadata), as in the object, is taken as well.
        type: raw
      reportToCloud:
        description: Whether its values go to the cloud.
        type: bool
      collectCycle:
        description: Milliseconds between two readings.
        type: int
      reportCycle:
        description: Milliseconds between two values to O(properties[].pushMethod).
        type: int
      visitors:
        description: Where the mapper finds the property in the device. It is replaced as a whole.
        type: dict
        suboptions:
          protocolName:
            description: Name of the protocol.
            type: str
          configData:
            description: Its place, in terms of the protocol.
            type: dict
      pushMethod:
        description:
          - Where the mapper itself sends values, beside the cloud; with the keys C(http), C(mqtt), C(otel),
            C(dbMethod) and C(anomalyDetection) of the object. It is replaced as a whole.
        type: dict
  methods:
    description: Operations that the mapper offers on the node; each name once.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the method.
        type: str
        required: true
      description:
        description: What it is for.
        type: str
      propertyNames:
        description: The properties that it sets.
        type: list
        elements: str
  stateReport:
    description: Whether and how often the mapper reports the device's state.
    type: dict
    suboptions:
      reportToCloud:
        description: Whether the state goes to the cloud.
        type: bool
      reportCycle:
        description: Milliseconds between two reports.
        type: int
  purge:
    description:
      - Make the device exactly what the task says. What it does not name is taken away, except labels and
        annotations.
    type: bool
    default: false
seealso:
  - module: edgelab.kubeedge.device_model
  - module: edgelab.kubeedge.device_info
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
  - edgelab.kubeedge.attributes.keadm
  - edgelab.kubeedge.attributes.cluster
"""

EXAMPLES = r"""
- name: Describe the boiler in the cellar
  edgelab.kubeedge.device:
    name: cellar
    model: boiler
    node: edge1
    labels:
      floor: 0
    protocol:
      protocolName: modbus
      configData:
        communicateMode: RTU
        serialPort: /dev/ttyS0
    properties:
      - name: temperature
        reportToCloud: true
        collectCycle: 1000
        visitors:
          protocolName: modbus
          configData: {register: HoldingRegister, offset: 2, limit: 1}
      - name: limit
        desired: 55
        reportToCloud: true

- name: Heat to 60 degrees, and leave everything else as it is
  edgelab.kubeedge.device:
    name: cellar
    properties:
      - name: limit
        desired: 60

- name: Take the device away
  edgelab.kubeedge.device:
    name: cellar
    state: absent
"""

RETURN = r"""
action:
  description: One of V(created), V(changed), V(deleted) and V(unchanged).
  type: str
  returned: success
device:
  description: The device as it is, or would be, after the task. Empty when it is deleted.
  type: dict
  returned: success
  contains:
    labels:
      description: Its labels.
      type: dict
    spec:
      description: Its C(spec), as in the object.
      type: dict
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils.devices import (
    VISITORS,
    FieldError,
    device_spec,
    manifest,
)
from ansible_collections.edgelab.kubeedge.plugins.module_utils.keadm import (
    CLUSTER_SPEC,
    KEADM_SPEC,
    KeadmError,
    ask,
    not_yet,
    outcome,
    outdated,
    secrets_in,
)

REPORTS = {"reportToCloud": {"type": "bool"}, "reportCycle": {"type": "int"}}
PROPERTY = {
    "name": {"type": "str", "required": True},
    "desired": {"type": "raw"},
    "collectCycle": {"type": "int"},
    "visitors": {"type": "dict", "options": VISITORS},
    "pushMethod": {"type": "dict"},
    **REPORTS,
}
METHOD = {
    "name": {"type": "str", "required": True},
    "description": {"type": "str"},
    "propertyNames": {"type": "list", "elements": "str"},
}
SPEC = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "labels": {"type": "dict"},
    "annotations": {"type": "dict"},
    "model": {"type": "str"},
    "node": {"type": "str"},
    "protocol": {"type": "dict", "options": VISITORS},
    "properties": {"type": "list", "elements": "dict", "options": PROPERTY},
    "methods": {"type": "list", "elements": "dict", "options": METHOD},
    "stateReport": {"type": "dict", "options": REPORTS},
    "purge": {"type": "bool", "default": False},
    **KEADM_SPEC,
    **CLUSTER_SPEC,
}


def described(params):
    """The Device that the options describe, perhaps a part of one. Raises FieldError."""
    if params["state"] == "absent":
        return manifest("Device", params)
    return manifest("Device", params, device_spec(params))


def command(params, check_mode):
    """The words for keadm."""
    words = ["device", "apply"] if params["state"] == "present" else ["delete"]
    words += ["--kube-config", params["kubeconfig"], "--filename", "-"]
    if params["purge"] and params["state"] == "present":
        words.append("--purge")
    return [*words, "--check"] if check_mode else words


def told(module, answer):
    """The module's result."""
    title = "Device/{namespace}/{name}".format(**module.params)
    result, done = outcome(module, title, answer)
    if not module.check_mode:  # there, a task before this one would have made the model
        for line in answer.get("warnings", []):
            module.warn(line)
    return {**result, "device": done["after"] if module.params["state"] == "present" else {}}


def main():
    """Entry point."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    params = module.params
    module.no_log_values.update(secrets_in([params["protocol"], params["properties"]]))
    try:
        device = described(params)
    except FieldError as error:
        module.fail_json(msg=f"device: {error}")
    reason = not_yet(module)
    try:
        answer = None if reason else ask(module, command(params, module.check_mode), json.dumps(device))
    except KeadmError as error:
        reason = outdated(module, error)
        if not reason:
            module.fail_json(msg=f"device: {error}")
    if reason:
        present = params["state"] == "present"
        action = "created" if present else "unchanged"
        module.exit_json(changed=present, action=action, device={}, msg=reason)
    module.exit_json(**told(module, answer))


if __name__ == "__main__":
    main()
