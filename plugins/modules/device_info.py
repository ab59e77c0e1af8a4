#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Tell of devices and what they report, or wait until they report something."""

from __future__ import annotations

DOCUMENTATION = r"""
module: device_info
short_description: Read devices with what is desired of them and what they report, or wait for it
version_added: 1.0.0
description:
  - Tells of each device what Device, DeviceStatus and DeviceModel hold of it, with values in the types of the
    model.
  - With O(until) it looks again and again until an expression holds, and fails with the expression and the
    last values when it does not in time.
  - Works through C(keadm device list) of the host that has the kubeconfig, usually the cloud host.
requirements:
  - jmespath, with O(until) alone (C(python3-jmespath) in Debian)
author:
  - edgelab contributors (@edgelab)
options:
  name:
    description: Only devices of this name.
    type: str
  namespace:
    description: Only devices of this namespace. Without one those of all namespaces.
    type: str
  node:
    description: Only devices of this edge node.
    type: str
  model:
    description: Only devices of this DeviceModel.
    type: str
  label_selectors:
    description:
      - Only devices whose labels fit all of these, such as V(floor=0) or V(sensor in (thermal, hwmon\)).
    type: list
    elements: str
    default: []
  until:
    description:
      - A JMESPath expression over the result, which has the one key C(devices).
      - It holds unless it gives false, null, or an empty text, list or object.
      - In check mode it is looked at once, and nothing fails when it does not hold.
    type: str
  wait_timeout:
    description: Seconds within which O(until) has to hold.
    type: int
    default: 60
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
  - edgelab.kubeedge.attributes.keadm
  - edgelab.kubeedge.attributes.cluster
attributes:
  diff_mode:
    description: It changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: Read the devices of a node
  edgelab.kubeedge.device_info:
    node: edge1
  register: found

- name: Wait until the boiler reports a temperature that is no older than ten seconds
  edgelab.kubeedge.device_info:
    name: cellar
    namespace: default
    until: devices[0].properties.temperature.reported.age < `10`
    wait_timeout: 90

- name: Wait until every device of the cellar has taken the desired limit over
  edgelab.kubeedge.device_info:
    label_selectors: [floor=0]
    until: >-
      devices && !(devices[?properties.limit.reported.value != properties.limit.desired.value])
"""

RETURN = r"""
devices:
  description: The devices, by namespace and name.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Name of the device.
      type: str
    namespace:
      description: Its namespace.
      type: str
    labels:
      description: Its labels.
      type: dict
    model:
      description: Name of its DeviceModel.
      type: str
    node:
      description: The edge node that it belongs to.
      type: str
    protocol:
      description: Name of its protocol.
      type: str
    state:
      description: The state that its mapper reports, such as V(online).
      type: str
    lastOnlineTime:
      description: When it was online last, as the node says.
      type: str
    properties:
      description: By name, all properties that the model, the device or a report names.
      type: dict
      contains:
        type:
          description: Type of its values, such as V(FLOAT); empty without a model.
          type: str
        accessMode:
          description: V(ReadOnly) or V(ReadWrite); empty without a model.
          type: str
        unit:
          description: Unit of its values.
          type: str
        reportToCloud:
          description: Whether its values go to the cloud.
          type: bool
        desired:
          description: What is desired, with the key C(value); null when nothing is.
          type: dict
        reported:
          description:
            - What was reported last, null until then. C(value) is a number, true, false or a text, as the
              type says; C(timestamp) is the node's time in UTC, and C(age) the seconds since.
          type: dict
        observedDesired:
          description: What the node knows to be desired, with the same keys; null until it is reported.
          type: dict
"""

import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.edgelab.kubeedge.plugins.module_utils.keadm import (
    CLUSTER_SPEC,
    KEADM_SPEC,
    KeadmError,
    ask,
    not_yet,
    outdated,
)
from ansible_collections.edgelab.kubeedge.plugins.module_utils.polling import poll

try:
    import jmespath
