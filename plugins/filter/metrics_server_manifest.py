# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""A filter that sets in the manifest of metrics-server what a site wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils import kube_manifest

DOCUMENTATION = r"""
name: metrics_server_manifest
short_description: Set how metrics-server reaches kubelets in its manifest
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Reads the manifest C(components.yaml) of a release and gives its objects with the settings in place.
options:
  _input:
    description: Text of the manifest.
    type: str
    required: true
  address_types:
    description: Which of a node's addresses are tried, in order.
    type: list
    elements: str
    default: [InternalIP, ExternalIP, Hostname]
  insecure_tls:
    description: Whether kubelets' certificates are not verified.
    type: bool
    default: false
  registry:
    description: Registry that the image comes from; an empty one leaves what the manifest says.
    type: str
    default: ""
  tolerations:
    description: Tolerations of its pod, beside those of the manifest.
    type: list
    elements: dict
    default: []
  arguments:
    description:
      - Further arguments by their name without dashes.
      - An empty value is an argument without a value; a null removes one.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Apply metrics-server
  edgelab.kubeedge.kube_apply:
    definition: "{{ text | edgelab.kubeedge.metrics_server_manifest(insecure_tls=true) }}"
  vars:
    text: "{{ lookup('ansible.builtin.file', 'components.yaml') }}"
"""

RETURN = r"""
_value:
  description: The objects of the manifest.
  type: list
  elements: dict
"""

NAME = "metrics-server"
ADDRESS_TYPES = ("InternalIP", "ExternalIP", "Hostname")


def metrics_server_manifest(
    text: str,
    *,
    address_types: Sequence[str] = ADDRESS_TYPES,
    insecure_tls: bool = False,
    registry: str = "",
    tolerations: Sequence[Mapping[str, Any]] = (),
    arguments: Mapping[str, Any] | None = None,
) -> list[kube_manifest.Obj]:
    """The objects of the manifest of metrics-server with the settings of a site."""
    try:
        objects = kube_manifest.with_registry(kube_manifest.parse(text), registry)
        deployment = kube_manifest.find(objects, "Deployment", NAME)
        server = kube_manifest.container(deployment, NAME)
    except kube_manifest.ManifestError as error:
        raise AnsibleFilterError(f"this is not the manifest of metrics-server: {error}") from None
    wanted = {
        "kubelet-preferred-address-types": ",".join(address_types),
        "kubelet-insecure-tls": "" if insecure_tls else None,
        **(arguments or {}),
    }
    for name, value in wanted.items():
        kube_manifest.set_argument(server, f"--{name}", None if value is None else str(value))
    kube_manifest.add_tolerations(deployment, tolerations)
    return objects


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """The filters of this file."""
        return {"metrics_server_manifest": metrics_server_manifest}
