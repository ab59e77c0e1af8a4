#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Wait until DaemonSets, Deployments and API services are ready."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_rollout
short_description: Wait until DaemonSets, Deployments and API services are ready
version_added: 1.0.0
description:
  - Asks C(keadm rollout) of the host that has the kubeconfig, usually the cloud one. That host needs neither
    kubectl nor a Kubernetes library for Python.
  - When something is not ready in time, the module fails and says of each how far it is and what its pods
    wait for.
  - Changes nothing. In check mode on a host without keadm or kubeconfig there is nothing to wait for.
author:
  - edgelab contributors (@edgelab)
options:
  daemonsets:
    description: DaemonSets, as C(namespace/name), that shall have all their pods up to date and available.
    type: list
    elements: str
    default: []
  deployments:
    description: Deployments, as C(namespace/name), that shall have all their pods up to date and available.
    type: list
    elements: str
    default: []
  api_services:
    description: API services, by their name, that shall be Available.
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds to wait for all of them together.
    type: int
    default: 300
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
  - edgelab.kubeedge.attributes.keadm
  - edgelab.kubeedge.attributes.cluster
"""

EXAMPLES = r"""
- name: Wait for the pod network
  edgelab.kubeedge.kube_rollout:
    daemonsets: [kube-system/calico-node]
    deployments: [kube-system/coredns]

- name: Wait until metrics can be asked for
  edgelab.kubeedge.kube_rollout:
    api_services: [v1beta1.metrics.k8s.io]
"""

RETURN = r"""
objects:
  description: What was waited for.
  type: list
  elements: dict
  returned: always
  contains:
    kind:
      description: Kind of the object.
      type: str
    namespace:
      description: Its namespace; empty for an object that has none.
      type: str
    name:
      description: Its name.
      type: str
    ready:
      description: Whether it is ready.
      type: bool
    reason:
      description: Why it is not; empty when it is.
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

OPTIONS = (("--daemonset", "daemonsets"), ("--deployment", "deployments"), ("--api-service", "api_services"))


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            **{name: {"type": "list", "elements": "str", "default": []} for _option, name in OPTIONS},
            "wait_timeout": {"type": "int", "default": 300},
            **KEADM_SPEC,
            **CLUSTER_SPEC,
        },
        supports_check_mode=True,
    )
    if reason := not_yet(module):
        module.exit_json(changed=False, objects=[], msg=reason)
    params = module.params
    words = [word for option, name in OPTIONS for value in params[name] for word in (option, value)]
    timeout = "0" if module.check_mode else str(params["wait_timeout"])
    try:
        answer = ask(module, ["rollout", "--kube-config", params["kubeconfig"], "--timeout", timeout, *words])
    except KeadmError as error:
        module.fail_json(msg=f"kube_rollout: {error}", objects=error.answer.get("objects", []))
    module.exit_json(changed=False, objects=answer["objects"])


if __name__ == "__main__":
    main()
