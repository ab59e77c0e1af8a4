#!/usr/bin/python
# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""Open ports in the firewall that is active on a host, and close exactly those again."""

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall_ports
short_description: Open ports in the host's active firewall
version_added: 1.0.0
description:
  - Finds the firewall that is active, ufw, firewalld, or nftables with a chain that drops or rejects what
    comes in, and makes it let the given ports in, now and after a reboot. A host without one is left alone.
  - Rules carry a mark of this module, so that those that are no longer asked for are closed again, and rules
    of the administrator are never touched. The mark is the comment C(edgelab) (ufw, nftables) or the priority
    C(-10064) of a rich rule (firewalld, whose rules have no comments).
  - For nftables the rules are inserted into the chains that are there, because a verdict of drop in any chain
    is final. They are kept in C(/etc/edgelab/firewall.nft), which a drop-in of C(nftables.service) loads
    after the administrator's own file.
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
extends_documentation_fragment:
  - edgelab.kubeedge.attributes
"""

EXAMPLES = r"""
- name: Let edge nodes in
  edgelab.kubeedge.firewall_ports:
    rules:
      - ports: 10000-10004
      - ports: "10350"
        source: 192.168.56.10

- name: Close what was opened
  edgelab.kubeedge.firewall_ports:
    rules: []
"""

RETURN = r"""
firewall:
  description: The firewall that is active; C(none) when there is none.
  type: str
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
import json
import os
import re
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

MARK = "edgelab"
PRIORITY = "-10064"
HALF = "half"
"""The handle of a rule that holds only now, or only after a reboot: opening it again makes it whole."""
PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
NFT_FILE = Path("/etc/edgelab/firewall.nft")
NFT_DROP_IN = Path("/etc/systemd/system/nftables.service.d/edgelab.conf")
NFT_DROP_IN_TEXT = f"""\
# The ports of edgelab, after the administrator's own rules. Written by module firewall_ports.
[Service]
ExecStartPost=-/usr/sbin/nft -f {NFT_FILE}
ExecReload=-/usr/sbin/nft -f {NFT_FILE}
"""


class FirewallError(Exception):
    """A rule that cannot be, or a firewall that refuses one."""


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


class Firewall:
    """What the firewalls have in common: what stands, what is asked for, and how one becomes the other."""

    name = "none"

    def __init__(self, run):
        self._run = run

    def active(self):
        """Whether this is the firewall that is at work."""
        return False

    def standing(self):
        """This module's rules, in the firewall's own words, each with what removing it takes."""
        return {}

    def words(self, rules):
        """What is asked for in the same words."""
        return []

    def add(self, word):
        """Opens, now and after a reboot."""

    def remove(self, word, handle):
        """Closes, now and after a reboot."""

    def keep(self, words, check):
        """Settles what a reboot brings, where that is in files of ours; whether it changed, or would."""
        return False

    def call(self, *argv):
        """The standard output of a command. Raises FirewallError."""
        status, out, err = self._run(list(argv))
        if status != 0:
            raise FirewallError(f"{' '.join(argv)}: {(err or out).strip()}")
        return out

    def answers(self, *argv):
        """The standard output of a command that may be missing or fail; empty then."""
        try:
            status, out, _err = self._run(list(argv), handle_exceptions=False)
        except OSError:
            return ""
        return out if status == 0 else ""


class Ufw(Firewall):
    """ufw keeps its rules itself; `ufw show added` lists them as the words that made them."""

    name = "ufw"

    def active(self):
        """See Firewall."""
        return "Status: active" in self.answers("ufw", "status")

    def standing(self):
        """See Firewall."""
        lines = [line.strip() for line in self.call("ufw", "show", "added").splitlines()]
        return {
            line[len("ufw ") :]: None
            for line in lines
            if line.startswith("ufw ") and line.endswith(f"comment '{MARK}'")
        }

    def words(self, rules):
        """See Firewall."""
        result = []
        for first, last, protocol, source in rules:
            ports = str(first) if first == last else f"{first}:{last}"
            rule = f"from {source} to any port {ports} proto {protocol}" if source else f"{ports}/{protocol}"
            result.append(f"allow {rule} comment '{MARK}'")
        return result

    def add(self, word):
        """See Firewall."""
        self.call("ufw", *word.replace("'", "").split())

    def remove(self, word, handle):
        """See Firewall."""
        self.call("ufw", "--force", "delete", *word.rpartition(" comment ")[0].split())


class Firewalld(Firewall):
    """Rich rules of the default zone, now (runtime) and for ever (permanent)."""

    name = "firewalld"

    def active(self):
        """See Firewall."""
        return self.answers("firewall-cmd", "--state").strip() == "running"

    def standing(self):
        """See Firewall."""
        now = self._marked("firewall-cmd", "--list-rich-rules")
        kept = self._marked("firewall-cmd", "--permanent", "--list-rich-rules")
        return {rule: None if rule in now and rule in kept else HALF for rule in sorted(now | kept)}

    def words(self, rules):
        """See Firewall."""
        result = []
        for first, last, protocol, source in rules:
            ports = str(first) if first == last else f"{first}-{last}"
            family = "ipv6" if source and ":" in source else "ipv4"
            origin = f' family="{family}" source address="{source}"' if source else ""
            result.append(
                f'rule priority="{PRIORITY}"{origin} port port="{ports}" protocol="{protocol}" accept'
            )
        return result

    def add(self, word):
        """See Firewall."""
        self.call("firewall-cmd", "--permanent", f"--add-rich-rule={word}")
        self.call("firewall-cmd", f"--add-rich-rule={word}")

    def remove(self, word, handle):
        """See Firewall."""
        self.call("firewall-cmd", "--permanent", f"--remove-rich-rule={word}")
        self.call("firewall-cmd", f"--remove-rich-rule={word}")

    def _marked(self, *argv):
        lines = [line.strip() for line in self.call(*argv).splitlines()]
        return {line for line in lines if f'priority="{PRIORITY}"' in line}


