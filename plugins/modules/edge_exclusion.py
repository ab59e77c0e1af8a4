#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Keep DaemonSets and Deployments off edge nodes, and find those that are there."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edge_exclusion
short_description: Keep DaemonSets and Deployments off edge nodes
version_added: 1.0.0
description:
  - kube-proxy and the agents of a pod network tolerate every taint, so that they come to edge nodes too,
    which the pod network cannot reach. A taint on edge nodes does not keep them away; a node affinity does.
  - The pods of what is named here require, beside all that they require already, a node without the label
    C(node-role.kubernetes.io/edge). Other parts of the affinity stay.
  - What a nodeSelector or an affinity puts on edge nodes only is left as it is.
  - Works through C(keadm off-edge) of the host that has the kubeconfig, usually the cloud one.
author:
  - edgelab contributors (@edgelab)
options:
  state:
    description:
      - V(present) sees to the affinity. It is replaced by nobody but an upgrade with kubeadm, which applies
        kube-proxy and CoreDNS anew.
      - V(verified) changes nothing, waits until no pod is on an edge node, and fails naming those that stay.
    type: str
    choices: [present, verified]
    default: present
  daemonsets:
    description: The DaemonSets, as C(namespace/name) with C(*) and C(?).
    type: list
    elements: str
    default: ["*/*"]
  deployments:
    description: The Deployments, as C(namespace/name) with C(*) and C(?).
    type: list
    elements: str
    default: []
  allow:
    description: Those of them that may run on edge nodes, as C(namespace/name) with C(*) and C(?).
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds to wait with O(state=verified).
    type: int
    default: 60
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
  - edgelab.kubeedge.attributes.keadm
  - edgelab.kubeedge.attributes.cluster
"""

EXAMPLES = r"""
- name: Keep kube-proxy, the pod network and whatever else is on every node off edge nodes
  edgelab.kubeedge.edge_exclusion:
    deployments: [kube-system/coredns]
    allow: [monitoring/node-exporter]

- name: Check that nothing of it is on an edge node
  edgelab.kubeedge.edge_exclusion:
    state: verified
    allow: [monitoring/node-exporter]
"""

RETURN = r"""
nodes:
  description: The edge nodes, by their label.
  type: list
  elements: str
  returned: success
open:
  description:
    - DaemonSets that could come to edge nodes and are not allowed to, as namespace and name.
    - They are told with O(state=verified), as a warning as well.
  type: list
  elements: str
  returned: always
workloads:
  description: What was looked at.
  type: list
  elements: dict
  returned: always
  contains:
    kind:
      description: V(DaemonSet) or V(Deployment).
      type: str
    namespace:
      description: Its namespace.
      type: str
    name:
      description: Its name.
      type: str
    edge:
      description: V(off) when it cannot come to edge nodes, V(only) when it is made for them, V(open) else.
      type: str
    tolerates:
      description: Whether the taint C(node-role.kubernetes.io/edge:NoSchedule) would not keep it away.
      type: bool
    pods:
      description: Its pods on edge nodes, each with its node.
      type: list
      elements: str
    changed:
      description: Whether its affinity was changed.
      type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils.keadm import (
    CLUSTER_SPEC,
    KEADM_SPEC,
    KeadmError,
    ask,
    diff_of,
    not_yet,
)

SPEC = {
    "state": {"type": "str", "choices": ["present", "verified"], "default": "present"},
    "daemonsets": {"type": "list", "elements": "str", "default": ["*/*"]},
    "deployments": {"type": "list", "elements": "str", "default": []},
    "allow": {"type": "list", "elements": "str", "default": []},
    "wait_timeout": {"type": "int", "default": 60},
    **KEADM_SPEC,
    **CLUSTER_SPEC,
}
NOTHING = "-/-"
"""A pattern that fits no name; keadm takes its own default when it is given none."""


def command(params, check_mode):
    """The words for keadm."""
    verb = "set" if params["state"] == "present" else "verify"
    words = ["off-edge", verb, "--kube-config", params["kubeconfig"]]
    for option, name in (
        ("--daemonset", "daemonsets"),
        ("--deployment", "deployments"),
        ("--allow", "allow"),
    ):
        patterns = params[name] or ([NOTHING] if name == "daemonsets" else [])
        words += [word for pattern in patterns for word in (option, pattern)]
    if verb == "verify":
        words += ["--timeout", str(params["wait_timeout"])]
    elif check_mode:
        words.append("--check")
    return words


def without_sides(workloads):
    """The entries without the affinities, which are for the diff."""
    return [{key: value for key, value in one.items() if key not in ("before", "after")} for one in workloads]


def main():
    """Entry point."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    if reason := not_yet(module):
        module.exit_json(
            changed=module.params["state"] == "present", workloads=[], nodes=[], open=[], msg=reason
        )
    try:
        answer = ask(module, command(module.params, module.check_mode))
    except KeadmError as error:
        known = error.answer
        module.fail_json(
            msg=f"edge_exclusion: {error}",
            open=known.get("open", []),
            workloads=without_sides(known.get("workloads", [])),
        )
    workloads = answer["workloads"]
    result = {"changed": answer["changed"], "nodes": answer["nodes"], "open": answer.get("open", [])}
    for key in result["open"]:
        module.warn(f"DaemonSet {key} could come to edge nodes: name it in daemonsets, or in allow")
    if module._diff and answer["changed"]:
        result["diff"] = diff_of(
            ("{kind}/{namespace}/{name} nodeAffinity".format(**one), one["before"], one["after"])
            for one in workloads
            if one["changed"]
        )
    module.exit_json(workloads=without_sides(workloads), **result)


if __name__ == "__main__":
    main()
