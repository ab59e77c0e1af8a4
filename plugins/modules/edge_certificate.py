#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""See to the certificates of CloudCore and of edge nodes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: edge_certificate
short_description: Issue, check and rotate the certificates of CloudCore and of edge nodes
version_added: 1.0.0
description:
  - Works through C(keadm cert) of the host that it runs on. CloudCore's certificate and the authority are
    Secrets of the cluster, so for O(component=cloudcore) that is the host with the kubeconfig. A node's
    certificate is a file of its host, which needs no kubeconfig for V(checked) and V(rotated).
  - Running services are not touched. Restart them when the result says RV(restart_needed).
author:
  - edgelab contributors (@edgelab)
options:
  component:
    description: Whose certificate it is.
    type: str
    choices: [cloudcore, edgecore]
    required: true
  state:
    description:
      - V(present) sees to it that there is an authority and a certificate of CloudCore that names all
        O(addresses) and O(dns_names). Only for CloudCore.
      - V(issued) makes a certificate for O(node) beforehand, each time. Only for EdgeCore, on the host with
        the kubeconfig. It is returned, so give the task C(no_log).
      - V(checked) tells what is there, warns of what is wrong with it, and changes nothing.
      - V(rotated) replaces certificate and key, when fewer than O(min_days_left) days are left.
    type: str
    choices: [present, issued, checked, rotated]
    default: checked
  addresses:
    description: IP addresses that CloudCore's certificate is to name.
    type: list
    elements: str
    default: []
  dns_names:
    description: DNS names that CloudCore's certificate is to name.
    type: list
    elements: str
    default: []
  ca_file:
    description:
      - Your own authority, a file of this host, with O(state=present). By default CloudCore's is kept, or
        made.
      - Another authority than the one before makes every node join again.
    type: path
  ca_key_file:
    description: The key of O(ca_file), ECDSA P-256.
    type: path
  node:
    description: Name of the node, with O(state=issued).
    type: str
  days:
    description: How long an issued certificate is good.
    type: int
    default: 365
  warn_days:
    description: Certificates that end sooner are among RV(problems), with O(state=checked).
    type: int
    default: 30
  min_days_left:
    description:
      - With O(state=rotated), certificates that are good for so many days stay. By default none stays.
    type: int
  config:
    description: The C(edgecore.yaml) that names the node's files.
    type: path
    default: /etc/kubeedge/config/edgecore.yaml
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
  - edgelab.kubeedge.attributes.keadm
  - edgelab.kubeedge.attributes.cluster
attributes:
  idempotent:
    description: O(state=issued), and O(state=rotated) without O(min_days_left), replace each time.
    support: partial
"""

EXAMPLES = r"""
- name: Let CloudCore's certificate name every address that edges dial
  edgelab.kubeedge.edge_certificate:
    component: cloudcore
    state: present
    addresses: [192.168.56.10, 203.0.113.7]
    dns_names: [cloud.example.com]
  notify: Restart CloudCore

- name: Look how long the node's certificate is good
  edgelab.kubeedge.edge_certificate:
    component: edgecore
    warn_days: 60
  register: edge_certificate
"""

RETURN = r"""
restart_needed:
  description: Whether the service has to be restarted to use what is new.
  type: bool
  returned: success
certificates:
  description: What was found, with O(state=checked) and O(state=rotated).
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: V(ca), V(cloudcore) or V(edge).
      type: str
    source:
      description: Secret or file.
      type: str
    not_after:
      description: When it ends.
      type: str
    days_left:
      description: Whole days until then.
      type: int
    addresses:
      description: IP addresses that it names.
      type: list
    dns_names:
      description: DNS names that it names.
      type: list
    missing:
      description: What of O(addresses) and O(dns_names) it does not name.
      type: list
problems:
  description: What is wrong, each with the fix.
  type: list
  elements: str
  returned: success
certificate:
  description: The certificate, PEM.
  type: str
  returned: with O(state=issued)
key:
  description: Its key, PEM.
  type: str
  returned: with O(state=issued)
ca:
  description: The authority, PEM.
  type: str
  returned: with O(state=issued)
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils.keadm import (
    CLUSTER_SPEC,
    KEADM_SPEC,
    KeadmError,
    ask,
    not_yet,
)

FITS = {"present": ("cloudcore",), "issued": ("edgecore",)}
NOTHING = {"restart_needed": False, "certificates": [], "problems": []}


