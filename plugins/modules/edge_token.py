#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Make and revoke join tokens for one node each."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edge_token
short_description: Make or revoke a join token for one edge node
version_added: 1.0.0
description:
  - Makes a token with which one node can join once, through C(keadm token) of the host that has the
    kubeconfig.
  - The cluster keeps a record of it, never the token itself, so it is returned only by the run that makes it.
    Give the task C(no_log).
  - A token that was used, was revoked or has ended is worth nothing. A node that has joined keeps its
    certificate.
author:
  - edgelab contributors (@edgelab)
options:
  node:
    description: Name of the node that the token is for.
    type: str
    required: true
  state:
    description:
      - V(present) makes a token when the node has none that can still be used.
      - V(rotated) revokes those of the node and makes a new one, every time.
      - V(absent) revokes those of the node.
    type: str
    choices: [present, rotated, absent]
    default: present
  ttl:
    description: How long the token is good, as a number and C(s), C(m), C(h) or C(d).
    type: str
    default: 24h
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
  - edgelab.kubeedge.attributes.keadm
  - edgelab.kubeedge.attributes.cluster
"""

EXAMPLES = r"""
- name: Make a token for the node
  edgelab.kubeedge.edge_token:
    node: edge1
    state: rotated
    ttl: 1h
  register: edge_token
  no_log: true
  delegate_to: "{{ groups['cloud'] | first }}"

- name: Make the node's tokens worthless
  edgelab.kubeedge.edge_token:
    node: edge1
    state: absent
"""

RETURN = r"""
token:
  description: The token; empty when this run made none.
  type: str
  returned: success
id:
  description: What the cluster knows the token by; empty when there is none.
  type: str
  returned: success
expires:
  description: When the token ends.
  type: str
  returned: success
revoked:
  description: Ids of tokens that were revoked.
  type: list
  elements: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils.keadm import (
    CLUSTER_SPEC,
    KEADM_SPEC,
    KeadmError,
    ask,
    not_yet,
)

NOTHING = {"token": "", "id": "", "expires": "", "revoked": []}


def command(params):
    """What to ask of keadm."""
    where = ["--node", params["node"], "--kube-config", params["kubeconfig"]]
    if params["state"] == "absent":
        return ["token", "delete", *where]
    how = "--missing" if params["state"] == "present" else "--rotate"
    return ["token", "create", *where, "--ttl", params["ttl"], how]


def difference(answer):
    """Ids before and after; the new one has none yet in check mode."""
    made = [answer["id"] or "a new token"] if answer["state"] != "absent" else []
    return {
        "before": "".join(f"{identifier}\n" for identifier in answer["revoked"]),
        "after": "".join(f"{identifier}\n" for identifier in made),
    }


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "node": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "rotated", "absent"], "default": "present"},
            "ttl": {"type": "str", "default": "24h"},
            **KEADM_SPEC,
            **CLUSTER_SPEC,
        },
        supports_check_mode=True,
    )
    if reason := not_yet(module):
        module.exit_json(changed=True, msg=reason, **NOTHING)
    try:
        answer = ask(module, [*command(module.params), *(["--check"] if module.check_mode else [])])
    except KeadmError as error:
        module.fail_json(msg=f"edge_token: {error}")
    result = {key: answer.get(key, empty) for key, empty in NOTHING.items()}
    if module._diff and answer["changed"]:
        result["diff"] = difference({**result, "state": module.params["state"]})
    module.exit_json(changed=answer["changed"], **result)


if __name__ == "__main__":
    main()