except ImportError:
    jmespath = None
    JMESPATH_ERROR = traceback.format_exc()
else:
    JMESPATH_ERROR = None

SPEC = {
    "name": {"type": "str"},
    "namespace": {"type": "str"},
    "node": {"type": "str"},
    "model": {"type": "str"},
    "label_selectors": {"type": "list", "elements": "str", "default": []},
    "until": {"type": "str"},
    "wait_timeout": {"type": "int", "default": 60},
    **KEADM_SPEC,
    **CLUSTER_SPEC,
}
TOLD = 5
"""Devices whose values a failure tells."""


class Condition:
    """The expression of O(until). Raises ValueError when it is none."""

    def __init__(self, expression):
        self.expression = expression
        self.problem = ""
        try:
            self._compiled = jmespath.compile(expression)
        except jmespath.exceptions.JMESPathError as error:
            raise ValueError(f"until: {expression!r} is no JMESPath expression: {error}") from None

    def holds(self, devices):
        """Whether it does; functions that cannot be used on a value that is not there yet are `problem`."""
        try:
            found = self._compiled.search({"devices": devices})
        except jmespath.exceptions.JMESPathError as error:
            self.problem = f" ({error})"
            return False
        self.problem = ""
        return not (found is None or found is False or found in ("", [], {}))


def command(params):
    """The words for keadm."""
    words = ["device", "list", "--kube-config", params["kubeconfig"]]
    for key in ("name", "namespace", "node", "model"):
        if params[key]:
            words += [f"--{key}", params[key]]
    if params["label_selectors"]:
        words += ["--selector", ",".join(params["label_selectors"])]
    return words


def look(module, patient):
    """The devices; none while the API server is away and there is time to wait. Raises KeadmError."""
    try:
        return ask(module, command(module.params))["devices"]
    except KeadmError as error:
        if patient and error.answer.get("reason") == "Unreachable":
            module.debug(str(error))
            return []
        raise


def values(devices):
    """What devices reported last, for a message."""
    if not devices:
        return "no devices"
    told = [
        f"{one['namespace']}/{one['name']} " + (", ".join(reports(one["properties"])) or "has no properties")
        for one in devices[:TOLD]
    ]
    more = len(devices) - TOLD
    return "; ".join(told) + (f"; {more} more devices" if more > 0 else "")


def reports(properties):
    """A few words for each property."""
    for name, one in properties.items():
        reported = one["reported"]
        if reported is None:
            yield f"{name} not reported"
        else:
            since = "" if reported["age"] is None else f" ({reported['age']:.0f} s ago)"
            yield f"{name}={reported['value']!r}{since}"


def wait(module):
    """The devices once the expression holds; the module fails otherwise. Raises KeadmError, ValueError."""
    params = module.params
    condition = Condition(params["until"])
    seconds = 0 if module.check_mode else params["wait_timeout"]
    devices, held = poll(lambda: look(module, seconds > 0), condition.holds, seconds)
    if not held and not module.check_mode:
        module.fail_json(
            msg=f"device_info: until {params['until']!r} did not hold within {seconds} s{condition.problem};"
            f" last values: {values(devices)}",
            devices=devices,
        )
    return devices


def main():
    """Entry point."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    if module.params["until"] and jmespath is None:
        text = missing_required_lib("jmespath", reason="for the option until")
        module.fail_json(
            msg=f"{text} On Debian or Ubuntu: apt install python3-jmespath, on the host that the task runs on"
            " (with `delegate_to: localhost` that is the controller).",
            exception=JMESPATH_ERROR,
        )
    if reason := not_yet(module):
        module.exit_json(changed=False, devices=[], msg=reason)
    try:
        devices = wait(module) if module.params["until"] else look(module, patient=False)
    except (KeadmError, ValueError) as error:
        if reason := outdated(module, error):
            module.exit_json(changed=False, devices=[], msg=reason)
        module.fail_json(msg=f"device_info: {error}")
    module.exit_json(changed=False, devices=devices)


if __name__ == "__main__":
    main()
