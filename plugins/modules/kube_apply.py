#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Apply Kubernetes manifests without a Kubernetes library on the host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_apply
short_description: Create or change Kubernetes objects as manifests say
version_added: 1.0.0
description:
  - Applies manifests through C(keadm apply), or takes them away through C(keadm delete), of the host that has
    the kubeconfig, usually the cloud host. That host needs no Kubernetes library for Python.
  - Objects that are missing are created, others get a JSON merge patch of what differs. Fields that a
    manifest names no longer are removed, fields that others set stay.
  - Namespaces and CustomResourceDefinitions come first, and the latter are waited for.
author:
  - edgelab contributors (@edgelab)
options:
  state:
    description:
      - V(absent) deletes the objects of O(definition) or O(src) that are there, with what they own.
    type: str
    choices: [present, absent]
    default: present
  definition:
    description: One object, or a list of objects.
    type: raw
  src:
    description: A manifest file, or a directory of them, on the host.
    type: path
  initialise:
    description:
      - Apply the namespace C(kubeedge) and KubeEdge's CustomResourceDefinitions, with
        C(keadm init --cluster-only).
    type: bool
    default: false
  off_edge:
    description:
      - Keep DaemonSets and Deployments of O(definition) or O(src) off edge nodes, as
        M(edgelab.kubeedge.edge_exclusion) does with those that are there.
      - Those that a nodeSelector or an affinity puts on edge nodes only are left as they are.
    type: bool
    default: false
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
  - edgelab.kubeedge.attributes.keadm
  - edgelab.kubeedge.attributes.cluster
"""

EXAMPLES = r"""
- name: Prepare the cluster for CloudCore
  edgelab.kubeedge.kube_apply:
    initialise: true

- name: Describe a device
  edgelab.kubeedge.kube_apply:
    definition:
      apiVersion: devices.kubeedge.io/v1beta1
      kind: Device
      metadata:
        name: thermo-1
      spec:
        nodeName: edge1
        deviceModelRef:
          name: thermometer

- name: Apply a pod network that shall not come to edge nodes
  edgelab.kubeedge.kube_apply:
    src: /etc/kubernetes/network.yaml
    off_edge: true

- name: Take a device away
  edgelab.kubeedge.kube_apply:
    state: absent
    definition:
      apiVersion: devices.kubeedge.io/v1beta1
      kind: Device
      metadata:
        name: thermo-1

- name: Apply a file with several objects
  edgelab.kubeedge.kube_apply:
    definition: "{{ lookup('ansible.builtin.template', 'demo.yaml.j2') | from_yaml_all }}"
"""

RETURN = r"""
objects:
  description: What became of each object.
  type: list
  elements: dict
  returned: success
  contains:
    kind:
      description: Kind of the object.
      type: str
    name:
      description: Name of the object.
      type: str
    namespace:
      description: Its namespace; empty for an object that has none.
      type: str
    action:
      description: One of V(created), V(changed), V(deleted) and V(unchanged).
      type: str
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils.keadm import (
    CLUSTER_SPEC,
    KEADM_SPEC,
    KeadmError,
    ask,
    diff_of,
    not_yet,
)


def as_text(definition):
    """The definition as something keadm reads: text stays, data becomes one List. Raises KeadmError."""
    if isinstance(definition, str):
        return definition
    objects = definition if isinstance(definition, list) else [definition]
    wrong = [item for item in objects if not isinstance(item, dict)]
    if wrong:
        raise KeadmError(f"definition holds {type(wrong[0]).__name__} where an object is expected")
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def apply(module):
    """Ask keadm. Raises KeadmError."""
    verb = "delete" if module.params["state"] == "absent" else "apply"
    command = [
        "init" if module.params["initialise"] else verb,
        "--kube-config",
        module.params["kubeconfig"],
    ]
    if module.check_mode:
        command.append("--check")
    if module.params["initialise"]:
        return initialise(module, command)
    if module.params["off_edge"] and module.params["state"] == "present":
        command.append("--off-edge")
    if module.params["src"] is not None:
        return ask(module, [*command, "--filename", module.params["src"]])
    return ask(module, [*command, "--filename", "-"], stdin=as_text(module.params["definition"]))


def initialise(module, command):
    """Prepare the cluster, also with the keadm that an upgrade finds there. Raises KeadmError."""
    try:
        return ask(module, [*command, "--cluster-only"])
    except KeadmError as error:
        if "No such option" not in str(error):
            raise
    # Before there was this option, nothing else was done.
    return ask(module, command)


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "definition": {"type": "raw"},
            "src": {"type": "path"},
            "initialise": {"type": "bool", "default": False},
            "off_edge": {"type": "bool", "default": False},
            **KEADM_SPEC,
            **CLUSTER_SPEC,
        },
        supports_check_mode=True,
    )
    given = [key for key in ("definition", "src", "initialise") if module.params[key]]
    if len(given) != 1:
        module.fail_json(msg="kube_apply: give exactly one of definition, src and initialise")
    if module.params["initialise"] and module.params["state"] == "absent":
        module.fail_json(
            msg="kube_apply: initialise cannot be taken back: too much goes with the definitions"
        )
    if reason := not_yet(module):
        module.exit_json(changed=module.params["state"] == "present", objects=[], msg=reason)
    try:
        answer = apply(module)
    except KeadmError as error:
        module.fail_json(msg=f"kube_apply: {error}")
    objects = answer["objects"]
    result = {"changed": answer["changed"]}
    if module._diff and answer["changed"]:
        result["diff"] = diff_of(
            ("{kind}/{name}".format(**one), one["before"], one["after"])
            for one in objects
            if one["action"] != "unchanged"
        )
    keys = ("kind", "name", "namespace", "action")
    module.exit_json(objects=[{key: one[key] for key in keys} for one in objects], **result)


if __name__ == "__main__":
    main()
