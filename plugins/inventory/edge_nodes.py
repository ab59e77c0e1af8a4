# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""Edge nodes of a running cluster as an inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: edge_nodes
short_description: Edge nodes that the cluster knows
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Asks the Kubernetes API for nodes and makes a host of each, so that a fleet that joined by other means
    can be looked after too. Only reads.
  - Each host gets C(edgelab_node_ip) and C(ansible_host) (its internal address), C(edgecore_node_name), and
    C(edge_node), a dictionary of what the cluster says of it.
  - The file's name ends in C(edge_nodes.yml) or C(edge_nodes.yaml).
requirements:
  - kubernetes >= 31 (on the controller)
extends_documentation_fragment:
  - constructed
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [edgelab.kubeedge.edge_nodes]
  kubeconfig:
    description:
      - The kubeconfig; a relative path starts from the folder of the inventory file.
      - By default the places that kubectl looks at.
    type: str
    env:
      - name: KUBECONFIG
  context:
    description: The context of the kubeconfig; by default the current one.
    type: str
  label_selector:
    description: Which nodes are hosts.
    type: str
    default: node-role.kubernetes.io/edge
  group:
    description: The group that all of them are in.
    type: str
    default: edge
  ready_only:
    description: Whether to leave out nodes that are not Ready.
    type: bool
    default: false
  timeout:
    description: Seconds to wait for the API's answer.
    type: int
    default: 15
"""

EXAMPLES = r"""
# fleet.edge_nodes.yml
plugin: edgelab.kubeedge.edge_nodes
kubeconfig: ../.lab/kubeconfig
keyed_groups:
  - key: edge_node.labels['site']
    prefix: site
groups:
  not_ready: not edge_node.ready
compose:
  ansible_user: "'pi'"
"""

from pathlib import Path

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable

try:
    from kubernetes import config
    from kubernetes.dynamic import DynamicClient
    from kubernetes.dynamic.exceptions import DynamicApiError
except ImportError as error:
    MISSING: ImportError | None = error
else:
    MISSING = None

SUFFIXES = ("edge_nodes.yml", "edge_nodes.yaml")


def describe(node):
    """What of a Node object a playbook may want to know."""
    metadata, spec, status = node["metadata"], node.get("spec") or {}, node.get("status") or {}
    conditions = {one["type"]: one["status"] for one in status.get("conditions") or []}
    addresses = {one["type"]: one["address"] for one in status.get("addresses") or []}
    info = status.get("nodeInfo") or {}
    taints = spec.get("taints") or []
    return {
        "name": metadata["name"],
        "address": addresses.get("InternalIP", ""),
        "ready": conditions.get("Ready") == "True",
        "conditions": conditions,
        "labels": dict(metadata.get("labels") or {}),
        "taints": ["{}={}:{}".format(one["key"], one.get("value", ""), one["effect"]) for one in taints],
        "unschedulable": bool(spec.get("unschedulable")),
        "architecture": info.get("architecture", ""),
        "os_image": info.get("osImage", ""),
        "kubelet_version": info.get("kubeletVersion", ""),
        "container_runtime": info.get("containerRuntimeVersion", ""),
    }


class InventoryModule(BaseInventoryPlugin, Constructable):
    """What Ansible loads."""

    NAME = "edgelab.kubeedge.edge_nodes"

    def verify_file(self, path):
        """Whether a file is meant for this plugin."""
        return super().verify_file(path) and path.endswith(SUFFIXES)

    def parse(self, inventory, loader, path, cache=True):
        """Read the nodes and add them. Raises AnsibleParserError."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        if MISSING is not None:
            raise AnsibleParserError(
                f"edge_nodes: the Python package `kubernetes` is missing on the controller ({MISSING}):"
                " install it with pip"
            )
        group = self.inventory.add_group(self.get_option("group"))
        for node in self._nodes(Path(path).parent):
            known = describe(node)
            if known["ready"] or not self.get_option("ready_only"):
                self._add(known, group)

    def _nodes(self, folder):
        kubeconfig = self.get_option("kubeconfig")
        where = str((folder / Path(kubeconfig).expanduser()).resolve()) if kubeconfig else None
        try:
            connection = config.new_client_from_config(where, self.get_option("context"))
        except (config.ConfigException, OSError) as error:
            raise AnsibleParserError(
                f"edge_nodes: the kubeconfig {where or ''} cannot be used: {error}; set `kubeconfig` in the"
                " inventory file or the variable KUBECONFIG"
            ) from error
        try:
            return self._ask(connection)
        except DynamicApiError as error:
            raise AnsibleParserError(
                f"edge_nodes: the API server refused to list nodes: {error.status} {error.reason}"
            ) from error
        # The client lets through whatever its HTTP library raises, which differs between its releases.
        except Exception as error:
            raise AnsibleParserError(
                f"edge_nodes: {connection.configuration.host} does not answer: {error}"
            ) from error

    def _ask(self, connection):
        """Node objects as the API server words them: typed ones refuse nodes that leave out a field."""
        connection.configuration.retries = False
        nodes = DynamicClient(connection).resources.get(api_version="v1", kind="Node")
        found = nodes.get(
            label_selector=self.get_option("label_selector"), _request_timeout=self.get_option("timeout")
        )
        return found.to_dict()["items"]

    def _add(self, known, group):
        host = self.inventory.add_host(known["name"], group)
        variables = {"edgecore_node_name": known["name"], "edge_node": known}
        if known["address"]:
            variables |= {"edgelab_node_ip": known["address"], "ansible_host": known["address"]}
        for name, value in variables.items():
            self.inventory.set_variable(host, name, value)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, host, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, host, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, host, strict=strict)
