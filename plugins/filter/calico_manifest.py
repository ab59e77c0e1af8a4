# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""A filter that sets in Calico's manifest what a site wants."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils import kube_manifest

DOCUMENTATION = r"""
name: calico_manifest
short_description: Set the pod network's range, encapsulation and more in Calico's manifest
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Reads the manifest C(calico.yaml) of a release and gives its objects with the settings in place.
  - It does not matter whether the manifest has a setting, has it as a comment, or lacks it.
options:
  _input:
    description: Text of the manifest.
    type: str
    required: true
  pod_cidr:
    description: IPv4 range of the pods.
    type: str
    required: true
  encapsulation:
    description: How packets travel between nodes.
    type: str
    choices: [IPIP, IPIPCrossSubnet, VXLAN, VXLANCrossSubnet, None]
    default: IPIP
  mtu:
    description: Largest packet of pods; 0 lets Calico find it.
    type: int
    default: 0
  ip_autodetection:
    description: How a node finds its own address (C(IP_AUTODETECTION_METHOD)).
    type: str
    default: kubernetes-internal-ip
  registry:
    description: Registry that images come from; an empty one leaves what the manifest says.
    type: str
    default: ""
  environment:
    description: Further environment variables of calico-node.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Apply Calico
  edgelab.kubeedge.kube_apply:
    definition: "{{ text | edgelab.kubeedge.calico_manifest(pod_cidr='10.244.0.0/16', mtu=1450) }}"
  vars:
    text: "{{ lookup('ansible.builtin.file', 'calico.yaml') }}"
"""

RETURN = r"""
_value:
  description: The objects of the manifest.
  type: list
  elements: dict
"""

MODES = {
    "IPIP": ("Always", "Never"),
    "IPIPCrossSubnet": ("CrossSubnet", "Never"),
    "VXLAN": ("Never", "Always"),
    "VXLANCrossSubnet": ("Never", "CrossSubnet"),
    "None": ("Never", "Never"),
}
"""IPIP and VXLAN mode of the pool."""
NODE = "calico-node"
BIRD_PROBES = frozenset(("-bird-live", "-bird-ready"))


def calico_manifest(
    text: str,
    *,
    pod_cidr: str,
    encapsulation: str = "IPIP",
    mtu: int = 0,
    ip_autodetection: str = "kubernetes-internal-ip",
    registry: str = "",
    environment: Mapping[str, Any] | None = None,
) -> list[kube_manifest.Obj]:
    """The objects of Calico's manifest with the settings of a site."""
    if encapsulation not in MODES:
        raise AnsibleFilterError(f"encapsulation {encapsulation!r} is none of {', '.join(MODES)}")
    _check_range(pod_cidr)
    ipip, vxlan = MODES[encapsulation]
    values = {
        "IP_AUTODETECTION_METHOD": ip_autodetection,
        "CALICO_IPV4POOL_CIDR": pod_cidr,
        "CALICO_IPV4POOL_IPIP": ipip,
        "CALICO_IPV4POOL_VXLAN": vxlan,
        **{name: str(value) for name, value in (environment or {}).items()},
    }
    try:
        objects = kube_manifest.with_registry(kube_manifest.parse(text), registry)
        daemon = kube_manifest.container(kube_manifest.find(objects, "DaemonSet", NODE), NODE)
        config = kube_manifest.find(objects, "ConfigMap", "calico-config")["data"]
    except kube_manifest.ManifestError as error:
        raise AnsibleFilterError(f"this is not the manifest of Calico: {error}") from None
    kube_manifest.set_environment(daemon, values)
    config["veth_mtu"] = str(int(mtu))
    if vxlan != "Never":
        config["calico_backend"] = "vxlan"
        _without_bird(daemon)
    return objects


def _check_range(pod_cidr: str) -> None:
    """Calico's pool is one IPv4 network."""
    try:
        ipaddress.IPv4Network(pod_cidr)
    except ValueError as error:
        raise AnsibleFilterError(f"{pod_cidr!r} is no range of IPv4 addresses: {error}") from None


def _without_bird(daemon: kube_manifest.Obj) -> None:
    """With VXLAN no routing daemon runs, so its health must not be asked for."""
    for probe in ("livenessProbe", "readinessProbe"):
        action = (daemon.get(probe) or {}).get("exec")
        if action:
            action["command"] = [word for word in action["command"] if word not in BIRD_PROBES]


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """The filters of this file."""
        return {"calico_manifest": calico_manifest}