class Nftables(Firewall):
    """Rules inserted into each chain that refuses what comes in."""

    name = "nftables"

    def __init__(self, run):
        super().__init__(run)
        self._items = []

    def active(self):
        """See Firewall."""
        text = self.answers("nft", "--json", "list", "ruleset")
        self._items = json.loads(text)["nftables"] if text else []
        return bool(self._chains()) or NFT_FILE.exists()

    def standing(self):
        """See Firewall."""
        found = {}
        for where in self._chains():
            for rule in self._rules(*where):
                if rule.get("comment") == MARK:
                    found.setdefault(" ".join([*where, match_of(rule["expr"])]), []).append(rule["handle"])
        return found

    def words(self, rules):
        """See Firewall."""
        return [
            f"{family} {table} {chain} {match}"
            for family, table, chain in self._chains()
            for match in (self._match(rule) for rule in rules if self._fits(family, rule[3]))
        ]

    def add(self, word):
        """See Firewall."""
        self.call("nft", *self._insert(word).split())

    def remove(self, word, handle):
        """See Firewall."""
        for number in handle:
            self.call("nft", "delete", "rule", *word.split()[:3], "handle", str(number))

    def keep(self, words, check):
        """See Firewall."""
        lines = "".join(f"{self._insert(word)}\n" for word in words)
        texts = {NFT_FILE: lines, NFT_DROP_IN: NFT_DROP_IN_TEXT if words else ""}
        stale = [path for path, text in texts.items() if (path.read_text() if path.exists() else "") != text]
        if stale and not check:
            for path in stale:
                replace(path, texts[path])
            self.call("systemctl", "daemon-reload")
        return bool(stale)

    @staticmethod
    def _insert(word):
        family, table, chain, match = word.split(" ", 3)
        return f"insert rule {family} {table} {chain} {match} accept comment {MARK}"

    @staticmethod
    def _fits(family, source):
        return source is None or family == "inet" or (family == "ip6") == (":" in source)

    @staticmethod
    def _match(rule):
        first, last, protocol, source = rule
        ports = str(first) if first == last else f"{first}-{last}"
        origin = f"{'ip6' if ':' in source else 'ip'} saddr {source} " if source else ""
        return f"{origin}{protocol} dport {ports}"

    def _rules(self, family, table, chain):
        wanted = {"family": family, "table": table, "chain": chain}
        rules = [item["rule"] for item in self._items if "rule" in item]
        return [rule for rule in rules if all(rule[key] == value for key, value in wanted.items())]

    def _chains(self):
        """(family, table, chain) of each chain for incoming packets that lets nothing in by itself."""
        result = []
        for item in self._items:
            chain = item.get("chain", {})
            if chain.get("hook") != "input" or chain["family"] not in ("inet", "ip", "ip6"):
                continue
            where = (chain["family"], chain["table"], chain["name"])
            last = self._rules(*where)[-1:]
            refuses = any(
                {"drop", "reject"} & set(e) and len(rule["expr"]) == 1 for rule in last for e in rule["expr"]
            )
            if chain.get("policy") == "drop" or refuses:
                result.append(where)
        return result


def match_of(expressions):
    """The words of a rule's matches, as this module writes them, from nft's JSON."""
    words = []
    for expression in expressions:
        match = expression.get("match")
        if match:
            field, value = match["left"]["payload"], match["right"]
            if isinstance(value, dict) and "range" in value:
                value = "{}-{}".format(*value["range"])
            elif isinstance(value, dict) and "prefix" in value:
                value = "{addr}/{len}".format(**value["prefix"])
            words.append(f"{field['protocol']} {field['field']} {value}")
    return " ".join(words)


def replace(path, text):
    """Writes the file, or removes it when there is nothing to be in it."""
    if not text:
        path.unlink()
        return
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(text, encoding="utf-8")
    os.chmod(draft, 0o644)
    os.replace(draft, path)


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
            }
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
    # ufw and firewalld write tables of nftables too, so they are asked first.
    firewall = next(
        (f for f in (k(module.run_command) for k in (Ufw, Firewalld, Nftables)) if f.active()), None
    )
    if firewall is None:
        return {"changed": False, "firewall": "none", "opened": [], "closed": []}
    standing, wanted = firewall.standing(), firewall.words(rules)
    opened = [word for word in wanted if standing.get(word, HALF) is HALF]
    closed = [word for word in standing if word not in wanted]
    if not module.check_mode:
        for word in closed:
            firewall.remove(word, standing[word])
        for word in opened:
            firewall.add(word)
    kept = firewall.keep(wanted, module.check_mode)
    result = {"changed": bool(opened or closed or kept), "firewall": firewall.name}
    if module._diff:
        result["diff"] = {
            "before": "".join(f"{word}\n" for word in sorted(standing)),
            "after": "".join(f"{word}\n" for word in sorted(wanted)),
            "before_header": firewall.name,
            "after_header": firewall.name,
        }
    return {**result, "opened": opened, "closed": closed}


if __name__ == "__main__":
    main()
