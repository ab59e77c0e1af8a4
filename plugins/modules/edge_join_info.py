#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Tell how nodes join: where CloudCore is, and one line to paste for each."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edge_join_info
short_description: Tell where nodes join, and make one join line for each that is to come
version_added: 1.0.0
description:
  - Tells the addresses in CloudCore's certificate and the hash of its authority, and changes nothing by that.
  - For each entry of O(nodes) it makes a token for that node alone, good once, and returns the line to
    paste on the host, as C(keadm join-command) prints it. Give the task C(no_log) then, and the lines to
    the right people.
  - All names and addresses are checked against the cluster and one another before the first token is made.
author:
  - edgelab contributors (@edgelab)
options:
  nodes:
    description: Nodes that are to come.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the node, a DNS label; no node of the cluster has it, unless O(nodes[].replace).
        type: str
        required: true
      ip:
        description: Its address, one that no other node of the cluster has.
        type: str
      replace:
        description: The node is there and its machine is gone; a new one takes its place.
        type: bool
        default: false
  cloudcore:
    description: Address at which the nodes reach CloudCore; by default the first one in its certificate.
    type: str
  hub_port:
    description: CloudCore's WebSocket port.
    type: int
    default: 10000
  https_port:
    description: CloudCore's port for certificates.
    type: int
    default: 10002
  ttl:
    description: How long the tokens are good, as a number and C(s), C(m), C(h) or C(d).
    type: str
    default: 24h
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
  - edgelab.kubeedge.attributes.keadm
  - edgelab.kubeedge.attributes.cluster
attributes:
  idempotent:
    description: Without O(nodes) it changes nothing; with them each run makes new tokens.
    support: partial
  diff_mode:
    description: There is nothing to compare; tokens are not shown.
    support: none
"""

EXAMPLES = r"""
- name: Make the lines for two hosts that somebody else sets up
  edgelab.kubeedge.edge_join_info:
    nodes:
      - name: edge7
        ip: 192.168.56.27
      - name: edge8
  register: join
  no_log: true

- name: Look where nodes join
  edgelab.kubeedge.edge_join_info:
"""

RETURN = r"""
nodes:
  description: One entry for each node asked for.
  type: list
  elements: dict
  returned: success
  contains:
    node:
      description: Name of the node.
      type: str
    command:
      description: The line to paste, with its token; in check mode without.
      type: str
    id:
      description: What the cluster knows the token by.
      type: str
    expires:
      description: When the token ends.
      type: str
endpoint:
  description: Where nodes join.
  type: dict
  returned: success
  contains:
    addresses:
      description: IP addresses in CloudCore's certificate.
      type: list
    dns_names:
      description: DNS names in it.
      type: list
    ca_hash:
      description: SHA-256 of the authority, with which every join token begins.
      type: str
    not_after:
      description: When CloudCore's certificate ends.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils.keadm import (
    CLUSTER_SPEC,
    KEADM_SPEC,
    KeadmError,
    ask,
    not_yet,
)


def join_command(params, node, *more):
    """The question for one node's line."""
    words = ["join-command", "--node", node["name"], "--kube-config", params["kubeconfig"]]
    words += ["--ttl", params["ttl"]]
    words += ["--hub-port", str(params["hub_port"]), "--certport", str(params["https_port"])]
    words += ["--node-ip", node["ip"]] if node.get("ip") else []
    words += ["--cloudcore", params["cloudcore"]] if params["cloudcore"] else []
    words += ["--replace"] if node.get("replace") else []
    return [*words, *more]


def doubles(nodes):
    """Names and addresses that are asked for twice."""
    values = [value for node in nodes for value in (node["name"], node.get("ip")) if value]
    return sorted({value for value in values if values.count(value) > 1})


def endpoint(module):
    """Where nodes join. Raises KeadmError."""
    where = ["--only", "cluster", "--kube-config", module.params["kubeconfig"]]
    found = {entry["name"]: entry for entry in ask(module, ["cert", "list", *where])["certificates"]}
    told = {key: found["cloudcore"][key] for key in ("addresses", "dns_names", "not_after")}
    return {**told, "ca_hash": found["ca"]["fingerprint"]}


def lines(module):
    """All lines, once all nodes are known to be free. Raises KeadmError."""
    nodes = module.params["nodes"]
    if twice := doubles(nodes):
        raise KeadmError("asked for twice: {}".format(", ".join(twice)))
    answers = [ask(module, join_command(module.params, node, "--check")) for node in nodes]
    if not module.check_mode:
        answers = [ask(module, join_command(module.params, node)) for node in nodes]
    return [{key: answer[key] for key in ("node", "command", "id", "expires")} for answer in answers]


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "nodes": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "ip": {"type": "str"},
                    "replace": {"type": "bool", "default": False},
                },
            },
            "cloudcore": {"type": "str"},
            "hub_port": {"type": "int", "default": 10000},
            "https_port": {"type": "int", "default": 10002},
            "ttl": {"type": "str", "default": "24h"},
            **KEADM_SPEC,
            **CLUSTER_SPEC,
        },
        supports_check_mode=True,
    )
    wanted = bool(module.params["nodes"])
    if reason := not_yet(module):
        module.exit_json(changed=wanted, msg=reason, nodes=[], endpoint={})
    try:
        found = endpoint(module)
        nodes = lines(module)
    except KeadmError as error:
        module.fail_json(msg=f"edge_join_info: {error}")
    module.exit_json(changed=wanted, nodes=nodes, endpoint=found)


if __name__ == "__main__":
    main()
