# Copyright (c) edgelab contributors
# SPDX-License-Identifier: Apache-2.0
"""What the firewalls that a host may have look like to module firewall_ports."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct

from ansible_collections.edgelab.kubeedge.plugins.module_utils.firewall_packets import Packet, network_of

MARK = "edgelab"
SIOCGIFADDR = 0x8915


class FirewallError(Exception):
    """A rule that cannot be, or a firewall that refuses one."""


class Firewall:
    """What the firewalls have in common: what stands, what is asked for, and how one becomes the other.

    A rule is (first, last, protocol, source or None).
    """

    name = "none"

    def __init__(self, host):
        self.host = host

    def standing(self):
        """Rules with our mark, in the firewall's own words, each with what removing it takes."""
        return {}

    def words(self, rules):
        """What is asked for in the same words, without what the administrator has opened already."""
        return []

    def add(self, word):
        """Opens, now and after a reboot."""

    def remove(self, word, handle):
        """Closes, now and after a reboot."""

    def keep(self, words, check):
        """Settles what a reboot brings, where that is in files; whether they changed, or would."""
        return False


class Host:
    """The host's programs, and the side from which its address is reached."""

    def __init__(self, run, address=None, interface=""):
        self._run = run
        self.address = network_of(address) if address else None
        self.interface = interface

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

    def packets(self, rule, version):
        """The packets that a rule is to let in."""
        first, last, protocol, source = rule
        network = network_of(source) if source else None
        mine = self.address if self.address and self.address.version == version else None
        for port in range(first, last + 1):
            yield Packet(protocol, port, version, network, mine, self.interface)


def replace(path, text, mode):
    """Writes the file, or removes it when there is nothing to be in it."""
    if not text:
        path.unlink()
        return
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(text, encoding="utf-8")
    os.chmod(draft, mode)
    os.replace(draft, path)


def interface_of(address):
    """The interface that has an address, else that of the default route; empty when there is none.

    The kernel's tables in /proc and an ioctl tell it (netdevice(7)), so that no program is needed.
    """
    for _index, name in socket.if_nameindex() if address else ():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            said = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, struct.pack("256s", name[:15].encode()))
            if socket.inet_ntoa(said[20:24]) == address:
                return name
    with contextlib.suppress(OSError), open("/proc/net/route", encoding="ascii") as table:
        for row in (line.split() for line in table):
            if row[1] == row[7] == "00000000":
                return row[0]
    return ""
