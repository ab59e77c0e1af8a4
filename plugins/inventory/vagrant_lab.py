# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""The running machines of the Vagrant lab as an inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: vagrant_lab
short_description: Running machines of the Vagrant lab
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Asks Vagrant which machines run and how SSH reaches them, and takes their groups and their addresses in
    the cluster's network (C(edgelab_node_ip)) from the lab's topology.
  - A machine that does not run is left out. The groups C(cloud) and C(edge) are there even when empty.
  - The name of the inventory's file ends in C(.vagrant.yml) or C(.vagrant.yaml).
requirements:
  - python-vagrant
  - Vagrant
options:
  plugin:
    description: Marks a file as one of this plugin.
    type: str
    required: true
    choices: [edgelab.kubeedge.vagrant_lab]
  vagrant_directory:
    description: Directory in which C(vagrant up) works; a relative path starts at the inventory's file.
    type: str
    default: ../..
    env:
      - name: VAGRANT_CWD
  topology:
    description: The lab's topology; a relative path starts at O(vagrant_directory).
    type: str
    default: vagrant/topology.yml
    env:
      - name: EDGELAB_TOPOLOGY
  state_directory:
    description: >-
      Where the kubeconfig and the description of the cluster go (C(edgelab_state_dir)). A relative path
      starts at O(vagrant_directory). Without it C(lab) in Vagrant's own folder, which is C(.vagrant) or the
      value of the variable E(VAGRANT_DOTFILE_PATH).
    type: str
    env:
      - name: EDGELAB_STATE_DIR
  cache_directory:
    description: Where downloads and builds are kept (C(edgelab_cache_dir)); relative to O(vagrant_directory).
    type: str
    default: .cache
  control_plane:
    description:
      - What serves the Kubernetes API (C(edgelab_control_plane)).
      - With V(auto) it is V(kubeadm) when every one of O(control_plane_sources) answers and the machines are
        not containers, and V(edgesite) otherwise. The answer is kept until Vagrant destroys the first cloud
        machine.
    type: str
    choices: [auto, kubeadm, edgesite]
    default: auto
  control_plane_sources:
    description: What kubeadm and Calico are fetched from; asked by O(control_plane=auto) only.
    type: list
    elements: str
    default:
      - https://pkgs.k8s.io/
      - https://registry.k8s.io/v2/
      - https://quay.io/v2/
      - https://raw.githubusercontent.com/
