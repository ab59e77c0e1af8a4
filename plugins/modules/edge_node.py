#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Register, label, taint, await and remove edge nodes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edge_node
short_description: Register an edge node, set its labels and taints, wait until it is Ready
version_added: 1.0.0
description:
  - Works on the Node object through C(keadm node) of the host that has the kubeconfig, usually the cloud one.
  - When a node is not Ready in time, the module fails and says why, as the API server knows it.
author:
  - edgelab contributors (@edgelab)
options:
  name:
    description: Name of the node.
    type: str
    required: true
  state:
    description:
      - V(registered) creates the Node object when it is missing, for an EdgeCore with C(registerNode) off.
      - V(present) changes labels and taints of a node that is there, and fails when it is not.
      - V(ready) waits until the node is Ready, then does the same.
      - V(absent) deletes the Node object. What runs on the node is not touched.
    type: str
    choices: [present, registered, ready, absent]
    default: present
  labels:
    description:
      - Labels to set. Others stay.
      - An empty text is a label without a value; a null removes the label.
    type: dict
    default: {}
  taints:
    description: Taints to set or remove. Others stay.
    type: list
    elements: dict
    default: []
    suboptions:
      key:
        description: Key of the taint.
        type: str
        required: true
      value:
        description: Value of the taint.
        type: str
        default: ""
      effect:
        description: What the taint does to pods.
        type: str
        choices: [NoSchedule, PreferNoSchedule, NoExecute]
        required: true
      state:
        description: Whether the taint is to be there.
        type: str
        choices: [present, absent]
        default: present
  wait_timeout:
    description: Seconds to wait with O(state=ready).
    type: int
    default: 120
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
  - edgelab.kubeedge.attributes.keadm
  - edgelab.kubeedge.attributes.cluster
"""

EXAMPLES = r"""
- name: Wait until the edge node is Ready
  edgelab.kubeedge.edge_node:
    name: edge1
    state: ready
    labels:
      site: hall-3
  delegate_to: "{{ groups['cloud'] | first }}"

- name: Create the node by hand and keep ordinary pods away
  edgelab.kubeedge.edge_node:
    name: edge2
    state: registered
    taints:
      - key: node-role.kubernetes.io/edge
        effect: NoSchedule
"""

RETURN = r"""
ready:
  description: Whether the node is Ready.
  type: bool
  returned: always
reason:
  description: Why the node is not Ready; empty when it is.
  type: str
  returned: always
node:
  description: The Node object; empty when there is none.
  type: dict
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

TAINT_SPEC = {
    "key": {"type": "str", "required": True, "no_log": False},
    "value": {"type": "str", "default": ""},
    "effect": {"type": "str", "choices": ["NoSchedule", "PreferNoSchedule", "NoExecute"], "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def label_arguments(labels):
    """`--label` options for a mapping; null removes."""
    pairs = sorted(labels.items())
    words = [f"{key}-" if value is None else f"{key}={value}" for key, value in pairs]
    return [part for word in words for part in ("--label", word)]


def taint_arguments(taints):
    """`--taint` options for a list of taints."""
    arguments = []
    for taint in taints:
        if taint["state"] == "absent":
            word = "{key}:{effect}-".format(**taint)
        else:
            value = "={value}".format(**taint) if taint["value"] else ""
            word = "{key}{}:{effect}".format(value, **taint)
        arguments += ["--taint", word]
    return arguments


class Node:
    """One node, as keadm sees it; remembers whether anything was changed."""

    def __init__(self, module):
        self.module = module
        self.changed = False

    def ask(self, verb, *arguments):
        """Run one `keadm node` command."""
        where = ["--name", self.module.params["name"], "--kube-config", self.module.params["kubeconfig"]]
        answer = ask(self.module, ["node", verb, *where, *arguments])
        self.changed = self.changed or answer.get("changed", False)
        return answer

    def change(self, verb, *arguments):
        """Run a command that changes something, or would in check mode."""
        return self.ask(verb, *arguments, *(["--check"] if self.module.check_mode else []))

    def set(self, labels, taints):
        """Labels and taints of a node that is there."""
        if labels:
            self.change("label", *labels)
        if taints:
            self.change("taint", *taints)

    def reach(self, state):
        """Bring the node to a state. Raises KeadmError."""
        labels = label_arguments(self.module.params["labels"])
        taints = taint_arguments(self.module.params["taints"])
        if state == "absent":
            return self.change("delete")
        if state == "registered":
            return self.change("register", *labels, *taints)
        if state == "ready" and not self.module.check_mode:
            before = self.ask("wait", "--timeout", str(self.module.params["wait_timeout"]))
        else:
            before = self.ask("get")
        if not before["exists"]:
            if self.module.check_mode:
                return before  # it will be there when the tasks before this one have been done
            raise KeadmError("node {}: {}".format(self.module.params["name"], before["reason"]), before)
        self.set(labels, taints)
        return self.ask("get") if self.changed and not self.module.check_mode else before


def summary(node):
    """What of a node belongs into a diff."""
    labels = (node.get("metadata") or {}).get("labels") or {}
    taints = (node.get("spec") or {}).get("taints") or []
    lines = [f"label {key}={value}" for key, value in sorted(labels.items())]
    lines += ["taint {}={}:{}".format(t["key"], t.get("value", ""), t["effect"]) for t in taints]
    return "".join(line + "\n" for line in lines)


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["present", "registered", "ready", "absent"],
                "default": "present",
            },
            "labels": {"type": "dict", "default": {}},
            "taints": {"type": "list", "elements": "dict", "default": [], "options": TAINT_SPEC},
            "wait_timeout": {"type": "int", "default": 120},
            **KEADM_SPEC,
            **CLUSTER_SPEC,
        },
        supports_check_mode=True,
    )
    if reason := not_yet(module):
        module.exit_json(changed=True, ready=False, reason=reason, node={})
    node = Node(module)
    try:
        before = node.ask("get").get("node", {}) if module._diff else {}
        answer = node.reach(module.params["state"])
    except KeadmError as error:
        known = error.answer
        module.fail_json(
            msg=f"edge_node: {error}", ready=known.get("ready", False), reason=known.get("reason", "")
        )
    result = {"changed": node.changed, "ready": answer["ready"], "reason": answer["reason"]}
    if module._diff and node.changed:
        result["diff"] = {"before": summary(before), "after": summary(answer["node"])}
    module.exit_json(node=answer["node"], **result)


if __name__ == "__main__":
    main()
