#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Register, label, taint, await, cordon, drain and remove edge nodes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edge_node
short_description: Register, label, await, cordon, drain and remove an edge node
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
      - V(cordoned) lets no new pods be scheduled to the node, V(uncordoned) lets them again.
      - V(drained) cordons the node and evicts its pods, except those of DaemonSets and mirror pods, and
        waits until they are gone. It fails naming the pods that stay.
      - V(absent) deletes the Node object. What runs on the node is not touched.
    type: str
    choices: [present, registered, ready, cordoned, uncordoned, drained, absent]
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
    description: Seconds to wait with O(state=ready) and O(state=drained).
    type: int
    default: 120
  max_lease_age:
    description:
      - With O(state=ready), insist on a lease that the node renewed within so many seconds.
      - A node stays Ready for 50 seconds after EdgeCore died. EdgeCore renews its lease every 10 seconds.
      - V(0) does not look at the lease.
    type: int
    default: 0
  force:
    description: With O(state=drained), evict pods too that no controller makes anew.
    type: bool
    default: false
  delete_emptydir_data:
    description: With O(state=drained), evict pods too whose C(emptyDir) is lost with them.
    type: bool
    default: false
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

- name: Empty the node before its host is worked on
  edgelab.kubeedge.edge_node:
    name: edge1
    state: drained
    delete_emptydir_data: true

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
evicted:
  description: Pods that were evicted, as namespace and name.
  type: list
  elements: str
  returned: success
pods:
  description: Pods that stay, when draining failed.
  type: list
  elements: str
  returned: failure
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

VERBS = {"cordoned": "cordon", "uncordoned": "uncordon", "drained": "drain"}
STATES = ["present", "registered", "ready", "cordoned", "uncordoned", "drained", "absent"]
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
        self.evicted = []

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

    def find(self, state):
        """The node, for V(ready) once it is."""
        if state != "ready" or self.module.check_mode:
            return self.ask("get")
        params = self.module.params
        wait = ["--timeout", str(params["wait_timeout"])]
        lease = ["--max-lease-age", str(params["max_lease_age"])] if params["max_lease_age"] else []
        try:
            return self.ask("wait", *lease, *wait)
        except KeadmError as error:
            if not lease or "No such option" not in str(error):
                raise
            self.module.warn(f"keadm is older and knows no {lease[0]}: the lease is not looked at")
            return self.ask("wait", *wait)

    def drain_options(self, state):
        """How far draining may go."""
        if state != "drained":
            return []
        params = self.module.params
        options = ["--timeout", str(params["wait_timeout"])]
        options += ["--force"] if params["force"] else []
        return [*options, *(["--delete-emptydir-data"] if params["delete_emptydir_data"] else [])]

    def reach(self, state):
        """Bring the node to a state. Raises KeadmError."""
        labels = label_arguments(self.module.params["labels"])
        taints = taint_arguments(self.module.params["taints"])
        if state == "absent":
            return self.change("delete")
        if state == "registered":
            return self.change("register", *labels, *taints)
        before = self.find(state)
        if not before["exists"]:
            if self.module.check_mode:
                return before  # it will be there when the tasks before this one have been done
            raise KeadmError("node {}: {}".format(self.module.params["name"], before["reason"]), before)
        self.set(labels, taints)
        if state in VERBS:
            self.evicted = self.change(VERBS[state], *self.drain_options(state)).get("evicted", [])
        return self.ask("get") if self.changed and not self.module.check_mode else before


def summary(node):
    """What of a node belongs into a diff."""
    labels = (node.get("metadata") or {}).get("labels") or {}
    taints = (node.get("spec") or {}).get("taints") or []
    lines = [f"label {key}={value}" for key, value in sorted(labels.items())]
    lines += ["unschedulable"] if (node.get("spec") or {}).get("unschedulable") else []
    lines += ["taint {}={}:{}".format(t["key"], t.get("value", ""), t["effect"]) for t in taints]
    return "".join(line + "\n" for line in lines)


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": STATES, "default": "present"},
            "labels": {"type": "dict", "default": {}},
            "taints": {"type": "list", "elements": "dict", "default": [], "options": TAINT_SPEC},
            "wait_timeout": {"type": "int", "default": 120},
            "max_lease_age": {"type": "int", "default": 0},
            "force": {"type": "bool", "default": False},
            "delete_emptydir_data": {"type": "bool", "default": False},
            **KEADM_SPEC,
            **CLUSTER_SPEC,
        },
        supports_check_mode=True,
    )
    if reason := not_yet(module):
        module.exit_json(changed=True, ready=False, reason=reason, node={}, evicted=[])
    node = Node(module)
    try:
        before = node.ask("get").get("node", {}) if module._diff else {}
        answer = node.reach(module.params["state"])
    except KeadmError as error:
        known = error.answer
        module.fail_json(
            msg=f"edge_node: {error}",
            changed=node.changed or known.get("changed", False),
            ready=known.get("ready", False),
            reason=known.get("reason", ""),
            pods=known.get("pods", []),
        )
    result = {"changed": node.changed, "ready": answer["ready"], "reason": answer["reason"]}
    if module._diff and node.changed:
        result["diff"] = {"before": summary(before), "after": summary(answer["node"])}
    module.exit_json(node=answer["node"], evicted=node.evicted, **result)


if __name__ == "__main__":
    main()
