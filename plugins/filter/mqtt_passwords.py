# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""The file of users that MQTT brokers read, the same in every run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: mqtt_passwords
short_description: Users and passwords as mosquitto_passwd writes them
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Gives the text of a password file for Mosquitto and for EdgeCore's internal broker (PBKDF2 with SHA-512).
  - A salt comes from the host and the user, so that a second run finds the file as it is.
options:
  _input:
    description: Passwords by user.
    type: dict
    required: true
  host:
    description: Name of the host that the file is for; one password has another hash on each.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Say who may use the broker
  ansible.builtin.copy:
    content: "{{ mosquitto_users | edgelab.kubeedge.mqtt_passwords(inventory_hostname) }}"
    dest: /etc/mosquitto/edgelab.passwords
    mode: "0600"
  no_log: true
"""

RETURN = r"""
_value:
  description: The text of the file.
  type: str
"""

ITERATIONS = 101
"""As mosquitto_passwd: a broker computes this for each login while everything else waits."""


def mqtt_passwords(users: Mapping[str, Any], host: str) -> str:
    """A line `user:$7$iterations$salt$hash` for each user."""
    lines = []
    for user, password in sorted(users.items()):
        if not user or any(mark in user for mark in ":\r\n"):
            raise AnsibleFilterError(f"mqtt_passwords: {user!r} is no name: not empty, no colon, one line")
        if not isinstance(password, str) or not password:
            raise AnsibleFilterError(f"mqtt_passwords: user {user!r} needs a password, as text")
        salt = hashlib.sha256(f"{host}/{user}".encode()).digest()[:12]
        digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
        parts = (base64.b64encode(part).decode() for part in (salt, digest))
        lines.append(f"{user}:$7${ITERATIONS}${'$'.join(parts)}\n")
    return "".join(lines)


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """Filters by name."""
        return {"mqtt_passwords": mqtt_passwords}