"""

EXAMPLES = r"""
# lab.vagrant.yml
plugin: edgelab.kubeedge.vagrant_lab
vagrant_directory: ../..
control_plane: edgesite
"""

import concurrent.futures
import os
import shlex
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils import vagrant_topology

try:
    import vagrant
except ImportError:
    vagrant = None

PROBE_SECONDS = 5
SSH_OPTIONS = ("UserKnownHostsFile", "StrictHostKeyChecking", "IdentitiesOnly")


class InventoryModule(BaseInventoryPlugin):
    """What Ansible loads."""

    NAME = "edgelab.kubeedge.vagrant_lab"

    def verify_file(self, path: str) -> bool:
        """Whether the file's name says that it is for this plugin."""
        return super().verify_file(path) and path.endswith((".vagrant.yml", ".vagrant.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fills the inventory.

        Raises:
            AnsibleParserError: python-vagrant, Vagrant or the topology is missing, or one of them fails.
        """
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        top = (Path(path).resolve().parent / self.get_option("vagrant_directory")).resolve()
        try:
            nodes = vagrant_topology.load(top / self.get_option("topology"))
        except vagrant_topology.TopologyError as error:
            raise AnsibleParserError(str(error)) from None
        for group in vagrant_topology.GROUPS:
            inventory.add_group(group)
        state = self.get_option("state_directory") or dotfiles(top) / "lab"
        inventory.set_variable("all", "edgelab_state_dir", str(top / state))
        inventory.set_variable("all", "edgelab_cache_dir", str(top / self.get_option("cache_directory")))
        running, configuration = self._ask(top)
        for node in nodes:
            if node["name"] in running and node["name"] in configuration:
                self._add(node, configuration[node["name"]])
        if running:
            first = next(node["name"] for node in nodes if node["group"] == "cloud")
            inventory.set_variable("all", "edgelab_control_plane", self._control_plane(top, first, running))

    def _ask(self, top: Path) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        """Provider of each running machine, and the SSH configuration of each."""
        if vagrant is None:
            raise AnsibleParserError(
                "the Python package python-vagrant is missing where Ansible runs: scripts/bootstrap"
                " installs it, or pip install python-vagrant"
            )
        if not vagrant.get_vagrant_executable():
            raise AnsibleParserError("the program vagrant is not installed: run scripts/bootstrap --vagrant")
        program = vagrant.Vagrant(root=str(top), quiet_stderr=True)
        try:
            states = program.status()
            running = {state.name: str(state.provider) for state in states if state.state == "running"}
            if not running:
                return {}, {}
            # One call for all of them where that works: it refuses when one of them does not run.
            names = [None] if len(running) == len(states) else sorted(running)
            text = "\n".join(program.ssh_config(vm_name=name) for name in names)
        except (OSError, subprocess.CalledProcessError) as error:
            raise AnsibleParserError(
                f"vagrant did not answer in {top} ({error}); `vagrant status` there shows why"
            ) from None
        return running, ssh_hosts(text)

    def _add(self, node: Mapping[str, Any], ssh: Mapping[str, str]) -> None:
        name = self.inventory.add_host(node["name"], group=node["group"])
        options = [f"-o {key}={shlex.quote(ssh[key])}" for key in SSH_OPTIONS if key in ssh]
        variables = {
            "edgelab_node_ip": node["address"],
            "ansible_host": ssh["HostName"],
            "ansible_port": int(ssh.get("Port", "22")),
            "ansible_user": ssh.get("User", "vagrant"),
            "ansible_ssh_private_key_file": ssh.get("IdentityFile"),
            "ansible_ssh_common_args": " ".join(options),
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        for key, value in variables.items():
            if value is not None:
                self.inventory.set_variable(name, key, value)

    def _control_plane(self, top: Path, cloud: str, running: Mapping[str, str]) -> str:
        wish: str = self.get_option("control_plane")
        if wish != "auto":
            return wish
        provider = running.get(cloud, "")
        if "docker" in running.values():
            return "edgesite"
        # Vagrant empties a machine's folder when it destroys the machine, and the answer goes with it.
        kept = dotfiles(top) / "machines" / cloud / provider / "edgelab_control_plane"
        if kept.is_file():
            return kept.read_text(encoding="utf-8").strip()
        missing = unreachable(self.get_option("control_plane_sources"))
        answer = "edgesite" if missing else "kubeadm"
        if kept.parent.is_dir():
            kept.write_text(f"{answer}\n", encoding="utf-8")
        if missing:
            self.display.warning(
                f"control_plane auto: kubeadm cannot be fetched ({'; '.join(missing)}), so EdgeSite is"
                " the control plane of this lab; `control_plane: kubeadm` in the inventory insists"
            )
        return answer


def dotfiles(top: Path) -> Path:
    """The folder in which Vagrant keeps what it knows of its machines."""
    return top / (os.environ.get("VAGRANT_DOTFILE_PATH") or ".vagrant")


def ssh_hosts(text: str) -> dict[str, dict[str, str]]:
    """The sections of an SSH configuration: host name -> key -> value."""
    hosts: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for line in text.splitlines():
        key, _blank, value = line.strip().partition(" ")
        value = value.strip().strip('"')
        if key == "Host":
            section = hosts.setdefault(value, {})
        elif key and not key.startswith("#"):
            section.setdefault(key, value)
    return hosts


def unreachable(sources: Sequence[str]) -> list[str]:
    """Those of `sources` that do not answer over HTTP, each with its reason."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        return [reason for reason in pool.map(_probe, sources) if reason]


def _probe(url: str) -> str | None:
    # An opener of these handlers only: no other scheme, such as file, is followed.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    try:
        with opener.open(url, timeout=PROBE_SECONDS):
            return None
    except urllib.error.HTTPError as error:  # an answer, such as "log in first", is an answer
        return f"{url}: {error}" if error.code >= 500 else None
    except (OSError, ValueError) as error:
        return f"{url}: {getattr(error, 'reason', error)}"
