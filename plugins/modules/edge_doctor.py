#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Find out what is wrong with a host of the cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edge_doctor
short_description: Find out what is wrong with a cloud or edge host, and how to put it right
version_added: 1.0.0
description:
  - Makes all checks that apply to a host. Each has a stable code, a status, what was found, and the fix.
  - Only reads. It works before anything is installed; what cannot be said yet is V(unknown) with the reason.
  - What takes the configuration's schema, certificates, the container runtime's API or the cluster is asked
    of the host's C(keadm diagnose).
  - Fails only when it is called wrongly; look at RV(counts) for what it found.
author:
  - edgelab contributors (@edgelab)
options:
  sides:
    description: What the host is.
    type: list
    elements: str
    choices: [cloud, edge]
    required: true
  only:
    description: Codes of the checks to make; all when it is empty.
    type: list
    elements: str
    default: []
  ignore:
    description: Codes of checks to leave out.
    type: list
    elements: str
    default: []
  node_name:
    description: Name of the edge node on this host.
    type: str
  node_ip:
    description: Address that the host is to have.
    type: str
  names:
    description: Names of the cluster's hosts and their addresses.
    type: dict
    default: {}
  nodes:
    description: Names of the edge nodes that the cluster is to have. Looked at on the cloud side.
    type: list
    elements: str
    default: []
  cloud_address:
    description: Address at which this node reaches CloudCore.
    type: str
  cloud_addresses:
    description: Addresses at which edge nodes reach CloudCore, which its certificate has to name.
    type: list
    elements: str
    default: []
  hub_port:
    description: Port of CloudCore's WebSocket hub.
    type: int
    default: 10000
  https_port:
    description: Port of CloudCore at which certificates are given out.
    type: int
    default: 10002
  tunnel_port:
    description: Port of CloudCore at which edge nodes keep their tunnels for logs and commands; 0 for none.
    type: int
    default: 0
  router_port:
    description: Port of CloudCore's router, where it is enabled for others than its own host; 0 for none.
    type: int
    default: 0
  console_port:
    description: Port of the web page on the cloud host.
    type: int
    default: 9190
  exporter_port:
    description: Port of the twinexporter on the cloud host.
    type: int
    default: 9186
  ca_file:
    description: The CA that the node pinned when it joined.
    type: path
    default: /etc/kubeedge/ca/rootCA.crt
  controller_time:
    description: Seconds since the epoch by the clock that counts; without it the clock is not compared.
    type: float
  clock_tolerance:
    description: Seconds by which the clock may differ.
    type: int
    default: 60
  runtime_socket:
    description: Socket of the container runtime.
    type: path
    default: /run/containerd/containerd.sock
  cni_conf_dir:
    description: Directory of the CNI configuration.
    type: path
    default: /etc/cni/net.d
  cni_bin_dirs:
    description: Directories of CNI plugins.
    type: list
    elements: path
    default: [/usr/lib/cni, /opt/cni/bin]
  runtime_root:
    description: Where the runtime is installed.
    type: path
    default: /opt/edgelab
  paths:
    description: Paths below which there has to be room.
    type: list
    elements: path
    default:
      - /
      - /var/lib/kubeedge
      - /var/lib/kubelet
      - /var/lib/containerd
      - /var/lib/edgelab
      - /var/lib/edgesite
      - /var/log
      - /tmp
  cluster:
    description: Whether to look at the cluster, which one cloud host is enough for.
    type: bool
    default: true
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
  - edgelab.kubeedge.attributes.keadm
  - edgelab.kubeedge.attributes.cluster
"""

EXAMPLES = r"""
- name: Examine an edge host
  edgelab.kubeedge.edge_doctor:
    sides: [edge]
    node_name: edge1
    node_ip: 192.168.56.21
    cloud_address: 192.168.56.10
    controller_time: "{{ now(utc=true).timestamp() }}"
  register: doctor

- name: Insist on a clock that is right
  edgelab.kubeedge.edge_doctor:
    sides: [cloud, edge]
    only: [HOST-CLOCK]
    controller_time: "{{ now(utc=true).timestamp() }}"
  register: doctor
  failed_when: doctor.counts.failed > 0
"""

RETURN = r"""
checks:
  description: What was found, in the order of docs/reference/doctor.md. Holds no secret.
  type: list
  elements: dict
  returned: success
  contains:
    code:
      description: Stable code of the check.
      type: str
    status:
      description: V(ok), V(warning), V(failed), or V(unknown) with the reason in RV(checks[].found).
      type: str
    subject:
      description: The port, file, unit or node that it is about; empty for the host itself.
      type: str
    found:
      description: What was found.
      type: str
    fix:
      description: The command or variable that puts it right; empty when all is well.
      type: str
counts:
  description: How many findings there are of each status.
  type: dict
  returned: success
  sample: {failed: 1, warning: 0, unknown: 3, ok: 38}
version:
  description: Version of the runtime on the host; empty without one.
  type: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils import doctor_examine
from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_catalogue import BY_CODE
from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_core import chosen
from ansible_collections.edgelab.kubeedge.plugins.module_utils.keadm import CLUSTER_SPEC, KEADM_SPEC

PATHS = [
    "/",
    "/var/lib/kubeedge",
    "/var/lib/kubelet",
    "/var/lib/containerd",
    "/var/lib/edgelab",
    "/var/lib/edgesite",
    "/var/log",
    "/tmp",  # noqa: S108 - only its free space is read
]


def words(**more):
    """Specification of a list of words."""
    return {"type": "list", "elements": "str", **more}


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "sides": words(choices=["cloud", "edge"], required=True),
            "only": words(default=[]),
            "ignore": words(default=[]),
            "node_name": {"type": "str"},
            "node_ip": {"type": "str"},
            "names": {"type": "dict", "default": {}},
            "nodes": words(default=[]),
            "cloud_address": {"type": "str"},
            "cloud_addresses": words(default=[]),
            "hub_port": {"type": "int", "default": 10000},
            "https_port": {"type": "int", "default": 10002},
            "tunnel_port": {"type": "int", "default": 0},
            "router_port": {"type": "int", "default": 0},
            "console_port": {"type": "int", "default": 9190},
            "exporter_port": {"type": "int", "default": 9186},
            "ca_file": {"type": "path", "default": "/etc/kubeedge/ca/rootCA.crt"},
            "controller_time": {"type": "float"},
            "clock_tolerance": {"type": "int", "default": 60},
            "runtime_socket": {"type": "path", "default": "/run/containerd/containerd.sock"},
            "cni_conf_dir": {"type": "path", "default": "/etc/cni/net.d"},
            "cni_bin_dirs": {"type": "list", "elements": "path", "default": ["/usr/lib/cni", "/opt/cni/bin"]},
            "runtime_root": {"type": "path", "default": "/opt/edgelab"},
            "paths": {"type": "list", "elements": "path", "default": PATHS},
            "cluster": {"type": "bool", "default": True},
            **KEADM_SPEC,
            **CLUSTER_SPEC,
        },
        supports_check_mode=True,
    )
    wanted = module.params
    try:
        chosen(list(BY_CODE), wanted["only"], wanted["ignore"])
    except ValueError as error:
        module.fail_json(msg=f"edge_doctor: {error}")
    module.exit_json(changed=False, **doctor_examine.examine_host(module, wanted))


if __name__ == "__main__":
    main()
