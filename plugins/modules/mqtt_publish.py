#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Publish an MQTT message, and wait for an answer to it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mqtt_publish
short_description: Publish an MQTT message, and wait for an answer to it
version_added: 1.0.0
description:
  - Publishes one message through C(keadm mqtt publish) of the host it runs on, usually an edge node, whose
    broker is local. That host needs no MQTT library for the system's Python.
  - With O(wait_for) it subscribes first and returns the first message that comes there after its own, as a
    device's C(twin/get) is answered on C(twin/get/result).
  - A message is sent each time, so the result is always changed, in check mode too. Give a task that only
    asks C(changed_when=false).
author:
  - edgelab contributors (@edgelab)
options:
  topic:
    description: Where to publish.
    type: str
    required: true
  payload:
    description:
      - What to publish. A text is sent as it is; anything else, such as a dictionary, as JSON.
      - With O(retain), an empty text takes the message away that the broker keeps.
    type: raw
    required: true
  qos:
    description:
      - Quality of service. With V(0) the module does not know whether the broker got the message.
    type: int
    choices: [0, 1, 2]
    default: 1
  retain:
    description: Whether the broker keeps the message for those who subscribe later.
    type: bool
    default: false
  wait_for:
    description:
      - A topic, which may hold C(+) and C(#), on which an answer is awaited.
      - Messages that the broker keeps there from earlier are no answer.
    type: str
  timeout:
    description: Seconds for everything, from connecting to the answer.
    type: int
    default: 10
  host:
    description: The broker, as seen from the host that the module runs on.
    type: str
    default: 127.0.0.1
  port:
    description: Its port. The default is 1883, and 8883 with TLS.
    type: int
  username:
    description: User at the broker.
    type: str
  password:
    description: Password of the user. It is not seen in the list of processes.
    type: str
  tls:
    description: Whether to use TLS. O(ca_cert) and O(client_cert) imply it.
    type: bool
    default: false
  ca_cert:
    description: File, on the host, with the authorities to trust. Without one those of the system.
    type: path
  client_cert:
    description: File, on the host, with a certificate for this client.
    type: path
  client_key:
    description: File, on the host, with the key of O(client_cert).
    type: path
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
  - edgelab.kubeedge.attributes.keadm
attributes:
  check_mode:
    description: Tells what would be published, and asks no broker.
  idempotent:
    description: Each run publishes.
    support: none
"""

EXAMPLES = r"""
- name: Report a temperature, as a mapper would
  edgelab.kubeedge.mqtt_publish:
    topic: $hw/events/device/default/cellar/twin/update
    payload:
      event_id: ""
      timestamp: 0
      twin:
        temperature:
          actual:
            value: "21.5"

- name: Ask EdgeCore for the twins of a device
  edgelab.kubeedge.mqtt_publish:
    topic: $hw/events/device/default/cellar/twin/get
    payload: {event_id: "", timestamp: 0}
    wait_for: $hw/events/device/default/cellar/twin/get/result
  register: twins
  changed_when: false

- name: Publish at a broker with TLS and a login
  edgelab.kubeedge.mqtt_publish:
    topic: site/mode
    payload: night
    retain: true
    host: broker.example.org
    ca_cert: /etc/ssl/certs/site.pem
    username: site
    password: "{{ site_password }}"
"""

RETURN = r"""
broker:
  description: Where it was published.
  type: str
  returned: success
topic:
  description: The topic.
  type: str
  returned: success
payload:
  description: What was published, as text.
  type: str
  returned: success
qos:
  description: Quality of service.
  type: int
  returned: success
retain:
  description: Whether the broker keeps it.
  type: bool
  returned: success
answer:
  description: The answer.
  type: dict
  returned: with O(wait_for), except in check mode
  contains:
    topic:
      description: The topic on which it came.
      type: str
    payload:
      description: The answer as text.
      type: str
    json:
      description: The answer as data, where it is JSON.
      type: raw
    qos:
      description: Quality of service.
      type: int
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils.keadm import (
    KEADM_SPEC,
    KeadmError,
    ask,
    not_yet,
    outdated,
)

SPEC = {
    "topic": {"type": "str", "required": True},
    "payload": {"type": "raw", "required": True},
    "qos": {"type": "int", "choices": [0, 1, 2], "default": 1},
    "retain": {"type": "bool", "default": False},
    "wait_for": {"type": "str"},
    "timeout": {"type": "int", "default": 10},
    "host": {"type": "str", "default": "127.0.0.1"},
    "port": {"type": "int"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "tls": {"type": "bool", "default": False},
    "ca_cert": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    **KEADM_SPEC,
}
WORDS = (
    ("--host", "host"),
    ("--port", "port"),
    ("--qos", "qos"),
    ("--wait-for", "wait_for"),
    ("--timeout", "timeout"),
    ("--username", "username"),
    ("--cafile", "ca_cert"),
    ("--cert", "client_cert"),
    ("--key", "client_key"),
)


def text_of(payload):
    """What goes over the wire."""
    return payload if isinstance(payload, str) else json.dumps(payload, separators=(",", ":"))


def command(params, check_mode):
    """The words for keadm; payload and password go another way."""
    words = ["mqtt", "publish", "--topic", params["topic"], "--request", "-"]
    for flag, key in WORDS:
        if params[key] is not None:
            words += [flag, str(params[key])]
    words += [f"--{key}" for key in ("retain", "tls") if params[key]]
    return [*words, "--check"] if check_mode else words


def publish(module, payload):
    """What keadm answers. Raises KeadmError."""
    if reason := not_yet(module):
        return {"broker": module.params["host"], "msg": reason}
    request = {"payload": payload, "password": module.params["password"] or ""}
    try:
        return ask(module, command(module.params, module.check_mode), stdin=request)
    except KeadmError as error:
        if reason := outdated(module, error):
            return {"broker": module.params["host"], "msg": reason}
        raise


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec=SPEC,
        supports_check_mode=True,
        required_together=[("client_cert", "client_key")],
        required_by={"password": ["username"]},
    )
    params = module.params
    payload = text_of(params["payload"])
    try:
        told = publish(module, payload)
    except KeadmError as error:
        module.fail_json(msg=f"mqtt_publish: {error}")
    result = {key: told[key] for key in ("broker", "answer", "msg") if key in told}
    if module._diff:
        result["diff"] = {"before": "", "after": f"{payload}\n", "after_header": params["topic"]}
    module.exit_json(
        changed=True,
        topic=params["topic"],
        payload=payload,
        qos=params["qos"],
        retain=params["retain"],
        **result,
    )


if __name__ == "__main__":
    main()