class Certificates:
    """The questions to keadm, for one task."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.cloud = module.params["component"] == "cloudcore"

    def change(self, *words):
        """Ask for a change, or in check mode what it would be."""
        return ask(self.module, ["cert", *words, *(["--check"] if self.module.check_mode else [])])

    def where(self):
        """The part of the host or cluster that the component's certificate is in."""
        if self.cloud:
            return ["--only", "cluster", "--kube-config", self.params["kubeconfig"]]
        return ["--only", "host", "--config", self.params["config"]]

    def wanted(self):
        """Options for the names that CloudCore's certificate is to have."""
        words = [word for address in self.params["addresses"] for word in ("--address", address)]
        return words + [word for name in self.params["dns_names"] for word in ("--dns-name", name)]

    def checked(self):
        """What is there. keadm fails when something is wrong with it, which is an answer too."""
        words = ["cert", "check", *self.where(), "--days", str(self.params["warn_days"])]
        try:
            answer = ask(self.module, [*words, *(self.wanted() if self.cloud else [])])
        except KeadmError as error:
            if "certificates" not in error.answer:
                raise
            answer = error.answer
        found = {key: answer[key] for key in ("certificates", "problems")}
        if self.params["state"] == "checked":
            for problem in found["problems"]:
                self.module.warn(problem)
        return {**NOTHING, **found, "changed": False}

    def present(self):
        """Authority and CloudCore's certificate are there and name what is wanted."""
        files = []
        for option in ("ca_file", "ca_key_file"):
            files += ["--" + option.replace("_", "-"), self.params[option]] if self.params[option] else []
        answer = self.change("ensure", "--kube-config", self.params["kubeconfig"], *self.wanted(), *files)
        told = {key: answer[key] for key in ("changed", "restart_needed", "addresses", "dns_names")}
        return {**NOTHING, **told}

    def issued(self):
        """A certificate for a node, in the result."""
        where = ["--kube-config", self.params["kubeconfig"]]
        answer = self.change(
            "issue", *where, "--node", self.params["node"], "--days", str(self.params["days"])
        )
        told = {key: answer[key] for key in ("changed", "certificate", "key", "ca")}
        return {**NOTHING, **told, "restart_needed": True}

    def rotated(self):
        """A new certificate and key, unless the present one is good for long enough."""
        limit = self.params["min_days_left"]
        mine = "cloudcore" if self.cloud else "edge"
        before = self.checked()
        days = [entry["days_left"] for entry in before["certificates"] if entry["name"] == mine]
        if limit is not None and days and min(days) >= limit:
            return before
        if self.cloud:
            self.change("rotate", "server", "--kube-config", self.params["kubeconfig"])
        else:
            self.change("rotate", "edge", "--config", self.params["config"])
        after = before if self.module.check_mode else self.checked()
        return {**after, "changed": True, "restart_needed": True}


def summary(found):
    """Certificates for a diff."""
    form = "{name}: {fingerprint}, until {not_after}, for {names}\n"
    return "".join(form.format(names=" ".join(e["addresses"] + e["dns_names"]), **e) for e in found)


def refuse(module):
    """Fail for options that do not go together."""
    state, component = module.params["state"], module.params["component"]
    if component not in FITS.get(state, (component,)):
        module.fail_json(msg=f"edge_certificate: state {state} is for {FITS[state][0]}, not for {component}")


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "component": {"type": "str", "choices": ["cloudcore", "edgecore"], "required": True},
            "state": {
                "type": "str",
                "choices": ["present", "issued", "checked", "rotated"],
                "default": "checked",
            },
            "addresses": {"type": "list", "elements": "str", "default": []},
            "dns_names": {"type": "list", "elements": "str", "default": []},
            "ca_file": {"type": "path"},
            "ca_key_file": {"type": "path"},
            "node": {"type": "str"},
            "days": {"type": "int", "default": 365},
            "warn_days": {"type": "int", "default": 30},
            "min_days_left": {"type": "int"},
            "config": {"type": "path", "default": "/etc/kubeedge/config/edgecore.yaml"},
            **KEADM_SPEC,
            **CLUSTER_SPEC,
        },
        required_if=[("state", "issued", ("node",))],
        required_together=[("ca_file", "ca_key_file")],
        supports_check_mode=True,
    )
    refuse(module)
    local = module.params["component"] == "edgecore" and module.params["state"] != "issued"
    reason = no_file_yet(module) if local else not_yet(module)
    if reason:
        module.exit_json(changed=module.params["state"] != "checked", msg=reason, **NOTHING)
    certificates = Certificates(module)
    try:
        before = certificates.checked()["certificates"] if wants_diff(module) else []
        result = getattr(certificates, module.params["state"])()
        if wants_diff(module) and result["changed"]:
            after = before if module.check_mode else certificates.checked()["certificates"]
            result["diff"] = {"before": summary(before), "after": summary(after) or "new\n"}
    except KeadmError as error:
        module.fail_json(msg=f"edge_certificate: {error}")
    module.exit_json(**result)


def wants_diff(module):
    """Whether there is something to compare: what is there before and after a rotation."""
    return module._diff and module.params["state"] == "rotated"


def no_file_yet(module):
    """In check mode on a host that has not joined yet: why there is no certificate to look at."""
    if not module.check_mode:
        return ""
    needed = (module.params["keadm"], module.params["config"])
    missing = [path for path in needed if not os.path.exists(path)]
    return f"{missing[0]} is not there yet" if missing else ""


if __name__ == "__main__":
    main()
