# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""Fingerprints of OpenPGP keys, so that a host needs no GnuPG to pin the key of a package source."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from typing import Any

DOCUMENTATION = r"""
name: openpgp_fingerprints
short_description: Fingerprints of the primary keys in an armored OpenPGP key file
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Reads armored OpenPGP public keys (RFC 9580) and gives the fingerprint of each primary key of version 4.
  - Text without a key gives an empty list.
options:
  _input:
    description: The text of the key file.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse a key that is not the pinned one
  ansible.builtin.assert:
    that: lookup('ansible.builtin.file', 'key.asc') | edgelab.kubeedge.openpgp_fingerprints == [fingerprint]
"""

RETURN = r"""
_value:
  description: Fingerprints, 40 hex digits each, upper case.
  type: list
  elements: str
"""

BLOCK = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----\s*\n(?:[^\n:]+:[^\n]*\n)*\s*\n?"
    r"(.*?)(?:\n=[A-Za-z0-9+/]{4})?\s*-----END",
    re.DOTALL,
)
PUBLIC_KEY = 6
"""Tag of a primary key's packet."""


def openpgp_fingerprints(text: str) -> list[str]:
    """Fingerprints of the primary keys in an armored key file."""
    found = []
    for block in BLOCK.findall(text.replace("\r\n", "\n")):
        try:
            data = base64.b64decode("".join(block.split()), validate=True)
            found += [
                _fingerprint(body)
                for tag, body in _packets(data)
                if tag == PUBLIC_KEY and body[:1] == b"\x04"
            ]
        except (binascii.Error, IndexError):
            continue
    return found


def _fingerprint(body: bytes) -> str:
    """Of a key of version 4: SHA-1 over 0x99, two octets of length, and the packet's body."""
    return (
        hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False).hexdigest().upper()
    )


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and body of each packet. Raises IndexError when one is cut off."""
    at = 0
    while at < len(data):
        tag, length, at = _header(data, at)
        if length < 0 or at + length > len(data):
            raise IndexError(at)
        yield tag, data[at : at + length]
        at += length


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, length of the body, and where the body begins."""
    first = data[at]
    if not first & 0x40:  # the old form: two bits say how many octets the length has; 3 is "to the end"
        octets = (1, 2, 4, 0)[first & 3]
        begin = at + 1 + octets
        length = int.from_bytes(data[at + 1 : begin], "big") if octets else len(data) - begin
        return first >> 2 & 0x0F, length, begin
    size = data[at + 1]
    if size < 192:
        return first & 0x3F, size, at + 2
    if size < 224:
        return first & 0x3F, ((size - 192) << 8) + data[at + 2] + 192, at + 3
    if size == 255:
        return first & 0x3F, int.from_bytes(data[at + 2 : at + 6], "big"), at + 6
    raise IndexError(at)  # partial lengths are for data, not for keys


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """The filters of this file."""
        return {"openpgp_fingerprints": openpgp_fingerprints}
