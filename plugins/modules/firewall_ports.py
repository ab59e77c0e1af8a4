#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Open ports in the firewalls that are active on a host, and close exactly those again."""

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall_ports
short_description: Open ports in the firewalls that are active on a host
version_added: 1.0.0
description:
  - Makes ufw, firewalld, iptables and nftables let the given ports in where they are active, now and after a
    reboot. Nothing is installed, and a host without a firewall is left alone.
  - Rules carry a mark of this module, so that those that are no longer asked for are closed again, and rules
    of the administrator are never touched. The mark is the comment C(edgelab), or the priority C(-10064) of a
    rich rule (firewalld, whose rules have no comments).
  - For ufw, a rule of the administrator for the same ports and sources stays the only one, whatever it says.
  - For firewalld, rules are added to each zone that has interfaces or sources, and to the default zone.
  - For iptables and nftables, each chain that receives what comes in is walked as the kernel would. Where it
    would refuse the connection, rules are put first into that chain; where the administrator has opened the
    port, nothing is added. Conditions that cannot be decided beforehand, such as a rate, count as not met.
  - Rules of iptables are kept in C(/etc/iptables/rules.v4) and C(rules.v6) where these files are (package
    C(iptables-persistent)). Rules of nftables are kept in C(/etc/edgelab/firewall.nft), which a drop-in of
    C(nftables.service) loads after the administrator's own file.
author:
  - edgelab contributors (@edgelab)
options:
  rules:
    description: All that is to be open. Rules of this module that are not among them are removed.
    type: list
    elements: dict
    default: []
    suboptions:
      ports:
        description: A port, or the first and the last of a range as in C(10000-10004).
        type: str
        required: true
      protocol:
        description: The transport protocol.
        type: str
        choices: [tcp, udp]
        default: tcp
      source:
        description: The address or network that may connect; anyone when not given.
        type: str
  address:
    description:
      - The host's own address at which others connect. It decides conditions on destinations and interfaces.
      - The interface of the default route is taken when not given.
    type: str
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
"""

EXAMPLES = r"""
- name: Let edge nodes in
  edgelab.kubeedge.firewall_ports:
    address: 192.168.56.10
    rules:
      - ports: 10000-10004
      - ports: "6443"
        source: 192.168.56.0/24

- name: Close what was opened
  edgelab.kubeedge.firewall_ports:
    rules: []
"""

RETURN = r"""
firewalls:
  description: The firewalls that have, or had, rules of this module.
  type: list
  elements: str
  returned: always
opened:
  description: Rules that were added, in the firewall's own words.
  type: list
  elements: str
  returned: always
closed:
  description: Rules that were removed, in the firewall's own words.
  type: list
  elements: str
  returned: always
"""

import ipaddress
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.edgelab.kubeedge.plugins.module_utils.firewall_base import (
    FirewallError,
    Host,
    interface_of,
)
from ansible_collections.edgelab.kubeedge.plugins.module_utils.firewall_fronts import HALF
from ansible_collections.edgelab.kubeedge.plugins.module_utils.firewalls import at_work

PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


def parse(rules):
    """(first, last, protocol, source or None) of each rule, without repetitions.

    Raises:
        FirewallError: naming the rule and what is wrong with it.
    """
    result = []
    for rule in rules:
        found = PORTS.fullmatch(rule["ports"])
        first, last = (int(found.group(1)), int(found.group(2) or found.group(1))) if found else (0, 0)
        if not 0 < first <= last < 65536:
            raise FirewallError(f"{rule['ports']!r} is no port and no range: write 10350 or 10000-10004")
        source = rule.get("source") or None
        if source:
            try:
                network = ipaddress.ip_network(source)
            except ValueError:
                raise FirewallError(f"{source!r} is no address and no network") from None
            single = network.prefixlen == network.max_prefixlen
            source = str(network.network_address) if single else str(network)
        result.append((first, last, rule.get("protocol") or "tcp", source))
    return list(dict.fromkeys(result))


def main():
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "rules": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "ports": {"type": "str", "required": True},
                    "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
                    "source": {"type": "str"},
                },
            },
            "address": {"type": "str"},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C"}
    try:
        module.exit_json(**settle(module))
    except FirewallError as error:
        module.fail_json(msg=f"firewall_ports: {error}")


def settle(module):
    """Opens and closes what differs; the module's result."""
    rules = parse(module.params["rules"])
    address = module.params["address"]
    host = Host(module.run_command, address, interface_of(address))
    names, opened, closed, before, after, changed = [], [], [], [], [], False
    for firewall in at_work(host):
        standing = firewall.standing()
        wanted = firewall.words(rules)
        more = [word for word in wanted if standing.get(word, HALF) is HALF]
        less = [word for word in standing if word not in wanted]
        if not module.check_mode:
            for word in less:
                firewall.remove(word, standing[word])
            for word in more:
                firewall.add(word)
        changed = firewall.keep(wanted, module.check_mode) or bool(more or less) or changed
        names += [firewall.name] if wanted or standing else []
        opened, closed = opened + more, closed + less
        before, after = before + sorted(standing), after + sorted(wanted)
    result = {"changed": changed, "firewalls": names, "opened": opened, "closed": closed}
    if module._diff:
        result["diff"] = {
            "before": "".join(f"{word}\n" for word in before),
            "after": "".join(f"{word}\n" for word in after),
        }
    return result


if __name__ == "__main__":
    main()
